package hub

import (
	"context"
	"errors"
	"time"

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
	var frame [][]byte
	size := 0
	for _, o := range batch {
		raw, err := s.encode(o)
		if err != nil {
			return err
		}
		if raw == nil {
			continue
		}
		if size+len(raw) > wire.MaxToWorker {
			if err := s.writeFrame(frame, writeTimeout); err != nil {
				return err
			}
			frame, size = nil, 0
		}
		frame = append(frame, raw)
		size += len(raw) + 1
	}
	last := batch[len(batch)-1]
	if last.close == 0 {
		return s.writeFrame(frame, writeTimeout)
	}
	if err := s.writeFrame(frame, closeTimeout); err != nil {
		return err
	}
	s.conn.Close(last.close, "") // fails if the worker does not answer
	return errors.New("closed")
}

// encode makes a message; nil, if it was a lease that cannot be made.
func (s *session) encode(o outgoing) ([]byte, error) {
	if o.raw != nil {
		return o.raw, nil
	}
	if o.lease != nil {
		m, err := s.hub.leaseMessage(*o.lease)
		if err != nil {
			s.hub.cannotLend(s, *o.lease, err)
			return nil, nil
		}
		o.msg = m
	}
	raw, err := wire.Encode(o.msg)
	if err != nil {
		s.hub.log.Error("a message cannot be sent", "error", err)
	}
	return raw, err
}

// writeFrame is not of s.ctx: the goodbye of a hub that closes must get through.
func (s *session) writeFrame(frame [][]byte, timeout time.Duration) error {
	if len(frame) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), timeout)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, wire.Frame(frame))
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
