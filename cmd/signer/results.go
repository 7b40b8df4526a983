package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/wire"
)

// plainResult writes outputs only; what did not end well is said on standard
// error, so that a pipe gets nothing but results.
func plainResult(c *cobra.Command, out io.Writer) func(wire.ResultLine) error {
	return func(r wire.ResultLine) error {
		if _, err := out.Write(r.Output); err != nil {
			return err
		}
		if r.End != "exit" || r.Code != 0 {
			fmt.Fprintf(c.ErrOrStderr(), "task %d ended by %s (code %d) after %d fuel in %d segments\n", r.Task, r.End, r.Code, r.Fuel, r.Segments)
		}
		return nil
	}
}

func jsonResult(out io.Writer) func(wire.ResultLine) error {
	enc := json.NewEncoder(out)
	return func(r wire.ResultLine) error { return enc.Encode(r) }
}
