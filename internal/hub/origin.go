package hub

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/countersign/countersign/internal/wire"
)

// pageOrigin returns the origin of the page that a request comes from, if it
// is another's and may volunteer; "": it comes from no page, or the hub's own.
func (h *Hub) pageOrigin(r *http.Request) (string, error) {
	all := r.Header.Values("Origin")
	switch {
	case len(all) == 0 || len(all) == 1 && h.ownOrigin(r, all[0]):
		return "", nil
	case len(all) > 1 || !h.allowed(all[0]):
		return "", refusal(wire.CodeOrigin, "pages of %s may not volunteer here", printable(strings.Join(all, ", "), 200))
	}
	return all[0], nil
}

// ownOrigin reports whether an origin is that of the hub's own page, by the
// host that the request names. Anybody's name can lead to the hub's address, so
// where the hub knows its own, other names are other sites; an address is
// nobody's name.
func (h *Hub) ownOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return h.opt.Origin == "" || strings.EqualFold(origin, h.opt.Origin) || err == nil || u.Hostname() == "localhost"
}

// allowed reports whether pages of an origin that is not the hub's may
// volunteer: docs/spec/wire.md, "Origins". What flags say narrows the policy.
func (h *Hub) allowed(origin string) bool {
	signed := h.Policy().Origins
	if len(signed) > 0 && !slices.Contains(signed, origin) {
		return false
	}
	if len(h.opt.AllowOrigins) > 0 {
		return slices.ContainsFunc(h.opt.AllowOrigins, func(o string) bool { return strings.EqualFold(o, origin) })
	}
	return len(signed) > 0 || h.opt.SiteTokens // whose tokens say which
}

// guardOrigin refuses requests from pages that the policy does not name, where
// it names any. What anybody may audit is for every page.
func (h *Hub) guardOrigin(w http.ResponseWriter, r *http.Request) error {
	if len(h.Policy().Origins) == 0 {
		return nil
	}
	w.Header().Add("Vary", "Origin")
	if p := r.URL.Path; strings.HasPrefix(p, "/log/") || strings.HasPrefix(p, "/s/") || p == "/v1/policy" || p == "/v1/index" {
		return nil
	}
	_, err := h.pageOrigin(r)
	return err
}

// closeOrigins ends the connections of pages that a new policy leaves out, and
// says which flags count nothing.
func (h *Hub) closeOrigins() {
	h.disconnect(wire.CodeOrigin, "pages of this origin may not volunteer here any more", func(s *session) bool { return !h.mayStay(s) })
	for _, o := range h.opt.AllowOrigins {
		if !h.allowed(strings.ToLower(o)) {
			h.log.Warn("the policy does not name an origin that --allow-origin does: it is not let in", "origin", o)
		}
	}
}

func (h *Hub) mayStay(s *session) bool { return s.origin == "" || h.allowed(s.origin) }
