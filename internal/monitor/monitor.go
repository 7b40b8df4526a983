// Package monitor audits a hub's transparency log from outside: docs/spec/log.md,
// section "Audit". It downloads everything, computes every hash again, looks at
// every statement, and compares with what it remembers.
package monitor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

const (
	fetchTimeout = time.Minute
	attempts     = 3
)

// Options of New. Hub, Verifier and Keys are needed.
type Options struct {
	Hub      string // its base URL
	Verifier *translog.Verifier
	Keys     []keys.PublicKey // whose statements are expected
	Root     *policy.Root     // whose policies are; nil: those that follow from the log's first
	State    string           // file with the checkpoint seen last; "": none
	Now      func() time.Time // nil: time.Now
}

// Monitor follows one log.
type Monitor struct {
	opt   Options
	http  *http.Client
	kept  *remembered // from the state file, until the log has been compared with it
	tree  tree
	names map[canon.Digest]string // of releases in the log, and of orders by their release
	chain []policy.Signed         // of policies in the log, as far as they verify
	seen  *translog.Opened
}

// tree is the log's hashes as its entries give them.
type tree struct {
	size   int64
	hashes []tlog.Hash // by tlog.StoredHashIndex
}

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(t.hashes)) {
			return nil, fmt.Errorf("hash %d of %d", index, len(t.hashes))
		}
		all[i] = t.hashes[index]
	}
	return all, nil
}

func (t *tree) add(entry []byte) error {
	more, err := tlog.StoredHashes(t.size, entry, t)
	if err != nil {
		return err
	}
	t.hashes = append(t.hashes, more...)
	t.size++
	return nil
}

// Report is what is known of a log whose every byte was looked at.
type Report struct {
	Origin     string         `json:"origin"`
	Size       int64          `json:"size"`
	Root       tlog.Hash      `json:"root"`
	Statements map[string]int `json:"statements"` // how many of which kind are new
	Tiles      int            `json:"tiles"`
	Remembered *int64         `json:"remembered"` // size of the checkpoint that it goes on from
	Witnessed  bool           `json:"witnessed"`
	Witnesses  []string       `json:"witnesses"`
	Asked      int            `json:"witnesses_trusted"`
}

// New reads the state file.
func New(opt Options) (*Monitor, error) {
	u, err := url.Parse(opt.Hub)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("hub address %q: want a URL like http://127.0.0.1:8080", opt.Hub)
	}
	opt.Hub = strings.TrimRight(opt.Hub, "/")
	if opt.Now == nil {
		opt.Now = time.Now
	}
	m := &Monitor{opt: opt, http: &http.Client{Timeout: fetchTimeout}, names: map[canon.Digest]string{}}
	m.kept, err = loadState(opt.State, opt.Verifier.Log().Name)
	return m, err
}

// Next looks at the log as it is now. It returns what is new since the last
// call, and fails with a class of docs/spec/log.md when the log is not what it
// should be. Errors without a class say that it could not be looked at.
func (m *Monitor) Next(ctx context.Context) (*Report, []Entry, error) {
	before, chain := m.tree, m.chain // their slices grow behind them
	r, entries, err := m.next(ctx)
	if err != nil {
		m.tree, m.chain = before, chain // what came is not believed
	}
	return r, entries, err
}

func (m *Monitor) next(ctx context.Context) (*Report, []Entry, error) {
	text, err := m.fetch(ctx, "checkpoint", translog.MaxCheckpoint)
	if err != nil {
		return nil, nil, fmt.Errorf("fetching the log's checkpoint: %w", err)
	}
	c, err := m.opt.Verifier.Open(text, m.opt.Now())
	if err != nil {
		return nil, nil, err
	}
	if err := m.notSmaller(c); err != nil {
		return nil, nil, err
	}
	from := m.tree.size
	entries, err := m.extend(ctx, c.Size)
	if err != nil {
		return nil, nil, err
	}
	if err := m.same(c); err != nil {
		return nil, nil, err
	}
	r := &Report{Origin: c.Origin, Size: c.Size, Root: c.Root, Statements: map[string]int{}, Witnessed: len(c.Witnesses) > 0, Witnesses: append([]string{}, c.Witnesses...)}
	r.Asked, _ = m.opt.Verifier.Witnesses()
	if r.Tiles, err = m.tiles(ctx, from, c.Size); err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		r.Statements[e.Type]++
	}
	if m.kept != nil {
		r.Remembered = &m.kept.Size
	}
	if m.seen == nil || m.seen.Size != c.Size {
		if err := saveState(m.opt.State, c.Checkpoint); err != nil {
			return nil, nil, err
		}
	}
	m.seen, m.kept = c, nil
	return r, entries, nil
}

// notSmaller compares sizes with what was seen.
func (m *Monitor) notSmaller(c *translog.Opened) error {
	seen := m.tree.size
	if m.kept != nil {
		seen = m.kept.Size
	}
	if c.Size < seen {
		return canon.Fail(translog.ClassRewound, "THE LOG WAS REWOUND: it had %d entries and has %d: the hub hides what it had shown", seen, c.Size)
	}
	return nil
}

// same compares the signed root, and the remembered one, with what the entries
// give.
func (m *Monitor) same(c *translog.Opened) error {
	if m.kept != nil {
		if root, err := tlog.TreeHash(m.kept.Size, &m.tree); err != nil || root != m.kept.Root {
			return fork(m.kept.Size, root, m.kept.Root, "was seen before", err)
		}
	}
	if root, err := tlog.TreeHash(c.Size, &m.tree); err != nil || root != c.Root {
		return fork(c.Size, root, c.Root, "is signed", err)
	}
	return nil
}

func fork(size int64, got, want tlog.Hash, how string, err error) error {
	if err != nil {
		return err
	}
	return canon.Fail(translog.ClassFork, "THE LOG WAS FORKED: its first %d entries have the root %v, and %v %s: the hub shows another history", size, got, want, how)
}
