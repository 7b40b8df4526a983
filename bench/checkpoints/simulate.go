package main

import (
	"container/heap"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// setting is what a simulation varies.
type setting struct {
	every time.Duration // T
	cost  time.Duration // δ
	last  float64       // how many of those who leave send a last one
}

// expected is the share that is kept by the formula.
func expected(every, delta time.Duration) float64 {
	t, d, tau := every.Seconds(), delta.Seconds(), tau.Seconds()
	return t / tau / math.Expm1((t+d)/tau)
}

// present is how many visitors there are at a time, in the mean.
const present = 40

// visitor is somebody with the page open.
type visitor struct {
	id      job.SessionID
	worker  wire.Key
	segment time.Duration // at its speed
	begin   time.Time
	end     time.Time
	lease   job.Lease
	working bool
	done    uint32 // segments of the lane
	told    time.Time
	sending bool
}

// event is something that happens to a visitor: it comes, comes to the end of
// a segment or of sending, or leaves.
type event struct {
	at  time.Time
	who *visitor
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// world is a hub and its visitors.
type world struct {
	setting
	m       *job.Machine
	random  *rand.Rand
	now     time.Time
	events  events
	here    map[job.SessionID]*visitor
	files   map[canon.Digest]uint32 // segments that a checkpoint has
	total   uint32                  // segments of a task
	kept    float64                 // seconds of work that are in votes or checkpoints
	spent   float64                 // seconds of visits
	arrived int
}

var start = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// simulate returns the share of visitors' time that is kept.
func simulate(s setting) float64 {
	var ids uint64
	w := &world{setting: s, random: rand.New(rand.NewPCG(*seed, 9)), now: start, here: map[job.SessionID]*visitor{}, files: map[canon.Digest]uint32{},
		total: uint32(*work / *segment)}
	w.m = job.New(job.Config{NewID: func() (id wire.LeaseID) {
		ids++
		binary.BigEndian.PutUint64(id[:], ids)
		return id
	}})
	w.m.Admit(start, job.Order{Tasks: 1 << 30, Agree: 2, Of: 3, CompletePermille: 1000, NotBefore: start, Expires: start.Add(math.MaxInt64), Seconds: time.Hour})
	w.m.Settle(start)
	for tick := start; w.arrived < *visits || len(w.events) > 0; tick = tick.Add(time.Second) {
		for w.arrived < *visits && w.random.Float64() < present/tau.Seconds() {
			w.arrive(tick.Add(time.Duration(w.random.Int64N(int64(time.Second)))))
		}
		for len(w.events) > 0 && w.events[0].at.Before(tick.Add(time.Second)) {
			e := heap.Pop(&w.events).(event)
			w.now = e.at
			w.happen(e.who)
		}
		w.now = tick.Add(time.Second)
		w.act(w.m.Tick(w.now))
	}
	return w.kept / w.spent
}

func (w *world) schedule(at time.Time, v *visitor) { heap.Push(&w.events, event{at, v}) }

// arrive lets a visitor come, of a network of its own.
func (w *world) arrive(at time.Time) {
	w.arrived++
	v := &visitor{id: job.SessionID(w.arrived), begin: at, segment: time.Duration((0.5 + w.random.Float64()) * float64(*segment))}
	binary.BigEndian.PutUint64(v.worker[:], uint64(w.arrived))
	v.end = at.Add(time.Duration(w.random.ExpFloat64() * float64(*tau)))
	w.spent += v.end.Sub(at).Seconds()
	w.schedule(at, v)
}

func (w *world) happen(v *visitor) {
	switch {
	case w.here[v.id] == nil && w.now == v.begin:
		w.here[v.id] = v
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], uint32(v.id)<<8)
		w.m.Connect(v.id, v.worker, job.NetOf(netip.AddrFrom4(ip)))
		w.schedule(v.end, v)
		w.act(w.m.Want(w.now, v.id, 1))
	case !w.now.Before(v.end):
		w.leave(v)
	case v.sending:
		v.sending = false
		w.offer(v)
		w.schedule(w.now.Add(v.segment), v)
	default:
		w.segmentEnds(v)
	}
}

func (w *world) segmentEnds(v *visitor) {
	v.done++
	switch {
	case v.done == w.total:
		w.vote(v)
	case w.now.Sub(v.told) >= w.every:
		v.sending = true
		w.schedule(w.now.Add(w.cost), v)
	default:
		w.schedule(w.now.Add(v.segment), v)
	}
}

// offer does what the hub does.
func (w *world) offer(v *visitor) {
	v.told = w.now
	l := v.lease
	c := job.Checkpoint{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Segments: v.done, File: canon.Sum(binary.BigEndian.AppendUint32(l.ID[:], v.done))}
	if _, keep := w.m.Offer(w.now, l.ID, c); keep {
		w.files[c.File] = v.done
		w.credit(v)
		_, actions := w.m.Keep(w.now, c)
		w.act(actions)
	}
}

// credit counts what the visitor did since its lease or its last credit.
func (w *world) credit(v *visitor) {
	w.kept += float64(v.done-w.files[v.lease.From]) * v.segment.Seconds()
	v.lease.From = canon.Sum(binary.BigEndian.AppendUint32(v.lease.ID[:], v.done))
	w.files[v.lease.From] = v.done
}

func (w *world) vote(v *visitor) {
	w.credit(v)
	v.working = false
	l := v.lease
	_, actions := w.m.Cast(w.now, job.Vote{Order: l.Order, Task: l.Task, Lane: l.Lane, Worker: l.Worker, Net: l.Net, Lease: l.ID, Outcome: wire.Outcome{End: wire.EndExit}})
	w.act(actions)
}

func (w *world) leave(v *visitor) {
	if w.here[v.id] == nil {
		return
	}
	if v.working && w.random.Float64() < w.last && v.done > w.files[v.lease.From] {
		w.offer(v)
	}
	delete(w.here, v.id)
	w.act(w.m.Disconnect(w.now, v.id))
}

func (w *world) act(actions []job.Action) {
	for _, a := range actions {
		lend, ok := a.(job.Lend)
		if !ok {
			continue
		}
		v := w.here[lend.Session]
		v.lease, v.working, v.done, v.told = lend.Lease, true, w.files[lend.Lease.From], w.now
		w.schedule(w.now.Add(v.segment), v)
	}
}
