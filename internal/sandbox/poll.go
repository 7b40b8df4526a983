package sandbox

import (
	"encoding/binary"
	"math"
)

const (
	subscriptionSize = 48
	eventSize        = 32
	maxSubscriptions = 1024
)

// subscription is one thing that poll_oneoff is asked to wait for, and what its
// event will say.
type subscription struct {
	userdata uint64
	tag      byte
	err      errno
	bytes    uint64 // that can be read
	due      uint64 // a time, for clocks; otherwise now
}

// poll is poll_oneoff. Nothing waits: when nothing is ready the virtual clock
// goes on to the first time that is asked for.
func (h *host) poll(in, out, n, count uint32) errno {
	if n == 0 || n > maxSubscriptions {
		return inval
	}
	if !h.inside(in, subscriptionSize*uint64(n)) || !h.inside(out, eventSize*uint64(n)) || !h.inside(count, 4) {
		return fault
	}
	now, first := h.time(), uint64(math.MaxUint64)
	subs := make([]subscription, n)
	for i := range subs {
		s, ok := h.subscription(h.view(in+subscriptionSize*uint32(i), subscriptionSize), now)
		if !ok {
			return inval
		}
		subs[i] = s
		first = min(first, s.due)
	}
	h.charge(subscriptionSize * uint64(n))
	now, h.slept = max(now, first), h.slept+max(now, first)-now
	events := uint32(0)
	for _, s := range subs {
		if s.due <= now {
			h.put(out+eventSize*events, s.event())
			events++
		}
	}
	h.put32(count, events)
	return success
}

// subscription reads one; false if there is none of its tag.
func (h *host) subscription(b []byte, now uint64) (s subscription, ok bool) {
	const clock, read, write = 0, 1, 2
	subject := binary.LittleEndian.Uint32(b[16:]) // a clock, or a descriptor
	s = subscription{userdata: binary.LittleEndian.Uint64(b), tag: b[8], due: now}
	switch {
	case s.tag > write:
		return s, false
	case s.tag == clock && subject > maxClock:
		s.err = inval
	case s.tag == clock:
		timeout, absolute := binary.LittleEndian.Uint64(b[24:]), b[40]&1 != 0
		s.due = due(now, timeout, absolute)
	case s.tag == read && subject == 0:
		s.bytes = uint64(len(h.input))
	case s.tag == read || subject != 1 && subject != 2:
		s.err = badf
	}
	return s, true
}

func due(now, timeout uint64, absolute bool) uint64 {
	switch {
	case absolute:
		return timeout
	case timeout > math.MaxUint64-now:
		return math.MaxUint64
	}
	return now + timeout
}

func (s *subscription) event() []byte {
	b := make([]byte, eventSize)
	binary.LittleEndian.PutUint64(b, s.userdata)
	binary.LittleEndian.PutUint16(b[8:], uint16(s.err))
	b[10] = s.tag
	binary.LittleEndian.PutUint64(b[16:], s.bytes)
	return b
}
