package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/webworker"
)

func integrityCommand() *cobra.Command {
	var tag bool
	var origin, siteFile string
	var root rootFlags
	var log tagLog
	c := &cobra.Command{
		Use:   "integrity",
		Short: "Print the integrity hash of the loader, or the tag that embeds it",
		Long: `integrity prints the subresource-integrity hash of the loader in this program.

With --tag it prints the script tag for your own page. The page that has the tag
decides what may run: it names the loader by its hash, and the root keys whose
policy says what researchers may sign; no hub can change either.`,
		Example: "  hub integrity --tag --origin https://hub.example.org --root root1.pub,root2.pub,root3.pub --threshold 2",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVar(&tag, "tag", false, "print the whole script tag")
	c.Flags().StringVar(&origin, "origin", "https://hub.example", "`URL` of the hub, in the tag")
	root.add(c.Flags())
	c.Flags().StringVar(&siteFile, "site-token", "", "`file` with the token of your site, in the tag, for hubs that ask for one")
	log.add(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !tag {
			fmt.Fprintln(c.OutOrStdout(), webworker.Integrity())
			return nil
		}
		if err := checkOrigin(origin); err != nil {
			return err
		}
		keys := "RW... the root keys that you trust, with spaces between"
		if len(root.keys) > 0 {
			r, err := root.load()
			if err != nil {
				return err
			}
			keys = ""
			for _, k := range r.Keys {
				keys += " " + k.String()
			}
		}
		attributes, err := log.attributes()
		if err != nil {
			return err
		}
		site, err := client.ReadToken(siteFile)
		if err != nil {
			return err
		}
		if site != "" {
			attributes += fmt.Sprintf("\n  data-site=\"%s\"", html.EscapeString(site))
		}
		fmt.Fprintf(c.OutOrStdout(), "<script src=\"%s/countersign.js\"\n  integrity=\"%s\"\n  crossorigin=\"anonymous\" data-countersign\n  data-root=\"%s\"\n  data-threshold=\"%d\" data-floor=\"%d\"%s></script>\n",
			html.EscapeString(origin), webworker.Integrity(), strings.TrimSpace(keys), root.threshold, max(root.floor, 1), attributes)
		return nil
	}
	return c
}

// remote are the flags of commands that talk to a running hub.
type remote struct{ hub, tokenFile string }

func (r *remote) flags(c *cobra.Command, token bool) {
	c.Flags().StringVar(&r.hub, "hub", os.Getenv("COUNTERSIGN_HUB"), "the hub's `URL` (default from COUNTERSIGN_HUB)")
	if token {
		c.Flags().StringVar(&r.tokenFile, "token-file", "", "`file` with an operator token, as hub token mint prints it")
		must(c, "token-file")
	}
}

func (r *remote) dial() (*client.Client, error) {
	if r.hub == "" {
		return nil, errors.New("which hub? Give --hub URL, or set COUNTERSIGN_HUB")
	}
	token, err := client.ReadToken(r.tokenFile)
	if err != nil {
		return nil, err
	}
	return client.New(r.hub, token)
}

func killCommand() *cobra.Command {
	var r remote
	var reason string
	c := &cobra.Command{
		Use:   "kill all|release DIGEST|order DIGEST|task DIGEST/NUMBER",
		Short: "End work at once, at every volunteer, and keep it ended",
		Long: `kill ends what it names at every volunteer at once. It holds across restarts of
the hub. "kill all" can be lifted with hub resume; what else was killed stays so.
A task is named by its order and its number, and has the end "stopped" in the
results; one that has a result keeps it.`,
		Example: "  hub kill all --reason 'wrong results' --hub http://127.0.0.1:8080 --token-file operator.token",
		Args:    cobra.RangeArgs(1, 2),
	}
	r.flags(c, true)
	c.Flags().StringVar(&reason, "reason", "", "why, for volunteers and the log (up to 200 printable ASCII characters)")
	must(c, "reason")
	c.RunE = func(c *cobra.Command, args []string) error {
		k := wire.KillRequest{Scope: wire.Scope(args[0]), Reason: reason}
		if len(args) == 2 {
			k.Target = args[1]
		}
		if !slices.Contains([]wire.Scope{wire.KillAll, wire.KillOrder, wire.KillRelease, wire.KillTask}, k.Scope) || (k.Scope == wire.KillAll) != (k.Target == "") {
			return fmt.Errorf("kill %s: want all, release DIGEST, order DIGEST or task DIGEST/NUMBER", strings.Join(args, " "))
		}
		cl, err := r.dial()
		if err != nil {
			return err
		}
		if err := cl.PostJSON(c.Context(), "/v1/kill", k, nil); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "killed:", strings.Join(args, " "))
		return nil
	}
	return c
}

func resumeCommand() *cobra.Command {
	var r remote
	c := &cobra.Command{
		Use:     "resume",
		Short:   "Lift a kill of everything",
		Example: "  hub resume --hub http://127.0.0.1:8080 --token-file operator.token",
		Args:    cobra.NoArgs,
	}
	r.flags(c, true)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := r.dial()
		if err != nil {
			return err
		}
		if err := cl.PostJSON(c.Context(), "/v1/resume", struct{}{}, nil); err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), "resumed")
		return nil
	}
	return c
}

func statusCommand() *cobra.Command {
	var r remote
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how a hub stands",
		Args:  cobra.NoArgs,
	}
	r.flags(c, false)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := r.dial()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
		defer cancel()
		var s wire.StatusInfo
		if err := cl.GetJSON(ctx, "/v1/status", &s); err != nil {
			return err
		}
		if asJSON {
			return printJSON(c.OutOrStdout(), s)
		}
		return printStatus(c.OutOrStdout(), s)
	}
	return c
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func printStatus(w io.Writer, s wire.StatusInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	state := "running"
	if s.Halted {
		state = "halted: " + s.Reason
	}
	fmt.Fprintf(t, "hub\t%s\n", s.Hub)
	fmt.Fprintf(t, "state\t%s\n", state)
	fmt.Fprintf(t, "policy\tversion %d, until %s; index: %s\n", s.Trust.PolicyVersion, s.Trust.PolicyExpires, s.Trust.Index)
	if s.Trust.Warning != "" {
		fmt.Fprintf(t, "WARNING\t%s\n", s.Trust.Warning)
	}
	switch s.Disk.State {
	case "short":
		fmt.Fprintf(t, "WARNING\tthe disk has only %d MiB left: nothing is lent or admitted until there is room\n", s.Disk.Free>>20)
	case "full":
		fmt.Fprintf(t, "WARNING\tthe disk is full: votes wait, and nothing is lent or admitted, until there is room\n")
	}
	fmt.Fprintf(t, "workers\t%d, with %d leases\n", s.Workers, s.Leases)
	fmt.Fprintf(t, "orders\t%d running, %d queued, %d done, %d stopped, %d expired\n",
		s.Orders["running"], s.Orders["queued"], s.Orders["done"], s.Orders["stopped"], s.Orders["expired"])
	fmt.Fprintf(t, "votes\t%d, on %d tasks with a verdict\n", s.Votes, s.Results)
	return t.Flush()
}

func checkCommand() *cobra.Command {
	var data string
	var oneNetwork, asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Make sure that a data directory is sound; no hub may use it",
		Long: `check reads a whole data directory: every blob and statement is what its digest
says, every vote is signed by its worker, every verdict stands on enough votes.`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&data, "data", "", "the hub's data `directory`")
	c.Flags().BoolVar(&oneNetwork, "unsafe-one-network", false, "the hub runs with --unsafe-one-network: count workers, not networks")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	must(c, "data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		report, err := hub.Check(data, oneNetwork)
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(c.OutOrStdout(), report)
		} else {
			err = printReport(c.OutOrStdout(), report)
		}
		if n := len(report.Problems) + report.More; n > 0 && err == nil {
			return fmt.Errorf("%s has %d problems", data, n)
		}
		return err
	}
	return c
}

func printReport(w io.Writer, r *hub.Report) error {
	for _, p := range r.Problems {
		fmt.Fprintln(w, "problem:", p)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "... and %d more\n", r.More)
	}
	_, err := fmt.Fprintf(w, "%d policies, %d releases, %d orders, %d stops, %d kills, %d log entries, %d blobs, %d checkpoints, %d votes, %d verdicts (%d undecided, %d stopped)\n",
		r.Policies, r.Releases, r.Orders, r.Stops, r.Kills, r.Leaves, r.Blobs, r.Lanes, r.Votes, r.Verdicts, r.Undecided, r.Stopped)
	if r.Pruned > 0 && err == nil {
		_, err = fmt.Fprintf(w, "%d orders ended long ago: their votes were removed, their verdicts cannot be checked\n", r.Pruned)
	}
	if len(r.Problems) == 0 && err == nil {
		_, err = fmt.Fprintln(w, "sound")
	}
	return err
}
