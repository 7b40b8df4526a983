package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

func policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Make the policy, the root of trust, and sign it together with others",
		Long: `The policy says which keys may do what. It counts when enough root keys have
signed it, each kept by another person on another machine:

  1. One person writes it:          signer policy init ... -o policy.json
                     or a new one:  signer policy edit policy.json ... -o policy-2.json
  2. Each root signs the same file: signer policy sign policy.json -k root1.key
     which writes policy.json.KEYID.minisig; minisign -Sm makes the same.
  3. The signatures are gathered:   signer policy merge policy.json
     which writes policy.json.minisig, all of them in one file.
  4. Anybody checks:                signer policy verify policy.json --root root1.pub --root root2.pub --threshold 2
  5. The hub gets it:               signer policy publish policy.json --hub URL

A new version needs the thresholds of the version before and of its own.`,
	}
	c.AddCommand(policyInit(), policyEdit(), policySign(), policyMerge(), policyVerify(), policyPublish())
	return c
}

// ceilingFlags are the ceilings of the researchers that a command adds.
func ceilingFlags(c *cobra.Command) *policy.Ceilings {
	ceilings := &policy.Ceilings{}
	fl := c.Flags()
	fl.Uint64Var(&ceilings.TaskFuel, "max-task-fuel", 1_000_000_000_000, "largest task_fuel of a release")
	fl.Uint64Var(&ceilings.MemoryPages, "max-memory-pages", 4096, "largest memory_pages of a release")
	fl.Uint64Var(&ceilings.Seconds, "max-seconds", 3600, "largest seconds of a release")
	fl.Uint64Var(&ceilings.Tasks, "max-tasks", 10_000_000, "most tasks of an order")
	return ceilings
}

const researcherForm = `Each researcher is NAME,PREFIX,KEY: a name for people, the prefix of release names that the key may sign
(ending in / for everything below), and the public key or the path of its .pub file.
The ceilings apply to all that are named here; edit the file's numbers for finer ones, before anybody signs.`

func policyInit() *cobra.Command {
	e := policyEdits{quorum: -1}
	var threshold int
	var out string
	var expiresIn time.Duration
	c := &cobra.Command{
		Use:     "init",
		Short:   "Write the first policy, to be signed",
		Long:    researcherForm,
		Example: `  signer policy init --root root1.pub --root root2.pub --root root3.pub --threshold 2 --clock clock.pub --researcher "Ada Lovelace,ada/,ada.pub" -o policy.json`,
		Args:    cobra.NoArgs,
	}
	fl := c.Flags()
	fl.StringArrayVar(&e.addRoots, "root", nil, "a root `key`, or its .pub file; may be given several times")
	fl.IntVar(&threshold, "threshold", 1, "how many of the root keys must sign")
	fl.StringArrayVar(&e.addResearchers, "researcher", nil, "`NAME,PREFIX,KEY`; may be given several times")
	fl.StringVar(&e.clock, "clock", "", "the `key` that signs the index, or its .pub file; none: there is no index")
	fl.StringArrayVar(&e.addOrigins, "origin", nil, "web `origin` whose pages may embed the loader; none: any that the hub lets in")
	watchFlags(fl, &e)
	fl.StringArrayVar(&e.addWitnesses, "witness", nil, "`key` of a witness of that log, as signer witness --print-key prints it; may be given several times")
	fl.StringVarP(&out, "output", "o", "", "write the policy to this `file`")
	fl.DurationVar(&expiresIn, "expires-in", 365*24*time.Hour, "how long the policy holds (at most 366 days)")
	ceilings := ceilingFlags(c)
	must(c, "root", "researcher", "output")
	c.RunE = func(c *cobra.Command, _ []string) error {
		p := policy.New(1, policy.Root{Threshold: threshold}, time.Now().Add(expiresIn))
		if err := e.apply(p, *ceilings); err != nil {
			return err
		}
		return writePolicy(c, out, p)
	}
	return c
}

func watchFlags(fl *pflag.FlagSet, e *policyEdits) {
	fl.StringVar(&e.log, "log", "", "`key` of the transparency log that must have every release, as hub log-key prints it; \"none\": no log")
	fl.IntVar(&e.quorum, "witness-quorum", -1, "how many of the witnesses must have cosigned the log (-1: as before; at first 0)")
}

// writePolicy writes a policy that is in bounds and current.
func writePolicy(c *cobra.Command, out string, p *policy.Policy) error {
	data, err := p.Encode()
	if err != nil {
		return err
	}
	if err := p.Current(time.Now()); err != nil {
		return err
	}
	if err := writeNew(out, data, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: policy version %d, %d researchers, until %s; %d of %d root keys must sign it\n",
		out, p.Version, len(p.Researchers), p.Expires, p.Threshold, len(p.RootKeys))
	return nil
}

func policyEdit() *cobra.Command {
	e := policyEdits{quorum: -1}
	var out string
	var expiresIn time.Duration
	c := &cobra.Command{
		Use:   "edit POLICY.json",
		Short: "Write the next version of a policy, to be signed",
		Long: researcherForm + `

The new version must be signed by enough root keys of the version before, and by enough of its own.
--revoke takes a key out of every role it has, and lists it as revoked.`,
		Example: `  signer policy edit policy.json --revoke stolen.pub --add-root root4.pub -o policy-2.json`,
		Args:    cobra.ExactArgs(1),
	}
	fl := c.Flags()
	fl.StringArrayVar(&e.addRoots, "add-root", nil, "a root `key` to add, or its .pub file")
	fl.StringArrayVar(&e.removeRoots, "remove-root", nil, "a root `key` to take out, or its .pub file")
	fl.IntVar(&e.threshold, "threshold", 0, "how many of the root keys must sign (0: as before)")
	fl.StringArrayVar(&e.addResearchers, "add-researcher", nil, "`NAME,PREFIX,KEY` to add")
	fl.StringArrayVar(&e.removeResearchers, "remove-researcher", nil, "a researcher's `key` to take out, or its .pub file")
	fl.StringVar(&e.clock, "clock", "", "the `key` that signs the index from now on, or its .pub file; \"none\": no index")
	fl.StringArrayVar(&e.revoke, "revoke", nil, "a `key` whose signatures count no more, or its .pub file")
	fl.StringArrayVar(&e.addOrigins, "add-origin", nil, "web `origin` to add")
	fl.StringArrayVar(&e.removeOrigins, "remove-origin", nil, "web `origin` to take out")
	watchFlags(fl, &e)
	fl.StringArrayVar(&e.addWitnesses, "add-witness", nil, "`key` of a witness of the log to add")
	fl.StringArrayVar(&e.removeWitnesses, "remove-witness", nil, "`key` of a witness to take out")
	fl.DurationVar(&expiresIn, "expires-in", 365*24*time.Hour, "how long the new version holds (at most 366 days)")
	fl.StringVarP(&out, "output", "o", "", "write the policy to this `file`")
	ceilings := ceilingFlags(c)
	must(c, "output")
	c.RunE = func(c *cobra.Command, args []string) error {
		data, err := readCapped(args[0], policy.MaxBytes)
		if err != nil {
			return err
		}
		p, err := policy.Parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		p.Version++
		p.Expires = canonTime(time.Now().Add(expiresIn))
		if err := e.apply(p, *ceilings); err != nil {
			return err
		}
		return writePolicy(c, out, p)
	}
	return c
}

func policySign() *cobra.Command {
	var previous, out string
	c := &cobra.Command{
		Use:   "sign POLICY.json",
		Short: "Sign a policy with one root key, into a file of its own",
		Long: `sign shows what the policy says and signs it. The signature goes to POLICY.json.KEYID.minisig.
Whoever keeps a root key of the version before, and not of this one, names that version with --previous.`,
		Example: "  signer policy sign policy.json -k root1.key",
		Args:    cobra.ExactArgs(1),
	}
	key := addKeyFlags(c)
	c.Flags().StringVar(&previous, "previous", "", "the policy version before, whose root keys sign, too (`file`)")
	c.Flags().StringVarP(&out, "output", "o", "", "write the signature to this `file`")
	c.RunE = func(c *cobra.Command, args []string) error {
		data, err := readCapped(args[0], policy.MaxBytes)
		if err != nil {
			return err
		}
		p, err := policy.Parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		roots, err := rootsOf(p, previous)
		if err != nil {
			return err
		}
		printPolicy(c, p)
		secret, err := key.load(c)
		if err != nil {
			return err
		}
		if !containsKey(roots, secret.Public()) {
			return fmt.Errorf("%s is no root key of %s: to sign with a root key of the version before, give that version with --previous", secret.Public(), args[0])
		}
		if out == "" {
			out = args[0] + "." + secret.Public().ID() + ".minisig"
		}
		if err := writeNew(out, keys.Sign(secret, data, p.Comment()), 0o644); err != nil {
			return err
		}
		fields(c.OutOrStdout(), "signed", args[0], "by", secret.Public(), "signature", out)
		return nil
	}
	return c
}

func policyVerify() *cobra.Command {
	var roots []string
	var threshold int
	var floor int64
	c := &cobra.Command{
		Use:   "verify POLICY.json...",
		Short: "Verify a chain of policies, oldest first, from root keys that you know",
		Long: `verify checks each policy with the signatures in its .minisig file: enough of the
root keys named here for the first, enough of the version before for each that
follows, and enough of its own for all. The last must not have expired.`,
		Example: "  signer policy verify policy.json policy-2.json --root root1.pub --root root2.pub --root root3.pub --threshold 2",
		Args:    cobra.MinimumNArgs(1),
	}
	asJSON := jsonFlag(c)
	c.Flags().StringArrayVar(&roots, "root", nil, "a root `key` that you trust, or its .pub file; may be given several times")
	c.Flags().IntVar(&threshold, "threshold", 1, "how many of them must have signed")
	c.Flags().Int64Var(&floor, "floor", 0, "the lowest version to take")
	must(c, "root")
	c.RunE = func(c *cobra.Command, args []string) error {
		root := policy.Root{Threshold: threshold, Floor: floor}
		var err error
		if root.Keys, err = parseKeys(roots); err != nil {
			return err
		}
		var chain []policy.Signed
		for _, path := range args {
			s, err := readSignedPolicy(path)
			if err != nil {
				return err
			}
			chain = append(chain, s)
		}
		p, seen, err := root.Open(chain, policy.Seen{}, time.Now())
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, ", "), err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]any{"version": p.Version, "sha256": seen.PolicySHA256, "expires": p.Expires})
		}
		printPolicy(c, p)
		fmt.Fprintln(c.OutOrStdout(), "verified")
		return nil
	}
	return c
}

func policyPublish() *cobra.Command {
	c := &cobra.Command{
		Use:     "publish POLICY.json",
		Short:   "Give a signed policy to a hub, which follows it at once",
		Example: "  signer policy publish policy-2.json --hub http://127.0.0.1:8080",
		Args:    cobra.ExactArgs(1),
	}
	hub := addHubFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := dial(*hub)
		if err != nil {
			return err
		}
		s, err := readSignedPolicy(args[0])
		if err != nil {
			return err
		}
		var made wire.PolicyAdmitted
		if err := cl.Post(c.Context(), "/v1/policy", &made, client.Bytes("statement", s.Statement), client.Bytes("signature", s.Signatures)); err != nil {
			return fmt.Errorf("publishing %s: %w", args[0], err)
		}
		fmt.Fprintf(c.OutOrStdout(), "published: policy version %d\n", made.Version)
		return nil
	}
	return c
}

func printPolicy(c *cobra.Command, p *policy.Policy) {
	clock := p.ClockKey
	if clock == "" {
		clock = "none: no index is asked for"
	}
	w := c.OutOrStdout()
	fields(w, "policy", fmt.Sprintf("version %d, until %s", p.Version, p.Expires), "threshold", fmt.Sprintf("%d of %d root keys", p.Threshold, len(p.RootKeys)), "clock key", clock)
	for _, k := range p.RootKeys {
		fmt.Fprintln(w, "  root key  ", k)
	}
	for _, r := range p.Researchers {
		fmt.Fprintf(w, "  researcher %s signs %s with %s: fuel %d, %d pages, %d s, %d tasks\n", r.Name, r.Prefix, r.Key, r.Ceilings.TaskFuel, r.Ceilings.MemoryPages, r.Ceilings.Seconds, r.Ceilings.Tasks)
	}
	if p.LogKey != "" {
		fmt.Fprintf(w, "  log        %s, %d of %d witnesses must have cosigned\n", p.LogKey, p.Quorum, len(p.Witnesses))
	}
	for _, k := range p.Witnesses {
		fmt.Fprintln(w, "  witness   ", k)
	}
	for _, o := range p.Origins {
		fmt.Fprintln(w, "  origin    ", o)
	}
	for _, k := range p.RevokedKeys {
		fmt.Fprintln(w, "  revoked   ", k)
	}
}

func parseResearcher(text string) (policy.Researcher, error) {
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return policy.Researcher{}, fmt.Errorf("researcher %q: want NAME,PREFIX,KEY", text)
	}
	k, err := parseKey(parts[2])
	if err != nil {
		return policy.Researcher{}, fmt.Errorf("researcher %q: %w", text, err)
	}
	return policy.Researcher{Name: parts[0], Prefix: parts[1], Key: k}, nil
}

// parseKey takes a public key or the path of a file with one.
func parseKey(text string) (keys.PublicKey, error) {
	if k, err := keys.ParsePublicKey([]byte(text)); err == nil {
		return k, nil
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return keys.PublicKey{}, fmt.Errorf("%q is neither a public key nor a file with one: %w", text, err)
	}
	return keys.ParsePublicKey(data)
}
