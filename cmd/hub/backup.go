package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/wire"
)

func backupCommand() *cobra.Command {
	var data, out, address string
	c := &cobra.Command{
		Use:   "backup",
		Short: "Write all that a hub has into one file, also while it runs",
		Long: `backup writes a tar file with the facts of one moment, and all modules, inputs,
checkpoints and keys. Who has it has the hub's keys: keep it as you keep them.

A hub that runs goes on meanwhile. Give its address with --hub; backup runs on the
hub's machine and lets itself in with the key in the data directory.`,
		Example: "  hub backup --data data --hub http://127.0.0.1:8080 -o hub.tar\n  hub backup --data data -o - | age -r KEY > hub.tar.age",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&data, "data", "", "the hub's data `directory`")
	c.Flags().StringVarP(&out, "output", "o", "", "`file` to write, which must not be there; -: standard output")
	c.Flags().StringVar(&address, "hub", os.Getenv("COUNTERSIGN_HUB"), "the `URL` of the hub that runs on it (default from COUNTERSIGN_HUB)")
	must(c, "data", "output")
	ask := func(ctx context.Context, token string) (made wire.SnapshotMade, err error) {
		if address == "" {
			return made, errors.New("a hub runs on it: give its address with --hub")
		}
		cl, err := client.New(address, token)
		if err != nil {
			return made, err
		}
		return made, cl.PostJSON(ctx, "/v1/snapshot", struct{}{}, &made)
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if out == "-" {
			return hub.Backup(c.Context(), c.OutOrStdout(), data, ask)
		}
		size, err := newFile(out, func(w io.Writer) error { return hub.Backup(c.Context(), w, data, ask) })
		if err != nil {
			return fmt.Errorf("backup of %s: %w", data, err)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: %d bytes\n", out, size)
		return nil
	}
	return c
}

// newFile makes a durable file for its owner alone, or none.
func newFile(path string, fill func(io.Writer) error) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	err = fill(f)
	if err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(path))
	}
	return size, nil
}

func restoreCommand() *cobra.Command {
	var data string
	var oneNetwork bool
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data directory of a backup, and check it",
		Long: `restore makes a data directory of a backup and checks all of it, as hub check does.
Nothing may be at its place. If anything is wrong, nothing is left there.

What the hub acknowledged after the backup is not in it: votes are asked for again.
If its transparency log was seen longer than it is in the backup, whoever watches
will call it rewound; docs/operations.md says what to do then.`,
		Example: "  hub restore hub.tar --data data",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&data, "data", "", "the data `directory` to make")
	c.Flags().BoolVar(&oneNetwork, "unsafe-one-network", false, "the hub runs with --unsafe-one-network: count workers, not networks")
	must(c, "data")
	c.RunE = func(c *cobra.Command, args []string) error {
		in := c.InOrStdin()
		if args[0] != "-" {
			f, err := os.Open(filepath.Clean(args[0]))
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		report, err := hub.Restore(in, data, oneNetwork)
		if err != nil {
			return fmt.Errorf("restoring %s: %w", args[0], err)
		}
		if err := printReport(c.OutOrStdout(), report); err != nil {
			return err
		}
		if n := len(report.Problems) + report.More; n > 0 {
			return fmt.Errorf("the backup has %d problems: nothing was restored", n)
		}
		return nil
	}
	return c
}
