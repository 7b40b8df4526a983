package volunteer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
)

// AuditOptions of Audit.
type AuditOptions struct {
	ReverifyOptions                    // Sample is not used
	Key             ed25519.PrivateKey // signs the audits
	SamplePermille  int                // of accepted results, drawn at random; -1: the order's share
	Limit           int                // tasks to run at most; 0: all
}

// AuditReport is what an auditor found.
type AuditReport struct {
	Order     canon.Digest   `json:"order"`
	Auditor   wire.Key       `json:"auditor"`
	Escalated uint64         `json:"escalated"` // tasks that votes could not decide
	Disputed  uint64         `json:"disputed"`  // tasks on which votes differ
	Sampled   uint64         `json:"sampled"`
	Verdicts  map[string]int `json:"verdicts"` // decided, confirmed or overturned
	Refuted   uint64         `json:"refuted"`  // transcripts, by one segment of theirs
	Ran       uint64         `json:"segments_run"`
	Segments  uint64         `json:"segments"` // of the tasks that were looked at
	Liars     []Liar         `json:"liars"`    // by task
}

// Liar is a vote that is not what the task comes to.
type Liar struct {
	Task   uint64   `json:"task"`
	Worker wire.Key `json:"worker"`
	What   string   `json:"what"`
}

// Audit runs tasks of an order again that need it: those that votes could not
// decide, those on which votes differ, and a sample that nobody can foresee. It
// signs what they come to, and gives that to the hub, for which it is the
// verdict. Workers do not take part, so they cannot tell that they are audited.
func Audit(ctx context.Context, opt AuditOptions) (*AuditReport, error) {
	v, err := openVerifier(ctx, &opt.ReverifyOptions)
	if err != nil {
		return nil, err
	}
	defer v.inputs.close()
	if v.order.Redundancy.First != nil {
		return nil, fmt.Errorf("the first outcome of each task counts in order %s: another run proves nothing", opt.Order.Short())
	}
	a := &auditor{verifier: v, opt: &opt, votes: map[uint64][]*wire.VoteLine{}, decided: map[uint64]bool{}, disputes: map[uint64]bool{}, accepted: map[uint64]canon.Digest{}}
	a.report = AuditReport{Order: opt.Order, Auditor: wire.KeyOf(opt.Key.Public().(ed25519.PublicKey)), Verdicts: map[string]int{}, Liars: []Liar{}}
	if opt.SamplePermille < 0 {
		opt.SamplePermille = v.order.AuditPermille
	}
	tasks, err := a.choose(ctx)
	if err != nil {
		return nil, err
	}
	for i, task := range tasks {
		if err := a.look(ctx, task); err != nil {
			return nil, fmt.Errorf("auditing task %d: %w", task, err)
		}
		if opt.Progress != nil {
			opt.Progress(uint64(i+1), uint64(len(tasks)))
		}
	}
	return &a.report, nil
}

type auditor struct {
	*verifier
	opt      *AuditOptions
	votes    map[uint64][]*wire.VoteLine // of tasks with votes that differ, or without a verdict
	decided  map[uint64]bool             // by an auditor already
	disputes map[uint64]bool             // tasks on which votes differ, and nothing else is asked
	accepted map[uint64]canon.Digest     // transcripts
	report   AuditReport
}

// look settles a dispute by the segment that it is about, and runs the whole
// task where that is not enough.
func (a *auditor) look(ctx context.Context, task uint64) error {
	if a.disputes[task] {
		err := a.settle(ctx, task)
		if err == nil {
			a.report.Segments += uint64(a.longest(task))
		}
		if !errors.Is(err, errWhole) {
			return err
		}
	}
	return a.audit(ctx, task)
}

// choose lists the tasks to run, the ones that wait for it first.
func (a *auditor) choose(ctx context.Context) ([]uint64, error) {
	var escalated, sampled []uint64
	err := a.hub.Results(ctx, a.opt.Order, 0, func(line wire.ResultLine) error {
		a.accepted[line.Task] = line.Transcript
		switch {
		case line.Task >= a.order.Tasks():
			return fmt.Errorf("the hub has a result of task %d, there are %d", line.Task, a.order.Tasks())
		case line.Audited:
			a.decided[line.Task] = true
		case line.End == wire.Stopped: // nobody wants it
			a.decided[line.Task] = true
		case line.End == wire.Undecided:
			escalated = append(escalated, line.Task)
		case rand.IntN(1000) < a.opt.SamplePermille:
			sampled = append(sampled, line.Task)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	disputed, err := a.disputed(ctx, escalated, sampled)
	if err != nil {
		return nil, err
	}
	a.report.Escalated, a.report.Disputed, a.report.Sampled = uint64(len(escalated)), uint64(len(disputed)), uint64(len(sampled))
	all := slices.Concat(escalated, disputed, sampled)
	if a.opt.Limit > 0 {
		all = all[:min(len(all), a.opt.Limit)]
	}
	return all, nil
}

// disputed reads all votes, keeps those of the tasks that are chosen already,
// and lists further tasks on which votes differ.
func (a *auditor) disputed(ctx context.Context, chosen ...[]uint64) (disputed []uint64, err error) {
	wanted := map[uint64]bool{}
	for _, list := range chosen {
		for _, t := range list {
			wanted[t] = true
		}
	}
	var group []*wire.VoteLine
	settle := func() {
		if len(group) == 0 || a.decided[group[0].Vote.Task] {
			return
		}
		task := group[0].Vote.Task
		counted := slices.DeleteFunc(slices.Clone(group), func(l *wire.VoteLine) bool { return l.Refuted })
		differ := slices.ContainsFunc(counted, func(l *wire.VoteLine) bool { return l.Vote.Outcome() != counted[0].Vote.Outcome() })
		if differ && !wanted[task] {
			disputed = append(disputed, task)
			a.disputes[task] = true
		}
		if differ || wanted[task] {
			a.votes[task] = group
		}
	}
	err = a.eachVote(ctx, func(l wire.VoteLine) {
		if len(group) > 0 && group[0].Vote.Task != l.Vote.Task {
			settle()
			group = nil
		}
		group = append(group, &l)
	})
	settle()
	return disputed, err
}

// eachVote reads the order's votes, and checks that their workers signed them.
func (a *auditor) eachVote(ctx context.Context, each func(wire.VoteLine)) error {
	return a.hub.Votes(ctx, a.opt.Order, func(l wire.VoteLine) error {
		if err := wire.VerifyVote(&l.Vote, l.Worker, l.Seal()); err != nil {
			return err
		}
		if l.Vote.Order != a.opt.Order || l.Vote.Task >= a.order.Tasks() {
			return fmt.Errorf("the hub has a vote on something else: task %d of order %s", l.Vote.Task, l.Vote.Order.Short())
		}
		each(l)
		return nil
	})
}

// audit runs a task, signs what it comes to, and says whose votes differ.
func (a *auditor) audit(ctx context.Context, task uint64) error {
	input, err := a.inputs.of(task)
	if err != nil {
		return err
	}
	o, err := a.run(ctx, task, input)
	if err != nil {
		return err
	}
	if !o.End.Voted() {
		return fmt.Errorf("it could not be run here: %s (%s)", o.Detail, o.End)
	}
	a.report.Ran += uint64(len(o.Links))
	a.report.Segments += uint64(len(o.Links))
	found := wire.Audit{Type: wire.AuditType, Order: a.opt.Order, Task: task, Module: a.rel.ModuleSHA256, Input: canon.Sum(input), End: wire.End(o.End),
		Code: o.Code, Fuel: o.Fuel, Output: canon.Sum(o.Output), Segments: uint32(len(o.Links)), Transcript: o.Transcript()}
	if err := a.post(ctx, found, o.Output); err != nil {
		return err
	}
	for _, l := range a.votes[task] {
		if what := accuse(l, &found, o); what != "" {
			a.report.Liars = append(a.report.Liars, Liar{task, l.Worker, what})
		}
	}
	slices.SortStableFunc(a.report.Liars, func(x, y Liar) int { return cmp.Compare(x.Task, y.Task) })
	return nil
}

func (a *auditor) post(ctx context.Context, found wire.Audit, output []byte) error {
	signature, err := wire.SignAudit(&found, a.opt.Key)
	if err != nil {
		return err
	}
	if output == nil {
		output = []byte{}
	}
	var answer wire.Audited
	if err := a.hub.PostJSON(ctx, "/v1/audits", wire.AuditRequest{Auditor: a.report.Auditor, Audit: found, Signature: signature, Output: output}, &answer); err != nil {
		return err
	}
	switch answer.Verdict {
	case "decided", "confirmed", "overturned":
		a.report.Verdicts[answer.Verdict]++
		return nil
	}
	return fmt.Errorf("the hub answers %.20q", answer.Verdict)
}

// accuse says how a vote is not what the task comes to, or "".
func accuse(l *wire.VoteLine, found *wire.Audit, o sandbox.Outcome) string {
	switch v := &l.Vote; {
	case v.Outcome() == found.Outcome():
		return ""
	case v.Transcript == found.Transcript:
		return "the transcript is right, but not what the vote says of it"
	case len(l.Links) > 0 && wire.ChainEnds(l.Links, v.Segments, v.Transcript):
		return accuseSegment(l, o)
	case l.Vote.Segments != found.Segments:
		return fmt.Sprintf("%d segments, here %d", v.Segments, found.Segments)
	case v.Input != found.Input:
		return "it is on another input"
	}
	return fmt.Sprintf("transcript %s, here %s", l.Vote.Transcript.Short(), o.Transcript().Short())
}

// accuseSegment names the first segment that the transcripts do not share.
func accuseSegment(l *wire.VoteLine, o sandbox.Outcome) string {
	at := 0
	for at < len(o.Links) && at < int(l.Vote.Segments) && bytes.Equal(l.Links[32*at:32*at+32], o.Links[at][:]) {
		at++
	}
	at = min(at, int(l.Vote.Segments)-1)
	who := "its own"
	if at < int(l.Vote.From) {
		who = "handed to it"
	}
	return fmt.Sprintf("wrong from segment %d of %d on, which was %s; here there are %d", at+1, l.Vote.Segments, who, len(o.Links))
}
