package meter

import (
	"math/bits"

	"github.com/countersign/countersign/internal/wasm"
)

// A NaN is made canonical in a scratch local. Behind the balance every local is
// one. In a function without a balance, the source's last locals may look like
// scratch locals: declared alone, used for nothing else. Then where the analysis
// of NaNs finds something to do tells them apart.

// removal is a place of the stripped code where a NaN was made canonical.
type removal struct {
	at   int
	lane lane
}

// scratchLocals is how many of the last locals may be scratch locals: each
// declared alone, and none of the type of another.
func (u *unwriter) scratchLocals() int {
	locals := u.m.Code[u.fn].Locals
	seen := map[wasm.ValType]bool{}
	for n := 0; ; n++ {
		if n == len(locals) {
			return n
		}
		l := locals[len(locals)-1-n]
		if scratch := l.Type == wasm.F32 || l.Type == wasm.F64 || l.Type == wasm.V128; !scratch || l.Count != 1 || seen[l.Type] {
			return n
		}
		seen[l.Type] = true
	}
}

// nanSequence is what canonical writes for a lane.
func nanSequence(l lane, x uint32) sequence {
	f := function{writer: &writer{}}
	f.scratch[f32x4], f.scratch[l] = x+1, x+1
	f.canonical(l)
	return sequence{before: f.code}
}

// How many there can be: one of each type, and behind the balance those that add
// up what loops store.
const (
	maxScratch = 3
	maxSums    = 4
)

// scratch takes the last locals for those of the metering.
func (u *unwriter) scratch() {
	locals := u.m.Code[u.fn].Locals
	u.first = u.m.NumLocals(u.fn) - uint32(u.scratches)
	for i, l := range locals[len(locals)-u.scratches:] {
		x := u.first + uint32(i)
		switch l.Type {
		case wasm.F32:
			u.nans = append(u.nans, nan{f32, nanSequence(f32, x), i})
		case wasm.F64:
			u.nans = append(u.nans, nan{f64, nanSequence(f64, x), i})
		case wasm.V128:
			u.nans = append(u.nans, nan{f32x4, nanSequence(f32x4, x), i}, nan{f64x2, nanSequence(f64x2, x), i})
		}
		if len(u.nans) > maxScratch+maxSums { // of a vector there are two
			return // no module that Rewrite wrote
		}
	}
}

// nan is the sequence of a lane, and which scratch local it uses.
type nan struct {
	lane lane
	sequence
	local int
}

// canonical returns the length of what makes a NaN canonical at the start of code.
func (u *unwriter) canonical(code []byte) int {
	for i := range u.nans {
		s := &u.nans[i]
		if n := s.match(code); n > 0 {
			u.removed = append(u.removed, removal{len(u.code), s.lane})
			u.used |= 1 << s.local
			return n
		}
	}
	return 0
}

// fits tells whether all of them were scratch locals as far as their use says.
func (u *unwriter) fits() bool { return !u.misused && bits.OnesCount8(u.used) == u.scratches }

// settle makes sure of functions that may have fewer scratch locals than it
// seems, which the analysis of the candidate shows.
func (s *stripper) settle() error {
	for len(s.unsure) > 0 {
		m, err := wasm.Decode(s.out.Encode())
		if err != nil {
			return err
		}
		if err := m.Validate(); err != nil {
			return nil // refused by Rewrite, which says more
		}
		wrong := s.unsure[:0]
		for _, u := range s.unsure {
			if u.same(m) {
				continue
			}
			if again := s.function(u.fn, u.scratches-1); again.scratches > 0 {
				wrong = append(wrong, again)
			}
		}
		s.unsure = wrong
	}
	return nil
}

// same tells whether the analysis of NaNs finds the places that were removed.
func (u *unwriter) same(m *wasm.Module) bool {
	a := nans{m: m}
	a.function(u.fn)
	left := u.removed
	for _, site := range a.sites {
		if !site.observed {
			continue
		}
		if len(left) == 0 || site.at != m.Code[u.fn].Offset+left[0].at || site.lane != left[0].lane {
			return false
		}
		left = left[1:]
	}
	return len(left) == 0
}
