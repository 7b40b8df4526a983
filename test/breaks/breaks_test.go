package main

import (
	"go/parser"
	"go/token"
	"testing"
)

const root = "../.."

// TestTable makes sure that the breaks are those that the spec needs, and that
// each fits the code as it is. Whether the tests fail is for make breaks.
func TestTable(t *testing.T) {
	if err := covered(root, breaks); err != nil {
		t.Error(err)
	}
	for _, b := range breaks {
		code, err := b.apply(root)
		if err != nil {
			t.Errorf("%s: %v", b.what, err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), b.file, code, 0); err != nil {
			t.Errorf("%s: %v", b.what, err)
		}
	}
}

// TestVerdicts has what the go command says of a test that passes, one that
// fails, code that does not build, and a test that never ends.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct{ out, want string }{
		{`{"Action":"run","Test":"TestX"}` + "\n" + `{"Action":"pass","Test":"TestX"}` + "\n" + `{"Action":"pass"}`, "pass"},
		{`{"Action":"fail","Test":"TestX/a"}` + "\n" + `{"Action":"fail","Test":"TestX"}` + "\n" + `{"Action":"fail"}`, "fail"},
		{`{"ImportPath":"p","Action":"build-output","Output":"undefined: x\n"}` + "\n" + `{"Action":"fail","FailedBuild":"p"}`, ""},
		{`{"Action":"run","Test":"TestX"}` + "\n" + `{"Action":"output","Test":"TestX","Output":"panic: test timed out\n"}` + "\n" + `{"Action":"fail"}`, ""},
		{"", ""},
	} {
		if got := read([]byte(c.out)).of["TestX"]; got != c.want {
			t.Errorf("%s: %q, want %q", c.out, got, c.want)
		}
	}
}

// TestCoveredSaysWhatIsMissing leaves the last break out, and adds one.
func TestCoveredSaysWhatIsMissing(t *testing.T) {
	if covered(root, breaks[:len(breaks)-1]) == nil {
		t.Error("a break is missing, and nothing is said")
	}
	if covered(root, append(breaks[:len(breaks):len(breaks)], broken{invariant: "none", test: "meter: TestNone"})) == nil {
		t.Error("a break is for no invariant, and nothing is said")
	}
}
