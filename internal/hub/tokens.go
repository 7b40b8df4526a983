package hub

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// Types and audiences of docs/spec/wire.md.
const (
	leaseType        = "countersign-lease+jwt"
	leaseAudience    = "countersign-lease"
	operatorType     = "countersign-operator+jwt"
	operatorAudience = "countersign-operator"
	roleOperator     = "operator"
	minTokenLife     = 10 * time.Minute
	maxOperatorLife  = 366 * 24 * time.Hour
)

// tokens mints and reads the JWTs of one hub.
type tokens struct {
	key    ed25519.PrivateKey
	issuer string
	now    func() time.Time
}

func newTokens(key ed25519.PrivateKey, now func() time.Time) *tokens {
	return &tokens{key: key, issuer: hex.EncodeToString(key.Public().(ed25519.PublicKey)), now: now}
}

// common are the claims of every token. All are there, each exactly once.
type common struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
}

func (c common) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(time.Unix(c.Expires, 0)), nil
}
func (c common) GetIssuedAt() (*jwt.NumericDate, error)  { return nil, nil }
func (c common) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }
func (c common) GetIssuer() (string, error)              { return c.Issuer, nil }
func (c common) GetSubject() (string, error)             { return c.Subject, nil }
func (c common) GetAudience() (jwt.ClaimStrings, error)  { return jwt.ClaimStrings{c.Audience}, nil }

type leaseClaims struct {
	common
	Order canon.Digest `json:"order"`
	Task  uint64       `json:"task"`
	Lane  uint32       `json:"lane"`
	Net   string       `json:"pfx"`
}

type operatorClaims struct{ common }

// UnmarshalJSON takes no claim that is not listed.
func (c *leaseClaims) UnmarshalJSON(data []byte) error {
	type plain leaseClaims
	return strictJSON(data, (*plain)(c))
}

// UnmarshalJSON takes no claim that is not listed.
func (c *operatorClaims) UnmarshalJSON(data []byte) error {
	type plain operatorClaims
	return strictJSON(data, (*plain)(c))
}

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

func (t *tokens) mint(typ string, claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["typ"] = typ
	return token.SignedString(t.key)
}

// header is the only header that a token of a type has, as it stands in it.
func header(typ string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","typ":"` + typ + `"}`))
}

// read verifies a token: the header is the one that mint writes, before
// anything else of it is looked at.
func (t *tokens) read(token, typ, audience string, claims jwt.Claims) error {
	if len(token) > wire.MaxToken {
		return errors.New("the token is too long")
	}
	if head, _, _ := strings.Cut(token, "."); head != header(typ) {
		return fmt.Errorf("the token's header is not that of a %s", typ)
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(t.issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(t.now),
	)
	_, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return t.key.Public(), nil })
	return err
}

// lease mints the token of a lease.
func (t *tokens) lease(l job.Lease) (string, error) {
	life := max(2*l.Until.Sub(l.Since), minTokenLife)
	return t.mint(leaseType, leaseClaims{
		common: common{t.issuer, l.Worker.String(), leaseAudience, l.Since.Add(life).Unix(), l.ID.String()},
		Order:  l.Order, Task: l.Task, Lane: l.Lane, Net: l.Net.String(),
	})
}

// readLease returns what a lease token says.
func (t *tokens) readLease(token string) (l job.Lease, err error) {
	var c leaseClaims
	if err := t.read(token, leaseType, leaseAudience, &c); err != nil {
		return l, refusal(wire.CodeLeaseInvalid, "lease token: %v", err)
	}
	l.Order, l.Task, l.Lane = c.Order, c.Task, c.Lane
	l.ID, err = wire.ParseLeaseID(c.ID)
	if err == nil {
		l.Worker, err = wire.ParseKey(c.Subject)
	}
	if err == nil {
		l.Net, err = netip.ParsePrefix(c.Net)
	}
	if err != nil {
		return l, refusal(wire.CodeLeaseInvalid, "lease token: %v", err)
	}
	return l, nil
}

// operator returns the id of an operator's token.
func (t *tokens) operator(token string) (id string, err error) {
	var c operatorClaims
	if err := t.read(token, operatorType, operatorAudience, &c); err != nil {
		return "", refusal(wire.CodeUnauthorized, "operator token: %v", err)
	}
	if c.Subject != roleOperator {
		return "", refusal(wire.CodeForbidden, "operator token: its role is %q, not %q", c.Subject, roleOperator)
	}
	return c.ID, nil
}

// MintOperator returns an operator's token for the hub with this key.
func MintOperator(key ed25519.PrivateKey, life time.Duration, now time.Time) (string, error) {
	if life <= 0 || life > maxOperatorLife {
		return "", fmt.Errorf("minting an operator token: a life of %s is not above 0 and up to %s", life, maxOperatorLife)
	}
	t := newTokens(key, func() time.Time { return now })
	return t.mint(operatorType, operatorClaims{common{t.issuer, roleOperator, operatorAudience, now.Add(life).Unix(), rand.Text()}})
}
