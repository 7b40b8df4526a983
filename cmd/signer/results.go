package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/internal/wire"
)

// endings say in words how a task ended, if not by exit.
var endings = map[wire.End]string{
	wire.EndTrap:   "the module trapped",
	wire.EndFuel:   "it used all its fuel",
	wire.EndOutput: "it wrote more than the release allows",
	wire.EndState:  "its state was larger than a checkpoint may be",
	wire.Undecided: "its workers could not agree",
	wire.Stopped:   "it was stopped",
	wire.Withdrawn: "its result is withdrawn, because a worker behind it was caught",
}

// ending is how a task ended, with the last that it wrote.
func ending(r wire.ResultLine) string {
	how, ok := endings[r.End]
	if !ok {
		how = fmt.Sprintf("exit code %d", r.Code)
	}
	if last := lastLine(r.Output); last != "" {
		how += fmt.Sprintf(", having written %q", last)
	}
	return how
}

// maxLastLine is how much of a task's last words is shown.
const maxLastLine = 200

func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimRight(string(output), "\n"), "\n")
	last := lines[len(lines)-1]
	return last[:min(len(last), maxLastLine)]
}

// plainResult writes outputs only, to out for standard output; what did not end
// well is said on standard error, so that a pipe gets nothing but results.
func plainResult(c *cobra.Command, out io.Writer) func(wire.ResultLine) error {
	return func(r wire.ResultLine) error {
		if _, err := out.Write(terminal.Text(c.OutOrStdout(), r.Output)); err != nil {
			return err
		}
		if r.End != "exit" || r.Code != 0 {
			fmt.Fprintf(c.ErrOrStderr(), "task %d: %s (%s, code %d, after %d fuel in %d segments)\n", r.Task, ending(r), r.End, r.Code, r.Fuel, r.Segments)
		}
		return nil
	}
}

func jsonResult(out io.Writer) func(wire.ResultLine) error {
	enc := json.NewEncoder(out)
	return func(r wire.ResultLine) error { return enc.Encode(r) }
}
