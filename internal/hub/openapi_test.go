package hub

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOpenAPI: the document is served, every reference in it leads somewhere,
// and every operation says what it answers. What it says is held against each
// answer that the other tests get: testHub.documented.
func TestOpenAPI(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]any
		Components struct{ Schemas map[string]any }
	}
	data := h.body("/v1/openapi.json")
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, methods := range doc.Paths {
		n += len(methods)
	}
	if doc.OpenAPI != "3.1.0" || n != len(h.operations()) {
		t.Errorf("version %q, %d operations, want %d", doc.OpenAPI, n, len(h.operations()))
	}
	for _, m := range regexp.MustCompile(`"#/components/schemas/(\w+)"`).FindAllStringSubmatch(string(data), -1) {
		if doc.Components.Schemas[m[1]] == nil {
			t.Errorf("there is no schema %s", m[1])
		}
	}
}

// TestDocumentedTokens: who needs a token is told, and nobody else is asked for one.
func TestDocumentedTokens(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true, PrivateResults: true})
	d := h.submit(h.rangeOrder(1), "")
	for _, o := range h.operations() {
		path := strings.NewReplacer("{order}", d.String(), "{path...}", "0/000", "{task}", "0", "{digest}", d.String(), "{name}", d.String()).Replace(o.path)
		status, code := h.do(o.method, path, "application/json", "", strings.NewReader("{}"))
		if asked := code == "unauthorized"; asked != (len(o.auth) > 0) {
			t.Errorf("%s %s: without a token %d %s, but the document asks for %v", o.method, o.path, status, code, o.auth)
		}
	}
}

// documented holds an answer against the document.
func (h *testHub) documented(method, path string, status int, head http.Header, body []byte) {
	h.t.Helper()
	if err := h.fitsDocument(method, path, status, head.Get("Content-Type"), body); err != nil {
		h.t.Errorf("%s %s: %v", method, path, err)
	}
}

func (h *testHub) fitsDocument(method, path string, status int, contentType string, body []byte) error {
	path, _, _ = strings.Cut(path, "?")
	hub := h.Hub
	if hub == nil { // it is a process of its own
		hub = &Hub{opt: h.opt}
	}
	all := hub.operations()
	i := slices.IndexFunc(all, func(o operation) bool { return o.method == method && pathOf(o.path).MatchString(path) })
	if i < 0 {
		if status < 400 && !slices.Contains([]string{"/", "/countersign.js"}, path) {
			return fmt.Errorf("answered with %d, and the document has no such operation", status)
		}
		return nil
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema any }
			}
		}
		Components struct{ Schemas map[string]any }
	}
	raw, err := json.Marshal(openAPI(all))
	if err == nil {
		err = json.Unmarshal(raw, &doc)
	}
	if err != nil {
		return err
	}
	responses := doc.Paths[strings.ReplaceAll(all[i].path, "...}", "}")][strings.ToLower(method)].Responses
	response, ok := responses[fmt.Sprint(status)]
	if !ok && status < 400 && status != http.StatusNotModified && status != http.StatusPartialContent {
		return fmt.Errorf("%d is not documented", status)
	}
	if !ok {
		response = responses["default"]
	}
	if len(response.Content) == 0 {
		if len(body) > 0 {
			return fmt.Errorf("%d with a body", status)
		}
		return nil
	}
	media, ok := response.Content[contentType]
	if any := response.Content[anyBytes]; !ok && any.Schema != nil {
		return nil // bytes of any type
	}
	if !ok && all[i].content == plainText {
		return nil // with parameters of its own
	}
	if !ok {
		return fmt.Errorf("%d with the type %q", status, contentType)
	}
	if !strings.Contains(contentType, "json") {
		return nil
	}
	for dec := json.NewDecoder(bytes.NewReader(body)); dec.More(); {
		var v any
		if err := dec.Decode(&v); err != nil {
			return err
		}
		if err := fits(media.Schema, v, doc.Components.Schemas, "answer"); err != nil {
			return err
		}
	}
	return nil
}

func pathOf(template string) *regexp.Regexp {
	return regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+(\\\.\\\.\\\.)?\\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(template), func(m string) string {
		if strings.Contains(m, ".") {
			return ".+"
		}
		return "[^/]+"
	}) + "$")
}

// fits reports how a value differs from the part of JSON Schema that the
// document uses. Members that it does not name differ, too.
func fits(schema, v any, all map[string]any, at string) error {
	s, _ := schema.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		return fits(all[ref[strings.LastIndexByte(ref, '/')+1:]], v, all, at)
	}
	if words, ok := s["enum"].([]any); ok && !slices.Contains(words, v) {
		return fmt.Errorf("%s: %v is none of %v", at, v, words)
	}
	wrong := fmt.Errorf("%s: %v is no %v", at, v, s["type"])
	switch v := v.(type) {
	case map[string]any:
		if s["type"] != "object" && s["type"] != nil {
			return wrong
		}
		return fitsObject(s, v, all, at)
	case []any:
		if s["type"] != "array" {
			return wrong
		}
		for i, item := range v {
			if err := fits(s["items"], item, all, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case string:
		if s["type"] != "string" {
			return wrong
		}
		return fitsText(s, v, at)
	case float64:
		if v < 0 || s["type"] != "number" && (s["type"] != "integer" || v != float64(uint64(v))) {
			return wrong
		}
	case bool:
		if s["type"] != "boolean" {
			return wrong
		}
	default:
		return wrong
	}
	return nil
}

func fitsObject(s, v, all map[string]any, at string) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%s has no %v", at, name)
		}
	}
	properties, named := s["properties"].(map[string]any)
	for name, value := range v {
		of, ok := properties[name]
		if !ok {
			if of = s["additionalProperties"]; of == nil && named {
				return fmt.Errorf("%s.%s is not documented", at, name)
			}
		}
		if of == nil {
			continue // an object of any kind
		}
		if err := fits(of, value, all, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func fitsText(s map[string]any, v, at string) error {
	if strings.ContainsFunc(v, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return fmt.Errorf("%s: %q is not printable ASCII", at, v)
	}
	if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(v) {
		return fmt.Errorf("%s: %q does not match %s", at, v, pattern)
	}
	if s["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339, v); err != nil {
			return fmt.Errorf("%s: %q is no time", at, v)
		}
	}
	if s["contentEncoding"] == "base64" {
		if _, err := base64.StdEncoding.DecodeString(v); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}
