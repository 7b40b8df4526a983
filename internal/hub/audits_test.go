package hub

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// auditOf is an audit of a task of a range order, with that output.
func (h *testHub) auditOf(order canon.Digest, task uint64, output string) wire.AuditRequest {
	h.t.Helper()
	e, err := h.catalog.order(order)
	if err != nil {
		h.t.Fatal(err)
	}
	input, err := e.inputDigest(task)
	if err != nil {
		h.t.Fatal(err)
	}
	a := wire.Audit{Type: wire.AuditType, Order: order, Task: task, Module: e.release.ModuleSHA256, Input: input, End: wire.EndExit, Fuel: 7,
		Output: canon.Sum([]byte(output)), Segments: 1, Transcript: canon.Sum([]byte("link of " + output))}
	return h.signAudit(a, output)
}

func (h *testHub) signAudit(a wire.Audit, output string) wire.AuditRequest {
	h.t.Helper()
	key := workerKey(77)
	sig, err := wire.SignAudit(&a, key)
	if err != nil {
		h.t.Fatal(err)
	}
	return wire.AuditRequest{Auditor: wire.KeyOf(key.Public().(ed25519.PublicKey)), Audit: a, Signature: sig, Output: []byte(output)}
}

func (h *testHub) postAudit(token string, q wire.AuditRequest) (status int, code string) {
	h.t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.do("POST", "/v1/audits", "application/json", token, bytes.NewReader(body))
}

// TestAudit: an auditor decides what votes could not, and overturns what they
// got wrong; both outlive a restart and the check of the disk.
func TestAudit(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	o := h.rangeOrder(3)
	order := h.submit(o, "")
	for n := range 2 {
		h.volunteer(n, 3, func(l *wire.Lease) string {
			if l.Task == 0 {
				return "both lie"
			}
			return "true"
		})
	}
	eventually(t, "the order is done", func() bool { return h.order(order).State == "done" })
	token := h.mint(Grant{Role: "auditor", Subject: "test", Life: time.Hour})
	for _, task := range []uint64{0, 1} {
		if status, code := h.postAudit(token, h.auditOf(order, task, "true")); status != http.StatusCreated {
			t.Fatalf("%d %s", status, code)
		}
	}
	for range 2 {
		lines := h.resultLines(order, "")
		for i, line := range lines {
			if string(line.Output) != "true" || line.Audited != (i < 2) || line.Round != map[int]uint32{0: 1}[i] {
				t.Errorf("%+v", line)
			}
		}
		if info := h.order(order); len(lines) != 3 || info.Withdrawn != 1 || info.Accepted != 3 || info.State != "done" {
			t.Errorf("%+v", info)
		}
		h.restart()
	}
	h.end()
	r, err := Check(h.opt.Data, true)
	if err != nil || len(r.Problems) > 0 || r.Audits != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAuditRefusals: what is no audit of an auditor changes nothing.
func TestAuditRefusals(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(1), "")
	first := h.rangeOrder(1)
	first.Redundancy = release.Redundancy{First: &release.First{}}
	dice := h.submit(first, "")
	token := h.mint(Grant{Role: "auditor", Subject: "test", Life: time.Hour})
	good := h.auditOf(order, 0, "true")
	change := func(f func(*wire.Audit)) wire.AuditRequest {
		a := good.Audit
		f(&a)
		return h.signAudit(a, "true")
	}
	forged := good
	forged.Audit.Fuel++
	cases := map[string]struct {
		token string
		q     wire.AuditRequest
		code  string
	}{
		"no token":       {"", good, wire.CodeUnauthorized},
		"an operator's":  {h.token(), good, wire.CodeForbidden},
		"forged":         {token, forged, wire.CodeVoteSignature},
		"another module": {token, change(func(a *wire.Audit) { a.Module = canon.Digest{} }), wire.CodeVoteMismatch},
		"another input":  {token, change(func(a *wire.Audit) { a.Input = canon.Digest{} }), wire.CodeVoteMismatch},
		"another output": {token, change(func(a *wire.Audit) { a.Output = canon.Digest{} }), wire.CodeVoteMismatch},
		"no such task":   {token, change(func(a *wire.Audit) { a.Task = 1 }), wire.CodeVoteMismatch},
		"no such order":  {token, change(func(a *wire.Audit) { a.Order = canon.Digest{} }), wire.CodeUnknownOrder},
		"of dice":        {token, h.auditOf(dice, 0, "true"), wire.CodeVoteMismatch},
	}
	for name, c := range cases {
		if _, code := h.postAudit(c.token, c.q); code != c.code {
			t.Errorf("%s: %s, want %s", name, code, c.code)
		}
	}
	if info := h.order(order); info.Accepted != 0 {
		t.Errorf("%+v", info)
	}
}
