package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/wire"
)

// TestUselessVotes: whoever sends votes that are refused, or that are here
// already, is heard ever more slowly, and its network is used up; others go on.
func TestUselessVotes(t *testing.T) {
	for name, wrong := range map[string]byte{"signed wrongly": 1, "sent again": 0} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t, Options{MaxRequests: 2, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			order := h.submit(h.rangeOrder(10), "")
			from := func(n int) http.Header { return http.Header{"X-Forwarded-For": {fmt.Sprintf("10.0.%d.1", n)}} }
			bad := h.connect(1, from(1))
			bad.send(wire.SignJoin(bad.hello, bad.key, "test/1"))
			next[*wire.Welcome](bad)
			r := bad.result(bad.want(1), "x")
			r.Seal.Signature[7] += wrong
			data, err := wire.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			go func() {
				for bad.conn.Write(ctx, websocket.MessageText, data) == nil {
				}
			}()
			closed, heard := make(chan *wire.Error, 1), 0
			go func() {
				for {
					m, err := bad.recv()
					if e, is := m.(*wire.Error); is || err != nil {
						closed <- e
						return
					}
					heard++
				}
			}()
			for n := range 2 { // honest ones, meanwhile
				w := h.connect(2+n, from(2+n))
				w.send(wire.SignJoin(w.hello, w.key, "test/1"))
				next[*wire.Welcome](w)
				l := w.want(1)
				w.send(w.result(l, honest(l)))
				await[*wire.Ack](w)
			}
			if n := h.order(order).Votes; n < 2 {
				t.Errorf("%d honest votes are on disk", n)
			}
			if e := <-closed; e == nil || e.Code != wire.CodeRate || e.Retry == 0 {
				t.Errorf("closed with %+v", e)
			}
			if most := 2*requestBurst + 40; heard > most {
				t.Errorf("%d useless votes were looked at, want at most %d", heard, most)
			}
		})
	}
}

// TestLongMessagesCount: a message counts as more the longer it is.
func TestLongMessagesCount(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(1), "")
	w := h.join(1)
	start := time.Now()
	long := `{"type":"want","leases":0}` + strings.Repeat(" ", 1<<20)
	for range 12 { // 256 messages each
		w.raw(websocket.MessageText, long)
	}
	w.want(1)
	if d, least := time.Since(start), time.Second*(12*(1<<20)/wire.RateBytes-wire.MaxBurst)/wire.MaxRate; d < least*9/10 {
		t.Errorf("12 MiB were taken in %s, that should take %s", d, least)
	}
}

// TestLongJoin: before it has joined, nobody has the hub keep long frames.
func TestLongJoin(t *testing.T) {
	h := startHub(t, Options{})
	w := h.connect(1, nil)
	w.raw(websocket.MessageText, strings.Repeat(" ", wire.MaxJoin+1))
	if _, err := w.recv(); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v, want 1009", err)
	}
	eventually(t, "the log says so", func() bool { return strings.Contains(h.log.String(), "code=message") })
}
