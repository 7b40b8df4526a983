package volunteer

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
)

// errWhole means that only a run of the whole task settles it.
var errWhole = errors.New("the whole task is to be run")

// settle settles a dispute by the first segment in which transcripts differ, as
// often as they do: that segment is run, from the state before it, and the
// transcripts that have it otherwise are refuted.
func (a *auditor) settle(ctx context.Context, task uint64) error {
	votes := a.votes[task]
	for {
		rest := unrefuted(votes)
		at, differ := firstDifference(rest)
		if !differ && outcomesDiffer(votes) {
			return errWhole // of one transcript they say different things
		}
		if !differ {
			return nil
		}
		if at < 0 {
			return errWhole
		}
		d := dispute{task: task, at: at, agreed: rest[0].Links[:at*wire.LinkSize], limited: limited(rest, at)}
		if err := a.rerunSegment(ctx, &d); err != nil {
			return err
		}
		if l := a.accepted[task]; l != (canon.Digest{}) && !holdsLink(rest, l, &d) {
			return errWhole // what was accepted is wrong
		}
		for _, l := range rest {
			if err := a.refute(ctx, &d, l); err != nil {
				return err
			}
		}
	}
}

// dispute is a segment in which transcripts differ.
type dispute struct {
	task   uint64
	at     int    // the segment's number
	agreed []byte // the links before it
	right  canon.Digest
	ran    int
	// limited: a vote says that a limit of the whole task ended the segment. What
	// was used before, only a run from the start shows.
	limited bool
}

// unrefuted are the votes of a task that still count, the first of each
// transcript.
func unrefuted(votes []*wire.VoteLine) (rest []*wire.VoteLine) {
	seen := map[canon.Digest]bool{}
	for _, l := range votes {
		if !l.Refuted && !seen[l.Vote.Transcript] {
			seen[l.Vote.Transcript] = true
			rest = append(rest, l)
		}
	}
	return rest
}

// outcomesDiffer reports whether the votes that count differ, whatever in.
func outcomesDiffer(votes []*wire.VoteLine) bool {
	var first *wire.VoteLine
	for _, l := range votes {
		if !l.Refuted && first == nil {
			first = l
		}
		if !l.Refuted && l.Vote.Outcome() != first.Vote.Outcome() {
			return true
		}
	}
	return false
}

// firstDifference finds the first segment that transcripts do not share; -1:
// links do not tell.
func firstDifference(votes []*wire.VoteLine) (at int, differ bool) {
	if len(votes) < 2 {
		return 0, false
	}
	shortest := votes[0].Links
	for _, l := range votes {
		if !wire.ChainEnds(l.Links, l.Vote.Segments, l.Vote.Transcript) {
			return -1, true
		}
		if len(l.Links) < len(shortest) {
			shortest = l.Links
		}
	}
	for at := range len(shortest) / wire.LinkSize {
		link := shortest[at*wire.LinkSize : (at+1)*wire.LinkSize]
		for _, l := range votes {
			if !bytes.Equal(l.Links[at*wire.LinkSize:(at+1)*wire.LinkSize], link) {
				return at, true
			}
		}
	}
	return -1, true
}

func limited(votes []*wire.VoteLine, at int) bool {
	for _, l := range votes {
		if (l.Vote.End == wire.EndFuel || l.Vote.End == wire.EndOutput) && int(l.Vote.Segments) == at+1 {
			return true
		}
	}
	return false
}

func (d *dispute) linkOf(l *wire.VoteLine) canon.Digest {
	return canon.Digest(l.Links[d.at*wire.LinkSize:])
}

// holdsLink reports whether an accepted transcript has the right link.
func holdsLink(votes []*wire.VoteLine, accepted canon.Digest, d *dispute) bool {
	for _, l := range votes {
		if l.Vote.Transcript == accepted {
			return d.linkOf(l) == d.right
		}
	}
	return false
}

// rerunSegment runs a disputed segment, from the furthest checkpoint that can be
// proved. A link has a state in it, but also what the segment used and wrote,
// which the checkpoint does not tell; so the segment before is run as well: if it
// comes to the link that all agree on, the state behind it is theirs. How much
// fuel and output there had been that does not prove, so where a limit of the
// task ends the segment, it is run from the start.
func (a *auditor) rerunSegment(ctx context.Context, d *dispute) error {
	if from := a.stateBefore(ctx, d); from != nil && !d.limited {
		links, end, err := a.runUntil(ctx, d, from)
		if err != nil {
			return err
		}
		if d.follows(links) && end != sandbox.Fuel && end != sandbox.Output {
			d.right = links[d.at]
			return nil
		}
	}
	links, _, err := a.runUntil(ctx, d, nil)
	if err != nil {
		return err
	}
	if !d.follows(links) {
		return errWhole // what all agree on is wrong, too
	}
	d.right = links[d.at]
	return nil
}

// follows reports whether links go through the disputed segment behind those
// that all agree on.
func (d *dispute) follows(links []canon.Digest) bool {
	return len(links) > d.at && bytes.Equal(bytesOf(links[:d.at]), d.agreed)
}

// stateBefore fetches the furthest checkpoint that a run can prove; nil: there
// is none, and the run begins at the start.
func (a *auditor) stateBefore(ctx context.Context, d *dispute) *sandbox.Checkpoint {
	var list wire.CheckpointList
	if err := a.hub.GetJSON(ctx, fmt.Sprintf("/v1/orders/%s/tasks/%d/checkpoints", a.opt.Order, d.task), &list); err != nil {
		return nil
	}
	for i := len(list.Checkpoints) - 1; i >= 0; i-- {
		c := list.Checkpoints[i]
		if int(c.Segments) >= d.at {
			continue
		}
		f, err := a.source.checkpoint(ctx, c.SHA256)
		if err != nil || f.Reached.Order != a.opt.Order || f.Reached.Task != d.task || len(f.Links) >= len(d.agreed) || !bytes.HasPrefix(d.agreed, f.Links) || f.Reached.Fuel > a.rel.Limits.TaskFuel {
			continue
		}
		return standing(f)
	}
	return nil
}

// runUntil runs a task until the disputed segment is done, and returns all links.
func (a *auditor) runUntil(ctx context.Context, d *dispute, from *sandbox.Checkpoint) (links []canon.Digest, end sandbox.End, err error) {
	input, err := a.inputs.of(d.task)
	if err != nil {
		return nil, "", err
	}
	t := a.task(d.task, input)
	t.From = from
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t.Checkpoint = func(c *sandbox.Checkpoint) {
		if links = c.Links; len(links) > d.at {
			stop(errWhole) // enough is known: the next segment ends at once
		}
	}
	o, err := a.opt.Engine.Run(ctx, t)
	switch {
	case err != nil:
		return nil, "", err
	case o.End.Voted():
		links = o.Links
	case o.End != sandbox.Cancelled || len(links) <= d.at:
		return nil, "", fmt.Errorf("it could not be run here: %s (%s)", o.Detail, o.End)
	}
	begun := 0
	if from != nil {
		begun = len(from.Links)
	}
	d.ran += len(links) - begun
	a.report.Ran += uint64(len(links) - begun)
	return links, o.End, nil
}

// refute tells the hub that a transcript is wrong, if it is, and notes whose
// votes have it.
func (a *auditor) refute(ctx context.Context, d *dispute, l *wire.VoteLine) error {
	if d.linkOf(l) == d.right {
		return nil
	}
	r := wire.Refutation{Type: wire.RefutationType, Order: a.opt.Order, Task: d.task, Module: l.Vote.Module, Input: l.Vote.Input,
		Segment: uint32(d.at), Link: d.right, Transcript: l.Vote.Transcript}
	if d.at > 0 {
		r.Before = canon.Digest(d.agreed[len(d.agreed)-wire.LinkSize:])
	}
	signature, err := wire.SignRefutation(&r, a.opt.Key)
	if err != nil {
		return err
	}
	var answer wire.Refuted
	if err := a.hub.PostJSON(ctx, "/v1/refutations", wire.RefutationRequest{Auditor: a.report.Auditor, Refutation: r, Signature: signature}, &answer); err != nil {
		return err
	}
	a.report.Refuted++
	for _, v := range a.votes[d.task] {
		if v.Vote.Transcript == r.Transcript {
			v.Refuted = true
			who := "its own"
			if d.at < int(v.Vote.From) {
				who = "handed to it"
			}
			a.report.Liars = append(a.report.Liars, Liar{d.task, v.Worker, fmt.Sprintf("segment %d of %d, which was %s; re-ran %d of %d segments", d.at+1, v.Vote.Segments, who, d.ran, a.longest(d.task))})
		}
	}
	return nil
}

// longest is how many segments a task has, as its votes have it.
func (a *auditor) longest(task uint64) (n uint32) {
	for _, l := range a.votes[task] {
		n = max(n, l.Vote.Segments)
	}
	return n
}
