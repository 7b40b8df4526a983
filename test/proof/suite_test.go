// Package proof holds metered modules against what other people made: the
// WebAssembly specification's suite, and modules that Binaryen makes up. They
// run on three engines: wazero's compiler, its interpreter, and V8.
package proof

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// command is one command of the suite, as wast2json writes it.
type command struct {
	Type, Name, As, Filename, Text string
	Line                           int
	ModuleType                     string `json:"module_type"`
	Action                         struct {
		Type, Module, Field string
		Args                []constant
	}
	Expected []constant
}

// constant is an argument or an expected result of the suite.
type constant struct {
	Type  string
	Lane  string `json:"lane_type"`
	Value any
}

// suiteDir is where the suite lies: in wazero's Go module.
func suiteDir(t *testing.T) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("looking for the specification's suite: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest")
}

func suiteCommands(t *testing.T, file string) []command {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct{ Commands []command }
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	return suite.Commands
}

// argument turns the suite's text into bits.
func (c constant) argument() (value, error) {
	if c.Type == "externref" || c.Type == "funcref" {
		return value{Type: c.Type, Lo: fmt.Sprint(c.Value)}, nil
	}
	var lo, hi uint64
	lanes, width := c.lanes()
	for i, lane := range lanes {
		n, err := bits(lane, width)
		if err != nil {
			return value{}, err
		}
		if at := i * width; at < 64 {
			lo |= n << at
		} else {
			hi |= n << (at - 64)
		}
	}
	return value{Type: c.Type, Lo: fmt.Sprintf("%#x", lo), Hi: fmt.Sprintf("%#x", hi)}, nil
}

// bits reads a number, signed or not, of so many bits.
func bits(text string, width int) (uint64, error) {
	if strings.HasPrefix(text, "-") {
		n, err := strconv.ParseInt(text, 10, 64)
		return uint64(n) & (math.MaxUint64 >> (64 - width)), err
	}
	return strconv.ParseUint(text, 10, width)
}

// lanes are the parts of a vector, or the one of a number, and their width.
func (c constant) lanes() ([]string, int) {
	kind := c.Type
	if c.Lane != "" {
		kind = c.Lane
	}
	width, err := strconv.Atoi(kind[1:])
	if err != nil {
		return nil, 0
	}
	list, ok := c.Value.([]any)
	if !ok {
		return []string{fmt.Sprint(c.Value)}, width
	}
	var lanes []string
	for _, v := range list {
		lanes = append(lanes, fmt.Sprint(v))
	}
	return lanes, width
}

// matches tells whether a result is what the suite wants.
func (c constant) matches(got value) bool {
	if c.Type == "externref" || c.Type == "funcref" {
		return c.Value == nil || got.Lo == fmt.Sprint(c.Value)
	}
	lo, hi := got.halves()
	lanes, width := c.lanes()
	for i, want := range lanes {
		n := lo
		if at := i * width; at < 64 {
			n >>= at
		} else {
			n = hi >> (at - 64)
		}
		if !laneMatches(want, n&(math.MaxUint64>>(64-width)), width) {
			return false
		}
	}
	return len(lanes) > 0
}

// laneMatches compares bits. Where the suite allows NaNs of any bits, the metered
// module's is the positive canonical one; the sign of a canonical one may be
// changed by neg.
func laneMatches(want string, got uint64, width int) bool {
	switch want {
	case "nan:canonical", "nan:arithmetic":
		canonical := uint64(0x7ff8000000000000)
		if width == 32 {
			canonical = 0x7fc00000
		}
		return got == canonical || want == "nan:canonical" && got == canonical|1<<(width-1)
	}
	n, err := bits(want, width)
	return err == nil && n == got
}
