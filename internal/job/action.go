package job

import (
	"net/netip"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// Action is what the caller has to do.
type Action interface{ action() }

// Lease is one loan of a lane of a task to a worker.
type Lease struct {
	ID     wire.LeaseID
	Order  canon.Digest
	Task   uint64
	Lane   uint32
	From   canon.Digest // file of the checkpoint to go on from; zero: from the start
	Worker wire.Key
	Net    netip.Prefix
	Since  time.Time
	Until  time.Time
}

// Lend gives a lease to a session.
type Lend struct {
	Session SessionID
	Lease   Lease
}

// Idle tells a session that there is nothing to lend.
type Idle struct{ Session SessionID }

// EndLease tells a session that a lease is over. Session 0 is not connected.
type EndLease struct {
	Session SessionID
	Lease   wire.LeaseID
	Reason  string
}

// Broadcast tells every session to end what falls under a scope.
type Broadcast struct {
	Scope  wire.Scope // all, release, order or task
	Target string
	Reason string
}

// Resume tells every session that the halt is lifted.
type Resume struct{}

// Decide is a verdict that is now reached, a fact to be made durable. Its
// votes are durable already.
type Decide struct {
	Order     canon.Digest
	Task      uint64
	Undecided bool // no outcome won; Outcome is zero
	Stopped   bool // undecided, because somebody stopped the task
	Outcome   wire.Outcome
	Agree     int // voices for Outcome, or for the strongest of an undecided task
	At        time.Time

	// Of orders whose outcomes win by credibility, and of audits:
	Weighed        bool
	Audited        bool       // the auditor has said so: it stands
	DoubtPPB       int        // that Outcome is wrong, in 10⁻⁹
	Round          uint32     // how many verdicts on the task were withdrawn before
	Behind         []wire.Key // workers whose word or work Outcome is
	Passed, Caught []wire.Key // workers who showed that they are right, or wrong
}

// Fact is a verdict as it is told to a machine when it starts.
func (d *Decide) Fact() Verdict {
	return Verdict{d.Order, d.Task, d.Undecided, d.Stopped, d.Audited, d.Round, d.At, d.Passed, d.Caught}
}

// Suspect says that a worker was caught: all verdicts with it behind them are to
// be given to Recheck.
type Suspect struct {
	Scope  string
	Worker wire.Key
}

// Withdraw is a withdrawal, a fact to be made durable, and then to be given to
// Withdrawn.
type Withdraw struct{ Verdict Verdict }

// Changed says that an order has entered a state.
type Changed struct {
	Order  canon.Digest
	State  State
	Reason string
}

// Gather asks for the inputs of an order to be made of the outputs of the one
// that it follows, as they are now. Gathered tells the machine that they are durable.
type Gather struct{ Order canon.Digest }

// Reclaimed says that a lease ended without a vote, for logs and metrics.
type Reclaimed struct {
	Lease Lease
	Why   Why
}

// Why is the reason of a reclaim.
type Why string

const (
	Expired  Why = "expired"  // the deadline passed
	Vanished Why = "vanished" // the connection did not come back
)

func (Lend) action()      {}
func (Idle) action()      {}
func (EndLease) action()  {}
func (Broadcast) action() {}
func (Resume) action()    {}
func (Decide) action()    {}
func (Changed) action()   {}
func (Gather) action()    {}
func (Reclaimed) action() {}
func (Suspect) action()   {}
func (Withdraw) action()  {}
