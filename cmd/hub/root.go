package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// rootFlags pin who signs the policy.
type rootFlags struct {
	keys      []string
	threshold int
	floor     int64
}

func (f *rootFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.keys, "root", nil, "root `keys` that sign the policy, or their .pub files")
	flags.IntVar(&f.threshold, "threshold", 1, "how many root keys must have signed the policy")
	flags.Int64Var(&f.floor, "policy-floor", 0, "the lowest policy `version` to take")
}

func (f *rootFlags) load() (r policy.Root, err error) {
	r.Threshold, r.Floor = f.threshold, f.floor
	for _, text := range f.keys {
		k, err := keys.ParsePublicKey([]byte(text))
		if err != nil {
			data, ferr := readCapped(text, 1024)
			if ferr != nil {
				return r, fmt.Errorf("--root %s is neither a public key nor a file that can be read: %w", text, ferr)
			}
			if k, err = keys.ParsePublicKey(data); err != nil {
				return r, fmt.Errorf("--root %s: %w", text, err)
			}
		}
		r.Keys = append(r.Keys, k)
	}
	return r, r.Check()
}

// readPolicy reads a policy and the signatures beside it, and makes sure that
// the policy is one.
func readPolicy(file string) (s policy.Signed, err error) {
	if s.Statement, err = readCapped(file, policy.MaxBytes); err != nil {
		return s, err
	}
	if _, err := policy.Parse(s.Statement); err != nil {
		return s, err
	}
	if s.Signatures, err = readCapped(file+".minisig", keys.MaxBundle); err != nil {
		return s, fmt.Errorf("its signatures (signer policy merge makes this file): %w", err)
	}
	return s, nil
}
