package client

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// maxLine is the longest line of results or votes: 1 MiB of output in base64, and
// the other members.
const maxLine = 3 << 20

// Order returns how an order stands.
func (c *Client) Order(ctx context.Context, order canon.Digest) (*wire.OrderInfo, error) {
	var info wire.OrderInfo
	if err := c.GetJSON(ctx, "/v1/orders/"+order.String(), &info); err != nil {
		return nil, err
	}
	return &info, nil
}

// Results calls each for every verdict from task number from on, in task order.
func (c *Client) Results(ctx context.Context, order canon.Digest, from uint64, each func(wire.ResultLine) error) error {
	return c.results(ctx, order, fmt.Sprintf("from=%d", from), each)
}

// Decided calls each for what was decided after a cursor, in the order of decision.
func (c *Client) Decided(ctx context.Context, order canon.Digest, after uint64, each func(wire.ResultLine) error) error {
	return c.results(ctx, order, fmt.Sprintf("after=%d", after), each)
}

func (c *Client) results(ctx context.Context, order canon.Digest, query string, each func(wire.ResultLine) error) error {
	return eachLine(ctx, c, fmt.Sprintf("/v1/orders/%s/results?%s", order, query), "results of order "+order.Short(), each)
}

// Votes calls each for every vote on an order, in task order. Nothing of a vote
// is checked.
func (c *Client) Votes(ctx context.Context, order canon.Digest, each func(wire.VoteLine) error) error {
	return eachLine(ctx, c, fmt.Sprintf("/v1/orders/%s/votes", order), "votes on order "+order.Short(), each)
}

// eachLine reads JSON lines; what they are is said in errors.
func eachLine[T any](ctx context.Context, c *Client, path, what string, each func(T) error) error {
	body, err := c.Open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line T
		if err := decode(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Watch asks how the order stands, tells each, and again, until it has ended.
// A hub that does not answer for a while is asked again: it may be restarting.
func (c *Client) Watch(ctx context.Context, order canon.Digest, every time.Duration, each func(*wire.OrderInfo)) (*wire.OrderInfo, error) {
	const patience = 30 // failures in a row
	failures := 0
	for {
		info, err := c.Order(ctx, order)
		switch {
		case err == nil:
			failures = 0
			each(info)
			if info.Ended() {
				return info, nil
			}
		case ctx.Err() != nil:
			return nil, ctx.Err()
		default:
			if failures++; failures >= patience {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(every):
		}
	}
}
