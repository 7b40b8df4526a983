// Command verifysim runs modules as volunteers do: one locally, the tasks of a
// hub as a native volunteer, those of an order again to see whether its results
// are true, and whole fleets of volunteers against a hub of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/terminal"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Exit codes, in the help of every command.
const (
	exitOK      = 0
	exitFailed  = 1 // what was asked for did not happen, or is not true
	exitModule  = 2 // run: the module did not exit with code 0
	exitRefused = 3 // something did not verify
)

// errModule is a module that ended badly; what happened has been printed.
var errModule = errors.New("the module did not exit with code 0")

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errModule):
		return exitModule
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "verifysim: interrupted")
		return exitFailed
	}
	fmt.Fprintf(stderr, "verifysim: %s\n", terminal.Text(stderr, []byte(err.Error()))) // with what others have written in it
	if canon.ClassOf(err) != "" {
		return exitRefused
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "verifysim",
		Short: "Run modules, volunteer natively, verify results, simulate fleets",
		Long: `verifysim runs the modules that browsers run, under wazero: same bytes, same outcomes.

run      a module on this machine
work     as a native volunteer of a hub
verify   the tasks of an order again, to compare with its results
audit    tasks that votes could not decide, and some that they did, as a trusted auditor
fleet    many volunteers, some of whom lie or vanish, against a hub of its own

Exit codes: 0 done; 1 not done, or results that are not true; 2 (run) the module did not exit with code 0;
3 something did not verify or was refused.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(), workCommand(), verifyCommand(), auditCommand(), fleetCommand())
	return root
}
