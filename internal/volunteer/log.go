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
func (s *source) logged(ctx context.Context, digest canon.Digest, st signed, now time.Time) error {
	if s.trust.Log == nil {
		return nil
	}
	entry, err := translog.Entry(st.statement, st.signature)
	if err != nil {
		return err
	}
	id := canon.Sum(entry)
	if s.isProved(id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	proof, err := s.read(ctx, "/s/"+digest.String()+".tlog-proof", translog.MaxProof, translog.ClassTooLarge)
	if err != nil {
		return err
	}
	if _, err := s.trust.Log.CheckProof(entry, proof, now); err != nil {
		return err
	}
	s.setProved(id)
	return nil
}

func (s *source) isProved(entry canon.Digest) bool {
	s.provedMu.Lock()
	defer s.provedMu.Unlock()
	return s.proved[entry]
}

func (s *source) setProved(entry canon.Digest) {
	s.provedMu.Lock()
	defer s.provedMu.Unlock()
	if len(s.proved) >= maxProved {
		clear(s.proved)
	}
	s.proved[entry] = true
}
