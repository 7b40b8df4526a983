package proof

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/meter"
)

var update = flag.Bool("update", false, "write the golden files of counts")

// TestSpecSuite rewrites every module of the suite that is accepted, and makes
// its assertions on the three engines: results, traps, and fuel that is the
// same after every step.
func TestSpecSuite(t *testing.T) {
	dir, tmp := suiteDir(t), t.TempDir()
	spectest := filepath.Join(dir, "testdata", "spectest.wasm")
	var golden, refusals strings.Builder
	for _, version := range []string{"v1", "v2"} {
		files, err := filepath.Glob(filepath.Join(dir, version, "testdata", "*.json"))
		if err != nil || len(files) < 50 {
			t.Fatalf("%s: %d files (%v)", version, len(files), err)
		}
		s := &suite{t: t, counts: map[string]int{}, tmp: filepath.Join(tmp, version), current: version == "v2"}
		if err := os.Mkdir(s.tmp, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			s.scripts = append(s.scripts, s.prepare(f))
		}
		s.run(spectest)
		golden.WriteString(s.table(version))
		for _, r := range s.refusals {
			fmt.Fprintf(&refusals, "%s %s\n", version, r)
		}
	}
	compareGolden(t, "testdata/spec-refusals.txt", refusals.String())
	compareGolden(t, "testdata/spec-counts.txt", golden.String())
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is no longer right (-update writes it):\n%s", file, got)
	}
}

// suite is one version of the specification's suite.
type suite struct {
	t       *testing.T
	counts  map[string]int
	tmp     string
	current bool // the version that meter goes by
	// Modules that are valid and refused, and what is said of each.
	refusals []string
	scripts  []*script
}

func (s *suite) table(version string) string {
	var names []string
	for n := range s.counts {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "%s %s: %d\n", version, n, s.counts[n])
	}
	return b.String()
}

// script is one file of the suite as a plan: a step for every command that is
// not about a refused module.
type script struct {
	file     string
	steps    []step
	commands []command // of the steps

	last    int // the module that commands mean which name none; -1: refused
	named   map[string]int
	refused map[string]bool // names under which refused modules would be
	names   map[string]int  // accepted modules by the name they are imported by
	users   map[int][]int   // which modules import from one
	shared  map[int]bool    // modules whose memory or table a refused one would have written to
}

func (s *suite) prepare(file string) *script {
	p := &script{file: file, last: -1, named: map[string]int{}, refused: map[string]bool{},
		names: map[string]int{}, users: map[int][]int{}, shared: map[int]bool{}}
	commands := suiteCommands(s.t, file)
	for i, c := range commands {
		switch c.Type {
		case "module":
			as := ""
			if i+1 < len(commands) && commands[i+1].Type == "register" {
				as = commands[i+1].As
			}
			s.module(p, c, as)
		case "register":
			s.counts["registered"]++
		case "assert_invalid", "assert_malformed":
			s.mustRefuse(p, c)
		case "assert_unlinkable", "assert_uninstantiable":
			if code, ok := s.rewrite(p, c, ""); ok {
				p.add(step{Op: "module", ID: len(p.steps), File: code}, c)
			}
		case "assert_return", "action", "assert_trap", "assert_exhaustion":
			s.action(p, c)
		default:
			s.t.Fatalf("%s line %d: command %q", file, c.Line, c.Type)
		}
	}
	return p
}

func (p *script) add(st step, c command) {
	// Slices so small that most steps need several refills.
	st.Refuel = 1000
	p.steps, p.commands = append(p.steps, st), append(p.commands, c)
}

func (s *suite) module(p *script, c command, as string) {
	p.last = -1
	code, ok := s.rewrite(p, c, as)
	if ok {
		p.last = len(p.steps)
		p.names[as] = p.last
		p.add(step{Op: "module", ID: p.last, File: code, As: as}, c)
	}
	if c.Name != "" {
		p.named[c.Name] = p.last
	}
}

// rewrite meters the module of a command into a file, or counts why not.
func (s *suite) rewrite(p *script, c command, as string) (string, bool) {
	source := s.read(p, c)
	out, m, err := rewrite(source)
	if err != nil {
		p.refuse(source, as)
		var e *meter.Error
		if !errors.As(err, &e) || e.Feature == "" {
			s.t.Errorf("%s line %d: %v", p.file, c.Line, err)
		} else {
			s.counts["modules refused, "+string(e.Feature)]++
			s.refusals = append(s.refusals, c.Filename+": "+err.Error())
		}
		return "", false
	}
	for _, im := range m.Imports {
		if p.refused[im.Module] {
			p.refused[as] = true
			s.counts["modules that import from refused ones"]++
			return "", false
		}
		if id, ok := p.names[im.Module]; ok {
			p.users[id] = append(p.users[id], len(p.steps))
			p.shared[len(p.steps)] = p.shared[len(p.steps)] || p.shared[id]
		}
	}
	s.counts["modules accepted"]++
	path := filepath.Join(s.tmp, c.Filename)
	if err := os.WriteFile(path, out, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path, true
}

// refuse notes that a module is not there, and which others it would have
// written to: those whose names stand in it, as imports.
func (p *script) refuse(source []byte, as string) {
	if as != "" {
		p.refused[as] = true
	}
	for name, id := range p.names {
		if name != "" && bytes.Contains(source, append([]byte{byte(len(name))}, name...)) {
			p.share(id)
		}
	}
}

// share marks a module, and those that reach it through their imports.
func (p *script) share(id int) {
	p.shared[id] = true
	for _, user := range p.users[id] {
		if !p.shared[user] {
			p.share(user)
		}
	}
}

// rewrite meters a module with as much memory as it may have.
func rewrite(source []byte) ([]byte, *wasm.Module, error) {
	m, err := wasm.Decode(source)
	if err != nil {
		return nil, nil, err
	}
	out, _, err := meter.Rewrite(source, &meter.Options{Library: true, MemoryPages: wasm.MaxPages})
	return out, m, err
}

func (s *suite) read(p *script, c command) []byte {
	source, err := os.ReadFile(filepath.Join(filepath.Dir(p.file), c.Filename))
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// mustRefuse checks that what the suite calls wrong is refused. Some of what
// was wrong in 1.0 is right in 2.0.
func (s *suite) mustRefuse(p *script, c command) {
	if c.ModuleType == "text" {
		return
	}
	_, _, err := meter.Rewrite(s.read(p, c), &meter.Options{Library: true, MemoryPages: wasm.MaxPages})
	switch {
	case err != nil:
		s.counts["wrong modules refused"]++
	case s.current:
		s.t.Errorf("%s line %d: rewritten, but is wrong: %s", p.file, c.Line, c.Text)
	default:
		s.counts["wrong modules of 1.0 that are right in 2.0"]++
	}
}

func (s *suite) action(p *script, c command) {
	id := p.last
	if c.Action.Module != "" {
		id = p.named[c.Action.Module]
	}
	if id < 0 {
		s.counts["assertions skipped, of refused modules"]++
		return
	}
	if p.shared[id] {
		s.counts["assertions skipped, on what refused modules share"]++
		return
	}
	st := step{Op: "call", ID: id, Field: c.Action.Field}
	if c.Action.Type == "get" {
		st.Op = "get"
	}
	for _, a := range c.Action.Args {
		v, err := a.argument()
		if err != nil {
			s.t.Fatalf("%s line %d: %v", p.file, c.Line, err)
		}
		st.Args = append(st.Args, v)
	}
	for _, e := range c.Expected {
		st.Types = append(st.Types, e.Type)
	}
	p.add(st, c)
}
