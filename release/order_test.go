package release

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

func sampleOrder(t testing.TB) *Order {
	t.Helper()
	lines, err := Split(strings.NewReader("1\n22\n333\n"), 2, func(uint64, Span, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return &Order{Type: OrderType, Title: "three numbers", ReleaseSHA256: canon.Sum([]byte("r")), Input: Input{Lines: lines},
		Redundancy: Redundancy{Vote: &Vote{Agree: 2, Of: 3}}, CompletePermille: 1000, Priority: 5,
		NotBefore: canon.TimeOf(now), Expires: canon.TimeOf(now.Add(24 * time.Hour))}
}

func TestOrderBounds(t *testing.T) {
	for name, spoil := range map[string]func(*Order){
		"title":           func(o *Order) { o.Title = "" },
		"no rule":         func(o *Order) { o.Input = Input{} },
		"two rules":       func(o *Order) { o.Input.Range = &Range{0, 1, 1} },
		"empty range":     func(o *Order) { o.Input = Input{Range: &Range{5, 5, 1}} },
		"step 0":          func(o *Order) { o.Input = Input{Range: &Range{0, 5, 0}} },
		"too many tasks":  func(o *Order) { o.Input = Input{Range: &Range{0, 1<<40 + 1, 1}} },
		"more lines":      func(o *Order) { o.Input.Lines.Lines = 10 },
		"no lines":        func(o *Order) { o.Input.Lines.Lines = 0 },
		"per_task 0":      func(o *Order) { o.Input.Lines.PerTask = 0 },
		"no vote":         func(o *Order) { o.Redundancy.Vote = nil },
		"half agree":      func(o *Order) { o.Redundancy.Vote = &Vote{2, 4} },
		"agree 0":         func(o *Order) { o.Redundancy.Vote = &Vote{0, 1} },
		"agree over of":   func(o *Order) { o.Redundancy.Vote = &Vote{3, 2} },
		"too many lanes":  func(o *Order) { o.Redundancy.Vote = &Vote{17, 17} },
		"complete 0":      func(o *Order) { o.CompletePermille = 0 },
		"complete 1001":   func(o *Order) { o.CompletePermille = 1001 },
		"priority 10":     func(o *Order) { o.Priority = 10 },
		"ends at once":    func(o *Order) { o.Expires = o.NotBefore },
		"other type":      func(o *Order) { o.Type = Type },
		"negative lines?": func(o *Order) { o.Input.Lines.Length = MaxInputFile + 1 },
	} {
		o := sampleOrder(t)
		spoil(o)
		if _, err := o.Encode(); canon.ClassOf(err) != "bounds" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOpenOrder(t *testing.T) {
	key := seeded(t, 1)
	named := func(canon.Digest) (*Release, error) { return sampleRelease(), nil }
	for _, c := range []struct {
		name, class string
		spoil       func(*Order)
	}{
		{"good", "", func(*Order) {}},
		{"range", "", func(o *Order) { o.Input = Input{Range: &Range{0, 100, 1}} }},
		{"too many tasks", "ceiling", func(o *Order) { o.Input = Input{Range: &Range{0, 101, 1}} }},
		{"expired", "expiry", func(o *Order) {
			o.NotBefore, o.Expires = canon.TimeOf(now.Add(-2*time.Hour)), canon.TimeOf(now)
		}},
	} {
		o := sampleOrder(t)
		c.spoil(o)
		st, sig, err := o.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenOrder(st, sig, policyFor(key), named, now); canon.ClassOf(err) != c.class {
			t.Errorf("%s: got %v, want class %q", c.name, err, c.class)
		}
	}
	st, sig, err := sampleRelease().Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenOrder(st, sig, policyFor(key), named, now); canon.ClassOf(err) != "encoding" {
		t.Errorf("a release sent as an order: %v", err)
	}
}

func TestRangeInput(t *testing.T) {
	o := Order{Input: Input{Range: &Range{From: 10, To: 25, Step: 10}}}
	if o.Tasks() != 2 {
		t.Fatalf("%d tasks", o.Tasks())
	}
	for task, want := range []string{"10 20\n", "20 25\n"} {
		if got, _ := o.Input.Stated(uint64(task)); string(got) != want {
			t.Errorf("task %d: %q", task, got)
		}
	}
}

// TestSplitTree compares the streaming tree with the RFC 6962 library over
// every shape of tree up to 70 leaves.
func TestSplitTree(t *testing.T) {
	for n := 1; n <= 70; n++ {
		var file bytes.Buffer
		var hashes []tlog.Hash
		for i := range n {
			line := fmt.Sprintf("%d\n", i*i)
			file.WriteString(line)
			h, err := tlog.StoredHashes(int64(i), []byte(line), tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
				var out []tlog.Hash
				for _, x := range at {
					out = append(out, hashes[x])
				}
				return out, nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, h...)
		}
		want, err := tlog.TreeHash(int64(n), tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
			var out []tlog.Hash
			for _, x := range at {
				out = append(out, hashes[x])
			}
			return out, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Split(&file, 1, func(uint64, Span, []byte) error { return nil })
		if err != nil || got.TreeRoot != canon.Digest(want) {
			t.Fatalf("%d leaves: %v, %v, want %v", n, got, err, want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	none := func(uint64, Span, []byte) error { return nil }
	for name, file := range map[string]string{
		"empty": "", "no newline": "1\n2", "long line": strings.Repeat("x", MaxTaskInput) + "\n",
		"long task": strings.Repeat(strings.Repeat("x", 1000)+"\n", 100),
	} {
		if _, err := Split(strings.NewReader(file), 100, none); canon.ClassOf(err) != "input" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Split(strings.NewReader("1\n"), 0, none); canon.ClassOf(err) != "bounds" {
		t.Errorf("per_task 0: %v", err)
	}
}

func TestCheckInput(t *testing.T) {
	o := sampleOrder(t)
	spans, err := o.CheckInput(strings.NewReader("1\n22\n333\n"))
	if err != nil || len(spans) != 2 || spans[1] != (Span{5, 4}) {
		t.Fatalf("%v, %v", spans, err)
	}
	for _, file := range []string{"1\n22\n334\n", "1\n22\n", "22\n1\n333\n", "1\n22\n333\n\n"} {
		if _, err := o.CheckInput(strings.NewReader(file)); canon.ClassOf(err) != "input" {
			t.Errorf("%q: %v", file, err)
		}
	}
}
