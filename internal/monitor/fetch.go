package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

// tile fetches what the checkpoint promises.
func (m *Monitor) tile(ctx context.Context, t tlog.Tile, limit int64) ([]byte, error) {
	path := "tile/" + translog.TilePath(t)
	data, err := m.fetch(ctx, path, limit)
	var no *denied
	if errors.As(err, &no) {
		return nil, &canon.Error{Class: translog.ClassWithheld, Msg: "THE LOG IS WITHHELD: its checkpoint promises /log/" + path, Err: err}
	}
	return data, err
}

// denied is an answer that is not what was asked for. A hub that does not
// answer, or says that it cannot, may only be starting again.
type denied struct{ why string }

func (d *denied) Error() string { return d.why }

// fetch reads a body of at most limit bytes, and tries again what may be an
// accident.
func (m *Monitor) fetch(ctx context.Context, path string, limit int64) (data []byte, err error) {
	for i := range attempts {
		var again bool
		if data, again, err = m.fetchOnce(ctx, path, limit); err == nil || !again {
			return data, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Duration(i+1) * 200 * time.Millisecond):
		}
	}
	return nil, err
}

func (m *Monitor) fetchOnce(ctx context.Context, path string, limit int64) (data []byte, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.opt.Hub+"/log/"+path, nil)
	if err != nil {
		return nil, false, err
	}
	res, err := m.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) && ctx.Err() == nil {
			err = fmt.Errorf("no hub at %s: %w", m.opt.Hub, ue.Err)
		}
		return nil, true, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		if res.StatusCode >= 500 {
			return nil, true, fmt.Errorf("the hub answers %s", res.Status)
		}
		return nil, false, &denied{"the hub answers " + res.Status}
	}
	data, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, false, &denied{fmt.Sprintf("the hub sends more than %d bytes", limit)}
	}
	return data, true, err
}
