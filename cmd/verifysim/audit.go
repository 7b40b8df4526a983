package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
)

func auditCommand() *cobra.Command {
	var input, token, keyFile string
	opt := volunteer.AuditOptions{}
	c := &cobra.Command{
		Use:   "audit ORDER",
		Short: "Run tasks again as a trusted auditor, and decide what votes could not",
		Long: `Fetches an order's results and votes from a hub with an auditor's token; runs again the tasks that votes could not decide, and a random sample of the others, signs what they come to, and gives it to the hub, for which it is the verdict from then on.
Where votes differ, it runs the first segment in which they do, from a checkpoint that the hub has kept, and refutes the votes that have it otherwise; the whole task only if that does not settle it. It verifies everything as verifysim verify does, and says who voted otherwise, and from which segment on.
Workers take no part in it, so they cannot tell that they are audited.

Exit codes: 0 the audit is done, whatever it found; 1 a failure; 3 something did not verify.`,
		Example: "  verifysim audit 3f…e2 --hub https://hub.example --root root.pub --token-file auditor.token --key auditor.key --sample 20",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	hub := addHubFlag(c)
	trust := addTrustFlags(c)
	f := c.Flags()
	f.StringVarP(&input, "input", "i", "", "the order's input `file` (default: the hub's copy; either must be the signed one)")
	f.StringVar(&token, "token-file", "", "`file` with an auditor's token, as hub token mint --role auditor prints it")
	f.StringVar(&keyFile, "key", "", "`file` of the auditor's key, made if it is not there (default: a key for this time only)")
	f.IntVar(&opt.SamplePermille, "sample", -1, "how many accepted results in a `thousand` to run, drawn at random (default: what the order asks for)")
	f.IntVar(&opt.Limit, "limit", 0, "run at most so many tasks (default: all)")
	if err := c.MarkFlagRequired("token-file"); err != nil {
		panic(err)
	}
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
		if opt.SamplePermille < -1 || opt.SamplePermille > 1000 || opt.Limit < 0 {
			return fmt.Errorf("--sample %d, --limit %d: 0 to 1000, and 0 or more, are possible", opt.SamplePermille, opt.Limit)
		}
		if opt.Trust, err = trust.load(c); err != nil {
			return err
		}
		if opt.Key, err = workerKey(keyFile); err != nil {
			return err
		}
		if input != "" {
			if opt.Input, err = os.Open(input); err != nil {
				return err
			}
			defer opt.Input.Close()
		}
		return audit(c, opt, *asJSON)
	}
	return c
}

func audit(c *cobra.Command, opt volunteer.AuditOptions, asJSON bool) (err error) {
	ctx := context.WithoutCancel(c.Context())
	if opt.Engine, err = sandbox.New(ctx, &sandbox.Options{CacheDir: modulesDir()}); err != nil {
		return err
	}
	defer opt.Engine.Close(ctx)
	show, done := progressBar(c, "auditing")
	opt.Progress = func(run, all uint64) { show(run, all, fmt.Sprintf("%d tasks run", run)) }
	r, err := volunteer.Audit(c.Context(), opt)
	done()
	if err != nil {
		return fmt.Errorf("auditing: %w", err)
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), r)
	}
	return printAudit(c.OutOrStdout(), r)
}

func printAudit(w io.Writer, r *volunteer.AuditReport) error {
	for _, l := range r.Liars {
		fmt.Fprintf(w, "task %d: worker %s was wrong: %s\n", l.Task, l.Worker, l.What)
	}
	if r.Refuted > 0 {
		fmt.Fprintf(w, "refuted: %d transcripts, each by one segment of it\n", r.Refuted)
	}
	if r.Segments > 0 {
		fmt.Fprintf(w, "re-ran %d of %d segments\n", r.Ran, r.Segments)
	}
	_, err := fmt.Fprintf(w, "audited: %d undecided, %d disputed and %d sampled tasks; %d decided, %d confirmed, %d overturned\n",
		r.Escalated, r.Disputed, r.Sampled, r.Verdicts["decided"], r.Verdicts["confirmed"], r.Verdicts["overturned"])
	return err
}
