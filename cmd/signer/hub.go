package main

import (
	"bufio"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/release"
)

func addHubFlag(c *cobra.Command) *string {
	hub := c.Flags().String("hub", os.Getenv("COUNTERSIGN_HUB"), "the hub's `URL` (default from COUNTERSIGN_HUB)")
	return hub
}

func dial(hub string) (*client.Client, error) { return dialWith(hub, "") }

// dialWith shows a token to the hub.
func dialWith(hub, token string) (*client.Client, error) {
	if hub == "" {
		return nil, fmt.Errorf("which hub? Give --hub URL, or set COUNTERSIGN_HUB")
	}
	return client.New(hub, token)
}

// statementParts are the first two parts of every publication.
func statementParts(path string) (digest canon.Digest, parts []client.Part, err error) {
	st, err := readCapped(path, release.MaxStatement)
	if err != nil {
		return digest, nil, err
	}
	sig, err := readCapped(signatureOf(path), keys.MaxSignature)
	if err != nil {
		return digest, nil, fmt.Errorf("the signature: %w", err)
	}
	return canon.Sum(st), []client.Part{client.Bytes("statement", st), client.Bytes("signature", sig)}, nil
}

func publishCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "publish RELEASE.json",
		Short:   "Give a signed release with its modules to a hub",
		Example: "  signer publish ada-factor-1.release.json --source factor.wasm --module factor.metered.wasm --hub http://127.0.0.1:8080",
		Args:    cobra.ExactArgs(1),
	}
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	addJobFlag(c)
	source := c.Flags().String("source", "", "the module before metering (`file`)")
	module := c.Flags().String("module", "", "the metered module (`file`)")
	must(c, "source", "module")
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := dial(*hub)
		if err != nil {
			return err
		}
		_, parts, err := statementParts(args[0])
		if err != nil {
			return err
		}
		for _, p := range []struct{ name, path string }{{"source", *source}, {"module", *module}} {
			data, err := readCapped(p.path, release.MaxModule)
			if err != nil {
				return err
			}
			parts = append(parts, client.Bytes(p.name, data))
		}
		var made wire.ReleaseAdmitted
		if err := cl.Post(c.Context(), "/v1/releases", &made, parts...); err != nil {
			return fmt.Errorf("publishing %s: %w", args[0], err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), made)
		}
		fmt.Fprintln(c.OutOrStdout(), "published: release", made.Release)
		return nil
	}
	return c
}

func submitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "submit ORDER.json...",
		Short: "Give signed orders, and their input file, to a hub",
		Long: `Gives orders to a hub, one after the other: those that follow others come
after them. With a job file of several [[stage]] tables and no names it is the
orders of the stages, as signer order made them.`,
		Example: "  signer submit numbers.order.json --input numbers.txt --watch --hub http://127.0.0.1:8080",
	}
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	job := addJobFlag(c)
	input := c.Flags().String("input", "", "the input `file` of the one order by lines or chunks")
	watch := c.Flags().Bool("watch", false, "wait for the end of each order and show its progress")
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := dial(*hub)
		if err != nil {
			return err
		}
		all, err := submissions(args, job, *input)
		if err != nil {
			return err
		}
		made, err := submitAll(c, cl, all, !*asJSON && !*watch)
		if err != nil {
			return err
		}
		for _, m := range made {
			switch {
			case *watch:
				err = watchOrder(c, cl, m.Order, *asJSON)
			case *asJSON:
				err = printJSON(c.OutOrStdout(), m)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return c
}

// watchOrder shows a progress bar on a terminal, and lines at each tenth
// elsewhere; it fails unless the order ends as done.
func watchOrder(c *cobra.Command, cl *client.Client, order canon.Digest, asJSON bool) error {
	show, finish := progress(c)
	info, err := cl.Watch(c.Context(), order, 500*time.Millisecond, show)
	finish()
	if err != nil {
		return fmt.Errorf("watching order %s: %w", order.Short(), err)
	}
	if asJSON {
		if err := printJSON(c.OutOrStdout(), info); err != nil {
			return err
		}
	} else {
		printOrder(c, info)
	}
	if info.State != "done" {
		return fmt.Errorf("order %s is %s: %s", order.Short(), info.State, info.Reason)
	}
	return nil
}

func progress(c *cobra.Command) (show func(*wire.OrderInfo), finish func()) {
	f, ok := c.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		last := -1
		return func(o *wire.OrderInfo) {
			if tenth := int(10 * o.Accepted / max(o.Tasks, 1)); tenth != last {
				last = tenth
				fmt.Fprintf(c.ErrOrStderr(), "%s: %d of %d tasks\n", o.State, o.Accepted, o.Tasks)
			}
		}, func() {}
	}
	bar := progressbar.NewOptions64(1, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription("tasks"),
		progressbar.OptionShowCount(), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	return func(o *wire.OrderInfo) {
		bar.ChangeMax64(int64(max(o.Tasks, 1)))
		bar.Describe(o.State)
		_ = bar.Set64(int64(o.Accepted)) // a bar that cannot be drawn is not worth failing for
	}, func() { _ = bar.Finish() }
}

func printOrder(c *cobra.Command, o *wire.OrderInfo) {
	state := o.State
	if o.Reason != "" {
		state += ": " + o.Reason
	}
	fields(c.OutOrStdout(), "order", o.Order, "title", o.Title, "release", o.Name, "state", state,
		"tasks", fmt.Sprintf("%d accepted, %d undecided, %d stopped, %d withdrawn on the way, of %d", o.Accepted, o.Undecided, o.Stopped, o.Withdrawn, o.Tasks), "votes", o.Votes, "lent now", o.Leases)
}

func statusCommand() *cobra.Command {
	c := &cobra.Command{Use: "status [ORDER]", Short: "Show how an order stands, or all of them", Args: cobra.MaximumNArgs(1)}
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := dial(*hub)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return listOrders(c, cl, *asJSON)
		}
		order, err := parseDigest(args[0])
		if err != nil {
			return err
		}
		info, err := cl.Order(c.Context(), order)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), info)
		}
		printOrder(c, info)
		return nil
	}
	return c
}

func listOrders(c *cobra.Command, cl *client.Client, asJSON bool) error {
	var list wire.OrderList
	if err := cl.GetJSON(c.Context(), "/v1/orders", &list); err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), list)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ORDER\tSTATE\tTASKS\tRELEASE\tTITLE")
	for _, o := range list.Orders {
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%s\n", o.Order, o.State, o.Accepted, o.Tasks, o.Name, o.Title)
	}
	return w.Flush()
}

func resultsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "results ORDER",
		Short: "Print the accepted outputs, in task order",
		Long:  "Prints the standard output of every task with a verdict, one after the other. With --json one line per task with its end, exit code, fuel and output in base64.",
		Args:  cobra.ExactArgs(1),
	}
	hub := addHubFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON lines for programs")
	tokenFile := c.Flags().String("token-file", "", "`file` with an auditor's token, for a hub whose results are private")
	from := c.Flags().Uint64("from", 0, "start at this task")
	c.RunE = func(c *cobra.Command, args []string) error {
		token, err := client.ReadToken(*tokenFile)
		if err != nil {
			return err
		}
		cl, err := dialWith(*hub, token)
		if err != nil {
			return err
		}
		order, err := parseDigest(args[0])
		if err != nil {
			return err
		}
		out := bufio.NewWriter(c.OutOrStdout())
		defer out.Flush()
		print := plainResult(c, out)
		if *asJSON {
			print = jsonResult(out)
		}
		return cl.Results(c.Context(), order, *from, print)
	}
	return c
}

func parseDigest(s string) (canon.Digest, error) {
	d, err := canon.ParseDigest(s)
	if err != nil {
		return d, fmt.Errorf("%q is not a digest: want the 64 hex digits that signer order printed", s)
	}
	return d, nil
}

func stopCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "stop order DIGEST|release DIGEST|task DIGEST/NUMBER",
		Short:   "Sign a stop of an order, a task of one, or a release, and give it to a hub",
		Example: `  signer stop order 3f…e2 -k ada.key --reason "wrong numbers" --hub http://127.0.0.1:8080`,
		Args:    cobra.ExactArgs(2),
	}
	key := addKeyFlags(c)
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	reason := c.Flags().String("reason", "", "why, in one line")
	out := c.Flags().StringP("output", "o", "", "write the stop to this `file` instead of sending it")
	must(c, "reason")
	c.RunE = func(c *cobra.Command, args []string) error {
		stop, err := stopOf(args[0], args[1], *reason)
		if err != nil {
			return err
		}
		secret, err := key.load(c)
		if err != nil {
			return err
		}
		st, sig, err := stop.Sign(secret)
		if err != nil {
			return err
		}
		if *out != "" {
			if err := writeStatement(*out, st, sig); err != nil {
				return err
			}
			return signed(c, *asJSON, "stop", *out, canon.Sum(st), st)
		}
		cl, err := dial(*hub)
		if err != nil {
			return err
		}
		var made wire.StopAdmitted
		if err := cl.Post(c.Context(), "/v1/stops", &made, client.Bytes("statement", st), client.Bytes("signature", sig)); err != nil {
			return fmt.Errorf("stopping %s %s: %w", args[0], args[1], err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), made)
		}
		fmt.Fprintf(c.OutOrStdout(), "stopped: %s %s\n", args[0], args[1])
		return nil
	}
	return c
}

func stopOf(target, name, reason string) (*release.Stop, error) {
	if target == "task" {
		order, task, err := wire.ParseTaskTarget(name)
		if err != nil {
			return nil, fmt.Errorf("%q names no task: want ORDER/NUMBER, the 64 hex digits that signer order printed and the task's number", name)
		}
		return release.NewTaskStop(order, task, reason, time.Now()), nil
	}
	digest, err := parseDigest(name)
	return release.NewStop(target, digest, reason, time.Now()), err
}
