package wire

import "github.com/countersign/countersign/internal/canon"

// Bodies of the hub's HTTP answers and requests. A client ignores members that
// it does not know, because these say how things stand and authorise nothing.

// ErrorBody is the body of every error.
type ErrorBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// ReleaseAdmitted answers POST /v1/releases.
type ReleaseAdmitted struct {
	Release canon.Digest `json:"release"`
}

// OrderAdmitted answers POST /v1/orders.
type OrderAdmitted struct {
	Order canon.Digest `json:"order"`
	Tasks uint64       `json:"tasks"`
}

// StopAdmitted answers POST /v1/stops.
type StopAdmitted struct {
	Stop canon.Digest `json:"stop"`
}

// ReleaseList answers GET /v1/releases.
type ReleaseList struct {
	Releases []ReleaseInfo `json:"releases"`
}

// ReleaseInfo is a release as the hub has it.
type ReleaseInfo struct {
	Release      canon.Digest `json:"release"`
	Name         string       `json:"name"`
	Version      int64        `json:"version"`
	Purpose      string       `json:"purpose"`
	ModuleSHA256 canon.Digest `json:"module_sha256"`
	ModuleLength int64        `json:"module_length"`
	SourceSHA256 canon.Digest `json:"source_sha256"`
	Expires      canon.Time   `json:"expires"`
	State        string       `json:"state"` // live, stopped or expired
	Reason       string       `json:"reason,omitempty"`
}

// OrderList answers GET /v1/orders.
type OrderList struct {
	Orders []OrderInfo `json:"orders"`
}

// OrderInfo is how an order stands.
type OrderInfo struct {
	Order            canon.Digest `json:"order"`
	Title            string       `json:"title"`
	Release          canon.Digest `json:"release"`
	Name             string       `json:"name"`  // of the release
	State            string       `json:"state"` // queued, running, done, stopped or expired
	Reason           string       `json:"reason,omitempty"`
	Tasks            uint64       `json:"tasks"`
	Accepted         uint64       `json:"accepted"`  // tasks with an accepted outcome
	Undecided        uint64       `json:"undecided"` // tasks on which too many votes disagreed
	Stopped          uint64       `json:"stopped"`   // tasks that somebody stopped one by one
	Withdrawn        uint64       `json:"withdrawn"` // verdicts, because a worker behind them was caught
	Votes            uint64       `json:"votes"`     // on disk
	Leases           int          `json:"leases"`    // lent now
	Text             string       `json:"text"`      // the last progress text
	CompletePermille int          `json:"complete_permille"`
	Priority         int          `json:"priority"`
	Redundancy       string       `json:"redundancy"` // vote, first or adaptive
	Agree            int          `json:"agree"`
	Of               int          `json:"of"`
	NotBefore        canon.Time   `json:"not_before"`
	Expires          canon.Time   `json:"expires"`
}

// Ended reports whether nothing more will happen to an order in that state.
func (o *OrderInfo) Ended() bool { return o.State != "queued" && o.State != "running" }

// ResultLine is one line of GET /v1/orders/<digest>/results.
type ResultLine struct {
	Task   uint64 `json:"task"`
	End    End    `json:"end"` // or Undecided, or Stopped
	Code   uint32 `json:"code"`
	Fuel   uint64 `json:"fuel"`
	Output []byte `json:"output"`

	Segments   uint32       `json:"segments"`
	Transcript canon.Digest `json:"transcript"`

	Agree int `json:"agree"` // voices for this outcome; of an undecided task, for the strongest

	Credibility float64 `json:"credibility,omitempty"` // if that is how it won
	Audited     bool    `json:"audited,omitempty"`     // an auditor has said so
	Round       uint32  `json:"round,omitempty"`       // how many verdicts on the task were withdrawn before
}

// Undecided stands in a ResultLine for the end of a task whose votes disagree
// beyond the limit of docs/spec/job.md; the other members are zero then.
const Undecided End = "undecided"

// Stopped stands there for the end of a task that somebody stopped.
const Stopped End = "stopped"

// StatusInfo answers GET /v1/status.
type StatusInfo struct {
	Hub     Key            `json:"hub"`
	Time    canon.Time     `json:"time"`
	Halted  bool           `json:"halted"`
	Reason  string         `json:"reason,omitempty"` // of the halt
	Workers int            `json:"workers"`          // connected and joined
	Leases  int            `json:"leases"`
	Orders  map[string]int `json:"orders"` // by state
	Votes   uint64         `json:"votes"`
	Results uint64         `json:"results"` // tasks with a verdict
	Trust   TrustInfo      `json:"trust"`
	Disk    DiskInfo       `json:"disk"`
}

// DiskInfo says how much room a hub has.
type DiskInfo struct {
	State string `json:"state"`          // ok, short (nothing is lent or admitted) or full (votes wait, too)
	Free  uint64 `json:"free,omitempty"` // bytes, where that can be known
}

// PolicyAdmitted answers POST /v1/policy.
type PolicyAdmitted struct {
	Policy  canon.Digest `json:"policy"`
	Version int64        `json:"version"`
}

// IndexAdmitted answers POST /v1/index.
type IndexAdmitted struct {
	Sequence uint64     `json:"sequence"`
	Expires  canon.Time `json:"expires"`
}

// PolicyChain answers GET /v1/policy: all policies in ascending order.
type PolicyChain struct {
	Policies []SignedPolicy `json:"policies"`
}

// SignedPolicy is a policy with its bundle of signatures, in base64.
type SignedPolicy struct {
	Statement  []byte `json:"statement"`
	Signatures []byte `json:"signatures"`
}

// SignedIndex answers GET /v1/index, in base64.
type SignedIndex struct {
	Statement []byte `json:"statement"`
	Signature []byte `json:"signature"`
}

// TrustInfo says how fresh a hub's trust is.
type TrustInfo struct {
	PolicyVersion int64       `json:"policy_version"`
	PolicyExpires canon.Time  `json:"policy_expires"`
	Index         string      `json:"index"` // none, missing, fresh, aging, stale
	IndexSequence uint64      `json:"index_sequence,omitempty"`
	IndexExpires  *canon.Time `json:"index_expires,omitempty"`
	Warning       string      `json:"warning,omitempty"`
}

// KillRequest is the body of POST /v1/kill, with the operator's token.
type KillRequest struct {
	Scope  Scope  `json:"scope"`  // all, release, order or task
	Target string `json:"target"` // "", a digest, or a TaskTarget
	Reason string `json:"reason"`
}

// MaxTokenList is how many tokens are listed at most.
const MaxTokenList = 4096

// TokenList answers GET /v1/tokens.
type TokenList struct {
	Tokens []TokenInfo    `json:"tokens"`
	Keys   []TokenKeyInfo `json:"keys"` // that tokens may be signed with, the newest first
}

// TokenInfo is a token that was minted, or revoked.
type TokenInfo struct {
	ID      string      `json:"jti"`
	Role    string      `json:"role,omitempty"` // empty: the hub has no record of it
	Subject string      `json:"subject,omitempty"`
	Origin  string      `json:"origin,omitempty"`
	Rate    int         `json:"rate,omitempty"`
	Expires *canon.Time `json:"expires,omitempty"`
	Revoked bool        `json:"revoked"`
	Reason  string      `json:"reason,omitempty"`
}

// TokenKeyInfo is a key of the ring.
type TokenKeyInfo struct {
	Key   Key         `json:"key"`
	Until *canon.Time `json:"until,omitempty"` // none: it signs
}

// RevokeRequest is the body of POST /v1/tokens/revoke.
type RevokeRequest struct {
	ID     string `json:"jti"`
	Reason string `json:"reason"`
}

// RotateRequest is the body of POST /v1/tokens/rotate.
type RotateRequest struct {
	Overlap int64 `json:"overlap"` // seconds that the keys before still count
}

// Rotated answers POST /v1/tokens/rotate.
type Rotated struct {
	Key Key `json:"key"`
}

// SnapshotMade answers POST /v1/snapshot.
type SnapshotMade struct {
	Snapshot string `json:"snapshot"` // the folder's name, in the data directory
}

// CreditLine is one line of GET /v1/credit.
type CreditLine struct {
	Worker Key    `json:"worker"`
	Votes  uint64 `json:"votes"` // that won
	Fuel   uint64 `json:"fuel"`  // of them
}

// VoteLine is one line of GET /v1/orders/<digest>/votes.
type VoteLine struct {
	Worker    Key        `json:"worker"`
	Vote      Vote       `json:"vote"`
	Signature Signature  `json:"signature"`
	Sheet     *Place     `json:"sheet,omitempty"` // that is signed, and the vote's place on it
	Net       string     `json:"net"`
	At        canon.Time `json:"at"`
	Links     []byte     `json:"links,omitempty"`   // of its transcript, of a disputed task of several segments
	Refuted   bool       `json:"refuted,omitempty"` // an auditor found a segment of it wrong
}

// Seal is the worker's, of the vote.
func (l *VoteLine) Seal() Seal { return Seal{l.Signature, l.Sheet} }
