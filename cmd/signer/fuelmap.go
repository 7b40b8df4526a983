package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/meter"
)

// refusal is why a module is not metered, for programs.
type refusal struct {
	Feature  string `json:"feature,omitempty"` // that is not accepted, or nothing where the module is malformed
	Function *int   `json:"function,omitempty"`
	Name     string `json:"name,omitempty"` // of the function; not trusted
	Offset   int    `json:"offset"`         // in bytes of the file
	Message  string `json:"message"`
}

// refusalOf is what is known of an error of package meter; nil if it is another's.
func refusalOf(err error) *refusal {
	var e *meter.Error
	if !errors.As(err, &e) {
		return nil
	}
	r := &refusal{Feature: string(e.Feature), Name: e.Name, Offset: e.Offset, Message: err.Error()}
	if e.Func >= 0 {
		r.Function = &e.Func
	}
	return r
}

func (r *refusal) print(w io.Writer) {
	feature, where := r.Feature, "the module as a whole"
	if feature == "" {
		feature = "none: the module is malformed or over a limit"
	}
	if r.Function != nil {
		where = functionName(uint32(*r.Function), r.Name)
	}
	fields(w, "refused", r.Message, "feature", feature, "function", where, "offset", fmt.Sprintf("0x%x", r.Offset))
}

func functionName(index uint32, name string) string {
	if name == "" {
		return fmt.Sprint(index)
	}
	return fmt.Sprintf("%d (%s)", index, wasm.Printable(name))
}

// printReport says what metering added and what the code costs.
func printReport(w io.Writer, in *meter.Inspection) {
	r := &in.Report
	counts := []struct {
		what  string
		count int
		why   string
	}{
		{"charges", r.Charges, "metered blocks that cost something"},
		{"checks", r.Checks, "of them, where functions and loops begin"},
		{"counted", r.Counted, "loops that are charged once ahead where the balance is enough"},
		{"stack", r.Stacked, "functions that pay for the call stack"},
		{"nan", r.NaNs, "places where a NaN is made canonical"},
		{"bulk", r.Bulk, "bulk operations and grow, paid before they run"},
		{"stubs", len(r.Imports), strings.Join(r.Imports, " ")},
	}
	fmt.Fprintln(w, "\nInjected:")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range counts {
		fmt.Fprintf(t, "  %s\t%6d\t  %s\n", c.what, c.count, c.why)
	}
	t.Flush()
	var source, metered int
	for _, f := range in.Functions {
		source, metered = source+f.Source, metered+f.Metered
	}
	fmt.Fprintf(w, "\nSize: the module from %d to %d bytes (×%.2f), its code from %d to %d (×%.2f).\n",
		r.SourceBytes, r.ModuleBytes, ratio(r.ModuleBytes, r.SourceBytes), source, metered, ratio(metered, source))
	fmt.Fprintln(w, "Cost, the most expensive blocks:")
	for _, f := range dearest(in.Functions, 5) {
		fmt.Fprintf(w, "  %6d fuel in function %s\n", f.Most, functionName(f.Index, f.Name))
	}
}

func ratio(a, b int) float64 { return float64(a) / float64(max(b, 1)) }

// dearest are the functions with the n most expensive blocks.
func dearest(all []meter.Function, n int) []meter.Function {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b meter.Function) int { return cmp.Compare(b.Most, a.Most) })
	return all[:min(n, len(all))]
}

// printMap prints a line for every function.
func printMap(w io.Writer, all []meter.Function) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\nfunction\tbytes\tmetered\tblocks\tentry\tmost\tloops\tstack\t  name")
	for _, f := range all {
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", f.Index, f.Source, f.Metered, f.Blocks, f.Entry, f.Most, f.Loops, f.Stack, wasm.Printable(f.Name))
	}
	t.Flush()
}
