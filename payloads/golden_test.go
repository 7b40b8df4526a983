package payloads_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
)

var update = flag.Bool("update", false, "write what the payloads give now into golden.json and the outputs beside it")

// slow is the fuel over which a case is not run in the interpreter.
const slow = 100_000_000

// goldenCase is one element of a golden.json: README.md, "Golden cases".
type goldenCase struct {
	Name       string      `json:"name"`
	Module     string      `json:"module"`
	Args       []string    `json:"args"`
	Input      goldenInput `json:"input"`
	Seed       string      `json:"seed"`
	Limits     limits      `json:"limits"`
	End        sandbox.End `json:"end"`
	Code       uint32      `json:"code"`
	Fuel       uint64      `json:"fuel"`
	Segments   int         `json:"segments"`
	Transcript string      `json:"transcript"`
	Output     string      `json:"output"`
	dir        string
}

type limits struct {
	TaskFuel    uint64 `json:"task_fuel"`
	SegmentFuel uint64 `json:"segment_fuel"`
	MemoryPages uint32 `json:"memory_pages"`
	OutputBytes uint32 `json:"output_bytes"`
}

// goldenInput is a file's name (empty: no input) or the rule of a generated one.
type goldenInput struct {
	file string
	rule *repeatRule
}

type repeatRule struct {
	Repeat string `json:"repeat"`
	Bytes  int    `json:"bytes"`
}

func (in *goldenInput) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &in.file)
	}
	return strict(b, &in.rule)
}

func (in goldenInput) MarshalJSON() ([]byte, error) {
	if in.rule != nil {
		return json.Marshal(in.rule)
	}
	return json.Marshal(in.file)
}

func (in goldenInput) read(dir string) ([]byte, error) {
	if r := in.rule; r != nil {
		return bytes.Repeat([]byte(r.Repeat), r.Bytes/len(r.Repeat)+1)[:r.Bytes], nil
	}
	if in.file == "" {
		return nil, nil
	}
	return os.ReadFile(filepath.Join(dir, in.file))
}

func strict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// modules are the folders and names of all metered modules here.
func modules(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*/*.metered.wasm", "hostile/*/*.metered.wasm"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func readCases(t *testing.T, dir string) (cases []*goldenCase) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err == nil {
		err = strict(data, &cases)
	}
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	for _, c := range cases {
		c.dir = dir
	}
	return cases
}

// TestGolden runs every case of every payload on both engines, and compares the
// outputs with independent computations.
func TestGolden(t *testing.T) {
	dirs := map[string]bool{}
	for _, path := range modules(t) {
		dirs[filepath.Dir(path)] = true
	}
	compiler, interpreter := engine(t, false), engine(t, true)
	cases := 0
	for dir := range dirs {
		all := readCases(t, dir)
		cases += len(all)
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			for _, c := range all {
				t.Run(c.Name, func(t *testing.T) { c.test(t, compiler, interpreter) })
			}
			if *update {
				writeCases(t, dir, all)
			}
		})
	}
	if len(dirs) != wantFolders || cases != wantCases {
		t.Errorf("%d folders with %d cases; %d with %d are wanted", len(dirs), cases, wantFolders, wantCases)
	}
}

func (c *goldenCase) test(t *testing.T, compiler, interpreter *sandbox.Engine) {
	input, err := c.Input.read(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	o := c.run(t, compiler, input)
	if *update {
		c.take(t, &o)
	}
	c.compare(t, "compiler", &o)
	if c.Fuel <= slow {
		again := c.run(t, interpreter, input)
		c.compare(t, "interpreter", &again)
	} else {
		t.Logf("not run in the interpreter: %d fuel, over %d", c.Fuel, slow)
	}
	if check := checks[filepath.Join(c.dir, c.Module)]; check != nil && o.End == sandbox.Exit && o.Code == 0 {
		if want := check(t, c, input); !bytes.Equal(o.Output, want) {
			t.Errorf("an independent computation gives\n%.500q, the module\n%.500q", want, o.Output)
		}
	}
}

func engine(t *testing.T, interpreter bool) *sandbox.Engine {
	t.Helper()
	ctx := context.Background()
	e, err := sandbox.New(ctx, &sandbox.Options{Interpreter: interpreter, Modules: 100})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(ctx) })
	return e
}

func (c *goldenCase) run(t *testing.T, e *sandbox.Engine, input []byte) sandbox.Outcome {
	t.Helper()
	module, err := os.ReadFile(filepath.Join(c.dir, c.Module))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := hex.DecodeString(c.Seed)
	if err != nil || len(seed) != 32 {
		t.Fatalf("seed %q: want 64 hex digits", c.Seed)
	}
	o, err := e.Run(context.Background(), sandbox.Task{Module: module, Input: input, Args: c.Args, Seed: [32]byte(seed), Limits: sandbox.Limits{
		Fuel: c.Limits.TaskFuel, SegmentFuel: c.Limits.SegmentFuel, MemoryPages: c.Limits.MemoryPages, OutputBytes: c.Limits.OutputBytes}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (c *goldenCase) compare(t *testing.T, engine string, o *sandbox.Outcome) {
	t.Helper()
	got := fmt.Sprint(o.End, o.Code, o.Fuel, len(o.Links), o.Transcript())
	if want := fmt.Sprint(c.End, c.Code, c.Fuel, c.Segments, " ", c.Transcript); got != want {
		t.Errorf("%s: end, code, fuel, segments, transcript:\n%s, want\n%s\n%s\n%s", engine, got, want, o.Detail, o.Log)
	}
	if sum, ok := strings.CutPrefix(c.Output, "sha256:"); ok {
		if canon.Sum(o.Output).String() != sum {
			t.Errorf("%s: output of %d bytes with SHA-256 %s, want %s", engine, len(o.Output), canon.Sum(o.Output), sum)
		}
		return
	}
	want, err := os.ReadFile(filepath.Join(c.dir, c.Output))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(o.Output, want) {
		t.Errorf("%s: output\n%.500q, want\n%.500q", engine, o.Output, want)
	}
}

// take makes the outcome the golden one.
func (c *goldenCase) take(t *testing.T, o *sandbox.Outcome) {
	t.Helper()
	if !o.End.Voted() {
		t.Fatalf("%s: %s", o.End, o.Detail)
	}
	c.End, c.Code, c.Fuel, c.Segments, c.Transcript = o.End, o.Code, o.Fuel, len(o.Links), o.Transcript().String()
	if strings.HasPrefix(c.Output, "sha256:") {
		c.Output = "sha256:" + canon.Sum(o.Output).String()
	} else if err := os.WriteFile(filepath.Join(c.dir, c.Output), o.Output, 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeCases(t *testing.T, dir string, cases []*goldenCase) {
	t.Helper()
	for _, c := range cases {
		if c.Args == nil {
			c.Args = []string{}
		}
	}
	data, err := json.MarshalIndent(cases, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "golden.json"), append(data, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryModuleHasCases makes sure that no module is without a golden case,
// and that cases of segments are there where a module makes them.
func TestEveryModuleHasCases(t *testing.T) {
	for _, path := range modules(t) {
		dir, module := filepath.Split(path)
		cases := slices.DeleteFunc(readCases(t, filepath.Clean(dir)), func(c *goldenCase) bool { return c.Module != module })
		if len(cases) == 0 {
			t.Errorf("%s has no golden case", path)
			continue
		}
		code, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		many := slices.ContainsFunc(cases, func(c *goldenCase) bool { return c.Segments > 1 })
		if bytes.Contains(code, []byte("\x0bsegment_due")) && !many {
			t.Errorf("%s makes segments, and no golden case has more than one", path)
		}
	}
}
