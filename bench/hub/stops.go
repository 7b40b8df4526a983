package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// ways are the ways to end work, from the narrowest.
var ways = []struct {
	name string
	stop func(*stage, context.Context) error
}{
	{"a task, by the operator (two hold it)", func(s *stage, ctx context.Context) error {
		return s.kill(ctx, wire.KillTask, wire.TaskTarget(s.order, s.task))
	}},
	{"a task, by its researcher's statement", func(s *stage, ctx context.Context) error {
		return s.stop(ctx, release.NewTaskStop(s.order, s.task, "bench", time.Now()))
	}},
	{"an order, by the operator", func(s *stage, ctx context.Context) error { return s.kill(ctx, wire.KillOrder, s.order.String()) }},
	{"an order, by its researcher's statement", func(s *stage, ctx context.Context) error {
		return s.stop(ctx, release.NewStop("order", s.order, "bench", time.Now()))
	}},
	{"a release, by the operator", func(s *stage, ctx context.Context) error { return s.kill(ctx, wire.KillRelease, s.release.String()) }},
	{"a release, revoked by the index", func(s *stage, ctx context.Context) error { return s.index(ctx, 2, s.release) }},
	{"a researcher's key, revoked by a policy", (*stage).revoke},
	{"everything, by the operator", func(s *stage, ctx context.Context) error { return s.kill(ctx, wire.KillAll, "") }},
}

// stop signs a stop and pushes it.
func (s *stage) stop(ctx context.Context, stop *release.Stop) error {
	st, sig, err := stop.Sign(s.researcher)
	if err != nil {
		return err
	}
	return s.client.Post(ctx, "/v1/stops", new(wire.StopAdmitted), client.Bytes("statement", st), client.Bytes("signature", sig))
}

// kill asks for it over HTTP, with an operator's token.
func (s *stage) kill(ctx context.Context, scope wire.Scope, target string) error {
	token, err := exec.CommandContext(ctx, s.process.Path, "token", "mint", "--data", filepath.Join(s.dir, "data"), "--subject", "bench").Output()
	if err != nil {
		return err
	}
	operator, err := client.New("http://"+s.address, strings.TrimSpace(string(token)))
	if err != nil {
		return err
	}
	return operator.PostJSON(ctx, "/v1/kill", wire.KillRequest{Scope: scope, Target: target, Reason: "bench"}, nil)
}

// revoke replaces the policy by one that revokes the researcher's key.
func (s *stage) revoke(ctx context.Context) error {
	p := *s.policy
	p.Version = 2
	p.RevokedKeys = append(p.RevokedKeys, s.researcher.Public())
	p.Researchers = []policy.Researcher{p.Researchers[0]}
	p.Researchers[0].Key = s.another.Public()
	signed, err := p.Sign(s.root)
	if err != nil {
		return err
	}
	return s.client.Post(ctx, "/v1/policy", new(wire.PolicyAdmitted), client.Bytes("statement", signed.Statement), client.Bytes("signature", signed.Signatures))
}

// stops prints how long it takes until a stop is durable and answered, and
// until the last of many workers has been told and has said that it ended. A
// task's end is told to all, too; only the two who hold it have something to end.
func stops(ctx context.Context, opt *options, out io.Writer) error {
	fmt.Fprintf(out, "\n%d workers, each with a lease: from the command, milliseconds\n%-42s %10s %10s\n", opt.stopped, "what is stopped", "durable", "last silent")
	for _, way := range ways {
		s, err := newStage(ctx, opt.hub)
		if err != nil {
			return err
		}
		durable, told, err := s.halt(ctx, opt.stopped, way.stop)
		s.close()
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		fmt.Fprintf(out, "%-42s %10.1f %10.1f\n", way.name, millis(durable), millis(told))
	}
	return nil
}

func millis(d time.Duration) float64 { return d.Seconds() * 1000 }

// halt lends a lease to each of n workers, and stops them.
func (s *stage) halt(ctx context.Context, n int, stop func(*stage, context.Context) error) (durable, told time.Duration, err error) {
	c, err := s.crew(ctx, n)
	if err != nil {
		return 0, 0, err
	}
	defer c.leave()
	var lent, silent sync.WaitGroup
	ends := make([]time.Time, n)
	failures := make([]error, n)
	for i, w := range c.workers {
		lent.Add(1)
		silent.Go(func() { ends[i], failures[i] = w.hold(c.ctx, lent.Done) })
	}
	lent.Wait()
	s.task = c.workers[0].held.Load()
	begin := time.Now()
	if err := stop(s, ctx); err != nil {
		return 0, 0, err
	}
	durable = time.Since(begin)
	silent.Wait()
	for i, at := range ends {
		if failures[i] != nil {
			return 0, 0, failures[i]
		}
		told = max(told, at.Sub(begin))
	}
	return durable, told, nil
}

// hold takes a lease and holds it until the hub ends it, and says so.
func (w *worker) hold(ctx context.Context, lent func()) (ended time.Time, err error) {
	lent = sync.OnceFunc(lent)
	defer lent()
	if err := w.send(ctx, &wire.Want{Leases: 1}); err != nil {
		return ended, err
	}
	var lease *wire.Lease
	for {
		all, err := w.receive(ctx)
		if err != nil {
			return ended, err
		}
		for _, m := range all {
			switch m := m.(type) {
			case *wire.Lease:
				lease = m
				w.held.Store(m.Task)
				lent()
			case *wire.Kill:
				ended = time.Now()
				switch {
				case lease == nil:
				case m.Scope == wire.KillTask && m.Target != wire.TaskTarget(lease.Order, lease.Task):
					return ended, nil // of somebody else's
				case covers(m, lease):
					return ended, w.send(ctx, &wire.Return{ID: lease.ID, Reason: wire.ReturnKilled})
				}
			case *wire.Error:
				return ended, fmt.Errorf("the hub closes: %s", m.Message)
			}
		}
	}
}

func covers(k *wire.Kill, l *wire.Lease) bool {
	var of fmt.Stringer = l.ID
	switch k.Scope {
	case wire.KillAll:
		return true
	case wire.KillTask:
		return k.Target == wire.TaskTarget(l.Order, l.Task)
	case wire.KillOrder:
		of = l.Order
	case wire.KillRelease:
		of = l.Release
	}
	return k.Target == of.String()
}
