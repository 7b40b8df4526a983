package hub

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

// look makes the hub look at its disk now.
func (h *testHub) look(want string) {
	h.t.Helper()
	eventually(h.t, "the disk is "+want, func() bool { return h.Status().Disk.State == want })
	h.lookAtRoom()
}

// large is an output that needs room of its own.
var large = strings.Repeat("x", 60_000)

// TestFullDisk: on a full disk nothing is lent or admitted, votes wait, and
// results are served; with room again, the votes are acknowledged and all goes on.
func TestFullDisk(t *testing.T) {
	disk := newDisk(t, "64m")
	h := startHub(t, Options{Data: filepath.Join(disk.path, "data"), UnsafeOneNetwork: true, ReserveBytes: 4 << 20})
	h.look(diskOK)
	order := h.submit(h.rangeOrder(50), "")
	other := h.rangeOrder(70)
	for n := range 2 {
		w := h.join(n)
		l := w.want(1)
		w.send(&wire.Want{})
		w.send(w.result(l, honest(l)))
		await[*wire.Ack](w)
	}
	a, b := h.join(1), h.join(2)
	lease := a.want(1)

	disk.fill()
	h.look(diskShort)
	if got := h.Status(); got.Halted || got.Leases == 0 {
		t.Errorf("what is lent does not go on: %+v", got)
	}
	b.send(&wire.Want{Leases: 4})
	next[*wire.Idle](b)
	st, sig, err := other.Sign(seeded(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if status, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}); status != http.StatusInsufficientStorage || code != wire.CodeFull {
		t.Errorf("an order on a full disk: %d %s", status, code)
	}
	a.send(a.result(lease, large))
	h.look(diskFull)
	if lines := h.resultLines(order, ""); len(lines) != 1 {
		t.Errorf("%d results, want 1", len(lines))
	}
	if text := string(h.body("/metrics")); !strings.Contains(text, "countersign_hub_disk_short 1") {
		t.Error("the metrics do not say it")
	}
	if !strings.Contains(h.log.String(), "the disk is short of room") {
		t.Error("the log does not say it")
	}
	if votes := h.Status().Votes; votes != 2 {
		t.Errorf("%d votes are on disk, want 2", votes)
	}

	disk.empty()
	if ack := await[*wire.Ack](a); ack.ID != lease.ID {
		t.Errorf("%+v", ack)
	}
	h.look(diskOK)
	await[*wire.Lease](b)
	if status, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}); status != http.StatusCreated {
		t.Errorf("with room again: %d %s", status, code)
	}
	h.restart()
	if votes := h.Status().Votes; votes != 3 {
		t.Errorf("%d votes after a restart, want 3", votes)
	}
}

// TestCloseOnFullDisk: a hub that is told to end does so, and what it has
// acknowledged is there; it starts again on the full disk.
func TestCloseOnFullDisk(t *testing.T) {
	disk := newDisk(t, "64m")
	h := startHub(t, Options{Data: filepath.Join(disk.path, "data"), UnsafeOneNetwork: true, ReserveBytes: 4 << 20})
	h.submit(h.rangeOrder(5), "")
	w := h.join(1)
	lease := w.want(1)
	disk.fill()
	w.send(w.result(lease, large))
	h.look(diskFull)
	w.conn.CloseNow()
	h.running.Go(func() { _ = h.store.Sync() }) // as who gathers inputs does; the hub waits for it
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	select {
	case err := <-closed:
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("closing: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the hub waits for room, and does not end")
	}
	h.end = func() {}
	h.start()
	if s := h.Status(); s.Votes != 0 || s.Orders["running"] != 1 || s.Disk.State == diskOK {
		t.Errorf("%+v", s)
	}
	disk.empty()
	h.look(diskOK)
	w = h.join(1)
	w.send(w.result(lease, large))
	await[*wire.Ack](w)
}

// TestCheckpointsOnFullDisk: a checkpoint that finds no room is not kept, and
// the hub goes on.
func TestCheckpointsOnFullDisk(t *testing.T) {
	disk := newDisk(t, "64m")
	h := startHub(t, Options{Data: filepath.Join(disk.path, "data"), UnsafeOneNetwork: true, ReserveBytes: 4 << 20})
	h.submit(h.stepsOrder(1, 1, 1), "")
	w := h.join(1)
	l := w.want(1)
	_, at := newRunner(h).run(l, nil, 2)
	disk.fill()
	if kept := w.offer(w.checkpoint(l, at, 0)); kept != 0 {
		t.Errorf("%d segments are kept on a full disk", kept)
	}
	if left, err := filepath.Glob(filepath.Join(h.opt.Data, "checkpoints", "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	disk.empty()
	h.clock.advance(wire.KeptEvery + time.Second)
	if kept := w.offer(w.checkpoint(l, at, 0)); int(kept) != len(at.Links) {
		t.Errorf("%d segments are kept with room", kept)
	}
}

// TestGatherOnFullDisk: inputs that find no room are gathered when there is some,
// and the hub goes on meanwhile.
func TestGatherOnFullDisk(t *testing.T) {
	disk := newDisk(t, "64m") // of the files alone: facts find room
	data := t.TempDir()
	if err := errors.Join(os.Chmod(data, 0o700), os.Symlink(disk.path, filepath.Join(data, "blobs"))); err != nil {
		t.Fatal(err)
	}
	h := startHub(t, Options{Data: data, UnsafeOneNetwork: true})
	first := h.rangeOrder(1)
	h.submit(first, "")
	d := h.submit(h.outputsOrder(first, 1, 1000), "")
	a, b := h.join(1), h.join(2)
	one, other := a.want(1), b.want(1)
	disk.fill()
	a.send(a.result(one, honest(one)))
	b.send(b.result(other, honest(other)))
	eventually(t, "the log says that inputs find no room", func() bool { return strings.Contains(h.log.String(), "no room to gather inputs") })
	select {
	case <-h.failed:
		t.Fatal("the hub ends")
	default:
	}
	disk.empty()
	eventually(t, "the order runs", func() bool { s := h.order(d).State; return s == "running" || s == "done" })
}
