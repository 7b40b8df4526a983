package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

const maxAnswer = 16 << 10

// Remote is a witness that a log asks. It is for one goroutine.
type Remote struct {
	Key  translog.VKey
	url  string
	http *http.Client
	last int64 // size that it cosigned last, as far as is known
}

// NewRemote takes "URL,VKEY".
func NewRemote(text string) (*Remote, error) {
	address, vkey, ok := strings.Cut(text, ",")
	u, err := url.Parse(address)
	if !ok || err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("witness %.200q: want URL,VKEY, like https://witness.example,NAME+ID+BASE64", text)
	}
	key, err := translog.ParseVKey(translog.WitnessKey, vkey)
	if err != nil {
		return nil, err
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Remote{Key: key, url: strings.TrimRight(address, "/") + Path, http: client}, nil
}

// Ask asks for a cosignature of c; prove gives consistency proofs of the log.
// An error of class log_fork says that the witness has seen another log.
func (r *Remote) Ask(ctx context.Context, c *translog.Checkpoint, prove func(old, size int64) (tlog.TreeProof, error)) (translog.Signature, error) {
	if r.last > c.Size {
		r.last = 0 // the witness will tell
	}
	s, err := r.ask(ctx, c, r.last, prove)
	var other *otherSize
	if errors.As(err, &other) && other.size <= c.Size && other.size != r.last {
		s, err = r.ask(ctx, c, other.size, prove)
	}
	if errors.As(err, &other) {
		r.last = min(other.size, c.Size)
		return s, canon.Fail(translog.ClassFork, "witness %s has cosigned size %d of another log with this key, and does not cosign size %d", r.Key.Name, other.size, c.Size)
	}
	if err != nil {
		return s, fmt.Errorf("witness %s: %w", r.Key.Name, err)
	}
	r.last = c.Size
	return s, nil
}

// otherSize is what a witness says that cosigned another size last.
type otherSize struct{ size int64 }

func (o *otherSize) Error() string { return fmt.Sprintf("it cosigned size %d last", o.size) }

func (r *Remote) ask(ctx context.Context, c *translog.Checkpoint, old int64, prove func(old, size int64) (tlog.TreeProof, error)) (s translog.Signature, err error) {
	req := translog.Request{Old: old, Checkpoint: c}
	if old > 0 && old < c.Size {
		if req.Path, err = prove(old, c.Size); err != nil {
			return s, err
		}
	}
	status, answer, err := r.post(ctx, req.Encode())
	switch {
	case err != nil:
		return s, err
	case status == http.StatusConflict:
		size, err := strconv.ParseInt(strings.TrimSuffix(string(answer), "\n"), 10, 64)
		if err != nil || size < 0 {
			return s, fmt.Errorf("its answer 409 does not tell a size: %.60q", answer)
		}
		return s, &otherSize{size}
	case status == http.StatusUnprocessableEntity:
		return s, canon.Fail(translog.ClassFork, "it does not take the proof that size %d goes on from %d: it has seen another log with this key", c.Size, old)
	case status != http.StatusOK:
		return s, fmt.Errorf("it answers %d: %.200q", status, answer)
	}
	all, err := translog.ParseSignatures(answer)
	if err != nil {
		return s, err
	}
	s, ok := translog.Cosignature(r.Key, c, all)
	if !ok {
		return s, errors.New("its cosignature does not verify")
	}
	return s, nil
}

func (r *Remote) post(ctx context.Context, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := r.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, answer, err
}
