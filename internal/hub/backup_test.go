package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/policy"
)

// backup asks the running hub as hub backup does.
func (h *testHub) backup() []byte {
	h.t.Helper()
	var b bytes.Buffer
	err := Backup(context.Background(), &b, h.opt.Data, func(ctx context.Context, token string) (made wire.SnapshotMade, err error) {
		r, err := http.NewRequestWithContext(ctx, "POST", h.url+"/v1/snapshot", nil)
		if err != nil {
			return made, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return made, err
		}
		defer res.Body.Close()
		return made, json.NewDecoder(res.Body).Decode(&made)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return b.Bytes()
}

// TestBackupUnderLoad: backups of a hub at work are sound, each has all that
// was acknowledged before it began, and a hub goes on from it.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	const tasks = 1500
	order := h.submit(h.rangeOrder(tasks), "")
	for n := range 4 {
		h.volunteer(n, 16, honest)
	}
	var last string
	for i := range 4 {
		eventually(t, "votes come in", func() bool { return h.Status().Votes > uint64(i*2*tasks/6) })
		before := h.Status().Votes
		last = filepath.Join(t.TempDir(), "restored")
		report, err := Restore(bytes.NewReader(h.backup()), last, true)
		if err != nil || len(report.Problems) != 0 || uint64(report.Votes) < before {
			t.Fatalf("a backup after %d votes: %+v, %v", before, report, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(h.opt.Data, "snapshot-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	again := startHub(t, Options{Data: last, UnsafeOneNetwork: true})
	if again.Key() != h.Key() || again.LogKey().String() != h.LogKey().String() {
		t.Error("the restored hub is another")
	}
	for n := range 3 {
		again.volunteer(n, 16, honest)
	}
	eventually(t, "the restored hub ends the order", func() bool { return again.order(order).State == "done" })
}

// TestRestoreRefuses: what is there is not written over.
func TestRestoreRefuses(t *testing.T) {
	h := startHub(t, Options{})
	archive := h.backup()
	if _, err := Restore(bytes.NewReader(archive), h.opt.Data, false); err == nil || !strings.Contains(err.Error(), "there is something already") {
		t.Errorf("over a hub's data: %v", err)
	}
	empty := t.TempDir()
	if report, err := Restore(bytes.NewReader(archive), empty, false); err != nil || len(report.Problems) > 0 {
		t.Errorf("into an empty folder: %+v, %v", report, err)
	}
	if code := h.snapshotCode(""); code != wire.CodeUnauthorized {
		t.Errorf("a snapshot without a token: %s", code)
	}
	if code := h.snapshotCode(h.mint(Grant{Role: "auditor", Subject: "x", Life: time.Hour})); code != wire.CodeForbidden {
		t.Errorf("a snapshot with an auditor's token: %s", code)
	}
}

func (h *testHub) snapshotCode(token string) string {
	_, code := h.do("POST", "/v1/snapshot", "", token, nil)
	return code
}

// unpackSchema unpacks a data directory that a hub of an older schema wrote, with
// 40 votes on 20 tasks of an order and 4 on another.
func unpackSchema(t *testing.T, schema int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if out, err := exec.Command("tar", "-xzf", fmt.Sprintf("testdata/schema%d.tar.gz", schema), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wholeSchema checks that all that unpackSchema unpacks is there.
func wholeSchema(t *testing.T, dir string) {
	t.Helper()
	report, err := Check(dir, true)
	if err != nil || len(report.Problems) != 0 || report.Votes != 44 || report.Verdicts != 20 || report.Releases != 1 || report.Orders != 2 || report.Leaves != 4 {
		t.Errorf("%+v, %v", report, err)
	}
	s, err := store.Open(dir, &store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	decided := uint64(0)
	if err := s.Statements(store.Order, func(st store.Statement) error {
		if canon.Sum(st.Bytes) != st.Digest {
			t.Error("a statement has changed")
		}
		last, err := s.LastDecision(st.Digest)
		decided += last
		return err
	}); err != nil || decided != 20 {
		t.Errorf("%d decisions: %v", decided, err)
	}
}

// TestOlderSchemas: a data directory of an older schema is brought up to date,
// and whole.
func TestOlderSchemas(t *testing.T) {
	for schema, then := range map[int]time.Time{ // minutes after it was written
		2: time.Date(2026, 11, 23, 12, 45, 0, 0, time.UTC),
		3: time.Date(2026, 11, 28, 12, 25, 0, 0, time.UTC),
		4: time.Date(2026, 11, 28, 12, 25, 0, 0, time.UTC),
	} {
		t.Run(fmt.Sprint(schema), func(t *testing.T) {
			dir := unpackSchema(t, schema)
			if _, err := Check(dir, true); err == nil || !strings.Contains(err.Error(), "start the hub on it once") {
				t.Errorf("a look at an old one: %v", err)
			}
			h, err := New(context.Background(), Options{Data: dir, Root: policy.Root{Keys: rootOf(t).Keys, Threshold: 1}, UnsafeOneNetwork: true, Now: func() time.Time { return then }})
			if err != nil {
				t.Fatal(err)
			}
			if s := h.Status(); s.Votes != 44 || s.Results != 20 || s.Orders["done"] != 1 || s.Orders["running"] != 1 {
				t.Errorf("%+v", s)
			}
			if err := h.store.PutRevocation(store.Revocation{ID: strings.Repeat("0a", 16)}); err != nil {
				t.Errorf("a bucket of schema 3: %v", err)
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			wholeSchema(t, dir)
		})
	}
}
