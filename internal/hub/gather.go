package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// gatherAgain is how long to wait until inputs for which there was no room are
// gathered again.
const gatherAgain = 2 * time.Second

// gather makes the inputs of an order of the outputs of the one that it
// follows: docs/spec/job.md, "Gathering". The caller holds h.mu.
func (h *Hub) gather(id canon.Digest) {
	if h.closing {
		return // the next start gathers
	}
	h.running.Go(func() {
		o, err := h.catalog.order(id)
		if err != nil {
			h.fail(err)
			return
		}
		switch err := h.gatherWithRoom(o); {
		case h.ctx.Err() != nil:
		case canon.ClassOf(err) == wire.CodeInput:
			h.log.Warn("inputs cannot be gathered", "order", id, "error", err)
			h.work(func(m *job.Machine) []job.Action {
				return m.Stop(h.now(), wire.KillOrder, id, printable(err.Error(), wire.MaxReason))
			})
		case err != nil:
			h.fail(err)
		default:
			h.work(func(m *job.Machine) []job.Action { return m.Gathered(h.now(), id) })
		}
	})
}

// gatherWithRoom waits while the disk is full, as facts do.
func (h *Hub) gatherWithRoom(o *orderEntry) error {
	err := h.gathered(o)
	for store.NoRoom(err) && h.ctx.Err() == nil {
		h.log.Error("there is no room to gather inputs; it is tried again", "order", o.digest, "error", err)
		select {
		case <-h.ctx.Done():
		case <-time.After(gatherAgain):
		}
		err = h.gathered(o)
	}
	return err
}

func (h *Hub) gathered(o *orderEntry) error {
	// What the order's state counts already must be on disk.
	if err := h.store.Sync(); err != nil {
		return err
	}
	blob, err := h.store.CreateBlob()
	if err != nil {
		return err
	}
	g := release.NewGatherer(blob, o.Input.Outputs)
	err = h.outputs(o, g)
	if err == nil {
		err = g.Finish()
	}
	if err != nil {
		return errors.Join(err, blob.Abort())
	}
	d, err := blob.Commit()
	if err != nil {
		return err
	}
	if err := h.store.PutInput(o.digest, d); err != nil {
		return err
	}
	in, err := h.openOutputs(o, d)
	if err != nil {
		return err
	}
	o.input.(*outputInputs).set(in)
	return nil
}

// outputs passes on the outputs of the order that o follows.
func (h *Hub) outputs(o *orderEntry, g *release.Gatherer) error {
	for from := uint64(0); h.ctx.Err() == nil; {
		page, err := h.store.Results(o.After.Order, from, pageResults, pageBytes)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, v := range page {
			if !counts(v) {
				continue
			}
			if err := g.Add(v.Task, v.Output); err != nil {
				return fmt.Errorf("order %q: %w", o.Title, err)
			}
		}
		from = page[len(page)-1].Task + 1
	}
	return h.ctx.Err()
}

// counts reports whether a result's output may be an input.
func counts(r store.Result) bool {
	return !r.Undecided && r.Outcome.End == wire.EndExit && r.Outcome.Code == 0
}

// openOutputs opens gathered inputs and checks that they have not changed.
func (h *Hub) openOutputs(o *orderEntry, d canon.Digest) (*gatheredFile, error) {
	f, err := h.store.OpenBlob(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err == nil && !bytes.Equal(sum.Sum(nil), d[:]) {
		err = fmt.Errorf("the gathered inputs of order %q have changed on disk", o.Title)
	}
	ends := size - o.Input.Outputs.Trailer()
	if err == nil && ends < 0 {
		err = fmt.Errorf("the gathered inputs of order %q are too short", o.Title)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &gatheredFile{f, d, ends}, nil
}

type gatheredFile struct {
	*os.File
	blob canon.Digest
	ends int64 // where the table of ends is
}

func (g *gatheredFile) input(task uint64) ([]byte, error) {
	var from, to [8]byte
	if task > 0 {
		if _, err := g.ReadAt(from[:], g.ends+8*int64(task-1)); err != nil {
			return nil, fmt.Errorf("reading where the input of task %d begins: %w", task, err)
		}
	}
	if _, err := g.ReadAt(to[:], g.ends+8*int64(task)); err != nil {
		return nil, fmt.Errorf("reading where the input of task %d ends: %w", task, err)
	}
	a, b := binary.BigEndian.Uint64(from[:]), binary.BigEndian.Uint64(to[:])
	if b < a || b-a > release.MaxTaskInput {
		return nil, fmt.Errorf("the gathered input of task %d is damaged", task)
	}
	input := make([]byte, b-a)
	if _, err := g.ReadAt(input, int64(a)); err != nil {
		return nil, fmt.Errorf("reading the input of task %d: %w", task, err)
	}
	return input, nil
}
