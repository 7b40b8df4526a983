package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

const (
	followPatience = 10 * time.Minute // without a word of the hub
	followPause    = time.Second      // before it is asked again
	maxEvent       = maxLine + 64
)

// Followed is what Follow tells of: one of them is set.
type Followed struct {
	Order  *wire.OrderInfo
	Result *wire.ResultLine
}

// Follow tells each what happens to an order, and what is decided on it after a
// cursor, until the order has ended; then it returns how it stands. A connection
// that breaks, and a hub that restarts, are asked again, and nothing is told
// twice: cursor is where a caller that was interrupted goes on.
func (c *Client) Follow(ctx context.Context, order canon.Digest, after uint64, each func(Followed) error) (info *wire.OrderInfo, cursor uint64, err error) {
	f := follower{client: c, order: order, cursor: after, each: each, heard: time.Now()}
	for {
		err := f.stream(ctx)
		var said *APIError
		switch {
		case f.end != nil:
			return f.end, f.cursor, nil
		case ctx.Err() != nil:
			return nil, f.cursor, ctx.Err()
		case f.failed != nil:
			return nil, f.cursor, f.failed
		case errors.As(err, &said) && said.Status < 500 && said.Status != http.StatusTooManyRequests:
			return nil, f.cursor, err
		case time.Since(f.heard) > followPatience:
			return nil, f.cursor, fmt.Errorf("order %s: no word of the hub for %s: %w", order.Short(), followPatience, err)
		}
		select {
		case <-ctx.Done():
			return nil, f.cursor, ctx.Err()
		case <-time.After(followPause):
		}
	}
}

// follower is where a follower stands, over many connections.
type follower struct {
	client *Client
	order  canon.Digest
	cursor uint64
	each   func(Followed) error
	heard  time.Time // of the hub
	end    *wire.OrderInfo
	failed error // of each
}

// stream reads one connection to its end.
func (f *follower) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.client.base+"/v1/orders/"+f.order.String()+"/events", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", wire.EventStream)
	req.Header.Set("Last-Event-ID", strconv.FormatUint(f.cursor, 10))
	silence := time.AfterFunc(3*wire.HeartbeatEvery, cancel) // a connection that says nothing is broken
	defer silence.Stop()
	res, err := f.client.sendBy(&http.Client{Transport: f.client.http.Transport}, req) // it lasts as long as the order
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxEvent)
	var name string
	var data []byte
	for lines.Scan() {
		silence.Reset(3 * wire.HeartbeatEvery)
		f.heard = time.Now()
		line := lines.Bytes()
		switch {
		case len(line) == 0 && data != nil:
			if err := f.event(name, data); err != nil || f.end != nil {
				return err
			}
			name, data = "", nil
		case bytes.HasPrefix(line, []byte("event: ")):
			name = strings.TrimPrefix(string(line), "event: ")
		case bytes.HasPrefix(line, []byte("data: ")):
			data = bytes.Clone(line[len("data: "):])
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func (f *follower) event(name string, data []byte) error {
	switch name {
	case wire.EventOrder, wire.EventEnd:
		info := new(wire.OrderInfo)
		if err := decode(data, info); err != nil {
			return f.wrong(err)
		}
		if name == wire.EventEnd {
			f.end = info
			return nil
		}
		f.failed = f.each(Followed{Order: info})
	case wire.EventResult:
		line := new(wire.ResultLine)
		if err := decode(data, line); err != nil {
			return f.wrong(err)
		}
		if f.failed = f.each(Followed{Result: line}); f.failed == nil {
			f.cursor = line.Cursor
		}
	}
	return f.failed
}

// wrong ends it: what came is not what a hub sends, and asking again won't help.
func (f *follower) wrong(err error) error {
	f.failed = fmt.Errorf("events of order %s: %w", f.order.Short(), err)
	return f.failed
}
