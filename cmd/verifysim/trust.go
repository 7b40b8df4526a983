package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

const (
	maxKeyFile    = 1024
	maxPolicyFile = 64 << 10
)

// trustFlags say whose statements count. They are needed, because what a hub
// says about that counts nothing.
type trustFlags struct {
	roots     []string
	threshold int
	floor     int64
	state     string
	keys      []string
	policy    string
	log       logFlags
}

func addTrustFlags(c *cobra.Command) *trustFlags {
	f := &trustFlags{}
	fl := c.Flags()
	fl.StringArrayVar(&f.roots, "root", nil, "a root `key` (or .pub file): follow the policies and the index that come from it; may be given several times")
	fl.IntVar(&f.threshold, "threshold", 1, "how many root keys must have signed a policy")
	fl.Int64Var(&f.floor, "floor", 1, "the lowest policy `version` to take")
	fl.StringVar(&f.state, "state", "", "`file` that remembers policy and index, so that nobody leads back behind them")
	c.Flags().StringArrayVar(&f.keys, "keys", nil, "instead of --root: a researcher's public `key` (or .pub file) to trust; may be given several times")
	c.Flags().StringVar(&f.policy, "policy", "", "instead of --root: a policy `file` whose researchers to trust, within their prefixes and ceilings")
	f.log.add(c.Flags())
	c.MarkFlagsOneRequired("root", "keys", "policy")
	c.MarkFlagsMutuallyExclusive("root", "keys", "policy")
	c.MarkFlagsMutuallyExclusive("root", "log")
	return f
}

func (f *trustFlags) load(c *cobra.Command) (t volunteer.Trust, err error) {
	if t.Log, err = f.log.load(); err != nil {
		return t, err
	}
	if len(f.roots) > 0 {
		t.Root = &policy.Root{Threshold: f.threshold, Floor: f.floor}
		t.Follow.State = f.state
		for _, k := range f.roots {
			key, err := parseKey(c, k)
			if err != nil {
				return t, err
			}
			t.Root.Keys = append(t.Root.Keys, key)
		}
		return t, t.Root.Check()
	}
	for _, k := range f.keys {
		key, err := parseKey(c, k)
		if err != nil {
			return t, err
		}
		t.Keys = append(t.Keys, key)
	}
	if f.policy == "" {
		return t, nil
	}
	data, err := readCapped(c, f.policy, maxPolicyFile)
	if err != nil {
		return t, err
	}
	if t.Policy, err = policy.Parse(data); err != nil {
		return t, fmt.Errorf("%s: %w", f.policy, err)
	}
	return t, nil
}

// parseKey takes a key as text, or a .pub file.
func parseKey(c *cobra.Command, s string) (keys.PublicKey, error) {
	if key, err := keys.ParsePublicKey([]byte(s)); err == nil {
		return key, nil
	}
	data, err := readCapped(c, s, maxKeyFile)
	if err != nil {
		return keys.PublicKey{}, fmt.Errorf("%s is neither a public key nor a file that can be read: %w", s, err)
	}
	key, err := keys.ParsePublicKey(data)
	if err != nil {
		return keys.PublicKey{}, fmt.Errorf("%s: %w", s, err)
	}
	return key, nil
}

func addHubFlag(c *cobra.Command) *string {
	return c.Flags().String("hub", os.Getenv("COUNTERSIGN_HUB"), "the hub's `URL` (default from COUNTERSIGN_HUB)")
}

func dial(hub string) (*client.Client, error) {
	if hub == "" {
		return nil, fmt.Errorf("which hub? Give --hub URL, or set COUNTERSIGN_HUB")
	}
	return client.New(hub, "")
}
