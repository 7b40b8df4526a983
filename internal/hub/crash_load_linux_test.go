package hub

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/release"
)

// What the hub of TestKillNine has to do beside plain votes: orders by
// credibility with a liar among its workers, checkpoints, audits, kills, and
// the operator's work on its disk.

// sleeper is the worker that earns trust, and then lies in orders by
// credibility, so that verdicts are withdrawn.
const (
	sleeper = 39
	wakes   = 28 // after so many acknowledged votes in them: it is trusted alone by then
)

// answer is what a worker says: the same again for the same task, whatever
// happens meanwhile.
func (s *stubborn) answer(l *wire.Lease) string {
	at := taskOf{l.Order, l.Task}
	if said, is := s.said[at]; is {
		return said
	}
	said := honest(l)
	if s.adaptive != nil && s.n == sleeper && s.adaptive(l.Order) && s.earned > wakes {
		said = "a lie"
	}
	s.said[at] = said
	return said
}

// right is what a task comes to. An order that follows another has its outputs as
// inputs.
func (c *crash) right(o *release.Order, task uint64) string {
	var input []byte
	if o.Input.Outputs == nil {
		input, _ = o.Input.Stated(task)
	} else {
		before := c.orders[o.After.Order]
		for n := task * gathered; n < min((task+1)*gathered, before.Tasks()); n++ {
			input = append(input, c.right(before, n)...)
		}
	}
	return honest(&wire.Lease{Input: input})
}

// mark is a checkpoint of a lane. Whether its state is any good no hub can tell.
func (s *stubborn) mark(w *worker, l *wire.Lease) *wire.Offer {
	state := bytes.Repeat([]byte{byte(l.Task)}, 1+int(l.Task%64)<<8)
	link := canon.Sum(state)
	p := wire.Checkpoint{State: state, Output: []byte{}, Links: link[:]}
	p.Reached = wire.Reached{Type: wire.CheckpointType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID, Module: canon.Sum(payloads.FactorModule),
		Input: canon.Sum(l.Input), Segments: 1, Transcript: link, State: canon.Sum(state), Output: canon.Sum(nil)}
	s.offered++
	return w.signOffer(l, p)
}

// adaptiveOrder is one whose workers are soon trusted alone.
func (c *crash) adaptiveOrder(n int64) *release.Order {
	o := c.h.rangeOrder(n)
	o.Redundancy = release.Redundancy{Adaptive: &release.Adaptive{ErrorPPB: 1000, ChecksPermille: 100, FaultyPermille: 100, LiesPermille: 500}}
	return o
}

func (c *crash) isAdaptive(order canon.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.orders[order]
	return o != nil && o.Redundancy.Adaptive != nil
}

func (c *crash) mint(role string) string {
	c.t.Helper()
	token, err := Mint(c.data(), Grant{Role: role, Subject: "crash", Life: time.Hour}, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

func (c *crash) data() string { return filepath.Join(c.disk.path, "data") }

// audit lets an auditor say what a task comes to. What the hub took must be
// on its disk at the end.
func (c *crash) audit(token string, order canon.Digest, task uint64) {
	c.t.Helper()
	input, _ := c.orders[order].Input.Stated(task)
	output := honest(&wire.Lease{Input: input})
	q := wire.Audit{Type: wire.AuditType, Order: order, Task: task, Module: canon.Sum(payloads.FactorModule), Input: canon.Sum(input), End: wire.EndExit, Fuel: 7,
		Output: canon.Sum([]byte(output)), Segments: 1, Transcript: canon.Sum([]byte("link of " + output))}
	key := workerKey(77)
	sig, err := wire.SignAudit(&q, key)
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := json.Marshal(wire.AuditRequest{Auditor: wire.KeyOf(key.Public().(ed25519.PublicKey)), Audit: q, Signature: sig, Output: []byte(output)})
	if err != nil {
		c.t.Fatal(err)
	}
	status, code := c.ask("/v1/audits", token, body)
	switch {
	case status == http.StatusCreated:
		c.audited[taskOf{order, task}] = true
	case status != 0 && code != wire.CodeBusy:
		c.t.Errorf("an audit of task %d: %d %s", task, status, code)
	}
}

// ask posts to a hub that may die meanwhile: status 0.
func (c *crash) ask(path, token string, body []byte) (status int, code string) {
	r, err := http.NewRequest("POST", c.h.url+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	var e struct{ Error struct{ Code string } }
	_ = json.NewDecoder(res.Body).Decode(&e) // an answer that is cut off has no code
	return res.StatusCode, e.Error.Code
}

// auditing kills the hub while audits come in.
func (c *crash) auditing() {
	c.wait(0, 200*time.Millisecond)
	done := make(chan bool)
	order := c.last
	tasks := c.orders[order].Tasks()
	first, token := c.random.Uint64N(tasks), c.mint("auditor")
	go func() {
		defer close(done)
		for i := range uint64(20) {
			c.audit(token, order, (first+i)%tasks)
		}
	}()
	c.wait(0, 300*time.Millisecond)
	c.hub.kill()
	<-done
}

// stopping ends an order of its own by the operator's word, and kills the hub
// when it has answered. The order stays stopped.
func (c *crash) stopping() {
	d := c.h.submit(c.h.rangeOrder(5000+int64(len(c.stopped))), "")
	c.wait(0, 50*time.Millisecond)
	body, err := json.Marshal(wire.KillRequest{Scope: wire.KillOrder, Target: d.String(), Reason: "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	if status, code := c.ask("/v1/kill", c.mint("operator"), body); status != http.StatusNoContent {
		c.t.Errorf("stopping an order: %d %s", status, code)
	}
	c.hub.kill()
	c.stopped = append(c.stopped, d)
}

// stoppingTask stops one task of a small order by the operator's word, while it
// is worked on, and kills the hub. All others come to a result.
func (c *crash) stoppingTask() {
	at := taskOf{order: c.admit(c.h.rangeOrder(100 + int64(len(c.halted))))}
	at.task = c.random.Uint64N(100)
	body, err := json.Marshal(wire.KillRequest{Scope: wire.KillTask, Target: wire.TaskTarget(at.order, at.task), Reason: "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	token := c.mint("operator")
	done := make(chan bool)
	go func() {
		defer close(done)
		status, code := c.ask("/v1/kill", token, body)
		c.halted[at] = status == http.StatusNoContent
		if status != 0 && !c.halted[at] {
			c.t.Errorf("stopping a task: %d %s", status, code)
		}
	}()
	c.wait(0, 60*time.Millisecond)
	c.hub.kill()
	<-done
}

// backup makes a backup of the hub at work, by the real program. Half of the
// time the hub is killed meanwhile, or else the backup is restored, which is
// killed, too, and then done again: it has all that was acknowledged before.
func (c *crash) backup() {
	before := c.status().Votes
	file := filepath.Join(c.dir, fmt.Sprintf("backup-%d.tar", c.backups))
	c.backups++
	making := exec.Command(c.hub.args[0], "backup", "--data", c.data(), "--hub", c.h.url, "-o", file)
	var said bytes.Buffer
	making.Stderr = &said
	if err := making.Start(); err != nil {
		c.t.Fatal(err)
	}
	if c.random.IntN(2) == 0 {
		c.wait(0, 60*time.Millisecond)
		c.hub.kill()
		_ = making.Wait() // it may have been done before
	} else {
		err := making.Wait()
		c.hub.kill()
		if err != nil {
			c.t.Errorf("backup: %v\n%s", err, said.String())
			return
		}
		c.restore(file, before)
	}
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
}

func (c *crash) restore(file string, votes uint64) {
	dir := filepath.Join(c.dir, "restored")
	restoring := exec.Command(c.hub.args[0], "restore", file, "--data", dir, "--unsafe-one-network")
	c.cut(restoring, 40*time.Millisecond)
	if err := os.RemoveAll(dir); err != nil {
		c.t.Fatal(err)
	}
	if out, err := exec.Command(c.hub.args[0], "restore", file, "--data", dir, "--unsafe-one-network").CombinedOutput(); err != nil {
		c.t.Errorf("restore: %v\n%s", err, out)
	}
	report, err := Check(dir, true)
	if err != nil || len(report.Problems) > 0 || uint64(report.Votes) < votes {
		c.t.Errorf("a backup made after %d votes: %+v, %v", votes, report, err)
	}
	c.restored++
	if err := os.RemoveAll(dir); err != nil {
		c.t.Fatal(err)
	}
}

// compacting kills what compacts the facts of a hub that was killed.
func (c *crash) compacting() {
	c.kill()
	c.cut(exec.Command(c.hub.args[0], "compact", "--data", c.data()), 60*time.Millisecond)
}

// cut kills a program of ours within a time, unless it is done.
func (c *crash) cut(cmd *exec.Cmd, most time.Duration) {
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.wait(0, most)
	_ = cmd.Process.Kill() // it may be done
	if err := cmd.Wait(); err != nil {
		c.cutShort++
	}
}

// overturn audits what is wrong at the end: the sleeper's last lies, which no
// check has found yet. By that it is caught, and what hangs on it is withdrawn.
func (c *crash) overturn() {
	c.t.Helper()
	token := c.mint("auditor")
	for d, o := range c.orders {
		eventuallyWithin(c.t, 2*time.Minute, "an order is done, and nothing in it is wrong", func() bool {
			if c.h.order(d).State != "done" {
				return false
			}
			right := true
			for _, r := range c.h.resultLines(d, "") {
				if r.End != wire.Stopped && string(r.Output) != c.right(o, r.Task) {
					right = false
					c.audit(token, d, r.Task)
				}
			}
			return right
		})
		c.withdrawn += c.h.order(d).Withdrawn
	}
}

// stillStopped looks that what was stopped is.
func (c *crash) stillStopped() {
	c.t.Helper()
	for _, d := range c.stopped {
		if state := c.h.order(d).State; state != "stopped" {
			c.t.Errorf("order %s was stopped, and is %s", d.Short(), state)
		}
	}
}

// auditsKept counts the audits on disk, and makes sure that they are those that
// were acknowledged.
func (c *crash) auditsKept(s *store.Store) (missing int) {
	c.t.Helper()
	missing = len(c.audited)
	if err := s.Verdicts(func(v store.Verdict) error {
		if c.audited[taskOf{v.Order, v.Task}] && v.Evidence != nil && v.Evidence.Audit != nil {
			missing--
		}
		return nil
	}); err != nil {
		c.t.Fatal(err)
	}
	if missing != 0 {
		c.t.Errorf("%d audits were acknowledged and are not on disk", missing)
	}
	return missing
}

// summary is what docs/durability.md quotes.
func (c *crash) summary(k kept, report *Report, crew []*stubborn) {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(c.tried)) {
		faults = append(faults, fmt.Sprintf("%s %d", name, c.tried[name]))
	}
	offered, resent := 0, 0
	for _, w := range crew {
		offered, resent = offered+w.offered, resent+w.resent
	}
	acknowledged := 0
	for _, is := range c.halted {
		if is {
			acknowledged++
		}
	}
	verdict := "clean"
	if len(report.Problems) > 0 {
		verdict = fmt.Sprintf("%d problems", len(report.Problems)+report.More)
	}
	c.t.Logf(`
kills of the hub       %d (seed %d)
  by what went on      %s
votes acknowledged     %d, of them lost %d, counted twice %d
  on disk              %d, sent again after a kill %d
orders completed       %d of %d, %d tasks, %d of them with the outputs of another as inputs; stopped for good %d of %d
tasks stopped          %d acknowledged, of which %d had a verdict by then
verdicts withdrawn     %d
audits acknowledged    %d, lost %d
checkpoints offered    %d
backups restored       %d, all with what was acknowledged before; restores and compactions cut short %d
hub check              %s`, *kills, *seed, strings.Join(faults, ", "), k.acked, k.missing, k.double, report.Votes, resent,
		len(c.orders), len(c.orders), k.tasks, c.chains, len(c.stopped), len(c.stopped), acknowledged, c.inVain, c.withdrawn, len(c.audited), k.audits, offered, c.restored, c.cutShort, verdict)
}
