package meter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/payloads"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestGolden compares the text of rewritten modules with what a person has
// read and found right.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.wat")
	if err != nil || len(files) != 13 {
		t.Fatalf("%d golden files, 13 are expected (%v)", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := Rewrite(assemble(t, string(src)), &Options{MemoryPages: 16})
			if err != nil {
				t.Fatal(err)
			}
			path := inFile(t, out)
			tool(t, "wasm-validate", "--enable-extended-const", path)
			got := tool(t, "wasm2wat", "--enable-extended-const", path)
			golden := strings.TrimSuffix(f, ".wat") + ".metered"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("rewritten text differs from %s:\n%s", golden, got)
			}
		})
	}
}

func TestRewriteDeterministic(t *testing.T) {
	first, _, err := Rewrite(payloads.FactorSource, &Options{MemoryPages: payloads.Pages})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, _, err := Rewrite(payloads.FactorSource, &Options{MemoryPages: payloads.Pages})
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("rewriting again gives other bytes (%v)", err)
		}
	}
}

// TestPayloads makes sure that the committed metered modules are what this code
// makes of the committed sources, and that they cannot be metered twice.
func TestPayloads(t *testing.T) {
	for name, p := range map[string][2][]byte{
		"factor": {payloads.FactorSource, payloads.FactorModule},
		"loop":   {payloads.LoopSource, payloads.LoopModule},
	} {
		got, report, err := Rewrite(p[0], &Options{MemoryPages: payloads.Pages})
		if err != nil || !bytes.Equal(got, p[1]) {
			t.Errorf("%s: the committed module is stale (%v): make payloads", name, err)
			continue
		}
		if report.ModuleBytes != len(got) || report.Charges < report.Checks || report.Checks < report.Functions {
			t.Errorf("%s: report %+v", name, report)
		}
		tool(t, "wasm-validate", inFile(t, got))
		if metered, err := Metered(got); err != nil || !metered {
			t.Errorf("%s: metered %v, %v", name, metered, err)
		}
		if metered, err := Metered(p[0]); err != nil || metered {
			t.Errorf("%s, source: metered %v, %v", name, metered, err)
		}
		if _, _, err := Rewrite(got, nil); err == nil || !strings.Contains(err.Error(), "metered already") {
			t.Errorf("%s: metered twice: %v", name, err)
		}
	}
}

// TestTruncated cuts a module at every byte. Only a cut between the last
// sections at its end leaves a module.
func TestTruncated(t *testing.T) {
	whole := sectionEnds(payloads.FactorSource)
	for n := range payloads.FactorSource {
		_, _, err := Rewrite(payloads.FactorSource[:n], nil)
		var e *wasm.Error
		if !errors.As(err, &e) && !whole[n] {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// sectionEnds has where a section ends without which a module can be whole:
// code that needs no data, data, custom sections.
func sectionEnds(module []byte) map[int]bool {
	ends := map[int]bool{}
	for at := 8; at < len(module); {
		id := module[at]
		size, n := binary.Uvarint(module[at+1:])
		at += 1 + n + int(size)
		ends[at] = id == 0 || id >= 10
	}
	return ends
}
