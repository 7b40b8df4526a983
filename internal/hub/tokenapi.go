package hub

import (
	"cmp"
	"crypto/ed25519"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

const (
	maxTokenBody = 1 << 10
	maxRevoked   = 65_536
)

// openTokens loads the ring and the revocations. A revocation is of no use any
// more when no token can have its id.
func (h *Hub) openTokens() error {
	ring, err := store.LoadTokenKeys(h.opt.Data)
	if err != nil {
		return err
	}
	h.tokens = newTokens(h.key.Public().(ed25519.PublicKey), ring, h.now)
	if _, err := h.store.TokenRecords(h.now()); err != nil { // which sweeps them
		h.log.Warn("the list of tokens is damaged", "error", err)
	}
	oldest := h.now().Add(-roleOperator.longest())
	revoked := map[string]store.Revocation{}
	h.tokens.revoked.Store(&revoked)
	return h.store.Revocations(func(r store.Revocation) error {
		if r.At.After(oldest) {
			revoked[r.ID] = r
		}
		return nil
	})
}

// bearer verifies the token of a request that is for some roles only.
func (h *Hub) bearer(r *http.Request, roles ...role) (id string, err error) {
	all := r.Header.Values("Authorization")
	if len(all) != 1 {
		return "", refusal(wire.CodeUnauthorized, "this needs a token of the role %s (hub token mint)", roles[0])
	}
	token, ok := strings.CutPrefix(all[0], "Bearer ")
	if !ok {
		return "", refusal(wire.CodeUnauthorized, "this needs Authorization: Bearer and a token of the role %s", roles[0])
	}
	is, id, err := h.tokens.named(token)
	if err != nil {
		return "", refusal(wire.CodeUnauthorized, "%v", err)
	}
	if !slices.Contains(roles, is) {
		return "", refusal(wire.CodeForbidden, "the token is for the role %s, this needs %s", is, roles[0])
	}
	return id, nil
}

func (h *Hub) getTokens(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.bearer(r, roleOperator); err != nil {
		return err
	}
	records, err := h.store.TokenRecords(h.now())
	if err != nil {
		return err
	}
	list := wire.TokenList{Tokens: []wire.TokenInfo{}}
	revoked := *h.tokens.revoked.Load()
	noted := map[string]bool{}
	for _, t := range records {
		noted[t.ID] = true
		v, is := revoked[t.ID]
		list.Tokens = append(list.Tokens, wire.TokenInfo{ID: t.ID, Role: t.Role, Subject: t.Subject, Origin: t.Origin, Rate: t.Rate, Expires: &t.Expires, Revoked: is, Reason: v.Reason})
	}
	for id, v := range revoked {
		if !noted[id] && len(list.Tokens) < wire.MaxTokenList {
			list.Tokens = append(list.Tokens, wire.TokenInfo{ID: id, Revoked: true, Reason: v.Reason})
		}
	}
	slices.SortFunc(list.Tokens, func(a, b wire.TokenInfo) int { return cmp.Compare(a.ID, b.ID) })
	for _, k := range *h.tokens.ring.Load() {
		if k.Good(h.now()) {
			list.Keys = append(list.Keys, tokenKeyInfo(k))
		}
	}
	return answer(w, http.StatusOK, list)
}

func tokenKeyInfo(k store.TokenKey) wire.TokenKeyInfo {
	info := wire.TokenKeyInfo{Key: wire.KeyOf(k.Key.Public().(ed25519.PublicKey))}
	if !k.Until.IsZero() {
		until := canon.TimeOf(k.Until)
		info.Until = &until
	}
	return info
}

// postRevoke makes a token worthless, and ends what came in with it. It is
// durable before the answer.
func (h *Hub) postRevoke(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleOperator)
	if err != nil {
		return err
	}
	var v wire.RevokeRequest
	if err := readJSON(w, r, maxTokenBody, &v); err != nil {
		return err
	}
	if _, err := wire.ParseLeaseID(v.ID); err != nil {
		return refusal(wire.CodeRequest, "jti %.80q: want the 32 hex digits that hub token list shows", v.ID)
	}
	if v.Reason == "" || len(v.Reason) > wire.MaxReason || printable(v.Reason, wire.MaxReason) != v.Reason {
		return refusal(wire.CodeRequest, "a revocation needs a reason of up to %d printable ASCII characters", wire.MaxReason)
	}
	h.turn.Lock()
	defer h.turn.Unlock()
	if len(*h.tokens.revoked.Load()) >= maxRevoked {
		return refusal(wire.CodeRequest, "%d tokens are revoked already: rotate the keys instead", maxRevoked)
	}
	revocation := store.Revocation{ID: v.ID, Reason: v.Reason, Operator: who, At: h.now().UTC().Truncate(time.Second)}
	if err := h.store.PutRevocation(revocation); err != nil {
		h.fail(err)
		return err
	}
	h.tokens.revoke(revocation)
	h.disconnect(wire.CodeUnauthorized, "the site's token was revoked", func(s *session) bool { return s.pass.via == v.ID })
	h.log.Warn("token revoked", "jti", v.ID, "reason", v.Reason, "token", who, "client", h.client(r))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// postRotate makes a new key sign tokens.
func (h *Hub) postRotate(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleOperator)
	if err != nil {
		return err
	}
	var v wire.RotateRequest
	if err := readJSON(w, r, maxTokenBody, &v); err != nil {
		return err
	}
	if v.Overlap < 0 || time.Duration(v.Overlap) > roleOperator.longest()/time.Second {
		return refusal(wire.CodeRequest, "an overlap of %d seconds is not from 0 to 366 days", v.Overlap)
	}
	h.turn.Lock()
	defer h.turn.Unlock()
	ring, err := store.RotateTokenKey(h.opt.Data, h.now(), time.Duration(v.Overlap)*time.Second)
	if err != nil {
		return refusal(wire.CodeRequest, "%v", err)
	}
	h.tokens.ring.Store(&ring)
	key := tokenKeyInfo(ring[0]).Key
	h.log.Warn("token keys rotated", "key", key, "overlap", time.Duration(v.Overlap)*time.Second, "token", who, "client", h.client(r))
	return answer(w, http.StatusOK, wire.Rotated{Key: key})
}

// readJSON reads a small body.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	body, err := readBody(w, r, limit)
	if err != nil {
		return err
	}
	if err := strictJSON(body, v); err != nil {
		return refusal(wire.CodeRequest, "the body is not what this takes: %v", err)
	}
	return nil
}
