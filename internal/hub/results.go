package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

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

// cursorOf reads a cursor, and refuses one that this hub never gave.
func (h *Hub) cursorOf(o *orderEntry, text string) (uint64, error) {
	after, err := strconv.ParseUint(text, 10, 53)
	if err != nil {
		return 0, refusal(wire.CodeRequest, "%.20q is no cursor", text)
	}
	last, err := h.store.LastDecision(o.digest)
	if err == nil && after > last {
		err = refusal(wire.CodeCursor, "the cursor is %d, but the hub knows of %d decisions on order %s: has it been restored from a backup? Read from 0 again", after, last, o.digest.Short())
	}
	return after, err
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
	page := h.byTask(o.digest, from)
	if text := r.URL.Query().Get("after"); text != "" {
		after, err := h.cursorOf(o, text)
		if err != nil {
			return err
		}
		page = h.byDecision(o.digest, after)
	}
	w.Header().Set("Content-Type", jsonLines)
	for begun := false; ; begun = true {
		lines, more, err := page()
		if err != nil && begun {
			h.log.Error("results cannot be read", "order", o.digest, "error", err)
			panic(http.ErrAbortHandler) // so the client sees that there is more
		}
		if err != nil || !more {
			return err
		}
		deadlines(w, readTimeout, readTimeout)
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		for _, line := range lines {
			if err := enc.Encode(line); err != nil {
				return fmt.Errorf("writing the result of task %d: %w", line.Task, err)
			}
		}
		if _, err := w.Write(text.Bytes()); err != nil {
			return nil // the client left
		}
	}
}

// byTask returns pages of an order's results in the order of tasks.
func (h *Hub) byTask(order canon.Digest, from uint64) func() (lines []wire.ResultLine, more bool, err error) {
	return func() (lines []wire.ResultLine, more bool, err error) {
		page, err := h.store.Results(order, from, pageResults, pageBytes)
		for _, v := range page {
			lines = append(lines, resultLine(v))
			from = v.Task + 1
		}
		return lines, len(page) > 0, err
	}
}

// byDecision returns pages of an order's results in the order of decision.
func (h *Hub) byDecision(order canon.Digest, after uint64) func() (lines []wire.ResultLine, more bool, err error) {
	return func() (lines []wire.ResultLine, more bool, err error) {
		page, next, err := h.store.DecidedAfter(order, after, pageResults, pageBytes)
		for _, d := range page {
			lines = append(lines, decidedLine(d))
		}
		more, after = next > after, next
		return lines, more, err
	}
}

func decidedLine(d store.Decided) wire.ResultLine {
	line := wire.ResultLine{Task: d.Task, End: wire.Withdrawn, Output: []byte{}, Round: d.Round}
	if !d.Withdrawn {
		line = resultLine(d.Result)
	}
	line.Cursor = d.Seq
	return line
}

func resultLine(v store.Result) wire.ResultLine {
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
	return line
}
