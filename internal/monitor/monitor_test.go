package monitor

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/release"
)

// log is a log in memory, served as a hub serves its own.
type log struct {
	t       *testing.T
	key     translog.SecretKey
	ada     keys.SecretKey
	entries [][]byte
	tree    tree
	broken  atomic.Int64 // answers 503 to tiles so many times
	server  *httptest.Server
}

func newLog(t *testing.T) *log {
	t.Helper()
	ada, err := keys.Generate(bytes.NewReader(bytes.Repeat([]byte{1}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := translog.GenerateKey(translog.LogKey, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	l := &log{t: t, key: key, ada: ada}
	l.server = httptest.NewServer(l)
	t.Cleanup(l.server.Close)
	return l
}

func (l *log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/log/checkpoint" {
		root, err := tlog.TreeHash(l.tree.size, &l.tree)
		if err != nil {
			l.t.Error(err)
		}
		w.Write(translog.Sign(l.key, l.tree.size, root).Encode())
		return
	}
	if l.broken.Add(-1) >= 0 {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	t, ok := translog.ParseTilePath(strings.TrimPrefix(r.URL.Path, "/log/tile/"))
	if !ok || !translog.Covered(t, l.tree.size) {
		l.t.Errorf("asked for %s", r.URL.Path)
		http.NotFound(w, r)
		return
	}
	if t.L != translog.EntryLevel {
		data, err := tlog.ReadTileData(t, &l.tree)
		if err != nil {
			l.t.Error(err)
		}
		w.Write(data)
		return
	}
	for _, e := range l.entries[t.N<<8 : t.N<<8+int64(t.W)] {
		w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(e))), e...))
	}
}

func (l *log) add(st, sig []byte) {
	l.t.Helper()
	e, err := translog.Entry(st, sig)
	if err == nil {
		err = l.tree.add(e)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.entries = append(l.entries, e)
}

// stops adds so many stops of something that the log does not have.
func (l *log) stops(n int) {
	l.t.Helper()
	for range n {
		d := canon.Sum([]byte{byte(len(l.entries)), byte(len(l.entries) >> 8)})
		l.add(l.signed(release.NewStop("order", d, "a test", time.Unix(1_800_000_000, 0)).Sign(l.ada)))
	}
}

func (l *log) signed(st, sig []byte, err error) ([]byte, []byte) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	return st, sig
}

func (l *log) monitor(state string) *Monitor {
	l.t.Helper()
	v, err := translog.NewVerifier(l.key.VKey.String(), nil, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	m, err := New(Options{Hub: l.server.URL, Verifier: v, Keys: []keys.PublicKey{l.ada.Public()}, State: state})
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

func (l *log) next(m *Monitor, want int) []Entry {
	l.t.Helper()
	r, entries, err := m.Next(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	if r.Size != l.tree.size || len(entries) != want {
		l.t.Errorf("size %d with %d new entries, want %d with %d", r.Size, len(entries), l.tree.size, want)
	}
	return entries
}

// TestGrowth follows a log over the edges of tiles.
func TestGrowth(t *testing.T) {
	l := newLog(t)
	state := filepath.Join(t.TempDir(), "state")
	m := l.monitor(state)
	l.next(m, 0)
	for _, n := range []int{1, 0, 254, 1, 1, 300, 0, 211} {
		l.stops(n)
		l.next(m, n)
	}
	l.next(l.monitor(state), 768)
	l.stops(1)
	l.next(l.monitor(""), 769)
}

func TestEntries(t *testing.T) {
	l := newLog(t)
	rel := release.Release{Type: release.Type, Name: "ada/x", Version: 3, ModuleSHA256: canon.Sum(nil), ModuleLength: 8, SourceSHA256: canon.Sum(nil), ABI: release.ABI, CostTable: release.CostTable,
		Limits: release.Limits{TaskFuel: 1, SegmentFuel: 1, MemoryPages: 1, Seconds: 1}, Purpose: "A test.", Expires: canon.TimeOf(time.Unix(1_800_000_000, 0))}
	st, sig := l.signed(rel.Sign(l.ada))
	l.add(st, sig)
	l.add(l.signed(release.NewStop("release", canon.Sum(st), "enough", time.Unix(1_800_000_000, 0)).Sign(l.ada)))
	l.add(l.signed(release.NewStop("release", canon.Sum([]byte("?")), "of nothing", time.Unix(1_800_000_000, 0)).Sign(l.ada)))
	l.add(st, append(sig, 'x'))
	stranger, err := keys.Generate(bytes.NewReader(bytes.Repeat([]byte{2}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	rel.Version = 4
	l.add(l.signed(rel.Sign(stranger)))
	l.add([]byte("hello"), sig)
	l.add(bytes.Replace(st, []byte("ada/x"), []byte("ada/y"), 1), sig)
	got := l.next(l.monitor(""), 7)
	for i, want := range []struct{ typ, name, check string }{{"release", "ada/x", ""}, {"stop", "ada/x", ""}, {"stop", "", translog.ClassEntry}, {"release", "ada/x", "signature_malformed"},
		{"release", "ada/x", "signature_unknown_key"}, {"unknown", "", translog.ClassEntry}, {"release", "ada/y", "signature_invalid"}} {
		if e := got[i]; e.Type != want.typ || e.Name != want.name || e.Check != want.check || (e.Problem == "") != (want.check == "") || e.Index != int64(i) {
			t.Errorf("entry %d: %s", i, e.String())
		}
	}
	if !got[0].Covered("ada/") || got[0].Covered("ad") || got[0].Covered("bob/") || !got[0].Covered("") || !got[2].Covered("bob/") || !got[4].Unknown() || got[6].Unknown() {
		t.Error("what a prefix covers")
	}
}

// TestPauses: a pause and what ends it are told apart, and go by the order's release.
func TestPauses(t *testing.T) {
	l := newLog(t)
	at := time.Unix(1_800_000_000, 0)
	rel := release.Release{Type: release.Type, Name: "ada/x", Version: 3, ModuleSHA256: canon.Sum(nil), ModuleLength: 8, SourceSHA256: canon.Sum(nil), ABI: release.ABI, CostTable: release.CostTable,
		Limits: release.Limits{TaskFuel: 1, SegmentFuel: 1, MemoryPages: 1, Seconds: 1}, Purpose: "A test.", Expires: canon.TimeOf(at)}
	st, sig := l.signed(rel.Sign(l.ada))
	l.add(st, sig)
	o := release.Order{Type: release.OrderType, Title: "numbers", ReleaseSHA256: canon.Sum(st), Input: release.Input{Range: &release.Range{From: 0, To: 2, Step: 1}},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 1, Of: 1}}, CompletePermille: 1000, NotBefore: canon.TimeOf(at.Add(-time.Hour)), Expires: canon.TimeOf(at)}
	order, sig := l.signed(o.Sign(l.ada))
	l.add(order, sig)
	for _, paused := range []bool{true, false} {
		l.add(l.signed(release.NewPause(canon.Sum(order), paused, "looking", at).Sign(l.ada)))
	}
	got := l.next(l.monitor(""), 4)
	for i, want := range []string{"release", "order", "pause", "resume"} {
		if e := got[i]; e.Type != want || e.Name != "ada/x" || e.Problem != "" || i > 1 && e.Reason != "looking" {
			t.Errorf("entry %d: %s", i, e.String())
		}
	}
}

// TestChanges: what is not the log that was seen has a class; what may be an
// accident has none, and passes.
func TestChanges(t *testing.T) {
	l := newLog(t)
	state := filepath.Join(t.TempDir(), "state")
	l.stops(5)
	m := l.monitor(state)
	l.next(m, 5)
	other := newLog(t)
	other.key = l.key
	fails := func(name string, m *Monitor, class string) {
		t.Helper()
		if _, _, err := m.Next(context.Background()); err == nil || canon.ClassOf(err) != class {
			t.Errorf("%s: %v, want class %q", name, err, class)
		}
	}
	other.add([]byte("another"), nil)
	fails("smaller", other.monitor(state), translog.ClassRewound)
	other.stops(6)
	fails("another history", other.monitor(state), translog.ClassFork)
	m.opt.Hub = other.server.URL
	fails("another history, in a watch", m, translog.ClassFork)
	m.opt.Hub = l.server.URL
	l.stops(2)
	l.broken.Store(attempts)
	fails("a hub that is starting", m, "")
	l.broken.Store(attempts - 1)
	l.next(m, 2)
	l.server.Close()
	fails("a hub that is gone", m, "")
	if err := os.WriteFile(state, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := translog.NewVerifier(l.key.VKey.String(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, opt := range []Options{{Hub: l.server.URL, State: state}, {Hub: "ftp://x"}, {Hub: ""}} {
		opt.Verifier = v
		if _, err := New(opt); err == nil {
			t.Errorf("%+v: taken", opt)
		}
	}
}
