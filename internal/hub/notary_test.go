package hub

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/internal/witness"
	"github.com/countersign/countersign/release"
)

func (h *testHub) verifier(quorum int, witnesses ...*testWitness) *translog.Verifier {
	h.t.Helper()
	var keys []string
	for _, w := range witnesses {
		keys = append(keys, w.key.VKey.String())
	}
	v, err := translog.NewVerifier(h.LogKey().String(), keys, quorum)
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

// checkpoint fetches the published checkpoint.
func (h *testHub) checkpoint(v *translog.Verifier) *translog.Opened {
	h.t.Helper()
	o, err := v.Open(h.body("/log/checkpoint"), time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return o
}

// proved fetches the proof of a statement and checks it.
func (h *testHub) proved(v *translog.Verifier, d canon.Digest) (*translog.Opened, error) {
	h.t.Helper()
	entry, err := translog.Entry(h.body("/s/"+d.String()), h.body("/s/"+d.String()+".minisig"))
	if err != nil {
		h.t.Fatal(err)
	}
	return v.CheckProof(entry, h.body("/s/"+d.String()+".tlog-proof"), time.Now())
}

// stopOrder signs and posts a stop, and returns its digest.
func (h *testHub) stopOrder(d canon.Digest) canon.Digest {
	h.t.Helper()
	st, sig, err := release.NewStop("order", d, "a test", h.clock.now()).Sign(seeded(h.t, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	if status, code := h.post("/v1/stops", part{"statement", st}, part{"signature", sig}); status != http.StatusCreated {
		h.t.Fatalf("stopping: %d %s", status, code)
	}
	return canon.Sum(st)
}

func TestLog(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{LogOrigin: "hub.example/log"})
	v := h.verifier(0)
	if c := h.checkpoint(v); c.Size != 1 || c.Origin != "hub.example/log" {
		t.Errorf("a new log: %+v", c)
	}
	o := h.rangeOrder(10)
	order := h.submit(o, "")
	stop := h.stopOrder(order)
	eventually(t, "the stop is published, which it did not wait for", func() bool { return h.checkpoint(v).Size == 4 })
	all := []canon.Digest{canon.Sum(h.opt.Policies[0].Statement), o.ReleaseSHA256, order, stop}
	for i, d := range all[1:] {
		c, err := h.proved(v, d)
		if err != nil || c.Size != 4 {
			t.Errorf("statement %d: %+v, %v", i, c, err)
		}
	}
	h.release() // it is there
	if c := h.checkpoint(v); c.Size != 4 {
		t.Errorf("the same release again: size %d", c.Size)
	}
	h.fetchedAs(all)
	before := h.body("/log/checkpoint")
	h.restart()
	if after := h.body("/log/checkpoint"); string(after) != string(before) {
		t.Errorf("after a restart:\n%s, before:\n%s", after, before)
	}
	h.headers()
	n, err := note.NewVerifier(h.LogKey().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(before, note.VerifierList(n)); err != nil {
		t.Errorf("golang.org/x/mod/sumdb/note: %v", err)
	}
}

// fetchedAs reads the tiles as C2SP's page has them, with tlog's own reader.
func (h *testHub) fetchedAs(statements []canon.Digest) {
	h.t.Helper()
	c := h.checkpoint(h.verifier(0))
	tiles := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, tileReader{h})
	data := h.body(fmt.Sprintf("/log/tile/entries/000.p/%d", c.Size))
	for i, d := range statements {
		n := 2 + int(binary.BigEndian.Uint16(data))
		st, _, err := translog.SplitEntry(data[2:n])
		if err != nil || canon.Sum(st) != d {
			h.t.Errorf("entry %d is %s (%v), want %s", i, canon.Sum(st).Short(), err, d.Short())
		}
		hashes, err := tiles.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		if err != nil || hashes[0] != tlog.RecordHash(data[2:n]) {
			h.t.Errorf("the hash of entry %d: %v", i, err)
		}
		data = data[n:]
	}
	if len(data) != 0 {
		h.t.Errorf("%d bytes behind the entries", len(data))
	}
}

type tileReader struct{ h *testHub }

func (tileReader) Height() int                     { return translog.TileHeight }
func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r tileReader) ReadTiles(tiles []tlog.Tile) (all [][]byte, err error) {
	for _, t := range tiles {
		all = append(all, r.h.body("/log/tile/"+translog.TilePath(t)))
	}
	return all, nil
}

func (h *testHub) headers() {
	h.t.Helper()
	for path, want := range map[string][3]string{
		"/log/checkpoint":                 {"text/plain; charset=utf-8", "no-store", "*"},
		"/log/tile/0/000.p/3":             {"application/octet-stream", "public, max-age=31536000, immutable", "*"},
		"/log/tile/0/000.p/1":             {"application/octet-stream", "public, max-age=31536000, immutable", "*"},
		"/log/tile/entries/000.p/2":       {"application/octet-stream", "public, max-age=31536000, immutable", "*"},
		"/s/" + h.first() + ".tlog-proof": {"text/plain; charset=utf-8", "no-store", "*"},
	} {
		res, err := http.Get(h.url + path)
		if err != nil {
			h.t.Fatal(err)
		}
		res.Body.Close()
		got := [3]string{res.Header.Get("Content-Type"), res.Header.Get("Cache-Control"), res.Header.Get("Access-Control-Allow-Origin")}
		if res.StatusCode != 200 || got != want {
			h.t.Errorf("%s: %d %q, want %q", path, res.StatusCode, got, want)
		}
	}
	for _, path := range []string{"/log/tile/0/000", "/log/tile/0/000.p/5", "/log/tile/0/001", "/log/tile/1/000", "/log/tile/1/000.p/1", "/log/tile/entries/000", "/log/tile/entries/000.p/5", "/log/tile/0/0", "/log/tile/",
		"/log/tile/00/000.p/3", "/log/tile/data/000.p/3", "/log/tile/0/000.p/03", "/log/tile/0/000.p%2F3", "/log/tile/64/000", "/log/tile/9/000", "/log/", "/log/checkpoint/", "/s/" + strings.Repeat("0", 64) + ".tlog-proof",
		"/s/" + h.first() + ".tlog-proof.minisig", "/s/" + h.first() + ".minisig.tlog-proof"} {
		if status, code := h.do("GET", path, "", "", http.NoBody); status != 404 || code != wire.CodeNotFound {
			h.t.Errorf("%s: %d %s", path, status, code)
		}
	}
	if status, code := h.do("POST", "/log/checkpoint", "", "", http.NoBody); status != 405 {
		h.t.Errorf("POST: %d %s", status, code)
	}
}

func (h *testHub) first() string { return h.catalog.allReleases()[0].digest.String() }

// testWitness is a witness that can be made to fail.
type testWitness struct {
	t      *testing.T
	key    translog.SecretKey
	server *httptest.Server
	state  string
	asked  atomic.Int64
	down   atomic.Bool
	wait   chan struct{} // not nil: it answers when this is closed
	w      *witness.Witness
}

func newWitness(t *testing.T, name string) *testWitness {
	t.Helper()
	k, err := translog.GenerateKey(translog.WitnessKey, name)
	if err != nil {
		t.Fatal(err)
	}
	w := &testWitness{t: t, key: k, state: filepath.Join(t.TempDir(), "state.json")}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if w.wait != nil {
			io.Copy(io.Discard, r.Body)
			select {
			case <-w.wait:
			case <-r.Context().Done():
			}
			return
		}
		if w.down.Load() || w.w == nil {
			http.Error(rw, "down", http.StatusServiceUnavailable)
			return
		}
		w.w.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	return w
}

func (w *testWitness) knows(log translog.VKey) {
	w.t.Helper()
	var err error
	if w.w, err = witness.New(witness.Options{Key: w.key, Logs: []translog.VKey{log}, State: w.state}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *testWitness) flag() string { return w.server.URL + "," + w.key.VKey.String() }

// withLogKey makes a data directory with a log key.
func withLogKey(t *testing.T) (data string, key translog.SecretKey) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	s, err := store.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = s.LogKey("hub.example/log"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return data, key
}

// TestWitnesses: of three, one is down and one has seen another history. The
// first alone is enough for one of three, and not for two; the loud one is in
// the log.
func TestWitnesses(t *testing.T) {
	t.Parallel()
	data, key := withLogKey(t)
	good, down, forked := newWitness(t, "good.example"), newWitness(t, "down.example"), newWitness(t, "forked.example")
	for _, w := range []*testWitness{good, down, forked} {
		w.knows(key.VKey)
	}
	down.down.Store(true)
	root := tlog.RecordHash([]byte("a statement that this hub never had"))
	if _, err := forked.w.Add((&translog.Request{Checkpoint: translog.Sign(key, 1, root)}).Encode()); err != nil {
		t.Fatal(err)
	}
	h := startHub(t, Options{Data: data, Witnesses: []string{good.flag(), down.flag(), forked.flag()}, WitnessQuorum: 1, witnessWait: time.Minute})
	d := h.release()
	one, two := h.verifier(1, good, down, forked), h.verifier(2, good, down, forked)
	c, err := h.proved(one, d)
	if err != nil || !slices.Equal(c.Witnesses, []string{"good.example"}) {
		t.Fatalf("one of three: %+v, %v", c, err)
	}
	if _, err := h.proved(two, d); canon.ClassOf(err) != translog.ClassWitness {
		t.Errorf("two of three: %v", err)
	}
	eventually(t, "the hub says that a witness has seen another log", func() bool {
		return strings.Contains(h.log.String(), "level=ERROR msg=\"a witness has seen another log") && strings.Contains(h.log.String(), "witness=forked.example")
	})
	eventually(t, "the hub says that a witness is down", func() bool { return strings.Contains(h.log.String(), "a witness did not cosign") })
	// It comes back, and what is published gets its cosignature, too.
	down.down.Store(false)
	eventually(t, "the second witness cosigned", func() bool { _, err := h.proved(two, d); return err == nil })
	o := h.rangeOrder(5)
	order := h.submit(o, "")
	eventually(t, "both cosigned the next", func() bool { _, err := h.proved(two, order); return err == nil })
	if c := h.checkpoint(two); c.Size != 3 || len(c.Witnesses) != 2 {
		t.Errorf("published: size %d, %v", c.Size, c.Witnesses)
	}
	h.restart()
	if _, err := h.proved(two, order); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestWitnessesLate: a release waits for witnesses, but not for ever, and its
// proof has the newest checkpoint that is witnessed if that has it.
func TestWitnessesLate(t *testing.T) {
	t.Parallel()
	data, key := withLogKey(t)
	w := newWitness(t, "slow.example")
	w.knows(key.VKey)
	const wait = 6 * time.Second // in which the witness answers even on a busy machine
	h := startHub(t, Options{Data: data, Witnesses: []string{w.flag()}, witnessWait: wait})
	first := h.release()
	v := h.verifier(1, w)
	if _, err := h.proved(v, first); err != nil {
		t.Fatal(err)
	}
	w.down.Store(true)
	began := time.Now()
	order := h.submit(h.rangeOrder(5), "")
	if took := time.Since(began); took < wait || took > 5*wait {
		t.Errorf("without its witness an order was admitted after %v", took)
	}
	if _, err := h.proved(v, first); err != nil {
		t.Errorf("what was witnessed before: %v", err)
	}
	if _, err := h.proved(v, order); canon.ClassOf(err) != translog.ClassWitness {
		t.Errorf("what was not: %v", err)
	}
	if c := h.checkpoint(h.verifier(0, w)); c.Size != 3 || len(c.Witnesses) != 0 {
		t.Errorf("published: size %d, %v", c.Size, c.Witnesses)
	}
	began = time.Now()
	h.stopOrder(order)
	if took := time.Since(began); took >= wait {
		t.Errorf("a stop waited %v for a witness", took)
	}
	w.down.Store(false)
	eventually(t, "the witness cosigned what it missed", func() bool { c, err := h.proved(v, order); return err == nil && c.Size == 4 })
}

// TestWitnessHangs: a hub with a witness that does not answer closes at once.
func TestWitnessHangs(t *testing.T) {
	t.Parallel()
	data, key := withLogKey(t)
	w := newWitness(t, "hanging.example")
	w.knows(key.VKey)
	w.wait = make(chan struct{})
	defer close(w.wait)
	h := startHub(t, Options{Data: data, Witnesses: []string{w.flag()}, witnessWait: time.Minute})
	eventually(t, "the witness is asked", func() bool { return w.asked.Load() > 0 })
	began := time.Now()
	h.end()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("closing took %v", took)
	}
}

// TestLogOfAnotherDisk: a hub does not sign over what it published.
func TestLogOfAnotherDisk(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{})
	h.release()
	h.end()
	other := startHub(t, Options{})
	other.end()
	kept, err := os.ReadFile(filepath.Join(h.opt.Data, "log.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other.opt.Data, "log.key"), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(h.opt.Data, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.Published(keptPublished)
	if err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(other.opt.Data, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.PutPublished(text, []string{keptPublished}, func(error) {}); err != nil || s.Close() != nil {
		t.Fatal(err)
	}
	if _, err := New(context.Background(), other.opt); err == nil || !strings.Contains(err.Error(), "the log on disk has 1 entries, and 2 were published") {
		t.Errorf("a log that lost its entries: %v", err)
	}
	wrong := h.opt
	wrong.LogOrigin = "other.example/log"
	if _, err := New(context.Background(), wrong); err == nil || !strings.Contains(err.Error(), "its origin cannot be changed") {
		t.Errorf("another origin: %v", err)
	}
	wrong = h.opt
	w := newWitness(t, "w.example")
	wrong.Witnesses = []string{w.flag(), w.flag()}
	if _, err := New(context.Background(), wrong); err == nil || !strings.Contains(err.Error(), "stands twice") {
		t.Errorf("a witness twice: %v", err)
	}
}
