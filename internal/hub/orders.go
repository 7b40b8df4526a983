package hub

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// postOrder admits an order on a release that is here, with its input.
func (h *Hub) postOrder(w http.ResponseWriter, r *http.Request) error {
	f, s, err := signedForm(w, r, release.MaxInputFile)
	if err != nil {
		return err
	}
	if err := h.current(); err != nil {
		return err
	}
	trust := h.trust.Load()
	o, who, err := release.OpenOrder(s.statement, s.signature, trust.Policy, h.usable, h.now())
	if err != nil {
		return err
	}
	digest := canon.Sum(s.statement)
	if err := trust.Good("order", digest); err != nil {
		return err
	}
	if err := h.unstopped(wire.KillOrder, digest); err != nil {
		return err
	}
	if _, err := h.catalog.order(digest); err == nil {
		return answer(w, http.StatusOK, wire.OrderAdmitted{Order: digest, Tasks: o.Tasks()})
	}
	if len(h.catalog.allOrders()) >= maxOrders {
		return refusal(wire.CodeForbidden, "the hub has all the orders that it can take")
	}
	entry := &orderEntry{Order: o, digest: digest, admitted: h.now(), researcher: who.Key.String()}
	if entry.release, err = h.catalog.release(o.ReleaseSHA256); err != nil {
		return err
	}
	if err := h.follows(o); err != nil {
		return err
	}
	if err := h.takeInput(f, entry); err != nil {
		return err
	}
	fresh, err := h.keepOrder(entry, s)
	if err != nil {
		return err
	}
	h.log.Info("order admitted", "order", digest, "title", o.Title, "release", o.ReleaseSHA256, "researcher", who.Name, "tasks", o.Tasks())
	h.metrics.admitted.WithLabelValues("order").Inc()
	return answer(w, created(fresh), wire.OrderAdmitted{Order: digest, Tasks: o.Tasks()})
}

// follows makes sure that the order before is here, and is what o says of it.
func (h *Hub) follows(o *release.Order) error {
	if o.After == nil {
		return nil
	}
	prev, err := h.catalog.order(o.After.Order)
	if err != nil {
		return refusal(wire.CodeUnknownOrder, "order %q follows order %s, which is not here: submit that first", o.Title, o.After.Order.Short())
	}
	if u := o.Input.Outputs; u != nil && uint64(u.Tasks) != prev.Tasks() {
		return refusal(wire.CodeInput, "order %q takes the outputs of %d tasks, but order %s has %d", o.Title, u.Tasks, o.After.Order.Short(), prev.Tasks())
	}
	return nil
}

// usable finds a release that may still get orders.
func (h *Hub) usable(d canon.Digest) (*release.Release, error) {
	r, err := h.catalog.release(d)
	if err != nil {
		return nil, err
	}
	if err := h.unstopped(wire.KillRelease, d); err != nil {
		return nil, err
	}
	if err := canon.CheckExpiry(fmt.Sprintf("release %q version %d", r.Name, r.Version), r.Expires, h.now(), release.MaxAge); err != nil {
		return nil, err
	}
	return r.Release, nil
}

// takeInput reads an order's input file to disk while it checks it.
func (h *Hub) takeInput(f *form, o *orderEntry) error {
	if o.Input.IsStated() {
		o.input = statedInputs{&o.Input}
		return nil
	}
	if o.Input.Outputs != nil {
		o.input = &outputInputs{}
		return nil
	}
	if n := o.Input.FileLength(); n > release.MaxInputFile {
		return refusal("too_large", "order %q: an input file of %d bytes, this hub takes %d", o.Title, n, release.MaxInputFile)
	}
	part, err := f.open("input")
	if err != nil {
		return err
	}
	blob, err := h.store.CreateBlob()
	if err != nil {
		return err
	}
	in, err := scanInputs(o.Order, io.TeeReader(part, blob))
	if err != nil {
		return errors.Join(err, blob.Abort())
	}
	if o.blob, err = blob.Commit(); err != nil {
		return err
	}
	file, err := h.blob(o)
	if err != nil {
		return err
	}
	in.from(file)
	o.input = in
	return nil
}

func (h *Hub) keepOrder(o *orderEntry, s signed) (fresh bool, err error) {
	st := store.Statement{Digest: o.digest, Bytes: s.statement, Signature: s.signature, At: o.admitted, Input: o.blob}
	if fresh, err = h.store.PutStatement(store.Order, st); err != nil {
		return false, err
	}
	if err := h.notary.admitted(o.digest); err != nil {
		return false, err
	}
	o.seq = uint64(len(h.catalog.allOrders())) + 1
	if !h.catalog.addOrder(o, s) {
		closeInput(o) // the same order came twice at once
		return fresh, nil
	}
	h.work(func(m *job.Machine) []job.Action { return m.Admit(h.now(), o.spec()) })
	return fresh, nil
}
