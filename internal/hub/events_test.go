package hub

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
)

// front is an address that leads to the hub, wherever it listens.
func (h *testHub) front() *client.Client {
	h.t.Helper()
	var at atomic.Pointer[string]
	at.Store(&h.url)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		u, err := url.Parse(*at.Load())
		if err != nil {
			h.t.Error(err)
		}
		r.SetURL(u)
	}, ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(http.StatusBadGateway) }})
	h.t.Cleanup(proxy.Close)
	h.moved = func() { at.Store(&h.url) }
	c, err := client.New(proxy.URL, "")
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// TestFollow: a follower gets each result once, in the order of decision, over a
// restart of the hub, and hears of the end.
func TestFollow(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(12), "")
	c := h.front()
	var mu sync.Mutex
	var got []wire.ResultLine
	var states []string
	each := func(f client.Followed) error {
		mu.Lock()
		defer mu.Unlock()
		if f.Result != nil {
			got = append(got, *f.Result)
		} else if n := len(states); n == 0 || states[n-1] != f.Order.State {
			states = append(states, f.Order.State)
		}
		return nil
	}
	type outcome struct {
		info   *wire.OrderInfo
		cursor uint64
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		info, cursor, err := c.Follow(testContextFor(t, time.Minute), order, 0, each)
		ended <- outcome{info, cursor, err}
	}()
	a, b := h.join(1), h.join(2)
	for range 4 {
		la, lb := a.want(1), b.want(1)
		a.send(a.result(la, honest(la)))
		b.send(b.result(lb, honest(lb)))
		await[*wire.Ack](a)
		await[*wire.Ack](b)
	}
	eventually(t, "the first results are told", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= 3 })
	h.restart()
	h.moved()
	h.volunteer(3, 4, honest)
	h.volunteer(4, 4, honest)
	end := <-ended
	if end.err != nil || end.info.State != "done" || end.cursor != 12 {
		t.Fatalf("%+v", end)
	}
	if !slices.Equal(states, []string{"running", "done"}) {
		t.Errorf("states %v", states)
	}
	seen := map[uint64]bool{}
	for i, r := range got {
		if r.Cursor != uint64(i)+1 || seen[r.Task] {
			t.Errorf("result %d: %+v", i, r)
		}
		seen[r.Task] = true
	}
	if len(seen) != 12 {
		t.Errorf("%d results", len(seen))
	}
	for i, r := range h.resultLines(order, "?after=7") {
		if r.Cursor != uint64(i)+8 || r.Task != got[i+7].Task || string(r.Output) != string(got[i+7].Output) {
			t.Errorf("after 7: %+v, told was %+v", r, got[i+7])
		}
	}
}

// TestFollowerRefused: what the hub will not give is not asked for again, and what
// the caller cannot take ends it, with the cursor before.
func TestFollowerRefused(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(2), "")
	c := h.front()
	var said *client.APIError
	none := func(client.Followed) error { return nil }
	if _, _, err := c.Follow(testContext(t), canon.Sum(nil), 0, none); !errors.As(err, &said) || said.Code != wire.CodeUnknownOrder {
		t.Error(err)
	}
	if _, _, err := c.Follow(testContext(t), order, 1, none); !errors.As(err, &said) || said.Code != wire.CodeCursor || said.Status != http.StatusConflict {
		t.Error(err)
	}
	if status, code := h.do("GET", "/v1/orders/"+order.String()+"/results?after=1", "", "", nil); status != http.StatusConflict || code != wire.CodeCursor {
		t.Error(status, code)
	}
	if _, code := h.do("GET", "/v1/orders/"+order.String()+"/events?after=x", "", "", nil); code != wire.CodeRequest {
		t.Error(code)
	}
	h.volunteer(1, 2, honest)
	h.volunteer(2, 2, honest)
	full := errors.New("the disk is full")
	n := 0
	_, cursor, err := c.Follow(testContext(t), order, 0, func(f client.Followed) error {
		if f.Result == nil {
			return nil
		}
		if n++; n == 2 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || cursor != 1 {
		t.Errorf("%v, cursor %d", err, cursor)
	}
}

// TestEventStream is the form that browsers read: fields, ids, a text, the end.
func TestEventStream(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	res, err := http.Get(h.url + "/v1/orders/" + order.String() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	event := func() (id, name string, data map[string]any) {
		t.Helper()
		for lines.Scan() && lines.Text() != "" {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch key {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				if err := json.Unmarshal([]byte(value), &data); err != nil {
					t.Fatal(err)
				}
			}
		}
		return id, name, data
	}
	if id, name, data := event(); id != "" || name != "order" || data["state"] != "running" {
		t.Errorf("%q %q %v", id, name, data)
	}
	a, b := h.join(1), h.join(2)
	la, lb := a.want(1), b.want(1)
	a.send(&wire.Progress{ID: la.ID, Permille: 500, Text: "half of it"})
	for name, data := "", (map[string]any)(nil); data["text"] != "half of it"; {
		if _, name, data = event(); name != "order" {
			t.Fatalf("%q %v", name, data)
		}
	}
	a.send(a.result(la, honest(la)))
	b.send(b.result(lb, honest(lb)))
	var names []string
	for name := ""; name != "end"; {
		var id string
		var data map[string]any
		if id, name, data = event(); name == "" {
			t.Fatalf("the stream ends after %v", names)
		}
		if name == "result" && (id != "1" || data["cursor"] != 1.0) {
			t.Errorf("%q %v", id, data)
		}
		if name == "end" && data["state"] != "done" {
			t.Errorf("%v", data)
		}
		if name != "order" { // which comes whenever a number has changed
			names = append(names, name)
		}
	}
	if !slices.Equal(names, []string{"result", "end"}) {
		t.Errorf("%v", names)
	}
	if lines.Scan() {
		t.Errorf("after the end: %q", lines.Text())
	}
}

// TestSlowStream: a reader that takes nothing is dropped, and holds nobody up.
func TestSlowStream(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true, eventTimeout: 300 * time.Millisecond})
	o := h.rangeOrder(250)
	order := h.submit(o, "")
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /v1/orders/%s/events HTTP/1.1\r\nHost: %s\r\n\r\n", order, strings.TrimPrefix(h.url, "http://"))
	eventually(t, "the stream is open", func() bool { return h.streams() == 1 })
	long := strings.Repeat("x", 60_000)
	for n := range 2 {
		h.volunteer(n, 16, func(l *wire.Lease) string { return honest(l) + long })
	}
	eventuallyWithin(t, 2*time.Minute, "the order is done and the reader dropped", func() bool { return h.order(order).State == "done" && h.streams() == 0 })
}

func (h *testHub) streams() int { return h.limits.streams.count() }

func TestStreamLimits(t *testing.T) {
	l := newLimits(Options{})
	one := netip.MustParseAddr("192.0.2.1")
	for range maxOfNetwork {
		if err := l.streams.take(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.streams.take(netip.MustParseAddr("192.0.2.9")); canon.ClassOf(err) != wire.CodeConnections {
		t.Errorf("one more of a network: %v", err)
	}
	l.streams.leave(one)
	for i := range maxStreams - maxOfNetwork + 1 {
		if err := l.streams.take(netip.AddrFrom4([4]byte{10, 0, byte(i), 1})); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := l.streams.take(netip.MustParseAddr("10.1.0.1")); canon.ClassOf(err) != wire.CodeConnections {
		t.Errorf("one more of all: %v", err)
	}
}

// TestStreamsEndWithTheHub: a hub that shuts down does not wait for readers.
func TestStreamsEndWithTheHub(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", h.url+"/v1/orders/"+order.String()+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	begun := time.Now()
	h.end()
	if d := time.Since(begun); d >= drainTimeout {
		t.Errorf("it took %s", d)
	}
}
