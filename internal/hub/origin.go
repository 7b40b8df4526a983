package hub

import (
	"net/http"
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
	case len(all) == 0 || len(all) == 1 && ownOrigin(r, all[0]):
		return "", nil
	case len(all) > 1 || !h.allowed(all[0]):
		return "", refusal(wire.CodeOrigin, "pages of %s may not volunteer here", printable(strings.Join(all, ", "), 200))
	}
	return all[0], nil
}

// ownOrigin reports whether an origin is that of the hub's own page, by the
// host that the request names. Behind a proxy the scheme may differ.
func ownOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// allowed reports whether pages of an origin that is not the hub's may
// volunteer: those of --allow-origin, where it is given. Where sites bring
// tokens, the tokens say which.
func (h *Hub) allowed(origin string) bool {
	if len(h.opt.AllowOrigins) > 0 {
		return slices.ContainsFunc(h.opt.AllowOrigins, func(o string) bool { return strings.EqualFold(o, origin) })
	}
	return h.opt.SiteTokens
}
