package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// indexFlags are what signer index and signer clock have in common.
type indexFlags struct {
	policy, state, hub string
	expiresIn          time.Duration
	key                *keyFlags
}

func addIndexFlags(c *cobra.Command) *indexFlags {
	f := &indexFlags{key: addKeyFlags(c)}
	fl := c.Flags()
	fl.StringVar(&f.policy, "policy", "", "the policy that names the clock key (`file`)")
	fl.StringVar(&f.state, "state", "index.json", "the last index; the new one is written there (`file`)")
	fl.DurationVar(&f.expiresIn, "expires-in", 12*time.Hour, "how long an index holds (at most 24 hours)")
	must(c, "policy")
	return f
}

// indexChange is what one new index says otherwise than the one before.
type indexChange struct {
	floors, revoke, pardon []string
	halt                   string
	goOn                   bool
}

func indexCommand() *cobra.Command {
	var change indexChange
	c := &cobra.Command{
		Use:   "index",
		Short: "Sign an index: what is still good",
		Long: `index signs the next index with the clock key: lowest good versions, revoked releases
and orders, a halt of everything. What the last index said stays, unless it is changed here.
With --hub it goes to the hub at once. A running signer clock takes the change over.`,
		Example: `  signer index -k clock.key --policy policy.json --revoke 3f…e2 --hub http://127.0.0.1:8080
  signer index -k clock.key --policy policy.json --floor ada/factor=3 --hub http://127.0.0.1:8080`,
		Args: cobra.NoArgs,
	}
	f := addIndexFlags(c)
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	c.Flags().StringArrayVar(&change.floors, "floor", nil, "`NAME=VERSION`: the lowest version of a release that is good")
	c.Flags().StringArrayVar(&change.revoke, "revoke", nil, "`digest` of a release or an order that must not run")
	c.Flags().StringArrayVar(&change.pardon, "pardon", nil, "`digest` that is revoked no more")
	c.Flags().StringVar(&change.halt, "halt", "", "halt everything, for this `reason`")
	c.Flags().BoolVar(&change.goOn, "go-on", false, "end a halt")
	c.MarkFlagsMutuallyExclusive("halt", "go-on")
	c.RunE = func(c *cobra.Command, _ []string) error {
		secret, err := f.key.load(c)
		if err != nil {
			return err
		}
		x, st, sig, err := f.next(secret, change, time.Now())
		if err != nil {
			return err
		}
		if *hub != "" {
			if err := pushIndex(c.Context(), *hub, st, sig); err != nil {
				return err
			}
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), x)
		}
		fields(c.OutOrStdout(), "index", x.Sequence, "policy", fmt.Sprintf("version %d or later", x.PolicyVersion), "floors", len(x.Floors), "revoked", len(x.Revoked), "halt", x.Halt, "expires", x.Expires, "file", f.state)
		return nil
	}
	return c
}

func clockCommand() *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use:   "clock",
		Short: "Sign an index every hour and give it to the hub, until interrupted",
		Long: `clock keeps a hub's index fresh. It runs where the clock key is, which is best not the hub's machine,
and needs no more than to reach the hub. A hub that cannot be reached is tried again every minute.
The policy and the last index are read again each time, so what signer index changes stays.`,
		Example: "  signer clock -k clock.key --policy policy.json --hub https://hub.example.org",
		Args:    cobra.NoArgs,
	}
	f := addIndexFlags(c)
	hub := addHubFlag(c)
	asJSON := jsonFlag(c)
	c.Flags().DurationVar(&every, "every", time.Hour, "how often to sign")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if _, err := dial(*hub); err != nil {
			return err
		}
		if every < time.Second || every > f.expiresIn/2 {
			return fmt.Errorf("--every %s: want at least a second, and at most half of --expires-in", every)
		}
		secret, err := f.key.load(c)
		if err != nil {
			return err
		}
		return f.run(c, secret, *hub, every, *asJSON)
	}
	return c
}

const clockRetry = time.Minute

// run signs and pushes until the command is interrupted, which is no failure.
func (f *indexFlags) run(c *cobra.Command, secret keys.SecretKey, hub string, every time.Duration, asJSON bool) error {
	for {
		wait := every
		x, st, sig, err := f.next(secret, indexChange{}, time.Now())
		if err != nil {
			return err // nothing that gets better by waiting
		}
		if err = pushIndex(c.Context(), hub, st, sig); err != nil {
			wait = min(every, clockRetry)
		}
		if c.Context().Err() == nil {
			if err := tell(c, x, err, asJSON); err != nil {
				return err
			}
		}
		select {
		case <-c.Context().Done():
			if !asJSON {
				fmt.Fprintln(c.OutOrStdout(), "stopped")
			}
			return nil
		case <-time.After(wait):
		}
	}
}

// tell says on one line what became of an index.
func tell(c *cobra.Command, x *policy.Index, failed error, asJSON bool) error {
	text := ""
	if failed != nil {
		text = failed.Error()
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(map[string]any{"sequence": x.Sequence, "issued": x.Issued, "expires": x.Expires, "pushed": failed == nil, "error": text})
	}
	if failed != nil {
		fmt.Fprintf(c.ErrOrStderr(), "index %d is signed, but not with the hub: %s\n", x.Sequence, text)
		return nil
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "index %d pushed, good until %s\n", x.Sequence, x.Expires)
	return err
}

func pushIndex(ctx context.Context, hub string, st, sig []byte) error {
	cl, err := dial(hub)
	if err != nil {
		return err
	}
	var made wire.IndexAdmitted
	if err := cl.Post(ctx, "/v1/index", &made, client.Bytes("statement", st), client.Bytes("signature", sig)); err != nil {
		return fmt.Errorf("pushing the index: %w", err)
	}
	return nil
}

// next signs the index that follows the one in the state file, and writes it there.
func (f *indexFlags) next(secret keys.SecretKey, change indexChange, now time.Time) (x *policy.Index, st, sig []byte, err error) {
	data, err := readCapped(f.policy, policy.MaxBytes)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err := policy.Parse(data)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", f.policy, err)
	}
	if p.ClockKey != secret.Public().String() {
		return nil, nil, nil, fmt.Errorf("%s is not the clock key of %s: nobody would take its index", secret.Public(), f.policy)
	}
	if x, err = f.last(); err != nil {
		return nil, nil, nil, err
	}
	// By the clock, so that a lost state file leads nobody back.
	x.Sequence = max(x.Sequence+1, uint64(now.Unix()))
	x.PolicyVersion = max(x.PolicyVersion, p.Version)
	x.Issued, x.Expires = canon.TimeOf(now), canon.TimeOf(now.Add(f.expiresIn))
	if err := change.apply(x); err != nil {
		return nil, nil, nil, err
	}
	if st, sig, err = x.Sign(secret); err != nil {
		return nil, nil, nil, err
	}
	if err := replaceModule(f.state, st); err != nil {
		return nil, nil, nil, err
	}
	return x, st, sig, replaceModule(signatureOf(f.state), sig)
}

func (f *indexFlags) last() (*policy.Index, error) {
	data, err := readCapped(f.state, policy.MaxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return &policy.Index{Type: policy.IndexType, Floors: []policy.Floor{}, Revoked: []canon.Digest{}}, nil
	}
	if err != nil {
		return nil, err
	}
	x, err := policy.ParseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.state, err)
	}
	return x, nil
}

func (change *indexChange) apply(x *policy.Index) error {
	for _, text := range change.floors {
		name, number, _ := strings.Cut(text, "=")
		version, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			return fmt.Errorf("--floor %q: want NAME=VERSION", text)
		}
		x.Floors = slices.DeleteFunc(x.Floors, func(f policy.Floor) bool { return f.Name == name })
		x.Floors = append(x.Floors, policy.Floor{Name: name, Version: version})
	}
	slices.SortFunc(x.Floors, func(a, b policy.Floor) int { return strings.Compare(a.Name, b.Name) })
	for i, text := range slices.Concat(change.revoke, change.pardon) {
		d, err := parseDigest(text)
		if err != nil {
			return err
		}
		x.Revoked = slices.DeleteFunc(x.Revoked, func(r canon.Digest) bool { return r == d })
		if i < len(change.revoke) {
			x.Revoked = append(x.Revoked, d)
		}
	}
	slices.SortFunc(x.Revoked, func(a, b canon.Digest) int { return bytes.Compare(a[:], b[:]) })
	if change.halt != "" || change.goOn {
		x.Halt = change.halt
	}
	return nil
}
