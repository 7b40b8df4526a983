// Command meter measures what metering costs: every kernel, metered and not, on
// wazero, on V8 in node and in Chromium and on wasmtime, and beside it wasmtime's own
// fuel and epochs on the same modules in the same run. It prints a table of ratios of
// least times of several runs that take turns, each the median of several places in
// memory, and one of the lowest and highest of those.
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
	rounds := flag.Int("rounds", 7, "runs of each side and place, of which the quickest counts")
	only := flag.String("kernel", "", "only kernels whose name contains this")
	places := flag.Int("places", 7, "places in memory to measure each kernel in")
	flag.Parse()
	if err := bench(*rounds, *places, *only); err != nil {
		fmt.Fprintln(os.Stderr, "meter:", err)
		os.Exit(1)
	}
}

func bench(rounds, places int, only string) error {
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
	t := table{places: places, all: map[string][]float64{}, w: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight), columns: []column{
		{"wazero", func(s, m []byte) (float64, error) { return turns(rounds, s, m, plainWazero, meteredWazero) }},
		{"node", node.compare},
		{"Chromium", chromium.compare},
		{"wasmtime", func(s, m []byte) (float64, error) { return turns(rounds, s, m, wasmtime(""), wasmtime("")) }},
		{"its fuel", func(s, _ []byte) (float64, error) { return turns(rounds, s, s, wasmtime(""), wasmtime("fuel")) }},
		{"its epochs", func(s, _ []byte) (float64, error) { return turns(rounds, s, s, wasmtime(""), wasmtime("epoch")) }},
	}}
	t.head("size")
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
	places  int
	all     map[string][]float64
	ranges  []string // rows of the second table
}

func (t *table) head(first string) {
	fmt.Fprintf(t.w, "kernel\t%s\t", first)
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
	ratios := make([][]float64, len(t.columns))
	for place := range t.places {
		if place > 0 {
			if source, err = moved(source); err == nil {
				module, _, err = meter.Rewrite(source, nil)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		for i, c := range t.columns {
			r, err := c.compare(source, module)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", name, c.name, err)
			}
			ratios[i] = append(ratios[i], r)
		}
	}
	ranges := name + "\t\t"
	for i, c := range t.columns {
		slices.Sort(ratios[i])
		t.cell(c.name, ratios[i][t.places/2])
		ranges += fmt.Sprintf("%.3f–%.3f\t", ratios[i][0], ratios[i][t.places-1])
	}
	t.ranges = append(t.ranges, ranges)
	fmt.Fprintln(t.w)
	return nil
}

func geometricMean(all []float64) float64 {
	sum := 0.0
	for _, r := range all {
		sum += math.Log(r)
	}
	return math.Exp(sum / float64(len(all)))
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
		fmt.Fprintf(t.w, "%.3f\t", geometricMean(t.all[n]))
	}
	fmt.Fprint(t.w, "\nworst\t")
	for _, n := range names {
		fmt.Fprintf(t.w, "%.3f\t", slices.MaxFunc(t.all[n], cmp.Compare[float64]))
	}
	fmt.Fprintln(t.w)
	if err := t.w.Flush(); err != nil {
		return err
	}
	fmt.Printf("\nThe lowest and the highest ratio of %d places in memory:\n", t.places)
	t.head("")
	for _, r := range t.ranges {
		fmt.Fprintln(t.w, r)
	}
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
