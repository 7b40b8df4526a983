package fleet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
)

func play(t *testing.T, opt Options) *Report {
	t.Helper()
	opt.Dir = t.TempDir()
	opt.Timeout = 8 * time.Minute // a tenth is enough where nothing else runs
	opt.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	return r
}

// TestFleet is the main run: liars, vanishing volunteers, and a hub that goes
// down twice.
func TestFleet(t *testing.T) {
	var last, tasks uint64
	r := play(t, Options{Seed: 1, Volunteers: 16, Liars: 25, Vanish: 25, Tasks: 150, PerTask: 3, Restarts: 2,
		Progress: func(done, all uint64) { last, tasks = done, all }})
	if !r.OK() || r.Right+r.Undecided != 150 || r.Right < 140 {
		t.Errorf("%+v", r)
	}
	if r.Honest != 8 || r.Liars != 4 || r.Vanishing != 4 || r.Volunteers != 16 || r.Restarts != 2 {
		t.Errorf("the cast: %+v", r)
	}
	if r.Vanished == 0 || r.Votes < 2*r.Right || r.Lanes < r.Votes || r.LanesPerTask() < 2 || r.LanesPerTask() > 6 || r.TasksPerSecond() <= 0 {
		t.Errorf("%+v", r)
	}
	if last != 150 || tasks != 150 {
		t.Errorf("the last progress is %d of %d", last, tasks)
	}
}

// TestAdaptive: at 35 % liars nothing wrong stays, across a restart, and after
// the warm-up little is repeated.
func TestAdaptive(t *testing.T) {
	r := play(t, Options{Seed: 3, Volunteers: 40, Liars: 35, Lies: 20, Tasks: 3000, PerTask: 1, Restarts: 1, Adaptive: true, WarmUp: 75})
	if !r.OK() || r.Right != 3000 || r.WarmLanesPerTask() > 1.3 || r.WarmLanesPerTask() < 1.02 {
		t.Errorf("%+v", r)
	}
}

// TestHandedOn: tasks go from one volunteer to the next, and what liars hand on
// wins nothing.
func TestHandedOn(t *testing.T) {
	r := play(t, Options{Seed: 6, Volunteers: 24, Liars: 13, Vanish: 40, Tasks: 12, Steps: 80_000, Restarts: 1})
	if !r.OK() || r.Right+r.Undecided != 12 || r.Right < 10 || r.Resumed == 0 || r.Vanished == 0 {
		t.Errorf("%+v", r)
	}
}

// TestCheckerSeesWrongResults has liars who tell the same lies, and win: a
// checker that finds nothing here would find nothing anywhere.
func TestCheckerSeesWrongResults(t *testing.T) {
	r := play(t, Options{Seed: 2, Volunteers: 10, Liars: 80, Collude: true, Tasks: 40, PerTask: 2})
	if r.OK() || r.Wrong < 10 || r.Lost != 0 || r.Missing != 0 || len(r.Problems) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestCheckerSeesLostVotes(t *testing.T) {
	opt := Options{Seed: 3, Tasks: 5, Volunteers: 3, Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if err := opt.setDefaults(); err != nil {
		t.Fatal(err)
	}
	f := &fleet{opt: &opt, cast: newCast(&opt), acked: map[ballot]acked{}}
	var err error
	if f.engine, err = sandbox.New(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	defer f.engine.Close(context.Background())
	if f.stage, err = newStage(t.Context(), f.cast, opt.Dir); err != nil {
		t.Fatal(err)
	}
	defer f.stage.close()
	if _, err := f.play(t.Context()); err != nil {
		t.Fatal(err)
	}
	var one ballot
	for one = range f.acked {
	}
	for name, c := range map[string]struct {
		spoil func()
		lost  uint64
	}{
		"nothing": {func() {}, 0},
		"altered": {func() { v := f.acked[one]; v.Fuel++; f.acked[one] = v }, 1},
		"missing": {func() {
			delete(f.acked, one)
			f.acked[ballot{wire.Key{1}, f.stage.order, 1}] = acked{End: wire.EndExit}
			f.acked[ballot{one.worker, canon.Sum(nil), 1}] = acked{End: wire.EndExit}
		}, 2},
	} {
		before := f.acked[one]
		c.spoil()
		r := &Report{}
		if err := f.checkVotes(r); err != nil || r.Lost != c.lost || r.OK() != (c.lost == 0) {
			t.Errorf("%s: %d lost, %v", name, r.Lost, err)
		}
		f.acked = map[ballot]acked{one: before}
	}
}

func TestReportOK(t *testing.T) {
	good := Report{Tasks: 3, Right: 2, Undecided: 1}
	if !good.OK() {
		t.Error("a good report is not OK")
	}
	for _, spoil := range []func(*Report){
		func(r *Report) { r.Wrong = 1 }, func(r *Report) { r.Lost = 1 }, func(r *Report) { r.Missing = 1 }, func(r *Report) { r.Problems = []string{"x"} },
	} {
		bad := good
		spoil(&bad)
		if bad.OK() {
			t.Errorf("%+v is OK", bad)
		}
	}
}

// TestSeed: everything that is drawn follows from the seed, and from it alone.
func TestSeed(t *testing.T) {
	draw := func(seed uint64) *cast {
		opt := Options{Seed: seed, Volunteers: 40, Liars: 30, Vanish: 20}
		if err := opt.setDefaults(); err != nil {
			t.Fatal(err)
		}
		return newCast(&opt)
	}
	a, b, c := draw(7), draw(7), draw(8)
	same := func(x, y *cast) []bool {
		return []bool{reflect.DeepEqual(x.roles, y.roles), bytes.Equal(x.input, y.input), x.actor(3).worker == y.actor(3).worker,
			x.researcher.Public() == y.researcher.Public(), x.actor(3).absence() == y.actor(3).absence()}
	}
	for i := range same(a, b) {
		if !same(a, b)[i] || same(a, c)[i] {
			t.Errorf("thing %d: equal for one seed %v, for two %v", i, same(a, b)[i], same(a, c)[i])
		}
	}
	if a.actor(3).worker == a.actor(4).worker {
		t.Error("two volunteers have one key")
	}
	count := map[role]int{}
	for _, r := range a.roles {
		count[r]++
	}
	if count[honest] != 20 || count[liar] != 12 || count[vanisher] != 8 {
		t.Errorf("roles: %v", count)
	}
	if n := bytes.Count(a.input, []byte("\n")); n != 500 {
		t.Errorf("%d numbers", n)
	}
}

// TestLies: no two liars agree unless they collude, and none tells the truth.
func TestLies(t *testing.T) {
	opt := Options{Volunteers: 30, Liars: 100, Agree: 1, Of: 1}
	if err := opt.setDefaults(); err != nil {
		t.Fatal(err)
	}
	c := newCast(&opt)
	truth := sandbox.Outcome{End: sandbox.Exit, Output: []byte("6 -> 2,3\n"), Fuel: 1000}
	of := func(a *actor, task uint64) acked {
		o := a.outcome(&wire.Lease{Task: task}, truth)
		return acked{End: wire.End(o.End), Code: o.Code, Fuel: o.Fuel, Output: canon.Sum(o.Output)}
	}
	honest := acked{End: wire.EndExit, Fuel: 1000, Output: canon.Sum(truth.Output)}
	for task := range uint64(8) {
		told := map[acked]bool{honest: true}
		for i := range opt.Volunteers {
			lie := of(c.actor(i), task)
			if told[lie] {
				t.Errorf("task %d, volunteer %d: %+v was told before", task, i, lie)
			}
			told[lie] = true
		}
		c.opt.Collude = true
		if a, b := of(c.actor(1), task), of(c.actor(2), task); a != b || a == honest {
			t.Errorf("task %d: they collude, and say %+v and %+v", task, a, b)
		}
		c.opt.Collude = false
	}
	if string(truth.Output) != "6 -> 2,3\n" {
		t.Error("a liar changed the truth")
	}
	c.roles[0] = roleOfHonest
	if of(c.actor(0), 1) != honest {
		t.Error("an honest volunteer lies")
	}
}

// roleOfHonest is honest, which a variable hides above.
const roleOfHonest = honest

func TestOptions(t *testing.T) {
	for want, opt := range map[string]Options{
		"honest volunteers": {Volunteers: 4, Liars: 75},
		"volunteers:":       {Volunteers: -1},
		"tasks:":            {Tasks: maxTasks + 1},
		"numbers a task":    {PerTask: -1},
		"at most 100%":      {Liars: 60, Vanish: 50},
		"restarts":          {Restarts: -1},
		"vote 3 of 2":       {Agree: 3, Of: 2},
	} {
		opt.Dir = t.TempDir()
		if _, err := Run(t.Context(), opt); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	opt := Options{Dir: t.TempDir(), Tasks: 20_000, PerTask: 10, Progress: func(done, _ uint64) {
		if done > 5 {
			cancel()
		}
	}}
	if r, err := Run(ctx, opt); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
	opt.Timeout = 300 * time.Millisecond
	opt.Progress = nil
	if r, err := Run(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "not over after 300ms") {
		t.Errorf("%+v, %v", r, err)
	}
}
