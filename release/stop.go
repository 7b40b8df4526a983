package release

import (
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/policy"
)

// Stop ends an order, a task of one, or a release early.
type Stop struct {
	Type         string       `json:"type"`
	Target       string       `json:"target"`         // order, task or release
	TargetSHA256 canon.Digest `json:"target_sha256"`  // of a task: its order
	Task         *uint64      `json:"task,omitempty"` // with the target task: its number
	Reason       string       `json:"reason"`
	Issued       canon.Time   `json:"issued"`
}

// ParseStop reads a stop and checks its bounds.
func ParseStop(statement []byte) (*Stop, error) {
	var s Stop
	if err := canon.Decode(statement, MaxStatement, StopType, &s); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Sign encodes s and signs it.
func (s *Stop) Sign(key keys.SecretKey) (statement, signature []byte, err error) {
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	statement, err = canon.Encode(s)
	if err != nil {
		return nil, nil, err
	}
	return statement, keys.Sign(key, statement, StopType+" "+s.Names()), nil
}

// OpenStop verifies a stop. releaseName is called with its target and returns
// the name of the release that is stopped, or of the release of the order that is
// stopped or that the task is of.
func OpenStop(statement, signature []byte, p *policy.Policy, releaseName func(*Stop) (string, error)) (*Stop, *policy.Researcher, error) {
	who, err := openSignature(statement, signature, p)
	if err != nil {
		return nil, nil, err
	}
	s, err := ParseStop(statement)
	if err != nil {
		return nil, nil, err
	}
	name, err := releaseName(s)
	if err != nil {
		return nil, nil, err
	}
	if !who.Covers(name) {
		return nil, nil, canon.Fail("name_prefix", "stop: key %s may stop names under %q only, not %q", who.Key, who.Prefix, name)
	}
	return s, who, nil
}

// NewStop returns a stop of the target, "order" or "release".
func NewStop(target string, digest canon.Digest, reason string, now time.Time) *Stop {
	return &Stop{Type: StopType, Target: target, TargetSHA256: digest, Reason: reason, Issued: canon.TimeOf(now)}
}

// Names says in a few words what is stopped.
func (s *Stop) Names() string {
	if s.Task != nil {
		return fmt.Sprintf("task %d of order %s", *s.Task, s.TargetSHA256.Short())
	}
	return s.Target + " " + s.TargetSHA256.Short()
}

// NewTaskStop returns a stop of one task of an order.
func NewTaskStop(order canon.Digest, task uint64, reason string, now time.Time) *Stop {
	s := NewStop("task", order, reason, now)
	s.Task = &task
	return s
}

func (s *Stop) check() error {
	switch {
	case s.Type != StopType:
		return canon.Fail("bounds", "stop: type %q", s.Type)
	case s.Target != "order" && s.Target != "release" && s.Target != "task":
		return canon.Fail("bounds", "stop: target %.40q is none of order, task and release", s.Target)
	case (s.Target == "task") != (s.Task != nil) || s.Task != nil && *s.Task >= maxTasks:
		return canon.Fail("bounds", "stop: a task's number goes with the target task, and with it alone")
	case !validText(s.Reason):
		return canon.Fail("bounds", "stop: reason has %d characters, 1 to %d allowed", len(s.Reason), maxText)
	}
	return nil
}
