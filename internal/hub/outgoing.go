package hub

import (
	"context"
	"errors"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// send queues a message. It never waits: a worker that does not read while
// messages pile up loses its connection.
func (s *session) send(o outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if len(s.queue) >= maxOutgoing {
		s.over, s.queue = true, nil
		s.hub.metrics.errors.WithLabelValues(wire.CodeSlow).Inc()
		s.hub.log.Info("connection closed", "code", wire.CodeSlow, "worker", s.worker, "client", s.client)
		s.cancel()
		return
	}
	s.queue = append(s.queue, o)
	s.over = o.close != 0
	if !s.writing {
		s.writing = true
		s.hub.serving.Go(s.flush) // the session itself is counted still
	}
}

// leave says why the hub closes the connection, and closes it.
func (s *session) leave(code, text string) {
	s.send(outgoing{msg: &wire.Error{Code: code, Message: text}, close: websocket.StatusGoingAway})
}

// flush writes until nothing is left to write.
func (s *session) flush() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.queue, s.writing = nil, false
			s.mu.Unlock()
			return
		}
		o := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if err := s.deliver(o); err != nil {
			s.cancel() // the reading goroutine clears up
			return
		}
	}
}

func (s *session) deliver(o outgoing) error {
	// Not of s.ctx: the goodbye of a hub that closes must get through.
	timeout := writeTimeout
	if o.close != 0 {
		timeout = closeTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), timeout)
	defer cancel()
	if o.lease != nil {
		m, err := s.hub.leaseMessage(*o.lease)
		if err != nil {
			s.hub.cannotLend(s, *o.lease, err)
			return nil
		}
		o.msg = m
	}
	if o.raw == nil {
		raw, err := wire.Encode(o.msg)
		if err != nil {
			s.hub.log.Error("a message cannot be sent", "error", err)
			return err
		}
		o.raw = raw
	}
	if err := s.conn.Write(ctx, websocket.MessageText, o.raw); err != nil {
		return err
	}
	if o.close != 0 {
		s.conn.Close(o.close, "") // fails if the worker does not answer
		return errors.New("closed")
	}
	return nil
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
	if s.write(ctx, &wire.Error{Code: code, Message: printable(text, wire.MaxErrorText)}) == nil {
		s.conn.Close(websocket.StatusPolicyViolation, code) // fails if the worker is gone
	}
}
