package payloads_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/sandbox"
)

// TestHostileEnds states how each hostile payload ends, so that no -update can
// make another end the golden one.
func TestHostileEnds(t *testing.T) {
	ends := map[string]sandbox.End{
		"loop/fuel": sandbox.Fuel, "loop/segment": sandbox.Fuel, "recursion/trap": sandbox.Trap, "memory/trap": sandbox.Trap,
		"output/output": sandbox.Output, "output/none-allowed": sandbox.Output, "output/nothing": sandbox.Fuel, "progress/fuel": sandbox.Fuel,
		"checkpoint/fuel": sandbox.Fuel, "checkpoint/full": sandbox.Fuel, "checkpoint/large": sandbox.State, "checkpoint/segments": sandbox.State,
		"nan/nan": sandbox.Exit, "host/exit": sandbox.Exit, "host/state": sandbox.State, "clock/clock": sandbox.Exit,
	}
	files, err := filepath.Glob("hostile/*/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		for _, c := range readCases(t, filepath.Dir(f)) {
			name := filepath.Base(c.dir) + "/" + c.Name
			if want, ok := ends[name]; !ok || c.End != want {
				t.Errorf("%s ends in %s, want %s", name, c.End, want)
			}
			seen++
		}
	}
	if seen != len(ends) {
		t.Errorf("%d cases, want %d", seen, len(ends))
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

// TestHostProbesAll makes sure that host calls every function that a module may
// import, in both segments. It hashes no answer of the two that end a segment.
func TestHostProbesAll(t *testing.T) {
	var want, got []string
	for _, f := range abi.All() {
		if f.Name != "refill" && f.Name != "checkpoint" && f.Name != "proc_exit" {
			want = append(want, f.Name)
		}
	}
	all := lines(t, "hostile/host/exit.txt")
	for _, half := range [][]string{all[:len(all)/2], all[len(all)/2:]} {
		got = nil
		for _, line := range half {
			name, hash, _ := strings.Cut(line, " ")
			if len(hash) != 16 {
				t.Errorf("line %q", line)
			}
			got = append(got, name)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(slices.Compact(got), want) {
			t.Errorf("host calls %v, want %v", got, want)
		}
	}
}

// TestNaNs looks at what nan wrote by the rules: a computed NaN is the canonical
// one; operations on bits keep all but the sign.
func TestNaNs(t *testing.T) {
	const sign, canonical, canonical32 = 1 << 63, 0x7ff8000000000000, 0x7fc00000
	nans := []uint64{0x7ff8000000000000, 0xfff8000000000000, 0x7ff8000000000001, 0xfff4000000000123, 0x7ff0000000000001, 0xffffffffffffffff}
	next := 0
	for _, line := range lines(t, "hostile/nan/output.txt") {
		what, hex, _ := strings.Cut(line, " ")
		if rest, short, ok := strings.Cut(hex, " "); ok { // "0/0 f32 bits"
			what, hex = what+" "+rest, short
		}
		b, err := strconv.ParseUint(hex, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		wide := strings.HasPrefix(what, "f64x2") || !strings.Contains(what, "32")
		ok := true
		switch {
		case what == "=x":
			ok = b == nans[next]
			next++
		case what == "=-x":
			ok = b == nans[next-1]^sign
		case what == "=abs":
			ok = b == nans[next-1]&^sign
		case what == "=copysign":
			ok = b == nans[next-1]|sign
		case strings.HasPrefix(what, "="): // the same for 32 bits and for lanes
		case wide:
			ok = b == canonical || b<<1 <= 0x7ff0<<49
		default:
			for _, lane := range []uint32{uint32(b), uint32(b >> 32)} {
				ok = ok && (lane == canonical32 || lane<<1 <= 0x7f80<<17)
			}
		}
		if !ok {
			t.Errorf("%s gives %016x", what, b)
		}
	}
	if next != len(nans) {
		t.Errorf("%d NaNs, want %d", next, len(nans))
	}
}
