package main

import (
	"bufio"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
)

func resultsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "results ORDER",
		Short: "Print the accepted outputs, in task order or as they come",
		Long: `Prints the standard output of every task with a verdict, one after the other, in
the order of tasks. With --json one line per task with its end, exit code, fuel
and output in base64.

With --follow or --after they are printed in the order in which they were decided.
--follow waits for more until the order has ended, over restarts of the hub; when
it is interrupted it says on standard error from which cursor to go on, and each
line of --json has its own. Of two lines on one task the later holds: a result can
be withdrawn (docs/spec/job.md), and then comes a line with the end "withdrawn".`,
		Example: "  signer results 3f…e2 --follow --json --hub http://127.0.0.1:8080",
		Args:    cobra.ExactArgs(1),
	}
	hub := addHubFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON lines for programs")
	tokenFile := c.Flags().String("token-file", "", "`file` with an auditor's token, for a hub whose results are private")
	from := c.Flags().Uint64("from", 0, "start at this task")
	follow := c.Flags().Bool("follow", false, "print results as they come, until the order has ended")
	after := c.Flags().Uint64("after", 0, "start after this `cursor`, in the order of decision")
	c.MarkFlagsMutuallyExclusive("from", "follow")
	c.MarkFlagsMutuallyExclusive("from", "after")
	c.RunE = func(c *cobra.Command, args []string) error {
		token, err := client.ReadToken(*tokenFile)
		if err != nil {
			return err
		}
		cl, err := dialWith(*hub, token)
		if err != nil {
			return err
		}
		order, err := parseDigest(args[0])
		if err != nil {
			return err
		}
		out := bufio.NewWriter(c.OutOrStdout())
		print := plainResult(c, out)
		if *asJSON {
			print = jsonResult(out)
		}
		switch {
		case *follow:
			return followOrder(c, cl, order, *after, func(r wire.ResultLine) error { return errors.Join(print(r), out.Flush()) })
		case c.Flags().Changed("after"):
			err = cl.Decided(c.Context(), order, *after, print)
		default:
			err = cl.Results(c.Context(), order, *from, print)
		}
		return errors.Join(err, out.Flush())
	}
	return c
}

// followOrder prints results until the order has ended, and then fails unless
// that is as done.
func followOrder(c *cobra.Command, cl *client.Client, order canon.Digest, after uint64, print func(wire.ResultLine) error) error {
	info, cursor, err := cl.Follow(c.Context(), order, after, func(f client.Followed) error {
		if f.Result == nil {
			return nil
		}
		return print(*f.Result)
	})
	if err != nil {
		fmt.Fprintf(c.ErrOrStderr(), "signer: to go on: signer results %s --follow --after %d\n", order, cursor)
		return err
	}
	return stands(info)
}
