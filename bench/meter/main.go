// Command meter measures what metering costs: every kernel, metered and not, on
// wazero, on V8 in node and in Chromium, and beside it wasmtime's own fuel and
// epochs on the same modules in the same run. It prints one table of ratios; each
// is of the least times of several runs that take turns.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign/meter"
)

// A column compares two ways to run a kernel: it returns the ratio of their times.
type column struct {
	name    string
	compare func(source, module []byte) (float64, error)
}

func main() {
	rounds := flag.Int("rounds", 7, "runs of each side, of which the quickest counts")
	only := flag.String("kernel", "", "only kernels whose name contains this")
	flag.Parse()
	if err := bench(*rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "meter:", err)
		os.Exit(1)
	}
}

func bench(rounds int, only string) error {
	files, err := filepath.Glob("kernels/*.wasm")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no kernels here: run this in bench/meter (%v)", err)
	}
	chromium, err := startJS("chromium.mjs", rounds)
	if err != nil {
		return err
	}
	defer chromium.close()
	node, err := startJS("node.mjs", rounds)
	if err != nil {
		return err
	}
	defer node.close()
	t := table{all: map[string][]float64{}, w: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight), columns: []column{
		{"wazero", func(s, m []byte) (float64, error) { return turns(rounds, s, m, plainWazero, meteredWazero) }},
		{"node", node.compare},
		{"Chromium", chromium.compare},
		{"wasmtime fuel", func(s, _ []byte) (float64, error) { return turns(rounds, s, s, wasmtime(""), wasmtime("fuel")) }},
		{"wasmtime epoch", func(s, _ []byte) (float64, error) { return turns(rounds, s, s, wasmtime(""), wasmtime("epoch")) }},
	}}
	t.head()
	for _, f := range files {
		if !strings.Contains(f, only) {
			continue
		}
		if err := t.row(f); err != nil {
			return err
		}
	}
	return t.means()
}

type table struct {
	w       *tabwriter.Writer
	columns []column
	all     map[string][]float64
}

func (t *table) head() {
	fmt.Fprint(t.w, "kernel\tsize\t")
	for _, c := range t.columns {
		fmt.Fprintf(t.w, "%s\t", c.name)
	}
	fmt.Fprintln(t.w)
}

func (t *table) row(file string) error {
	name := strings.TrimSuffix(filepath.Base(file), ".wasm")
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	module, _, err := meter.Rewrite(source, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(t.w, "%s\t", name)
	t.cell("size", float64(len(module))/float64(len(source)))
	for _, c := range t.columns {
		r, err := c.compare(source, module)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", name, c.name, err)
		}
		t.cell(c.name, r)
	}
	fmt.Fprintln(t.w)
	return nil
}

func (t *table) cell(column string, r float64) {
	t.all[column] = append(t.all[column], r)
	fmt.Fprintf(t.w, "%.3f\t", r)
}

// means prints the last rows. Of the kernels, the size that counts is that of all
// together, which the code that every module gets hardly changes.
func (t *table) means() error {
	names := []string{"size"}
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	fmt.Fprint(t.w, "geometric mean\t")
	for _, n := range names {
		sum := 0.0
		for _, r := range t.all[n] {
			sum += math.Log(r)
		}
		fmt.Fprintf(t.w, "%.3f\t", math.Exp(sum/float64(len(t.all[n]))))
	}
	fmt.Fprint(t.w, "\nworst\t")
	for _, n := range names {
		fmt.Fprintf(t.w, "%.3f\t", slices.MaxFunc(t.all[n], cmp.Compare[float64]))
	}
	fmt.Fprintln(t.w)
	return t.w.Flush()
}

// turns runs two modules in turn, after a run of each that does not count, and
// returns the ratio of the second's least time to the first's. They must print
// the same.
func turns(rounds int, a, b []byte, runA, runB runner) (float64, error) {
	least := [2]float64{math.Inf(1), math.Inf(1)}
	for i := range rounds + 1 {
		x, out1, err := runA(a)
		if err != nil {
			return 0, err
		}
		y, out2, err := runB(b)
		if err != nil {
			return 0, err
		}
		if out1 != out2 || out1 == "" {
			return 0, fmt.Errorf("outputs differ: %q and %q", out1, out2)
		}
		if i > 0 {
			least[0], least[1] = min(least[0], x), min(least[1], y)
		}
	}
	return least[1] / least[0], nil
}

// A runner runs a module once and returns seconds and what it printed.
type runner func(module []byte) (seconds float64, output string, err error)

func since(start time.Time) float64 { return time.Since(start).Seconds() }
