package hub

import (
	"context"
	"time"

	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

// States of the disk, in wire.DiskInfo.
const (
	diskOK    = "ok"
	diskShort = "short" // less than the reserve is left
	diskFull  = "full"  // facts wait
)

// settleWait is how long a reader of results waits for verdicts that are on
// their way to the disk. On a full one they are so for long.
const settleWait = 5 * time.Second

func (h *Hub) diskInfo() (d wire.DiskInfo) {
	d.State = diskOK
	free, known := h.store.Free()
	if known {
		d.Free = free
	}
	switch {
	case h.store.Stalled():
		d.State = diskFull
	case known && free < h.opt.ReserveBytes:
		d.State = diskShort
	}
	return d
}

// lookAtRoom stops lending while the disk is short of room, and goes on when
// there is a quarter more than it takes. Votes on what is lent are taken from
// the reserve; when that is used up, they wait. The ticker calls it.
func (h *Hub) lookAtRoom() {
	d, reserve := h.diskInfo(), h.opt.ReserveBytes
	h.work(func(m *job.Machine) []job.Action {
		short := d.State != diskOK || h.short && d.Free > 0 && d.Free < reserve+reserve/4
		if short == h.short {
			return nil
		}
		h.short = short
		if short {
			h.log.Error("the disk is short of room: nothing is lent or admitted", "state", d.State, "free", d.Free, "reserve", reserve)
		} else {
			h.log.Info("the disk has room again", "free", d.Free)
		}
		return m.Rest(h.now(), short)
	})
}

// roomy refuses what takes room while there is none.
func (h *Hub) roomy() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.short {
		return refusal(wire.CodeFull, "the hub's disk is short of room: try again later")
	}
	return nil
}

// settled waits for what is on its way to the disk, if the disk takes it.
func (h *Hub) settled(ctx context.Context) error {
	if h.store.Stalled() {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- h.store.Sync() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil // the reader left
	case <-time.After(settleWait):
		return nil
	}
}
