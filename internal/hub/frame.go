package hub

import (
	"bytes"
	"context"
	"encoding/base64"
	"sync"
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
	before := len(f.text)
	if before > 0 {
		f.text = append(f.text, newline)
	}
	if err := f.encode(o); err != nil {
		return err
	}
	added := len(f.text) - before
	if f.fits(added) {
		return nil
	}
	next := bytes.TrimPrefix(bytes.Clone(f.text[before:]), []byte{newline})
	f.text = f.text[:before]
	if err := f.write(); err != nil {
		return err
	}
	f.text = append(f.text, next...)
	f.fits(len(next))
	return nil
}

const newline = '\n'

func (f *frame) encode(o outgoing) (err error) {
	if o.raw != nil {
		f.text = append(f.text, o.raw...)
		return nil
	}
	if f.text, err = wire.Append(f.text, o.msg); err != nil {
		f.session.hub.log.Error("a message cannot be sent", "error", err)
	}
	return err
}

// fits counts a message of n bytes, if the frame has room for it.
func (f *frame) fits(n int) bool {
	if f.messages == wire.MaxBatch || f.messages > 0 && f.size+n > wire.MaxToWorker {
		return false
	}
	f.messages++
	f.size += n
	return true
}

func (f *frame) addLease(l job.Lease) error {
	h := f.session.hub
	m, err := h.leaseMessage(l)
	if err != nil {
		h.cannotLend(f.session, l, err)
		return nil
	}
	size := wire.MaxLeaseToken + 1024 + base64.StdEncoding.EncodedLen(len(m.Input)) + base64.StdEncoding.EncodedLen(len(m.Proof))
	if !f.fits(size) {
		if err := f.write(); err != nil {
			return err
		}
		f.fits(size)
	}
	for _, lent := range f.lent {
		if lent.first.Order == l.Order {
			f.size -= wire.MaxLeaseToken
			lent.leases = append(lent.leases, l)
			if lent.rest, err = wire.Append(append(lent.rest, newline), m); err != nil {
				h.log.Error("a message cannot be sent", "error", err)
			}
			return err
		}
	}
	f.lent = append(f.lent, &lending{leases: append(make([]job.Lease, 0, 8), l), first: m})
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

// texts are buffers for frames that are being written.
var texts = sync.Pool{New: func() any { return new([]byte) }}
