// Command signer is the researcher's tool: keys, metered modules, signed
// releases and orders, all offline; then publishing them to a hub and reading
// the results.
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
	exitFailed  = 1 // what was asked for did not happen
	exitRefused = 3 // something did not verify

	// How an order ended, or stands: of submit --watch, results --follow and
	// status --exit-code.
	exitStopped   = 4
	exitExpired   = 5
	exitPaused    = 6
	exitUndecided = 7 // done, and some tasks have no result
	exitGoesOn    = 8 // queued or running
)

// standing is an order that is not done as its researcher would like.
type standing struct {
	code int
	text string
}

func (e *standing) Error() string { return e.text }

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
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "signer: interrupted")
		return exitFailed
	}
	fmt.Fprintf(stderr, "signer: %s\n", terminal.Text(stderr, []byte(err.Error()))) // with what others have written in it
	var s *standing
	if errors.As(err, &s) {
		return s.code
	}
	if canon.ClassOf(err) != "" {
		return exitRefused
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "signer",
		Short: "Sign WebAssembly modules and orders offline, publish them, read results",
		Long: `signer is the researcher's tool.

Offline:   new, key, build, release, order, policy, index, verify, inspect
At a hub:  clock, publish, submit, status, results, pause, resume, stop
The log:   log, witness

Secret keys never leave this machine; a hub gets statements and signatures only.
Passwords are asked for on the terminal, or taken from --password-file, or from
the environment variable COUNTERSIGN_PASSWORD.

Exit codes: 0 done; 1 not done; 3 something did not verify or was refused.
Of submit --watch, results --follow and status --exit-code: 0 the order is done;
4 it was stopped; 5 it has expired; 6 it is paused; 7 it is done, but some tasks
have no result, because their workers could not agree; 8 it is queued or running.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newCommand(), keyCommand(), buildCommand(), releaseCommand(), orderCommand(), policyCommand(), indexCommand(), clockCommand(),
		verifyCommand(), inspectCommand(), publishCommand(), submitCommand(), statusCommand(), resultsCommand(), pauseCommand(), resumeCommand(), stopCommand(),
		logCommand(), witnessCommand())
	return root
}
