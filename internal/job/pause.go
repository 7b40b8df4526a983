package job

import (
	"time"

	"github.com/countersign/countersign/internal/canon"
)

// Pause is the fact that somebody said that an order is paused, or that it is not.
type Pause struct {
	Order    canon.Digest
	Operator bool   // an operator's word, not its researcher's
	Sequence uint64 // of two words of the same the higher holds
	Paused   bool
	Reason   string
}

// Pause takes a pause or the end of one. One that comes behind its time changes nothing.
func (m *Machine) Pause(now time.Time, p Pause) []Action {
	o := m.order(p.Order)
	word := &o.words[0]
	if p.Operator {
		word = &o.words[1]
	}
	if p.Sequence <= word.Sequence {
		return nil
	}
	*word = p
	m.restate(now, o)
	m.feed(now, m.waiting.Len())
	return m.done()
}

// PauseSequence returns the number of the last word on an order of its researcher.
func (m *Machine) PauseSequence(order canon.Digest) uint64 {
	if o := m.orders[order]; o != nil {
		return o.words[0].Sequence
	}
	return 0
}

// paused reports whether anybody's last word is that an order is paused.
func (o *order) paused() (reason string, paused bool) {
	for _, w := range o.words {
		if w.Paused {
			return w.Reason, true
		}
	}
	return "", false
}

// suspend ends what is lent of an order that was paused, and offers the lanes
// again, to be lent when it goes on.
func (m *Machine) suspend(o *order) {
	var begun []*task
	for e := o.lent.Front(); e != nil; e = e.Next() {
		begun = append(begun, e.Value.(*lease).task)
	}
	m.recall(o)
	for _, t := range begun {
		m.review(t)
	}
}
