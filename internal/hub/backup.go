package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// postSnapshot makes a snapshot for whoever can read the data directory: it has
// the hub's keys, which do not go over the network.
func (h *Hub) postSnapshot(w http.ResponseWriter, r *http.Request) error {
	who, err := h.bearer(r, roleOperator)
	if err != nil {
		return err
	}
	deadlines(w, downloadTimeout, downloadTimeout)
	h.snapshots.Lock()
	defer h.snapshots.Unlock()
	dir, err := h.store.Snapshot()
	if err != nil {
		return err
	}
	h.log.Info("snapshot made", "folder", filepath.Base(dir), "token", who)
	return answer(w, http.StatusCreated, wire.SnapshotMade{Snapshot: filepath.Base(dir)})
}

var snapshotName = regexp.MustCompile(`\Asnapshot-[0-9]{1,20}\z`)

// Backup writes an archive of a data directory. Where a hub has it open, ask
// has that hub make a snapshot, with an operator's token.
func Backup(ctx context.Context, w io.Writer, dir string, ask func(ctx context.Context, token string) (wire.SnapshotMade, error)) error {
	s, err := store.Open(dir, &store.Options{ReadOnly: true, LockWait: 100 * time.Millisecond})
	if err == nil {
		return errors.Join(store.Archive(w, dir), s.Close())
	}
	if !errors.Is(err, store.ErrInUse) {
		return err
	}
	token, err := Mint(dir, Grant{Role: string(roleOperator), Subject: "backup", Life: time.Minute}, time.Now())
	if err != nil {
		return err
	}
	made, err := ask(ctx, token)
	if err != nil {
		return fmt.Errorf("asking the hub for a snapshot: %w", err)
	}
	if !snapshotName.MatchString(made.Snapshot) {
		return fmt.Errorf("asking the hub for a snapshot: %.80q is none", made.Snapshot)
	}
	folder := filepath.Join(dir, made.Snapshot)
	if _, err := os.Stat(folder); err != nil {
		return fmt.Errorf("the hub that was asked does not use %s: %w", dir, err)
	}
	return errors.Join(store.Archive(w, folder), os.RemoveAll(folder))
}

// Restore makes a data directory of an archive, and checks all of it. There
// must be none, and with problems there is none afterwards.
func Restore(r io.Reader, dir string, oneNetwork bool) (*Report, error) {
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return nil, fmt.Errorf("restoring into %s: there is something already: %w", dir, err)
	}
	partial := filepath.Clean(dir) + ".partial"
	report, err := restore(r, partial, oneNetwork)
	if err == nil && len(report.Problems) == 0 {
		err = os.Rename(partial, dir)
	}
	if err != nil || len(report.Problems) > 0 {
		err = errors.Join(err, os.RemoveAll(partial))
	}
	return report, err
}

func restore(r io.Reader, dir string, oneNetwork bool) (*Report, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := store.Extract(r, dir); err != nil {
		return nil, err
	}
	s, err := store.Open(dir, nil) // brings an older one up to date
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return Check(dir, oneNetwork)
}
