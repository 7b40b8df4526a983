// Package client speaks a hub's HTTP API, docs/spec/wire.md, for researchers
// and auditors. It believes nothing that a hub says about what is signed:
// callers verify statements and modules themselves.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/wire"
)

// The most that is read of a JSON answer, and of one that refuses, in bytes.
const (
	maxAnswer  = 16 << 20
	maxRefusal = 64 << 10
)

// Client is a hub's HTTP API at a base URL.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the hub at base, like http://127.0.0.1:8080. token
// is an operator's, or empty.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, fmt.Errorf("hub address %q: want a URL like http://127.0.0.1:8080", base)
	}
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Timeout: 10 * time.Minute}}, nil
}

// APIError is a hub's refusal.
type APIError struct {
	Status        int
	Code, Message string
}

func (e *APIError) Error() string { return fmt.Sprintf("the hub refuses: %s (%s)", e.Message, e.Code) }

// Part is one field of a multipart form.
type Part struct {
	Name    string
	Content io.Reader
}

// Bytes is a Part with its content in memory.
func Bytes(name string, data []byte) Part { return Part{name, bytes.NewReader(data)} }

// Post sends a multipart form, streaming its parts in order, and decodes the
// answer into answer.
func (c *Client) Post(ctx context.Context, path string, answer any, parts ...Part) error {
	body, w := io.Pipe()
	form := multipart.NewWriter(w)
	go func() { w.CloseWithError(writeParts(form, parts)) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	return c.do(req, answer)
}

func writeParts(form *multipart.Writer, parts []Part) error {
	for _, p := range parts {
		w, err := form.CreateFormFile(p.Name, p.Name)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, p.Content); err != nil {
			return err
		}
	}
	return form.Close()
}

// PostJSON sends body as JSON and decodes the answer, if answer is not nil.
func (c *Client) PostJSON(ctx context.Context, path string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(req, answer)
}

// GetJSON decodes the answer to a GET.
func (c *Client) GetJSON(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	return c.do(req, answer)
}

// Get returns a body of at most limit bytes.
func (c *Client) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	body, err := c.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s from the hub: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("reading %s from the hub: more than %d bytes", path, limit)
	}
	return data, nil
}

// Open returns the body of a GET, to be closed by the caller.
func (c *Client) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.send(req)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func (c *Client) do(req *http.Request, answer any) error {
	res, err := c.send(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if answer == nil {
		return nil
	}
	if err := decodeAll(res.Body, maxAnswer, answer); err != nil {
		return fmt.Errorf("%s %s: the answer is not what a hub sends: %w", req.Method, req.URL, err)
	}
	return nil
}

// send returns an answer with a status below 300, and an error otherwise.
func (c *Client) send(req *http.Request) (*http.Response, error) { return c.sendBy(c.http, req) }

func (c *Client) sendBy(by *http.Client, req *http.Request) (*http.Response, error) {
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := by.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) && req.Context().Err() == nil {
			return nil, fmt.Errorf("no hub at %s: %w", c.base, ue.Err)
		}
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var f wire.ErrorBody
	if err := decodeAll(res.Body, maxRefusal, &f); err != nil || f.Error.Code == "" {
		return nil, &APIError{res.StatusCode, "http", fmt.Sprintf("%s %s: %d %s", req.Method, req.URL.Path, res.StatusCode, http.StatusText(res.StatusCode))}
	}
	return nil, &APIError{res.StatusCode, f.Error.Code, f.Error.Message}
}
