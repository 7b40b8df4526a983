package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/release"
)

type orderFlags struct {
	release, title, lines, chunks string
	span, out                     string
	perTask, chunkSize, step      int64
	after                         string
	afterPermille                 int
	outputs, first, adaptive      bool
	terms                         release.Adaptive
	parameters, list              []string
	agree, of, permille, priority int
	audit, deadline               int
	startIn, expiresIn            time.Duration
}

func orderCommand() *cobra.Command {
	var f orderFlags
	c := &cobra.Command{
		Use:   "order",
		Short: "Sign an order: what to run a release on",
		Long: `An order names a release and a rule by which the input of every task follows:

  --list TEXT                 a task for each text, in the order itself
  --lines FILE --per-task N   each task gets N lines of the file, on standard input
  --chunks FILE --chunk-size N
                              each task gets N bytes of the file, of any kind
  --range FROM:TO --step N    each task gets one line "a b": the numbers a ≤ n < b
  --outputs --after ORDER.json --per-task N
                              each task gets the outputs of N tasks of that order

--after makes an order wait for another one. A job file with several [[stage]]
tables signs one order for each, and each follows the one before it.

The statement and its signature are written to the file of -o, and FILE.minisig.`,
		Example: `  signer order -k ada.key --release ada-factor-1.release.json --lines numbers.txt --per-task 20 --title "Factor my numbers" -o numbers.order.json
  signer order -k ada.key --release ada-primes-1.release.json --range 0:1000000 --step 10000 --title "Primes" -o primes.order.json`,
		Args: cobra.NoArgs,
	}
	key := addKeyFlags(c)
	asJSON := jsonFlag(c)
	job := addJobFlag(c)
	fl := c.Flags()
	fl.StringVar(&f.release, "release", "", "the release statement (`file`)")
	fl.StringVar(&f.title, "title", "", "one line for people")
	fl.StringArrayVar(&f.list, "list", nil, "the input of a task, without its newline; may be given up to 1000 times")
	fl.StringVar(&f.lines, "lines", "", "input `file`, split by lines")
	fl.StringVar(&f.chunks, "chunks", "", "input `file`, cut at every --chunk-size bytes")
	fl.Int64Var(&f.chunkSize, "chunk-size", 1<<20, "with --chunks: bytes for one task, at most 16777216")
	fl.Int64Var(&f.perTask, "per-task", 1, "with --lines and --outputs: lines or outputs for one task")
	fl.StringVar(&f.after, "after", "", "wait for this order (`file`)")
	fl.IntVar(&f.afterPermille, "after-permille", 1000, "with --after: wait for this share of its tasks, or until it is done")
	fl.BoolVar(&f.outputs, "outputs", false, "with --after: take that order's outputs")
	fl.StringArrayVar(&f.parameters, "parameter", nil, "an argument for the module, in every task; may be given several times")
	fl.StringVar(&f.span, "range", "", "`FROM:TO`, split into steps")
	fl.Int64Var(&f.step, "step", 1, "with --range: numbers for one task")
	fl.IntVar(&f.agree, "agree", 2, "votes that must agree")
	fl.IntVar(&f.of, "of", 3, "lanes that a task may take to get there")
	fl.BoolVar(&f.first, "first", false, "take the first outcome of each task, and let nobody repeat it: for modules whose outcome differs from run to run")
	fl.BoolVar(&f.adaptive, "adaptive", false, "accept what is credible by what its workers have shown before, instead of counting votes")
	terms := release.DefaultAdaptive
	fl.IntVar(&f.terms.ErrorPPB, "error-ppb", terms.ErrorPPB, "with --adaptive: the largest doubt to accept, in billionths")
	fl.IntVar(&f.terms.ChecksPermille, "checks-permille", terms.ChecksPermille, "with --adaptive: the share of tasks that is checked by a second worker in any case")
	fl.IntVar(&f.terms.FaultyPermille, "faulty-permille", terms.FaultyPermille, "with --adaptive: the share of workers that you think may lie")
	fl.IntVar(&f.terms.LiesPermille, "lies-permille", terms.LiesPermille, "with --adaptive: the share of its tasks in which you think a liar lies at least; 0: however seldom")
	fl.IntVar(&f.audit, "audit-permille", 0, "share of accepted tasks that an auditor should run again")
	fl.IntVar(&f.permille, "complete-permille", 1000, "share of tasks at which the order is done")
	fl.IntVar(&f.priority, "priority", 5, "0 to 9, higher goes first")
	fl.IntVar(&f.deadline, "deadline-seconds", 0, "seconds in which a lent task must be back, fetching and delivering included; after that it goes to another worker (0: the release's seconds and 30 more)")
	fl.DurationVar(&f.startIn, "start-in", 0, "wait this long before starting")
	fl.DurationVar(&f.expiresIn, "expires-in", 7*24*time.Hour, "give up after this long (at most 2160h, 90 days)")
	fl.StringVarP(&f.out, "output", "o", "", "write the order to this `file`")
	must(c, "release", "title", "output")
	rules := []string{"list", "lines", "chunks", "range", "outputs"}
	c.MarkFlagsMutuallyExclusive(rules...)
	c.MarkFlagsOneRequired(rules...)
	for _, other := range []string{"agree", "of", "adaptive"} {
		c.MarkFlagsMutuallyExclusive("first", other)
	}
	c.MarkFlagsMutuallyExclusive("adaptive", "agree")
	c.MarkFlagsMutuallyExclusive("adaptive", "of")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := f.order()
		if err != nil {
			return err
		}
		secret, err := key.load(c)
		if err != nil {
			return err
		}
		st, sig, err := o.Sign(secret)
		if err != nil {
			return err
		}
		if err := writeStatement(f.out, st, sig); err != nil {
			return err
		}
		if !*asJSON {
			fmt.Fprintf(c.OutOrStdout(), "tasks      %d\n", o.Tasks())
		}
		if err := signed(c, *asJSON, "order", f.out, canon.Sum(st), st); err != nil {
			return err
		}
		return job.signRest(c)
	}
	return c
}

func (f *orderFlags) order() (*release.Order, error) {
	st, err := readCapped(f.release, release.MaxStatement)
	if err != nil {
		return nil, err
	}
	r, err := release.Parse(st)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.release, err)
	}
	if f.deadline > 0 && uint64(f.deadline) > r.Limits.Seconds {
		return nil, fmt.Errorf("--deadline-seconds %d: release %q lets a task run for %d seconds, which is the longest deadline", f.deadline, r.Name, r.Limits.Seconds)
	}
	prev, err := f.follows()
	if err != nil {
		return nil, err
	}
	in, err := f.input(prev)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	o := &release.Order{Type: release.OrderType, Title: f.title, ReleaseSHA256: canon.Sum(st), Input: in, Parameters: f.parameters,
		Redundancy:       f.redundancy(),
		AuditPermille:    f.audit,
		CompletePermille: f.permille, Priority: f.priority, DeadlineSeconds: f.deadline,
		NotBefore: canon.TimeOf(now.Add(f.startIn)), Expires: canon.TimeOf(now.Add(f.expiresIn))}
	if prev != nil {
		o.After = &release.After{Order: prev.digest, Permille: f.afterPermille}
	}
	if _, err := o.Encode(); err != nil {
		return nil, err
	}
	return o, canon.CheckExpiry("the order", o.Expires, now, release.MaxAge)
}

func (f *orderFlags) redundancy() release.Redundancy {
	if f.first {
		return release.Redundancy{First: &release.First{}}
	}
	if f.adaptive {
		return release.Redundancy{Adaptive: &f.terms}
	}
	return release.Redundancy{Vote: &release.Vote{Agree: f.agree, Of: f.of}}
}

// previous is the order that another one follows.
type previous struct {
	digest canon.Digest
	tasks  uint64
}

func (f *orderFlags) follows() (*previous, error) {
	if f.after == "" {
		return nil, nil
	}
	st, err := readCapped(f.after, release.MaxStatement)
	if err != nil {
		return nil, err
	}
	o, err := release.ParseOrder(st)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.after, err)
	}
	return &previous{canon.Sum(st), o.Tasks()}, nil
}

func (f *orderFlags) input(prev *previous) (release.Input, error) {
	if f.outputs {
		if prev == nil {
			return release.Input{}, errors.New("--outputs: the outputs of which order? Give --after ORDER.json")
		}
		return release.Input{Outputs: &release.Outputs{Tasks: int64(prev.tasks), PerTask: f.perTask}}, nil
	}
	if f.list != nil {
		return release.Input{List: f.list}, nil
	}
	if f.span != "" {
		r := release.Range{Step: f.step}
		if n, err := fmt.Sscanf(strings.Replace(f.span, ":", " ", 1), "%d %d", &r.From, &r.To); n != 2 || err != nil {
			return release.Input{}, fmt.Errorf("--range %q: want FROM:TO, like 0:1000000", f.span)
		}
		return release.Input{Range: &r}, nil
	}
	return f.fromFile(cmp.Or(f.lines, f.chunks))
}

// fromFile describes an input file.
func (f *orderFlags) fromFile(path string) (in release.Input, err error) {
	file, err := os.Open(path)
	if err != nil {
		return in, err
	}
	defer file.Close()
	each := func(uint64, release.Span, []byte) error { return nil }
	if f.chunks != "" {
		in.Chunks, err = release.SplitChunks(file, f.chunkSize, each)
	} else {
		in.Lines, err = release.Split(file, f.perTask, each)
	}
	if err != nil {
		return in, fmt.Errorf("%s: %w", path, err)
	}
	return in, nil
}
