package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
)

// stands returns nil for an order that is done, and otherwise what a script
// reads from the exit code.
func stands(o *wire.OrderInfo) error {
	code, is := map[string]int{"stopped": exitStopped, "expired": exitExpired, "paused": exitPaused, "queued": exitGoesOn, "running": exitGoesOn}[o.State]
	switch {
	case o.State == "done" && o.Undecided == 0:
		return nil
	case o.State == "done":
		return &standing{exitUndecided, fmt.Sprintf("order %s is done, but %d of %d tasks are undecided", o.Order.Short(), o.Undecided, o.Tasks)}
	case !is:
		code = exitFailed // a state of a later version
	}
	text := fmt.Sprintf("order %s is %s", o.Order.Short(), o.State)
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return &standing{code, text}
}

// watchOrder shows a progress bar on a terminal, and lines elsewhere, until the
// order has ended; it fails unless that is as done.
func watchOrder(c *cobra.Command, cl *client.Client, order canon.Digest, asJSON bool) error {
	show, finish := progress(c)
	info, err := cl.Watch(c.Context(), order, 500*time.Millisecond, show)
	finish()
	if err != nil {
		return fmt.Errorf("watching order %s: %w", order.Short(), err)
	}
	if asJSON {
		if err := printJSON(c.OutOrStdout(), info); err != nil {
			return err
		}
	} else {
		printOrder(c, info)
	}
	return stands(info)
}

func progress(c *cobra.Command) (show func(*wire.OrderInfo), finish func()) {
	f, ok := c.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		last, text := "", ""
		return func(o *wire.OrderInfo) {
			if now := fmt.Sprint(o.State, o.Reason, 10*o.Accepted/max(o.Tasks, 1)); now != last { // at each tenth
				last = now
				fmt.Fprintf(c.ErrOrStderr(), "%s: %d of %d tasks\n", state(o), o.Accepted, o.Tasks)
			}
			if o.Text != "" && o.Text != text {
				text = o.Text
				fmt.Fprintf(c.ErrOrStderr(), "the program says: %s\n", text)
			}
		}, func() {}
	}
	bar := progressbar.NewOptions64(1, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription("tasks"),
		progressbar.OptionShowCount(), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	return func(o *wire.OrderInfo) {
		bar.ChangeMax64(int64(max(o.Tasks, 1)))
		what := o.State
		if o.Text != "" {
			what += ": " + o.Text[:min(len(o.Text), maxBarText)]
		}
		bar.Describe(what)
		_ = bar.Set64(int64(o.Accepted)) // a bar that cannot be drawn is not worth failing for
	}, func() { _ = bar.Finish() }
}

// maxBarText is how much of a program's text stands before the bar.
const maxBarText = 40

func state(o *wire.OrderInfo) string {
	if o.Reason == "" {
		return o.State
	}
	return o.State + ": " + o.Reason
}

func printOrder(c *cobra.Command, o *wire.OrderInfo) {
	w := c.OutOrStdout()
	fields(w, "order", o.Order, "title", o.Title, "release", o.Name, "state", state(o),
		"tasks", fmt.Sprintf("%d accepted, %d undecided, %d stopped, %d withdrawn on the way, of %d", o.Accepted, o.Undecided, o.Stopped, o.Withdrawn, o.Tasks), "votes", o.Votes, "lent now", o.Leases)
	if o.Text != "" {
		fields(w, "it says", o.Text)
	}
	if s := o.Statistics; s != nil {
		printStatistics(c, s)
	}
	if len(o.Timeline) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range o.Timeline {
		what := m.State
		if m.Reason != "" {
			what += ": " + m.Reason
		}
		fmt.Fprintf(t, "%s\t%d accepted\t%s\n", m.At, m.Accepted, what)
	}
	t.Flush()
}

func printStatistics(c *cobra.Command, s *wire.Statistics) {
	w := c.OutOrStdout()
	if len(s.Votes) > 0 {
		fields(w, "votes by end", counts(s.Votes), "voters", fmt.Sprintf("about %d workers in %d networks", s.Workers, s.Networks),
			"fuel", fmt.Sprintf("%d verified, %d spent", s.FuelVerified, s.FuelSpent), "work", fmt.Sprintf("%.2f votes for each verdict", s.VotesPerVerdict))
	}
	lent := fmt.Sprintf("%d, of them %d came back with a vote", s.Lent, s.Taken)
	if len(s.Returned) > 0 {
		lent += ", without: " + counts(s.Returned)
	}
	fields(w, "lent since "+s.Since.String(), lent)
	if s.Taken > 0 {
		fields(w, "a lane takes", fmt.Sprintf("%.3g s in the median, at most %.3g s for nine of ten", s.MedianSeconds, s.P90Seconds))
	}
}

func counts(of map[string]uint64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%d %s", of[k], k))
	}
	return strings.Join(parts, ", ")
}

func statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status [ORDER]",
		Short: "Show how an order stands, or all of them",
		Long: `Shows how an order stands: its tasks, what its program says, who voted, what that
took, and when what happened to it. Without an order, a line for each.`,
		Args: cobra.MaximumNArgs(1),
	}
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	watch := c.Flags().Bool("watch", false, "show its progress until it has ended")
	exitCode := c.Flags().Bool("exit-code", false, "say by the exit code how it stands: signer --help")
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := dial(*hub)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			if *watch || *exitCode {
				return fmt.Errorf("--watch and --exit-code are for one order: name it")
			}
			return listOrders(c, cl, *asJSON)
		}
		order, err := parseDigest(args[0])
		if err != nil {
			return err
		}
		if *watch {
			return watchOrder(c, cl, order, *asJSON)
		}
		info, err := cl.Order(c.Context(), order)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(c.OutOrStdout(), info)
		} else {
			printOrder(c, info)
		}
		if err == nil && *exitCode {
			err = stands(info)
		}
		return err
	}
	return c
}

func listOrders(c *cobra.Command, cl *client.Client, asJSON bool) error {
	var list wire.OrderList
	if err := cl.GetJSON(c.Context(), "/v1/orders", &list); err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), list)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ORDER\tSTATE\tTASKS\tRELEASE\tTITLE")
	for _, o := range list.Orders {
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%s\n", o.Order, o.State, o.Accepted, o.Tasks, o.Name, o.Title)
	}
	return w.Flush()
}
