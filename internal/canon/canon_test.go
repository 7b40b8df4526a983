package canon

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

type sample struct {
	Type string   `json:"type"`
	Name string   `json:"name"`
	N    uint64   `json:"n"`
	When Time     `json:"when"`
	Sum  Digest   `json:"sum"`
	Opt  *inner   `json:"opt,omitempty"`
	List []string `json:"list"`
}

type inner struct {
	A int64 `json:"a"`
}

const sampleType = "countersign.sample/v1"

func valid(t testing.TB) []byte {
	data, err := Encode(sample{Type: sampleType, Name: `a <b> & "c" \d`, N: MaxInteger,
		When: TimeOf(time.Unix(1_800_000_000, 5)), Sum: Sum(nil), Opt: &inner{3}, List: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRoundTrip(t *testing.T) {
	data := valid(t)
	want := `{
  "type": "countersign.sample/v1",
  "name": "a <b> & \"c\" \\d",
  "n": 9007199254740991,
  "when": "2027-01-15T08:00:00Z",
  "sum": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "opt": {
    "a": 3
  },
  "list": []
}
`
	if string(data) != want {
		t.Fatalf("got\n%s\nwant\n%s", data, want)
	}
	var s sample
	if err := Decode(data, 1000, sampleType, &s); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := string(valid(t))
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("sample has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	cases := map[string]string{
		"empty":          "",
		"not JSON":       "{\n  \"type\": \"countersign.sample/v1\",\n",
		"other type":     swap("sample/v1", "sample/v2"),
		"type not first": swap("  \"type\": \"countersign.sample/v1\",\n", ""),
		"unknown member": swap(`"n": `, "\"m\": 1,\n  \"n\": "),
		"duplicate":      swap(`"n": `, "\"n\": 1,\n  \"n\": "),
		"case":           swap(`"name"`, `"Name"`),
		"compact":        swap("\n  \"name\"", " \"name\""),
		"float":          swap("9007199254740991", "1.0"),
		"exponent":       swap("9007199254740991", "1e3"),
		"negative":       swap(`"a": 3`, `"a": -3`),
		"minus zero":     swap("9007199254740991", "-0"),
		"too big":        swap("9007199254740991", "9007199254740992"),
		"string number":  swap("9007199254740991", `"1"`),
		"escape":         swap("<b>", `\u003cb\u003e`),
		"control":        swap("<b>", `\n`),
		"separator":      swap("<b>", `\u2028`),
		"slash escape":   swap("sample/v1", `sample\/v1`),
		"not ASCII":      swap("<b>", "é"),
		"tab":            swap("  \"n\"", "\t\"n\""),
		"CRLF":           strings.ReplaceAll(good, "\n", "\r\n"),
		"BOM":            "\ufeff" + good,
		"trailing space": good + " ",
		"trailing value": good + "{}\n",
		"no newline":     strings.TrimSuffix(good, "\n"),
		"null list":      swap(`"list": []`, `"list": null`),
		"null optional":  swap("{\n    \"a\": 3\n  }", "null"),
		"bad time":       swap("2027-01-15", "2027-02-30"),
		"time zone":      swap("08:00:00Z", "08:00:00+00:00"),
		"upper digest":   swap("e3b0", "E3B0"),
		"short digest":   swap("e3b0c442", "e3b0"),
	}
	for name, data := range cases {
		var s sample
		err := Decode([]byte(data), 1000, sampleType, &s)
		if ClassOf(err) != "encoding" {
			t.Errorf("%s: got %v, want an error of class encoding", name, err)
		}
	}
	var s sample
	if err := Decode([]byte(good), len(good)-1, sampleType, &s); ClassOf(err) != "too_large" {
		t.Errorf("over the cap: got %v", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, s := range map[string]sample{
		"not ASCII": {Name: "\u00e9", When: TimeOf(time.Unix(1e9, 0)), List: []string{}},
		"control":   {Name: "a\nb", When: TimeOf(time.Unix(1e9, 0)), List: []string{}},
		"too big":   {When: TimeOf(time.Unix(1e9, 0)), N: MaxInteger + 1, List: []string{}},
		"separator": {Name: "\u2028", When: TimeOf(time.Unix(1e9, 0)), List: []string{}},
		"nil list":  {When: TimeOf(time.Unix(1e9, 0))},
		"zero time": {List: []string{}},
	} {
		if data, err := Encode(s); err == nil {
			t.Errorf("%s: encoded as %q", name, data)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(valid(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s sample
		if Decode(data, 1<<16, sampleType, &s) != nil {
			return
		}
		again, err := Encode(s)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted, but encodes differently (%v):\n%q\n%q", err, data, again)
		}
	})
}
