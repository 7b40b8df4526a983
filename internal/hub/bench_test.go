package hub

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// BenchmarkVotes measures votes from socket to disk and back, with honest
// workers in the same process: they take about half of the machine.
func BenchmarkVotes(b *testing.B) {
	for _, workers := range []int{100, 400} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			h := startHub(b, Options{UnsafeOneNetwork: true})
			o := h.rangeOrder(1_000_000)
			o.Redundancy.Vote = &release.Vote{Agree: 2, Of: 3}
			h.submit(o, "")
			var acked atomic.Int64
			var once, all sync.WaitGroup
			once.Add(1)
			crew := make([]*worker, workers)
			for n := range crew {
				crew[n] = h.join(n)
			}
			b.ResetTimer()
			for _, w := range crew {
				w.send(&wire.Want{Leases: 8})
				all.Go(func() { w.grind(&acked, int64(b.N), &once) })
			}
			once.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "votes/s")
			h.end()
			all.Wait()
		})
	}
}

// grind answers leases until n results of all workers are acknowledged.
func (w *worker) grind(acked *atomic.Int64, n int64, once *sync.WaitGroup) {
	ctx := w.t.Context()
	for {
		_, data, err := w.conn.Read(ctx)
		if err != nil {
			return
		}
		all, err := wire.DecodeFromHub(data)
		if err != nil {
			w.t.Error(err)
			return
		}
		var results []*wire.Result
		for _, m := range all {
			switch m := m.(type) {
			case *wire.Lease:
				v := voteFor(m, honest(m))
				results = append(results, &wire.Result{Vote: v, Output: []byte(honest(m)), Links: v.Transcript[:]})
			case *wire.Ack:
				if acked.Add(1) == n {
					once.Done()
				}
			}
		}
		for part := range slices.Chunk(results, wire.MaxSheet) {
			frame, err := wire.ResultFrame(part, w.key)
			if err != nil {
				w.t.Error(err)
				return
			}
			if w.conn.Write(ctx, websocket.MessageText, frame) != nil {
				return
			}
		}
	}
}
