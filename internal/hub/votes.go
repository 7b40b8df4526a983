package hub

import (
	"encoding/json"
	"net/http"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// Votes calls each for every vote in a data directory that no hub has open.
func Votes(dir string, each func(worker wire.Key, v *wire.Vote) error) error {
	s, err := store.Open(dir, &store.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Votes(func(v store.Vote) error { return each(v.Worker, &v.Vote) })
}

// getVotes writes the votes of an order as JSON lines, for auditors: each with
// its worker's signature, so that a verdict can be checked without the hub.
func (h *Hub) getVotes(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.bearer(r, roleAuditor, roleOperator); err != nil {
		return err
	}
	o, err := h.pathOrder(r)
	if err != nil {
		return err
	}
	from, err := fromTask(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	for begun := false; ; begun = true {
		page, err := h.store.VotesOf(o.digest, from, pageResults)
		if err != nil && begun {
			h.log.Error("votes cannot be read", "order", o.digest, "error", err)
			panic(http.ErrAbortHandler) // so the client sees that there is more
		}
		if err != nil || len(page) == 0 {
			return err
		}
		deadlines(w, readTimeout, readTimeout)
		for _, v := range page {
			links, err := h.store.Links(v.Order, v.Task, v.Transcript)
			if err != nil {
				h.log.Error("links cannot be read", "order", o.digest, "error", err)
				panic(http.ErrAbortHandler)
			}
			refuted, err := h.store.Refuted(v.Order, v.Task, v.Transcript)
			if err != nil {
				h.log.Error("refutations cannot be read", "order", o.digest, "error", err)
				panic(http.ErrAbortHandler)
			}
			if err := out.Encode(wire.VoteLine{Worker: v.Worker, Vote: v.Vote, Signature: v.Seal.Signature, Sheet: v.Seal.Place, Net: v.Net.String(), At: canon.TimeOf(v.At), Links: links, Refuted: refuted}); err != nil {
				return nil // the client left
			}
		}
		from = page[len(page)-1].Task + 1
	}
}
