package job

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// naiveOdds is the page's table, over all verdicts that stand.
func (s *sim) naiveOdds(a *Adaptive, worker wire.Key) float64 {
	passed, caught := map[int]int{}, -1
	for order, tasks := range s.verdicts {
		for _, d := range tasks {
			if s.orders[order].Adaptive == nil {
				continue
			}
			day := int(d.At.Unix() / 86400)
			if slices.Contains(d.Caught, worker) {
				caught = max(caught, day)
			}
			if slices.Contains(d.Passed, worker) {
				passed[day]++
			}
		}
	}
	for _, r := range s.refutations {
		if s.orders[r.Order].Adaptive != nil && slices.Contains(r.Caught, worker) {
			caught = max(caught, int(r.At.Unix()/86400))
		}
	}
	today := int(s.now.Unix() / 86400)
	if caught >= 0 && today-caught <= 7 {
		return 1
	}
	k := 0
	for day, n := range passed {
		if day > caught {
			k += int(float64(n) / math.Pow(2, math.Floor(float64(today-day)/30)))
		}
	}
	f, l := float64(a.Faulty)/1000, float64(a.Lies)/1000
	return max((1-f)/f, (float64(k)-f)/f, (1-f)/f*math.Pow(1-l, -float64(k)))
}

// credible checks a verdict by its page: that its doubt is allowed, that a
// picked task has two voices, and what it says about voters.
func (s *sim) credible(o Order, d Decide) {
	if d.Undecided {
		s.rt.Fatalf("undecided: %+v", d)
	}
	weights := map[wire.Outcome]float64{}
	voices := 0
	for outcome, groups := range s.groupsOf(d.Order, d.Task) {
		weight := 1.0
		for _, votes := range groups {
			strongest := 1.0
			for _, v := range votes {
				strongest = max(strongest, s.naiveVote(o.Adaptive, v))
			}
			weight *= strongest
			if outcome == d.Outcome && strongest > 1 {
				voices++
			}
		}
		if weight > 1 {
			weights[outcome] = weight
		}
	}
	all, others := 1.0, 1.0
	for outcome, w := range weights {
		all += w
		if outcome != d.Outcome {
			others += w
		}
	}
	doubt := others / all
	if limit := float64(o.Adaptive.ErrorPPB) / 1e9; doubt > limit*1.1 || math.Abs(float64(d.DoubtPPB)-doubt*1e9) > doubt*1e8+2 {
		s.rt.Fatalf("accepted with a doubt of %v, allowed is %v: %+v (%v)", doubt, limit, d, weights)
	}
	if voices != d.Agree {
		s.rt.Fatalf("%d voices, not %d: %+v", voices, d.Agree, d)
	}
	if (&task{order: s.m.orders[d.Order], num: d.Task}).isPicked(s.m) && voices < 2 {
		s.rt.Fatalf("picked for a check, accepted with one voice: %+v", d)
	}
	if d.Round != s.rounds[d.Order][d.Task] {
		s.rt.Fatalf("round %d, not %d: %+v", d.Round, s.rounds[d.Order][d.Task], d)
	}
}

func (t *task) isPicked(m *Machine) bool { return m.picked(t) }

func (s *sim) naiveVote(a *Adaptive, v Vote) float64 {
	if v.Resumed && s.rounds[v.Order][v.Task] > 0 {
		return 1
	}
	odds := s.naiveOdds(a, v.Worker)
	if k := s.kept[laneKey{v.Order, v.Task, v.Lane}]; k != nil {
		for author := range k.authors {
			odds = min(odds, s.naiveOdds(a, author))
		}
	}
	return odds
}

// groupsOf lists the votes for each outcome by what hangs together.
func (s *sim) groupsOf(order canon.Digest, task uint64) map[wire.Outcome]map[int][]Vote {
	all := map[wire.Outcome]map[int][]Vote{}
	for i, g := range s.spread(order, task) {
		v := s.counted(order, task)[i]
		if all[v.Outcome] == nil {
			all[v.Outcome] = map[int][]Vote{}
		}
		all[v.Outcome][g] = append(all[v.Outcome][g], v)
	}
	return all
}

// recheck does what a hub does when a worker is caught.
func (s *sim) recheck(worker wire.Key) {
	var behind []Decide
	for _, f := range s.facts {
		if f.verdict != nil && slices.Contains(f.verdict.Behind, worker) {
			behind = append(behind, *f.verdict)
		}
	}
	for _, d := range behind {
		if _, is := s.verdicts[d.Order][d.Task]; is {
			s.carry(s.m.Recheck(s.now, d.Fact(), d.Outcome, slices.Clone(s.votes[d.Order][d.Task])))
		}
	}
}

// withdraw does what a hub does with a withdrawal.
func (s *sim) withdraw(v Verdict) {
	d, is := s.verdicts[v.Order][v.Task]
	if !is || d.Round != v.Round {
		s.rt.Fatalf("withdrawn is what was not decided: %+v", v)
	}
	banned := slices.ContainsFunc(d.Behind, func(k wire.Key) bool {
		_, is := s.m.Trust("x", k)
		return is || s.m.records[who{"x", k}] != nil && len(s.m.records[who{"x", k}].caught) > 0
	})
	if !banned {
		s.rt.Fatalf("withdrawn, though nobody behind it was caught: %+v", d)
	}
	delete(s.verdicts[v.Order], v.Task)
	for at := range s.kept {
		if at.order == v.Order && at.task == v.Task {
			delete(s.kept, at)
		}
	}
	if s.rounds[v.Order] == nil {
		s.rounds[v.Order] = map[uint64]uint32{}
	}
	s.rounds[v.Order][v.Task]++
	s.facts = slices.DeleteFunc(s.facts, func(f fact) bool {
		return f.verdict != nil && f.verdict.Order == v.Order && f.verdict.Task == v.Task
	})
	s.facts = append(s.facts, fact{barrier: true, tell: func(m *Machine) { m.Withdrawn(s.now, v, nil) }})
	s.carry(s.m.Withdrawn(s.now, v, slices.Clone(s.votes[v.Order][v.Task])))
}

// adaptive is an order in which a worker is trusted alone after some checks.
func adaptive(name string, tasks uint64, checks int) Order {
	o := spec(name, tasks, 1, 16)
	o.Adaptive = &Adaptive{Scope: "ada", ErrorPPB: 1000, ChecksPermille: checks, Faulty: 100, Lies: 500}
	return o
}

// work lets workers (one network each) do one task each in turn until there is
// nothing more for them, and answer as they like.
func work(m *Machine, now time.Time, workers []int, answer func(worker int, l Lease) string) (decided []Decide, suspected []wire.Key) {
	carry := func(actions []Action) (leases []Lease) {
		for _, a := range actions {
			switch a := a.(type) {
			case Decide:
				decided = append(decided, a)
			case Suspect:
				suspected = append(suspected, a.Worker)
			}
		}
		return lent(actions)
	}
	var todo []Lease
	for _, w := range workers {
		m.Connect(SessionID(w), key(w), net(w))
		todo = append(todo, carry(m.Want(now, SessionID(w), 1))...)
	}
	for len(todo) > 0 {
		l := todo[0]
		w := slices.IndexFunc(workers, func(w int) bool { return key(w) == l.Worker })
		_, actions := m.Cast(now, ballotOf(l, answer(workers[w], l)))
		todo = append(todo[1:], carry(actions)...)
	}
	return decided, suspected
}

// TestTrustIsEarned: fresh workers share tasks, later each gets its own; checks
// go on, and trust fades with time.
func TestTrustIsEarned(t *testing.T) {
	m := running(t, Config{Key: [32]byte{1}}, adaptive("a", 1000, 100))
	workers := []int{1, 2, 3, 4, 5, 6, 7, 8, 9}
	decided, _ := work(m, t0, workers, func(int, Lease) string { return "a" })
	if len(decided) != 1000 {
		t.Fatalf("%d decided", len(decided))
	}
	votes, late := 0, 0
	for i, d := range decided {
		votes += d.Agree
		if i >= 500 {
			late += d.Agree
		}
	}
	if decided[0].Agree < 6 || late > 500*120/100 {
		t.Fatalf("the first has %d voices; the last 500 have %d", decided[0].Agree, late)
	}
	if checked := late - 500; checked < 25 {
		t.Errorf("only %d of 500 tasks were checked", checked)
	}
	before, _ := m.Trust("ada", key(1))
	m.Tick(t0.Add(30 * 24 * time.Hour))
	if after, _ := m.Trust("ada", key(1)); before == 0 || after != before/2 {
		t.Errorf("%d checks, after 30 days %d", before, after)
	}
	if k, _ := m.Trust("bob", key(1)); k != 0 {
		t.Errorf("%d checks in another scope", k)
	}
}

// TestCaught: a worker that was trusted lies, and is caught at the first check;
// what it alone decided is withdrawn, and comes to another verdict.
func TestCaught(t *testing.T) {
	m := running(t, Config{Key: [32]byte{2}}, adaptive("a", 2000, 100))
	workers := []int{1, 2, 3, 4, 5, 6, 7, 8, 9}
	n := 0
	votes := map[uint64][]Vote{}
	decided, suspected := work(m, t0, workers, func(w int, l Lease) string {
		n++
		said := "a"
		if w == 3 && n > 1500 {
			said = "lie"
		}
		votes[l.Task] = append(votes[l.Task], ballotOf(l, said))
		return said
	})
	if suspected = slices.Compact(suspected); len(suspected) != 1 || suspected[0] != key(3) {
		t.Fatalf("suspected: %v", suspected)
	}
	if _, banned := m.Trust("ada", key(3)); !banned {
		t.Error("the liar is not banned")
	}
	for _, w := range workers {
		m.Disconnect(t0, SessionID(w))
	}
	lies, withdrawn := 0, 0
	for _, d := range decided {
		if d.Outcome == outcome("lie") {
			lies++
		}
		if !slices.Contains(d.Behind, key(3)) {
			continue
		}
		w, is := has[Withdraw](m.Recheck(t0, d.Fact(), d.Outcome, votes[d.Task]))
		if !is {
			if d.Agree == 1 {
				t.Fatalf("not withdrawn: %+v", d)
			}
			continue
		}
		withdrawn++
		if w, again := has[Withdraw](m.Recheck(t0, d.Fact(), d.Outcome, votes[d.Task])); again {
			t.Fatalf("withdrawn again while it is withdrawn: %+v", w)
		}
		m.Withdrawn(t0, w.Verdict, votes[d.Task])
	}
	if lies == 0 || withdrawn <= lies {
		t.Fatalf("%d lies, %d withdrawn", lies, withdrawn)
	}
	if info, _ := m.Info(canon.Sum([]byte("a"))); info.State != Running || info.Withdrawn != uint64(withdrawn) {
		t.Fatalf("%+v", info)
	}
	again, _ := work(m, t0, workers, func(int, Lease) string { return "a" })
	for _, d := range again {
		if d.Round != 1 || d.Outcome != outcome("a") || slices.Contains(d.Behind, key(3)) {
			t.Fatalf("%+v", d)
		}
	}
	if info, _ := m.Info(canon.Sum([]byte("a"))); info.State != Done || len(again) != withdrawn {
		t.Fatalf("%+v after %d verdicts", info, len(again))
	}
}

// audit lets an auditor say what a task comes to, that anybody voted on.
func (s *sim) audit() {
	of, is := s.anyVote()
	if !is {
		s.rt.Skip("there are no votes")
	}
	a := Audit{Order: of.Order, Task: of.Task, Outcome: outcome(rapid.SampledFrom([]string{"a", "b"}).Draw(s.rt, "finds")), Votes: slices.Clone(s.votes[of.Order][of.Task])}
	if d, is := s.verdicts[a.Order][a.Task]; is {
		v := d.Fact()
		a.Verdict, a.Accepted = &v, d.Outcome
	}
	if s.orders[a.Order].First || s.m.Auditable(a) != nil {
		return
	}
	s.carry(s.m.Audit(s.now, a))
	if d, is := s.verdicts[a.Order][a.Task]; !is || !d.Audited || d.Outcome != a.Outcome {
		s.rt.Fatalf("the audit is not the verdict: %+v, %+v", a, d)
	}
}

// audited puts an auditor's verdict in the place of the one that is there.
func (s *sim) audited(d Decide) {
	round := s.rounds[d.Order][d.Task]
	if old, is := s.verdicts[d.Order][d.Task]; is && (old.Undecided || old.Outcome != d.Outcome) {
		round++
	}
	for _, v := range s.votes[d.Order][d.Task] {
		if v.Outcome == d.Outcome && slices.Contains(d.Caught, v.Worker) || v.Outcome != d.Outcome && slices.Contains(d.Passed, v.Worker) {
			s.rt.Fatalf("the audit has %+v wrong: %+v", v, d)
		}
	}
	if d.Round != round || d.Undecided || len(d.Behind) > 0 {
		s.rt.Fatalf("audited in round %d: %+v", round, d)
	}
	if s.rounds[d.Order] == nil {
		s.rounds[d.Order] = map[uint64]uint32{}
	}
	if s.verdicts[d.Order] == nil {
		s.verdicts[d.Order] = map[uint64]Decide{}
	}
	s.rounds[d.Order][d.Task], s.verdicts[d.Order][d.Task] = round, d
	s.facts = slices.DeleteFunc(s.facts, func(f fact) bool {
		return f.verdict != nil && f.verdict.Order == d.Order && f.verdict.Task == d.Task
	})
	// An audit is on disk before anybody hears of it, so a crash does not lose it.
	s.facts = append(s.facts, fact{barrier: true, verdict: &d, tell: func(m *Machine) { m.Verdict(s.now, d.Fact()) }})
}

// TestAuditStands: a verdict that an auditor confirmed is not withdrawn for a
// worker that is caught later, also when its weighing had begun before.
func TestAuditStands(t *testing.T) {
	o := adaptive("a", 1, 10)
	o.Adaptive.ErrorPPB = 1_000_000
	m := running(t, Config{Key: [32]byte{1}}, o)
	decided, _ := work(m, t0, []int{1, 2, 3, 4, 5, 6}, func(int, Lease) string { return "a" })
	before := decided[0].Fact()
	vote := Vote{Order: o.ID, Worker: key(1), Net: net(1), Outcome: outcome("a")}
	a := Audit{Order: o.ID, Outcome: outcome("a"), Votes: []Vote{vote}, Verdict: &before, Accepted: outcome("a")}
	if err := m.Auditable(a); err != nil {
		t.Fatal(err)
	}
	m.Audit(t0, a)
	if w, is := has[Withdraw](m.Recheck(t0, before, outcome("a"), []Vote{vote})); is {
		t.Errorf("withdrawn: %+v", w)
	}
}

// counted are the votes on a task that were not refuted.
func (s *sim) counted(order canon.Digest, task uint64) []Vote {
	return slices.DeleteFunc(slices.Clone(s.votes[order][task]), func(v Vote) bool { return s.refuted[order][task][v.Outcome.Transcript] })
}

// refute lets an auditor find a transcript wrong, that anybody voted for. Whoever
// did so from the start is caught.
func (s *sim) refute() {
	of, is := s.anyVote()
	if !is || of.Outcome == outcome("a") {
		return
	}
	r := Refutation{Order: of.Order, Task: of.Task, Transcript: of.Outcome.Transcript, At: s.now}
	for _, v := range s.votes[of.Order][of.Task] {
		if v.Outcome == of.Outcome && !v.Resumed {
			r.Caught = append(r.Caught, v.Worker)
		}
	}
	var before *Verdict
	d, decided := s.verdicts[of.Order][of.Task]
	if decided {
		v := d.Fact()
		before = &v
	}
	if s.orders[of.Order].First || s.m.Refutable(r.Order, r.Task, r.Transcript, before, d.Outcome) != nil || s.refuted[r.Order][r.Task][r.Transcript] {
		return
	}
	if decided && d.Outcome == of.Outcome {
		s.rt.Fatalf("what was accepted may be refuted: %+v", d)
	}
	if s.refuted[r.Order] == nil {
		s.refuted[r.Order] = map[uint64]map[canon.Digest]bool{}
	}
	if s.refuted[r.Order][r.Task] == nil {
		s.refuted[r.Order][r.Task] = map[canon.Digest]bool{}
	}
	s.refuted[r.Order][r.Task][r.Transcript] = true
	s.refutations = append(s.refutations, r)
	s.fact(func(m *Machine) { m.Refute(s.now, r) })
	s.carry(s.m.Refute(s.now, r))
	for _, w := range r.Caught {
		if _, banned := s.m.Trust("x", w); s.orders[r.Order].Adaptive != nil && !banned && !s.nested {
			s.rt.Fatalf("worker %s is not caught by %+v", w, r)
		}
	}
}

// TestRefuted: a refuted transcript has no voice, whenever its votes come, and
// the task goes on with the others.
func TestRefuted(t *testing.T) {
	o := spec("a", 1, 2, 3)
	m := running(t, Config{}, o)
	r := Refutation{Order: o.ID, Transcript: outcome("lie").Transcript, At: t0}
	cast := func(w int, said string) (decided []Decide) {
		_, actions := m.Cast(t0, Vote{Order: o.ID, Lane: uint32(w), Worker: key(w), Net: net(w), Outcome: outcome(said)})
		if d, is := has[Decide](actions); is {
			decided = append(decided, d)
		}
		return decided
	}
	cast(1, "lie")
	cast(2, "a")
	if _, is := has[Decide](m.Refute(t0, r)); is {
		t.Error("one voice decides")
	}
	if d := cast(3, "lie"); len(d) != 0 {
		t.Errorf("a refuted outcome wins: %+v", d)
	}
	if d := cast(4, "a"); len(d) != 1 || d[0].Outcome != outcome("a") || d[0].Agree != 2 {
		t.Errorf("%+v", d)
	}
	v := Verdict{Order: o.ID}
	if err := m.Refutable(o.ID, 0, outcome("a").Transcript, &v, outcome("a")); canon.ClassOf(err) != wire.CodeVoteMismatch {
		t.Errorf("what was accepted may be refuted: %v", err)
	}
}

// TestRefutedIsLentAgain: a task that lost a voice to a refutation needs another at
// once, not when something else comes of it.
func TestRefutedIsLentAgain(t *testing.T) {
	o := spec("o", 1, 2, 3)
	m := running(t, Config{}, o)
	for w := range 3 {
		m.Connect(SessionID(w), key(w), net(w))
	}
	first, second := lent(m.Want(t0, 0, 1)), lent(m.Want(t0, 1, 1))
	if len(first) != 1 || len(second) != 1 {
		t.Fatalf("%+v, %+v", first, second)
	}
	m.Cast(t0, ballotOf(first[0], "lie"))
	if early := lent(m.Want(t0, 2, 1)); len(early) != 0 {
		t.Fatalf("a vote and a lease are enough for now: %+v", early)
	}
	third := lent(m.Refute(t0, Refutation{Order: o.ID, Transcript: outcome("lie").Transcript, At: t0}))
	if len(third) != 1 || third[0].Worker != key(2) {
		t.Fatalf("after the refutation %+v is lent, want one lease, of worker 2", third)
	}
}

// anyVote draws one.
func (s *sim) anyVote() (v Vote, is bool) {
	var all []Vote
	for _, tasks := range s.votes {
		for _, votes := range tasks {
			all = append(all, votes...)
		}
	}
	if len(all) == 0 {
		return v, false
	}
	slices.SortFunc(all, func(a, b Vote) int {
		return slices.Compare(append(append(a.Order[:], byte(a.Task)), a.Worker[:]...), append(append(b.Order[:], byte(b.Task)), b.Worker[:]...))
	})
	return rapid.SampledFrom(all).Draw(s.rt, "of"), true
}
