package main

import (
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(strings.NewReader("10\n1000\n"), &out); err != nil {
		t.Fatal(err)
	}
	if want := "10 -> 9, 19 steps\n1000 -> 871, 178 steps\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	for _, bad := range []string{"0\n", "x\n", "10000000001\n", "-1\n"} {
		if err := run(strings.NewReader(bad), os.Stdout); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
