package volunteer

import (
	"context"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

// maxProved is how many proved entries are remembered.
const maxProved = 1024

// logged makes sure that a statement is in the log that is trusted, if one is:
// docs/spec/log.md, section "Proofs". An entry that was proved stays proved.
func (s *source) logged(ctx context.Context, log *translog.Verifier, digest canon.Digest, st signed, now time.Time) error {
	if log == nil {
		return nil
	}
	entry, err := translog.Entry(st.statement, st.signature)
	if err != nil {
		return err
	}
	id := canon.Sum(entry)
	if s.isProved(log, id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	proof, err := s.read(ctx, "/s/"+digest.String()+".tlog-proof", translog.MaxProof, translog.ClassTooLarge)
	if err != nil {
		return err
	}
	if _, err := log.CheckProof(entry, proof, now); err != nil {
		return err
	}
	s.setProved(log, id)
	return nil
}

func (s *source) isProved(log *translog.Verifier, entry canon.Digest) bool {
	s.provedMu.Lock()
	defer s.provedMu.Unlock()
	return s.provedBy == log && s.proved[entry]
}

func (s *source) setProved(log *translog.Verifier, entry canon.Digest) {
	s.provedMu.Lock()
	defer s.provedMu.Unlock()
	if s.provedBy != log {
		s.provedBy = log
		clear(s.proved)
	}
	if len(s.proved) >= maxProved {
		clear(s.proved)
	}
	s.proved[entry] = true
}
