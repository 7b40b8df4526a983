package monitor

import (
	"bytes"
	"context"
	"encoding/binary"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

// extend fetches entries up to a size and looks at each.
func (m *Monitor) extend(ctx context.Context, size int64) (all []Entry, err error) {
	for m.tree.size < size {
		n := m.tree.size >> translog.TileHeight
		t := tlog.Tile{H: translog.TileHeight, L: translog.EntryLevel, N: n, W: int(min(size-n<<translog.TileHeight, translog.TileWidth))}
		data, err := m.tile(ctx, t, int64(t.W)*(2+translog.MaxEntry))
		if err != nil {
			return nil, err
		}
		entries, err := unbundle(data, t)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries[m.tree.size-n<<translog.TileHeight:] {
			index := m.tree.size
			if err := m.tree.add(entry); err != nil {
				return nil, err
			}
			all = append(all, m.look(index, entry))
		}
	}
	return all, nil
}

// unbundle takes the entries of a tile apart.
func unbundle(data []byte, t tlog.Tile) (entries [][]byte, err error) {
	path := translog.TilePath(t)
	for range t.W {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, canon.Fail(translog.ClassWithheld, "ENTRIES ARE WITHHELD: %s has %d of its %d", path, len(entries), t.W)
		}
		n := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:n]), data[n:]
	}
	if len(data) > 0 {
		return nil, canon.Fail(translog.ClassEntry, "%s has %d bytes behind its entries", path, len(data))
	}
	return entries, nil
}

// tiles compares every tile that is new with the hashes of the entries.
func (m *Monitor) tiles(ctx context.Context, from, size int64) (count int, err error) {
	if from == size {
		return 0, nil
	}
	return count, translog.Tiles(size, func(t tlog.Tile) error {
		// Those that were full before are immutable, and were compared.
		if translog.Covered(tlog.Tile{H: t.H, L: t.L, N: t.N, W: translog.TileWidth}, from) {
			return nil
		}
		count++
		got, err := m.tile(ctx, t, int64(t.W)*tlog.HashSize)
		if err != nil {
			return err
		}
		want, err := tlog.ReadTileData(t, &m.tree)
		if err == nil && !bytes.Equal(got, want) {
			err = canon.Fail(translog.ClassFork, "THE LOG CONTRADICTS ITSELF: tile %s does not have the hashes of its entries", translog.TilePath(t))
		}
		return err
	})
}
