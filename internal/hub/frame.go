package hub

import (
	"context"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// frame is messages that go to a worker as one text. Its leases stand last, those
// of an order together, because they have one token, which the first brings.
type frame struct {
	session  *session
	timeout  time.Duration
	text     []byte // of all but the leases
	messages int
	lent     []*lending
	size     int // of the text that it makes, at most
}

// lending is the leases of one order in a frame.
type lending struct {
	leases []job.Lease
	first  *wire.Lease
	rest   []byte // the messages of the others, with a newline before each
}

// add puts a message into the frame; before that it writes what is in it, if the
// message does not go with that. A lease that cannot be made is taken back.
func (f *frame) add(o outgoing) error {
	if o.lease != nil {
		return f.addLease(*o.lease)
	}
	_, ack := o.msg.(*wire.Ack)
	if len(f.lent) > 0 && !ack { // it may be about one of the leases
		if err := f.write(); err != nil {
			return err
		}
	}
	text := o.raw
	if text == nil {
		var err error
		if text, err = wire.Encode(o.msg); err != nil {
			f.session.hub.log.Error("a message cannot be sent", "error", err)
			return err
		}
	}
	if err := f.room(len(text)); err != nil {
		return err
	}
	if len(f.text) > 0 {
		f.text = append(f.text, newline)
	}
	f.text = append(f.text, text...)
	return nil
}

const newline = '\n'

// room makes room for a message of n bytes.
func (f *frame) room(n int) error {
	if f.messages == wire.MaxBatch || f.messages > 0 && f.size+1+n > wire.MaxToWorker {
		if err := f.write(); err != nil {
			return err
		}
	}
	f.messages++
	f.size += 1 + n
	return nil
}

func (f *frame) addLease(l job.Lease) error {
	h := f.session.hub
	m, err := h.leaseMessage(l)
	if err != nil {
		h.cannotLend(f.session, l, err)
		return nil
	}
	text, err := wire.Encode(m)
	if err != nil {
		h.log.Error("a message cannot be sent", "error", err)
		return err
	}
	if err := f.room(len(text) + wire.MaxLeaseToken); err != nil {
		return err
	}
	for _, lent := range f.lent {
		if lent.first.Order == l.Order {
			f.size -= wire.MaxLeaseToken
			lent.leases = append(lent.leases, l)
			lent.rest = append(append(lent.rest, newline), text...)
			return nil
		}
	}
	f.lent = append(f.lent, &lending{leases: []job.Lease{l}, first: m})
	return nil
}

// write sends what is in the frame. It is not of the session's context: the
// goodbye of a hub that closes must get through.
func (f *frame) write() (err error) {
	if f.messages == 0 {
		return nil
	}
	for _, lent := range f.lent {
		if lent.first.Token, err = f.session.hub.tokens.leases(lent.leases); err != nil {
			return err
		}
		if len(f.text) > 0 {
			f.text = append(f.text, newline)
		}
		if f.text, err = wire.Append(f.text, lent.first); err != nil {
			return err
		}
		f.text = append(f.text, lent.rest...)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.session.ctx), f.timeout)
	defer cancel()
	err = f.session.conn.Write(ctx, websocket.MessageText, f.text)
	f.text, f.messages, f.lent, f.size = f.text[:0], 0, nil, 0
	return err
}
