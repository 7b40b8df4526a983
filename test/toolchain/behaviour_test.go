package toolchain

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/sandbox"
)

// input is longer than any buffer of the languages' libraries.
var input = bytes.Repeat([]byte("countersign\n"), 30_000)

// everything is what the programs make of it.
var everything = func() string {
	var sum uint32
	for _, c := range input {
		sum = sum*31 + uint32(c)
	}
	return fmt.Sprintf("^%d bytes, sum %d, then ", len(input), sum)
}()

const overflow = "call stack exhausted"

// cases say how each program ends with each first argument. Output and log are
// regular expressions; detail is text.
var cases = map[string]map[string]struct {
	end         sandbox.End
	code        uint32
	output, log string
	detail      string
}{
	"c": {
		"hello":  {output: "^hello\n$"},
		"input":  {output: everything + "-1\n$"},
		"files":  {output: "^open 1\ncreate 1\nlist 1\nstat -1\nfstat of stdin 0\nmkdir -1\nremove -1\nrename -1\nseek 1\nterminal 0\n$"},
		"clocks": {output: "^1700000000, later 1, steps of 1000 ns\n$"},
		"sleep":  {output: "^slept 0, 10001000 ns\npoll 1, readable 1\n$"},
		"random": {output: "^0 [0-9a-f]{16}\n$"},
		"polls":  {output: "^[0-9]{4,5} answered, [0-9a-f]{16}\n$"}, // compared by TestHosts
		"args":   {output: "^countersign 3 two 1\n$"},
		"exit":   {code: 7},
		"panic":  {end: sandbox.Trap, detail: "unreachable"}, // abort
		// What C programs do not flush is lost with a trap, as anywhere.
		"recurse": {end: sandbox.Trap, detail: overflow},
	},
	"rust": {
		"hello":   {output: "^hello\n$"},
		"input":   {output: everything + "0\n$"},
		"files":   {output: "^open true\ncreate true\nlist true\nstat true\nmkdir true\nremove true\nrename true\nlink true\ncwd true\nsocket true\nprocess true\nthread true\n$"},
		"clocks":  {output: "^1700000000 true\n$"},
		"sleep":   {output: "^slept 10\n$"},
		"random":  {output: `^\[\d+, \d+, \d+, \d+, \d+\]\n$`},
		"args":    {output: "^countersign 3 two true\n$"},
		"exit":    {code: 7},
		"panic":   {end: sandbox.Trap, detail: "unreachable", log: "panicked at"},
		"index":   {end: sandbox.Trap, detail: "unreachable", log: "index out of bounds: the len is 2 but the index is 3"},
		"recurse": {end: sandbox.Trap, detail: overflow},
	},
	"go": {
		"hello":      {output: "^hello\n$"},
		"input":      {output: everything + "EOF EOF\n$"},
		"files":      {output: "^open true\ncreate true\nlist true\nstat true\nstat of stdin <nil>\nmkdir true\nremove true\nrename true\nseek true\ncwd <nil>\nsync <nil>\nclose <nil>\n$"},
		"clocks":     {output: "^1700000000 true Local\n$"},
		"sleep":      {output: "^slept 10ms\nafter 1h0m0.01s\ndeadline 1h1m0.01s context deadline exceeded\nticked 1h1m3.01s\nselect 1h1m4.01s\n$"},
		"random":     {output: "^[0-9a-f]{16} <nil> [0-9]+\n$"},
		"args":       {output: "^countersign 3 two true\n$"},
		"exit":       {code: 7},
		"panic":      {code: 2, log: `^panic: ouch\n\ngoroutine 1 \[running\]:\nmain.`},
		"nil":        {code: 2, log: "^panic: runtime error: invalid memory address or nil pointer dereference\n"},
		"recover":    {output: "^recovered: assignment to entry in nil map\n$"},
		"goroutines": {output: `^4950 100 \[.*\] 1\n$`},
		"maps":       {output: `^\[\d+ \d+ \d+ \d+ \d+\] 49 50\n$`},
		"deadlock":   {code: 2, output: "^waiting\n$", log: "^fatal error: all goroutines are asleep - deadlock!\n"},
		"garbage":    {output: "^64 true\n$"},
		"recurse":    {end: sandbox.Trap, detail: overflow},
	},
	"as": {
		"hello":   {output: "^hello\n$"},
		"input":   {output: everything + "0\n$"},
		"clocks":  {output: "^1700000000000 true true\n$"},
		"random":  {output: `^\d+(,\d+){7} 0\.\d+\n$`},
		"args":    {output: "^countersign 3 two 0\n$"},
		"exit":    {code: 7},
		"panic":   {code: 255, log: "^abort: ouch in index.ts"},
		"index":   {code: 255, log: "^abort: Index out of range"},
		"trace":   {log: "^trace: traced 2.5\n$"}, // the shim prints no further numbers
		"recurse": {end: sandbox.Trap, detail: overflow},
	},
}

// TestBehaviour runs real programs: what they do follows from their input, their
// arguments and the seed, and is what their authors expect.
func TestBehaviour(t *testing.T) {
	ctx := context.Background()
	engine, err := sandbox.New(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close(ctx)
	for lang, all := range cases {
		module := metered(t, lang)
		for arg, want := range all {
			t.Run(lang+"/"+arg, func(t *testing.T) {
				task := sandbox.Task{Module: module, Input: input, Args: []string{arg, "two"},
					Limits: sandbox.Limits{Fuel: 1 << 34, MemoryPages: pages, OutputBytes: 1 << 16}}
				o := outcome(t, engine, task)
				if want.end == "" {
					want.end = sandbox.Exit
				}
				if o.End != want.end || o.Code != want.code || !strings.Contains(o.Detail, want.detail) {
					t.Errorf("%s with code %d (%s), want %s with %d (%s)", o.End, o.Code, o.Detail, want.end, want.code, want.detail)
				}
				matches(t, "output", o.Output, want.output)
				matches(t, "log", o.Log, want.log)
				if again := outcome(t, engine, task); !reflect.DeepEqual(again, o) {
					t.Errorf("again: %+v\nbefore: %+v", again, o)
				}
				task.Seed[0] = 1
				if other := outcome(t, engine, task); arg == "random" && bytes.Equal(other.Output, o.Output) {
					t.Error("another seed gives the same")
				}
			})
		}
	}
}

func outcome(t *testing.T, e *sandbox.Engine, task sandbox.Task) sandbox.Outcome {
	t.Helper()
	o, err := e.Run(context.Background(), task)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// matches compares with a regular expression; an empty one wants nothing.
func matches(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if want == "" {
		want = "^$"
	}
	if !regexp.MustCompile(want).Match(got) {
		t.Errorf("%s %.300q, want %q", what, got, want)
	}
}
