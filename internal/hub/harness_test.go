package hub

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// clock is a clock that tests turn, and may stop.
type clock struct {
	offset  atomic.Int64
	stopped atomic.Pointer[time.Time]
}

var began = time.Now()

func (c *clock) now() time.Time {
	at := time.Now()
	if s := c.stopped.Load(); s != nil {
		at = *s
	}
	return at.Add(time.Duration(c.offset.Load()))
}

func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// stop lets time pass only by advance, however long the test takes.
func (c *clock) stop() {
	at := time.Now()
	c.stopped.Store(&at)
}

// logBuffer keeps what the hub logs.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// testHub is a hub on a real socket, with a real directory.
type testHub struct {
	*Hub
	t     testing.TB
	opt   Options
	clock *clock
	log   *logBuffer
	url   string
	crew  sync.WaitGroup // volunteers
	end   func()         // stops serving and closes, once
	moved func()         // tells its front, if it has one, where it listens
}

func seeded(t testing.TB, seed byte) keys.SecretKey {
	t.Helper()
	k, err := keys.Generate(bytes.NewReader(bytes.Repeat([]byte{seed}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rootOf pins the one root key of tests.
func rootOf(t testing.TB) policy.Root {
	return policy.Root{Keys: []keys.PublicKey{seeded(t, 99).Public()}, Threshold: 1}
}

func ada(key keys.PublicKey) policy.Researcher {
	return policy.Researcher{Name: "Ada", Key: key, Prefix: "ada/", Ceilings: policy.Ceilings{TaskFuel: 1e12, MemoryPages: 64, Seconds: 600, Tasks: 1e6}}
}

func policyOf(t testing.TB, version int64, key keys.PublicKey) []policy.Signed {
	t.Helper()
	return signPolicy(t, policy.New(version, rootOf(t), began.Add(300*24*time.Hour), ada(key)))
}

func signPolicy(t testing.TB, p *policy.Policy) []policy.Signed {
	t.Helper()
	s, err := p.Sign(seeded(t, 99))
	if err != nil {
		t.Fatal(err)
	}
	return []policy.Signed{s}
}

// startHub starts a hub on a new directory, or on opt.Data.
func startHub(t testing.TB, opt Options) *testHub {
	t.Helper()
	h := &testHub{t: t, clock: &clock{}, log: &logBuffer{}}
	if opt.Data == "" {
		opt.Data = filepath.Join(t.TempDir(), "data")
	}
	opt.Root = rootOf(t)
	if opt.Policies == nil {
		opt.Policies = policyOf(t, 1, seeded(t, 1).Public())
	}
	opt.Now = h.clock.now
	opt.Log = slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.opt = opt
	h.start()
	t.Cleanup(func() { h.end() })
	return h
}

func (h *testHub) start() {
	h.t.Helper()
	var err error
	if h.Hub, err = New(context.Background(), h.opt); err != nil {
		h.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx, l) }()
	h.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			h.t.Errorf("run: %v", err)
		}
		if err := h.Close(); err != nil {
			h.t.Errorf("close: %v", err)
		}
		h.crew.Wait()
	})
}

// restart ends the hub as an operator would, and starts another on its data.
func (h *testHub) restart() {
	h.t.Helper()
	h.end()
	h.start()
}

// part is one field of a form.
type part struct {
	name string
	data []byte
}

// post sends a form and returns status and error code.
func (h *testHub) post(path string, parts ...part) (status int, code string) {
	h.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, p := range parts {
		w, err := form.CreateFormFile(p.name, p.name)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := w.Write(p.data); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		h.t.Fatal(err)
	}
	return h.do("POST", path, form.FormDataContentType(), "", &body)
}

func (h *testHub) do(method, path, contentType, token string, body io.Reader) (status int, code string) {
	h.t.Helper()
	req, err := http.NewRequest(method, h.url+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var e wire.ErrorBody
	data, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	h.documented(method, path, res.StatusCode, res.Header, data)
	if res.StatusCode >= 300 {
		if err := json.Unmarshal(data, &e); err != nil {
			h.t.Fatalf("%s %s: %d with the body %q", method, path, res.StatusCode, data)
		}
	}
	return res.StatusCode, e.Error.Code
}

// get decodes a JSON answer.
func (h *testHub) get(path string, v any) {
	h.t.Helper()
	if err := json.Unmarshal(h.body(path), v); err != nil {
		h.t.Fatalf("GET %s: %v", path, err)
	}
}

func (h *testHub) body(path string) []byte {
	h.t.Helper()
	res, err := http.Get(h.url + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		h.t.Fatalf("GET %s: %d, %v: %.200q", path, res.StatusCode, err, data)
	}
	h.documented("GET", path, res.StatusCode, res.Header, data)
	return data
}

func sampleRelease() *release.Release {
	return &release.Release{Type: release.Type, Name: "ada/factor", Version: 1, ModuleSHA256: canon.Sum(payloads.FactorModule), ModuleLength: int64(len(payloads.FactorModule)),
		SourceSHA256: canon.Sum(payloads.FactorSource), ABI: release.ABI, CostTable: release.CostTable,
		Limits:  release.Limits{TaskFuel: 1e10, SegmentFuel: 1e10, MemoryPages: payloads.Pages, Seconds: 60, OutputBytes: 65536},
		Purpose: "Factors integers by trial division.", Expires: canon.TimeOf(began.Add(30 * 24 * time.Hour))}
}

// release publishes the sample release and returns its digest.
func (h *testHub) release() canon.Digest {
	h.t.Helper()
	st, sig, err := sampleRelease().Sign(seeded(h.t, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	if status, code := h.post("/v1/releases", part{"statement", st}, part{"signature", sig}, part{"source", payloads.FactorSource}, part{"module", payloads.FactorModule}); status/100 != 2 {
		h.t.Fatalf("publishing: %d %s", status, code)
	}
	return canon.Sum(st)
}

func (h *testHub) sampleOrder(input string, perTask int64) *release.Order {
	h.t.Helper()
	lines, err := release.Split(strings.NewReader(input), perTask, func(uint64, release.Span, []byte) error { return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	now := h.clock.now()
	return &release.Order{Type: release.OrderType, Title: "some numbers", ReleaseSHA256: h.release(), Input: release.Input{Lines: lines},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 2, Of: 3}}, CompletePermille: 1000, Priority: 5,
		NotBefore: canon.TimeOf(now.Add(-time.Second)), Expires: canon.TimeOf(now.Add(24 * time.Hour))}
}

// submit signs an order and hands it in.
func (h *testHub) submit(o *release.Order, input string) canon.Digest {
	h.t.Helper()
	st, sig, err := o.Sign(seeded(h.t, 1))
	if err != nil {
		h.t.Fatal(err)
	}
	if status, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}, part{"input", []byte(input)}); status/100 != 2 {
		h.t.Fatalf("submitting: %d %s", status, code)
	}
	return canon.Sum(st)
}

// rangeOrder is an order on n tasks.
func (h *testHub) rangeOrder(n int64) *release.Order {
	o := h.sampleOrder("1\n", 1)
	o.Input = release.Input{Range: &release.Range{From: 1, To: n + 1, Step: 1}}
	return o
}

func (h *testHub) order(d canon.Digest) (info wire.OrderInfo) {
	h.t.Helper()
	h.get("/v1/orders/"+d.String(), &info)
	return info
}

func (h *testHub) resultLines(d canon.Digest, query string) (all []wire.ResultLine) {
	h.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(h.body("/v1/orders/" + d.String() + "/results" + query)))
	for {
		var r wire.ResultLine
		if err := dec.Decode(&r); err == io.EOF {
			return all
		} else if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, r)
	}
}

// eventually waits until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	eventuallyWithin(t, time.Minute, what, f)
}

func eventuallyWithin(t testing.TB, d time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// worker is a volunteer for tests. It computes nothing: an outcome follows
// from the input, and whoever lies says something else.
type worker struct {
	t     testing.TB
	key   ed25519.PrivateKey
	id    wire.Key
	conn  *websocket.Conn
	hello *wire.Hello
	come  []wire.FromHub // of the last frame, not looked at yet
}

func workerKey(n int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Append(nil, "worker", n))
	return ed25519.NewKeyFromSeed(seed[:])
}

func workerID(n int) wire.Key { return wire.KeyOf(workerKey(n).Public().(ed25519.PublicKey)) }

func testContext(t testing.TB) context.Context { return testContextFor(t, time.Minute) }

func testContextFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// connect dials and reads the hello.
func (h *testHub) connect(n int, header http.Header) *worker {
	h.t.Helper()
	conn, _, err := websocket.Dial(testContext(h.t), h.url+wire.WorkPath, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}, HTTPHeader: header})
	if err != nil {
		h.t.Fatal(err)
	}
	conn.SetReadLimit(wire.MaxToWorker)
	w := &worker{t: h.t, key: workerKey(n), conn: conn}
	w.id = workerID(n)
	h.t.Cleanup(func() { conn.CloseNow() })
	w.hello = next[*wire.Hello](w)
	return w
}

// join connects a worker and joins.
func (h *testHub) join(n int) *worker {
	h.t.Helper()
	w := h.connect(n, nil)
	w.send(wire.SignJoin(w.hello, w.key, "test/1"))
	next[*wire.Welcome](w)
	return w
}

func (w *worker) send(m wire.FromWorker) {
	w.t.Helper()
	data, err := wire.Encode(m)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.conn.Write(testContext(w.t), websocket.MessageText, data); err != nil {
		w.t.Fatal(err)
	}
}

func (w *worker) recv() (wire.FromHub, error) {
	for len(w.come) == 0 {
		_, data, err := w.conn.Read(testContext(w.t))
		if err != nil {
			return nil, err
		}
		if w.come, err = wire.DecodeFromHub(data); err != nil {
			return nil, err
		}
	}
	m := w.come[0]
	w.come = w.come[1:]
	return m, nil
}

// next returns the next message, which must be of type M.
func next[M wire.FromHub](w *worker) M {
	w.t.Helper()
	m, err := w.recv()
	if err != nil {
		w.t.Fatalf("waiting for a %T: %v", *new(M), err)
	}
	got, ok := m.(M)
	if !ok {
		w.t.Fatalf("got %T %+v, want a %T", m, m, *new(M))
	}
	return got
}

// await returns the next message of type M, past all others.
func await[M wire.FromHub](w *worker) M {
	w.t.Helper()
	for {
		m, err := w.recv()
		if err != nil {
			w.t.Fatalf("waiting for a %T: %v", *new(M), err)
		}
		if got, ok := m.(M); ok {
			return got
		}
	}
}

// want asks for leases and returns the first.
func (w *worker) want(n uint32) *wire.Lease {
	w.t.Helper()
	w.send(&wire.Want{Leases: n})
	return await[*wire.Lease](w)
}

// result is the worker's vote for an output.
func (w *worker) result(l *wire.Lease, output string) *wire.Result {
	w.t.Helper()
	return w.sign(l, voteFor(l, output), output)
}

var factorSum = canon.Sum(payloads.FactorModule)

func voteFor(l *wire.Lease, output string) wire.Vote {
	return wire.Vote{Type: wire.VoteType, Order: l.Order, Task: l.Task, Lane: l.Lane, Lease: l.ID, Module: factorSum,
		Input: canon.Sum(l.Input), End: wire.EndExit, Fuel: 7, Output: canon.Sum([]byte(output)),
		Segments: 1, Transcript: canon.Sum([]byte("link of " + output))}
}

func (w *worker) sign(l *wire.Lease, v wire.Vote, output string) *wire.Result {
	w.t.Helper()
	sig, err := wire.SignVote(&v, w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return &wire.Result{Token: l.Token, Vote: v, Output: []byte(output), Links: v.Transcript[:], Seal: sig}
}

func honest(l *wire.Lease) string { return "output of " + string(l.Input) }

// volunteer works until its connection ends, for which the end of the hub waits.
func (h *testHub) volunteer(n int, leases uint32, answer func(*wire.Lease) string) {
	w := h.join(n)
	w.send(&wire.Want{Leases: leases})
	h.crew.Go(func() {
		for {
			m, err := w.recv()
			if err != nil {
				return
			}
			l, ok := m.(*wire.Lease)
			if !ok {
				continue
			}
			data, err := wire.Encode(w.result(l, answer(l)))
			if err != nil {
				h.t.Error(err)
				return
			}
			if w.conn.Write(context.Background(), websocket.MessageText, data) != nil {
				return
			}
		}
	})
}

// recorder answers a request without a socket.
func (h *testHub) recorder(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, r)
	return w
}

// writePolicy writes a signed policy, as hub serve reads it.
func writePolicy(t testing.TB, path string) error {
	s := policyOf(t, 1, seeded(t, 1).Public())[0]
	return errors.Join(os.WriteFile(path, s.Statement, 0o600), os.WriteFile(path+".minisig", s.Signatures, 0o600))
}
