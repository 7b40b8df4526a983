package hub

import (
	"encoding"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// getOpenAPI describes the API by the list that its routes are made of, and by
// the types that its answers are made of.
func (h *Hub) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	return answer(w, http.StatusOK, openAPI(h.operations()))
}

func (h *Hub) getMetrics(w http.ResponseWriter, r *http.Request) error {
	h.metrics.handler().ServeHTTP(w, r)
	return nil
}

type object = map[string]any

// openAPI is the OpenAPI 3.1 document of some operations.
func openAPI(all []operation) object {
	s := schemas{}
	paths := map[string]object{}
	for _, o := range all {
		path := strings.ReplaceAll(o.path, "...}", "}")
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path][strings.ToLower(o.method)] = o.describe(s)
	}
	s.of(reflect.TypeFor[wire.ErrorBody]())
	code := s["ErrorBody"].(object)["properties"].(object)["error"].(object)["properties"].(object)["code"].(object)
	code["enum"] = wire.Codes()
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "A Countersign hub", "version": "1", "description": "What the members mean, and what authorises what, is docs/spec/wire.md and docs/spec/token.md."},
		"paths":   paths,
		"components": object{
			"schemas":         s,
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
		},
	}
}

var inPath = regexp.MustCompile(`\{(\w+)[.]*\}`)

func (o *operation) describe(s schemas) object {
	d := object{"summary": o.summary, "responses": o.responses(s)}
	var parameters []object
	for _, m := range inPath.FindAllStringSubmatch(o.path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, q := range o.query {
		parameters = append(parameters, object{"name": q.name, "in": "query", "description": q.summary, "schema": object{"type": "string"}})
	}
	if parameters != nil {
		d["parameters"] = parameters
	}
	if len(o.auth) > 0 {
		d["security"] = []object{{"token": o.auth}} // any of these roles
	}
	if o.request != nil {
		d["requestBody"] = object{"required": true, "content": media("application/json", s.of(reflect.TypeOf(o.request)))}
	}
	if len(o.parts) > 0 {
		parts := object{}
		for _, p := range o.parts { // in this order
			parts[p] = object{"type": "string", "contentMediaType": anyBytes}
		}
		form := object{"type": "object", "properties": parts, "required": []string{"statement", "signature"},
			"description": "The parts come in this order: " + strings.Join(o.parts, ", ") + "."}
		d["requestBody"] = object{"required": true, "content": media("multipart/form-data", form)}
	}
	return d
}

func (o *operation) responses(s schemas) object {
	good := object{"description": "Done."}
	switch {
	case o.answer != nil && o.content == "":
		good["content"] = media("application/json", s.of(reflect.TypeOf(o.answer)))
	case o.answer != nil: // what each line is
		good["content"] = media(o.content, s.of(reflect.TypeOf(o.answer)))
	case o.content != "":
		good["content"] = media(o.content, object{})
	}
	all := object{"default": object{"description": "Refused; the code says why.", "content": media("application/json", s.of(reflect.TypeFor[wire.ErrorBody]()))}}
	for _, status := range []int{o.status, o.again} {
		switch {
		case status > 0:
			all[strconv.Itoa(status)] = good
		case o.status == 0:
			all["200"] = good
		}
	}
	return all
}

func media(contentType string, schema any) object {
	return object{contentType: object{"schema": schema}}
}

// schemas are the JSON schemas of structs, by name.
type schemas object

var (
	isText   = reflect.TypeFor[encoding.TextMarshaler]()
	patterns = map[reflect.Type]object{
		reflect.TypeFor[canon.Digest]():   hexDigits(64),
		reflect.TypeFor[wire.Key]():       hexDigits(64),
		reflect.TypeFor[wire.Signature](): hexDigits(128),
		reflect.TypeFor[wire.LeaseID]():   hexDigits(32),
		reflect.TypeFor[canon.Time]():     {"type": "string", "format": "date-time"},
	}
)

func hexDigits(n int) object {
	return object{"type": "string", "pattern": "^[0-9a-f]{" + strconv.Itoa(n) + "}$"}
}

// of is the schema of a type as encoding/json writes it.
func (s schemas) of(t reflect.Type) any {
	if p, ok := patterns[t]; ok {
		return p
	}
	if t.Implements(isText) {
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number", "minimum": 0}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object"}
		}
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		if t.Name() == "" {
			return s.members(t)
		}
		if s[t.Name()] == nil {
			s[t.Name()] = object{} // for types that have themselves
			s[t.Name()] = s.members(t)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	panic("hub: no schema for " + t.String()) // the tests make the document
}

func (s schemas) members(t reflect.Type) object {
	properties, required := object{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = s.of(f.Type)
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required}
}
