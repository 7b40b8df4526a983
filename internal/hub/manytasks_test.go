package hub

import (
	"flag"
	"io/fs"
	"net/netip"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/policy"
)

var (
	manyTasks = flag.Int64("tasks", 10_000, "tasks of the order of TestManyTasks")
	manyDone  = flag.Uint64("decided", 100, "how many of them have a verdict, of two votes")
)

// TestManyTasks starts a hub on an order of many tasks, some of which have
// votes and verdicts, and prints what that takes: make bench-tasks.
func TestManyTasks(t *testing.T) {
	r := ada(seeded(t, 1).Public())
	r.Ceilings.Tasks = uint64(*manyTasks)
	h := startHub(t, Options{UnsafeOneNetwork: true, Policies: signPolicy(t, policy.New(1, rootOf(t), began.Add(300*24*time.Hour), r))})
	d := h.submit(h.rangeOrder(*manyTasks), "")
	h.end()
	decideTasks(t, h.opt.Data, d, *manyDone)

	before := heap()
	begin := time.Now()
	h.start()
	took, used := time.Since(begin), heap()-before
	info := h.order(d)
	if info.Tasks != uint64(*manyTasks) || info.Accepted != *manyDone || info.Votes != 2**manyDone {
		t.Errorf("the hub has %d tasks, %d accepted, %d votes", info.Tasks, info.Accepted, info.Votes)
	}
	t.Logf("tasks %d decided %d: start-up %v, heap %.1f MiB, disk %.1f MiB", *manyTasks, *manyDone, took.Round(time.Millisecond),
		float64(used)/(1<<20), float64(diskOf(t, h.opt.Data))/(1<<20))
}

// decideTasks writes two votes and a verdict for each of n tasks, as a hub would.
func decideTasks(t *testing.T, dir string, order canon.Digest, n uint64) {
	t.Helper()
	s, err := store.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	output := []byte("an output as short as a count\n")
	var all sync.WaitGroup
	room := make(chan struct{}, 4096)
	done := func(err error) {
		if err != nil {
			t.Error(err)
		}
		<-room
		all.Done()
	}
	for task := range n {
		var v store.Vote
		for worker := range byte(2) {
			v = store.Vote{Worker: wire.Key{worker, byte(task), byte(task >> 8)}, Net: job.NetOf(netip.MustParseAddr("10.0.0.1")), At: began}
			v.Vote = wire.Vote{Type: wire.VoteType, Order: order, Task: task, Lane: uint32(worker), End: wire.EndExit, Fuel: 7, Output: canon.Sum(output), Segments: 1}
			room <- struct{}{}
			all.Add(1)
			if err := s.PutVote(v, output, func(_ store.Put, err error) { done(err) }); err != nil {
				t.Fatal(err)
			}
		}
		room <- struct{}{}
		all.Add(1)
		if err := s.PutVerdict(store.Verdict{Order: order, Task: task, Outcome: v.Outcome(), Agree: 2}, done); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func diskOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return size
}
