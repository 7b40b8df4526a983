package job

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// permutation is a keyed permutation of the numbers below n, the order in
// which tasks are handed out. Of many tasks, runs of 64 stay together, so that
// facts about tasks that are at work together lie together on the disk; a last
// run that is short stays last. What is permuted, runs or tasks, goes through a
// Feistel network over the next even number of bits, walked until it lands in
// range. Hubs that do not talk to each other begin at different tasks this way.
// It hides nothing, so the rounds are a plain integer mix.
type permutation struct {
	n    uint64 // of what is permuted
	run  uint64 // tasks in a run
	half uint   // bits of one half
	keys [feistelRounds]uint64
}

const (
	feistelRounds = 6
	runTasks      = 64
	minRuns       = 64 // fewer are no order worth the name: then tasks are permuted
)

func newPermutation(key [32]byte, id [32]byte, tasks uint64) permutation {
	p := permutation{n: tasks, run: 1}
	if tasks >= minRuns*runTasks {
		p.n, p.run = tasks/runTasks, runTasks
	}
	p.half = uint(max(bits.Len64(p.n-1)+1, 2)) / 2
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

// at returns the task at a position. The walk ends because the network permutes
// a cycle that the position lies on; it takes four steps or fewer on average,
// since the network is at most four times as large as n.
func (p *permutation) at(position uint64) uint64 { return p.walk(position, p.forth) }

// position is the inverse of at.
func (p *permutation) position(task uint64) uint64 { return p.walk(task, p.back) }

func (p *permutation) walk(i uint64, step func(uint64) uint64) uint64 {
	v := i / p.run
	if v >= p.n {
		return i // of the short last run
	}
	for v = step(v); v >= p.n; {
		v = step(v)
	}
	return v*p.run + i%p.run
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
