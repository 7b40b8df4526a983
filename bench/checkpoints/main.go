// Command checkpoints shows how much of visitors' time is kept, as a function
// of how often they send checkpoints: docs/checkpoints.md. The lanes are lent by
// the hub's real code (internal/job), on a virtual clock.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/countersign/countersign/internal/interval"
)

var (
	visits  = flag.Int("visits", 4000, "visits in each simulation")
	tau     = flag.Duration("visit", time.Minute, "how long a visit lasts in the mean")
	segment = flag.Duration("segment", time.Second, "how long a segment takes in the mean")
	work    = flag.Duration("task", 10*time.Minute, "how long a task takes")
	seed    = flag.Uint64("seed", 1, "of all randomness")
	svg     = flag.String("svg", "", "draw the curves into this `file`")
)

// costs are the δ of the columns.
var costs = []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond, time.Second, 5 * time.Second}

// intervals are the T of the rows.
var intervals = []time.Duration{1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 240}

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	fmt.Printf("Percent of visitors' time that is kept: %d visits of %v in the mean, tasks of %v in segments of %v, seed %d.\n", *visits, *tau, *work, *segment, *seed)
	fmt.Printf("In brackets what the formula gives. The hub keeps one every %v of a lease at most.\n\n", interval.Least)
	head, line := "| T |", "| --- |"
	for _, delta := range costs {
		head, line = head+fmt.Sprintf(" δ = %v |", delta), line+" --- |"
	}
	fmt.Println(head + "\n" + line)
	curves := make([][]float64, len(costs))
	for _, n := range intervals {
		row := fmt.Sprintf("| %d s |", n)
		for i, delta := range costs {
			kept := simulate(setting{every: n * time.Second, cost: delta})
			curves[i] = append(curves[i], kept)
			row += cell(kept, n*time.Second, delta)
		}
		fmt.Println(row)
	}
	best := make([]float64, len(costs))
	rows := []struct {
		name string
		s    setting
	}{{"**T of the formula**", setting{}}, {"and a last one from half of those who leave", setting{last: 0.5}}, {"and a last one from all who leave", setting{last: 1}}}
	for k, r := range rows {
		row := "| " + r.name + " |"
		for i, delta := range costs {
			r.s.cost, r.s.every = delta, interval.Every(delta, *tau)
			kept := simulate(r.s)
			if k == 0 {
				best[i] = kept
				row += fmt.Sprintf(" %.1f s:", r.s.every.Seconds())
			}
			row += fmt.Sprintf(" **%.1f** |", 100*kept)
		}
		fmt.Println(row)
	}
	fmt.Printf("| never |")
	for range costs {
		fmt.Printf(" %.1f |", 100*simulate(setting{every: 1 << 60}))
	}
	fmt.Println()
	if *svg == "" {
		return nil
	}
	return os.WriteFile(*svg, draw(curves, best), 0o644)
}

func cell(kept float64, every, delta time.Duration) string {
	return fmt.Sprintf(" %.1f (%.1f) |", 100*kept, 100*expected(every, delta))
}
