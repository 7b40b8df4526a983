package volunteer

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/release"
)

// patience is how long tests wait for what must happen.
const patience = 30 * time.Second

// fakeHub serves files, and hands its connections to the test, which plays the
// hub's part word by word.
type fakeHub struct {
	*httptest.Server
	key   ed25519.PrivateKey
	conns chan *fakeConn
	mu    sync.Mutex
	files map[string][]byte
	got   []string // paths that were fetched
}

type fakeConn struct {
	*testing.T
	conn   *websocket.Conn
	hello  *wire.Hello
	worker wire.Key
	want   *wire.Want        // the last that came
	more   []wire.FromWorker // of the last frame, not looked at yet
}

func newFakeHub(t *testing.T) *fakeHub {
	seed := sha256.Sum256([]byte("fake hub"))
	h := &fakeHub{key: ed25519.NewKeyFromSeed(seed[:]), conns: make(chan *fakeConn, 16), files: map[string][]byte{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == wire.WorkPath {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
		if err != nil {
			return
		}
		conn.SetReadLimit(wire.MaxToHub)
		h.conns <- &fakeConn{conn: conn}
		return
	}
	h.mu.Lock()
	data, ok := h.files[r.URL.Path]
	h.got = append(h.got, r.URL.Path)
	h.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

func (h *fakeHub) fetched() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.got, " ")
}

func (h *fakeHub) serve(path string, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[path] = data
}

// publish signs and serves a statement.
func (h *fakeHub) publish(statement, signature []byte) canon.Digest {
	d := canon.Sum(statement)
	h.serve("/s/"+d.String(), statement)
	h.serve("/s/"+d.String()+".minisig", signature)
	return d
}

// accept waits for a worker and joins it.
func (h *fakeHub) accept(t *testing.T) *fakeConn {
	t.Helper()
	c := h.connection(t)
	c.hello = &wire.Hello{Hub: wire.KeyOf(h.key.Public().(ed25519.PublicKey)), Nonce: wire.Nonce{1, 2, 3}, Time: 1}
	c.send(c.hello)
	join := next[*wire.Join](c)
	if err := wire.VerifyJoin(c.hello, join); err != nil {
		t.Fatal(err)
	}
	c.worker = join.Worker
	c.send(&wire.Welcome{})
	return c
}

func (h *fakeHub) connection(t *testing.T) *fakeConn {
	t.Helper()
	select {
	case c := <-h.conns:
		c.T = t
		t.Cleanup(func() { c.conn.CloseNow() })
		return c
	case <-time.After(patience):
		t.Fatal("no connection came")
		return nil
	}
}

func (c *fakeConn) send(m wire.FromHub) {
	c.Helper()
	data, err := wire.Encode(m)
	if err != nil {
		c.Fatal(err)
	}
	c.raw(data)
}

func (c *fakeConn) raw(data []byte) {
	c.Helper()
	if err := c.conn.Write(context.Background(), websocket.MessageText, data); err != nil {
		c.Fatal(err)
	}
}

func (c *fakeConn) receive() wire.FromWorker {
	c.Helper()
	if len(c.more) == 0 {
		c.more = c.frame()
	}
	m := c.more[0]
	c.more = c.more[1:]
	if w, ok := m.(*wire.Want); ok {
		c.want = w
	}
	return m
}

// frame reads a frame, and gives its votes their signatures.
func (c *fakeConn) frame() []wire.FromWorker {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.Fatalf("reading from the worker: %v", err)
	}
	all, err := wire.DecodeFromWorker(data)
	if err == nil {
		err = wire.OpenSheet(all, c.worker)
	}
	if err != nil {
		c.Fatalf("%v in %s", err, data)
	}
	return all
}

// closed waits until the worker has ended the connection.
func (c *fakeConn) closed() {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, _, err := c.conn.Read(ctx); err != nil {
			if ctx.Err() != nil {
				c.Fatal("the worker does not end the connection")
			}
			return
		}
	}
}

// next returns the next message of that type. Progress may come in between, and
// what signs votes.
func next[M wire.FromWorker](c *fakeConn) M {
	c.Helper()
	for {
		switch m := c.receive().(type) {
		case M:
			return m
		case *wire.Progress, *wire.Sheet:
		default:
			c.Fatalf("the worker sent %#v where %T was wanted", m, *new(M))
		}
	}
}

// scene is a hub with a release and an order, and a volunteer that trusts
// their signer.
type scene struct {
	*fakeHub
	signer  keys.SecretKey
	rel     release.Release
	order   release.Order
	relID   canon.Digest
	orderID canon.Digest
	now     time.Time
	opt     Options
}

// noRandomness makes keys that are the same in every run.
func testKey(t testing.TB, seed byte) keys.SecretKey {
	t.Helper()
	k, err := keys.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newScene(t *testing.T) *scene {
	s := &scene{fakeHub: newFakeHub(t), signer: testKey(t, 1), now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	s.rel = release.Release{Type: release.Type, Name: "alice/factor", Version: 1,
		ModuleSHA256: canon.Sum(payloads.FactorModule), ModuleLength: int64(len(payloads.FactorModule)), SourceSHA256: canon.Sum(payloads.FactorSource),
		ABI: release.ABI, CostTable: release.CostTable,
		Limits:  release.Limits{TaskFuel: 1 << 40, SegmentFuel: 1 << 40, MemoryPages: payloads.Pages, Seconds: 60, OutputBytes: 1000},
		Purpose: "Factors integers.", Expires: canon.TimeOf(s.now.Add(24 * time.Hour))}
	s.order = release.Order{Type: release.OrderType, Title: "Numbers",
		Input:      release.Input{Lines: &release.Lines{TreeRoot: rootOf(t), Length: 100, Lines: int64(len(sceneInputs)), PerTask: 1}},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 2, Of: 3}}, CompletePermille: 1000,
		NotBefore: canon.TimeOf(s.now.Add(-time.Hour)), Expires: canon.TimeOf(s.now.Add(12 * time.Hour))}
	s.serve("/m/"+canon.Sum(payloads.FactorModule).String(), payloads.FactorModule)
	s.serve("/m/"+canon.Sum(payloads.LoopModule).String(), payloads.LoopModule)
	s.publishAll(t)
	seed := sha256.Sum256([]byte("worker"))
	s.opt = Options{Hub: s.URL, Key: ed25519.NewKeyFromSeed(seed[:]), Trust: Trust{Keys: []keys.PublicKey{s.signer.Public()}},
		Engine: newEngine(t), Now: func() time.Time { return s.now }, Retry: 10 * time.Millisecond, Linger: patience, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	return s
}

func newEngine(t *testing.T) *sandbox.Engine {
	e, err := sandbox.New(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

// loop makes the release one of the endless loop.
func (s *scene) loop(t *testing.T, seconds uint32) {
	s.rel.ModuleSHA256, s.rel.ModuleLength = canon.Sum(payloads.LoopModule), int64(len(payloads.LoopModule))
	s.rel.Limits.TaskFuel, s.rel.Limits.Seconds = 1<<50, uint64(seconds)
	s.publishAll(t)
}

// publishAll signs the release and the order as they are now.
func (s *scene) publishAll(t *testing.T) {
	t.Helper()
	st, sig, err := s.rel.Sign(s.signer)
	if err != nil {
		t.Fatal(err)
	}
	s.relID = s.publish(st, sig)
	s.order.ReleaseSHA256 = s.relID
	if st, sig, err = s.order.Sign(s.signer); err != nil {
		t.Fatal(err)
	}
	s.orderID = s.publish(st, sig)
}

// sceneInputs are those of the order's tasks.
var sceneInputs = []string{"1\n", "6\n", "6\n", "6\n", "12\n", "6\n", "6\n", "12\n7328499434\n", "97\n", "1\n", "3000\n", "100000000\n"}

// rootOf is the tree hash of sceneInputs.
func rootOf(t *testing.T) canon.Digest {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) (hashes []tlog.Hash, err error) {
		for _, i := range indexes {
			hashes = append(hashes, stored[i])
		}
		return hashes, nil
	})
	for i, in := range sceneInputs {
		more, err := tlog.StoredHashes(int64(i), []byte(in), read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	root, err := tlog.TreeHash(int64(len(sceneInputs)), read)
	if err != nil {
		t.Fatal(err)
	}
	return canon.Digest(root)
}

// lease is a lease of a task of the order, with its proof.
func (s *scene) lease(id byte, task uint64) *wire.Lease {
	p := release.NewProver(uint64(len(sceneInputs)))
	for _, in := range sceneInputs {
		p.Add([]byte(in))
	}
	proof, err := p.Prove(min(task, uint64(len(sceneInputs)-1)), nil)
	if err != nil {
		panic(err)
	}
	return &wire.Lease{Token: "a.b.c", ID: wire.LeaseID{id}, Order: s.orderID, Release: s.relID, Task: task, Lane: 1,
		Input: []byte(sceneInputs[min(task, uint64(len(sceneInputs)-1))]), Proof: proof, Seconds: 90}
}

// start runs the volunteer; stop stops it, and waits until it has.
func (s *scene) start(t *testing.T) (stop func()) {
	t.Helper()
	v, err := New(s.opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, ErrVanished) {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("the volunteer does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}
