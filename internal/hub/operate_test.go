package hub

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/webworker"
)

func (h *testHub) token() string {
	h.t.Helper()
	return h.mint(Grant{Role: "operator", Subject: "test", Life: time.Hour})
}

// mint makes a token that is good by the test's clock.
func (h *testHub) mint(g Grant) string {
	h.t.Helper()
	token, err := Mint(h.opt.Data, g, h.clock.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

func (h *testHub) kill(token string, k wire.KillRequest) (status int, code string) {
	h.t.Helper()
	body, err := json.Marshal(k)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.do("POST", "/v1/kill", "application/json", token, bytes.NewReader(body))
}

// TestHalt: a kill of everything reaches everybody, survives a restart, and is
// lifted.
func TestHalt(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(10), "")
	a, b := h.join(1), h.join(2)
	la := a.want(1)
	b.want(1)
	start := time.Now()
	if status, code := h.kill(h.token(), wire.KillRequest{Scope: wire.KillAll, Reason: "something is wrong"}); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, code)
	}
	for _, w := range []*worker{a, b} {
		if k := await[*wire.Kill](w); k.Scope != wire.KillAll || k.Target != "" || k.Reason != "something is wrong" {
			t.Errorf("%+v", k)
		}
	}
	t.Logf("both workers were told after %s", time.Since(start))
	a.send(&wire.Return{ID: la.ID, Reason: wire.ReturnKilled})
	if s := h.Status(); !s.Halted || s.Leases != 0 || s.Reason != "something is wrong" {
		t.Errorf("%+v", s)
	}
	h.restart()
	w := h.connect(3, nil)
	w.send(wire.SignJoin(w.hello, w.key, "test/1"))
	if m := next[*wire.Welcome](w); !m.Halted {
		t.Error("the hub forgot that it is halted")
	}
	w.send(&wire.Want{Leases: 1})
	next[*wire.Idle](w)
	if info := h.order(order); info.State != "running" {
		t.Errorf("a halt changes the order: %+v", info)
	}
	if status, code := h.do("POST", "/v1/resume", "application/json", h.token(), nil); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, code)
	}
	next[*wire.Resume](w)
	next[*wire.Lease](w)
	h.restart()
	h.join(4).want(1)
}

func TestKillOrderAndRelease(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	killed := h.rangeOrder(10)
	order := h.submit(killed, "")
	other := h.rangeOrder(20)
	h.submit(other, "")
	w := h.join(1)
	w.send(&wire.Want{Leases: 2})
	await[*wire.Lease](w)
	await[*wire.Lease](w)
	if status, code := h.kill(h.token(), wire.KillRequest{Scope: wire.KillOrder, Target: order.String(), Reason: "enough"}); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, code)
	}
	if k := await[*wire.Kill](w); k.Scope != wire.KillOrder || k.Target != order.String() {
		t.Errorf("%+v", k)
	}
	if l := await[*wire.Lease](w); l.Order == order {
		t.Error("the killed order is lent")
	}
	h.restart()
	if info := h.order(order); info.State != "stopped" || info.Reason != "enough" {
		t.Errorf("%+v", info)
	}
	w = h.join(1)
	w.want(1)
	if status, code := h.kill(h.token(), wire.KillRequest{Scope: wire.KillRelease, Target: other.ReleaseSHA256.String(), Reason: "enough of all"}); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, code)
	}
	await[*wire.Kill](w)
	h.restart()
	if s := h.Status(); s.Orders["stopped"] != 2 || s.Orders["running"] != 0 {
		t.Errorf("%+v", s)
	}
}

func TestOperatorRefusals(t *testing.T) {
	h := startHub(t, Options{})
	all := wire.KillRequest{Scope: wire.KillAll, Reason: "x"}
	foreign := startHub(t, Options{}).token()
	old := h.token()
	h.clock.advance(2 * time.Hour)
	for name, token := range map[string]string{"none": "", "another hub's": foreign, "expired": old, "nonsense": "x.y.z"} {
		if status, code := h.kill(token, all); status != http.StatusUnauthorized || code != wire.CodeUnauthorized {
			t.Errorf("token %s: %d %s", name, status, code)
		}
		if status, _ := h.do("POST", "/v1/resume", "", token, nil); status != http.StatusUnauthorized {
			t.Errorf("token %s: %d", name, status)
		}
	}
	wrong := h.mint(Grant{Role: "auditor", Subject: "test", Life: time.Hour})
	if _, code := h.kill(wrong, all); code != wire.CodeForbidden {
		t.Errorf("another role: %s", code)
	}
	for name, c := range map[string]struct {
		code string
		k    wire.KillRequest
	}{
		"scope":           {wire.CodeRequest, wire.KillRequest{Scope: "world", Reason: "x"}},
		"lease":           {wire.CodeRequest, wire.KillRequest{Scope: wire.KillLease, Target: strings.Repeat("a", 32), Reason: "x"}},
		"target":          {wire.CodeRequest, wire.KillRequest{Scope: wire.KillOrder, Target: "x", Reason: "x"}},
		"unknown order":   {wire.CodeUnknownOrder, wire.KillRequest{Scope: wire.KillOrder, Target: canon.Sum(nil).String(), Reason: "x"}},
		"task":            {wire.CodeRequest, wire.KillRequest{Scope: wire.KillTask, Target: canon.Sum(nil).String(), Reason: "x"}},
		"unknown release": {wire.CodeUnknownRelease, wire.KillRequest{Scope: wire.KillRelease, Target: canon.Sum(nil).String(), Reason: "x"}},
		"long reason":     {wire.CodeRequest, wire.KillRequest{Scope: wire.KillAll, Reason: strings.Repeat("x", 201)}},
	} {
		if _, code := h.kill(h.token(), c.k); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
	}
	if _, code := h.do("POST", "/v1/kill", "application/json", h.token(), strings.NewReader(`{"scope":"all","target":"","reason":"x","force":true}`)); code != wire.CodeRequest {
		t.Errorf("more members: %s", code)
	}
	if _, code := h.do("POST", "/v1/kill", "application/json", h.token(), strings.NewReader(strings.Repeat(" ", maxKillBody+1))); code != "too_large" {
		t.Errorf("long body: %s", code)
	}
	if h.Status().Halted {
		t.Error("halted all the same")
	}
}

// TestHeaders: every answer has what keeps browsers from making more of it.
func TestHeaders(t *testing.T) {
	h := startHub(t, Options{Title: "A test"})
	h.release()
	for path, want := range map[string]int{"/": 200, "/countersign.js": 200, "/v1/status": 200, "/v1/orders": 200, "/healthz": 200, "/metrics": 200, "/v1/policy": 200,
		"/none": 404, "/m/" + strings.Repeat("0", 64): 404, "/m/..%2f..%2fhub.key": 404, "/s/x": 404, "/v1/orders/x": 404} {
		res, err := http.Get(h.url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Referrer-Policy") != "no-referrer" || res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: headers %v", path, res.Header)
		}
	}
	page, err := http.Get(h.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if got := page.Header.Get("Content-Security-Policy"); got != webworker.CSP() {
		t.Errorf("the page's policy is %q", got)
	}
	body := string(h.body("/"))
	for _, want := range []string{"A test", webworker.Integrity(), seeded(t, 1).Public().String()} {
		if !strings.Contains(body, strings.ReplaceAll(want, "+", "&#43;")) && !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if got := h.body("/countersign.js"); !bytes.Equal(got, webworker.Loader) {
		t.Error("another loader is served")
	}
	if status, code := h.do("DELETE", "/v1/orders", "", "", nil); status != http.StatusMethodNotAllowed || code != wire.CodeMethod {
		t.Errorf("DELETE: %d %s", status, code)
	}
}

func TestMetrics(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(4), "")
	for n := range 2 {
		h.volunteer(n, 2, honest)
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	text := string(h.body("/metrics"))
	for _, want := range []string{"countersign_hub_workers 2", "countersign_hub_tasks_accepted_total 4", `countersign_hub_votes_total{verdict="agreed"} 4`,
		`countersign_hub_votes_total{verdict="pending"} 4`, `countersign_hub_statements_admitted_total{kind="order"} 1`, "countersign_hub_leases 0", "go_goroutines"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
