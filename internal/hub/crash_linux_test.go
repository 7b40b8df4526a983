package hub

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	t    *testing.T
	args []string
	cmd  *exec.Cmd
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "listening") {
			go io.Copy(io.Discard, out)
			return
		}
	}
	p.t.Fatalf("the hub does not start: %v", p.cmd.Wait())
}

func (p *process) kill() {
	p.cmd.Process.Kill() // it is ours, and running
	p.cmd.Wait()         // says that it was killed
}

// stubborn is a worker that keeps every result until it is acknowledged, over
// any number of connections.
type stubborn struct {
	h       *testHub
	n       int
	pending map[wire.LeaseID]*wire.Result
	acked   map[uint64]bool // tasks
	refused int
	resent  int
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
		_, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		m, err := wire.DecodeFromHub(data)
		if err != nil {
			s.h.t.Error(err)
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
			r := w.result(m, honest(m))
			s.pending[m.ID] = r
			if !send(r) {
				return
			}
		case *wire.Ack:
			if r := s.pending[m.ID]; r != nil {
				s.acked[r.Vote.Task] = true
			}
			delete(s.pending, m.ID)
		case *wire.Refused:
			s.refused++
			s.h.t.Errorf("worker %d: a result is refused: %s %s", s.n, m.Code, m.Message)
			delete(s.pending, m.ID)
		case *wire.Error:
			return
		}
	}
}

// TestKillNine kills the real hub in the middle of an order, several times
// under load. The order completes, and nothing that was acknowledged is lost.
func TestKillNine(t *testing.T) {
	t.Parallel()
	const tasks, workers, kills = 6000, 40, 8
	dir := t.TempDir()
	bin := filepath.Join(dir, "hub")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/hub").CombinedOutput(); err != nil {
		t.Fatalf("building cmd/hub: %v\n%s", err, out)
	}
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
	data := filepath.Join(dir, "data")
	hub := &process{t: t, args: []string{bin, "serve", "--data", data, "--policy", policyFile, "--root", rootOf(t).Keys[0].String(), "--listen", address, "--unsafe-one-network", "--log-level", "error"}}
	hub.start()
	defer func() { hub.kill() }()

	h := &testHub{t: t, clock: &clock{}, url: "http://" + address}
	o := h.rangeOrder(tasks)
	o.Redundancy.Vote = &release.Vote{Agree: 2, Of: 3}
	order := h.submit(o, "")
	ctx, stop := context.WithCancel(testContextFor(t, 5*time.Minute))
	defer stop()
	var all sync.WaitGroup
	crew := make([]*stubborn, workers)
	for n := range crew {
		crew[n] = &stubborn{h: h, n: n, pending: map[wire.LeaseID]*wire.Result{}, acked: map[uint64]bool{}}
		all.Go(func() { crew[n].work(ctx) })
	}
	for i := range kills {
		// Each time somewhere else on the way.
		until := uint64(2*tasks*(i+1)/(kills+1) + rand.IntN(100))
		eventuallyFast(t, "votes come in", func() bool { return h.order(order).Votes >= until || h.order(order).State == "done" })
		hub.kill()
		hub.start()
	}
	eventuallyWithin(t, 2*time.Minute, "the order is done", func() bool { return h.order(order).State == "done" })
	for _, r := range h.resultLines(order, "") {
		if want := honest(&wire.Lease{Input: o.Input.Range.RangeInput(r.Task)}); string(r.Output) != want || r.Agree < 2 {
			t.Errorf("task %d: %q with %d votes, want %q", r.Task, r.Output, r.Agree, want)
		}
	}
	stop()
	all.Wait()
	hub.kill() // once more: what is on disk must be enough
	verifyAcked(t, data, order, crew, tasks)
}

// eventuallyFast is eventually, and looks more often.
func eventuallyFast(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func verifyAcked(t *testing.T, data string, order canon.Digest, crew []*stubborn, tasks int) {
	t.Helper()
	report, err := Check(data, true)
	if err != nil || len(report.Problems) != 0 || report.Verdicts != tasks {
		t.Errorf("check: %+v, %v", report, err)
	}
	s, err := store.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	kept := map[wire.Key]map[uint64]bool{}
	if err := s.Votes(func(v store.Vote) error {
		if kept[v.Worker] == nil {
			kept[v.Worker] = map[uint64]bool{}
		}
		kept[v.Worker][v.Task] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	acked, missing, resent := 0, 0, 0
	for _, w := range crew {
		id := workerID(w.n)
		resent += w.resent
		for task := range w.acked {
			if acked++; !kept[id][task] {
				missing++
				t.Errorf("worker %d: the vote on task %d was acknowledged and is not on disk", w.n, task)
			}
		}
	}
	t.Logf("%d tasks, %d votes acknowledged, %d on disk, %d sent again after a kill, %d missing", tasks, acked, report.Votes, resent, missing)
	if acked < 2*tasks*9/10 {
		t.Errorf("only %d votes were acknowledged", acked)
	}
}
