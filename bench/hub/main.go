// Command hub measures a hub over real sockets and a real disk: durable votes a
// second, how long a worker waits for its next lease, and what idle connections
// cost, beside an echo without any of it and a disk write for every vote.
//
//	go run ./bench/hub -hub bin/hub
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	hub     string
	python  string
	seconds time.Duration
	workers []int
	idle    []int
	stopped int

	villains, villain, address string
}

func main() {
	log.SetFlags(0)
	var opt options
	flag.StringVar(&opt.hub, "hub", "bin/hub", "the hub's program")
	flag.StringVar(&opt.python, "python", "/usr/bin/python3", "a Python with websockets; \"\": without this reference")
	flag.DurationVar(&opt.seconds, "for", 6*time.Second, "how long each row is measured")
	workers := flag.String("workers", "10,100,1000,10000", "workers of each row")
	idle := flag.String("idle", "10000,19000", "idle connections of each row; \"\": none")
	flag.IntVar(&opt.stopped, "stopped", 1000, "workers that are stopped; 0: without")
	flag.StringVar(&opt.villains, "hostile", "", "only this: honest workers beside these kinds of hostile clients, or all")
	flag.StringVar(&opt.villain, "villain", "", "be such a hostile client, for -for (this program starts itself so)")
	flag.StringVar(&opt.address, "address", "", "with -villain: the hub's")
	flag.Parse()
	opt.workers, opt.idle = numbers(*workers), numbers(*idle)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := opt.run(ctx); err != nil {
		log.Fatalf("bench/hub: %v", err)
	}
}

func (opt *options) run(ctx context.Context) error {
	switch {
	case opt.villain != "":
		return misbehave(ctx, opt.villain, opt.address, opt.seconds, os.Stdout)
	case opt.villains != "":
		return hostile(ctx, opt, os.Stdout)
	}
	return measure(ctx, opt, os.Stdout)
}

func numbers(list string) (all []int) {
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 20_000 {
			log.Fatalf("bench/hub: %q is no number of 1 to 20000", text)
		}
		all = append(all, n)
	}
	return all
}

func measure(ctx context.Context, opt *options, out io.Writer) error {
	fmt.Fprintf(out, "%d cores, %s %s/%s; hub and load on the same machine, %v a row\n\n", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, opt.seconds)
	best, err := votes(ctx, opt, out)
	if err != nil {
		return err
	}
	if err := references(ctx, opt, best, out); err != nil {
		return err
	}
	if opt.stopped > 0 {
		if err := stops(ctx, opt, out); err != nil {
			return err
		}
	}
	for _, n := range opt.idle {
		if err := idle(ctx, opt, n, out); err != nil {
			return fmt.Errorf("%d idle connections: %w", n, err)
		}
	}
	return nil
}

// votes prints a row for each number of workers, and returns the most votes a second.
func votes(ctx context.Context, opt *options, out io.Writer) (best float64, err error) {
	s, err := newStage(ctx, opt.hub)
	if err != nil {
		return 0, err
	}
	defer s.close()
	fmt.Fprintf(out, "%8s %8s %10s %10s %10s %10s %12s\n", "workers", "leases", "votes/s", "p50 ms", "p99 ms", "votes/frame", "hub cpu")
	for _, n := range opt.workers {
		r, err := s.grind(ctx, n, opt.seconds)
		if err != nil {
			return 0, fmt.Errorf("%d workers: %w", n, err)
		}
		fmt.Fprintf(out, "%8d %8d %10.0f %10.1f %10.1f %10.1f %11.0f%%\n", n, leasesOf(n), r.perSecond, r.p50, r.p99, r.perFrame, 100*r.hubCPU)
		best = max(best, r.perSecond)
	}
	return best, nil
}

func references(ctx context.Context, opt *options, best float64, out io.Writer) error {
	fmt.Fprintf(out, "\nreferences, in the same run, and what the best row above is of them\n")
	if opt.python != "" {
		n, err := echo(ctx, opt.python, opt.seconds)
		if err != nil {
			return fmt.Errorf("the echo in Python: %w", err)
		}
		fmt.Fprintf(out, "%-52s %10.0f/s %8.2f x\n", "Python asyncio + websockets: echo of a vote", n, best/n)
	}
	n, err := singles(opt.seconds)
	if err != nil {
		return fmt.Errorf("single commits: %w", err)
	}
	fmt.Fprintf(out, "%-52s %10.0f/s %8.2f x\n", "bbolt: a transaction for each vote", n, best/n)
	return nil
}

// idle prints what n connections that have joined and want nothing cost.
func idle(ctx context.Context, opt *options, n int, out io.Writer) error {
	s, err := newStage(ctx, opt.hub)
	if err != nil {
		return err
	}
	defer s.close()
	before, err := s.rss()
	if err != nil {
		return err
	}
	all, err := s.crew(ctx, n)
	if err != nil {
		return err
	}
	defer all.leave()
	time.Sleep(15 * time.Second)
	after, err := s.rss()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d idle connections: %.1f KB each (the hub's resident set grew from %.0f to %.0f MB)\n",
		n, float64(after-before)/float64(n)/1000, float64(before)/1e6, float64(after)/1e6)
	return nil
}
