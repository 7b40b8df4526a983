package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/wire"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// rejected expects an error message and the closing of the connection.
func (w *worker) rejected(code string) {
	w.t.Helper()
	if e := await[*wire.Error](w); e.Code != code {
		w.t.Errorf("error %s (%s), want %s", e.Code, e.Message, code)
	}
	if _, err := w.recv(); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		w.t.Errorf("closed with %v, want 1008", err)
	}
}

func (w *worker) raw(typ websocket.MessageType, text string) {
	w.t.Helper()
	if err := w.conn.Write(testContext(w.t), typ, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

func TestJoinRefusals(t *testing.T) {
	h := startHub(t, Options{})
	w := h.connect(1, nil)
	hello := *w.hello
	hello.Nonce[0]++
	w.send(wire.SignJoin(&hello, w.key, "test/1"))
	w.rejected(wire.CodeJoinSignature)

	w = h.connect(1, nil)
	join := wire.SignJoin(w.hello, w.key, "test/1")
	join.Worker = wire.Key{1}
	w.send(join)
	w.rejected(wire.CodeJoinSignature)

	w = h.connect(1, nil)
	w.send(&wire.Want{Leases: 1})
	w.rejected(wire.CodeMessage)
	if n := h.Status().Workers; n != 0 {
		t.Errorf("%d workers have joined", n)
	}
}

func TestJoinTimeout(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{})
	start := time.Now()
	w := h.connect(1, nil)
	if _, err := w.recv(); err == nil {
		t.Fatal("a message")
	}
	if d := time.Since(start); d < wire.JoinTimeout || d > 3*wire.JoinTimeout {
		t.Errorf("disconnected after %s", d)
	}
}

func TestBadMessages(t *testing.T) {
	h := startHub(t, Options{})
	for name, f := range map[string]func(*worker){
		"not JSON":   func(w *worker) { w.raw(websocket.MessageText, "want 3") },
		"unknown":    func(w *worker) { w.raw(websocket.MessageText, `{"type":"steal"}`) },
		"more":       func(w *worker) { w.raw(websocket.MessageText, `{"type":"want","leases":1,"please":true}`) },
		"binary":     func(w *worker) { w.raw(websocket.MessageBinary, `{"type":"want","leases":1}`) },
		"join again": func(w *worker) { w.send(wire.SignJoin(w.hello, w.key, "test/1")) },
		"too many": func(w *worker) {
			w.send(&wire.Want{Leases: 64})
			w.raw(websocket.MessageText, `{"type":"want","leases":65}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := h.join(1)
			w.t = t
			f(w)
			w.rejected(wire.CodeMessage)
		})
	}
}

func TestTooLongMessage(t *testing.T) {
	h := startHub(t, Options{})
	w := h.join(1)
	go w.conn.Write(context.Background(), websocket.MessageText, []byte(strings.Repeat(" ", wire.MaxToHub+10)))
	for {
		if _, err := w.recv(); err != nil {
			break
		}
	}
	eventually(t, "the log says so", func() bool { return strings.Contains(h.log.String(), "code=message") })
}

// TestRate: after its burst, a worker is heard no more than so often a second.
func TestRate(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(1), "")
	w := h.join(1)
	start := time.Now()
	const more = 1000
	for range wire.MaxBurst + more {
		w.send(&wire.Want{})
	}
	w.want(1)
	if d, least := time.Since(start), more*time.Second/wire.MaxRate; d < least*9/10 {
		t.Errorf("%d messages over the burst were taken in %s, at %d a second that is %s", more, d, wire.MaxRate, least)
	}
}

// TestSlowReader: a worker that reads nothing loses its connection, and the
// hub no memory.
func TestSlowReader(t *testing.T) {
	h := startHub(t, Options{})
	h.join(1)
	kill := &wire.Kill{Scope: wire.KillAll, Reason: strings.Repeat("x", wire.MaxReason)}
	eventually(t, "the slow worker is gone", func() bool {
		h.mu.Lock()
		for range 1000 {
			h.broadcast(kill)
		}
		h.mu.Unlock()
		return h.Status().Workers == 0
	})
	if !strings.Contains(h.log.String(), "code=slow") {
		t.Error("the log says nothing")
	}
}

// TestPing: a worker that does not answer pings is gone; one that does stays.
func TestPing(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{pingEvery: 5 * time.Second}) // and as long to answer, which a busy machine may need
	alive := h.join(2)                                    // it is asked first
	h.join(1)                                             // reads nothing more, so it answers nothing
	heard := make(chan error, 1)
	go func() {
		_, err := alive.recv()
		heard <- err
	}()
	if n := h.Status().Workers; n != 2 {
		t.Fatalf("%d workers", n)
	}
	eventually(t, "the silent worker is gone", func() bool { return h.Status().Workers == 1 })
	alive.send(&wire.Want{Leases: 1})
	if err := <-heard; err != nil {
		t.Errorf("the worker that answers is gone: %v", err)
	}
}

func (h *testHub) dial(header http.Header, protocols ...string) (int, error) {
	conn, res, err := websocket.Dial(testContext(h.t), h.url+wire.WorkPath, &websocket.DialOptions{Subprotocols: protocols, HTTPHeader: header})
	if err == nil {
		conn.CloseNow()
	}
	if res == nil {
		return 0, err
	}
	return res.StatusCode, err
}

func TestOrigin(t *testing.T) {
	h := startHub(t, Options{AllowOrigins: []string{"https://friend.example"}})
	for origin, want := range map[string]int{
		"":                            http.StatusSwitchingProtocols,
		h.url:                         http.StatusSwitchingProtocols,
		"https://friend.example":      http.StatusSwitchingProtocols,
		"http://friend.example":       http.StatusForbidden,
		"https://friend.example.evil": http.StatusForbidden,
		"https://evil.example":        http.StatusForbidden,
		"null":                        http.StatusForbidden,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if got, _ := h.dial(header, wire.Subprotocol); got != want {
			t.Errorf("origin %q: %d, want %d", origin, got, want)
		}
	}
	if got, _ := h.dial(nil, "countersign.v2"); got != http.StatusBadRequest {
		t.Errorf("another subprotocol: %d", got)
	}
	if got, _ := h.dial(nil); got != http.StatusBadRequest {
		t.Errorf("no subprotocol: %d", got)
	}
}

// TestRequestRate: a network that asks too often is refused, and others are not.
func TestRequestRate(t *testing.T) {
	h := startHub(t, Options{MaxRequests: 1, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	ask := func(from string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/v1/status", nil)
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("X-Forwarded-For", from)
		return h.recorder(r)
	}
	refused := 0
	for i := range 2 * requestBurst {
		if a := ask(fmt.Sprintf("10.0.0.%d", i)); a.Code == http.StatusTooManyRequests {
			if refused++; a.Header().Get("Retry-After") == "" || !strings.Contains(a.Body.String(), wire.CodeRate) {
				t.Errorf("%v %s", a.Header(), a.Body)
			}
		}
	}
	if refused < requestBurst/2 || refused > requestBurst {
		t.Errorf("%d of %d requests are refused", refused, 2*requestBurst)
	}
	if a := ask("10.0.1.1"); a.Code != http.StatusOK {
		t.Errorf("another network: %d", a.Code)
	}
}

func TestConnectionLimits(t *testing.T) {
	h := startHub(t, Options{MaxConnections: 3, MaxPerNetwork: 2, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	from := func(a string) http.Header { return http.Header{"X-Forwarded-For": {a}} }
	a := h.connect(1, from("10.0.0.1"))
	h.connect(2, from("10.0.0.2"))
	if got, _ := h.dial(from("10.0.0.3"), wire.Subprotocol); got != http.StatusTooManyRequests {
		t.Errorf("a third of one network: %d", got)
	}
	h.connect(3, from("10.0.1.1"))
	if got, _ := h.dial(from("10.0.2.1"), wire.Subprotocol); got != http.StatusTooManyRequests {
		t.Errorf("a fourth: %d", got)
	}
	a.conn.CloseNow()
	eventually(t, "the place is free again", func() bool {
		got, _ := h.dial(from("10.0.0.3"), wire.Subprotocol)
		return got == http.StatusSwitchingProtocols
	})
}

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		remote, forwarded, want string
		proxies                 []netip.Prefix
	}{
		{"192.0.2.1:5", "", "192.0.2.1", nil},
		{"192.0.2.1:5", "198.51.100.7", "192.0.2.1", nil},
		{"192.0.2.1:5", "198.51.100.7", "192.0.2.1", proxies}, // not from a proxy
		{"10.0.0.1:5", "198.51.100.7", "198.51.100.7", proxies},
		{"10.0.0.1:5", "203.0.113.9, 198.51.100.7", "198.51.100.7", proxies}, // the left one anybody can write
		{"10.0.0.1:5", "198.51.100.7, 10.9.9.9", "198.51.100.7", proxies},
		{"10.0.0.1:5", "nonsense", "10.0.0.1", proxies},
		{"10.0.0.1:5", "", "10.0.0.1", proxies},
		{"[::ffff:10.0.0.1]:5", "2001:db8::1", "2001:db8::1", proxies},
	} {
		h := &Hub{opt: Options{TrustedProxies: c.proxies}}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := h.client(r).String(); got != c.want {
			t.Errorf("from %s for %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

// TestShutdown: workers are told, and their connections closed as going away.
func TestShutdown(t *testing.T) {
	h := startHub(t, Options{})
	w := h.join(1)
	go h.end()
	if e := await[*wire.Error](w); e.Code != wire.CodeClosing || e.Retry == 0 {
		t.Errorf("%+v", e)
	}
	if _, err := w.recv(); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("closed with %v, want 1001", err)
	}
	h.end()
}

// TestComeAgain: whoever is turned away hears when to come again, each at a
// moment of its own, and 10,000 after a restart over a minute.
func TestComeAgain(t *testing.T) {
	l := newLimits(Options{})
	l.connections.taken = 10_000
	seconds := map[uint32]int{}
	for range l.connections.taken {
		seconds[l.comeAgain(wire.CodeClosing)]++
	}
	for second, n := range seconds {
		if n > 3*rejoins/2 || second == 0 || second > 60 {
			t.Errorf("%d are asked back in second %d", n, second)
		}
	}
	h := startHub(t, Options{MaxConnections: 1})
	h.connect(1, nil)
	r := httptest.NewRequest("GET", wire.WorkPath, nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}, "Sec-Websocket-Protocol": {wire.Subprotocol}}
	if a := h.recorder(r); a.Code != http.StatusTooManyRequests || len(a.Header().Get("Retry-After")) != 2 {
		t.Errorf("%d %v %s", a.Code, a.Header(), a.Body)
	}
}
