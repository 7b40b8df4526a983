package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

func policyCommand() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Write the policy: which keys may sign what"}
	c.AddCommand(policyNew())
	return c
}

func policyNew() *cobra.Command {
	var researchers []string
	var version int64
	var out string
	ceilings := policy.Ceilings{}
	var expiresIn time.Duration
	c := &cobra.Command{
		Use:   "new",
		Short: "Write a policy file for a hub",
		Long: `Each --researcher is NAME,PREFIX,KEY: a name for people, the prefix of release names that the key may sign
(ending in / for everything below), and the public key or the path of its .pub file.
The ceilings apply to all of them; edit the file's numbers for finer ones.`,
		Example: `  signer policy new --researcher "Ada Lovelace,ada/,ada.pub" -o policy.json`,
		Args:    cobra.NoArgs,
	}
	fl := c.Flags()
	fl.StringArrayVar(&researchers, "researcher", nil, "`NAME,PREFIX,KEY`; may be given several times")
	fl.Int64Var(&version, "version", 1, "version of the policy")
	fl.StringVarP(&out, "output", "o", "", "write the policy to this `file`")
	fl.Uint64Var(&ceilings.TaskFuel, "max-task-fuel", 1_000_000_000_000, "largest task_fuel of a release")
	fl.Uint32Var(&ceilings.MemoryPages, "max-memory-pages", 4096, "largest memory_pages of a release")
	fl.Uint32Var(&ceilings.Seconds, "max-seconds", 3600, "largest seconds of a release")
	fl.Uint64Var(&ceilings.Tasks, "max-tasks", 10_000_000, "most tasks of an order")
	fl.DurationVar(&expiresIn, "expires-in", 365*24*time.Hour, "how long the policy holds (at most 366 days)")
	must(c, "researcher", "output")
	c.RunE = func(c *cobra.Command, _ []string) error {
		p := &policy.Policy{Type: policy.Type, Version: version, Expires: canon.TimeOf(time.Now().Add(expiresIn))}
		for _, text := range researchers {
			r, err := parseResearcher(text)
			if err != nil {
				return err
			}
			r.Ceilings = ceilings
			p.Researchers = append(p.Researchers, r)
		}
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
		fmt.Fprintf(c.OutOrStdout(), "%s: policy version %d, %d researchers, until %s\n", out, p.Version, len(p.Researchers), p.Expires)
		return nil
	}
	return c
}

func parseResearcher(text string) (policy.Researcher, error) {
	parts := strings.Split(text, ",")
	if len(parts) != 3 {
		return policy.Researcher{}, fmt.Errorf("--researcher %q: want NAME,PREFIX,KEY", text)
	}
	k, err := parseKey(parts[2])
	if err != nil {
		return policy.Researcher{}, fmt.Errorf("--researcher %q: %w", text, err)
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
