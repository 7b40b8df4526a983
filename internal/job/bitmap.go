package job

import "math/bits"

// bitmap is a set of positions below 2⁴⁰. Decided tasks are kept by position
// in the order of handing out, where they lie close together: everything below
// a mark is in the set, and above it pages come and go. An order of ten
// million tasks so takes a few pages, finished or not. What is taken out again
// below the mark is kept apart.
type bitmap struct {
	full  uint64 // pages below this one are full and gone, but for holes
	holes map[uint64]bool
	pages map[uint64]*page
}

const pageBits = 1 << 14

type page struct {
	n    int
	bits [pageBits / 64]uint64
}

func (b *bitmap) has(i uint64) bool {
	at := i / pageBits
	if at < b.full {
		return !b.holes[i]
	}
	p := b.pages[at]
	return p != nil && p.bits[i%pageBits/64]>>(i%64)&1 == 1
}

// add puts i into the set and reports whether it is new.
func (b *bitmap) add(i uint64) bool {
	if b.has(i) {
		return false
	}
	if i/pageBits < b.full {
		delete(b.holes, i)
		return true
	}
	if b.pages == nil {
		b.pages = map[uint64]*page{}
	}
	at := i / pageBits
	p := b.pages[at]
	if p == nil {
		p = new(page)
		b.pages[at] = p
	}
	p.bits[i%pageBits/64] |= 1 << (i % 64)
	p.n++
	for b.pages[b.full] != nil && b.pages[b.full].n == pageBits {
		delete(b.pages, b.full)
		b.full++
	}
	return true
}

// remove takes i out of the set.
func (b *bitmap) remove(i uint64) {
	switch at := i / pageBits; {
	case !b.has(i):
	case at < b.full:
		if b.holes == nil {
			b.holes = map[uint64]bool{}
		}
		b.holes[i] = true
	default:
		p := b.pages[at]
		p.n--
		p.bits[i%pageBits/64] &^= 1 << (i % 64)
	}
}

// next returns the first position from i on that is not in the set, holes
// aside.
func (b *bitmap) next(i uint64) uint64 {
	i = max(i, b.full*pageBits)
	for {
		p := b.pages[i/pageBits]
		if p == nil {
			return i
		}
		if free := ^p.bits[i%pageBits/64] >> (i % 64); free != 0 {
			return i + uint64(bits.TrailingZeros64(free))
		}
		i = (i/64 + 1) * 64
	}
}
