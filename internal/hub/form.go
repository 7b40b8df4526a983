package hub

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// form reads a multipart form part by part, in the order of docs/spec/wire.md,
// so that nothing that follows a statement is read before the statement's
// signature is verified.
type form struct {
	w     http.ResponseWriter
	parts *multipart.Reader
}

// partTimeout is how long a client may take to send the next bytes.
const partTimeout = 30 * time.Second

// newForm begins a form whose body may have up to limit bytes.
func newForm(w http.ResponseWriter, r *http.Request, limit int64) (*form, error) {
	r.Body = http.MaxBytesReader(w, r.Body, limit+64<<10) // and the parts' headers
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, refusal(wire.CodeRequest, "the body is no multipart form")
	}
	return &form{w, parts}, nil
}

// open begins the part that must come next.
func (f *form) open(name string) (io.Reader, error) {
	part, err := f.parts.NextRawPart()
	if err != nil {
		return nil, uploadError(name, err)
	}
	if got := part.FormName(); got != name {
		return nil, refusal(wire.CodeRequest, "part %.40q of the form comes where %q must be", got, name)
	}
	return &partReader{f.w, part, name}, nil
}

// read reads the part that must come next.
func (f *form) read(name string, limit int64) ([]byte, error) {
	part, err := f.open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(part, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, refusal("too_large", "%s: more than %d bytes", name, limit)
	}
	return data, nil
}

// partReader gives the client more time as long as bytes come.
type partReader struct {
	w    http.ResponseWriter
	part io.Reader
	name string
}

func (p *partReader) Read(b []byte) (int, error) {
	deadlines(p.w, partTimeout, partTimeout+readTimeout)
	n, err := p.part.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, uploadError(p.name, err)
	}
	return n, err
}

// uploadError says of a body that could not be read whose fault it is.
func uploadError(part string, err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return refusal("too_large", "the form is over %d bytes", large.Limit)
	}
	return &canon.Error{Class: wire.CodeRequest, Msg: fmt.Sprintf("the form ends before part %q has come", part), Err: err}
}

// readBody reads a short body.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, refusal("too_large", "the body is over %d bytes", limit)
	}
	if err != nil {
		return nil, refusal(wire.CodeRequest, "the body has not come whole")
	}
	return data, nil
}
