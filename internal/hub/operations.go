package hub

import (
	"net/http"

	"github.com/countersign/countersign/internal/wire"
)

// operation is a request that the hub answers: docs/spec/wire.md, "HTTP". The
// routes and the OpenAPI document are made of the same list, so neither has
// what the other has not.
type operation struct {
	method, path string
	summary      string
	handle       func(http.ResponseWriter, *http.Request) error
	auth         []role // whose token it needs, if any
	parts        []string
	request      any // of a JSON body
	query        []parameter
	status       int    // when it succeeds; 0: 200
	again        int    // when what it brings was there before; 0: the same
	answer       any    // of a JSON body, or of each line
	content      string // type of the answer, if it is not one JSON value
}

type parameter struct{ name, summary string }

const (
	jsonLines = "application/x-ndjson"
	anyBytes  = "application/octet-stream"
	plainText = "text/plain; charset=utf-8"
)

func (h *Hub) operations() []operation {
	from := []parameter{{"from", "the first task, in ascending order; 0 by default"}}
	signed := []string{"statement", "signature"}
	var readers []role
	if h.opt.PrivateResults {
		readers = []role{roleAuditor, roleOperator}
	}
	return []operation{
		{method: "GET", path: wire.WorkPath, summary: "The worker's protocol, over a WebSocket.", handle: h.accept, status: http.StatusSwitchingProtocols},
		{method: "GET", path: "/m/{digest}", summary: "A module by its SHA-256.", handle: h.getModule, content: "application/wasm"},
		{method: "GET", path: "/i/{order}/{task}", summary: "The input of a task that is too long for a lease.", handle: h.getTaskInput, content: anyBytes},
		{method: "GET", path: "/c/{digest}", summary: "A checkpoint that a lease names.", handle: h.getCheckpoint, content: "application/json"},
		{method: "GET", path: "/s/{name}", summary: "A statement by its SHA-256; with .minisig its signature, with .tlog-proof its proof.", handle: h.getStatement, content: anyBytes},
		{method: "GET", path: "/log/checkpoint", summary: "The log's checkpoint.", handle: h.getLogCheckpoint, content: plainText},
		{method: "GET", path: "/log/tile/{path...}", summary: "A tile of the log.", handle: h.getLogTile, content: anyBytes},
		{method: "POST", path: "/v1/releases", summary: "Publishes a release.", handle: h.postRelease,
			parts: []string{"statement", "signature", "source", "module"}, status: http.StatusCreated, again: http.StatusOK, answer: wire.ReleaseAdmitted{}},
		{method: "GET", path: "/v1/releases", summary: "All releases.", handle: h.getReleases, answer: wire.ReleaseList{}},
		{method: "POST", path: "/v1/orders", summary: "Submits an order; input is for rules by file.", handle: h.postOrder,
			parts: []string{"statement", "signature", "input"}, status: http.StatusCreated, again: http.StatusOK, answer: wire.OrderAdmitted{}},
		{method: "GET", path: "/v1/orders", summary: "All orders.", handle: h.getOrders, answer: wire.OrderList{}},
		{method: "GET", path: "/v1/orders/{order}", summary: "How an order stands.", handle: h.getOrder, answer: wire.OrderInfo{}},
		{method: "GET", path: "/v1/orders/{order}/input", summary: "An order's input file, or its gathered inputs.", handle: h.getInput, auth: readers, content: anyBytes},
		{method: "GET", path: "/v1/orders/{order}/results", summary: "The verdicts of an order.", handle: h.getResults, auth: readers, query: from, content: jsonLines, answer: wire.ResultLine{}},
		{method: "GET", path: "/v1/orders/{order}/votes", summary: "The votes on an order.", handle: h.getVotes, auth: []role{roleAuditor, roleOperator},
			query: from, content: jsonLines, answer: wire.VoteLine{}},
		{method: "POST", path: "/v1/audits", summary: "Says what a task comes to: the verdict from then on.", handle: h.postAudit, auth: []role{roleAuditor},
			request: wire.AuditRequest{}, status: http.StatusCreated, answer: wire.Audited{}},
		{method: "POST", path: "/v1/refutations", summary: "Says that a segment of a transcript is wrong: votes with it count for nothing.", handle: h.postRefutation, auth: []role{roleAuditor},
			request: wire.RefutationRequest{}, status: http.StatusCreated, answer: wire.Refuted{}},
		{method: "GET", path: "/v1/orders/{order}/tasks/{task}/checkpoints", summary: "The checkpoints that are kept of a task.", handle: h.getCheckpoints, auth: []role{roleAuditor, roleOperator}, answer: wire.CheckpointList{}},
		{method: "GET", path: "/v1/credit", summary: "What each worker has earned.", handle: h.getCredit, auth: []role{roleAuditor, roleOperator}, content: jsonLines, answer: wire.CreditLine{}},
		{method: "POST", path: "/v1/stops", summary: "Stops an order, a task or a release.", handle: h.postStop, parts: signed, status: http.StatusCreated, again: http.StatusOK, answer: wire.StopAdmitted{}},
		{method: "POST", path: "/v1/policy", summary: "Brings the next version of the policy.", handle: h.postPolicy, parts: signed, status: http.StatusCreated, again: http.StatusOK, answer: wire.PolicyAdmitted{}},
		{method: "GET", path: "/v1/policy", summary: "The chain of policies.", handle: h.getPolicy, answer: wire.PolicyChain{}},
		{method: "POST", path: "/v1/index", summary: "Brings a newer index.", handle: h.postIndex, parts: signed, status: http.StatusCreated, answer: wire.IndexAdmitted{}},
		{method: "GET", path: "/v1/index", summary: "The index.", handle: h.getIndex, answer: wire.SignedIndex{}},
		{method: "GET", path: "/v1/status", summary: "The hub's state.", handle: h.getStatus, answer: wire.StatusInfo{}},
		{method: "POST", path: "/v1/kill", summary: "Ends a task, an order, a release or everything.", handle: h.postKill, auth: []role{roleOperator}, request: wire.KillRequest{}, status: http.StatusNoContent},
		{method: "POST", path: "/v1/resume", summary: "Lifts the end of everything.", handle: h.postResume, auth: []role{roleOperator}, status: http.StatusNoContent},
		{method: "GET", path: "/v1/tokens", summary: "The tokens that were minted, and the keys.", handle: h.getTokens, auth: []role{roleOperator}, answer: wire.TokenList{}},
		{method: "POST", path: "/v1/tokens/revoke", summary: "Revokes a token.", handle: h.postRevoke, auth: []role{roleOperator}, request: wire.RevokeRequest{}, status: http.StatusNoContent},
		{method: "POST", path: "/v1/tokens/rotate", summary: "Signs tokens with a new key from now on.", handle: h.postRotate, auth: []role{roleOperator}, request: wire.RotateRequest{}, answer: wire.Rotated{}},
		{method: "POST", path: "/v1/snapshot", summary: "Copies the facts, for a backup.", handle: h.postSnapshot, auth: []role{roleOperator}, status: http.StatusCreated, answer: wire.SnapshotMade{}},
		{method: "GET", path: "/v1/openapi.json", summary: "This document.", handle: h.getOpenAPI, answer: map[string]any{}},
		{method: "GET", path: "/healthz", summary: "Whether the hub serves.", handle: h.getHealth, answer: map[string]string{}},
		{method: "GET", path: "/metrics", summary: "Measurements, for Prometheus.", handle: h.getMetrics, content: plainText},
	}
}
