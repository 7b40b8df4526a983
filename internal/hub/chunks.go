package hub

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// chunkInputs reads inputs from a file that is cut at every so many bytes.
type chunkInputs struct {
	file   *os.File
	rule   release.Chunks
	prover *release.Prover
	// Of inputs that are too long for a lease: reading and hashing megabytes for
	// each vote and checkpoint would be work that anybody can make the hub do.
	sums []canon.Digest
}

func scanChunks(o *release.Order, file io.Reader) (*chunkInputs, error) {
	c := &chunkInputs{rule: *o.Input.Chunks, prover: release.NewProver(o.Tasks())}
	return c, o.ScanInput(file, func(_ uint64, _ release.Span, input []byte) error {
		c.prover.Add(input)
		if c.rule.Size > release.MaxTaskInput {
			c.sums = append(c.sums, canon.Sum(input))
		}
		return nil
	})
}

func (c *chunkInputs) from(file *os.File) { c.file = file }
func (c *chunkInputs) Close() error       { return c.file.Close() }

// section is where the input of a task is read.
func (c *chunkInputs) section(task uint64) *io.SectionReader {
	at := c.rule.Span(task)
	return io.NewSectionReader(c.file, at.Offset, int64(at.Length))
}

// input is that which a lease carries: empty if it is too long for one.
func (c *chunkInputs) input(task uint64) ([]byte, error) {
	if c.rule.Span(task).Length > release.MaxTaskInput {
		return nil, nil
	}
	return c.read(c.section(task), task)
}

func (c *chunkInputs) read(r io.Reader, task uint64) ([]byte, error) {
	input := make([]byte, c.rule.Span(task).Length)
	if _, err := io.ReadFull(r, input); err != nil {
		return nil, fmt.Errorf("reading the input of task %d: %w", task, err)
	}
	return input, nil
}

func (c *chunkInputs) proof(task uint64) ([]byte, error) {
	return c.prover.Prove(task, func(from, to uint64, each func([]byte)) error {
		at := c.rule.Span(from).Offset
		r := bufio.NewReader(io.NewSectionReader(c.file, at, c.rule.Length-at))
		for task := from; task < to; task++ {
			input, err := c.read(r, task)
			if err != nil {
				return err
			}
			each(input)
		}
		return nil
	})
}

// getTaskInput serves an input that is too long for its leases.
func (h *Hub) getTaskInput(w http.ResponseWriter, r *http.Request) error {
	o, err := h.pathOrder(r)
	if err != nil {
		return err
	}
	task, err := strconv.ParseUint(r.PathValue("task"), 10, 41)
	if err != nil {
		return refusal(wire.CodeNotFound, "%.20q is no task number", r.PathValue("task"))
	}
	c, ok := o.input.(*chunkInputs)
	if _, apart := o.Input.Apart(task); !ok || !apart {
		return refusal(wire.CodeNotFound, "the input of task %d of order %s is in its leases, or nowhere", task, o.digest.Short())
	}
	deadlines(w, downloadTimeout, downloadTimeout)
	immutable(w, "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, c.section(task))
	return nil
}
