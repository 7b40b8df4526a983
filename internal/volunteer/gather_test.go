package volunteer

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// TestGatherAgain: inputs that a hub handed out are found to be the outputs of
// the order before, or not.
func TestGatherAgain(t *testing.T) {
	rule := &release.Outputs{Tasks: 5, PerTask: 2}
	lines := []wire.ResultLine{{Task: 0, End: wire.EndExit, Output: []byte("a\n")}, {Task: 1, End: wire.EndExit, Code: 1, Output: []byte("failed\n")},
		{Task: 3, End: wire.EndExit, Output: []byte("d\n")}, {Task: 4, End: wire.EndExit, Output: []byte("late\n")}}
	var honest bytes.Buffer
	g := release.NewGatherer(&honest, rule)
	for _, l := range []wire.ResultLine{lines[0], lines[2]} {
		if err := g.Add(l.Task, l.Output); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Finish(); err != nil {
		t.Fatal(err)
	}
	o := &release.Order{Title: "a reduction", After: &release.After{Order: canon.Sum([]byte("first")), Permille: 400}, Input: release.Input{Outputs: rule}}
	good := honest.Bytes()
	for name, file := range map[string][]byte{
		"honest": good, "altered": bytes.Replace(good, []byte("d\n"), []byte("e\n"), 1), "longer": append(bytes.Clone(good), 0),
		"shorter": good[:len(good)-1], "empty": {}, "a failed one as used": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]|2),
	} {
		t.Run(name, func(t *testing.T) {
			in, err := gatherAgain(t.Context(), gatheredHub(t, file, lines), canon.Sum(nil), o, nil)
			if name != "honest" {
				if canon.ClassOf(err) != wire.CodeInput {
					t.Fatalf("taken, or refused with %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer in.close()
			for task, want := range []string{"a\n", "d\n", ""} {
				if got, err := in.of(uint64(task)); err != nil || string(got) != want {
					t.Errorf("task %d: %q, %v, want %q", task, got, err, want)
				}
			}
		})
	}
}

// gatheredHub serves a file of gathered inputs, and results.
func gatheredHub(t *testing.T, file []byte, lines []wire.ResultLine) *client.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/input") {
			_, _ = w.Write(file) // a client that left is the test's failure
			return
		}
		for _, l := range lines {
			_ = json.NewEncoder(w).Encode(l)
		}
	}))
	t.Cleanup(s.Close)
	c, err := client.New(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}
