package hub

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/policy"
)

func originPolicy(t *testing.T, version int64, origins ...string) []policy.Signed {
	p := policy.New(version, rootOf(t), began.Add(300*24*time.Hour), ada(seeded(t, 1).Public()))
	p.Origins = append(p.Origins, origins...)
	return signPolicy(t, p)
}

// upgrades is the status that a page of an origin gets for a connection.
func (h *testHub) upgrades(origin string) int {
	h.t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	status, _ := h.dial(header, wire.Subprotocol)
	return status
}

// gets is the answer that a page of an origin gets over HTTP.
func (h *testHub) gets(path, origin string) *http.Response {
	h.t.Helper()
	r, err := http.NewRequest("GET", h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	res.Body.Close()
	return res
}

const (
	signedA, signedB = "https://a.example", "https://b.example:8443"
	foreign          = "https://evil.example"
	switching        = http.StatusSwitchingProtocols
)

// TestPolicyOrigins: the policy says which pages may volunteer; flags narrow
// that, and never widen it.
func TestPolicyOrigins(t *testing.T) {
	for name, c := range map[string]struct {
		flags []string
		want  map[string]int
	}{
		"the policy alone": {nil, map[string]int{signedA: switching, signedB: switching, foreign: 403}},
		"narrowed":         {[]string{signedB}, map[string]int{signedA: 403, signedB: switching, foreign: 403}},
		"not widened":      {[]string{signedA, foreign}, map[string]int{signedA: switching, signedB: 403, foreign: 403}},
		"nothing in both":  {[]string{foreign}, map[string]int{signedA: 403, signedB: 403, foreign: 403}},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t, Options{Policies: originPolicy(t, 1, signedA, signedB), AllowOrigins: c.flags})
			for origin, want := range c.want {
				if got := h.upgrades(origin); got != want {
					t.Errorf("a connection of %s: %d, want %d", origin, got, want)
				}
				if got := h.gets("/countersign.js", origin).StatusCode; (got == 200) != (want == switching) {
					t.Errorf("the loader on a page of %s: %d", origin, got)
				}
			}
			for _, origin := range []string{"", h.url} {
				if got := h.upgrades(origin); got != switching {
					t.Errorf("origin %q: %d", origin, got)
				}
			}
			for _, origin := range []string{"null", "https://a.example.evil.example", "https://A.example", "http://a.example", "https://a.example:443", "https://b.example", signedA + "/", "a.example", "https://a.example, " + foreign} {
				if got := h.upgrades(origin); got != 403 {
					t.Errorf("origin %q: %d", origin, got)
				}
			}
			if len(c.flags) > 0 && strings.Contains(strings.Join(c.flags, " "), foreign) != strings.Contains(h.log.String(), "it is not let in") {
				t.Error("the log does not say which flags count nothing")
			}
		})
	}
}

// TestTwoOrigins: a request that says two things about its page comes from none.
func TestTwoOrigins(t *testing.T) {
	h := startHub(t, Options{Policies: originPolicy(t, 1, signedA)})
	status, _ := h.dial(http.Header{"Origin": {signedA, foreign}}, wire.Subprotocol)
	if status != 403 {
		t.Errorf("two origins: %d", status)
	}
}

// TestOriginsOverHTTP: where the policy names origins, other pages get what
// anybody may audit, and nothing else; and no cache mixes them up.
func TestOriginsOverHTTP(t *testing.T) {
	h := startHub(t, Options{Policies: originPolicy(t, 1, signedA)})
	rel := h.release().String()
	module := "/m/" + sampleRelease().ModuleSHA256.String()
	file := fileOf(100_000)
	chunk := "/i/" + h.submit(h.chunked(file, 100_000), file).String() + "/0"
	for path, open := range map[string]bool{module: false, chunk: false, "/countersign.js": false, "/v1/status": false, "/v1/orders": false, "/": false, "/none": false,
		"/s/" + rel: true, "/s/" + rel + ".minisig": true, "/v1/policy": true, "/log/checkpoint": true} {
		res := h.gets(path, foreign)
		if open != (res.StatusCode == 200) || !open && (res.StatusCode != 403 || res.Header.Get("Access-Control-Allow-Origin") != "") {
			t.Errorf("%s for another page: %d, %v", path, res.StatusCode, res.Header)
		}
		if vary := strings.Join(res.Header.Values("Vary"), ","); !strings.Contains(vary, "Origin") {
			t.Errorf("%s: Vary: %s", path, vary)
		}
		for _, origin := range []string{"", signedA, h.url} {
			if res := h.gets(path, origin); res.StatusCode != 200 && path != "/none" {
				t.Errorf("%s for %q: %d", path, origin, res.StatusCode)
			} else if vary := strings.Join(res.Header.Values("Vary"), ","); !strings.Contains(vary, "Origin") {
				t.Errorf("%s for %q: Vary: %s", path, origin, vary)
			}
		}
	}
	for _, path := range []string{module, chunk} {
		if res := h.gets(path, signedA); res.Header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("a page of the policy cannot read %s", path)
		}
	}
	any := startHub(t, Options{})
	any.release()
	if res := any.gets(module, foreign); res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("without origins in the policy: %d %v", res.StatusCode, res.Header)
	}
}

// TestPolicyClosesOrigins: a new policy holds for connections that are there,
// and for those to come.
func TestPolicyClosesOrigins(t *testing.T) {
	h := startHub(t, Options{Policies: originPolicy(t, 1, signedA, signedB)})
	gone, _ := h.welcomed(1, signedA, "")
	stays, _ := h.welcomed(2, signedB, "")
	program, _ := h.welcomed(3, "", "")
	next := originPolicy(t, 2, signedB, foreign)[0]
	if status, code := h.post("/v1/policy", part{"statement", next.Statement}, part{"signature", next.Signatures}); status != http.StatusCreated {
		t.Fatal(status, code)
	}
	if e := await[*wire.Error](gone); e.Code != wire.CodeOrigin {
		t.Errorf("%+v", e)
	}
	if _, err := gone.recv(); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("closed with %v", err)
	}
	for _, w := range []*worker{stays, program} {
		w.send(&wire.Want{Leases: 1})
		await[*wire.Idle](w)
	}
	for origin, want := range map[string]int{signedA: 403, signedB: switching, foreign: switching, "": switching} {
		if got := h.upgrades(origin); got != want {
			t.Errorf("after the new policy, %q: %d, want %d", origin, got, want)
		}
	}
	h.restart()
	if got := h.upgrades(signedA); got != 403 {
		t.Errorf("after a restart: %d", got)
	}
}

// TestSiteTokensWithinPolicy: a site's token lets in nobody whom the policy
// does not.
func TestSiteTokensWithinPolicy(t *testing.T) {
	h := startHub(t, Options{Policies: originPolicy(t, 1, signedA), SiteTokens: true})
	h.welcomed(1, signedA, h.siteToken(signedA, 60))
	h.unwelcome(1, signedA, "", wire.CodeUnauthorized)
	if got := h.upgrades(foreign); got != 403 {
		t.Errorf("an origin that the policy does not name: %d", got)
	}
}

// TestOwnOrigin: a name that somebody else lets lead to the hub is not its own,
// where it knows its own.
func TestOwnOrigin(t *testing.T) {
	for _, c := range []struct {
		own, origin, host string
		want              bool
	}{
		{"", "https://hub.example", "hub.example", true},
		{"", "https://rebound.example", "rebound.example", true},
		{"", "https://hub.example", "other.example", false},
		{"https://hub.example", "https://hub.example", "hub.example", true},
		{"https://hub.example", "https://hub.example", "HUB.example", true},
		{"https://hub.example", "http://hub.example", "hub.example", false},
		{"https://hub.example", "http://rebound.example", "rebound.example", false},
		{"https://hub.example", "http://127.0.0.1:8080", "127.0.0.1:8080", true},
		{"https://hub.example", "http://[::1]:8080", "[::1]:8080", true},
		{"https://hub.example", "http://localhost:8080", "localhost:8080", true},
		{"https://hub.example", "null", "hub.example", false},
		{"https://hub.example", "https://hub.example", "rebound.example", false},
	} {
		h := &Hub{opt: Options{Origin: c.own}}
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = c.host
		if got := h.ownOrigin(r, c.origin); got != c.want {
			t.Errorf("--origin %q, origin %q, host %q: %v", c.own, c.origin, c.host, got)
		}
	}
}
