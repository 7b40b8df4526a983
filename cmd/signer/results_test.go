package main

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wire"
)

// TestEnding: how a task ended reaches the researcher in words, with the last
// that the module wrote, and nothing that a terminal would obey.
func TestEnding(t *testing.T) {
	for want, r := range map[string]wire.ResultLine{
		"the module trapped":          {End: wire.EndTrap},
		"it used all its fuel":        {End: wire.EndFuel},
		"exit code 3":                 {End: wire.EndExit, Code: 3},
		"its workers could not agree": {End: wire.Undecided},
		`the module trapped, having written "panic: \x1b[2J no such row"`: {End: wire.EndTrap, Output: []byte("12\npanic: \x1b[2J no such row\n\n")},
		`exit code 1, having written "` + strings.Repeat("x", 200) + `"`:  {End: wire.EndExit, Code: 1, Output: []byte(strings.Repeat("x", 999))},
	} {
		if got := ending(r); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
