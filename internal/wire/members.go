package wire

import (
	"encoding/hex"

	"github.com/countersign/countersign/internal/canon"
)

// The members of each message in the order of docs/spec/wire.md, with bounds.

func (*Hello) kind() string { return "hello" }
func (*Hello) fromHub()     {}
func (m *Hello) members(c *codec) {
	c.hex("hub", m.Hub[:])
	c.hex("nonce", m.Nonce[:])
	integer(c, "time", &m.Time, 0, canon.MaxInteger)
}

func (*Welcome) kind() string { return "welcome" }
func (*Welcome) fromHub()     {}
func (m *Welcome) members(c *codec) {
	c.boolean("halted", &m.Halted)
	integer(c, "visit", &m.Visit, 0, MaxSeconds)
	c.token("session", &m.Session, 0, MaxToken)
}

func (*Lease) kind() string { return "lease" }
func (*Lease) fromHub()     {}
func (m *Lease) members(c *codec) {
	c.token("lease", &m.Token, 0, MaxLeaseToken)
	c.hex("id", m.ID[:])
	c.hex("order", m.Order[:])
	c.hex("release", m.Release[:])
	integer(c, "task", &m.Task, 0, MaxTask)
	integer(c, "lane", &m.Lane, 0, MaxLane)
	c.base64("input", &m.Input, MaxInput)
	c.base64("proof", &m.Proof, MaxProof*LinkSize)
	c.digestOrNone("checkpoint", &m.Checkpoint)
	integer(c, "seconds", &m.Seconds, 1, MaxSeconds)
}

func (*Idle) kind() string   { return "idle" }
func (*Idle) fromHub()       {}
func (*Idle) members(*codec) {}

func (*Kept) kind() string { return "kept" }
func (*Kept) fromHub()     {}
func (m *Kept) members(c *codec) {
	c.hex("id", m.ID[:])
	integer(c, "segments", &m.Segments, 0, MaxSegments-1)
}

func (*Ack) kind() string { return "ack" }
func (*Ack) fromHub()     {}
func (m *Ack) members(c *codec) {
	c.hex("id", m.ID[:])
	enum(c, "verdict", &m.Verdict, Pending, Agreed, Outvoted, Late)
}

func (*Refused) kind() string { return "refused" }
func (*Refused) fromHub()     {}
func (m *Refused) members(c *codec) {
	c.hex("id", m.ID[:])
	c.code("code", &m.Code, 1)
	c.text("message", &m.Message, 0, MaxErrorText)
}

func (*Kill) kind() string { return "kill" }
func (*Kill) fromHub()     {}
func (m *Kill) members(c *codec) {
	enum(c, "scope", &m.Scope, KillAll, KillOrder, KillRelease, KillTask, KillLease)
	c.text("target", &m.Target, 0, maxTarget)
	c.text("reason", &m.Reason, 0, MaxReason)
	if c.err == nil && !m.Scope.takes(m.Target) {
		c.fail("target %q does not go with scope %q", m.Target, m.Scope)
	}
}

// takes reports whether target has the form that the scope needs.
func (s Scope) takes(target string) bool {
	switch s {
	case KillAll:
		return target == ""
	case KillLease:
		_, err := ParseLeaseID(target)
		return err == nil
	case KillTask:
		_, _, err := ParseTaskTarget(target)
		return err == nil
	}
	_, err := canon.ParseDigest(target)
	return err == nil
}

func (*Resume) kind() string   { return "resume" }
func (*Resume) fromHub()       {}
func (*Resume) members(*codec) {}

func (*Error) kind() string { return "error" }
func (*Error) fromHub()     {}
func (m *Error) members(c *codec) {
	c.code("code", &m.Code, 1)
	c.text("message", &m.Message, 0, MaxErrorText)
	integer(c, "retry", &m.Retry, 0, MaxRetry)
}

func (*Join) kind() string { return "join" }
func (*Join) fromWorker()  {}
func (m *Join) members(c *codec) {
	c.hex("worker", m.Worker[:])
	c.hex("signature", m.Signature[:])
	c.text("agent", &m.Agent, 1, MaxAgent)
	c.token("pass", &m.Pass, 0, MaxToken)
}

func (*Want) kind() string       { return "want" }
func (*Want) fromWorker()        {}
func (m *Want) members(c *codec) { integer(c, "leases", &m.Leases, 0, MaxWant) }

func (*Progress) kind() string { return "progress" }
func (*Progress) fromWorker()  {}
func (m *Progress) members(c *codec) {
	c.hex("id", m.ID[:])
	integer(c, "permille", &m.Permille, 0, 1000)
	c.text("text", &m.Text, 0, MaxText)
	integer(c, "fuel", &m.Fuel, 0, canon.MaxInteger)
}

func (*Offer) kind() string { return "checkpoint" }
func (*Offer) fromWorker()  {}
func (m *Offer) members(c *codec) {
	c.token("lease", &m.Token, 1, MaxLeaseToken)
	m.Checkpoint.members(c)
}

func (*Result) kind() string { return "result" }
func (*Result) fromWorker()  {}
func (m *Result) members(c *codec) {
	c.token("lease", &m.Token, 0, MaxLeaseToken)
	c.object("vote", m.Vote.members)
	c.base64("output", &m.Output, MaxOutput)
	c.base64("links", &m.Links, MaxSegments*LinkSize)
	c.signatureOrNone("signature", m.signature())
}

// signature is the one that stands in the message.
func (m *Result) signature() *Signature {
	if m.Seal.Place != nil {
		return new(Signature)
	}
	return &m.Seal.Signature
}

func (*Sheet) kind() string       { return "sheet" }
func (*Sheet) fromWorker()        {}
func (m *Sheet) members(c *codec) { c.hex("signature", m.Signature[:]) }

func (*Return) kind() string { return "return" }
func (*Return) fromWorker()  {}
func (m *Return) members(c *codec) {
	c.hex("id", m.ID[:])
	enum(c, "reason", &m.Reason, ReturnStopped, ReturnDeadline, ReturnFault, ReturnRefused, ReturnKilled)
	c.code("check", &m.Check, 0)
	c.text("detail", &m.Detail, 0, MaxText)
}

// digestOrNone is a digest, or "" for none, which is the zero digest here.
func (c *codec) digestOrNone(name string, d *canon.Digest) {
	var s string
	if *d != (canon.Digest{}) {
		s = d.String()
	}
	c.text(name, &s, 0, 64)
	if c.err != nil || s == "" {
		return
	}
	read, err := canon.ParseDigest(s)
	if err != nil || read == (canon.Digest{}) {
		c.fail("member %q: want 64 lower-case hex digits or nothing", name)
	}
	if read != *d {
		*d = read
	}
}

// code is a failure class or error code.
func (c *codec) code(name string, s *string, lo int) {
	c.text(name, s, lo, 32)
	for _, b := range []byte(*s) {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			c.fail("member %q: %q is no code", name, *s)
			return
		}
	}
}

// signatureOrNone is a signature, or "" for none, which is the zero one here.
func (c *codec) signatureOrNone(name string, s *Signature) {
	m, ok := c.reading(name, isString)
	switch none := (*s == Signature{}); {
	case !ok || m != nil && len(m.value) == 0:
	case m != nil:
		if !decodeHex(s[:], m.value) || *s == (Signature{}) {
			c.fail("member %q: want %d lower-case hex digits, or none", name, 2*len(s))
		}
	case none:
		c.out = append(c.out, `""`...)
	default:
		c.out = append(hex.AppendEncode(append(c.out, '"'), s[:]), '"')
	}
}
