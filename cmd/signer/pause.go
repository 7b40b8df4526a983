package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

func pauseCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "pause ORDER",
		Short: "Sign that an order is paused, and give that to a hub",
		Long: `Ends what volunteers do for an order, at once, and has nothing more of it lent
until signer resume. What was done up to the last checkpoint is kept. Its time
goes on: an order expires while it is paused, too.`,
		Example: `  signer pause 3f…e2 -k ada.key --reason "looking at the first results" --hub http://127.0.0.1:8080`,
	}
	return sayPaused(c, true, "")
}

func resumeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "resume ORDER",
		Short:   "Sign that an order goes on, and give that to a hub",
		Example: `  signer resume 3f…e2 -k ada.key --hub http://127.0.0.1:8080`,
	}
	return sayPaused(c, false, "it goes on")
}

// sayPaused makes a command that signs a pause, or what ends one.
func sayPaused(c *cobra.Command, paused bool, reason string) *cobra.Command {
	c.Args = cobra.ExactArgs(1)
	key := addKeyFlags(c)
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	c.Flags().StringVar(&reason, "reason", reason, "why, in one line")
	out := c.Flags().StringP("output", "o", "", "write the statement to this `file` instead of sending it")
	sequence := c.Flags().Uint64("sequence", 0, "its number, higher than all before of this order (default: milliseconds since 1970)")
	if paused {
		must(c, "reason")
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		order, err := parseDigest(args[0])
		if err != nil {
			return err
		}
		secret, err := key.load(c)
		if err != nil {
			return err
		}
		p := release.NewPause(order, paused, reason, time.Now())
		if c.Flags().Changed("sequence") {
			p.Sequence = *sequence
		}
		st, sig, err := p.Sign(secret)
		if err != nil {
			return err
		}
		if *out != "" {
			if err := writeStatement(*out, st, sig); err != nil {
				return err
			}
			return signed(c, *asJSON, "pause", *out, canon.Sum(st), st)
		}
		return sendPause(c, *hub, p, st, sig, *asJSON)
	}
	return c
}

func sendPause(c *cobra.Command, hub string, p *release.Pause, st, sig []byte, asJSON bool) error {
	cl, err := dial(hub)
	if err != nil {
		return err
	}
	said := "paused"
	if !p.Paused {
		said = "resumed"
	}
	var made wire.PauseAdmitted
	if err := cl.Post(c.Context(), "/v1/pauses", &made, client.Bytes("statement", st), client.Bytes("signature", sig)); err != nil {
		return fmt.Errorf("saying that order %s is %s: %w", p.OrderSHA256.Short(), said, err)
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), made)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: order %s\n", said, p.OrderSHA256)
	return nil
}
