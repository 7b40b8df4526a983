package job

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// permutation is a keyed permutation of the numbers below n, the order in
// which tasks are handed out: a Feistel network over the next even number of
// bits, walked until it lands below n. Hubs that do not talk to each other
// begin at different tasks this way. It hides nothing, so the rounds are a
// plain integer mix.
type permutation struct {
	n    uint64
	half uint // bits of one half
	keys [feistelRounds]uint64
}

const feistelRounds = 6

func newPermutation(key [32]byte, id [32]byte, n uint64) permutation {
	p := permutation{n: n, half: uint(max(bits.Len64(n-1)+1, 2)) / 2}
	for i := range p.keys {
		h := sha256.New()
		h.Write([]byte("countersign.permutation/v1\n"))
		h.Write(key[:])
		h.Write(id[:])
		h.Write([]byte{byte(i)})
		p.keys[i] = binary.LittleEndian.Uint64(h.Sum(nil))
	}
	return p
}

// at returns the task at a position below n. The walk ends because the
// network permutes a cycle that position lies on; it takes four steps or
// fewer on average, since the network is at most four times as large as n.
func (p *permutation) at(position uint64) uint64 {
	for v := position; ; {
		if v = p.forth(v); v < p.n {
			return v
		}
	}
}

// position is the inverse of at.
func (p *permutation) position(task uint64) uint64 {
	for v := task; ; {
		if v = p.back(v); v < p.n {
			return v
		}
	}
}

func (p *permutation) forth(v uint64) uint64 {
	l, r := v>>p.half, v&p.mask()
	for i := range p.keys {
		l, r = r, l^(mix(r^p.keys[i])&p.mask())
	}
	return l<<p.half | r
}

func (p *permutation) back(v uint64) uint64 {
	l, r := v>>p.half, v&p.mask()
	for i := len(p.keys) - 1; i >= 0; i-- {
		l, r = r^(mix(l^p.keys[i])&p.mask()), l
	}
	return l<<p.half | r
}

func (p *permutation) mask() uint64 { return 1<<p.half - 1 }

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
