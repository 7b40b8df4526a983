package main

import "testing"

// TestNaNs compares a few modules of each generator.
func TestNaNs(t *testing.T) {
	if err := run(1, 30, t.TempDir()); err != nil {
		t.Fatal(err)
	}
}
