// Command {{name}} reads numbers from 1 to 10,000,000,000, one a line. For each
// it writes which start up to that number has the longest Collatz sequence, and
// how many steps that takes to 1.
//
// It may take long, so it runs in segments: when one is due to end it gives its
// state away, and the next, in a fresh instance, goes on from there.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"

	countersign "github.com/countersign/countersign/payloads/sdk/go"
)

// limit is up to where sequences stay below 2^64.
const limit = 10_000_000_000

// state is what a later segment needs to go on.
type state struct {
	Lines       uint64 // finished
	Next        uint64 // start to try
	Best, Steps uint64
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "{{name}}:", err)
		os.Exit(2)
	}
}

func run(in io.Reader, out io.Writer) error {
	s := state{Next: 1, Best: 1}
	if saved := countersign.Restore(); saved != nil {
		if _, err := binary.Decode(saved, binary.LittleEndian, &s); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(in)
	for n := uint64(0); lines.Scan(); n++ {
		last, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil || last < 1 || last > limit {
			return fmt.Errorf("line %d: want a number from 1 to %d", n+1, uint64(limit))
		}
		if n < s.Lines {
			continue // of an earlier segment
		}
		s.longest(last)
		if _, err := fmt.Fprintf(out, "%d -> %d, %d steps\n", last, s.Best, s.Steps); err != nil {
			return err
		}
		s = state{Lines: n + 1, Next: 1, Best: 1}
	}
	return lines.Err()
}

func (s *state) longest(last uint64) {
	for ; s.Next <= last; s.Next++ {
		if s.Next%4096 == 0 {
			s.breathe(last)
		}
		if steps := collatz(s.Next); steps > s.Steps {
			s.Best, s.Steps = s.Next, steps
		}
	}
}

// breathe reports, and ends the segment if that is due.
func (s *state) breathe(last uint64) {
	countersign.Progress(int(1000*s.Next/last), fmt.Sprintf("%d of %d", s.Next, last))
	if countersign.SegmentDue() {
		saved, err := binary.Append(nil, binary.LittleEndian, s)
		if err != nil {
			panic(err) // it has nothing but numbers
		}
		countersign.Checkpoint(saved)
	}
}

func collatz(n uint64) (steps uint64) {
	for ; n != 1; steps++ {
		if n%2 == 0 {
			n /= 2
		} else {
			n = 3*n + 1
		}
	}
	return steps
}
