package hub

import (
	"runtime/debug"
	"time"

	"github.com/countersign/countersign/internal/job"
)

const (
	settleEvery = 5 * time.Second
	manyJoins   = 500
)

// giveBackMemory gives memory back when many have joined and no more come. Joining takes
// several times what an idle connection keeps, and the runtime, which waits
// until the heap has doubled, would hold on to it for minutes.
func (h *Hub) giveBackMemory() {
	t := time.NewTicker(settleEvery)
	defer t.Stop()
	var settled, before job.SessionID
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-t.C:
		}
		h.mu.Lock()
		last := h.last
		h.mu.Unlock()
		if last == before && last-settled >= manyJoins {
			debug.FreeOSMemory()
			settled = last
		}
		before = last
	}
}
