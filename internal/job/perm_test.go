package job

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPermutation(t *testing.T) {
	sizes := []uint64{runTasks*minRuns - 1, runTasks * minRuns, runTasks*minRuns + 1, runTasks*minRuns + 63, runTasks * 2 * minRuns}
	for n := uint64(1); n < 300; n++ {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		p := newPermutation([32]byte{1}, [32]byte{2}, n)
		seen := make([]bool, n)
		for i := range n {
			task := p.at(i)
			if task >= n || seen[task] {
				t.Fatalf("of %d: position %d gives %d, out of range or again", n, i, task)
			}
			seen[task] = true
			if back := p.position(task); back != i {
				t.Fatalf("of %d: task %d is at %d, found at %d", n, task, i, back)
			}
		}
	}
}

func TestPermutationLarge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 1<<40).Draw(t, "n")
		i := rapid.Uint64Range(0, n-1).Draw(t, "i")
		p := newPermutation([32]byte{1}, [32]byte{2}, n)
		if task := p.at(i); task >= n || p.position(task) != i {
			t.Fatalf("position %d gives %d and back %d", i, task, p.position(task))
		}
	})
}

// TestPermutationRuns checks that neighbours of a large order stay neighbours.
func TestPermutationRuns(t *testing.T) {
	p := newPermutation([32]byte{1}, [32]byte{2}, 1_000_003)
	moved := 0
	for i := range uint64(1_000_003) {
		switch task := p.at(i); {
		case task%runTasks != i%runTasks:
			t.Fatalf("position %d gives %d, from the inside of another run", i, task)
		case task != i:
			moved++
		}
	}
	if moved < 990_000 {
		t.Errorf("%d of 1000003 tasks are handed out elsewhere than in their order", moved)
	}
}

// TestPermutationKeyed checks that hubs with different keys begin elsewhere.
func TestPermutationKeyed(t *testing.T) {
	const n, first = 1_000_000, 10_000
	a, b := newPermutation([32]byte{1}, [32]byte{}, n), newPermutation([32]byte{2}, [32]byte{}, n)
	begun := map[uint64]bool{}
	for i := range uint64(first) {
		begun[a.at(i)] = true
	}
	overlap := 0
	for i := range uint64(first) {
		if begun[b.at(i)] {
			overlap++
		}
	}
	if overlap > 4*first*first/n {
		t.Errorf("%d of the first %d tasks are the same; chance gives %d", overlap, first, first*first/n)
	}
}

func TestBitmap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bitmap
		model := map[uint64]bool{}
		base := rapid.SampledFrom([]uint64{0, pageBits - 70, 5 * pageBits}).Draw(t, "base")
		for _, i := range rapid.SliceOf(rapid.Uint64Range(base, base+200)).Draw(t, "add") {
			if b.add(i) == model[i] {
				t.Fatalf("add %d: new = %v", i, model[i])
			}
			model[i] = true
		}
		i := rapid.Uint64Range(0, base+300).Draw(t, "from")
		want := i
		for model[want] {
			want++
		}
		if got := b.next(i); got != want {
			t.Fatalf("next(%d) = %d, want %d", i, got, want)
		}
	})
}

// TestBitmapForgets checks that a finished order takes no memory.
func TestBitmapForgets(t *testing.T) {
	var b bitmap
	const n = 10 * pageBits
	for i := range uint64(n) {
		b.add(n - 1 - i)
	}
	if len(b.pages) != 0 || b.next(0) != n || !b.has(n-1) || b.has(n) {
		t.Errorf("%d pages are kept, next is %d", len(b.pages), b.next(0))
	}
}
