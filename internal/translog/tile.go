package translog

import (
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// TileHeight is the height of tiles: they are 256 hashes wide.
	TileHeight = 8
	// TileWidth is the most hashes or entries of a tile.
	TileWidth = 1 << TileHeight
	maxLevel  = 6 // a tile of level 7 would begin beyond 2^53 leaves

	tlogPrefix = "tile/8/"
)

// EntryLevel is the level of the tiles that have entries instead of hashes.
const EntryLevel = -1

// ParseTilePath reads what stands after /log/tile/ in a path.
func ParseTilePath(path string) (tlog.Tile, bool) {
	if rest, ok := strings.CutPrefix(path, "entries/"); ok {
		path = "data/" + rest
	} else if strings.HasPrefix(path, "data/") {
		return tlog.Tile{}, false
	}
	t, err := tlog.ParseTilePath(tlogPrefix + path)
	return t, err == nil && t.L <= maxLevel && t.N>>(53-TileHeight) == 0
}

// TilePath is the path of a tile after /log/tile/.
func TilePath(t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), tlogPrefix)
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		return "entries/" + rest
	}
	return path
}

// Covered reports whether a tree of that size has all of the tile.
func Covered(t tlog.Tile, size int64) bool {
	return t.N<<TileHeight+int64(t.W) <= size>>(TileHeight*max(t.L, 0))
}

// Tiles calls each for every tile of a tree, the entries' not among them.
func Tiles(size int64, each func(tlog.Tile) error) error {
	for level, n := 0, size; n > 0; level, n = level+1, n>>TileHeight {
		for i := int64(0); i<<TileHeight < n; i++ {
			t := tlog.Tile{H: TileHeight, L: level, N: i, W: int(min(n-i<<TileHeight, TileWidth))}
			if err := each(t); err != nil {
				return err
			}
		}
	}
	return nil
}
