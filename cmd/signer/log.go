package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/monitor"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/policy"
)

func logCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "log",
		Short: "Audit a hub's transparency log",
		Long: `A hub admits nothing in secret: every statement is an entry of its transparency log.
A release made with a stolen key can be seen there. The formats are docs/spec/log.md.

Without witnesses the log is unwitnessed: the hub could show you another log than
it shows a volunteer. signer witness is a witness.

Exit codes: 0 all holds; 1 the log could not be looked at; 3 it is not what it should be.`,
	}
	c.AddCommand(logVerify(), logWatch())
	return c
}

// logFlags say which log, and who vouches for it.
type logFlags struct {
	hub       *string
	key       string
	witnesses []string
	quorum    int
	trusted   []string
	policy    string
	roots     []string
	threshold int
	state     string
}

func addLogFlags(c *cobra.Command) *logFlags {
	f := &logFlags{hub: addHubFlag(c)}
	fl := c.Flags()
	fl.StringVar(&f.key, "log", "", "the log's `key`, as hub log-key prints it")
	fl.StringArrayVar(&f.witnesses, "witness", nil, "the `key` of a witness that you trust; may be given several times")
	fl.IntVar(&f.quorum, "witness-quorum", -1, "how many of them must have cosigned (default: all)")
	fl.StringArrayVar(&f.trusted, "trust", nil, "a researcher's public `key` (or .pub file) whose statements you expect; may be given several times")
	fl.StringVar(&f.policy, "policy", "", "a policy `file` whose researchers' statements you expect")
	fl.StringArrayVar(&f.roots, "root", nil, "a root `key` (or .pub file) whose policies you expect; may be given several times")
	fl.IntVar(&f.threshold, "threshold", 1, "how many of them must have signed the first policy")
	fl.StringVar(&f.state, "state", "", "`file` that remembers the log as it was seen last")
	must(c, "log")
	c.MarkFlagsOneRequired("trust", "policy")
	return f
}

func (f *logFlags) open() (*monitor.Monitor, error) {
	if *f.hub == "" {
		return nil, fmt.Errorf("which hub? Give --hub URL, or set COUNTERSIGN_HUB")
	}
	expected, err := newVerifier(f.trusted, f.policy)
	if err != nil {
		return nil, err
	}
	if f.quorum < 0 {
		f.quorum = len(f.witnesses)
	}
	v, err := translog.NewVerifier(f.key, f.witnesses, f.quorum)
	if err != nil {
		return nil, err
	}
	opt := monitor.Options{Hub: *f.hub, Verifier: v, Keys: expected.keys, State: f.state}
	if len(f.roots) > 0 {
		roots, err := parseKeys(f.roots)
		if err != nil {
			return nil, err
		}
		opt.Root = &policy.Root{Keys: roots, Threshold: f.threshold}
	}
	return monitor.New(opt)
}

func logVerify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify",
		Short: "Download the whole log and check every byte of it",
		Long: `Checks the signature of the checkpoint, the witnesses' cosignatures, every tile, the root, and every entry's statement and its signature.
With --state, also that the log goes on from what it was the last time. Expiry, prefixes and ceilings are not looked at: entries are of other days.`,
		Example: "  signer log verify --hub https://hub.example --log hub.example/log+… --policy policy.json --state log.state",
		Args:    cobra.NoArgs,
	}
	flags := addLogFlags(c)
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		m, err := flags.open()
		if err != nil {
			return err
		}
		report, entries, err := m.Next(c.Context())
		if err != nil {
			return err
		}
		if err := badEntries(c.ErrOrStderr(), entries); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), report)
		}
		printLog(c.OutOrStdout(), report)
		return nil
	}
	return c
}

// badEntries prints those that do not verify.
func badEntries(w io.Writer, entries []monitor.Entry) error {
	bad := 0
	for _, e := range entries {
		if e.Problem != "" {
			bad++
			fmt.Fprintln(w, "entry", e.String())
		}
	}
	if bad > 0 {
		return canon.Fail(translog.ClassEntry, "%d of %d entries of the log do not verify: if you know the signer of one, give its key with --trust", bad, len(entries))
	}
	return nil
}

func printLog(w io.Writer, r *monitor.Report) {
	kinds := []string{}
	for kind, n := range r.Statements {
		kinds = append(kinds, fmt.Sprintf("%d of type %s", n, kind))
	}
	slices.Sort(kinds)
	if len(kinds) == 0 {
		kinds = []string{"none"}
	}
	before := "nothing was remembered"
	if r.Remembered != nil {
		before = fmt.Sprintf("it goes on from the %d entries seen before", *r.Remembered)
	}
	fields(w, "log", r.Origin, "size", fmt.Sprintf("%d entries", r.Size), "root", r.Root, "entries", strings.Join(kinds, ", "),
		"checked", fmt.Sprintf("every entry, and %d tiles", r.Tiles), "history", before, "witnesses", witnessed(r))
}

func witnessed(r *monitor.Report) string {
	if len(r.Witnesses) == 0 {
		return "unwitnessed: nobody but the hub vouches that others see the same log"
	}
	return fmt.Sprintf("%d of %d: %s", len(r.Witnesses), r.Asked, strings.Join(r.Witnesses, ", "))
}

func logWatch() *cobra.Command {
	c := &cobra.Command{
		Use:   "watch PREFIX",
		Short: "Print new entries of a name prefix as they come",
		Long: `Checks the log as verify does, then looks again and again, and prints each new entry about a release whose name the prefix covers (ada/ covers all below it, "" everything).
An entry that is damaged is printed whatever its name. A log that is rewound, forked or withheld ends the watch with exit code 3. Ctrl-C ends it with 0.`,
		Example: "  signer log watch ada/ --hub https://hub.example --log hub.example/log+… --trust ada.pub --state log.state",
		Args:    cobra.ExactArgs(1),
	}
	flags := addLogFlags(c)
	asJSON := c.Flags().Bool("json", false, "print JSON lines for programs")
	all := c.Flags().Bool("all", false, "print the entries that are there already, too")
	every := c.Flags().Duration("interval", 5*time.Second, "how often to look")
	patience := c.Flags().Duration("patience", 5*time.Minute, "how long the log may be out of reach before that is an error")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *every < 100*time.Millisecond {
			return fmt.Errorf("--interval %v: at least 100ms", *every)
		}
		m, err := flags.open()
		if err != nil {
			return err
		}
		w := &watcher{m: m, prefix: args[0], json: *asJSON, all: *all, every: *every, patience: *patience, out: c.OutOrStdout(), notes: c.ErrOrStderr()}
		err = w.watch(c.Context())
		if c.Context().Err() != nil && canon.ClassOf(err) == "" {
			return nil // Ctrl-C is how a watch ends
		}
		return err
	}
	return c
}

type watcher struct {
	m               *monitor.Monitor
	prefix          string
	json, all       bool
	every, patience time.Duration
	out, notes      io.Writer
}

func (w *watcher) watch(ctx context.Context) error {
	first, good := true, time.Now()
	for {
		report, entries, err := w.m.Next(ctx)
		switch class := canon.ClassOf(err); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			if err := w.show(report, entries, first); err != nil {
				return err
			}
			first, good = false, time.Now()
		case class != "" && class != translog.ClassWitness:
			return err
		case time.Since(good) >= w.patience:
			return &canon.Error{Class: translog.ClassWithheld, Msg: fmt.Sprintf("THE LOG IS OUT OF REACH for %v", w.patience), Err: err}
		default:
			fmt.Fprintln(w.notes, "signer: watching goes on:", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.every):
		}
	}
}

// show prints what the prefix covers, and what is damaged.
func (w *watcher) show(r *monitor.Report, entries []monitor.Entry, first bool) error {
	enc := json.NewEncoder(w.out)
	enc.SetEscapeHTML(false)
	for i := range entries {
		e := &entries[i]
		// What was there before the watch is shown on request, or if it is new since the remembered log.
		old := first && !w.all && (r.Remembered == nil || e.Index < *r.Remembered)
		damaged := e.Problem != "" && !e.Unknown()
		if !damaged && (old || !e.Covered(w.prefix)) {
			continue
		}
		if !w.json {
			fmt.Fprintln(w.out, e.String())
		} else if err := enc.Encode(e); err != nil {
			return err
		}
	}
	if first {
		fmt.Fprintf(w.notes, "signer: watching %q in the log %s, %d entries, %s\n", w.prefix, r.Origin, r.Size, witnessed(r))
	}
	return nil
}
