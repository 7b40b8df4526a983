package job

import (
	"container/list"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Order is what the machine needs of an admitted order.
type Order struct {
	ID               canon.Digest
	Release          canon.Digest
	Tasks            uint64
	Agree, Of        int
	First            bool      // the first outcome counts, with Agree and Of 1
	Adaptive         *Adaptive // an outcome wins by credibility; nil: by votes
	CompletePermille int
	Priority         int
	Researcher       string // whose it is: orders of one share
	NotBefore        time.Time
	Expires          time.Time     // of the order or its release, what is earlier
	Seconds          time.Duration // the release's limit for one task
	Deadline         time.Duration // in which a lent lane must be back, if that is less; 0: none

	After         canon.Digest // the order that it follows; zero: none
	AfterPermille int          // of that order's tasks, until which it waits
	Gather        bool         // its inputs are made when that order is far enough
}

// State is where an order stands. It follows from the facts and the time.
type State string

const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
	Stopped State = "stopped"
	Ended   State = "expired"
)

// order is an order with all that happened to it. Facts may come before the
// order itself; they wait in early.
type order struct {
	Order
	admitted bool
	share    *share
	early    []func()
	state    State
	reason   string
	asked    bool // Gather was asked for
	gathered bool

	perm      permutation
	fresh     uint64 // positions below were begun or decided
	decided   bitmap // by position
	accepted  uint64
	undecided uint64
	stopped   uint64
	stops     map[uint64]string // tasks that somebody stopped, and why
	off       map[uint64]bool   // those of them that had no verdict
	open      map[uint64]*task  // begun and undecided
	needy     *list.List        // of *task: open and in need of lanes
	lent      *list.List        // of *lease, in the order of lending
	secret    [32]byte
	rounds    map[uint64]uint32                // of tasks on which verdicts were withdrawn, how many
	withdrawn uint64                           // verdicts
	audited   map[uint64]bool                  // tasks whose verdict is an auditor's
	leaving   map[uint64]bool                  // tasks whose withdrawal is on its way to the disk
	refuted   map[uint64]map[canon.Digest]bool // transcripts of tasks that an auditor found wrong
}

// Info is how an order stands.
type Info struct {
	Order
	State     State
	Reason    string
	Accepted  uint64
	Undecided uint64
	Off       uint64 // tasks that somebody stopped
	Open      int    // tasks begun and undecided
	Leases    int
	Withdrawn uint64 // verdicts, for a worker behind them was caught
}

// Info returns how an order stands, if it was admitted.
func (m *Machine) Info(id canon.Digest) (Info, bool) {
	o := m.orders[id]
	if o == nil || !o.admitted {
		return Info{}, false
	}
	return Info{o.Order, o.state, o.reason, o.accepted, o.undecided, o.stopped, len(o.open), o.lent.Len(), o.withdrawn}, true
}

// order returns the state of an order, whether or not it was admitted yet.
func (m *Machine) order(id canon.Digest) *order {
	o := m.orders[id]
	if o == nil {
		o = &order{open: map[uint64]*task{}, needy: list.New(), lent: list.New(), rounds: map[uint64]uint32{}, leaving: map[uint64]bool{}, audited: map[uint64]bool{}, stops: map[uint64]string{}, off: map[uint64]bool{}, refuted: map[uint64]map[canon.Digest]bool{}}
		o.ID = id
		m.orders[id] = o
	}
	return o
}

// when runs a fact's effect now, or once the order is admitted.
func (o *order) when(effect func()) {
	if o.admitted {
		effect()
	} else {
		o.early = append(o.early, effect)
	}
}

// Admit takes an order. Admitting it again changes nothing.
func (m *Machine) Admit(now time.Time, spec Order) []Action {
	o := m.order(spec.ID)
	if o.admitted {
		return nil
	}
	o.Order, o.admitted, o.secret = spec, true, m.cfg.Key
	m.admitted = append(m.admitted, o)
	o.share = m.shareOf(o)
	o.perm = newPermutation(m.cfg.Key, spec.ID, spec.Tasks)
	for _, effect := range o.early {
		effect()
	}
	o.early = nil
	m.restate(now, o)
	m.feed(now, m.waiting.Len())
	return m.done()
}

// restate brings an order into the state that its facts and the time give.
func (m *Machine) restate(now time.Time, o *order) {
	if m.loading || !o.admitted {
		return
	}
	state, reason := m.stateOf(now, o)
	if state == Queued && o.Gather && !o.asked && !o.gathered && m.mayBegin(o) {
		o.asked = true
		m.do(Gather{o.ID})
	}
	was := o.state
	o.state, o.reason = state, reason
	if state == was {
		return
	}
	running := was == Running
	m.do(Changed{o.ID, state, reason})
	switch {
	case state == Running:
		m.enter(o)
	case running:
		m.leave(o)
	}
	// A clock that was set back queues an order, and its leases go on.
	if ended := state != Running && state != Queued; ended && (running || o.lent.Len() > 0) {
		m.recall(o)
	}
}

func (m *Machine) stateOf(now time.Time, o *order) (State, string) {
	if o.complete() {
		return Done, ""
	}
	for _, t := range []target{{wire.KillOrder, o.ID}, {wire.KillRelease, o.Release}} {
		if reason, is := m.stopped[t]; is {
			return Stopped, reason
		}
	}
	begin := m.mayBegin(o)
	switch {
	case !begin && m.stateIs(o.After, Stopped):
		return Stopped, "the order that it follows was stopped"
	case !now.Before(o.Expires):
		return Ended, ""
	case !begin && m.stateIs(o.After, Ended):
		return Ended, "the order that it follows has expired"
	case !begin || now.Before(o.NotBefore) || o.Gather && !o.gathered:
		return Queued, ""
	}
	return Running, ""
}

// mayBegin reports whether the order that o follows is far enough.
func (m *Machine) mayBegin(o *order) bool {
	if o.After == (canon.Digest{}) || o.gathered {
		return true
	}
	prev := m.orders[o.After]
	return prev != nil && prev.admitted && (prev.complete() || prev.hasSettled(o.AfterPermille))
}

func (m *Machine) stateIs(id canon.Digest, s State) bool {
	o := m.orders[id]
	return o != nil && o.admitted && o.state == s
}

// Gathered says that the inputs of an order that follows another one are on disk.
func (m *Machine) Gathered(now time.Time, id canon.Digest) []Action {
	o := m.order(id)
	o.gathered = true
	m.restate(now, o)
	m.feed(now, m.waiting.Len())
	return m.done()
}

// complete reports whether enough tasks have a verdict.
func (o *order) complete() bool {
	return o.hasSettled(o.CompletePermille)
}

// hasSettled reports whether so many tasks in a thousand have a verdict.
func (o *order) hasSettled(permille int) bool {
	return (o.accepted+o.undecided+o.stopped)*1000 >= uint64(permille)*o.Tasks
}

// recall ends all leases of an order that ended, and tells everybody at once:
// there may be workers with leases of before a restart.
func (m *Machine) recall(o *order) {
	for e := o.lent.Front(); e != nil; e = o.lent.Front() {
		m.drop(e.Value.(*lease))
	}
	reason := "the order is " + string(o.state)
	if o.reason != "" {
		reason += ": " + o.reason
	}
	m.do(Broadcast{wire.KillOrder, o.ID.String(), cut(reason, wire.MaxReason)})
}

func cut(s string, n int) string { return s[:min(len(s), n)] }
