package hub

import (
	"context"
	"errors"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// send queues a message, and writes it. It never waits: a worker that does not
// read while messages pile up loses its connection.
func (s *session) send(o outgoing) {
	if s.put(o) {
		s.hub.serving.Go(s.flush) // the session itself is counted still
	}
}

// put queues a message, and reports whether somebody has to start writing.
func (s *session) put(o outgoing) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	if len(s.queue) >= maxOutgoing {
		s.over, s.queue = true, nil
		s.hub.metrics.errors.WithLabelValues(wire.CodeSlow).Inc()
		s.hub.log.Info("connection closed", "code", wire.CodeSlow, "worker", s.worker, "client", s.client)
		s.cancel()
		return false
	}
	s.queue = append(s.queue, o)
	s.over = o.close != 0
	start := !s.writing
	s.writing = true
	return start
}

// leave says why the hub closes the connection, and closes it.
func (s *session) leave(code, text string) {
	s.send(outgoing{msg: &wire.Error{Code: code, Message: text, Retry: s.hub.limits.comeAgain(code)}, close: websocket.StatusGoingAway})
}

// flush writes until nothing is left to write.
func (s *session) flush() {
	for {
		batch := s.waiting()
		if len(batch) == 0 {
			return
		}
		if err := s.deliver(batch); err != nil {
			s.cancel() // the reading goroutine clears up
			return
		}
	}
}

// waiting takes what goes into the next frame; nothing, and there is none.
func (s *session) waiting() []outgoing {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.queue), wire.MaxBatch)
	batch := s.queue[:n:n]
	s.queue = s.queue[n:]
	if n == 0 {
		s.queue, s.writing = nil, false
	}
	return batch
}

// deliver writes messages, as many in a frame as fit.
func (s *session) deliver(batch []outgoing) error {
	text := texts.Get().(*[]byte)
	f := frame{session: s, timeout: writeTimeout, text: (*text)[:0]}
	defer func() {
		if cap(f.text) <= maxKeptFrame {
			*text = f.text
			texts.Put(text)
		}
	}()
	last := batch[len(batch)-1]
	if last.close != 0 {
		f.timeout = closeTimeout
	}
	for _, o := range batch {
		if err := f.add(o); err != nil {
			return err
		}
	}
	if err := f.write(); err != nil || last.close == 0 {
		return err
	}
	s.conn.Close(last.close, "") // fails if the worker does not answer
	return errors.New("closed")
}

// cannotLend takes back a lease that could not be sent.
func (h *Hub) cannotLend(s *session, l job.Lease, err error) {
	h.log.Error("a task cannot be lent", "order", l.Order, "task", l.Task, "error", err)
	h.work(func(m *job.Machine) []job.Action {
		_, _, actions := m.Return(h.now(), s.id, l.ID, true)
		return actions
	})
}

// write sends a message at once, before the session has joined or when it ends.
func (s *session) write(ctx context.Context, m wire.FromHub) error {
	raw, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return s.conn.Write(ctx, websocket.MessageText, raw)
}

// reject ends a connection whose worker made a mistake. Of a connection that
// is gone nothing is said.
func (s *session) reject(err error) {
	code, text := public(err)
	if code == wire.CodeInternal {
		return
	}
	s.hub.metrics.errors.WithLabelValues(code).Inc()
	s.hub.log.Info("connection closed", "code", code, "error", err, "worker", s.worker, "client", s.client)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), closeTimeout)
	defer cancel()
	if s.write(ctx, &wire.Error{Code: code, Message: printable(text, wire.MaxErrorText), Retry: s.hub.limits.comeAgain(code)}) == nil {
		s.conn.Close(websocket.StatusPolicyViolation, code) // fails if the worker is gone
	}
}
