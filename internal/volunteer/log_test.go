package volunteer

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
)

func logKey(t *testing.T, alg translog.Algorithm, seed byte) translog.SecretKey {
	t.Helper()
	k, err := translog.NewKey(alg, "", bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// trustLog trusts a log, and asks for so many of its one witness.
func (s *scene) trustLog(t *testing.T, seed byte, quorum int) {
	t.Helper()
	var err error
	if s.opt.Trust.Log, err = translog.NewVerifier(logKey(t, translog.LogKey, seed).VKey.String(), []string{logKey(t, translog.WitnessKey, 77).VKey.String()}, quorum); err != nil {
		t.Fatal(err)
	}
}

// logRelease serves a proof of the scene's release, as the only leaf of the
// trusted log; altered changes what is in it.
func (s *scene) logRelease(t *testing.T, altered string) {
	t.Helper()
	path := "/s/" + s.relID.String()
	entry, err := translog.Entry(append(bytes.Clone(s.files[path]), altered...), s.files[path+".minisig"])
	if err != nil {
		t.Fatal(err)
	}
	p := translog.Proof{Checkpoint: translog.Sign(logKey(t, translog.LogKey, 8), 1, tlog.RecordHash(entry))}
	s.serve(path+".tlog-proof", p.Encode())
	s.trustLog(t, 8, 0)
}

// TestWorkUnderALog runs what the log has, and asks for its proof once.
func TestWorkUnderALog(t *testing.T) {
	s := newScene(t)
	s.logRelease(t, "")
	s.start(t)
	conn := s.accept(t)
	wants(conn, 1)
	for i := range byte(2) {
		conn.send(s.lease(i+1, 4))
		r := next[*wire.Result](conn)
		conn.send(&wire.Ack{ID: r.Vote.Lease, Verdict: "pending"})
	}
	if n := strings.Count(s.fetched(), ".tlog-proof"); n != 1 {
		t.Errorf("the proof was fetched %d times: %s", n, s.fetched())
	}
}
