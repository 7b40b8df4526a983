package hub

import (
	"fmt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// Report is what Check found.
type Report struct {
	Policies  int      `json:"policies"`
	Releases  int      `json:"releases"`
	Orders    int      `json:"orders"`
	Stops     int      `json:"stops"`
	Kills     int      `json:"kills"`
	Leaves    int      `json:"leaves"` // of the transparency log
	Blobs     int      `json:"blobs"`
	Lanes     int      `json:"checkpoints"` // lanes that have one
	Votes     int      `json:"votes"`
	Verdicts  int      `json:"verdicts"`
	Undecided int      `json:"undecided"` // of the verdicts
	Stopped   int      `json:"stopped"`   // of the verdicts: that tasks were stopped
	Audits    int      `json:"audits"`    // of the verdicts
	Refuted   int      `json:"refuted"`   // transcripts
	Pruned    int      `json:"pruned"`    // orders that ended long ago, whose votes were removed
	Problems  []string `json:"problems"`  // at most maxProblems
	More      int      `json:"more_problems"`
}

const maxProblems = 100

// Check makes sure that a data directory is sound, without a hub: that every
// blob and statement is what its digest says, the log has each statement and
// goes on from what was published, every vote is signed by its
// worker and on a task that exists, and every verdict stands on enough votes
// (of orders whose votes were not removed since),
// of as many networks unless oneNetwork counts workers instead. An error means
// that it could not look.
func Check(dir string, oneNetwork bool) (*Report, error) {
	s, err := store.Open(dir, &store.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	c := &checker{store: s, oneNetwork: oneNetwork, report: &Report{Problems: []string{}}, releases: map[canon.Digest]*release.Release{}, orders: map[canon.Digest]*release.Order{}}
	for _, step := range []func() error{c.blobs, c.policiesOf, c.releasesOf, c.ordersOf, c.rest, c.log, c.checkpoints, c.refutations, c.votes, c.verdicts} {
		if err := step(); err != nil {
			return c.report, fmt.Errorf("checking %s: %w", dir, err)
		}
	}
	return c.report, nil
}

type checker struct {
	store      *store.Store
	oneNetwork bool
	report     *Report
	releases   map[canon.Digest]*release.Release
	orders     map[canon.Digest]*release.Order
	pruned     map[canon.Digest]bool
	refuted    map[transcript]bool
	support    map[vote]int // distinct workers or networks, of the tasks in play
}

// vote is a voter's choice on a task.
type vote struct {
	order   canon.Digest
	task    uint64
	outcome wire.Outcome
}

// transcript is one of a task.
type transcript struct {
	order      canon.Digest
	task       uint64
	transcript canon.Digest
}

func (c *checker) problem(format string, args ...any) {
	if len(c.report.Problems) == maxProblems {
		c.report.More++
		return
	}
	c.report.Problems = append(c.report.Problems, fmt.Sprintf(format, args...))
}

func (c *checker) blobs() (err error) {
	c.report.Blobs, err = c.store.CheckBlobs(func(name string, err error) { c.problem("blob %s: %v", name, err) })
	return err
}

func (c *checker) policiesOf() error {
	return c.store.Statements(store.Policy, func(st store.Statement) error {
		c.report.Policies++
		if _, err := policy.Parse(st.Bytes); err != nil {
			c.problem("policy %s: %v", st.Digest, err)
		}
		return nil
	})
}

func (c *checker) releasesOf() error {
	return c.store.Statements(store.Release, func(st store.Statement) error {
		c.report.Releases++
		r, err := release.Parse(st.Bytes)
		if err != nil {
			c.problem("release %s: %v", st.Digest, err)
			return nil
		}
		c.releases[st.Digest] = r
		for what, d := range map[string]canon.Digest{"module": r.ModuleSHA256, "source": r.SourceSHA256} {
			if _, err := c.store.Blob(d, release.MaxModule); err != nil {
				c.problem("release %s: its %s: %v", st.Digest, what, err)
			}
		}
		return nil
	})
}

func (c *checker) ordersOf() error {
	return c.store.Statements(store.Order, func(st store.Statement) error {
		c.report.Orders++
		o, err := release.ParseOrder(st.Bytes)
		if err != nil {
			c.problem("order %s: %v", st.Digest, err)
			return nil
		}
		c.orders[st.Digest] = o
		if c.releases[o.ReleaseSHA256] == nil {
			c.problem("order %s: its release %s is missing", st.Digest, o.ReleaseSHA256)
		}
		if !o.Input.IsFile() {
			return nil // gathered inputs are blobs, whose digests are checked with all others
		}
		f, err := c.store.OpenBlob(st.Input)
		if err != nil {
			c.problem("order %s: its input: %v", st.Digest, err)
			return nil
		}
		defer f.Close()
		if _, err := scanInputs(o, f); err != nil {
			c.problem("order %s: its input: %v", st.Digest, err)
		}
		return nil
	})
}

func (c *checker) rest() error {
	c.pruned = map[canon.Digest]bool{}
	if err := c.store.Ended(func(e store.Ended) error {
		if c.orders[e.Order] == nil {
			c.problem("the end of order %s: there is no such order", e.Order)
		}
		if e.Pruned {
			c.pruned[e.Order] = true
		}
		return nil
	}); err != nil {
		return err
	}
	c.report.Pruned = len(c.pruned)
	if err := c.store.Kills(func(store.Kill) error { c.report.Kills++; return nil }); err != nil {
		return err
	}
	return c.store.Statements(store.Stop, func(st store.Statement) error {
		c.report.Stops++
		if _, err := release.ParseStop(st.Bytes); err != nil {
			c.problem("stop %s: %v", st.Digest, err)
		}
		return nil
	})
}

// checkpoints looks at the furthest of each lane, which alone has a file.
func (c *checker) checkpoints() error {
	type lane struct {
		order canon.Digest
		task  uint64
		lane  uint32
	}
	best := map[lane]store.Checkpoint{}
	if err := c.store.Checkpoints(func(p store.Checkpoint) error {
		if at := (lane{p.Order, p.Task, p.Lane}); p.Segments > best[at].Segments {
			best[at] = p
		}
		return nil
	}); err != nil {
		return err
	}
	c.report.Lanes = len(best)
	if err := c.store.EachState(func(p store.Checkpoint) error {
		if err := c.checkCheckpoint(p); err != nil {
			c.problem("checkpoint of %d segments of task %d of order %s: %v", p.Segments, p.Task, p.Order, err)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, p := range best {
		if err := c.checkCheckpoint(p); err != nil {
			c.problem("checkpoint of task %d of order %s, lane %d: %v", p.Task, p.Order, p.Lane, err)
		}
	}
	return nil
}

func (c *checker) checkCheckpoint(p store.Checkpoint) error {
	data, err := c.store.CheckpointFile(p.File)
	if err != nil {
		return err
	}
	f, err := wire.ParseCheckpointFile(data)
	if err != nil {
		return err
	}
	r := f.Reached
	if f.Worker != p.Worker || r.Order != p.Order || r.Task != p.Task || r.Lane != p.Lane || r.Segments != p.Segments {
		return fmt.Errorf("its file is of another lane, worker or length")
	}
	return f.Verify(p.Worker)
}

// refutations checks what auditors signed.
func (c *checker) refutations() error {
	c.refuted = map[transcript]bool{}
	return c.store.Refutations(func(r store.Refutation) error {
		c.report.Refuted++
		c.refuted[transcript{r.Order, r.Task, r.Transcript}] = true
		f, err := wire.ParseRefutation(r.Signed.Statement)
		if err == nil {
			err = wire.VerifyRefutation(f, r.Signed.Auditor, r.Signed.Signature)
		}
		if err != nil || f.Order != r.Order || f.Task != r.Task || f.Transcript != r.Transcript || c.orders[r.Order] == nil {
			c.problem("refutation on task %d of order %s: it is of something else (%v)", r.Task, r.Order, err)
		}
		return nil
	})
}

// votes come in the order of their tasks, so the voters of one task are all
// that must be remembered to tell them apart.
func (c *checker) votes() error {
	c.support = map[vote]int{}
	var task vote
	seen := map[string]bool{}
	return c.store.Votes(func(v store.Vote) error {
		c.report.Votes++
		if err := c.checkVote(v); err != nil {
			c.problem("vote of worker %s on task %d of order %s: %v", v.Worker, v.Task, v.Order, err)
			return nil
		}
		if v.Order != task.order || v.Task != task.task {
			task = vote{order: v.Order, task: v.Task}
			clear(seen)
		}
		who := v.Net.String()
		if c.oneNetwork {
			who = v.Worker.String()
		}
		o := v.Outcome()
		if c.refuted[transcript{v.Order, v.Task, v.Transcript}] {
			return nil // it counts for nothing
		}
		if key := fmt.Sprint(who, o); !seen[key] {
			seen[key] = true
			c.support[vote{v.Order, v.Task, o}]++
		}
		return nil
	})
}

func (c *checker) checkVote(v store.Vote) error {
	if err := wire.VerifyVote(&v.Vote, v.Worker, v.Seal); err != nil {
		return err
	}
	o := c.orders[v.Order]
	if o == nil {
		return fmt.Errorf("there is no such order")
	}
	if v.Task >= o.Tasks() {
		return fmt.Errorf("there are %d tasks", o.Tasks())
	}
	if r := c.releases[o.ReleaseSHA256]; r != nil && r.ModuleSHA256 != v.Module {
		return fmt.Errorf("it is on another module")
	}
	return nil
}

func (c *checker) verdicts() error {
	err := c.store.Verdicts(func(v store.Verdict) error {
		c.report.Verdicts++
		o := c.orders[v.Order]
		switch n := c.support[vote{v.Order, v.Task, v.Outcome}]; {
		case o == nil:
			c.problem("verdict on task %d of order %s: there is no such order", v.Task, v.Order)
		case v.Stopped:
			c.report.Stopped++
		case v.Undecided:
			c.report.Undecided++
		case v.Evidence != nil && v.Evidence.Audit != nil:
			c.audit(v)
		case c.pruned[v.Order]: // its votes were removed; its output is looked at below
		case n < needed(o):
			c.problem("verdict on task %d of order %s: %d votes back it, %d are needed", v.Task, v.Order, n, needed(o))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.outputs()
}

// audit checks what an auditor signed.
func (c *checker) audit(v store.Verdict) {
	c.report.Audits++
	a, err := wire.ParseAudit(v.Evidence.Audit.Statement)
	if err == nil {
		err = wire.VerifyAudit(a, v.Evidence.Audit.Auditor, v.Evidence.Audit.Signature)
	}
	if err != nil || a.Order != v.Order || a.Task != v.Task || a.Outcome() != v.Outcome {
		c.problem("audit of task %d of order %s: it is of something else (%v)", v.Task, v.Order, err)
	}
}

// needed is how many votes must back a verdict.
func needed(o *release.Order) int {
	agree, _ := o.Redundancy.Voices()
	return agree
}

// outputs reads every accepted output, which checks its digest.
func (c *checker) outputs() error {
	for d := range c.orders {
		for from := uint64(0); ; {
			page, err := c.store.Results(d, from, pageResults, pageBytes)
			if err != nil {
				c.problem("results of order %s from task %d: %v", d, from, err)
				break
			}
			if len(page) == 0 {
				break
			}
			from = page[len(page)-1].Task + 1
		}
	}
	return nil
}
