package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/wire"
)

func tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Mint, list and revoke tokens for operators, auditors and sites",
		Long: `token makes what a hub lets people in with, docs/spec/token.md: operators end work,
auditors read what is not public, and sites bring volunteers where the hub was
started with --site-tokens.`,
		Args: cobra.NoArgs,
	}
	c.AddCommand(mintCommand(), listTokensCommand(), revokeCommand(), rotateCommand())
	return c
}

func mintCommand() *cobra.Command {
	var data string
	var g hub.Grant
	life := days(time.Hour)
	c := &cobra.Command{
		Use:   "mint",
		Short: "Make a token, with the key in the data directory",
		Long: `mint prints a token. It works beside a running hub, and without one, for whoever
may read the data directory. A record without the token stays there, for hub token list.`,
		Example: `  hub token mint --data data --role operator --subject ada > operator.token
  hub token mint --data data --role site --subject example.org --origin https://example.org --rate 600 --expires 90d`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&data, "data", "", "the hub's data `directory`")
	c.Flags().StringVar(&g.Role, "role", "operator", "what the token is good for: operator, auditor or site")
	c.Flags().StringVar(&g.Subject, "subject", "", "whose it is (`name`, of a-z, 0-9, . and -)")
	c.Flags().Var(&life, "expires", "how long it is good for, like 30d or 12h (at most 366d)")
	c.Flags().StringVar(&g.Origin, "origin", "", "of a site: its pages' origin, like https://example.org")
	c.Flags().IntVar(&g.Rate, "rate", 0, "of a site: how many volunteers may join in a minute")
	must(c, "data", "subject")
	c.RunE = func(c *cobra.Command, _ []string) error {
		g.Life = time.Duration(life)
		token, err := hub.Mint(data, g, time.Now())
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), token)
		return nil
	}
	return c
}

func listTokensCommand() *cobra.Command {
	var r remote
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "Show the tokens that were minted, what was revoked, and the keys",
		Args:  cobra.NoArgs,
	}
	r.flags(c, true)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := r.dial()
		if err != nil {
			return err
		}
		var list wire.TokenList
		if err := cl.GetJSON(c.Context(), "/v1/tokens", &list); err != nil {
			return err
		}
		if asJSON {
			return printJSON(c.OutOrStdout(), list)
		}
		return printTokens(c.OutOrStdout(), &list)
	}
	return c
}

func printTokens(w io.Writer, list *wire.TokenList) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "JTI\tROLE\tSUBJECT\tEXPIRES\tSTATE")
	for _, k := range list.Tokens {
		state, expires := "good", "?"
		if k.Revoked {
			state = "revoked: " + k.Reason
		}
		if k.Expires != nil {
			expires = k.Expires.String()
		}
		role := k.Role
		if k.Origin != "" {
			role += fmt.Sprintf(" %s, %d a minute", k.Origin, k.Rate)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.ID, role, k.Subject, expires, state)
	}
	err := t.Flush()
	for _, k := range list.Keys {
		until := "signs"
		if k.Until != nil {
			until = "counts until " + k.Until.String()
		}
		_, e := fmt.Fprintf(w, "key %s  %s\n", k.Key, until)
		err = errors.Join(err, e)
	}
	return err
}

func revokeCommand() *cobra.Command {
	var r remote
	var reason string
	c := &cobra.Command{
		Use:   "revoke JTI",
		Short: "Make a token worthless, at once and for good",
		Long: `revoke takes effect at once, and holds across restarts. When a site's token is
revoked, the volunteers who came with it are disconnected.`,
		Example: "  hub token revoke 4f0c... --reason 'left the project' --hub http://127.0.0.1:8080 --token-file operator.token",
		Args:    cobra.ExactArgs(1),
	}
	r.flags(c, true)
	c.Flags().StringVar(&reason, "reason", "", "why (up to 200 printable ASCII characters)")
	must(c, "reason")
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := r.dial()
		if err != nil {
			return err
		}
		if err := cl.PostJSON(c.Context(), "/v1/tokens/revoke", wire.RevokeRequest{ID: args[0], Reason: reason}, nil); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "revoked:", args[0])
		return nil
	}
	return c
}

func rotateCommand() *cobra.Command {
	var r remote
	var data string
	overlap := days(30 * 24 * time.Hour)
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key sign tokens, and let the one before count for a while",
		Long: `rotate makes a new key for tokens, at a running hub (--hub, with an operator's
token) or in the data directory of a stopped one (--data). Tokens under the keys
before are good for the overlap. With --overlap 0 they are worth nothing from now
on, for when a key was stolen: also the leases that are lent, whose work is lost.

The hub's own key, its name, stays.`,
		Args: cobra.NoArgs,
	}
	r.flags(c, false)
	c.Flags().StringVar(&r.tokenFile, "token-file", "", "`file` with an operator token, as hub token mint prints it")
	c.Flags().StringVar(&data, "data", "", "the data `directory` of a hub that is stopped")
	c.Flags().Var(&overlap, "overlap", "how long tokens under the keys before are good, like 30d; 0: not at all")
	c.MarkFlagsOneRequired("data", "token-file")
	c.MarkFlagsMutuallyExclusive("data", "token-file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var made wire.Rotated
		var err error
		if data != "" {
			made.Key, err = hub.Rotate(data, time.Duration(overlap), time.Now())
		} else if time.Duration(overlap)%time.Second != 0 {
			err = errors.New("--overlap: want whole seconds")
		} else {
			err = r.rotate(c, time.Duration(overlap), &made)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "tokens are signed by", made.Key)
		return nil
	}
	return c
}

func (r *remote) rotate(c *cobra.Command, overlap time.Duration, made *wire.Rotated) error {
	cl, err := r.dial()
	if err != nil {
		return err
	}
	return cl.PostJSON(c.Context(), "/v1/tokens/rotate", wire.RotateRequest{Overlap: int64(overlap / time.Second)}, made)
}
