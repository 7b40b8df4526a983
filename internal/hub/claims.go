package hub

import (
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// role is what a token is good for, and the only thing.
type role string

const (
	roleLease    role = "lease"
	roleSession  role = "session"
	roleOperator role = "operator"
	roleAuditor  role = "auditor"
	roleSite     role = "site"
)

func (r role) typ() string      { return "countersign-" + string(r) + "+jwt" }
func (r role) audience() string { return "countersign-" + string(r) }

// longest is how long a token of the role is good at most.
func (r role) longest() time.Duration {
	switch r {
	case roleLease:
		return 7 * 24 * time.Hour
	case roleSession:
		return 24 * time.Hour
	}
	return 366 * 24 * time.Hour
}

// most is how many characters a token of the role has at most.
func (r role) most() int {
	if r == roleLease {
		return wire.MaxLeaseToken
	}
	return wire.MaxToken
}

// claims are those of a role: a pointer to a struct with common in it, and no
// method that changes how it is encoded.
type claims interface {
	jwt.Claims
	setCommon(issuer, audience string)
	expires() time.Time
	id() string
}

// common are the claims of every token.
type common struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expires  int64  `json:"exp"`
	ID       string `json:"jti"`
}

func (c *common) setCommon(issuer, audience string) { c.Issuer, c.Audience = issuer, audience }
func (c *common) expires() time.Time                { return time.Unix(c.Expires, 0) }
func (c *common) id() string                        { return c.ID }

func (c *common) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(c.expires()), nil
}
func (c *common) GetIssuedAt() (*jwt.NumericDate, error)  { return nil, nil }
func (c *common) GetNotBefore() (*jwt.NumericDate, error) { return nil, nil }
func (c *common) GetIssuer() (string, error)              { return c.Issuer, nil }
func (c *common) GetSubject() (string, error)             { return c.Subject, nil }
func (c *common) GetAudience() (jwt.ClaimStrings, error)  { return jwt.ClaimStrings{c.Audience}, nil }

// leaseClaims are those of a frame's leases, which are of one order.
type leaseClaims struct {
	common
	Net    string       `json:"pfx"`
	Order  canon.Digest `json:"order"`
	Leases []lent       `json:"leases"`
}

type lent struct {
	ID   string `json:"id"`
	Task uint64 `json:"task"`
	Lane uint32 `json:"lane"`
}

// sessionClaims let a worker come back that came from a page.
type sessionClaims struct {
	common
	Origin string `json:"origin"`
	Via    string `json:"via"` // the site token's id
}

// namedClaims are those of operators and auditors.
type namedClaims struct{ common }

type siteClaims struct {
	common
	Origin string `json:"origin"`
	Rate   int    `json:"rate"` // volunteers a minute
}
