package hub

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// getCredit writes what each worker has earned as JSON lines, most fuel first:
// the fuel of votes that won. Nobody can claim it, and it says nothing of who
// the workers are.
func (h *Hub) getCredit(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.bearer(r, roleAuditor, roleOperator); err != nil {
		return err
	}
	credits, err := h.store.Credits()
	if err != nil {
		return err
	}
	all := make([]store.Credit, 0, len(credits))
	for _, c := range credits {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b store.Credit) int {
		return cmp.Or(cmp.Compare(b.Fuel, a.Fuel), bytes.Compare(a.Worker[:], b.Worker[:]))
	})
	deadlines(w, readTimeout, downloadTimeout)
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	for _, c := range all {
		if err := out.Encode(wire.CreditLine{Worker: c.Worker, Votes: c.Votes, Fuel: c.Fuel}); err != nil {
			return nil // the client left
		}
	}
	return nil
}
