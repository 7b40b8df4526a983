package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

// Honest company: so many workers, each in a network of its own, and each with
// so many votes a second.
const (
	honestWorkers = 50
	honestPace    = 100 * time.Millisecond
	settleIn      = 3 * time.Second
)

// hostile prints what honest workers get alone, and beside each kind of hostile
// client, which is a process of its own with one processor and a low priority.
func hostile(ctx context.Context, opt *options, out io.Writer) error {
	fmt.Fprintf(out, "\nhostile company: %d honest workers with %.0f votes a second together; %v alone, %v beside each kind\n%-12s %8s %8s %6s %8s %8s %11s  %s\n",
		honestWorkers, float64(honestWorkers)*float64(time.Second/honestPace), opt.seconds, 2*opt.seconds,
		"kind", "alone/s", "beside/s", "ratio", "p99 ms", "p99 ms", "hub RSS MB", "what the hub did")
	for _, v := range villains {
		if opt.villains != "all" && !slices.Contains(strings.Split(opt.villains, ","), v.name) {
			continue
		}
		if err := beside(ctx, opt, v, out); err != nil {
			return fmt.Errorf("beside %s: %w", v.name, err)
		}
	}
	return nil
}

func beside(ctx context.Context, opt *options, v villain, out io.Writer) error {
	s, err := newStage(ctx, opt.hub, "--trusted-proxy", "127.0.0.0/8", "--max-per-network", "200")
	if err != nil {
		return err
	}
	defer s.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := &honest{}
	for i := range honestWorkers {
		w, err := s.join(ctx, uint64(i), fmt.Sprintf("10.0.%d.1", i))
		if err != nil {
			return err
		}
		defer w.conn.CloseNow()
		go all.work(ctx, w)
	}
	time.Sleep(settleIn)
	rss, err := s.rss()
	if err != nil {
		return err
	}
	alone := all.measure(opt.seconds)
	before, err := s.refusals(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	attack := exec.CommandContext(ctx, "nice", "-n", "10", self, "-villain", v.name, "-address", s.address, "-for", (settleIn + 2*opt.seconds).String())
	attack.Env = append(os.Environ(), "GOMAXPROCS=1")
	var did bytes.Buffer
	attack.Stdout, attack.Stderr = &did, &did
	if err := attack.Start(); err != nil {
		return err
	}
	time.Sleep(settleIn)
	beside := all.measure(2 * opt.seconds)
	grown, err := s.rss()
	if err != nil {
		return err
	}
	if err := attack.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, did.Bytes())
	}
	after, err := s.refusals(ctx)
	if err != nil {
		return err
	}
	if failure := all.failure.Load(); failure != nil {
		return *failure
	}
	fmt.Fprintf(out, "%-12s %8.0f %8.0f %6.2f %8.1f %8.1f %5.0f %5.0f  %s; they did %s\n", v.name, alone.perSecond, beside.perSecond, beside.perSecond/alone.perSecond,
		alone.p99, beside.p99, float64(rss)/1e6, float64(grown)/1e6, difference(before, after), strings.TrimSpace(did.String()))
	return nil
}

// honest is what honest workers have had acknowledged in a while.
type honest struct {
	counting atomic.Bool
	failure  atomic.Pointer[error]
	mu       sync.Mutex
	waits    []time.Duration
}

func (a *honest) measure(d time.Duration) row {
	a.counting.Store(true)
	begin := time.Now()
	time.Sleep(d)
	a.counting.Store(false)
	took := time.Since(begin)
	a.mu.Lock()
	waits := a.waits
	a.waits = nil
	a.mu.Unlock()
	if len(waits) == 0 {
		return row{}
	}
	slices.Sort(waits)
	return row{perSecond: float64(len(waits)) / took.Seconds(), p99: waits[len(waits)*99/100].Seconds() * 1000}
}

// work votes at a steady pace on the leases that it holds.
func (a *honest) work(ctx context.Context, w *worker) {
	leases, sent := make(chan *wire.Lease, wire.MaxWant), sync.Map{}
	err := w.send(ctx, &wire.Want{Leases: 8})
	go func() {
		for tick := time.NewTicker(honestPace); ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-tick.C:
				l := <-leases
				if r, err := w.signed(l); err == nil {
					sent.Store(l.ID, time.Now())
					_ = w.send(ctx, r) // the reader sees that the connection ended
				}
			}
		}
	}()
	for err == nil {
		var all []wire.FromHub
		if all, err = w.receive(ctx); err == nil {
			err = a.heard(all, leases, &sent)
		}
	}
	if ctx.Err() == nil {
		err = fmt.Errorf("an honest worker: %w", err)
		a.failure.Store(&err)
	}
}

func (a *honest) heard(all []wire.FromHub, leases chan<- *wire.Lease, sent *sync.Map) error {
	for _, m := range all {
		switch m := m.(type) {
		case *wire.Lease:
			leases <- m
		case *wire.Ack:
			at, _ := sent.LoadAndDelete(m.ID)
			if a.counting.Load() {
				a.mu.Lock()
				a.waits = append(a.waits, time.Since(at.(time.Time)))
				a.mu.Unlock()
			}
		case *wire.Refused:
			return errors.New("its vote is refused: " + m.Message)
		case *wire.Error:
			return errors.New("the hub closes: " + m.Message)
		}
	}
	return nil
}

// refusals are the hub's own counts of what it refused and closed, by code.
func (s *stage) refusals(ctx context.Context) (map[string]int, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^\S*(?:refusals|votes_refused|checkpoints)_total\{\w+="(\w+)"\} (\S+)$`).FindAllSubmatch(text, -1) {
		n, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return nil, err
		}
		counts[string(m[1])] += int(n)
	}
	return counts, nil
}

func difference(before, after map[string]int) string {
	var all []string
	for code, n := range after {
		if n > before[code] {
			all = append(all, fmt.Sprintf("%d %s", n-before[code], code))
		}
	}
	if len(all) == 0 {
		return "let them wait"
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
