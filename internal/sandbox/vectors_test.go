package sandbox

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/abi"
)

// vector is one file; testdata/vectors/abi/README.md says what is what.
type vector struct {
	Name        string
	About       string
	Seed        string
	Args        []string
	Input       []byte
	OutputBytes uint32 `json:"output_bytes"`
	Memory      []patch
	Segment     uint64
	State       []byte
	Used        uint64
	SegmentFuel uint64 `json:"segment_fuel"`
	Calls       []struct {
		Fn     string
		Args   []string
		Errno  *uint32
		Answer *uint32
		End    End
		Code   uint32
		State  []byte
		Memory []patch
	}
	Charged     uint64
	Output, Log []byte
	Progress    []report
}

type patch struct {
	At  int
	Hex string
}

type report struct {
	Permille int
	Text     string
}

// flatMemory is a memory without a module.
type flatMemory []byte

func (m flatMemory) Size() uint32 { return uint32(len(m)) }

func (m flatMemory) Read(at, length uint32) ([]byte, bool) {
	if uint64(at)+uint64(length) > uint64(len(m)) {
		return nil, false
	}
	return m[at : at+length], true
}

func (m flatMemory) Write(at uint32, b []byte) bool {
	to, ok := m.Read(at, uint32(len(b)))
	copy(to, b)
	return ok
}

func (m flatMemory) patch(t *testing.T, patches []patch) {
	t.Helper()
	for _, p := range patches {
		b, err := hex.DecodeString(p.Hex)
		if err != nil || len(b) == 0 || !m.Write(uint32(p.At), b) {
			t.Fatalf("bad patch at %d: %v", p.At, err)
		}
	}
}

// flatCounter is a countersign_fuel without a module.
type flatCounter struct{ v uint64 }

func (c *flatCounter) Get() uint64  { return c.v }
func (c *flatCounter) Set(v uint64) { c.v = v }

func TestVectors(t *testing.T) {
	const dir = "../../testdata/vectors/abi"
	index, err := os.ReadFile(filepath.Join(dir, "INDEX"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%d\n", len(files)); got != string(index) {
		t.Fatalf("INDEX says %q, there are %q", index, got)
	}
	called := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&v); err != nil || v.Name != name {
				t.Fatalf("file of vector %q: %v", v.Name, err)
			}
			v.run(t, called)
		})
	}
	for _, f := range abi.All() {
		if !called[f.Name] && f.Name != abi.Refill {
			t.Errorf("no vector calls %s", f.Name)
		}
	}
}

func (v *vector) run(t *testing.T, called map[string]bool) {
	seed, err := hex.DecodeString(v.Seed)
	if err != nil || len(seed) != 32 {
		t.Fatalf("seed %q", v.Seed)
	}
	h := newHost(v.Input, v.Args, [32]byte(seed), v.OutputBytes)
	mem, want := make(flatMemory, 65536), make(flatMemory, 65536)
	const balance = 1 << 40
	fuel := &flatCounter{balance}
	h.mem, h.fuel = mem, fuel
	h.number, h.state = v.Segment, v.State
	h.due = func() bool { return v.SegmentFuel > 0 && v.Used+balance-fuel.v >= half(v.SegmentFuel) }
	reports := []report{}
	h.progress = func(permille int, text string) { reports = append(reports, report{permille, text}) }
	mem.patch(t, v.Memory)
	want.patch(t, v.Memory)

	for i, c := range v.Calls {
		called[c.Fn] = true
		got := h.call(lookup(t, c.Fn, len(c.Args)), numbers(t, c.Args))
		if h.end != c.End || h.code != c.Code {
			t.Fatalf("call %d, %s: end %q with code %d, want %q with %d", i, c.Fn, h.end, h.code, c.End, c.Code)
		}
		if !bytes.Equal(h.saved, c.State) {
			t.Errorf("call %d, %s: state %.100q, want %.100q", i, c.Fn, h.saved, c.State)
		}
		answer := c.Errno
		if c.Fn == "restore" || c.Fn == "segment_due" {
			answer = c.Answer
		}
		if (answer == nil) != (c.Fn == "progress" || c.End != "") {
			t.Fatalf("call %d, %s: the vector does not say how it ends", i, c.Fn)
		}
		if answer != nil && uint32(got) != *answer {
			t.Errorf("call %d, %s(%s): %d, want %d", i, c.Fn, strings.Join(c.Args, ", "), got, *answer)
		}
		want.patch(t, c.Memory)
		if at := differ(mem, want); at >= 0 {
			t.Fatalf("call %d, %s(%s): memory[%d] is %#x, want %#x", i, c.Fn, strings.Join(c.Args, ", "), at, mem[at], want[at])
		}
	}
	if got := balance - fuel.v; got != v.Charged {
		t.Errorf("charged %d, want %d", got, v.Charged)
	}
	if !bytes.Equal(h.output, v.Output) || !bytes.Equal(h.log, v.Log) {
		t.Errorf("output %.100q, log %.100q, want %.100q, %.100q", h.output, h.log, v.Output, v.Log)
	}
	if !reflect.DeepEqual(reports, v.Progress) {
		t.Errorf("reports %v, want %v", reports, v.Progress)
	}
}

func lookup(t *testing.T, name string, args int) abi.Func {
	t.Helper()
	f, ok := abi.Lookup(abi.WASI, name)
	if !ok {
		f, ok = abi.Lookup(abi.Countersign, name)
	}
	if !ok || len(f.Type.Params) != args {
		t.Fatalf("the ABI has no %s of %d arguments", name, args)
	}
	return f
}

func numbers(t *testing.T, args []string) []uint64 {
	t.Helper()
	v := make([]uint64, len(args))
	for i, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		v[i] = n
	}
	return v
}

func differ(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
