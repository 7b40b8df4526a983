package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
)

// errUntrue is results that running the tasks again did not confirm.
var errUntrue = errors.New("not verified")

func verifyCommand() *cobra.Command {
	var input, token string
	opt := volunteer.ReverifyOptions{}
	c := &cobra.Command{
		Use:   "verify ORDER",
		Short: "Run an order's tasks again, and compare with its results",
		Long: `Fetches an order, its release, module and accepted results from a hub; verifies the signatures against what --root, --keys or --policy trust, the module against its release,
and the input file against the order; runs every task again under wazero, and compares how it ends, its exit code, fuel and output.

Exit codes: 0 all that was run is equal; 1 a result differs, there is none, or a failure; 3 something did not verify.`,
		Example: "  verifysim verify 3f…e2 --hub https://hub.example --root root.pub --input numbers.txt",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	hub := addHubFlag(c)
	trust := addTrustFlags(c)
	c.Flags().StringVarP(&input, "input", "i", "", "the order's input `file` (default: the hub's copy; either must be the signed one)")
	c.Flags().StringVar(&token, "token-file", "", "`file` with an auditor's token, for a hub whose results are private")
	c.Flags().IntVar(&opt.Sample, "sample", 100, "`percent` of the tasks to run, chosen at random")
	c.Flags().IntVar(&opt.Parallel, "parallel", 0, "tasks at the same time (default: one for each processor)")
	c.Flags().BoolVar(&opt.Expired, "expired", false, "take an order and a release that have expired since")
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if _, err := dial(*hub); err != nil {
			return err
		}
		opt.Hub = *hub
		if opt.Token, err = client.ReadToken(token); err != nil {
			return err
		}
		if opt.Order, err = canon.ParseDigest(args[0]); err != nil {
			return fmt.Errorf("%.80q is not a digest: want the 64 hex digits that signer order printed", args[0])
		}
		if opt.Sample < 1 {
			return fmt.Errorf("--sample %d: 1 to 100 are possible", opt.Sample)
		}
		if opt.Trust, err = trust.load(c); err != nil {
			return err
		}
		if input != "" {
			if opt.Input, err = os.Open(input); err != nil {
				return err
			}
			defer opt.Input.Close()
		}
		return verify(c, opt, *asJSON)
	}
	return c
}

func verify(c *cobra.Command, opt volunteer.ReverifyOptions, asJSON bool) (err error) {
	ctx := context.WithoutCancel(c.Context())
	if opt.Engine, err = sandbox.New(ctx, &sandbox.Options{CacheDir: modulesDir()}); err != nil {
		return err
	}
	defer opt.Engine.Close(ctx)
	show, done := progressBar(c, "verifying")
	opt.Progress = func(run, results uint64) { show(run, results, fmt.Sprintf("%d tasks run", run)) }
	r, err := volunteer.Reverify(c.Context(), opt)
	done()
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if asJSON {
		err = printJSON(c.OutOrStdout(), r)
	} else {
		err = printReverification(c, r)
	}
	if err == nil && !r.True() {
		err = fmt.Errorf("%w: order %s", errUntrue, r.Order)
	}
	return err
}

func printReverification(c *cobra.Command, r *volunteer.Reverification) error {
	w := c.OutOrStdout()
	for _, d := range r.Different {
		fmt.Fprintf(w, "task %d differs: %s\n", d.Task, d.What)
	}
	for _, d := range r.Ends {
		fmt.Fprintf(w, "task %d is equal, and ended so: %s\n", d.Task, d.What)
	}
	if rest := r.Tasks - r.Results; rest > 0 {
		fmt.Fprintf(w, "%d of %d tasks have no accepted result (%d undecided, %d stopped)\n", rest, r.Tasks, r.Undecided, r.Stopped)
	}
	var err error
	switch {
	case r.Rerun == 0:
		_, err = fmt.Fprintln(w, "nothing to verify: no result was run again")
	case r.First:
		_, err = fmt.Fprintf(w, "not verified: the first outcome of each task counts in this order, and another run need not come to the same; %d of %d tasks re-run, %d equal\n", r.Rerun, r.Tasks, r.Equal)
	case r.True():
		_, err = fmt.Fprintf(w, "verified: %d of %d tasks re-run, all equal\n", r.Rerun, r.Tasks)
	default:
		_, err = fmt.Fprintf(w, "false: %d of %d tasks re-run, %d differ\n", r.Rerun, r.Tasks, len(r.Different))
	}
	return err
}
