package hub

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

const minLeaseLife = 10 * time.Minute

// tokens mints and reads the JWTs of one hub: docs/spec/token.md.
type tokens struct {
	issuer  string
	now     func() time.Time
	ring    atomic.Pointer[[]store.TokenKey] // the one that signs first
	revoked atomic.Pointer[map[string]store.Revocation]
}

func newTokens(name ed25519.PublicKey, ring []store.TokenKey, now func() time.Time) *tokens {
	t := &tokens{issuer: hex.EncodeToString(name), now: now}
	t.ring.Store(&ring)
	t.revoked.Store(&map[string]store.Revocation{})
	return t
}

// mint writes the token of a role.
func (t *tokens) mint(r role, claims claims) (string, error) {
	claims.setCommon(t.issuer, r.audience())
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["typ"] = r.typ()
	return token.SignedString((*t.ring.Load())[0].Key)
}

// header is the only header that a token of a role has, as it stands in it.
func (r role) header() string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"` + r.typ() + `"}`))
}

// is reports whether a token says that it is of a role, and has the form of a
// token. Nothing of it is decoded for that.
func (r role) is(token string) bool {
	head, rest, _ := strings.Cut(token, ".")
	return len(token) <= r.most() && head == r.header() && strings.Count(rest, ".") == 1 && strings.Trim(rest, tokenLetters) == ""
}

const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// read verifies a token of a role. The header is looked at before anything of
// it is decoded, and the payload must be what mint writes, byte for byte.
func (t *tokens) read(token string, r role, c claims) error {
	if !r.is(token) {
		return fmt.Errorf("it has not the form and header of a token for that (%s)", r.typ())
	}
	now := t.now()
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(t.issuer),
		jwt.WithAudience(r.audience()),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	if _, err := parser.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return t.verifiers(now), nil }); err != nil {
		return err
	}
	if c.expires().After(now.Add(r.longest())) {
		return fmt.Errorf("it says it is good for more than %s", r.longest())
	}
	if err := sameClaims(token, c); err != nil {
		return err
	}
	if _, err := wire.ParseLeaseID(c.id()); err != nil {
		return errors.New("its jti is not 32 hex digits")
	}
	if r, is := (*t.revoked.Load())[c.id()]; is {
		return fmt.Errorf("it was revoked: %s", r.Reason)
	}
	return nil
}

// verifiers are the keys that count now.
func (t *tokens) verifiers(now time.Time) (set jwt.VerificationKeySet) {
	for _, k := range *t.ring.Load() {
		if k.Good(now) {
			set.Keys = append(set.Keys, k.Key.Public())
		}
	}
	return set
}

// sameClaims encodes the claims again: one that is missing, there twice,
// unknown or in other letters makes another payload.
func sameClaims(token string, c claims) error {
	again, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, rest, _ := strings.Cut(token, "."); !strings.HasPrefix(rest, base64.RawURLEncoding.EncodeToString(again)+".") {
		return errors.New("its claims are not in the one form that tokens have")
	}
	return nil
}

// revoke notes a revocation that is on disk. Callers take turns.
func (t *tokens) revoke(r store.Revocation) {
	all := maps.Clone(*t.revoked.Load())
	if _, is := all[r.ID]; !is {
		all[r.ID] = r
	}
	t.revoked.Store(&all)
}

// leases mints the token of leases that go out in one frame: to one worker, of
// one order.
func (t *tokens) leases(all []job.Lease) (string, error) {
	l := &all[0]
	life := max(2*l.Until.Sub(l.Since), minLeaseLife)
	c := leaseClaims{common: common{Subject: l.Worker.String(), Expires: l.Since.Add(life).Unix(), ID: newTokenID()}, Net: l.Net.String(), Order: l.Order}
	for _, l := range all {
		c.Leases = append(c.Leases, lent{l.ID.String(), l.Task, l.Lane})
	}
	return t.mint(roleLease, &c)
}

// readLease returns what a token says of a lease.
func (t *tokens) readLease(token string, id wire.LeaseID) (l job.Lease, err error) {
	var c leaseClaims
	if err := t.read(token, roleLease, &c); err != nil {
		return l, refusal(wire.CodeLeaseInvalid, "lease token: %v", err)
	}
	at := slices.IndexFunc(c.Leases, func(l lent) bool { return l.ID == id.String() })
	if at < 0 {
		return l, refusal(wire.CodeLeaseInvalid, "lease token: it is not of lease %s", id)
	}
	l.ID, l.Order, l.Task, l.Lane = id, c.Order, c.Leases[at].Task, c.Leases[at].Lane
	l.Worker, err = wire.ParseKey(c.Subject)
	if err == nil {
		l.Net, err = netip.ParsePrefix(c.Net)
	}
	if err != nil {
		return l, refusal(wire.CodeLeaseInvalid, "lease token: %v", err)
	}
	return l, nil
}

// strictJSON reads a request's body, and takes no member that is not known.
func strictJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more after the object")
	}
	return nil
}
