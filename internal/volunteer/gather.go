package volunteer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// gatherAgain makes the inputs of an order with the outputs rule of the results
// of the order before, and compares them with what the hub handed out: it says
// which results it used, and everything else follows.
func gatherAgain(ctx context.Context, hub *client.Client, digest canon.Digest, o *release.Order, given *os.File) (*inputs, error) {
	if given != nil {
		return nil, fmt.Errorf("order %s takes its inputs from the results of another order, not from a file", digest.Short())
	}
	rule := o.Input.Outputs
	f, err := download(ctx, hub, digest, release.MaxInputFile+rule.Trailer())
	if err != nil {
		return nil, err
	}
	in := &inputs{rule: &o.Input, file: f, ours: true}
	if in.spans, err = compareGathered(ctx, hub, o, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return in, nil
}

func compareGathered(ctx context.Context, hub *client.Client, o *release.Order, f *os.File) ([]release.Span, error) {
	rule := o.Input.Outputs
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	trailer := make([]byte, rule.Trailer())
	if size < rule.Trailer() {
		return nil, canon.Fail("input", "the hub's gathered inputs of %d bytes are too short", size)
	}
	if _, err := f.ReadAt(trailer, size-rule.Trailer()); err != nil {
		return nil, fmt.Errorf("reading gathered inputs: %w", err)
	}
	ends, used := trailer[:8*o.Tasks()], trailer[8*o.Tasks():]
	same := &comparer{r: io.NewSectionReader(f, 0, size)}
	g := release.NewGatherer(same, rule)
	if err := hub.Results(ctx, o.After.Order, 0, func(line wire.ResultLine) error {
		if line.Task >= uint64(rule.Tasks) {
			return canon.Fail("input", "results of order %s: it has no task %d", o.After.Order.Short(), line.Task)
		}
		if line.End != wire.EndExit || line.Code != 0 || used[line.Task/8]>>(line.Task%8)&1 == 0 {
			return nil
		}
		return g.Add(line.Task, line.Output)
	}); err != nil {
		return nil, err
	}
	if err := g.Finish(); err != nil {
		return nil, err
	}
	if same.at != size {
		return nil, errGathered
	}
	return spansOf(ends), nil
}

var errGathered = canon.Fail("input", "the inputs that the hub handed out are not the outputs of the order before")

// spansOf reads a table of ends that was compared.
func spansOf(ends []byte) (spans []release.Span) {
	for at := int64(0); len(ends) > 0; ends = ends[8:] {
		end := int64(binary.BigEndian.Uint64(ends))
		spans = append(spans, release.Span{Offset: at, Length: int(end - at)})
		at = end
	}
	return spans
}

// comparer takes the bytes that a reader has, and fails at any others.
type comparer struct {
	r  io.Reader
	at int64
}

func (c *comparer) Write(p []byte) (int, error) {
	have := make([]byte, len(p))
	if _, err := io.ReadFull(c.r, have); err != nil || !bytes.Equal(have, p) {
		return 0, errGathered
	}
	c.at += int64(len(p))
	return len(p), nil
}
