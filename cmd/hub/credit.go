package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/wire"
)

func creditCommand() *cobra.Command {
	var r remote
	var asCSV bool
	c := &cobra.Command{
		Use:   "credit",
		Short: "Print the verified fuel of each worker",
		Long: `credit prints how many votes of each worker won, and the fuel of the work in them:
JSON lines, most fuel first. Work that did not win earns nothing. It needs the
token of an auditor or an operator.`,
		Example: "  hub credit --csv --hub http://127.0.0.1:8080 --token-file auditor.token > credit.csv",
		Args:    cobra.NoArgs,
	}
	r.flags(c, true)
	c.Flags().BoolVar(&asCSV, "csv", false, "print comma-separated values with a heading instead")
	c.RunE = func(c *cobra.Command, _ []string) error {
		hub, err := r.dial()
		if err != nil {
			return err
		}
		body, err := hub.Open(c.Context(), "/v1/credit")
		if err != nil {
			return err
		}
		defer body.Close()
		out := bufio.NewWriter(c.OutOrStdout())
		return errors.Join(printCredit(body, out, asCSV), out.Flush())
	}
	return c
}

func printCredit(in io.Reader, out io.Writer, asCSV bool) (err error) {
	if asCSV {
		fmt.Fprintln(out, "worker,votes,fuel") // a failure stays in the buffer
	}
	lines, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var line wire.CreditLine
		if err := lines.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading credit: %w", err)
		}
		if asCSV {
			_, err = fmt.Fprintf(out, "%s,%d,%d\n", line.Worker, line.Votes, line.Fuel)
		} else {
			err = enc.Encode(line)
		}
		if err != nil {
			return err
		}
	}
}
