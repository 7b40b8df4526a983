package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	specPage = "docs/spec/meter.md"
	heading  = "## Invariants, and the test that fails without each"
)

// row of the spec's table of invariants.
type row struct {
	invariant string
	tests     []string
}

// goTest is a test as the table names it; a row may name a command besides.
var goTest = regexp.MustCompile(`\w+: (?:Test|Fuzz)\w+`)

// invariants reads the table.
func invariants(root string) (rows []row, err error) {
	page, err := os.ReadFile(filepath.Join(root, specPage))
	if err != nil {
		return nil, err
	}
	_, table, ok := strings.Cut(string(page), heading+"\n")
	if !ok {
		return nil, fmt.Errorf("reading %s: no heading %q", specPage, heading)
	}
	for _, line := range strings.Split(table, "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 2 || cells[0] == "invariant" || cells[0] == "---" {
			continue
		}
		r := row{invariant: cells[0], tests: goTest.FindAllString(cells[1], -1)}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("reading %s: no table behind %q", specPage, heading)
	}
	return rows, nil
}

// covered makes sure that every invariant is broken for every test that its row
// names, and that there is no break for anything else.
func covered(root string, all []broken) error {
	rows, err := invariants(root)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, b := range all {
		left[b.invariant+": "+b.named()] = true
	}
	var errs []error
	named := map[string]bool{}
	for _, r := range rows {
		for _, t := range r.tests {
			pair := r.invariant + ": " + t
			named[pair] = true
			if !left[pair] {
				errs = append(errs, fmt.Errorf("%s has %q, and no break shows it", specPage, pair))
			}
		}
	}
	for pair := range left {
		if !named[pair] {
			errs = append(errs, fmt.Errorf("a break is for %q, which %s does not have", pair, specPage))
		}
	}
	return errors.Join(errs...)
}
