package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

const (
	lookEvery    = 250 * time.Millisecond // how often a stream looks at its order
	countsEvery  = time.Second            // how often it says so, if only numbers have changed
	lookAnyway   = 5 * time.Second        // and looks at the disk, if no number has
	eventTimeout = 10 * time.Second       // for a reader to take what is written
)

// getEvents streams what happens to an order. Nothing is kept for its reader but
// a cursor: it reads from the disk what it has not sent, so a slow reader costs
// no memory, and one that takes nothing for a while is dropped.
func (h *Hub) getEvents(w http.ResponseWriter, r *http.Request) error {
	if err := h.readers(r); err != nil {
		return err
	}
	o, err := h.pathOrder(r)
	if err != nil {
		return err
	}
	s := &stream{hub: h, order: o, w: w, control: http.NewResponseController(w)}
	text := r.URL.Query().Get("after")
	if last := r.Header.Get("Last-Event-ID"); last != "" { // of a reader that comes back
		text = last
	}
	if text != "" {
		if s.after, err = h.cursorOf(o, text); err != nil {
			return err
		}
	}
	client := h.client(r)
	if err := h.limits.streams.take(client); err != nil {
		return err
	}
	defer h.limits.streams.leave(client)
	head := w.Header()
	head.Set("Content-Type", wire.EventStream)
	head.Set("X-Accel-Buffering", "no") // proxies, too, are to pass events on at once
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return err // nothing more is read; a deadline that passes would end the request
	}
	s.run(r.Context())
	return nil
}

// stream is one reader of an order's events.
type stream struct {
	hub     *Hub
	order   *orderEntry
	w       http.ResponseWriter
	control *http.ResponseController
	after   uint64         // the cursor
	told    wire.OrderInfo // the last order event
	toldAt  time.Time
	wroteAt time.Time
	readAt  time.Time
	behind  bool // there may be decisions that were not sent
}

// run sends events until the order has ended, the reader has gone, or the hub
// shuts down.
func (s *stream) run(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	s.behind = true
	for s.look() {
		select {
		case <-ctx.Done():
			return
		case <-s.hub.streaming.Done():
			return
		case <-t.C:
		}
	}
}

// look sends what is new, and reports whether more may come.
func (s *stream) look() bool {
	info := s.hub.orderInfo(s.order)
	pending := s.hub.pending.Load() > 0 // what info counts may not be on disk yet
	now := time.Now()
	loud := info.State != s.told.State || info.Reason != s.told.Reason || info.Text != s.told.Text
	if loud || !reflect.DeepEqual(info, s.told) && now.Sub(s.toldAt) >= countsEvery {
		s.behind = true
		s.told, s.toldAt = info, now
		if s.event(wire.EventOrder, 0, info) != nil {
			return false
		}
	}
	if s.behind || now.Sub(s.readAt) >= lookAnyway {
		if s.results() != nil {
			return false
		}
		s.behind, s.readAt = pending, now
	}
	if info.Ended() && !pending && !s.behind {
		_ = s.event(wire.EventEnd, 0, info) // that it has gone, it knows itself
		return false
	}
	if now.Sub(s.wroteAt) >= wire.HeartbeatEvery {
		return s.write([]byte(": still here\n\n")) == nil
	}
	return true
}

// results sends what was decided since.
func (s *stream) results() error {
	page := s.hub.byDecision(s.order.digest, s.after)
	for {
		lines, more, err := page()
		if err != nil {
			s.hub.log.Error("results cannot be read", "order", s.order.digest, "error", err)
			return err
		}
		if !more {
			return nil
		}
		for _, line := range lines {
			if err := s.event(wire.EventResult, line.Cursor, line); err != nil {
				return err
			}
			s.after = line.Cursor
		}
	}
}

// event writes one event; id 0: none.
func (s *stream) event(name string, id uint64, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if id > 0 {
		fmt.Fprintf(&b, "id: %d\n", id)
	}
	fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, text)
	return s.write(b.Bytes())
}

func (s *stream) write(text []byte) error {
	now := time.Now() // sockets go by the machine's clock
	s.wroteAt = now
	err := s.control.SetWriteDeadline(now.Add(s.hub.opt.eventTimeout))
	if err == nil {
		_, err = s.w.Write(text)
	}
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		s.hub.log.Debug("a stream of events ends", "order", s.order.digest, "error", err)
	}
	return err
}
