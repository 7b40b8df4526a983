package wire

import (
	"crypto/ed25519"
	"encoding/hex"

	"github.com/countersign/countersign/internal/canon"
)

// Key is an Ed25519 public key, of a hub or a worker.
type Key [ed25519.PublicKeySize]byte

func (k Key) String() string { return hex.EncodeToString(k[:]) }

// MarshalText writes lower-case hex.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads lower-case hex.
func (k *Key) UnmarshalText(text []byte) error { return unmarshalHex("key", k[:], text) }

// ParseKey reads lower-case hex.
func ParseKey(s string) (k Key, err error) {
	err = k.UnmarshalText([]byte(s))
	return k, err
}

// KeyOf returns the key as a comparable value.
func KeyOf(k ed25519.PublicKey) Key { return Key(k) }

// Signature is an Ed25519 signature.
type Signature [ed25519.SignatureSize]byte

// MarshalText writes lower-case hex.
func (s Signature) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads lower-case hex.
func (s *Signature) UnmarshalText(text []byte) error { return unmarshalHex("signature", s[:], text) }

// Nonce makes a join worth nothing on another connection.
type Nonce [32]byte

// LeaseID names a lease; it is the token's jti.
type LeaseID [16]byte

func (id LeaseID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes lower-case hex.
func (id LeaseID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads lower-case hex.
func (id *LeaseID) UnmarshalText(text []byte) error { return unmarshalHex("lease id", id[:], text) }

// ParseLeaseID reads lower-case hex.
func ParseLeaseID(s string) (id LeaseID, err error) {
	err = id.UnmarshalText([]byte(s))
	return id, err
}

func unmarshalHex(what string, dst, text []byte) error {
	if !decodeHex(dst, text) {
		return canon.Fail(CodeMessage, "%s %.80q: want %d lower-case hex digits", what, text, 2*len(dst))
	}
	return nil
}

var hubMessages = map[string]func() FromHub{
	"hello":   func() FromHub { return new(Hello) },
	"welcome": func() FromHub { return new(Welcome) },
	"lease":   func() FromHub { return new(Lease) },
	"idle":    func() FromHub { return new(Idle) },
	"kept":    func() FromHub { return new(Kept) },
	"ack":     func() FromHub { return new(Ack) },
	"refused": func() FromHub { return new(Refused) },
	"kill":    func() FromHub { return new(Kill) },
	"resume":  func() FromHub { return new(Resume) },
	"error":   func() FromHub { return new(Error) },
}

var workerMessages = map[string]func() FromWorker{
	"join":       func() FromWorker { return new(Join) },
	"want":       func() FromWorker { return new(Want) },
	"progress":   func() FromWorker { return new(Progress) },
	"checkpoint": func() FromWorker { return new(Offer) },
	"result":     func() FromWorker { return new(Result) },
	"sheet":      func() FromWorker { return new(Sheet) },
	"return":     func() FromWorker { return new(Return) },
}

// Hello opens a connection.
type Hello struct {
	Hub   Key
	Nonce Nonce
	Time  uint64 // seconds since 1970
}

// Welcome answers a join.
type Welcome struct {
	Halted bool
	Visit  uint32 // seconds that a visit lasts in the mean; 0: not known

	Session string // token to come back with; "": none is needed
}

// Lease lends a lane of a task.
type Lease struct {
	Token      string // as it is read, never ""; as it is sent, "": that of the lease before in the frame
	ID         LeaseID
	Order      canon.Digest
	Release    canon.Digest
	Task       uint64
	Lane       uint32
	Input      []byte
	Proof      []byte       // that the input is the signed one: statement.md, "Inputs"
	Checkpoint canon.Digest // of the file to go on from; zero: from the start
	Seconds    uint32
}

// Kept says what the hub has of a lane, on disk.
type Kept struct {
	ID       LeaseID
	Segments uint32 // 0: no checkpoint
}

// Idle says that there is nothing to lend now.
type Idle struct{}

// Ack says that a vote is on disk.
type Ack struct {
	ID      LeaseID
	Verdict Verdict
}

// Verdict is how a vote stands when it is acknowledged.
type Verdict string

const (
	Pending  Verdict = "pending"
	Agreed   Verdict = "agreed"
	Outvoted Verdict = "outvoted"
	Late     Verdict = "late"
)

// Refused says that a vote is not taken.
type Refused struct {
	ID      LeaseID
	Code    string
	Message string
}

// Kill ends work.
type Kill struct {
	Scope  Scope
	Target string // digest, TaskTarget, lease id, or "" for all
	Reason string
}

// Scope is what a kill ends.
type Scope string

const (
	KillAll     Scope = "all"
	KillOrder   Scope = "order"
	KillRelease Scope = "release"
	KillTask    Scope = "task"
	KillLease   Scope = "lease"
)

// Resume lifts a halt.
type Resume struct{}

// Error is the last message of a connection that the hub closes.
type Error struct {
	Code    string
	Message string
	Retry   uint32 // seconds after which to come again; 0: as the worker likes
}

// Join proves the worker's key.
type Join struct {
	Worker    Key
	Signature Signature
	Agent     string
	Pass      string // site or session token, or ""
}

// Want asks to be kept at so many leases.
type Want struct{ Leases uint32 }

// Progress is for people.
type Progress struct {
	ID       LeaseID
	Permille uint32
	Text     string
	Fuel     uint64
}

// Offer is the message checkpoint: the lane can go on from there.
type Offer struct {
	Token string
	Checkpoint
}

// Result delivers a vote.
type Result struct {
	Token  string // or "": the hub knows the lease
	Vote   Vote
	Output []byte
	Links  []byte // of all segments, LinkSize bytes each
	Seal   Seal   // on the wire its signature only, and none of a vote on a sheet
}

// Sheet signs the votes of its frame that have no signature of their own.
type Sheet struct{ Signature Signature }

// Return gives a lease back without a vote.
type Return struct {
	ID     LeaseID
	Reason ReturnReason
	Check  string // failure class, or ""
	Detail string
}

// ReturnReason is why a lease comes back.
type ReturnReason string

const (
	ReturnStopped  ReturnReason = "stopped"
	ReturnDeadline ReturnReason = "deadline"
	ReturnFault    ReturnReason = "fault"
	ReturnRefused  ReturnReason = "refused"
	ReturnKilled   ReturnReason = "killed"
)
