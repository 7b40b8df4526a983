package sandbox

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/countersign/countersign/internal/canon"
)

// Seed returns the seed of a task: abi.md, "What a run gets".
func Seed(order canon.Digest, task uint64) [32]byte {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(order[:len(order):len(order)], task))
}

// segmentSeed returns the seed of a task's segment.
func segmentSeed(task [32]byte, number uint64) [32]byte {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(task[:], number))
}

// generator is xoshiro256**, by Blackman and Vigna, as a stream of bytes.
type generator struct {
	s    [4]uint64
	rest [8]byte // the last output
	left int     // bytes of rest not given out yet
}

func newGenerator(seed [32]byte) generator {
	var g generator
	for i := range g.s {
		g.s[i] = binary.LittleEndian.Uint64(seed[8*i:])
	}
	if g.s == [4]uint64{} {
		g.s[0] = 1 // zeros would stay zeros
	}
	return g
}

func (g *generator) next() uint64 {
	s := &g.s
	out := bits.RotateLeft64(s[1]*5, 7) * 9
	t := s[1] << 17
	s[2] ^= s[0]
	s[3] ^= s[1]
	s[1] ^= s[2]
	s[0] ^= s[3]
	s[2] ^= t
	s[3] = bits.RotateLeft64(s[3], 45)
	return out
}

func (g *generator) fill(b []byte) {
	for len(b) > 0 {
		if g.left == 0 {
			if len(b) >= 8 {
				binary.LittleEndian.PutUint64(b, g.next())
				b = b[8:]
				continue
			}
			binary.LittleEndian.PutUint64(g.rest[:], g.next())
			g.left = 8
		}
		n := copy(b, g.rest[8-g.left:])
		g.left -= n
		b = b[n:]
	}
}
