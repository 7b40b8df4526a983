package hub

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// desk mints tokens, good ones and others.
type desk struct {
	*tokens
	t   *testing.T
	key ed25519.PrivateKey
	at  time.Time
}

var testLease = wire.LeaseID{1}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, key: workerKey(1), at: time.Now().Truncate(time.Second)}
	d.tokens = newTokens(d.key.Public().(ed25519.PublicKey), []store.TokenKey{{Key: d.key}}, func() time.Time { return d.at })
	return d
}

// good has good claims of every role, and reads a token of that role.
func (d *desk) good(r role) (claims, func(token string) error) {
	c := common{d.issuer, "ada", r.audience(), d.at.Add(time.Minute).Unix(), strings.Repeat("0a", 16)}
	var got claims
	switch r {
	case roleLease:
		c.Subject = wire.Key{2}.String()
		return &leaseClaims{c, "10.1.2.0/24", canon.Sum(nil), []lent{{testLease.String(), 3, 1}}}, func(token string) error { _, err := d.readLease(token, testLease); return err }
	case roleSession:
		c.Subject = wire.Key{2}.String()
		got = &sessionClaims{}
		return &sessionClaims{c, "https://a.example", strings.Repeat("0b", 16)}, func(token string) error { return d.read(token, r, got) }
	case roleSite:
		got = &siteClaims{}
		return &siteClaims{c, "https://a.example", 60}, func(token string) error { return d.read(token, r, got) }
	}
	return &namedClaims{c}, func(token string) error {
		is, _, err := d.named(token)
		if err == nil && is != r {
			err = errors.New("another role")
		}
		return err
	}
}

var allRoles = []role{roleLease, roleSession, roleOperator, roleAuditor, roleSite}

// forge writes a token by hand.
func forge(header, payload string, sign func([]byte) []byte) string {
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(header)) + "." + enc([]byte(payload))
	return text + "." + enc(sign([]byte(text)))
}

func (d *desk) sign(b []byte) []byte { return ed25519.Sign(d.key, b) }

func headerOf(r role) string { return `{"alg":"EdDSA","typ":"` + r.typ() + `"}` }

func encoded(t *testing.T, c any) string {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestTokenForm: what mint writes is the one form, and is taken.
func TestTokenForm(t *testing.T) {
	d := newDesk(t)
	for _, r := range allRoles {
		c, read := d.good(r)
		token, err := d.mint(r, c)
		if err != nil {
			t.Fatal(err)
		}
		if want := forge(headerOf(r), encoded(t, c), d.sign); token != want {
			t.Errorf("%s: minted %s, want %s", r, token, want)
		}
		if err := read(token); err != nil {
			t.Errorf("%s: %v", r, err)
		}
	}
}

// TestHeaderAttacks: nothing in a header is a choice.
func TestHeaderAttacks(t *testing.T) {
	d := newDesk(t)
	hmac := func(key []byte) func([]byte) []byte {
		return func(b []byte) []byte {
			sig, err := jwt.SigningMethodHS256.Sign(string(b), key)
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}
	}
	public := d.key.Public().(ed25519.PublicKey)
	nothing := func([]byte) []byte { return nil }
	for _, r := range allRoles {
		c, read := d.good(r)
		payload, typ := encoded(t, c), `"typ":"`+r.typ()+`"`
		for name, token := range map[string]string{
			"none":               forge(`{"alg":"none",`+typ+`}`, payload, nothing),
			"None":               forge(`{"alg":"None",`+typ+`}`, payload, nothing),
			"no signature":       forge(headerOf(r), payload, nothing),
			"HMAC by public key": forge(`{"alg":"HS256",`+typ+`}`, payload, hmac(public)),
			"HMAC as EdDSA":      forge(headerOf(r), payload, hmac(public)),
			"HMAC by hex key":    forge(`{"alg":"HS256",`+typ+`}`, payload, hmac([]byte(d.issuer))),
			"kid":                forge(`{"alg":"EdDSA","kid":"../../etc/passwd",`+typ+`}`, payload, d.sign),
			"kid behind":         forge(`{"alg":"EdDSA",`+typ+`,"kid":"1"}`, payload, d.sign),
			"jku":                forge(`{"alg":"EdDSA","jku":"https://evil.example/keys",`+typ+`}`, payload, d.sign),
			"jwk":                forge(`{"alg":"EdDSA","jwk":{"kty":"OKP"},`+typ+`}`, payload, d.sign),
			"crit":               forge(`{"alg":"EdDSA","crit":["exp"],`+typ+`}`, payload, d.sign),
			"b64":                forge(`{"alg":"EdDSA","b64":false,`+typ+`}`, payload, d.sign),
			"alg twice":          forge(`{"alg":"none","alg":"EdDSA",`+typ+`}`, payload, d.sign),
			"cased":              forge(`{"Alg":"EdDSA",`+typ+`}`, payload, d.sign),
			"order":              forge(`{`+typ+`,"alg":"EdDSA"}`, payload, d.sign),
			"space":              forge(`{"alg":"EdDSA", `+typ+`}`, payload, d.sign),
			"no typ":             forge(`{"alg":"EdDSA"}`, payload, d.sign),
			"plain typ":          forge(`{"alg":"EdDSA","typ":"JWT"}`, payload, d.sign),
			"other key":          forge(headerOf(r), payload, func(b []byte) []byte { return ed25519.Sign(workerKey(2), b) }),
			"empty":              "",
			"dots":               "..",
		} {
			if read(token) == nil {
				t.Errorf("%s token: %s is taken", r, name)
			}
		}
	}
}

// TestFormAttacks: one token has one text.
func TestFormAttacks(t *testing.T) {
	d := newDesk(t)
	c, read := d.good(roleOperator)
	token, err := d.mint(roleOperator, c)
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(token, ".")
	last := token[len(token)-1]
	loose := "" // the same signature with other unused bits at its end
	for _, l := range tokenLetters {
		a, _ := base64.RawURLEncoding.DecodeString(part[2])
		b, _ := base64.RawURLEncoding.DecodeString(part[2][:len(part[2])-1] + string(l))
		if byte(l) != last && bytes.Equal(a, b) {
			loose = token[:len(token)-1] + string(l)
		}
	}
	if loose == "" {
		t.Fatal("no loose bits to try")
	}
	for name, text := range map[string]string{
		"loose bits":  loose,
		"padding":     token + "=",
		"newline":     part[0] + "." + part[1] + ".\n" + part[2],
		"line inside": part[0] + "." + part[1][:8] + "\n" + part[1][8:] + "." + part[2],
		"space":       token + " ",
		"fourth part": token + ".",
		"more":        token + "." + part[2],
		"too long":    forge(headerOf(roleOperator), encoded(t, c)+strings.Repeat(" ", wire.MaxToken), d.sign),
		"other alphabet": strings.Map(func(r rune) rune {
			if r == '-' {
				return '+'
			}
			return r
		}, token) + "+",
	} {
		if read(text) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestClaimAttacks: claims that are missing, there twice, in other letters or
// of other types, under a good signature.
func TestClaimAttacks(t *testing.T) {
	d := newDesk(t)
	for _, r := range allRoles {
		c, read := d.good(r)
		good := encoded(t, c)
		exp := d.at.Add(time.Minute).Unix()
		number := encoded(t, exp)
		with := func(old, new string) string {
			if strings.Count(good, old) != 1 {
				t.Fatalf("%q is not once in %s", old, good)
			}
			return strings.Replace(good, old, new, 1)
		}
		for name, payload := range map[string]string{
			"twice, last counts":  with(`{"iss"`, `{"sub":"x","iss"`),
			"twice, the same":     good[:len(good)-1] + `,"exp":` + number + `}`,
			"exp in capitals":     good[:len(good)-1] + `,"EXP":` + encoded(t, exp+3600) + `}`,
			"exp only in letters": with(`"exp"`, `"Exp"`),
			"kelvin sign":         good[:len(good)-1] + `,"\u212aid":1}`,
			"unknown":             good[:len(good)-1] + `,"admin":true}`,
			"escaped name":        with(`"sub"`, `"\u0073ub"`),
			"order":               `{"exp":` + number + `,` + with(`,"exp":`+number, ``)[1:],
			"space":               with(`"exp":`, `"exp": `),
			"behind":              good + " ",
			"second object":       good + good,
			"no exp":              with(`,"exp":`+number, ``),
			"exp null":            with(`"exp":`+number, `"exp":null`),
			"exp text":            with(`"exp":`+number, `"exp":"`+number+`"`),
			"exp float":           with(`"exp":`+number, `"exp":`+number+`.5`),
			"exp power":           with(`"exp":`+number, `"exp":1e12`),
			"exp huge":            with(`"exp":`+number, `"exp":9223372036854775807`),
			"exp over int":        with(`"exp":`+number, `"exp":9223372036854775808`),
			"exp negative":        with(`"exp":`+number, `"exp":-1`),
			"no aud":              with(`"aud":"`+r.audience()+`",`, ``),
			"aud list":            with(`"aud":"`+r.audience()+`"`, `"aud":["`+r.audience()+`"]`),
			"other aud":           with(`"aud":"`+r.audience()+`"`, `"aud":"countersign-x"`),
			"no iss":              with(`"iss":"`+d.issuer+`",`, ``),
			"other iss":           with(d.issuer, wire.Key{}.String()),
			"iss in capitals":     with(d.issuer, strings.ToUpper(d.issuer)),
			"no jti":              with(`"jti":"`+c.id()+`"`, `"jti":""`),
			"jti in capitals":     with(c.id(), strings.ToUpper(c.id())),
			"long jti":            with(c.id(), c.id()+"00"),
			"array":               "[" + good + "]",
			"null":                "null",
			"nothing":             "",
		} {
			if read(forge(headerOf(r), payload, d.sign)) == nil {
				t.Errorf("%s token: %s is taken: %s", r, name, payload)
			}
		}
		if err := read(forge(headerOf(r), good, d.sign)); err != nil {
			t.Fatalf("%s token: the good one: %v", r, err)
		}
	}
}

// TestCrossRole: a token is good for its role and no other, even if its claims
// would do.
func TestCrossRole(t *testing.T) {
	d := newDesk(t)
	for _, a := range allRoles {
		c, _ := d.good(a)
		token, err := d.mint(a, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range allRoles {
			_, read := d.good(b)
			if err := read(token); (err == nil) != (a == b) {
				t.Errorf("a token of role %s, used as %s: %v", a, b, err)
			}
			// The header of one role on the claims of another.
			if a != b && read(forge(headerOf(b), encoded(t, c), d.sign)) == nil {
				t.Errorf("claims of role %s under the header of %s are taken", a, b)
			}
		}
	}
}

// TestTokenTime: a token ends with its second, by the hub's clock alone, and
// cannot say that it is good for longer than its role allows.
func TestTokenTime(t *testing.T) {
	d := newDesk(t)
	start := d.at
	for _, r := range allRoles {
		d.at = start
		c, read := d.good(r)
		token, err := d.mint(r, c)
		if err != nil {
			t.Fatal(err)
		}
		for offset, want := range map[time.Duration]bool{0: true, 59 * time.Second: true, 60*time.Second - 1: true, 60 * time.Second: false, time.Hour: false,
			-time.Hour: true, time.Minute - r.longest(): true, time.Minute - r.longest() - time.Second: false} {
			d.at = start.Add(offset)
			if err := read(token); (err == nil) != want {
				t.Errorf("%s token, %s later: %v", r, offset, err)
			}
		}
	}
}

// TestForgedLeases: good lease tokens say what was lent, and what is wrong in
// them makes them worthless.
func TestForgedLeases(t *testing.T) {
	d := newDesk(t)
	l := job.Lease{ID: testLease, Worker: wire.Key{2}, Order: canon.Sum(nil), Task: 3, Lane: 1, Net: job.NetOf(addr("10.1.2.3")), Since: d.at, Until: d.at.Add(time.Minute)}
	token, err := d.leases([]job.Lease{l})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.readLease(token, l.ID)
	if err != nil || got.ID != l.ID || got.Worker != l.Worker || got.Task != 3 || got.Lane != 1 || got.Net != l.Net {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, spoil := range map[string]func(*leaseClaims){
		"no leases":     func(c *leaseClaims) { c.Leases = nil },
		"another lease": func(c *leaseClaims) { c.Leases[0].ID = wire.LeaseID{9}.String() },
		"no worker":     func(c *leaseClaims) { c.Subject = "me" },
		"no network":    func(c *leaseClaims) { c.Net = "everywhere" },
	} {
		c, _ := d.good(roleLease)
		spoil(c.(*leaseClaims))
		token, err := d.mint(roleLease, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.readLease(token, testLease); canon.ClassOf(err) != wire.CodeLeaseInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTokenRing: old keys count as long as the ring says.
func TestTokenRing(t *testing.T) {
	d := newDesk(t)
	start := d.at
	c, read := d.good(roleOperator)
	old, err := d.mint(roleOperator, c)
	if err != nil {
		t.Fatal(err)
	}
	d.ring.Store(&[]store.TokenKey{{Key: workerKey(7)}, {Key: d.key, Until: start.Add(30 * time.Second)}})
	fresh, err := d.mint(roleOperator, c)
	if err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[time.Duration]bool{0: true, 29 * time.Second: true, 30 * time.Second: false} {
		d.at = start.Add(offset)
		if err := read(old); (err == nil) != want {
			t.Errorf("under the old key, %s later: %v", offset, err)
		}
		if err := read(fresh); err != nil {
			t.Errorf("under the new key, %s later: %v", offset, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	t := newTokens(workerKey(1).Public().(ed25519.PublicKey), []store.TokenKey{{Key: workerKey(1)}}, time.Now)
	f.Add(`{"iss":"` + t.issuer + `","sub":"ada","aud":"countersign-operator","exp":` + fmt.Sprint(time.Now().Add(time.Hour).Unix()) + `,"jti":"` + strings.Repeat("0a", 16) + `"}`)
	f.Fuzz(func(ft *testing.T, payload string) {
		// Whatever payload is signed: what is taken is what mint would write.
		r := roleOperator
		token := forge(headerOf(r), payload, func(b []byte) []byte { return ed25519.Sign(workerKey(1), b) })
		var c namedClaims
		if t.read(token, r, &c) != nil {
			return
		}
		again, err := t.mint(r, &c)
		if err != nil || again != token {
			ft.Errorf("%s is taken, and is %s", token, again)
		}
	})
}
