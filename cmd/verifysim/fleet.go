package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/fleet"
	"github.com/countersign/countersign/release"
)

// errFleet is a fleet that found what must not be.
var errFleet = errors.New("a wrong result was accepted, or something was lost")

func fleetCommand() *cobra.Command {
	var opt fleet.Options
	var log, virtual bool
	var redundancy string
	c := &cobra.Command{
		Use:   "fleet",
		Short: "Play volunteers, some of whom lie or vanish, against a hub of its own",
		Long: `Starts a hub on this machine, on a free port and a temporary folder; signs a release of payloads/factor and an order with fresh keys; and lets native volunteers work on it:
honest ones, liars that sign wrong outcomes, and some that take leases and disappear. With --steps the tasks are handed on: liars then send wrong checkpoints too, and who disappears does so in the middle. The code of hub and volunteers is the real one.

When the order is done, every accepted result is compared with a run of its own, and every vote that was acknowledged is looked for on the hub's disk.
Who is what, the volunteers' keys and all inputs follow from --seed; the order of events is up to sockets and schedulers.

Exit codes: 0 nothing wrong was accepted and nothing lost; 1 otherwise, or it could not be played.`,
		Example: "  verifysim fleet --volunteers 50 --liars 20 --vanish 10 --seed 1 --restarts 2",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(c)
	f := c.Flags()
	f.IntVar(&opt.Volunteers, "volunteers", 10, "how many volunteers")
	f.IntVar(&opt.Liars, "liars", 0, "`percent` of them that sign wrong outcomes")
	f.IntVar(&opt.Vanish, "vanish", 0, "`percent` of them that take leases and disappear, and come back later")
	f.BoolVar(&opt.Collude, "collude", false, "let the liars tell the same lies: enough of them win votes, and the command must find that")
	f.Uint64Var(&opt.Seed, "seed", 0, "what roles, keys and inputs follow from (default: drawn, and printed)")
	f.IntVar(&opt.Tasks, "tasks", 100, "tasks of the order")
	f.IntVar(&opt.PerTask, "numbers", 5, "numbers to factor in each task")
	f.IntVar(&opt.Steps, "steps", 0, "let tasks be so many `steps` of payloads/steps instead, which volunteers hand on to each other; 20000 are a twentieth of a second")
	f.IntVar(&opt.Agree, "agree", 2, "votes that must agree on a result")
	f.IntVar(&opt.Of, "of", 3, "lanes that the order expects at most")
	f.StringVar(&redundancy, "redundancy", "vote", "how results win: `vote|adaptive`, the latter by credibility on the terms that signer order proposes")
	f.BoolVar(&virtual, "virtual", false, "with --redundancy adaptive: play the hub's state machine alone, on a virtual clock, for millions of tasks")
	terms := release.DefaultAdaptive
	f.IntVar(&terms.ChecksPermille, "checks-permille", terms.ChecksPermille, "with --virtual: share of tasks that is checked in any case")
	f.IntVar(&terms.LiesPermille, "lies-permille", terms.LiesPermille, "with --virtual: how often the order takes a liar to lie at least")
	f.IntVar(&opt.Lies, "lies", 100, "`percent` of its tasks in which a liar lies")
	f.IntVar(&opt.WarmUp, "warm-up", 50, "`percent` of the tasks until repeated work is counted as after the warm-up")
	f.IntVar(&opt.Restarts, "restarts", 0, "how often the hub goes down and comes back on the way")
	f.DurationVar(&opt.Timeout, "timeout", fleet.DefaultTimeout, "give up after this time")
	f.BoolVar(&log, "log", false, "show the log of hub and volunteers on standard error")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if opt.Adaptive = redundancy == "adaptive"; !opt.Adaptive && redundancy != "vote" {
			return fmt.Errorf("--redundancy %q: vote and adaptive are possible", redundancy)
		}
		if !f.Changed("seed") {
			opt.Seed = rand.Uint64N(1 << 32)
		}
		if virtual {
			return playVirtual(c, fleet.VirtualOptions{Seed: opt.Seed, Volunteers: opt.Volunteers, Liars: opt.Liars, Lies: opt.Lies, Collude: opt.Collude,
				Tasks: opt.Tasks, WarmUp: opt.WarmUp, Terms: terms}, *asJSON)
		}
		if log {
			opt.Log = logger(c.ErrOrStderr(), false)
		}
		return playFleet(c, opt, *asJSON)
	}
	return c
}

func playVirtual(c *cobra.Command, opt fleet.VirtualOptions, asJSON bool) error {
	show, done := progressBar(c, "tasks")
	opt.Progress = func(decided, tasks uint64) { show(decided, tasks, fmt.Sprintf("seed %d", opt.Seed)) }
	r, err := fleet.Virtual(c.Context(), opt)
	done()
	if err != nil {
		return fmt.Errorf("virtual fleet with seed %d: %w", opt.Seed, err)
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), r)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	row := func(what string, format string, args ...any) { fmt.Fprintf(w, what+"\t"+format+"\n", args...) }
	row("volunteers", "%d, %d of them liars; %d were caught, %d of those are liars", r.Volunteers, r.Liars, r.Caught, r.CaughtTrue)
	row("tasks", "%d, in %.1f virtual days of tasks of a minute", r.Tasks, r.Days)
	row("accepted wrong", "%d (%.2g of all); %d more were, and are withdrawn", r.Wrong, float64(r.Wrong)/float64(r.Tasks), r.EverWrong-r.Wrong)
	row("undecided", "%d", r.Undecided)
	row("withdrawn", "%d verdicts", r.Withdrawn)
	row("repeated work", "%.3f lanes per task; %.3f after the warm-up of %d%%", float64(r.Lanes)/float64(r.Tasks), float64(r.WarmLanes)/float64(max(r.WarmTasks, 1)), opt.WarmUp)
	row("seed", "%d", r.Seed)
	return w.Flush()
}

func playFleet(c *cobra.Command, opt fleet.Options, asJSON bool) error {
	show, done := progressBar(c, "tasks")
	opt.Progress = func(decided, tasks uint64) { show(decided, tasks, fmt.Sprintf("seed %d", opt.Seed)) }
	r, err := fleet.Run(c.Context(), opt)
	done()
	if err != nil {
		return fmt.Errorf("fleet with seed %d: %w", opt.Seed, err)
	}
	if asJSON {
		err = printJSON(c.OutOrStdout(), fleetJSON{*r, r.LanesPerTask(), r.WarmLanesPerTask(), r.TasksPerSecond(), r.OK(), replay(opt)})
	} else {
		err = printFleet(c.OutOrStdout(), r, replay(opt))
	}
	if err == nil && !r.OK() {
		err = fmt.Errorf("%w (seed %d)", errFleet, opt.Seed)
	}
	return err
}

type fleetJSON struct {
	fleet.Report
	LanesPerTask   float64 `json:"lanes_per_task"`
	WarmLanes      float64 `json:"lanes_per_task_after_warm_up"`
	TasksPerSecond float64 `json:"tasks_per_second"`
	OK             bool    `json:"ok"`
	Replay         string  `json:"replay"`
}

// replay is the line that plays the same fleet again.
func replay(o fleet.Options) string {
	line := fmt.Sprintf("verifysim fleet --seed %d --volunteers %d --liars %d --vanish %d --tasks %d --numbers %d --agree %d --of %d --restarts %d",
		o.Seed, o.Volunteers, o.Liars, o.Vanish, o.Tasks, o.PerTask, o.Agree, o.Of, o.Restarts)
	if o.Steps != 0 {
		line += fmt.Sprintf(" --steps %d", o.Steps)
	}
	if o.Adaptive {
		line += fmt.Sprintf(" --redundancy adaptive --lies %d --warm-up %d", o.Lies, o.WarmUp)
	}
	if o.Collude {
		line += " --collude"
	}
	return line
}

func printFleet(out io.Writer, r *fleet.Report, replay string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what string, format string, args ...any) { fmt.Fprintf(w, what+"\t"+format+"\n", args...) }
	row("volunteers", "%d honest, %d liars, %d vanishing (%d times)", r.Honest, r.Liars, r.Vanishing, r.Vanished)
	row("hub restarts", "%d", r.Restarts)
	row("tasks", "%d", r.Tasks)
	row("accepted right", "%d", r.Right)
	row("accepted wrong", "%d", r.Wrong)
	row("undecided", "%d", r.Undecided)
	if r.Missing > 0 {
		row("without a verdict", "%d", r.Missing)
	}
	row("repeated work", "%.2f lanes run per task", r.LanesPerTask())
	row("after the warm-up", "%.2f lanes run per task, %d verdicts withdrawn in all", r.WarmLanesPerTask(), r.Withdrawn)
	row("votes acknowledged", "%d", r.Votes)
	row("of them resumed", "%d, from another's checkpoint", r.Resumed)
	row("votes lost", "%d", r.Lost)
	row("throughput", "%.1f tasks/s, %.1f votes/s, in %.1f s", r.TasksPerSecond(), float64(r.Votes)/r.Seconds, r.Seconds)
	for _, p := range r.Problems {
		row("problem", "%s", p)
	}
	row("seed", "%d", r.Seed)
	row("again", "%s", replay)
	return w.Flush()
}
