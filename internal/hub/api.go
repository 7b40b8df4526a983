package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// digestOf reads the digest that stands in a path.
func digestOf(r *http.Request, name string) (canon.Digest, error) {
	d, err := canon.ParseDigest(r.PathValue(name))
	if err != nil {
		return d, refusal(wire.CodeNotFound, "there is nothing at %s: want 64 lower-case hex digits", printable(r.URL.Path, 100))
	}
	return d, nil
}

// immutable marks an answer that is named by its digest. Any page may read it:
// it is public, and what it is worth the reader finds out itself.
func immutable(w http.ResponseWriter, contentType string) {
	head := w.Header()
	head.Set("Content-Type", contentType)
	head.Set("Cache-Control", "public, max-age=31536000, immutable")
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

const downloadTimeout = 10 * time.Minute

func (h *Hub) getModule(w http.ResponseWriter, r *http.Request) error {
	d, err := digestOf(r, "digest")
	if err != nil {
		return err
	}
	if !h.catalog.hasBlob(d) {
		return refusal(wire.CodeNotFound, "module %s is not here", d.Short())
	}
	module, err := h.module(d)
	if err != nil {
		return err
	}
	deadlines(w, downloadTimeout, downloadTimeout)
	immutable(w, "application/wasm")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(module))
	return nil
}

func (h *Hub) getStatement(w http.ResponseWriter, r *http.Request) error {
	name, signature := strings.CutSuffix(r.PathValue("name"), ".minisig")
	name, proof := strings.CutSuffix(name, ".tlog-proof")
	d, err := canon.ParseDigest(name)
	if err != nil || (proof && signature) {
		return refusal(wire.CodeNotFound, "there is nothing at %s: want 64 lower-case hex digits", printable(r.URL.Path, 100))
	}
	if proof {
		return h.getProof(w, d)
	}
	s, ok := h.catalog.statement(d)
	if !ok {
		return refusal(wire.CodeNotFound, "statement %s is not here", d.Short())
	}
	data, contentType := s.statement, "application/json"
	if signature {
		data, contentType = s.signature, "text/plain; charset=utf-8"
	}
	immutable(w, contentType)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}

func (h *Hub) getReleases(w http.ResponseWriter, r *http.Request) error {
	list := wire.ReleaseList{Releases: []wire.ReleaseInfo{}}
	for _, rel := range h.catalog.allReleases() {
		list.Releases = append(list.Releases, h.releaseInfo(rel))
	}
	return answer(w, http.StatusOK, list)
}

func (h *Hub) releaseInfo(r *releaseEntry) wire.ReleaseInfo {
	info := wire.ReleaseInfo{Release: r.digest, Name: r.Name, Version: r.Version, Purpose: r.Purpose, ModuleSHA256: r.ModuleSHA256,
		ModuleLength: r.ModuleLength, SourceSHA256: r.SourceSHA256, Expires: r.Expires, State: "live"}
	h.mu.Lock()
	reason, stopped := h.machine.StopReason(wire.KillRelease, r.digest)
	h.mu.Unlock()
	switch {
	case stopped:
		info.State, info.Reason = "stopped", reason
	case !h.now().Before(r.Expires.Time()):
		info.State = "expired"
	}
	return info
}

func (h *Hub) getOrders(w http.ResponseWriter, r *http.Request) error {
	list := wire.OrderList{Orders: []wire.OrderInfo{}}
	for _, o := range h.catalog.allOrders() {
		list.Orders = append(list.Orders, h.orderInfo(o))
	}
	return answer(w, http.StatusOK, list)
}

func (h *Hub) getOrder(w http.ResponseWriter, r *http.Request) error {
	o, err := h.pathOrder(r)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, h.orderInfo(o))
}

func (h *Hub) pathOrder(r *http.Request) (*orderEntry, error) {
	d, err := digestOf(r, "order")
	if err != nil {
		return nil, err
	}
	return h.catalog.order(d)
}

func (h *Hub) orderInfo(o *orderEntry) wire.OrderInfo {
	h.mu.Lock()
	info, _ := h.machine.Info(o.digest)
	h.mu.Unlock()
	agree, of := o.Redundancy.Voices()
	w := wire.OrderInfo{Order: o.digest, Title: o.Title, Release: o.ReleaseSHA256, Name: o.release.Name, State: string(info.State), Reason: info.Reason,
		Tasks: o.Tasks(), Accepted: info.Accepted, Undecided: info.Undecided, Stopped: info.Off, Withdrawn: info.Withdrawn, Votes: o.votes.Load(), Leases: info.Leases,
		CompletePermille: o.CompletePermille, Priority: o.Priority, Agree: agree, Of: of, Redundancy: o.Redundancy.Rule(), NotBefore: o.NotBefore, Expires: o.Expires}
	if text := o.text.Load(); text != nil {
		w.Text = *text
	}
	return w
}

// readers lets in who may read results.
func (h *Hub) readers(r *http.Request) error {
	if !h.opt.PrivateResults {
		return nil
	}
	_, err := h.bearer(r, roleAuditor, roleOperator)
	return err
}

func (h *Hub) getInput(w http.ResponseWriter, r *http.Request) error {
	if err := h.readers(r); err != nil {
		return err
	}
	o, err := h.pathOrder(r)
	if err != nil {
		return err
	}
	if o.Input.IsStated() {
		return refusal(wire.CodeNotFound, "order %s has no input file: it states its inputs itself", o.digest.Short())
	}
	if _, bad := o.input.(withheld); bad {
		return refusal(wire.CodeNotFound, "the input file of order %s has changed on this hub's disk", o.digest.Short())
	}
	blob := o.blob
	if u, ok := o.input.(*outputInputs); ok {
		f := u.file.Load()
		if f == nil {
			return refusal(wire.CodeNotFound, "the inputs of order %s are not gathered yet", o.digest.Short())
		}
		blob = f.blob
	}
	f, err := h.store.OpenBlob(blob)
	if err != nil {
		return err
	}
	defer f.Close()
	deadlines(w, downloadTimeout, downloadTimeout)
	immutable(w, "application/octet-stream")
	if h.opt.PrivateResults {
		w.Header().Set("Cache-Control", "no-store")
	}
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

const (
	pageResults = 256
	pageBytes   = 1 << 20
)

func fromTask(r *http.Request) (from uint64, err error) {
	if text := r.URL.Query().Get("from"); text != "" {
		if from, err = strconv.ParseUint(text, 10, 41); err != nil {
			return 0, refusal(wire.CodeRequest, "from=%.20q is no task number", text)
		}
	}
	return from, nil
}

// getResults writes verdicts as JSON lines, page after page, so that no
// transaction stays open while a client reads slowly.
func (h *Hub) getResults(w http.ResponseWriter, r *http.Request) error {
	if err := h.readers(r); err != nil {
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
	if h.pending.Load() > 0 { // what the order's state counts already must be here
		if err := h.settled(r.Context()); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for begun := false; ; begun = true {
		page, err := h.store.Results(o.digest, from, pageResults, pageBytes)
		if err != nil && begun {
			h.log.Error("results cannot be read", "order", o.digest, "error", err)
			panic(http.ErrAbortHandler) // so the client sees that there is more
		}
		if err != nil || len(page) == 0 {
			return err
		}
		deadlines(w, readTimeout, readTimeout)
		var lines bytes.Buffer
		enc := json.NewEncoder(&lines)
		for _, v := range page {
			line := wire.ResultLine{Task: v.Task, End: v.Outcome.End, Code: v.Outcome.Code, Fuel: v.Outcome.Fuel, Output: v.Output,
				Segments: v.Outcome.Segments, Transcript: v.Outcome.Transcript, Agree: v.Agree}
			if e := v.Evidence; e != nil {
				line.Round, line.Audited = e.Round, e.Audit != nil
				if !v.Undecided && !line.Audited {
					line.Credibility = 1 - float64(e.DoubtPPB)/1e9
				}
			}
			switch {
			case v.Stopped:
				line.End = wire.Stopped
			case v.Undecided:
				line.End = wire.Undecided
			}
			if line.Output == nil {
				line.Output = []byte{}
			}
			if err := enc.Encode(line); err != nil {
				return fmt.Errorf("writing the result of task %d: %w", v.Task, err)
			}
		}
		if _, err := w.Write(lines.Bytes()); err != nil {
			return nil // the client left
		}
		from = page[len(page)-1].Task + 1
	}
}

// Status is how the hub stands, in a few numbers.
func (h *Hub) Status() wire.StatusInfo {
	s := wire.StatusInfo{Hub: h.id, Time: canon.TimeOf(h.now()), Orders: map[string]int{}, Votes: h.stored.Load(), Results: h.results.Load()}
	s.Trust = h.trustInfo(h.trust.Load(), h.now())
	s.Disk = h.diskInfo()
	orders := h.catalog.allOrders()
	h.mu.Lock()
	defer h.mu.Unlock()
	s.Halted, s.Reason = h.machine.Halted()
	s.Leases, s.Workers = h.machine.Leases()
	for _, state := range []job.State{job.Queued, job.Running, job.Done, job.Stopped, job.Ended} {
		s.Orders[string(state)] = 0
	}
	for _, o := range orders {
		if info, ok := h.machine.Info(o.digest); ok {
			s.Orders[string(info.State)]++
		}
	}
	return s
}

func (h *Hub) getStatus(w http.ResponseWriter, r *http.Request) error {
	return answer(w, http.StatusOK, h.Status())
}

func (h *Hub) getHealth(w http.ResponseWriter, r *http.Request) error {
	select {
	case <-h.failed:
		return refusal(wire.CodeInternal, "the store has failed")
	default:
	}
	h.mu.Lock()
	closing := h.closing
	h.mu.Unlock()
	if closing {
		return refusal(wire.CodeClosing, "the hub shuts down")
	}
	return answer(w, http.StatusOK, map[string]string{"status": "ok"})
}
