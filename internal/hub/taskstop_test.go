package hub

import (
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

func (h *testHub) stopTask(order canon.Digest, task uint64) (status int, code string) {
	h.t.Helper()
	st, sig, err := release.NewTaskStop(order, task, "a bad input", h.clock.now()).Sign(seeded(h.t, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.post("/v1/stops", part{"statement", st}, part{"signature", sig})
}

func (h *testHub) killTask(order canon.Digest, task uint64) (status int, code string) {
	h.t.Helper()
	return h.kill(h.token(), wire.KillRequest{Scope: wire.KillTask, Target: wire.TaskTarget(order, task), Reason: "it hangs"})
}

// ends are the ends of an order's results, in the order of tasks.
func (h *testHub) ends(order canon.Digest) (all []wire.End) {
	h.t.Helper()
	for _, line := range h.resultLines(order, "") {
		all = append(all, line.End)
	}
	return all
}

// TestStopTask: a task that an operator or its researcher stops is taken from
// everybody who has it, takes no vote, counts as done with, and stays so.
func TestStopTask(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(3), "")
	all := []*worker{h.join(1), h.join(2), h.join(3)} // of which two hold each task
	held := map[*worker][]*wire.Lease{}
	for _, w := range all[:2] {
		w.send(&wire.Want{Leases: 3})
		for range 3 {
			held[w] = append(held[w], await[*wire.Lease](w))
		}
	}
	if status, code := h.killTask(order, 0); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, code)
	}
	if status, code := h.stopTask(order, 2); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	for _, w := range all {
		for _, task := range []uint64{0, 2} {
			if k := await[*wire.Kill](w); k.Scope != wire.KillTask || k.Target != wire.TaskTarget(order, task) {
				t.Errorf("%+v", k)
			}
		}
	}
	if n := h.order(order).Leases; n != 2 {
		t.Errorf("%d leases are left of a task that two hold", n)
	}
	for _, l := range held[all[0]] {
		if l.Task == 1 {
			continue
		}
		all[0].send(&wire.Return{ID: l.ID, Reason: wire.ReturnKilled})
		all[0].send(all[0].result(l, "too late"))
		if r := await[*wire.Refused](all[0]); r.Code != wire.CodeOrderEnded {
			t.Errorf("a vote on a stopped task: %+v", r)
		}
	}
	h.stopsLast(order, all[:2], held)
}

// stopsLast brings the one task to its end that is left, and looks at the order
// over a restart.
func (h *testHub) stopsLast(order canon.Digest, workers []*worker, held map[*worker][]*wire.Lease) {
	h.t.Helper()
	for _, w := range workers {
		for _, l := range held[w] {
			if l.Task == 1 {
				w.send(w.result(l, "right"))
				await[*wire.Ack](w)
			}
		}
	}
	if status, code := h.killTask(order, 1); status != http.StatusNoContent { // it has its result
		h.t.Fatalf("%d %s", status, code)
	}
	for range 2 {
		if info := h.order(order); info.State != "done" || info.Accepted != 1 || info.Stopped != 2 || info.Undecided != 0 {
			h.t.Errorf("%+v", info)
		}
		if ends := h.ends(order); len(ends) != 3 || ends[0] != wire.Stopped || ends[1] != wire.EndExit || ends[2] != wire.Stopped {
			h.t.Errorf("the results end as %v", ends)
		}
		if status, code := h.postAudit(h.mint(Grant{Role: "auditor", Subject: "test", Life: time.Hour}), h.auditOf(order, 0, "x")); code != wire.CodeOrderEnded {
			h.t.Errorf("an audit of a stopped task: %d %s", status, code)
		}
		h.restart()
	}
	h.end()
	if r, err := Check(h.opt.Data, true); err != nil || len(r.Problems) > 0 || r.Stopped != 2 || r.Kills != 2 || r.Stops != 1 {
		h.t.Errorf("%+v, %v", r, err)
	}
	h.start()
}

// TestStopTaskLostVerdict: a stop that is on disk without what follows from it,
// as a crash may leave it, is brought into effect by the next start.
func TestStopTaskLostVerdict(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	st, sig, err := release.NewTaskStop(order, 0, "a bad input", h.clock.now()).Sign(seeded(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.PutStatement(store.Stop, store.Statement{Digest: canon.Sum(st), Bytes: st, Signature: sig, At: h.clock.now()}); err != nil {
		t.Fatal(err)
	}
	if info := h.order(order); info.Stopped != 0 {
		t.Fatalf("%+v", info)
	}
	h.restart()
	if info := h.order(order); info.Stopped != 1 || info.State != "done" {
		t.Errorf("%+v", info)
	}
	eventually(t, "the results say so", func() bool { e := h.ends(order); return len(e) == 1 && e[0] == wire.Stopped })
}

func TestStopTaskRefusals(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(job.MaxTaskStops+2), "")
	if _, code := h.killTask(order, job.MaxTaskStops+2); code != wire.CodeRequest {
		t.Errorf("no such task: %s", code)
	}
	if _, code := h.stopTask(order, job.MaxTaskStops+2); code != wire.CodeRequest {
		t.Errorf("no such task: %s", code)
	}
	if _, code := h.killTask(canon.Sum(nil), 0); code != wire.CodeUnknownOrder {
		t.Errorf("no such order: %s", code)
	}
	h.mu.Lock()
	for task := range uint64(job.MaxTaskStops) {
		h.perform(h.machine.StopTask(h.now(), order, task, "x"))
	}
	h.mu.Unlock()
	if status, code := h.killTask(order, 7); status != http.StatusNoContent {
		t.Errorf("stopped again: %s", code)
	}
	if _, code := h.killTask(order, job.MaxTaskStops); code != wire.CodeForbidden {
		t.Errorf("one too many: %s", code)
	}
}
