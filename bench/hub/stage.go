package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// stage is a hub in a process of its own, with an order of many tasks.
type stage struct {
	dir     string
	process *exec.Cmd
	address string // host and port
	log     bytes.Buffer
	client  *client.Client

	root, clock, researcher, another keys.SecretKey
	policy                           *policy.Policy
	release, order                   canon.Digest
	task                             uint64 // that a worker holds
}

const tasks = 1 << 30

// newStage starts a hub that has more flags, or that takes all workers to be in
// networks of their own.
func newStage(ctx context.Context, hub string, flags ...string) (*stage, error) {
	dir, err := os.MkdirTemp("", "bench-hub-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir}
	if len(flags) == 0 {
		flags = []string{"--unsafe-one-network", "--max-per-network", "20000"}
	}
	if err := s.start(ctx, hub, flags); err != nil {
		s.close()
		return nil, fmt.Errorf("%w\n%s", err, s.log.Bytes())
	}
	return s, nil
}

func (s *stage) start(ctx context.Context, hub string, flags []string) error {
	for _, key := range []*keys.SecretKey{&s.root, &s.clock, &s.researcher, &s.another} {
		var err error
		if *key, err = keys.Generate(nil); err != nil {
			return err
		}
	}
	s.policy = policy.New(1, policy.Root{Keys: []keys.PublicKey{s.root.Public()}, Threshold: 1}, time.Now().Add(24*time.Hour),
		policy.Researcher{Name: "Bench", Key: s.researcher.Public(), Prefix: "bench/",
			Ceilings: policy.Ceilings{TaskFuel: 1 << 30, MemoryPages: payloads.Pages, Seconds: 60, Tasks: tasks}})
	s.policy.ClockKey = s.clock.Public().String()
	signed, err := s.policy.Sign(s.root)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "policy.json")
	if err := errors.Join(os.WriteFile(file, signed.Statement, 0o600), os.WriteFile(file+".minisig", signed.Signatures, 0o600)); err != nil {
		return err
	}
	s.process = exec.Command(hub, append([]string{"serve", "--data", filepath.Join(s.dir, "data"), "--listen", "127.0.0.1:0", "--policy", file,
		"--root", s.root.Public().String(), "--log-level", "warn"}, flags...)...)
	if err := s.listen(); err != nil {
		return err
	}
	if s.client, err = client.New("http://"+s.address, ""); err != nil {
		return err
	}
	if err := s.index(ctx, 1); err != nil {
		return err
	}
	return s.publish(ctx)
}

func in(d time.Duration) canon.Time { return canon.TimeOf(time.Now().Add(d)) }

// index pushes an index, as a clock does.
func (s *stage) index(ctx context.Context, sequence uint64, revoked ...canon.Digest) error {
	x := policy.Index{Type: policy.IndexType, Sequence: sequence, PolicyVersion: 1, Floors: []policy.Floor{}, Revoked: append([]canon.Digest{}, revoked...),
		Issued: in(0), Expires: in(6 * time.Hour)}
	st, sig, err := x.Sign(s.clock)
	if err != nil {
		return err
	}
	return s.client.Post(ctx, "/v1/index", new(wire.IndexAdmitted), client.Bytes("statement", st), client.Bytes("signature", sig))
}

// listen starts the process and reads where it listens.
func (s *stage) listen() error {
	s.process.Stderr = &s.log
	said, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.process.Start(); err != nil {
		return err
	}
	address := regexp.MustCompile(`http://(\S+)`)
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if m := address.FindStringSubmatch(lines.Text()); m != nil && strings.Contains(lines.Text(), "listening") {
			s.address = m[1]
			return nil
		}
	}
	return errors.New("the hub does not say where it listens")
}

func (s *stage) publish(ctx context.Context) error {
	rel := release.Release{Type: release.Type, Name: "bench/votes", Version: 1,
		ModuleSHA256: canon.Sum(payloads.FactorModule), ModuleLength: int64(len(payloads.FactorModule)), SourceSHA256: canon.Sum(payloads.FactorSource),
		ABI: release.ABI, CostTable: release.CostTable,
		Limits:  release.Limits{TaskFuel: 1 << 30, SegmentFuel: 1 << 30, MemoryPages: payloads.Pages, Seconds: 60, OutputBytes: 1 << 16},
		Purpose: "Votes that cost nothing to make.", Expires: in(12 * time.Hour)}
	st, sig, err := rel.Sign(s.researcher)
	if err != nil {
		return err
	}
	var released wire.ReleaseAdmitted
	if err := s.client.Post(ctx, "/v1/releases", &released, client.Bytes("statement", st), client.Bytes("signature", sig),
		client.Bytes("source", payloads.FactorSource), client.Bytes("module", payloads.FactorModule)); err != nil {
		return err
	}
	o := release.Order{Type: release.OrderType, Title: "Votes", ReleaseSHA256: released.Release, Input: release.Input{Range: &release.Range{From: 0, To: tasks, Step: 1}},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 2, Of: 3}}, CompletePermille: 1000, NotBefore: in(-time.Minute), Expires: in(6 * time.Hour)}
	if st, sig, err = o.Sign(s.researcher); err != nil {
		return err
	}
	s.release, s.order = released.Release, canon.Sum(st)
	return s.client.Post(ctx, "/v1/orders", new(wire.OrderAdmitted), client.Bytes("statement", st), client.Bytes("signature", sig))
}

// close ends the hub and removes what it wrote.
func (s *stage) close() {
	if s.process != nil && s.process.Process != nil {
		s.process.Process.Signal(syscall.SIGKILL)
		s.process.Wait()
	}
	os.RemoveAll(s.dir)
}

// rss is the hub's resident set, in bytes.
func (s *stage) rss() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		return 0, errors.New("no VmRSS in its status")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10, err
}

// cpu is the hub's processor time until now.
func (s *stage) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+2:])
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err // USER_HZ is 100
}
