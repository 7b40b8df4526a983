package hub

import (
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/translog"
)

// log hashes every entry of the transparency log again, and compares with the
// stored hashes, the admitted statements and the published checkpoints.
func (c *checker) log() error {
	err := c.store.ViewLog(func(v store.LogView) error {
		var hashes []tlog.Hash
		own := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			all := make([]tlog.Hash, len(indexes))
			for i, index := range indexes {
				all[i] = hashes[index]
			}
			return all, nil
		})
		for i := range v.Size() {
			entry, err := v.Entry(i)
			if err != nil {
				c.problem("%v", err)
				return nil
			}
			more, err := tlog.StoredHashes(i, entry, own)
			if err != nil {
				return err
			}
			hashes = append(hashes, more...)
			c.report.Leaves++
		}
		if n := c.report.Policies + c.report.Releases + c.report.Orders + c.report.Stops + c.report.Pauses; n != c.report.Leaves {
			c.problem("log: %d entries for %d statements", c.report.Leaves, n)
		}
		for i, want := range hashes {
			got, err := v.ReadHashes([]int64{int64(i)})
			if err != nil || got[0] != want {
				c.problem("log: its stored hash %d is not that of its entries", i)
				break
			}
		}
		return c.published(v, own)
	})
	if err != nil {
		c.problem("log: %v", err)
	}
	return nil
}

func (c *checker) published(v store.LogView, own tlog.HashReader) error {
	for _, name := range []string{keptPublished, keptWitnessed} {
		text, err := c.store.Published(name)
		if err != nil || text == nil {
			continue // a hub that never served
		}
		p, err := translog.ParseCheckpoint(text)
		if err != nil {
			c.problem("log: the published checkpoint: %v (%s)", err, canon.ClassOf(err))
			continue
		}
		if p.Size > v.Size() {
			c.problem("log: it has %d entries, and %d were published", v.Size(), p.Size)
			continue
		}
		root, err := tlog.TreeHash(p.Size, own)
		if err != nil {
			return err
		}
		if root != p.Root {
			c.problem("log: its first %d entries are not those that were published", p.Size)
		}
	}
	return nil
}
