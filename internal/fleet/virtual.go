package fleet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// VirtualOptions of Virtual. The zero value of each means its default.
type VirtualOptions struct {
	Seed       uint64
	Volunteers int  // 200
	Liars      int  // percent of volunteers
	Lies       int  // percent of its tasks in which a liar lies; 100
	Collude    bool // liars tell the same lies
	Tasks      int  // 1,000,000
	WarmUp     int  // percent of the tasks; 50
	Terms      release.Adaptive
	Progress   func(done, tasks uint64)
}

// VirtualReport is how an adaptive order fared by the machine's rules alone.
type VirtualReport struct {
	Seed       uint64           `json:"seed"`
	Volunteers int              `json:"volunteers"`
	Liars      int              `json:"liars"`
	Terms      release.Adaptive `json:"terms"`
	Tasks      uint64           `json:"tasks"`
	Wrong      uint64           `json:"accepted_wrong"`  // at the end
	EverWrong  uint64           `json:"ever_wrong"`      // and withdrawn since
	Undecided  uint64           `json:"undecided"`       // at the end
	Withdrawn  uint64           `json:"withdrawn"`       // verdicts
	Caught     int              `json:"caught"`          // volunteers
	CaughtTrue int              `json:"caught_and_liar"` // of them liars
	Lanes      uint64           `json:"lanes"`
	WarmLanes  uint64           `json:"lanes_after_warm_up"`
	WarmTasks  uint64           `json:"tasks_after_warm_up"`
	Days       float64          `json:"days"` // of virtual time
}

// Virtual plays an adaptive order against the hub's state machine, on a virtual
// clock, without sockets, disk or modules: a task is one number, right or not.
// That is what millions of tasks take, to see an error of one in a million.
func Virtual(ctx context.Context, opt VirtualOptions) (*VirtualReport, error) {
	for v, def := range map[*int]int{&opt.Volunteers: 200, &opt.Lies: 100, &opt.Tasks: 1_000_000, &opt.WarmUp: 50} {
		if *v == 0 {
			*v = def
		}
	}
	if opt.Volunteers > maxVolunteers || opt.Tasks > 100*maxTasks || opt.Tasks < 1 || opt.Liars < 0 || opt.Liars > 100 {
		return nil, fmt.Errorf("%d volunteers, %d tasks and %d%% liars: at most %d, %d and 100 are possible", opt.Volunteers, opt.Tasks, opt.Liars, maxVolunteers, 100*maxTasks)
	}
	v := newVirtual(opt)
	return v.play(ctx)
}

// virtualTask is how long one takes, of the virtual clock.
const virtualTask = time.Minute

type virtual struct {
	opt     VirtualOptions
	m       *job.Machine
	now     time.Time
	random  *rand.Rand
	order   job.Order
	liar    []bool
	number  map[wire.Key]int
	leases  []job.Lease
	votes   [][]virtualVote // by task
	found   []wire.Outcome  // by task; the zero Outcome: none
	behind  map[wire.Key][]uint64
	checked map[uint64]job.Verdict // verdicts that say something about voters
	caught  map[wire.Key]bool
	suspect []wire.Key
	queue   []job.Action
	busy    bool
	report  VirtualReport
}

type virtualVote struct {
	worker  uint16
	lane    uint8
	outcome wire.Outcome
}

func newVirtual(opt VirtualOptions) *virtual {
	v := &virtual{opt: opt, now: time.Unix(0, 0).Add(1000 * 24 * time.Hour), random: rand.New(source(opt.Seed, "virtual", 0)), liar: make([]bool, opt.Volunteers),
		number: map[wire.Key]int{}, votes: make([][]virtualVote, opt.Tasks), found: make([]wire.Outcome, opt.Tasks), behind: map[wire.Key][]uint64{},
		checked: map[uint64]job.Verdict{}, caught: map[wire.Key]bool{}}
	var ids uint64
	v.m = job.New(job.Config{Key: canon.Sum(binary.LittleEndian.AppendUint64(nil, opt.Seed)), NewID: func() (id wire.LeaseID) {
		ids++
		binary.BigEndian.PutUint64(id[:], ids)
		return id
	}})
	t := opt.Terms
	v.order = job.Order{ID: canon.Sum([]byte("virtual")), Tasks: uint64(opt.Tasks), Agree: 1, Of: release.MaxLanes, CompletePermille: 1000,
		Expires: v.now.Add(1000 * 24 * time.Hour), Seconds: time.Hour,
		Adaptive: &job.Adaptive{Scope: "fleet", ErrorPPB: t.ErrorPPB, ChecksPermille: t.ChecksPermille, Faulty: t.FaultyPermille, Lies: t.LiesPermille}}
	for _, i := range v.random.Perm(opt.Volunteers)[:opt.Volunteers*opt.Liars/100] {
		v.liar[i] = true
		v.report.Liars++
	}
	v.report.Seed, v.report.Volunteers, v.report.Terms, v.report.Tasks = opt.Seed, opt.Volunteers, t, uint64(opt.Tasks)
	return v
}

func virtualKey(i int) (k wire.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(i)+1)
	return k
}

func virtualNet(i int) netip.Prefix {
	return job.NetOf(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))
}

// play lets the lease that is over next be any of those that are lent.
func (v *virtual) play(ctx context.Context) (*VirtualReport, error) {
	begin := v.now
	v.carry(v.m.Admit(v.now, v.order))
	v.carry(v.m.Settle(v.now))
	for i := range v.opt.Volunteers {
		v.number[virtualKey(i)] = i
		v.m.Connect(job.SessionID(i+1), virtualKey(i), virtualNet(i))
		v.carry(v.m.Want(v.now, job.SessionID(i+1), 1))
	}
	for step := 0; ; step++ {
		if step%1000 == 0 {
			info, _ := v.m.Info(v.order.ID)
			if v.note(info); info.State == job.Done {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			v.carry(v.m.Tick(v.now))
		}
		v.now = v.now.Add(virtualTask / time.Duration(v.opt.Volunteers))
		if len(v.leases) == 0 && step%1000 == 0 && step > 100_000*v.opt.Volunteers {
			return nil, errors.New("nobody has work, and the order is not done")
		}
		v.vote()
	}
	v.report.Days = v.now.Sub(begin).Hours() / 24
	return v.sum(), nil
}

// note tells how far it is, and when the warm-up is over.
func (v *virtual) note(info job.Info) {
	decided := info.Accepted + info.Undecided
	if v.report.WarmTasks == 0 && decided*100 >= v.report.Tasks*uint64(v.opt.WarmUp) {
		v.report.WarmTasks, v.report.WarmLanes = v.report.Tasks-decided, v.report.Lanes
	}
	v.report.Withdrawn = info.Withdrawn
	if v.opt.Progress != nil {
		v.opt.Progress(decided, v.report.Tasks)
	}
}

// vote lets somebody finish what it was lent.
func (v *virtual) vote() {
	if len(v.leases) == 0 {
		return
	}
	at := v.random.IntN(len(v.leases))
	l := v.leases[at]
	v.leases[at] = v.leases[len(v.leases)-1]
	v.leases = v.leases[:len(v.leases)-1]
	i := v.number[l.Worker]
	o := wire.Outcome{End: wire.EndExit, Fuel: 1, Segments: 1}
	if v.liar[i] && v.random.IntN(100) < v.opt.Lies {
		o.Fuel = 2
		if !v.opt.Collude {
			o.Fuel += uint64(i)
		}
	}
	v.report.Lanes++
	mine := virtualVote{uint16(i), uint8(l.Lane), o}
	v.votes[l.Task] = append(v.votes[l.Task], mine)
	f := v.fact(l.Task, mine)
	f.Lease = l.ID
	_, actions := v.m.Cast(v.now, f)
	v.carry(actions)
}

func (v *virtual) fact(task uint64, b virtualVote) job.Vote {
	return job.Vote{Order: v.order.ID, Task: task, Lane: uint32(b.lane), Worker: virtualKey(int(b.worker)), Net: virtualNet(int(b.worker)), Outcome: b.outcome}
}

func (v *virtual) facts(task uint64) (all []job.Vote) {
	for _, b := range v.votes[task] {
		all = append(all, v.fact(task, b))
	}
	return all
}

// carry does what a hub does with actions: those of one call, then those that
// came of them, then what caught workers decided.
func (v *virtual) carry(actions []job.Action) {
	v.queue = append(v.queue, actions...)
	if v.busy {
		return
	}
	v.busy = true
	for len(v.queue) > 0 || len(v.suspect) > 0 {
		if len(v.queue) == 0 {
			v.recheck()
			continue
		}
		a := v.queue[0]
		v.queue = v.queue[1:]
		v.perform(a)
	}
	v.busy = false
}

func (v *virtual) perform(a job.Action) {
	switch a := a.(type) {
	case job.Lend:
		v.leases = append(v.leases, a.Lease)
	case job.EndLease:
		v.leases = slices.DeleteFunc(v.leases, func(l job.Lease) bool { return l.ID == a.Lease })
	case job.Decide:
		v.decided(a)
	case job.Withdraw:
		task := a.Verdict.Task
		v.found[task] = wire.Outcome{}
		delete(v.checked, task)
		v.carry(v.m.Withdrawn(v.now, a.Verdict, v.facts(task)))
	case job.Suspect:
		v.caught[a.Worker] = true
		v.suspect = append(v.suspect, a.Worker)
	}
}

func (v *virtual) decided(d job.Decide) {
	v.found[d.Task] = d.Outcome
	if d.Outcome.Fuel > 1 {
		v.report.EverWrong++
	}
	for _, k := range d.Behind {
		v.behind[k] = append(v.behind[k], d.Task)
	}
	delete(v.checked, d.Task)
	if f := d.Fact(); d.Round > 0 || d.Undecided || len(d.Passed)+len(d.Caught) > 0 {
		v.checked[d.Task] = f
	}
}

// recheck gives the verdicts behind the next suspect to the machine.
func (v *virtual) recheck() {
	w := v.suspect[0]
	v.suspect = v.suspect[1:]
	for _, t := range v.behind[w] {
		f, is := v.checked[t]
		if !is {
			f = job.Verdict{Order: v.order.ID, Task: t}
		}
		v.carry(v.m.Recheck(v.now, f, v.found[t], v.facts(t)))
	}
}

func (v *virtual) sum() *VirtualReport {
	r := &v.report
	for _, o := range v.found {
		switch o.Fuel {
		case 0:
			r.Undecided++
		case 1:
		default:
			r.Wrong++
		}
	}
	for k := range v.caught {
		r.Caught++
		if v.liar[v.number[k]] {
			r.CaughtTrue++
		}
	}
	r.WarmLanes = r.Lanes - r.WarmLanes
	return r
}
