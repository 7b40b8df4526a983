package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/witness"
)

func witnessCommand() *cobra.Command {
	var listen, keyFile, name, state string
	var logs []string
	var printKey bool
	c := &cobra.Command{
		Use:   "witness",
		Short: "Cosign the checkpoints of transparency logs, for their readers",
		Long: `Runs a witness (C2SP tlog-witness) until it is interrupted. It cosigns a log's checkpoint only if that goes on from the one that it cosigned before, so whoever trusts it knows that
everybody sees one log. It is worth something on a machine, and with people, that have nothing to do with the hub.

Give the hub's operator the address and the key that it prints (hub serve --witness URL,KEY), and the key to those who verify. It never needs the address of a hub.
Keep the state file: a witness without its memory could cosign a second history.`,
		Example: "  signer witness --key witness.key --state witness.state --listen 0.0.0.0:8090 --log hub.example/log+…",
		Args:    cobra.NoArgs,
	}
	fl := c.Flags()
	fl.StringVar(&listen, "listen", "127.0.0.1:8090", "`address` to listen on")
	fl.StringVar(&keyFile, "key", "", "the witness's key `file`, made if it is not there")
	fl.StringVar(&name, "name", "", "the witness's name when its key is made, like witness.example.org (default: one that follows from the key)")
	fl.StringVar(&state, "state", "", "`file` with what was cosigned, made if it is not there")
	fl.StringArrayVar(&logs, "log", nil, "the `key` of a log to cosign, as hub log-key prints it; may be given several times")
	fl.BoolVar(&printKey, "print-key", false, "print the witness's public key, and end")
	must(c, "key")
	c.RunE = func(c *cobra.Command, _ []string) error {
		key, err := witnessKey(keyFile, name)
		if err != nil {
			return err
		}
		if printKey {
			fmt.Fprintln(c.OutOrStdout(), key.VKey)
			return nil
		}
		if state == "" || len(logs) == 0 {
			return errors.New("a witness needs --state FILE and --log KEY")
		}
		opt := witness.Options{Key: key, State: state, Log: slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))}
		for _, text := range logs {
			k, err := translog.ParseVKey(translog.LogKey, text)
			if err != nil {
				return err
			}
			opt.Logs = append(opt.Logs, k)
		}
		w, err := witness.New(opt)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return fmt.Errorf("listening on %s: %w", listen, err)
		}
		fields(c.OutOrStdout(), "witness key", key.VKey, "listening", "http://"+l.Addr().String())
		return serveWitness(c.Context(), w, l)
	}
	return c
}

func serveWitness(ctx context.Context, w *witness.Witness, l net.Listener) error {
	server := w.Server()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(end); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// witnessKey reads the witness's key, or makes one.
func witnessKey(path, name string) (translog.SecretKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err := translog.GenerateKey(translog.WitnessKey, name)
		if err != nil {
			return k, err
		}
		return k, writeNew(path, k.File(), 0o600)
	}
	if err != nil {
		return translog.SecretKey{}, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return translog.SecretKey{}, fmt.Errorf("others may read %s (mode %v): run chmod 600", path, info.Mode().Perm())
	}
	text, err := readCapped(path, 4096)
	if err != nil {
		return translog.SecretKey{}, err
	}
	k, err := translog.ParseKeyFile(translog.WitnessKey, text)
	if err == nil && name != "" && name != k.Name {
		err = fmt.Errorf("the key's name is %s, and a name is not changed", k.Name)
	}
	if err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}
