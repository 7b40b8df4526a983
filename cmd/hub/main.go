// Command hub hands out what researchers signed, and collects votes on it:
// docs/spec/wire.md.
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

	"github.com/countersign/countersign/internal/terminal"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program apart from its process. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(stderr, "hub: %s\n", terminal.Text(stderr, []byte(err.Error()))) // with what others have written in it
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "hub",
		Short: "Hand out signed work to volunteers, collect their votes",
		Long: `hub admits what researchers signed, lends it to volunteers, and keeps their
countersigned results. It holds no key that could make a volunteer run anything.

Run:      serve, integrity
Operate:  token (mint, list, revoke, rotate), kill, resume, status
Keep:     backup, restore, check, compact
Look:     log-key

Exit codes: 0 done; 1 not done.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), integrityCommand(), tokenCommand(), killCommand(), pauseCommand(), resumeCommand(), statusCommand(), creditCommand(), checkCommand(), backupCommand(), restoreCommand(), compactCommand(), logKeyCommand())
	return root
}

// must marks flags as required; it fails only for a flag that is not there.
func must(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err)
		}
	}
}
