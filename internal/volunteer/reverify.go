package volunteer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// ReverifyOptions of Reverify. Hub, Trust, Engine and Order are needed.
type ReverifyOptions struct {
	Hub    string
	Token  string // an auditor's, for hubs whose results are private; or ""
	Trust  Trust
	Engine *sandbox.Engine
	Order  canon.Digest

	// Input is the input file of an order by lines or chunks; nil: the hub's copy. Either
	// is checked against the order.
	Input *os.File
	// Sample is how many percent of the tasks to run, chosen at random; 0: all.
	Sample int
	// Expired takes statements that have expired since.
	Expired bool

	Parallel int              // runs at the same time; 0: one for each processor
	Now      func() time.Time // nil: time.Now
	Progress func(done, results uint64)
}

// Reverification is what running tasks again has shown.
type Reverification struct {
	Order     canon.Digest `json:"order"`
	Title     string       `json:"title"`
	Release   string       `json:"release"`
	First     bool         `json:"first"`     // the first outcome of each task counted: others need not be equal
	Tasks     uint64       `json:"tasks"`     // of the order
	Results   uint64       `json:"results"`   // accepted by the hub
	Undecided uint64       `json:"undecided"` // tasks on which votes disagreed
	Stopped   uint64       `json:"stopped"`   // tasks that somebody stopped
	Rerun     uint64       `json:"rerun"`
	Equal     uint64       `json:"equal"`
	Different []Difference `json:"different"` // by task
	Ends      []Difference `json:"ends"`      // how tasks ended here that did not exit with code 0
}

// Difference is a result that is not what the task comes to here, or not good.
type Difference struct {
	Task uint64 `json:"task"`
	What string `json:"what"`
}

// True reports whether there was something to run, and all of it was equal. Of
// an order whose first outcomes count, nothing is expected to be.
func (r *Reverification) True() bool { return r.Rerun > 0 && r.Equal == r.Rerun && !r.First }

// Reverify fetches an order, its module and its accepted results from a hub,
// verifies what is signed, and runs the tasks again.
func Reverify(ctx context.Context, opt ReverifyOptions) (*Reverification, error) {
	if opt.Sample < 0 || opt.Sample > 100 {
		return nil, fmt.Errorf("a sample of %d percent: 1 to 100 are possible, 0 is all", opt.Sample)
	}
	v, err := openVerifier(ctx, &opt)
	if err != nil {
		return nil, err
	}
	defer v.inputs.close()
	if err := v.rerun(ctx); err != nil {
		return nil, err
	}
	for _, list := range [][]Difference{v.report.Different, v.report.Ends} {
		slices.SortFunc(list, func(a, b Difference) int { return cmp.Compare(a.Task, b.Task) })
	}
	return &v.report, nil
}

// openVerifier fetches and verifies all that is needed to run an order's tasks.
// The caller closes its inputs.
func openVerifier(ctx context.Context, opt *ReverifyOptions) (*verifier, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Parallel < 1 {
		opt.Parallel = runtime.GOMAXPROCS(0)
	}
	hub, err := client.New(opt.Hub, opt.Token)
	if err != nil {
		return nil, err
	}
	v := &verifier{opt: opt, hub: hub}
	src := newSource(hub, pinned{&opt.Trust})
	if opt.Trust.Root != nil {
		f, err := newFollower(&opt.Trust, hub, opt.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		if _, err := f.look(ctx); err != nil {
			return nil, err
		}
		src.trust = f
	}
	v.source = src
	return v, v.fetch(ctx, src)
}

type verifier struct {
	opt    *ReverifyOptions
	hub    *client.Client
	source *source
	order  *release.Order
	rel    *release.Release
	module []byte
	inputs *inputs

	mu     sync.Mutex
	report Reverification
}

// fetch gets and verifies all but the results.
func (v *verifier) fetch(ctx context.Context, src *source) (err error) {
	at := v.opt.Now()
	if v.opt.Expired {
		if at, err = src.lastMoment(ctx, v.opt.Order); err != nil {
			return err
		}
	}
	o, err := src.order(ctx, v.opt.Order, at)
	if err != nil {
		return err
	}
	v.order, v.rel = o.order, o.release
	if v.module, err = src.module(ctx, v.rel); err != nil {
		return err
	}
	v.report = Reverification{Order: v.opt.Order, Title: v.order.Title, Release: v.rel.Name, First: v.order.Redundancy.First != nil, Tasks: v.order.Tasks(), Different: []Difference{}, Ends: []Difference{}}
	v.inputs, err = openInputs(ctx, v.hub, v.opt.Order, v.order, v.opt.Input)
	return err
}

// lastMoment is the last at which an order and its release held, by what they
// say themselves. Their signatures are for others to verify, at that time.
func (s *source) lastMoment(ctx context.Context, digest canon.Digest) (time.Time, error) {
	st, err := s.statement(ctx, digest)
	if err != nil {
		return time.Time{}, fmt.Errorf("order %s: %w", digest.Short(), err)
	}
	o, err := release.ParseOrder(st.statement)
	if err != nil {
		return time.Time{}, fmt.Errorf("order %s: %w", digest.Short(), err)
	}
	if st, err = s.statement(ctx, o.ReleaseSHA256); err != nil {
		return time.Time{}, fmt.Errorf("release %s: %w", o.ReleaseSHA256.Short(), err)
	}
	r, err := release.Parse(st.statement)
	if err != nil {
		return time.Time{}, fmt.Errorf("release %s: %w", o.ReleaseSHA256.Short(), err)
	}
	end := o.Expires.Time()
	if r.Expires.Time().Before(end) {
		end = r.Expires.Time()
	}
	return end.Add(-time.Second), nil
}

// rerun runs the results' tasks while they come in.
func (v *verifier) rerun(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	lines := make(chan wire.ResultLine)
	var running sync.WaitGroup
	for range v.opt.Parallel {
		running.Go(func() {
			for line := range lines {
				if err := v.again(ctx, line); err != nil {
					fail(err)
				}
			}
		})
	}
	err := v.results(ctx, lines)
	close(lines)
	running.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// results reads what the hub accepted, and passes on what is to be run: of a
// sample at least one, drawn from all.
func (v *verifier) results(ctx context.Context, lines chan<- wire.ResultLine) error {
	next, seen, passed := uint64(0), uint64(0), false
	var spare wire.ResultLine
	pass := func(line wire.ResultLine) error {
		passed = true
		select {
		case lines <- line:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := v.hub.Results(ctx, v.opt.Order, 0, func(line wire.ResultLine) error {
		if line.Task < next || line.Task >= v.report.Tasks {
			return fmt.Errorf("results of order %s: task %d comes out of order, or is none of its %d tasks", v.opt.Order.Short(), line.Task, v.report.Tasks)
		}
		next = line.Task + 1
		switch line.End {
		case wire.Undecided:
			v.count(func(r *Reverification) { r.Undecided++ })
			return nil
		case wire.Stopped:
			v.count(func(r *Reverification) { r.Stopped++ })
			return nil
		}
		v.count(func(r *Reverification) { r.Results++ })
		seen++
		if v.opt.Sample == 0 || rand.IntN(100) < v.opt.Sample {
			return pass(line)
		}
		if rand.Uint64N(seen) == 0 {
			spare = line
		}
		return nil
	})
	if err == nil && !passed && seen > 0 {
		err = pass(spare)
	}
	return err
}

func (v *verifier) count(change func(*Reverification)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.report)
	if v.opt.Progress != nil {
		v.opt.Progress(v.report.Rerun, v.report.Results)
	}
}

// again runs a task and compares.
func (v *verifier) again(ctx context.Context, line wire.ResultLine) error {
	input, err := v.inputs.of(line.Task)
	if err != nil {
		return err
	}
	o, err := v.run(ctx, line.Task, input)
	if err != nil {
		return fmt.Errorf("task %d: %w", line.Task, err)
	}
	what := differ(line, o)
	v.count(func(r *Reverification) {
		r.Rerun++
		if what == "" {
			r.Equal++
			if how := badEnd(o); how != "" && len(r.Ends) < maxEnds {
				r.Ends = append(r.Ends, Difference{line.Task, how})
			}
		} else {
			r.Different = append(r.Different, Difference{line.Task, what})
		}
	})
	return nil
}

// maxEnds is how many bad ends are listed.
const maxEnds = 1000

// badEnd says how a task ended, in the words of the engine here, or "".
func badEnd(o sandbox.Outcome) string {
	switch {
	case o.End == sandbox.Exit && o.Code == 0:
		return ""
	case o.End == sandbox.Exit:
		return fmt.Sprintf("exit with code %d", o.Code)
	case o.Detail != "":
		return fmt.Sprintf("%s: %s", o.End, o.Detail)
	}
	return string(o.End)
}

func (v *verifier) run(ctx context.Context, task uint64, input []byte) (sandbox.Outcome, error) {
	o, err := v.opt.Engine.Run(ctx, v.task(task, input))
	if err == nil && o.End == sandbox.Cancelled {
		err = context.Cause(ctx)
	}
	return o, err
}

func (v *verifier) task(number uint64, input []byte) sandbox.Task {
	return sandbox.Task{SHA256: v.rel.ModuleSHA256, Module: v.module, Input: input, Args: v.order.Parameters,
		Seed: sandbox.Seed(v.opt.Order, number), Limits: limitsOf(v.rel)}
}

// differ says how an accepted result is not what the task came to, or "".
func differ(line wire.ResultLine, o sandbox.Outcome) string {
	switch {
	case !o.End.Voted():
		return fmt.Sprintf("it could not be run here: %s (%s)", o.Detail, o.End)
	case string(line.End) != string(o.End) || line.Code != o.Code:
		return fmt.Sprintf("accepted: %s with code %d; here: %s with code %d", line.End, line.Code, o.End, o.Code)
	case !bytes.Equal(line.Output, o.Output):
		return fmt.Sprintf("accepted: output of %d bytes, sha256 %s; here: %d bytes, %s", len(line.Output), canon.Sum(line.Output).Short(), len(o.Output), canon.Sum(o.Output).Short())
	case line.Fuel != o.Fuel:
		return fmt.Sprintf("accepted: %d fuel; here: %d", line.Fuel, o.Fuel)
	case line.Segments != uint32(len(o.Links)) || line.Transcript != o.Transcript():
		return fmt.Sprintf("accepted: transcript %s of %d segments; here: %s of %d", line.Transcript.Short(), line.Segments, o.Transcript().Short(), len(o.Links))
	}
	return ""
}

// inputs gives the input of each task by the order's rule.
type inputs struct {
	rule  *release.Input
	spans []release.Span // of tasks in file; none if the order states its inputs
	file  *os.File
	ours  bool // file is a copy that was made here
}

func openInputs(ctx context.Context, hub *client.Client, digest canon.Digest, o *release.Order, given *os.File) (in *inputs, err error) {
	in = &inputs{rule: &o.Input, file: given}
	if o.Input.IsStated() {
		if given != nil {
			return nil, fmt.Errorf("order %s states its inputs itself and takes none from a file", digest.Short())
		}
		return in, nil
	}
	if o.Input.Outputs != nil {
		return gatherAgain(ctx, hub, digest, o, given)
	}
	if given == nil {
		if in.file, err = download(ctx, hub, digest, o.Input.FileLength()); err != nil {
			return nil, err
		}
		in.ours = true
	}
	if in.spans, err = o.CheckInput(in.file); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// download copies an order's input file from the hub.
func download(ctx context.Context, hub *client.Client, order canon.Digest, length int64) (*os.File, error) {
	body, err := hub.Open(ctx, "/v1/orders/"+order.String()+"/input")
	if err != nil {
		return nil, fmt.Errorf("fetching the order's input: %w", err)
	}
	defer body.Close()
	f, err := os.CreateTemp("", "countersign-input-*")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(f.Name()); err == nil { // it lives as long as it is open
		_, err = io.Copy(f, io.LimitReader(body, length+1))
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fetching the order's input: %w", err), f.Close())
	}
	return f, nil
}

func (in *inputs) of(task uint64) ([]byte, error) {
	if input, is := in.rule.Stated(task); is {
		return input, nil
	}
	at := in.spans[task]
	input := make([]byte, at.Length)
	if _, err := in.file.ReadAt(input, at.Offset); err != nil {
		return nil, fmt.Errorf("reading the input of task %d: %w", task, err)
	}
	return input, nil
}

func (in *inputs) close() {
	if in.ours {
		in.file.Close() // a copy that nobody needs any more
	}
}
