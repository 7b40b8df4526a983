package main

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

func verifyCommand() *cobra.Command {
	var trusted []string
	var policyFile, signature, module string
	c := &cobra.Command{
		Use:   "verify STATEMENT.json",
		Short: "Verify a statement as a browser and a hub would",
		Long: `Checks signature, encoding, bounds and expiry of a release, an order or a stop, and with --policy also the key's prefix and ceilings.
With --module, length and digest of the module too.`,
		Example: `  signer verify ada-factor-1.release.json --trust ada.pub --module factor.metered.wasm`,
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	c.Flags().StringArrayVar(&trusted, "trust", nil, "a public `key` (or .pub file) that you trust; may be given several times")
	c.Flags().StringVar(&policyFile, "policy", "", "a policy `file` whose researchers you trust")
	c.Flags().StringVarP(&signature, "signature", "x", "", "the signature `file` (default: the statement's name with .minisig)")
	c.Flags().StringVar(&module, "module", "", "the module `file` of a release")
	c.MarkFlagsOneRequired("trust", "policy")
	c.RunE = func(c *cobra.Command, args []string) error {
		v, err := newVerifier(trusted, policyFile)
		if err != nil {
			return err
		}
		if signature == "" {
			signature = signatureOf(args[0])
		}
		what, key, err := v.verify(args[0], signature, module)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]string{"verified": what, "key": key.String()})
		}
		fmt.Fprintf(c.OutOrStdout(), "verified: %s, signed by %s\n", what, key)
		return nil
	}
	return c
}

type verifier struct {
	keys   []keys.PublicKey
	policy *policy.Policy // nil without --policy
}

func newVerifier(trusted []string, policyFile string) (*verifier, error) {
	v := &verifier{}
	for _, t := range trusted {
		k, err := parseKey(t)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, k)
	}
	if policyFile == "" {
		return v, nil
	}
	data, err := readCapped(policyFile, 64<<10)
	if err != nil {
		return nil, err
	}
	if v.policy, err = policy.Parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", policyFile, err)
	}
	if err := v.policy.Current(time.Now()); err != nil {
		return nil, fmt.Errorf("%s: %w", policyFile, err)
	}
	v.keys = append(v.keys, v.policy.Keys()...)
	return v, nil
}

func (v *verifier) verify(path, sigPath, modulePath string) (string, keys.PublicKey, error) {
	st, err := readCapped(path, release.MaxStatement)
	if err != nil {
		return "", keys.PublicKey{}, err
	}
	sig, err := readCapped(sigPath, keys.MaxSignature)
	if err != nil {
		return "", keys.PublicKey{}, err
	}
	key, err := keys.Verify(v.keys, st, sig)
	if err != nil {
		return "", keys.PublicKey{}, err
	}
	what, err := v.content(st, sig, modulePath)
	return what, key, err
}

// content checks what is signed; the signature has been.
func (v *verifier) content(st, sig []byte, modulePath string) (string, error) {
	now := time.Now()
	switch typ, _ := canon.TypeOf(st); typ {
	case release.OrderType:
		o, err := release.ParseOrder(st)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("order %q, %d tasks", o.Title, o.Tasks()), canon.CheckExpiry("the order", o.Expires, now, release.MaxAge)
	case release.PauseType:
		p, err := release.ParsePause(st)
		if err != nil {
			return "", err
		}
		what := "pause"
		if !p.Paused {
			what = "end of a pause"
		}
		return fmt.Sprintf("%s of order %s, number %d: %s", what, p.OrderSHA256.Short(), p.Sequence, p.Reason), nil
	case release.StopType:
		s, err := release.ParseStop(st)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("stop of %s: %s", s.Names(), s.Reason), nil
	}
	r, _, err := release.OpenPinned(st, sig, v.keys, now)
	if err == nil && v.policy != nil {
		r, _, err = release.Open(st, sig, v.policy, now)
	}
	if err != nil {
		return "", err
	}
	if modulePath != "" {
		m, err := readCapped(modulePath, release.MaxModule)
		if err != nil {
			return "", err
		}
		if err := r.CheckModule(m); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("release %s version %d, until %s", r.Name, r.Version, r.Expires), nil
}

func inspectCommand() *cobra.Command {
	var library bool
	c := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a statement or a module says, without trusting it",
		Long: `Shows a statement, or what metering makes of a module: whether it is metered by the rules, which is proved from its bytes, and a line for every function.

bytes and metered are the sizes of the function's instructions before and after metering, blocks how many metered blocks it has; entry is the fuel of the block that it starts with, most of its most expensive block;
stack is what a call pays for the call stack, 0 where recursion is impossible.`,
		Example: "  signer inspect factor.metered.wasm\n  signer inspect ada-factor-1.release.json --json",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	c.Flags().BoolVar(&library, "library", false, "take the module for one that is no WASI command")
	c.RunE = func(c *cobra.Command, args []string) error {
		data, err := readCapped(args[0], release.MaxModule)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(data, []byte("\x00asm")) {
			return inspectModule(c, data, library, *asJSON)
		}
		return inspectStatement(c, args[0], data, *asJSON)
	}
	return c
}

func inspectStatement(c *cobra.Command, path string, data []byte, asJSON bool) error {
	var err error
	typ, ok := canon.TypeOf(data)
	switch typ {
	case release.Type:
		_, err = release.Parse(data)
	case release.OrderType:
		_, err = release.ParseOrder(data)
	case release.StopType:
		_, err = release.ParseStop(data)
	case release.PauseType:
		_, err = release.ParsePause(data)
	case policy.Type:
		_, err = policy.Parse(data)
	default:
		if !ok {
			return fmt.Errorf("%s is neither a WebAssembly module nor a statement", path)
		}
		return fmt.Errorf("%s: statements of type %s are not known here", path, typ)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if asJSON {
		_, err = c.OutOrStdout().Write(data)
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s", data)
	fields(c.OutOrStdout(), "digest", canon.Sum(data), "form", "canonical, values in bounds; signature not looked at (signer verify)")
	return nil
}

// moduleInfo is what inspect prints of a module.
type moduleInfo struct {
	SHA256    canon.Digest     `json:"sha256"`
	Length    int              `json:"length"`
	Metered   bool             `json:"metered"` // by the rules
	Refused   *refusal         `json:"refused,omitempty"`
	Library   bool             `json:"library,omitempty"`          // it is refused as a command, and accepted as a library
	Candidate *canon.Digest    `json:"candidate_sha256,omitempty"` // a source that gives a metered module
	Report    *meter.Report    `json:"report,omitempty"`
	Functions []meter.Function `json:"functions,omitempty"`
}

// inspectModule tells whether a module is metered, and what metering makes of its
// functions.
func inspectModule(c *cobra.Command, data []byte, library, asJSON bool) error {
	info := moduleInfo{SHA256: canon.Sum(data), Length: len(data)}
	in, err := meter.Inspect(data, &meter.Options{Library: library})
	switch {
	case err == nil:
		info.Metered, info.Report, info.Functions = in.Metered, &in.Report, in.Functions
	case refusalOf(err) == nil:
		return err
	default:
		info.Refused = refusalOf(err)
		if !library {
			_, err := meter.Inspect(data, &meter.Options{Library: true})
			info.Library = err == nil
		}
	}
	if info.Metered {
		d := canon.Sum(in.Source)
		info.Candidate = &d
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), info)
	}
	info.print(c.OutOrStdout())
	return nil
}

func (info *moduleInfo) print(w io.Writer) {
	pairs := []any{"sha256", info.SHA256, "length", fmt.Sprintf("%d bytes", info.Length), "metered", info.Metered}
	switch {
	case info.Metered:
		pairs = append(pairs, "proof", "undoing the metering and metering again gives the same bytes", "candidate", fmt.Sprintf("%s, the module without the metering", info.Candidate))
	case info.Refused != nil:
		pairs = append(pairs, "refused", info.Refused.Message)
		if info.Library {
			pairs = append(pairs, "next", "as a library it is accepted: signer inspect --library shows its functions")
		}
	}
	if info.Report != nil {
		pairs = append(pairs, "metering", info.Report)
	}
	fields(w, pairs...)
	if len(info.Functions) > 0 {
		printMap(w, info.Functions)
	}
}
