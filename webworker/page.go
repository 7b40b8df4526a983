package webworker

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed page/index.html
var pageText string

//go:embed page/results.html
var resultsPage []byte

//go:embed page/page.css
var pageCSS []byte

//go:embed page/icon.svg
var pageIcon []byte

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Researcher is somebody whose releases the page lets run.
type Researcher struct {
	Name   string
	Key    string // minisign public key, as keys.PublicKey writes it
	Prefix string // of the release names that the key may sign
}

// PageData is what differs from hub to hub.
type PageData struct {
	Title       string // of this hub; "" for none
	Origin      string // where visitors reach the hub, for the embedding example; "" for an example name
	Researchers []Researcher
	Root        []string // keys that sign the policy, of which Threshold must
	Threshold   int
	Floor       int64    // the lowest policy version to take
	Log         string   // key of the hub's transparency log; "" for none
	Witnesses   []string // keys of those that it asks to cosign the log
	Warning     string   // about the hub's policy or index; "" for none
}

// Page writes the hub's page.
func Page(w io.Writer, data PageData) error {
	if data.Title == "" {
		data.Title = "Countersign"
	}
	if data.Origin == "" {
		data.Origin = "https://hub.example"
	}
	err := pageTemplate.Execute(w, struct {
		PageData
		Integrity, Keys string
	}{data, Integrity(), strings.Join(data.Root, " ")})
	if err != nil {
		return fmt.Errorf("writing the hub's page: %w", err)
	}
	return nil
}
