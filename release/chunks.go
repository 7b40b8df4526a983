package release

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/internal/canon"
)

// Chunks gives each task a piece of a file, byte for byte.
type Chunks struct {
	TreeRoot canon.Digest `json:"tree_root"` // RFC 6962, leaf t is the input of task t
	Length   int64        `json:"length"`    // bytes
	Size     int64        `json:"size"`      // of each chunk but the last, which may be shorter
}

const (
	// MaxChunk is the largest Chunks.Size.
	MaxChunk = 16 << 20
	// MaxChunkedFile is the largest Chunks.Length.
	MaxChunkedFile = 1 << 34
)

// Span returns where the input of a task lies in the file.
func (c *Chunks) Span(task uint64) Span {
	at := int64(task) * c.Size
	return Span{at, int(min(c.Size, c.Length-at))}
}

// Apart returns the length of a task's input, if it is too long for a lease:
// it is fetched on its own then.
func (in *Input) Apart(task uint64) (length int, is bool) {
	if in.Chunks == nil || task >= in.tasks() {
		return 0, false
	}
	length = in.Chunks.Span(task).Length
	return length, length > MaxTaskInput
}

// SplitChunks reads an input file in chunks of size bytes and calls each with
// every one in order. It returns the rule that describes the file.
// Errors are of class input.
func SplitChunks(file io.Reader, size int64, each func(task uint64, at Span, input []byte) error) (*Chunks, error) {
	if size < 1 || size > MaxChunk {
		return nil, canon.Fail("bounds", "chunks of %d bytes: 1 to %d are possible", size, MaxChunk)
	}
	rule := &Chunks{Size: size}
	r := bufio.NewReaderSize(io.LimitReader(file, MaxChunkedFile+1), 1<<16)
	var t tree
	for chunk := make([]byte, size); ; {
		n, err := io.ReadFull(r, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("reading the input file: %w", err)
		}
		if n > 0 {
			if err := each(t.leaves(), Span{rule.Length, n}, chunk[:n]); err != nil {
				return nil, err
			}
			t.add(chunk[:n])
			rule.Length += int64(n)
		}
		if rule.Length > MaxChunkedFile {
			return nil, canon.Fail("input", "input file: longer than %d bytes", MaxChunkedFile)
		}
		if err == nil {
			continue
		}
		if rule.Length == 0 {
			return nil, canon.Fail("input", "input file: empty")
		}
		rule.TreeRoot = t.root()
		return rule, nil
	}
}
