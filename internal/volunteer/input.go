package volunteer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// taskInput returns the verified input of a lease's task: the lease has it, or
// it is fetched if it is too long for one.
func (s *source) taskInput(ctx context.Context, o *release.Order, l *wire.Lease) ([]byte, error) {
	input := l.Input
	if length, apart := o.Input.Apart(l.Task); apart {
		if len(input) > 0 {
			return nil, canon.Fail("input", "the lease has an input of %d bytes where it is to be fetched", len(input))
		}
		ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
		defer cancel()
		var err error
		if input, err = s.readExactly(ctx, fmt.Sprintf("/i/%s/%d", l.Order, l.Task), length); err != nil {
			return nil, err
		}
	}
	return input, o.CheckTaskInput(l.Task, input, l.Proof)
}

// readExactly takes no body of another length, into memory of just that size.
func (s *source) readExactly(ctx context.Context, path string, length int) ([]byte, error) {
	body, err := s.hub.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data := make([]byte, length)
	switch n, err := io.ReadFull(body, data); {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, canon.Fail("input", "reading %s from the hub: %d bytes, not %d", path, n, length)
	case err != nil:
		return nil, fmt.Errorf("reading %s from the hub: %w", path, err)
	}
	if n, _ := io.ReadFull(body, make([]byte, 1)); n > 0 {
		return nil, canon.Fail("input", "reading %s from the hub: more than %d bytes", path, length)
	}
	return data, nil
}
