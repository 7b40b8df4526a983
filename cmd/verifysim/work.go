package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
)

func workCommand() *cobra.Command {
	var slots, share int
	var keyFile string
	c := &cobra.Command{
		Use:   "work",
		Short: "Volunteer natively: run a hub's tasks and countersign their results",
		Long: `Joins a hub and runs its tasks until it is interrupted. It trusts no hub. With --root, only what the policy that those keys signed allows,
and what the index has nothing against, runs; both are looked at again every few minutes, and what is revoked ends.
With --keys, whatever those keys signed runs.

On Ctrl-C it stops what runs, returns the leases, and waits some seconds until its results are on the hub's disk.
A second Ctrl-C ends it at once.`,
		Example: "  verifysim work --hub https://hub.example --root root1.pub --root root2.pub --root root3.pub --threshold 2 --state seen.json --slots 4 --share 50",
		Args:    cobra.NoArgs,
	}
	hub := addHubFlag(c)
	trust := addTrustFlags(c)
	asJSON := c.Flags().Bool("json", false, "print the log as JSON lines")
	c.Flags().IntVar(&slots, "slots", 1, "how many tasks to run at the same time")
	c.Flags().IntVar(&share, "share", 100, "`percent` of a processor for each slot")
	c.Flags().StringVar(&keyFile, "key", "", "`file` of the worker's key, made if it is not there (default: a key for this time only)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if _, err := dial(*hub); err != nil {
			return err
		}
		// To a program zero means the default; a person who writes it means none.
		if slots == 0 || share == 0 {
			return errors.New("--slots 0 or --share 0 percent would do nothing: give at least 1")
		}
		trusted, err := trust.load(c)
		if err != nil {
			return err
		}
		key, err := workerKey(keyFile)
		if err != nil {
			return err
		}
		return work(c, volunteer.Options{Hub: *hub, Key: key, Trust: trusted, Slots: slots, Share: share, Log: logger(c.ErrOrStderr(), *asJSON)})
	}
	return c
}

func work(c *cobra.Command, opt volunteer.Options) (err error) {
	// The engine ends after the volunteer, which ends gracefully.
	ctx := context.WithoutCancel(c.Context())
	opt.Engine, err = sandbox.New(ctx, &sandbox.Options{CacheDir: modulesDir()})
	if err != nil {
		return err
	}
	defer opt.Engine.Close(ctx)
	v, err := volunteer.New(opt)
	if err != nil {
		return err
	}
	opt.Log.Info("starting", "hub", opt.Hub, "worker", wire.KeyOf(opt.Key.Public().(ed25519.PublicKey)), "slots", opt.Slots, "share", opt.Share)
	err = v.Run(c.Context())
	opt.Log.Info("stopped")
	return err
}

func logger(w io.Writer, asJSON bool) *slog.Logger {
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, nil))
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// workerKey reads the worker's key, or makes one.
func workerKey(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newWorkerKey(path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("worker key %s can be read by others: chmod 600 %s", path, path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading worker key %s: %w", path, err)
	}
	key, err := volunteer.DecodeKey(data)
	if err != nil {
		return nil, fmt.Errorf("worker key %s: %w", path, err)
	}
	return key, nil
}

func newWorkerKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making worker key: %w", err)
	}
	_, err = f.Write(volunteer.EncodeKey(key))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("making worker key %s: %w", path, err)
	}
	return key, nil
}
