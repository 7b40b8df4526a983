package hub

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// pass is what a worker from another site's page was let in with. The zero
// pass is that of a worker that needs none.
type pass struct {
	origin  string
	via     string // the site token's id
	expires time.Time
}

// sites bound how many volunteers of an origin join. There are no more of them
// than operators minted tokens for.
type sites struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

// enter counts a volunteer of a site in, unless too many came this minute.
func (s *sites) enter(c *siteClaims, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.by[c.Origin]
	if l == nil || l.Burst() != c.Rate {
		l = rate.NewLimiter(rate.Limit(float64(c.Rate)/60), c.Rate)
		s.by[c.Origin] = l
	}
	if !l.AllowN(now, 1) {
		return refusal(wire.CodeConnections, "more than %d volunteers a minute from %s", c.Rate, c.Origin)
	}
	return nil
}

// letIn looks at the token that a worker joins with, where it needs one:
// docs/spec/token.md, "Sites". A session token is on disk as spent afterwards.
func (h *Hub) letIn(s *session, token string) (p pass, err error) {
	switch {
	case !h.opt.SiteTokens || s.origin == "":
		return pass{}, nil
	case roleSession.is(token):
		return h.readSession(s, token)
	}
	return h.readSite(s, token)
}

// isFor makes sure that a token is for pages of the session's origin. What
// another page does must not use up anything of the site's.
func (s *session) isFor(origin string) error {
	if s.origin != origin {
		return refusal(wire.CodeUnauthorized, "the token is for pages of %s, this one is of %s", origin, printable(s.origin, 200))
	}
	return nil
}

func (h *Hub) readSite(s *session, token string) (p pass, err error) {
	var c siteClaims
	if err := h.tokens.read(token, roleSite, &c); err != nil {
		return p, refusal(wire.CodeUnauthorized, "this hub asks pages for their site's token: %v", err)
	}
	if err := s.isFor(c.Origin); err != nil {
		return p, err
	}
	if err := h.sites.enter(&c, h.now()); err != nil {
		return p, err
	}
	return pass{c.Origin, c.ID, c.expires()}, nil
}

func (h *Hub) readSession(s *session, token string) (p pass, err error) {
	var c sessionClaims
	if err := h.tokens.read(token, roleSession, &c); err != nil {
		return p, refusal(wire.CodeUnauthorized, "session token: %v", err)
	}
	if c.Subject != s.worker.String() {
		return p, refusal(wire.CodeUnauthorized, "session token: it is another worker's")
	}
	if err := s.isFor(c.Origin); err != nil {
		return p, err
	}
	if r, is := (*h.tokens.revoked.Load())[c.Via]; is {
		return p, refusal(wire.CodeUnauthorized, "session token: its site's was revoked: %s", r.Reason)
	}
	id, err := wire.ParseLeaseID(c.ID)
	if err != nil {
		return p, err
	}
	first, err := h.store.Spend(store.TokenID(id), c.expires(), h.now())
	if err != nil {
		h.fail(err)
		return p, err
	}
	if !first {
		return p, refusal(wire.CodeUnauthorized, "session token: it was used before")
	}
	return pass{c.Origin, c.Via, c.expires()}, nil
}

// comeback mints the token with which a worker may come back; "": it needs none.
func (h *Hub) comeback(worker wire.Key, p pass) (string, error) {
	if p.via == "" {
		return "", nil
	}
	until := h.now().Add(roleSession.longest())
	if p.expires.Before(until) {
		until = p.expires
	}
	return h.tokens.mint(roleSession, &sessionClaims{common{Subject: worker.String(), Expires: until.Unix(), ID: newTokenID()}, p.origin, p.via})
}

// disconnect ends the sessions that f picks.
func (h *Hub) disconnect(code, why string, f func(*session) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		if f(s) {
			s.leave(code, why)
		}
	}
}
