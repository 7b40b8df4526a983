package hub

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/policy"
)

const maxSiteRate = 60_000

var subjectForm = regexp.MustCompile(`\A[a-z0-9.-]{1,64}\z`)

// Grant says what a token is to be good for.
type Grant struct {
	Role    string // operator, auditor or site
	Subject string // whose it is
	Life    time.Duration
	Origin  string // of a site's pages, like https://example.org
	Rate    int    // volunteers a minute of a site
}

func (g *Grant) check() error {
	switch r := role(g.Role); {
	case r != roleOperator && r != roleAuditor && r != roleSite:
		return fmt.Errorf("role %q: there are operator, auditor and site", g.Role)
	case !subjectForm.MatchString(g.Subject):
		return fmt.Errorf("subject %q: want 1 to 64 of a-z, 0-9, . and -", g.Subject)
	case g.Life < time.Second || g.Life > r.longest():
		return fmt.Errorf("a life of %s is not from a second to %s", g.Life, r.longest())
	case r != roleSite && (g.Origin != "" || g.Rate != 0):
		return fmt.Errorf("an origin and a rate are for sites")
	case r == roleSite && !policy.ValidOrigin(g.Origin):
		return fmt.Errorf("origin %q: want scheme and host alone, in lower case, like https://example.org", g.Origin)
	case r == roleSite && (g.Rate < 1 || g.Rate > maxSiteRate):
		return fmt.Errorf("a rate of %d volunteers a minute is not from 1 to %d", g.Rate, maxSiteRate)
	}
	return nil
}

// Mint makes a token with the keys in a data directory, which a running hub
// may have open, and leaves a record of it there.
func Mint(dir string, g Grant, now time.Time) (string, error) {
	if err := g.check(); err != nil {
		return "", fmt.Errorf("minting a token: %w", err)
	}
	name, err := store.LoadKey(dir)
	if err != nil {
		return "", err
	}
	ring, err := store.LoadTokenKeys(dir)
	if err != nil {
		return "", err
	}
	t := newTokens(name.Public().(ed25519.PublicKey), ring, func() time.Time { return now })
	c := common{Subject: g.Subject, Expires: now.Add(g.Life).Unix(), ID: newTokenID()}
	token, err := t.grant(g, c)
	if err != nil {
		return "", err
	}
	return token, store.PutTokenRecord(dir, store.TokenRecord{ID: c.ID, Role: g.Role, Subject: g.Subject, Origin: g.Origin, Rate: g.Rate,
		Expires: canon.TimeOf(time.Unix(c.Expires, 0))})
}

func (t *tokens) grant(g Grant, c common) (string, error) {
	if role(g.Role) == roleSite {
		return t.mint(roleSite, &siteClaims{c, g.Origin, g.Rate})
	}
	return t.mint(role(g.Role), &namedClaims{c})
}

func newTokenID() string {
	var id store.TokenID
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// named verifies an operator's or auditor's token and returns its role and id.
func (t *tokens) named(token string) (r role, id string, err error) {
	r = roleOperator
	if roleAuditor.is(token) {
		r = roleAuditor
	}
	var c namedClaims
	if err := t.read(token, r, &c); err != nil {
		return "", "", fmt.Errorf("%s token: %w", r, err)
	}
	return r, c.ID, nil
}

// Rotate makes a new key sign tokens, in a data directory that no hub has open.
func Rotate(dir string, overlap time.Duration, now time.Time) (key wire.Key, err error) {
	s, err := store.Open(dir, nil)
	if err != nil {
		return key, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ring, err := store.RotateTokenKey(dir, now, overlap)
	if err != nil {
		return key, err
	}
	return tokenKeyInfo(ring[0]).Key, nil
}
