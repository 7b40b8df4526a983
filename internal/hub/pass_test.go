package hub

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

const site = "https://friend.example"

// joinFrom joins from a page with a token; it returns the hub's answer.
func (h *testHub) joinFrom(n int, origin, pass string) (*worker, wire.FromHub) {
	h.t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	w := h.connect(n, header)
	join := wire.SignJoin(w.hello, w.key, "test/1")
	join.Pass = pass
	w.send(join)
	m, err := w.recv()
	if err != nil {
		h.t.Fatal(err)
	}
	return w, m
}

// welcomed joins and must succeed; it returns the session's token.
func (h *testHub) welcomed(n int, origin, pass string) (*worker, string) {
	h.t.Helper()
	w, m := h.joinFrom(n, origin, pass)
	welcome, ok := m.(*wire.Welcome)
	if !ok {
		h.t.Fatalf("not welcome: %+v", m)
	}
	return w, welcome.Session
}

func (h *testHub) unwelcome(n int, origin, pass, code string) {
	h.t.Helper()
	w, m := h.joinFrom(n, origin, pass)
	defer w.conn.CloseNow() // the hub waits for it
	if e, ok := m.(*wire.Error); !ok || e.Code != code {
		h.t.Errorf("from %q with %.40q: %+v, want the error %s", origin, pass, m, code)
	}
}

func (h *testHub) siteToken(origin string, rate int) string {
	return h.mint(Grant{Role: "site", Subject: "friend", Life: 30 * 24 * time.Hour, Origin: origin, Rate: rate})
}

// TestSiteTokens: pages of other origins need the token of their own site.
func TestSiteTokens(t *testing.T) {
	h := startHub(t, Options{SiteTokens: true})
	token := h.siteToken(site, 60)
	h.welcomed(1, site, token)
	if _, session := h.welcomed(2, "", ""); session != "" {
		t.Error("a program is given a session's token, and needs none")
	}
	if _, session := h.welcomed(3, h.url, ""); session != "" {
		t.Error("the hub's own page is given a session's token, and needs none")
	}
	h.unwelcome(4, site, "", wire.CodeUnauthorized)
	h.unwelcome(4, site, h.token(), wire.CodeUnauthorized)
	h.unwelcome(4, site, token[:len(token)-4]+"AAAA", wire.CodeUnauthorized)
	h.unwelcome(4, "https://evil.example", token, wire.CodeUnauthorized)
	h.unwelcome(4, "http://friend.example", token, wire.CodeUnauthorized)
	h.clock.advance(31 * 24 * time.Hour)
	h.unwelcome(4, site, token, wire.CodeUnauthorized)
}

// TestSiteRate: a site brings so many volunteers a minute, with any of its
// tokens; those who come back are not counted.
func TestSiteRate(t *testing.T) {
	h := startHub(t, Options{SiteTokens: true})
	token := h.siteToken(site, 1)
	other := h.siteToken("https://other.example", 1)
	for range 10 { // what another page does with it does not count
		h.unwelcome(9, "https://evil.example", token, wire.CodeUnauthorized)
	}
	_, session := h.welcomed(2, site, token)
	h.unwelcome(3, site, token, wire.CodeConnections)
	h.unwelcome(3, site, h.siteToken(site, 1), wire.CodeConnections)
	h.welcomed(3, "https://other.example", other)
	_, session = h.welcomed(2, site, session)
	h.welcomed(2, site, session)
	h.clock.advance(time.Minute)
	h.welcomed(3, site, token)
	h.unwelcome(4, site, token, wire.CodeConnections)
}

// TestSessionTokens: a session's token is good for one join of one worker from
// one site, also after a restart, and for no longer than a day.
func TestSessionTokens(t *testing.T) {
	h := startHub(t, Options{SiteTokens: true})
	token := h.siteToken(site, 60)
	_, first := h.welcomed(1, site, token)
	h.unwelcome(2, site, first, wire.CodeUnauthorized) // another worker, who does not spend it
	_, second := h.welcomed(1, site, first)
	h.unwelcome(1, site, first, wire.CodeUnauthorized)
	h.restart()
	h.unwelcome(1, site, first, wire.CodeUnauthorized)
	h.unwelcome(1, "https://evil.example", second, wire.CodeUnauthorized) // another page, that does not spend it either
	h.welcomed(1, site, second)

	_, session := h.welcomed(1, site, token)
	for range 5 {
		h.clock.advance(4 * time.Hour)
		_, session = h.welcomed(1, site, session)
	}
	h.clock.advance(4 * time.Hour)
	h.unwelcome(1, site, session, wire.CodeUnauthorized)
	h.welcomed(1, site, token)

	// The key is proved all the same.
	_, session = h.welcomed(1, site, token)
	w := h.connect(1, http.Header{"Origin": {site}})
	w.hello.Nonce[0]++
	join := wire.SignJoin(w.hello, w.key, "test/1")
	join.Pass = session
	w.send(join)
	w.rejected(wire.CodeJoinSignature)
	h.welcomed(1, site, session)
}

func (h *testHub) tokenList(operator string) (list wire.TokenList) {
	h.t.Helper()
	r, err := http.NewRequest("GET", h.url+"/v1/tokens", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+operator)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil || res.StatusCode != http.StatusOK {
		h.t.Fatal(res.StatusCode, err)
	}
	return list
}

func (h *testHub) postJSON(path, token string, v any) (int, string) {
	h.t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.do("POST", path, "application/json", token, bytes.NewReader(body))
}

// TestRevoke: at once, for good, and for those who came in with it.
func TestRevoke(t *testing.T) {
	h := startHub(t, Options{SiteTokens: true})
	operator, second := h.token(), h.token()
	token := h.siteToken(site, 60)
	w, session := h.welcomed(1, site, token)
	_, program := h.welcomed(2, "", "")
	id := ""
	for _, k := range h.tokenList(operator).Tokens {
		if k.Role == "site" {
			id = k.ID
		}
		if k.Revoked || k.Subject == "" || k.Expires == nil {
			t.Errorf("%+v", k)
		}
	}
	if status, code := h.postJSON("/v1/tokens/revoke", operator, wire.RevokeRequest{ID: id, Reason: "they mine coins"}); status != http.StatusNoContent {
		t.Fatal(status, code)
	}
	if e := await[*wire.Error](w); e.Code != wire.CodeUnauthorized {
		t.Errorf("%+v", e)
	}
	w.conn.CloseNow()
	eventually(t, "the site's volunteer is gone, the other is not", func() bool { return h.Status().Workers == 1 })
	for range 2 {
		h.unwelcome(1, site, token, wire.CodeUnauthorized)
		h.unwelcome(1, site, session, wire.CodeUnauthorized)
		if status, code := h.do("POST", "/v1/resume", "", second, nil); status != http.StatusNoContent {
			t.Error(status, code)
		}
		h.restart()
	}
	if program != "" {
		t.Error("a program has a session's token")
	}

	// An operator's token, too; and what is wrong in a request.
	for _, k := range h.tokenList(operator).Tokens {
		if k.ID == id && (!k.Revoked || k.Reason != "they mine coins") {
			t.Errorf("%+v", k)
		}
	}
	for _, bad := range []wire.RevokeRequest{{ID: "x", Reason: "x"}, {ID: id}, {ID: id, Reason: strings.Repeat("x", 201)}, {ID: id, Reason: "a\nb"}, {ID: strings.ToUpper(id), Reason: "x"}} {
		if _, code := h.postJSON("/v1/tokens/revoke", operator, bad); code != wire.CodeRequest {
			t.Errorf("%+v: %s", bad, code)
		}
	}
	c, err := h.readNamed(second)
	if err != nil {
		t.Fatal(err)
	}
	if status, code := h.postJSON("/v1/tokens/revoke", operator, wire.RevokeRequest{ID: c, Reason: "left"}); status != http.StatusNoContent {
		t.Fatal(status, code)
	}
	if _, code := h.do("POST", "/v1/resume", "", second, nil); code != wire.CodeUnauthorized {
		t.Errorf("a revoked operator operates: %s", code)
	}
}

func (h *testHub) readNamed(token string) (string, error) {
	_, id, err := h.tokens.named(token)
	return id, err
}

// TestRotate: leases and tokens under the key before count during the overlap,
// and not at all without one.
func TestRotate(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	h.submit(h.rangeOrder(10), "")
	w := h.join(1)
	l := w.want(1)
	old := h.token()
	if status, code := h.postJSON("/v1/tokens/rotate", old, wire.RotateRequest{Overlap: 3600}); status != http.StatusOK {
		t.Fatal(status, code)
	}
	fresh := h.token()
	if keys := h.tokenList(fresh).Keys; len(keys) != 2 || keys[0].Until != nil || keys[1].Key != h.Key() || keys[1].Until == nil {
		t.Errorf("%+v", keys)
	}
	h.restart()
	h.tokenList(old)
	w = h.join(1)
	w.send(w.result(l, "x"))
	if a := await[*wire.Ack](w); a.ID != l.ID {
		t.Errorf("%+v", a)
	}
	h.clock.advance(30 * time.Minute)
	next := h.mint(Grant{Role: "operator", Subject: "test", Life: 24 * time.Hour})
	for range 2 {
		if status, code := h.postJSON("/v1/tokens/rotate", next, wire.RotateRequest{Overlap: 36000}); status != http.StatusOK {
			t.Fatal(status, code)
		}
	}
	if _, code := h.postJSON("/v1/tokens/rotate", next, wire.RotateRequest{Overlap: 3600}); code != wire.CodeRequest {
		t.Errorf("a fifth key: %s", code)
	}
	h.clock.advance(40 * time.Minute)
	if status, code := h.postJSON("/v1/tokens/rotate", next, wire.RotateRequest{Overlap: 3600}); status != http.StatusOK {
		t.Errorf("the first key's hour is over: %d %s", status, code)
	}

	// Stolen: nothing under the old keys counts.
	w.send(&wire.Want{Leases: 1})
	l = await[*wire.Lease](w)
	for _, bad := range []int64{-1, 367 * 86400, 1 << 62} {
		if _, code := h.postJSON("/v1/tokens/rotate", next, wire.RotateRequest{Overlap: bad}); code != wire.CodeRequest {
			t.Errorf("overlap %d: %s", bad, code)
		}
	}
	if status, code := h.postJSON("/v1/tokens/rotate", next, wire.RotateRequest{}); status != http.StatusOK {
		t.Fatal(status, code)
	}
	w.send(&wire.Return{ID: l.ID, Reason: wire.ReturnStopped}) // only its token speaks for it now
	w.send(w.result(l, "x"))
	if r := await[*wire.Refused](w); r.Code != wire.CodeLeaseInvalid {
		t.Errorf("%+v", r)
	}
	if _, code := h.postJSON("/v1/tokens/rotate", next, wire.RotateRequest{}); code != wire.CodeUnauthorized {
		t.Errorf("a token under a key that was given up: %s", code)
	}
	h.tokenList(h.token())
}

// TestAuditor: auditors read votes and, where results are private, results;
// and end nothing.
func TestAuditor(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true, PrivateResults: true})
	o := h.sampleOrder("12\n15\n", 1)
	order := h.submit(o, "12\n15\n")
	for n := range 2 {
		h.volunteer(n, 2, honest)
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	auditor := h.mint(Grant{Role: "auditor", Subject: "test", Life: time.Hour})
	foreign := startHub(t, Options{}).mint(Grant{Role: "auditor", Subject: "test", Life: time.Hour})
	base := "/v1/orders/" + order.String()
	for _, path := range []string{base + "/results", base + "/input", base + "/votes"} {
		for token, want := range map[string]string{"": wire.CodeUnauthorized, foreign: wire.CodeUnauthorized, h.siteToken(site, 1): wire.CodeUnauthorized, auditor: "", h.token(): ""} {
			if _, code := h.do("GET", path, "", token, nil); code != want {
				t.Errorf("%s: %q, want %q", path, code, want)
			}
		}
	}
	for _, path := range []string{"/v1/kill", "/v1/resume", "/v1/tokens/revoke", "/v1/tokens/rotate"} {
		if _, code := h.do("POST", path, "", auditor, nil); code != wire.CodeForbidden {
			t.Errorf("%s: %s", path, code)
		}
	}
	if _, code := h.do("GET", "/v1/tokens", "", auditor, nil); code != wire.CodeForbidden {
		t.Errorf("the list of tokens: %s", code)
	}
	h.checkVotes(base+"/votes?from=1", auditor)
}

func (h *testHub) checkVotes(path, token string) {
	h.t.Helper()
	r, err := http.NewRequest("GET", h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	n := 0
	for lines := bufio.NewScanner(res.Body); lines.Scan(); n++ {
		var v wire.VoteLine
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			h.t.Fatal(err)
		}
		if err := wire.VerifyVote(&v.Vote, v.Worker, v.Seal()); err != nil || v.Vote.Task != 1 {
			h.t.Errorf("%+v: %v", v, err)
		}
	}
	if n != 2 {
		h.t.Errorf("%d votes on the task, want 2", n)
	}
}
