// Command meter measures what metering costs: every kernel, metered and not, on
// wazero and on V8, and beside it wasmtime's own fuel and epochs on the same
// modules in the same run. It prints one table of ratios of times; each is the
// median over pairs of runs, one right after the other.
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

	"github.com/countersign/countersign/meter"
)

// A runner runs a module once and returns seconds and what it printed.
type runner func(module []byte) (seconds float64, output string, err error)

// A column compares two ways to run a kernel.
type column struct {
	name        string
	base, other runner
	metered     bool // other runs the metered module
}

func main() {
	rounds := flag.Int("rounds", 5, "pairs of runs for each ratio")
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
	columns := []column{
		{"wazero", plainWazero, plainWazero, true},
		{"V8", plainNode, plainNode, true},
		{"wasmtime fuel", wasmtime(""), wasmtime("fuel"), false},
		{"wasmtime epoch", wasmtime(""), wasmtime("epoch"), false},
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "kernel\tsize\t")
	for _, c := range columns {
		fmt.Fprintf(w, "%s\t", c.name)
	}
	fmt.Fprintln(w)
	all := map[string][]float64{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".wasm")
		if !strings.Contains(name, only) {
			continue
		}
		if err := row(w, name, f, columns, rounds, all); err != nil {
			return err
		}
	}
	means(w, columns, all)
	return w.Flush()
}

func row(w *tabwriter.Writer, name, file string, columns []column, rounds int, all map[string][]float64) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	module, _, err := meter.Rewrite(source, nil)
	if err != nil {
		fmt.Fprintf(w, "%s\trefused: %v\t\n", name, err)
		return nil
	}
	growth := float64(len(module)) / float64(len(source))
	all["size"] = append(all["size"], growth)
	fmt.Fprintf(w, "%s\t%.2f\t", name, growth)
	for _, c := range columns {
		other := source
		if c.metered {
			other = module
		}
		r, err := ratio(c, source, other, rounds)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", name, c.name, err)
		}
		all[c.name] = append(all[c.name], r)
		fmt.Fprintf(w, "%.3f\t", r)
	}
	fmt.Fprintln(w)
	return nil
}

// ratio is the median over pairs, after one pair that warms caches up. Both
// sides must print the same.
func ratio(c column, base, other []byte, rounds int) (float64, error) {
	var ratios []float64
	for i := range rounds + 1 {
		b, out1, err := c.base(base)
		if err != nil {
			return 0, err
		}
		o, out2, err := c.other(other)
		if err != nil {
			return 0, err
		}
		if out1 != out2 || out1 == "" {
			return 0, fmt.Errorf("outputs differ: %q and %q", out1, out2)
		}
		if i > 0 {
			ratios = append(ratios, o/b)
		}
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2], nil
}

func means(w *tabwriter.Writer, columns []column, all map[string][]float64) {
	names := []string{"size"}
	for _, c := range columns {
		names = append(names, c.name)
	}
	fmt.Fprint(w, "geometric mean\t")
	for _, n := range names {
		sum := 0.0
		for _, r := range all[n] {
			sum += math.Log(r)
		}
		fmt.Fprintf(w, "%.3f\t", math.Exp(sum/float64(len(all[n]))))
	}
	fmt.Fprint(w, "\nworst\t")
	for _, n := range names {
		fmt.Fprintf(w, "%.3f\t", slices.MaxFunc(all[n], cmp.Compare[float64]))
	}
	fmt.Fprintln(w)
}
