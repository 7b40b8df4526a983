package hub

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// process is the real program, to be killed.
type process struct {
	t      *testing.T
	args   []string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan error
}

// launch starts the program by a command line that ends in its own.
func (p *process) launch(args []string) (listening <-chan bool) {
	p.t.Helper()
	p.stderr.Reset()
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what traces it is killed with it
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	up, ended := make(chan bool, 1), make(chan error, 1)
	p.ended = ended
	cmd := p.cmd
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "listening") {
				up <- true
				break
			}
		}
		io.Copy(io.Discard, out)
		ended <- cmd.Wait()
		close(up)
	}()
	return up
}

func (p *process) start() {
	p.t.Helper()
	p.startBy(p.args)
}

func (p *process) startBy(args []string) {
	p.t.Helper()
	if up := p.launch(args); !<-up {
		p.t.Fatalf("the hub does not start: %v\n%s", <-p.ended, p.stderr.String())
	}
}

// kill ends the program, which is ours, in the middle of what it does.
func (p *process) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// stubborn is a worker that keeps every result until it is acknowledged, over
// any number of connections.
type stubborn struct {
	h       *testHub
	n       int
	pending map[wire.LeaseID]*wire.Result
	acked   map[taskOf]bool
	said    map[taskOf]string
	left    map[taskOf]bool // lanes that were handed on
	refused int
	resent  int
	offered int
	earned  int // acknowledged votes in orders by credibility

	adaptive func(order canon.Digest) bool // whether it goes by credibility; nil: none does
}

func newStubborn(h *testHub, n int) *stubborn {
	return &stubborn{h: h, n: n, pending: map[wire.LeaseID]*wire.Result{}, acked: map[taskOf]bool{}, said: map[taskOf]string{}, left: map[taskOf]bool{}}
}

func (s *stubborn) work(ctx context.Context) {
	for ctx.Err() == nil {
		s.session(ctx)
		time.Sleep(20 * time.Millisecond)
	}
}

// session works until the connection breaks.
func (s *stubborn) session(ctx context.Context) {
	conn, _, err := websocket.Dial(ctx, s.h.url+wire.WorkPath, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(wire.MaxToWorker)
	w := &worker{t: s.h.t, key: workerKey(s.n), conn: conn}
	send := func(m wire.FromWorker) bool {
		data, err := wire.Encode(m)
		if err != nil {
			s.h.t.Error(err)
			return false
		}
		return conn.Write(ctx, websocket.MessageText, data) == nil
	}
	for {
		m, err := w.recv()
		if canon.ClassOf(err) != "" {
			s.h.t.Error(err)
		}
		if err != nil {
			return
		}
		switch m := m.(type) {
		case *wire.Hello:
			if !send(wire.SignJoin(m, w.key, "stubborn/1")) {
				return
			}
		case *wire.Welcome:
			for _, r := range s.pending {
				if s.resent++; !send(r) {
					return
				}
			}
			if !send(&wire.Want{Leases: 16}) {
				return
			}
		case *wire.Lease:
			if m.Task%8 == 3 && !send(s.mark(w, m)) {
				return
			}
			// Somebody else goes on; but of a task whose verdict was withdrawn no
			// checkpoint is kept, so not for ever.
			if at := (taskOf{m.Order, m.Task}); m.Task%16 == 3 && m.Checkpoint == (canon.Digest{}) && !s.left[at] {
				s.left[at] = true
				if !send(&wire.Return{ID: m.ID, Reason: wire.ReturnStopped}) {
					return
				}
				continue
			}
			r := w.result(m, s.answer(m))
			s.pending[m.ID] = r
			if !send(r) {
				return
			}
		case *wire.Ack:
			if r := s.pending[m.ID]; r != nil {
				s.acked[taskOf{r.Vote.Order, r.Vote.Task}] = true
				if s.adaptive != nil && s.adaptive(r.Vote.Order) {
					s.earned++
				}
			}
			delete(s.pending, m.ID)
		case *wire.Refused:
			if s.refused++; m.Code != wire.CodeOrderEnded { // of one that was stopped
				s.h.t.Errorf("worker %d: a result is refused: %s %s", s.n, m.Code, m.Message)
			}
			delete(s.pending, m.ID)
		case *wire.Error:
			return
		}
	}
}

var (
	kills = flag.Int("kills", 20, "how often TestKillNine kills the hub")
	seed  = flag.Uint64("seed", 0, "of its choices; 0: at random")
)

// crash is a hub that is killed again and again while it works.
type crash struct {
	t      *testing.T
	h      *testHub
	hub    *process
	disk   *limitedDisk
	random *rand.Rand
	mu     sync.Mutex // for orders, at which workers look
	orders map[canon.Digest]*release.Order
	last   canon.Digest
	tried  map[string]int
	during string // which
	dir    string // on another disk

	submitted          int64
	chains             int
	stopped            []canon.Digest
	halted             map[taskOf]bool // asked for, and acknowledged or not
	inVain             int             // of the acknowledged, those that had a verdict by then
	audited            map[taskOf]bool // acknowledged
	withdrawn          uint64
	backups            int
	restored, cutShort int
}

// TestKillNine kills the real hub at random moments under load, starting up
// included, while its disk is full, slow or fails, and while it is backed up,
// audited, stopped, restored and compacted. Every order completes, and nothing
// that was acknowledged is lost or counts twice.
func TestKillNine(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("to do it again: -kills %d -seed %d", *kills, *seed)
	c := newCrash(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var all sync.WaitGroup
	crew := make([]*stubborn, 40)
	for n := range crew {
		crew[n] = newStubborn(c.h, n)
		crew[n].adaptive = c.isAdaptive
		all.Go(func() { crew[n].work(ctx) })
	}
	faults := c.faults()
	for range *kills {
		c.order()
		f := faults[c.random.IntN(len(faults))]
		c.tried[f.name]++
		c.during = f.name
		f.run()
	}
	c.hub.start()
	for d := range c.orders {
		c.finished(d)
	}
	c.overturn()
	c.results()
	c.stillStopped()
	stop()
	all.Wait()
	c.hub.kill() // once more: what is on disk must be enough
	report, s := openChecked(t, c.data())
	defer s.Close()
	k := verifyAcked(t, s, c.orders, crew)
	k.audits = c.auditsKept(s)
	c.summary(k, report, crew)
}

// finished waits until an order is done. How long that may take depends on what
// else the machine does; an order that comes no further in a minute never will.
func (c *crash) finished(d canon.Digest) {
	c.t.Helper()
	info := c.h.order(d)
	for moved := time.Now(); info.State != "done"; time.Sleep(50 * time.Millisecond) {
		now := c.h.order(d)
		if now.Accepted+now.Undecided+now.Stopped != info.Accepted+info.Undecided+info.Stopped || now.State != info.State {
			moved = time.Now()
		}
		if info = now; time.Since(moved) > time.Minute {
			c.t.Fatalf("order %s comes no further: %+v", d.Short(), info)
		}
	}
}

const (
	crashTasks = 600 // of an order
	gathered   = 25  // outputs for each task of the order that follows
)

func buildHub(t *testing.T, dir string) string {
	t.Helper()
	bin := filepath.Join(dir, "hub")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/hub").CombinedOutput(); err != nil {
		t.Fatalf("building cmd/hub: %v\n%s", err, out)
	}
	return bin
}

func newCrash(t *testing.T) *crash {
	disk := newDisk(t, "192m")
	dir := t.TempDir()
	bin := buildHub(t, dir)
	policyFile := filepath.Join(dir, "policy.json")
	if err := writePolicy(t, policyFile); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	hub := &process{t: t, args: []string{bin, "serve", "--data", filepath.Join(disk.path, "data"), "--policy", policyFile, "--root", rootOf(t).Keys[0].String(), "--listen", address,
		"--unsafe-one-network", "--log-level", "error", "--reserve-bytes", "16777216"}}
	hub.start()
	c := &crash{t: t, h: &testHub{t: t, clock: &clock{}, url: "http://" + address}, hub: hub, disk: disk,
		random: rand.New(rand.NewPCG(*seed, 0)), orders: map[canon.Digest]*release.Order{}, tried: map[string]int{}, dir: dir, audited: map[taskOf]bool{}, halted: map[taskOf]bool{}}
	t.Cleanup(func() {
		if hub.cmd.ProcessState == nil {
			hub.kill()
		}
		if t.Failed() {
			t.Logf("at %q the last hub said:\n%s", c.during, hub.stderr.String())
		}
	})
	return c
}

// order sees to it that there is work: the order before is done, or another
// comes. The hub runs afterwards.
func (c *crash) order() {
	c.t.Helper()
	if c.hub.cmd.ProcessState != nil {
		c.hub.start()
	}
	if c.last == (canon.Digest{}) || c.h.order(c.last).State == "done" {
		c.submit()
	}
}

func (c *crash) submit() {
	c.t.Helper()
	n := crashTasks + c.submitted // each another
	c.submitted++
	if n%2 == 1 {
		c.last = c.admit(c.adaptiveOrder(n))
		return
	}
	o := c.h.rangeOrder(n)
	c.last = c.admit(o)
	c.admit(c.h.outputsOrder(o, gathered, 1000))
	c.chains++
}

func (c *crash) admit(o *release.Order) canon.Digest {
	c.t.Helper()
	d := c.h.submit(o, "")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orders[d] = o
	return d
}

func (c *crash) wait(least, most time.Duration) {
	time.Sleep(least + time.Duration(c.random.Int64N(int64(most-least))))
}

type fault struct {
	name string
	run  func()
}

// faults are what is done to a hub that works. Afterwards it is dead.
func (c *crash) faults() []fault {
	all := []fault{{"kill", c.kill}, {"kill", c.kill}, {"kill", c.kill}, {"kill at the start", c.killStarting}, {"full disk", c.full}, {"full disk at the start", c.fullStarting},
		{"backup", c.backup}, {"audits", c.auditing}, {"stop", c.stopping}, {"stop of a task", c.stoppingTask}, {"compaction", c.compacting}}
	if !canInject() {
		c.t.Log("NOT TRIED: a slow and a failing disk, because strace is not there or may not trace: apt-get install strace")
		return all
	}
	return append(all, fault{"slow disk", c.slow}, fault{"failing disk", c.failing})
}

func (c *crash) kill() {
	c.wait(0, 300*time.Millisecond)
	c.hub.kill()
}

func (c *crash) killStarting() {
	c.hub.kill()
	c.hub.launch(c.hub.args)
	c.wait(0, 150*time.Millisecond)
	c.hub.kill()
}

// full fills the disk. The hub says so, lends nothing and shows its results;
// half of the time it is killed so, and half of the time it goes on.
func (c *crash) full() {
	c.wait(0, 100*time.Millisecond)
	c.disk.fill()
	eventually(c.t, "the hub says that its disk has no room", func() bool { return c.status().Disk.State != diskOK })
	for d := range c.orders {
		c.h.resultLines(d, "")
	}
	c.wait(0, 300*time.Millisecond)
	if c.random.IntN(2) == 0 {
		c.hub.kill()
		c.disk.empty()
		return
	}
	c.disk.empty()
	eventually(c.t, "the hub has room again", func() bool { return c.status().Disk.State == diskOK })
	c.kill()
}

// fullStarting starts on a full disk.
func (c *crash) fullStarting() {
	c.wait(0, 100*time.Millisecond)
	c.hub.kill()
	c.disk.fill()
	c.hub.start()
	if s := c.status(); s.Disk.State == diskOK {
		c.t.Errorf("the hub sees no full disk: %+v", s.Disk)
	}
	c.h.resultLines(c.last, "")
	c.wait(0, 200*time.Millisecond)
	if c.random.IntN(2) == 0 {
		c.disk.empty()
		c.wait(0, 200*time.Millisecond)
	}
	c.hub.kill()
	c.disk.empty()
}

// slow makes each sync take 30 ms more.
func (c *crash) slow() {
	c.hub.kill()
	c.hub.startBy(injected(c.hub.args, "fdatasync,fsync:delay_enter=30000"))
	c.wait(0, 700*time.Millisecond)
	c.hub.kill()
}

// failing lets syncs fail from some moment on. The hub ends by itself, because
// nobody knows what is on the disk.
func (c *crash) failing() {
	c.submit() // so that there is enough to write
	c.hub.kill()
	up := c.hub.launch(injected(c.hub.args, fmt.Sprintf("fdatasync:error=EIO:when=%d+", 1+c.random.IntN(8))))
	<-up // or it has failed already
	select {
	case err := <-c.hub.ended:
		if err == nil || !strings.Contains(c.hub.stderr.String(), "input/output error") {
			c.t.Errorf("a hub on a failing disk ends with %v:\n%s", err, c.hub.stderr.String())
		}
	case <-time.After(time.Minute):
		c.t.Error("a hub on a failing disk goes on")
		c.hub.kill()
	}
}

func (c *crash) status() (s wire.StatusInfo) {
	c.t.Helper()
	c.h.get("/v1/status", &s)
	return s
}

// results are what the workers said.
func (c *crash) results() {
	c.t.Helper()
	for d, o := range c.orders {
		lines := c.h.resultLines(d, "")
		for _, r := range lines {
			if at := (taskOf{d, r.Task}); r.End == wire.Stopped {
				if _, asked := c.halted[at]; !asked {
					c.t.Errorf("task %d of order %s is stopped, and nobody asked for it", r.Task, d.Short())
				}
				continue
			} else if c.halted[at] {
				c.inVain++
			}
			if want := c.right(o, r.Task); string(r.Output) != want || r.Agree < 2 && !r.Audited && o.Redundancy.Adaptive == nil {
				c.t.Errorf("task %d: %q with %d votes, want %q", r.Task, r.Output, r.Agree, want)
			}
		}
		if uint64(len(lines)) != o.Tasks() {
			c.t.Errorf("order %s: %d results, want %d", d.Short(), len(lines), o.Tasks())
		}
	}
}

// taskOf names a task.
type taskOf struct {
	order canon.Digest
	task  uint64
}

// kept is what became of what was acknowledged.
type kept struct{ tasks, acked, missing, double, audits int }

// openChecked checks a data directory, and opens it.
func openChecked(t *testing.T, data string) (*Report, *store.Store) {
	t.Helper()
	report, err := Check(data, true)
	if err != nil || len(report.Problems) != 0 {
		t.Errorf("check: %+v, %v", report, err)
	}
	s, err := store.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report, s
}

// verifyAcked looks at the disk: it has a verdict on every task, every vote that
// a worker was told of, and each stands once behind its verdict.
func verifyAcked(t *testing.T, s *store.Store, orders map[canon.Digest]*release.Order, crew []*stubborn) (k kept) {
	t.Helper()
	votes, behind := map[wire.Key]map[taskOf]bool{}, map[taskOf]int{}
	if err := s.Votes(func(v store.Vote) error {
		if votes[v.Worker] == nil {
			votes[v.Worker] = map[taskOf]bool{}
		}
		at := taskOf{v.Order, v.Task}
		if votes[v.Worker][at] {
			t.Errorf("worker %s has two votes on task %d", v.Worker, v.Task)
			k.double++
		}
		votes[v.Worker][at] = true
		behind[at]++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	verdicts := map[canon.Digest]uint64{}
	if err := s.Verdicts(func(v store.Verdict) error {
		verdicts[v.Order]++
		if n := behind[taskOf{v.Order, v.Task}]; v.Agree > n {
			t.Errorf("the verdict on task %d counts %d votes, and there are %d", v.Task, v.Agree, n)
			k.double++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	least := 0
	for d, o := range orders {
		k.tasks += int(o.Tasks())
		agree, _ := o.Redundancy.Voices()
		least += agree * int(o.Tasks())
		if verdicts[d] != o.Tasks() {
			t.Errorf("order %s has %d verdicts on %d tasks", d.Short(), verdicts[d], o.Tasks())
		}
	}
	for _, w := range crew {
		id := workerID(w.n)
		for at := range w.acked {
			if k.acked++; !votes[id][at] {
				k.missing++
				t.Errorf("worker %d: the vote on task %d was acknowledged and is not on disk", w.n, at.task)
			}
		}
	}
	t.Logf("%d tasks, %d votes acknowledged, %d missing", k.tasks, k.acked, k.missing)
	if k.acked < least*9/10 {
		t.Errorf("only %d votes were acknowledged", k.acked)
	}
	return k
}
