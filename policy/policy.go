// Package policy is the root of trust: the policy statement, which says what
// keys may sign what under which ceilings, its chain under thresholds of root
// keys, and the index, which says what is still good. They are specified in
// docs/spec/statement.md, sections "policy/v1" and "index/v1".
package policy

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/keys"
)

// Type is the statement's type.
const Type = "countersign.policy/v1"

const (
	// MaxBytes is the cap on a policy, in bytes.
	MaxBytes = 64 << 10
	// MaxRoots is the largest number of root keys.
	MaxRoots = 16

	maxResearchers = 256
	maxOrigins     = 256
	maxRevokedKeys = 256
	maxWitnesses   = 16
	maxText        = 200
	maxVersion     = 1<<31 - 1
	maxAge         = 366 * 24 * time.Hour
)

// Policy says who may do what. Lists without elements are empty, never nil.
type Policy struct {
	Type        string           `json:"type"`
	Version     int64            `json:"version"`
	RootKeys    []keys.PublicKey `json:"root_keys"`
	Threshold   int              `json:"threshold"`
	Researchers []Researcher     `json:"researchers"`
	ClockKey    string           `json:"clock_key"` // a minisign public key, or ""
	LogKey      string           `json:"log_key"`   // of the transparency log, NAME+ID+BASE64, or ""
	Witnesses   []string         `json:"witnesses"`
	Quorum      int              `json:"witness_quorum"`
	Origins     []string         `json:"origins"`
	RevokedKeys []keys.PublicKey `json:"revoked_keys"`
	Expires     canon.Time       `json:"expires"`
}

// Researcher is a key, the names that it may sign, and how much it may ask
// of a visitor.
type Researcher struct {
	Name     string         `json:"name"`
	Key      keys.PublicKey `json:"key"`
	Prefix   string         `json:"prefix"`
	Ceilings Ceilings       `json:"ceilings"`
}

// Ceilings are the largest limits that a researcher's releases and orders may
// have: fuel per task, pages of 64 KiB, seconds per task, tasks per order.
type Ceilings struct {
	TaskFuel    uint64 `json:"task_fuel"`
	MemoryPages uint64 `json:"memory_pages"`
	Seconds     uint64 `json:"seconds"`
	Tasks       uint64 `json:"tasks"`
}

// Parse reads a policy and checks its bounds, but neither signatures nor
// expiry. Errors have a failure class of statement.md.
func Parse(data []byte) (*Policy, error) {
	var p Policy
	if err := canon.Decode(data, MaxBytes, Type, &p); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return &p, nil
}

// Encode returns the canonical encoding of p.
func (p *Policy) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	return canon.Encode(p)
}

// Current checks that p has not expired and does not expire later than a
// policy may.
func (p *Policy) Current(now time.Time) error {
	return canon.CheckExpiry("policy", p.Expires, now, maxAge)
}

// Keys returns every researcher's key.
func (p *Policy) Keys() []keys.PublicKey {
	all := make([]keys.PublicKey, len(p.Researchers))
	for i, r := range p.Researchers {
		all[i] = r.Key
	}
	return all
}

// ByKey returns the researcher who has the key, or nil.
func (p *Policy) ByKey(k keys.PublicKey) *Researcher {
	for i := range p.Researchers {
		if p.Researchers[i].Key == k {
			return &p.Researchers[i]
		}
	}
	return nil
}

// Covers reports whether the researcher may sign for the release name: any
// name below a prefix that ends in "/", or the prefix itself.
func (r *Researcher) Covers(name string) bool {
	if strings.HasSuffix(r.Prefix, "/") {
		return strings.HasPrefix(name, r.Prefix)
	}
	return name == r.Prefix
}

// MaxName is the longest release name, in characters.
const MaxName = 64

// ValidName reports whether name can be a release's name.
func ValidName(name string) bool {
	if len(name) > MaxName {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

func (p *Policy) check() error {
	switch n, roots := len(p.Researchers), len(p.RootKeys); {
	case p.Type != Type:
		return canon.Fail("bounds", "policy: type %q", p.Type)
	case p.Version < 1 || p.Version > maxVersion:
		return canon.Fail("bounds", "policy: version %d is not from 1 to 2^31-1", p.Version)
	case roots < 1 || roots > MaxRoots:
		return canon.Fail("bounds", "policy: %d root keys, 1 to %d allowed", roots, MaxRoots)
	case p.Threshold < 1 || p.Threshold > roots:
		return canon.Fail("bounds", "policy: threshold %d of %d root keys", p.Threshold, roots)
	case n < 1 || n > maxResearchers:
		return canon.Fail("bounds", "policy: %d researchers, 1 to %d allowed", n, maxResearchers)
	case len(p.RevokedKeys) > maxRevokedKeys:
		return canon.Fail("bounds", "policy: %d revoked keys, at most %d allowed", len(p.RevokedKeys), maxRevokedKeys)
	case len(p.Witnesses) > maxWitnesses:
		return canon.Fail("bounds", "policy: %d witnesses, at most %d allowed", len(p.Witnesses), maxWitnesses)
	}
	for i := range p.Researchers {
		if err := p.Researchers[i].check(); err != nil {
			return err
		}
	}
	if err := p.checkOrigins(); err != nil {
		return err
	}
	if _, err := p.Log(); err != nil {
		return canon.Fail("bounds", "policy: %v", err)
	}
	return p.checkRoles()
}

// Log is what believes the transparency log that must have every release, or
// nil if the policy names none.
func (p *Policy) Log() (*translog.Verifier, error) {
	if p.LogKey == "" {
		if len(p.Witnesses) > 0 || p.Quorum != 0 {
			return nil, errors.New("witnesses of no log")
		}
		return nil, nil
	}
	return translog.NewVerifier(p.LogKey, p.Witnesses, p.Quorum)
}

// Clock is the key that signs the index; ok says whether there is one.
func (p *Policy) Clock() (key keys.PublicKey, ok bool) {
	key, err := keys.ParsePublicKey([]byte(p.ClockKey))
	return key, err == nil
}

// checkRoles makes sure that every key has one role.
func (p *Policy) checkRoles() error {
	all := slices.Concat(p.RootKeys, p.Keys(), p.RevokedKeys)
	if p.ClockKey != "" {
		clock, ok := p.Clock()
		if !ok || clock.String() != p.ClockKey {
			return canon.Fail("bounds", "policy: clock_key %.60q is no minisign public key", p.ClockKey)
		}
		all = append(all, clock)
	}
	if k, twice := keys.Repeated(all); twice {
		return canon.Fail("bounds", "policy: key %s stands twice: a key has one role", k)
	}
	return nil
}

func (p *Policy) checkOrigins() error {
	if len(p.Origins) > maxOrigins {
		return canon.Fail("bounds", "policy: %d origins, at most %d allowed", len(p.Origins), maxOrigins)
	}
	for i, o := range p.Origins {
		if !ValidOrigin(o) {
			return canon.Fail("bounds", "policy: origin %.80q: want scheme and host alone, like https://example.org", o)
		}
		if i > 0 && p.Origins[i-1] >= o {
			return canon.Fail("bounds", "policy: origins are not ascending at %q", o)
		}
	}
	return nil
}

var originForm = regexp.MustCompile(`\Ahttps?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?\z`)

// ValidOrigin reports whether o is a web origin as policies have it: scheme and
// host, maybe a port, in lower case.
func ValidOrigin(o string) bool { return len(o) <= maxText && originForm.MatchString(o) }

func (r *Researcher) check() error {
	c := r.Ceilings
	switch {
	case len(r.Name) < 1 || len(r.Name) > 64:
		return canon.Fail("bounds", "policy: a researcher's name has 1 to 64 characters, %q has %d", r.Name, len(r.Name))
	case r.Key.IsZero():
		return canon.Fail("bounds", "policy: researcher %q has no key", r.Name)
	case len(r.Prefix) > MaxName || !ValidName(strings.TrimSuffix(r.Prefix, "/")):
		return canon.Fail("bounds", "policy: researcher %q: prefix %q is neither a name nor a name with / at its end", r.Name, r.Prefix)
	case c.TaskFuel < 1 || c.TaskFuel > canon.MaxInteger || c.MemoryPages < 1 || c.Seconds < 1 || c.Tasks < 1 || c.Tasks > canon.MaxInteger:
		return canon.Fail("bounds", "policy: researcher %q: every ceiling is at least 1 and below 2^53", r.Name)
	}
	return nil
}
