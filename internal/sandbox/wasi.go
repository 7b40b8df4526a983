package sandbox

import (
	"math"
	"strings"
)

// errno is a WASI error number.
type errno uint32

const (
	success errno = 0
	badf    errno = 8
	fault   errno = 21
	inval   errno = 28
	nosys   errno = 52
	spipe   errno = 70
)

// functions are those of the ABI that do more than answer one errno for all
// descriptors; absent says what the others answer.
var functions = map[string]func(h *host, a []uint64) errno{
	"args_sizes_get":    func(h *host, a []uint64) errno { return h.sizes(h.args, u32(a[0]), u32(a[1])) },
	"args_get":          func(h *host, a []uint64) errno { return h.strings(h.args, u32(a[0]), u32(a[1])) },
	"environ_sizes_get": func(h *host, a []uint64) errno { return h.sizes(nil, u32(a[0]), u32(a[1])) },
	"environ_get":       func(h *host, a []uint64) errno { return h.strings(nil, u32(a[0]), u32(a[1])) },
	"clock_res_get":     func(h *host, a []uint64) errno { return h.clockRes(u32(a[0]), u32(a[1])) },
	"clock_time_get":    func(h *host, a []uint64) errno { return h.clockTime(u32(a[0]), u32(a[2])) },
	"random_get":        func(h *host, a []uint64) errno { return h.randomGet(u32(a[0]), u32(a[1])) },
	"fd_read":           func(h *host, a []uint64) errno { return h.read(u32(a[0]), u32(a[1]), u32(a[2]), u32(a[3])) },
	"fd_write":          func(h *host, a []uint64) errno { return h.write(u32(a[0]), u32(a[1]), u32(a[2]), u32(a[3])) },
	"fd_close":          standard(success),
	"fd_seek":           standard(spipe),
	"fd_tell":           standard(spipe),
	"fd_fdstat_get":     func(h *host, a []uint64) errno { return h.fdstat(u32(a[0]), u32(a[1])) },
	"fd_filestat_get":   func(h *host, a []uint64) errno { return h.filestat(u32(a[0]), u32(a[1])) },

	"fd_fdstat_set_flags": standard(success),
	"fd_datasync":         standard(success),
	"fd_sync":             standard(success),
	"poll_oneoff":         func(h *host, a []uint64) errno { return h.poll(u32(a[0]), u32(a[1]), u32(a[2]), u32(a[3])) },
	"sched_yield":         func(*host, []uint64) errno { return success },
	"proc_exit":           func(h *host, a []uint64) errno { h.end, h.code = Exit, u32(a[0]); return success },
	"progress":            func(h *host, a []uint64) errno { h.report(u32(a[0]), u32(a[1]), u32(a[2])); return success },
	"restore":             func(h *host, a []uint64) errno { return errno(h.restore(u32(a[0]), u32(a[1]))) },
	"checkpoint":          func(h *host, a []uint64) errno { h.checkpoint(u32(a[0]), u32(a[1])); return success },
	"segment_due":         func(h *host, _ []uint64) errno { return errno(h.segmentDue()) },
}

// u32 takes an i32 from the engine's stack, whose upper half means nothing.
func u32(v uint64) uint32 { return uint32(v) }

// absent is what a function answers that this host does not have: there are no
// further files, and no signals and sockets.
func absent(name string) errno {
	if strings.HasPrefix(name, "fd_") || strings.HasPrefix(name, "path_") {
		return badf
	}
	return nosys
}

// standard is a function that answers e for the three standard files.
func standard(e errno) func(*host, []uint64) errno {
	return func(_ *host, a []uint64) errno {
		if u32(a[0]) > 2 {
			return badf
		}
		return e
	}
}

// sizes is args_sizes_get and environ_sizes_get.
func (h *host) sizes(list []string, count, size uint32) errno {
	if !h.inside(count, 4) || !h.inside(size, 4) {
		return fault
	}
	h.put32(count, u32(uint64(len(list))))
	h.put32(size, u32(textSize(list)))
	return success
}

// strings is args_get and environ_get.
func (h *host) strings(list []string, pointers, text uint32) errno {
	if !h.inside(pointers, 4*uint64(len(list))) || !h.inside(text, textSize(list)) {
		return fault
	}
	for _, s := range list {
		h.put32(pointers, text)
		h.put(text, append([]byte(s), 0))
		pointers += 4
		text += u32(uint64(len(s))) + 1
	}
	return success
}

func textSize(list []string) (n uint64) {
	for _, s := range list {
		n += uint64(len(s)) + 1
	}
	return n
}

func (h *host) clockRes(id, at uint32) errno {
	switch {
	case id > maxClock:
		return inval
	case !h.inside(at, 8):
		return fault
	}
	h.put64(at, tick)
	return success
}

// time is what the clock answers next.
func (h *host) time() uint64 { return epoch + era*h.number + tick*h.calls + h.slept }

func (h *host) clockTime(id, at uint32) errno {
	switch {
	case id > maxClock:
		return inval
	case !h.inside(at, 8):
		return fault
	}
	h.put64(at, h.time())
	h.calls++
	return success
}

func (h *host) randomGet(at, length uint32) errno {
	if !h.inside(at, uint64(length)) {
		return fault
	}
	h.charge(uint64(length))
	h.random.fill(h.view(at, length))
	return success
}

func (h *host) read(fd, iovs, n, count uint32) errno {
	if fd != 0 {
		return badf
	}
	v, total, err := h.vectors(iovs, n, count)
	if err != success {
		return err
	}
	total = min(total, uint64(len(h.input)))
	h.charge(total)
	for _, to := range v {
		moved := min(to.length, u32(min(uint64(len(h.input)), math.MaxUint32)))
		h.put(to.at, h.input[:moved])
		h.input = h.input[moved:]
	}
	h.put32(count, u32(total))
	return success
}

func (h *host) write(fd, iovs, n, count uint32) errno {
	if fd != 1 && fd != 2 {
		return badf
	}
	v, total, err := h.vectors(iovs, n, count)
	if err != success {
		return err
	}
	h.charge(total)
	if fd == 2 {
		for _, from := range v {
			h.log = append(h.log, h.view(from.at, min(from.length, u32(uint64(maxLog-len(h.log)))))...)
		}
	} else if uint64(len(h.output))+total > uint64(h.outputMax) {
		h.end = Output
		return success
	} else {
		for _, from := range v {
			h.output = append(h.output, h.view(from.at, from.length)...)
		}
	}
	h.put32(count, u32(total))
	return success
}

func (h *host) fdstat(fd, at uint32) errno {
	const read, write = 1 << 1, 1 << 6 // rights
	switch {
	case fd > 2:
		return badf
	case !h.inside(at, 24):
		return fault
	}
	var stat [24]byte
	stat[8] = write
	if fd == 0 {
		stat[8] = read
	}
	h.put(at, stat[:])
	return success
}

func (h *host) filestat(fd, at uint32) errno {
	switch {
	case fd > 2:
		return badf
	case !h.inside(at, 64):
		return fault
	}
	h.put(at, make([]byte, 64))
	return success
}
