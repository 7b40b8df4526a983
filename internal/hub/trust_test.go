package hub

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
)

func clockPolicy(t *testing.T, version int64) *policy.Policy {
	p := policy.New(version, rootOf(t), began.Add(300*24*time.Hour), ada(seeded(t, 1).Public()))
	p.ClockKey = seeded(t, 98).Public().String()
	return p
}

// push gives the hub an index.
func (h *testHub) push(by keys.SecretKey, sequence uint64, change func(*policy.Index)) (int, string) {
	h.t.Helper()
	x := &policy.Index{Type: policy.IndexType, Sequence: sequence, PolicyVersion: 1, Floors: []policy.Floor{}, Revoked: []canon.Digest{},
		Issued: canon.TimeOf(h.clock.now()), Expires: canon.TimeOf(h.clock.now().Add(12 * time.Hour))}
	if change != nil {
		change(x)
	}
	st, sig, err := x.Sign(by)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.post("/v1/index", part{"statement", st}, part{"signature", sig})
}

func (h *testHub) halted(want bool, reason string) {
	h.t.Helper()
	h.lookAtTrust()
	if s := h.Status(); s.Halted != want || !strings.Contains(s.Reason, reason) {
		h.t.Errorf("halted %v (%s), want %v (%s)", s.Halted, s.Reason, want, reason)
	}
}

// TestIndexFreshness: without an index nothing is lent, before it goes stale
// the hub warns, and when it is stale nothing is lent again.
func TestIndexFreshness(t *testing.T) {
	clock := seeded(t, 98)
	h := startHub(t, Options{Policies: signPolicy(t, clockPolicy(t, 1))})
	h.halted(true, "there is no index")
	if _, code := h.push(seeded(t, 99), 5, nil); code != "signature_unknown_key" {
		t.Errorf("by a root key: %s", code)
	}
	if status, code := h.push(clock, 5, nil); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	h.halted(false, "")
	if _, code := h.push(clock, 4, nil); code != "rollback" {
		t.Errorf("an older one: %s", code)
	}
	h.clock.advance(9 * time.Hour)
	h.halted(false, "")
	if s := h.Status().Trust; s.Index != indexAging || !strings.Contains(s.Warning, "goes stale at") || !strings.Contains(h.log.String(), "goes stale at") {
		t.Errorf("no warning before: %+v", s)
	}
	page := httptest.NewRecorder()
	h.handler.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/", nil))
	if !strings.Contains(page.Body.String(), "goes stale at") {
		t.Error("the page does not warn")
	}
	h.clock.advance(4 * time.Hour)
	h.halted(true, "expired")
	h.restart()
	h.halted(true, "expired")
	if _, code := h.push(clock, 4, nil); code != "rollback" {
		t.Errorf("an older one behind a stale one: %s", code)
	}
	h.push(clock, 6, nil)
	h.halted(false, "")
	h.push(clock, 7, func(x *policy.Index) { x.Halt = "wrong results" })
	h.halted(true, "wrong results")
	h.push(clock, 8, nil)
	h.halted(false, "")
	h.restart()
	h.halted(false, "")
	if _, code := h.push(clock, 7, nil); code != "rollback" {
		t.Errorf("an older one after a restart: %s", code)
	}
}

// TestRevocation: a revoked release, one under its floor and one of a revoked
// key are stopped at once and not admitted again.
func TestRevocation(t *testing.T) {
	for name, revoke := range map[string]func(h *testHub, d canon.Digest){
		"digest": func(h *testHub, d canon.Digest) {
			h.push(seeded(t, 98), 6, func(x *policy.Index) { x.Revoked = []canon.Digest{d} })
		},
		"floor": func(h *testHub, d canon.Digest) {
			h.push(seeded(t, 98), 6, func(x *policy.Index) { x.Floors = []policy.Floor{{Name: "ada/factor", Version: 99}} })
		},
		"key": func(h *testHub, d canon.Digest) {
			p := clockPolicy(t, 2)
			p.RevokedKeys = []keys.PublicKey{p.Researchers[0].Key}
			p.Researchers[0].Key = seeded(t, 7).Public()
			s := signPolicy(t, p)[0]
			if status, code := h.post("/v1/policy", part{"statement", s.Statement}, part{"signature", s.Signatures}); status != http.StatusCreated {
				t.Errorf("%d %s", status, code)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHub(t, Options{Policies: signPolicy(t, clockPolicy(t, 1))})
			h.push(seeded(t, 98), 5, nil)
			st, sig := released(t, seeded(t, 1), nil)
			parts := func() []part { return releaseParts(st, sig, payloads.FactorSource, payloads.FactorModule) }
			if status, code := h.post("/v1/releases", parts()...); status != http.StatusCreated {
				t.Fatalf("%d %s", status, code)
			}
			revoke(h, canon.Sum(st))
			for range 2 {
				if _, stopped := h.machine.StopReason(wire.KillRelease, canon.Sum(st)); !stopped {
					t.Error("the release is not stopped")
				}
				if status, code := h.post("/v1/releases", parts()...); status < 400 {
					t.Errorf("admitted again: %d %s", status, code)
				}
				h.restart()
			}
		})
	}
}

// TestPolicyThreshold: a policy that the pinned root did not sign is refused.
func TestPolicyThreshold(t *testing.T) {
	h := startHub(t, Options{})
	s, err := clockPolicy(t, 2).Sign(seeded(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if status, code := h.post("/v1/policy", part{"statement", s.Statement}, part{"signature", s.Signatures}); code != "threshold" {
		t.Errorf("%d %s", status, code)
	}
	s = signPolicy(t, clockPolicy(t, 3))[0]
	if status, code := h.post("/v1/policy", part{"statement", s.Statement}, part{"signature", s.Signatures}); code != "policy_chain" {
		t.Errorf("a jump: %d %s", status, code)
	}
}
