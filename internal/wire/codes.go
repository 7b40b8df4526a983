package wire

import (
	"maps"
	"net/http"
	"slices"
)

// Codes of errors that are not failure classes of docs/spec/statement.md.
const (
	CodeMessage       = "message"        // not a message of this protocol
	CodeJoinSignature = "join_signature" // the worker's key is not proved
	CodeJoinTimeout   = "join_timeout"
	CodeSlow          = "slow"        // the worker does not read
	CodeConnections   = "connections" // too many connections
	CodeRate          = "rate"        // too many requests
	CodeClosing       = "closing"     // the hub shuts down

	CodeLeaseInvalid  = "lease_invalid"
	CodeLeaseToken    = "lease_token"
	CodeVoteSignature = "vote_signature"
	CodeVoteMismatch  = "vote_mismatch"
	CodeVoteDuplicate = "vote_duplicate"
	CodeOrderEnded    = "order_ended"
	CodeCheckpoint    = "checkpoint" // its signature, digests or lengths, or it is of another task

	CodeModuleLength   = "module_length"
	CodeModuleSHA256   = "module_sha256"
	CodeSourceSHA256   = "source_sha256"
	CodeMetering       = "metering"        // the source is outside of the subset
	CodeMeteringDiffer = "metering_differ" // metering the source gives another module
	CodeModuleInvalid  = "module_invalid"  // the engine refuses it
	CodeInput          = "input"           // the input file is not the signed one

	CodeUnknownRelease = "unknown_release"
	CodeUnknownOrder   = "unknown_order"
	CodeStopped        = "stopped" // a stop or kill ended what this needs
	CodeHalted         = "halted"
	CodePolicy         = "policy" // the hub's policy has expired
	CodeRequest        = "request"
	CodeNotFound       = "not_found"
	CodeMethod         = "method"
	CodeOrigin         = "origin"
	CodeUnauthorized   = "unauthorized"
	CodeForbidden      = "forbidden"
	CodeTimeout        = "timeout"
	CodeBusy           = "busy" // what this is about is changing: try again
	CodeFull           = "full" // the hub's disk is
	CodeInternal       = "internal"
)

// statuses is the one map from code to HTTP status.
var statuses = map[string]int{
	"too_large":             http.StatusRequestEntityTooLarge,
	"signature_malformed":   http.StatusBadRequest,
	"signature_legacy":      http.StatusBadRequest,
	"signature_unknown_key": http.StatusForbidden,
	"signature_invalid":     http.StatusForbidden,
	"encoding":              http.StatusBadRequest,
	"bounds":                http.StatusUnprocessableEntity,
	"expiry":                http.StatusUnprocessableEntity,
	"name_prefix":           http.StatusForbidden,
	"ceiling":               http.StatusForbidden,
	"threshold":             http.StatusForbidden,
	"policy_chain":          http.StatusConflict,
	"policy_version":        http.StatusConflict,
	"rollback":              http.StatusConflict,
	"floor":                 http.StatusForbidden,
	"revoked":               http.StatusForbidden,
	"index_missing":         http.StatusServiceUnavailable,

	CodeMessage:       http.StatusBadRequest,
	CodeJoinSignature: http.StatusForbidden,
	CodeJoinTimeout:   http.StatusRequestTimeout,
	CodeSlow:          http.StatusRequestTimeout,
	CodeConnections:   http.StatusTooManyRequests,
	CodeRate:          http.StatusTooManyRequests,
	CodeClosing:       http.StatusServiceUnavailable,

	CodeLeaseInvalid:  http.StatusForbidden,
	CodeLeaseToken:    http.StatusForbidden,
	CodeVoteSignature: http.StatusForbidden,
	CodeVoteMismatch:  http.StatusUnprocessableEntity,
	CodeVoteDuplicate: http.StatusConflict,
	CodeOrderEnded:    http.StatusConflict,
	CodeCheckpoint:    http.StatusUnprocessableEntity,

	CodeModuleLength:   http.StatusUnprocessableEntity,
	CodeModuleSHA256:   http.StatusUnprocessableEntity,
	CodeSourceSHA256:   http.StatusUnprocessableEntity,
	CodeMetering:       http.StatusUnprocessableEntity,
	CodeMeteringDiffer: http.StatusUnprocessableEntity,
	CodeModuleInvalid:  http.StatusUnprocessableEntity,
	CodeInput:          http.StatusUnprocessableEntity,

	CodeUnknownRelease: http.StatusNotFound,
	CodeUnknownOrder:   http.StatusNotFound,
	CodeStopped:        http.StatusConflict,
	CodeHalted:         http.StatusServiceUnavailable,
	CodePolicy:         http.StatusServiceUnavailable,
	CodeRequest:        http.StatusBadRequest,
	CodeNotFound:       http.StatusNotFound,
	CodeMethod:         http.StatusMethodNotAllowed,
	CodeOrigin:         http.StatusForbidden,
	CodeUnauthorized:   http.StatusUnauthorized,
	CodeForbidden:      http.StatusForbidden,
	CodeTimeout:        http.StatusRequestTimeout,
	CodeBusy:           http.StatusServiceUnavailable,
	CodeFull:           http.StatusInsufficientStorage,
	CodeInternal:       http.StatusInternalServerError,
}

// Status returns the HTTP status of an error code; 500 for one that is not in
// the table, because then the hub is at fault.
func Status(code string) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Codes returns all error codes in alphabetical order.
func Codes() []string { return slices.Sorted(maps.Keys(statuses)) }
