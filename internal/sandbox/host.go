package sandbox

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/countersign/countersign/internal/abi"
)

// memory is a module's linear memory. Read returns a view.
type memory interface {
	Size() uint32
	Read(offset, length uint32) ([]byte, bool)
	Write(offset uint32, b []byte) bool
}

// counter is the module's countersign_fuel.
type counter interface {
	Get() uint64
	Set(uint64)
}

// host is what a segment can observe and change. It knows no engine: the shared
// vectors run on it as modules do.
type host struct {
	mem       memory
	fuel      counter
	args      []string // with argv[0]
	input     []byte   // not read yet
	output    []byte
	outputMax uint32
	log       []byte
	calls     uint64 // of the clock
	slept     uint64 // by poll_oneoff, ns
	random    generator
	progress  func(permille int, text string)
	number    uint64 // of the segment
	state     []byte // that it began with
	due       func() bool

	end   End // set by a function that ends the segment
	code  uint32
	saved []byte // by checkpoint
	why   string // more of end, for people
}

const (
	maxLog  = 65536
	maxText = 256
	maxIovs = 1024
	epoch   = 1_700_000_000_000_000_000 // the virtual clock's first answer, ns
	tick    = 1000
	era     = 1_000_000_000_000 // by which it is later in each segment

	maxState    = 1 << 20
	maxSegments = 16384
	newInstance = 1_000_000 // what a checkpoint costs beside its state

	maxClock = 3 // clocks have the ids 0 to 3, and one time
)

func newHost(input []byte, args []string, seed [32]byte, outputBytes uint32) *host {
	return &host{
		args:      append([]string{"countersign"}, args...),
		input:     input,
		outputMax: outputBytes,
		random:    newGenerator(seed),
		due:       func() bool { return false },
	}
}

// charge takes the dynamic part of a host call's cost, which is for n bytes
// moved. The module's next check acts on it.
func (h *host) charge(n uint64) { h.fuel.Set(h.fuel.Get() - n/8) }

// inside reports whether a range lies in the memory.
func (h *host) inside(at uint32, length uint64) bool {
	return uint64(at)+length <= uint64(h.mem.Size())
}

// put writes to a range that the caller knows to be inside the memory.
func (h *host) put(at uint32, b []byte) { h.mem.Write(at, b) }

func (h *host) put32(at, v uint32) { h.put(at, binary.LittleEndian.AppendUint32(nil, v)) }

func (h *host) put64(at uint32, v uint64) { h.put(at, binary.LittleEndian.AppendUint64(nil, v)) }

// view returns a range that the caller knows to be inside the memory.
func (h *host) view(at, length uint32) []byte {
	b, _ := h.mem.Read(at, length)
	return b
}

type iovec struct{ at, length uint32 }

// vectors reads n vectors and checks that they, and the place of the count,
// are inside the memory. total is the sum of their lengths.
func (h *host) vectors(at, n, count uint32) (v []iovec, total uint64, err errno) {
	if n > maxIovs {
		return nil, 0, inval
	}
	if !h.inside(at, 8*uint64(n)) || !h.inside(count, 4) {
		return nil, 0, fault
	}
	raw := h.view(at, 8*n)
	v = make([]iovec, n)
	for i := range v {
		v[i] = iovec{binary.LittleEndian.Uint32(raw[8*i:]), binary.LittleEndian.Uint32(raw[8*i+4:])}
		if !h.inside(v[i].at, uint64(v[i].length)) {
			return nil, 0, fault
		}
		total += uint64(v[i].length)
	}
	return v, total, success
}

// call does a function of the ABI other than refill. When it ended the run,
// h.end says so, and the caller must not let the module go on.
func (h *host) call(f abi.Func, args []uint64) errno {
	do, ok := functions[f.Name]
	if !ok {
		return absent(f.Name)
	}
	return do(h, args)
}

// report is countersign.progress.
func (h *host) report(permille, at, length uint32) {
	if !h.inside(at, uint64(length)) {
		return
	}
	length = min(length, maxText)
	h.charge(uint64(length))
	if h.progress == nil {
		return
	}
	text := append([]byte(nil), h.view(at, length)...)
	for i, c := range text {
		if c < 0x20 || c > 0x7e {
			text[i] = '?'
		}
	}
	h.progress(int(min(permille, 1000)), string(text))
}

// restore is countersign.restore.
func (h *host) restore(at, size uint32) uint32 {
	n := min(size, uint32(len(h.state)))
	if !h.inside(at, uint64(n)) {
		return math.MaxUint32
	}
	h.charge(uint64(n))
	h.put(at, h.state[:n])
	return uint32(len(h.state))
}

// checkpoint is countersign.checkpoint.
func (h *host) checkpoint(at, length uint32) {
	switch {
	case !h.inside(at, uint64(length)):
		h.end, h.why = State, "checkpoint: the state is not inside the memory"
	case length > maxState:
		h.end, h.why = State, fmt.Sprintf("checkpoint: a state of %d bytes, at most %d allowed", length, maxState)
	case h.number >= maxSegments-1:
		h.end, h.why = State, fmt.Sprintf("checkpoint: the task has its %d segments", maxSegments)
	default:
		h.charge(uint64(length) + 8*newInstance)
		h.end, h.saved = checkpointed, slices.Clone(h.view(at, length))
	}
}

func (h *host) segmentDue() uint32 {
	if h.due() {
		return 1
	}
	return 0
}
