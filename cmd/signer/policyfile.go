package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// policyEdits are changes to a policy, as flags give them.
type policyEdits struct {
	addRoots, removeRoots             []string
	threshold                         int
	addResearchers, removeResearchers []string
	clock                             string
	revoke                            []string
	addOrigins, removeOrigins         []string
	log                               string
	addWitnesses, removeWitnesses     []string
	quorum                            int // -1: as before
}

func (e *policyEdits) apply(p *policy.Policy, ceilings policy.Ceilings) error {
	for _, step := range []func(*policy.Policy) error{e.takeOut, e.putIn(ceilings)} {
		if err := step(p); err != nil {
			return err
		}
	}
	if e.threshold != 0 {
		p.Threshold = e.threshold
	}
	p.Origins = slices.DeleteFunc(append(p.Origins, e.addOrigins...), func(o string) bool { return slices.Contains(e.removeOrigins, o) })
	slices.Sort(p.Origins)
	p.Origins = slices.Compact(p.Origins)
	return e.watch(p)
}

// watch sets the log that must have every release, and who must have cosigned.
func (e *policyEdits) watch(p *policy.Policy) error {
	switch e.log {
	case "":
	case "none":
		p.LogKey, p.Witnesses, p.Quorum = "", []string{}, 0
	default:
		p.LogKey = e.log
	}
	for _, w := range e.removeWitnesses {
		if !slices.Contains(p.Witnesses, w) {
			return fmt.Errorf("witness %s is not in the policy", w)
		}
	}
	p.Witnesses = slices.DeleteFunc(append(p.Witnesses, e.addWitnesses...), func(w string) bool { return slices.Contains(e.removeWitnesses, w) })
	if e.quorum >= 0 {
		p.Quorum = e.quorum
	}
	return nil
}

// takeOut takes keys out of their roles. Whoever names a key that has none has
// most likely named the wrong one.
func (e *policyEdits) takeOut(p *policy.Policy) error {
	for _, out := range []struct {
		texts              []string
		roots, researchers bool
		revoke             bool
	}{{e.removeRoots, true, false, false}, {e.removeResearchers, false, true, false}, {e.revoke, true, true, true}} {
		all, err := parseKeys(out.texts)
		if err != nil {
			return err
		}
		for _, k := range all {
			n := len(p.RootKeys) + len(p.Researchers)
			if out.roots {
				p.RootKeys = slices.DeleteFunc(p.RootKeys, func(x keys.PublicKey) bool { return x == k })
			}
			if out.researchers {
				p.Researchers = slices.DeleteFunc(p.Researchers, func(r policy.Researcher) bool { return r.Key == k })
			}
			if out.revoke {
				if p.ClockKey == k.String() {
					p.ClockKey = ""
				}
				p.RevokedKeys = append(p.RevokedKeys, k)
			} else if len(p.RootKeys)+len(p.Researchers) == n {
				return fmt.Errorf("key %s is not in the policy with that role", k)
			}
		}
	}
	return nil
}

func (e *policyEdits) putIn(ceilings policy.Ceilings) func(*policy.Policy) error {
	return func(p *policy.Policy) error {
		roots, err := parseKeys(e.addRoots)
		if err != nil {
			return err
		}
		p.RootKeys = append(p.RootKeys, roots...)
		for _, text := range e.addResearchers {
			r, err := parseResearcher(text)
			if err != nil {
				return err
			}
			r.Ceilings = ceilings
			p.Researchers = append(p.Researchers, r)
		}
		switch e.clock {
		case "":
			return nil
		case "none":
			p.ClockKey = ""
			return nil
		}
		k, err := parseKey(e.clock)
		p.ClockKey = k.String()
		return err
	}
}

func parseKeys(texts []string) ([]keys.PublicKey, error) {
	var all []keys.PublicKey
	for _, t := range texts {
		k, err := parseKey(t)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

func canonTime(t time.Time) canon.Time { return canon.TimeOf(t) }

func containsKey(all []keys.PublicKey, k keys.PublicKey) bool { return slices.Contains(all, k) }

// rootsOf are the keys that may sign p: its own root keys, and those of the
// version before.
func rootsOf(p *policy.Policy, previous string) ([]keys.PublicKey, error) {
	if previous == "" {
		return p.RootKeys, nil
	}
	data, err := readCapped(previous, policy.MaxBytes)
	if err != nil {
		return nil, err
	}
	before, err := policy.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", previous, err)
	}
	if before.Version+1 != p.Version {
		return nil, fmt.Errorf("%s is policy version %d, not the version before %d", previous, before.Version, p.Version)
	}
	return slices.Concat(p.RootKeys, before.RootKeys), nil
}

// readSignedPolicy reads a policy with its bundle beside it.
func readSignedPolicy(path string) (s policy.Signed, err error) {
	if s.Statement, err = readCapped(path, policy.MaxBytes); err != nil {
		return s, err
	}
	if s.Signatures, err = readCapped(signatureOf(path), keys.MaxBundle); err != nil {
		return s, fmt.Errorf("the signatures (signer policy merge makes this file): %w", err)
	}
	return s, nil
}

func policyMerge() *cobra.Command {
	var previous string
	c := &cobra.Command{
		Use:   "merge POLICY.json [SIGNATURE...]",
		Short: "Gather the signatures of a policy into POLICY.json.minisig",
		Long: `merge takes the named signature files, or all POLICY.json.*.minisig, checks each of them, and
writes them into one. It says how many signatures are still needed; without --previous it cannot
know how many the version before asks for.`,
		Example: "  signer policy merge policy.json policy.json.*.minisig",
		Args:    cobra.MinimumNArgs(1),
	}
	c.Flags().StringVar(&previous, "previous", "", "the policy version before (`file`)")
	c.RunE = func(c *cobra.Command, args []string) error {
		data, err := readCapped(args[0], policy.MaxBytes)
		if err != nil {
			return err
		}
		p, err := policy.Parse(data)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		files := args[1:]
		if len(files) == 0 {
			if files, err = filepath.Glob(args[0] + ".*.minisig"); err != nil || len(files) == 0 {
				return fmt.Errorf("no signatures: there is no %s.*.minisig here, and none is named", args[0])
			}
		}
		roots, err := rootsOf(p, previous)
		if err != nil {
			return err
		}
		bundle, err := gather(data, roots, files)
		if err != nil {
			return err
		}
		if err := replaceModule(signatureOf(args[0]), bundle); err != nil {
			return err
		}
		return missing(c, args[0], p, previous, policy.Signed{Statement: data, Signatures: bundle})
	}
	return c
}

// gather joins the signatures in files, each of which must be by one of roots.
func gather(data []byte, roots []keys.PublicKey, files []string) ([]byte, error) {
	var all [][]byte
	for _, f := range files {
		sig, err := readCapped(f, keys.MaxBundle)
		if err != nil {
			return nil, err
		}
		blocks, err := keys.Split(keys.Join(sig))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		for _, b := range blocks {
			if _, err := keys.Verify(roots, data, b); err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			if !slices.ContainsFunc(all, func(x []byte) bool { return string(x) == string(b) }) {
				all = append(all, b)
			}
		}
	}
	return keys.Join(all...), nil
}

// missing says how many signatures are there, and how many are needed.
func missing(c *cobra.Command, path string, p *policy.Policy, previous string, s policy.Signed) error {
	count := func(whose string, p *policy.Policy) (int, error) {
		signers, err := policy.Signers(p.RootKeys, s)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: signed by %d of the %d root keys needed of %s\n", signatureOf(path), len(signers), p.Threshold, whose)
		return max(0, p.Threshold-len(signers)), nil
	}
	more, err := count(fmt.Sprintf("version %d", p.Version), p)
	if err != nil {
		return err
	}
	if previous != "" {
		data, err := readCapped(previous, policy.MaxBytes)
		if err != nil {
			return err
		}
		before, err := policy.Parse(data)
		if err != nil {
			return err
		}
		n, err := count(fmt.Sprintf("version %d", before.Version), before)
		if err != nil {
			return err
		}
		more = max(more, n)
	}
	if more > 0 {
		fmt.Fprintf(c.OutOrStdout(), "%d more needed\n", more)
		return nil
	}
	fmt.Fprintln(c.OutOrStdout(), "complete")
	return nil
}
