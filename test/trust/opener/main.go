// Command opener says what Go makes of statements: it reads a JSON array of
// cases, in the form of the shared vectors of the folders statement and trust,
// and prints the array of their classes.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

type signed struct {
	Statement []byte `json:"statement"`
	Signature []byte `json:"signature"`
}

// vector is of either folder; one of trust has roots.
type vector struct {
	signed
	Now       time.Time       `json:"now"`
	Kind      string          `json:"kind"`
	Keys      []string        `json:"keys"`
	Roots     []string        `json:"roots"`
	Threshold int             `json:"threshold"`
	Floor     int64           `json:"floor"`
	Seen      policy.Seen     `json:"seen"`
	Chain     []policy.Signed `json:"chain"`
	Index     *signed         `json:"index"`
	Target    *signed         `json:"target"`
	Named     *signed         `json:"named"`
}

func main() {
	var all []vector
	err := json.NewDecoder(os.Stdin).Decode(&all)
	classes := make([]string, 0, len(all))
	for i := range all {
		var class string
		class, err = classOf(all[i].open, err)
		classes = append(classes, class)
	}
	if err = errors.Join(err, json.NewEncoder(os.Stdout).Encode(classes)); err != nil {
		fmt.Fprintln(os.Stderr, "opener:", err)
		os.Exit(1)
	}
}

// classOf adds errors without a class to those before: they are no verdicts.
func classOf(open func() error, before error) (string, error) {
	err := open()
	if err == nil {
		return "ok", before
	}
	class := canon.ClassOf(err)
	if class == "" {
		return "", errors.Join(before, err)
	}
	return class, before
}

func (v *vector) open() error {
	if v.Roots != nil {
		return v.openTrust()
	}
	trusted, err := parse(v.Keys)
	if err != nil {
		return err
	}
	if v.Kind == "order" {
		_, _, err = release.OpenOrderPinned(v.Statement, v.Signature, trusted, v.Now)
	} else {
		_, _, err = release.OpenPinned(v.Statement, v.Signature, trusted, v.Now)
	}
	return err
}

func (v *vector) openTrust() error {
	root := policy.Root{Threshold: v.Threshold, Floor: v.Floor}
	var err error
	if root.Keys, err = parse(v.Roots); err != nil {
		return err
	}
	p, seen, err := root.Open(v.Chain, v.Seen, v.Now)
	if err != nil {
		return err
	}
	trust := policy.Trust{Policy: p}
	if v.Index != nil {
		if trust.Index, _, err = p.OpenIndex(v.Index.Statement, v.Index.Signature, seen, v.Now); err != nil {
			return err
		}
	}
	if err := trust.Current(v.Now); err != nil {
		return err
	}
	good := func(s *signed) (*release.Release, error) {
		r, _, err := release.Open(s.Statement, s.Signature, p, v.Now)
		if err != nil {
			return nil, err
		}
		return r, trust.GoodRelease(canon.Sum(s.Statement), r.Name, r.Version)
	}
	switch v.Kind {
	case "release":
		_, err = good(v.Target)
	case "order":
		named := func(canon.Digest) (*release.Release, error) { return good(v.Named) }
		if _, _, err = release.OpenOrder(v.Target.Statement, v.Target.Signature, p, named, v.Now); err == nil {
			err = trust.Good("order", canon.Sum(v.Target.Statement))
		}
	}
	return err
}

func parse(texts []string) (all []keys.PublicKey, err error) {
	for _, t := range texts {
		k, err := keys.ParsePublicKey([]byte(t))
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}
