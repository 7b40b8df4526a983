// Package witness cosigns the checkpoints of logs, and asks witnesses to:
// docs/spec/log.md, section "Witnesses". The protocol is C2SP's tlog-witness.
//
// A witness signs a checkpoint only if it extends the one that it signed
// before. That is all it does, and what a log cannot do for itself.
package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

const (
	// Path is where a witness is asked, after its URL.
	Path        = "/add-checkpoint"
	sizeType    = "text/x.tlog.size"
	maxState    = 1 << 20
	readTimeout = 10 * time.Second
)

// Options of New. Key, Logs and State are needed.
type Options struct {
	Key   translog.SecretKey
	Logs  []translog.VKey // whose checkpoints it cosigns
	State string          // file; made if it is not there
	Log   *slog.Logger
	Now   func() time.Time // nil: time.Now
}

// Witness is an http.Handler.
type Witness struct {
	opt  Options
	logs map[string]*translog.Verifier // by origin

	mu    sync.Mutex
	state map[string]seen // by origin
}

// seen is the checkpoint that was cosigned last.
type seen struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

// New reads the state of a witness.
func New(opt Options) (*Witness, error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	w := &Witness{opt: opt, logs: map[string]*translog.Verifier{}, state: map[string]seen{}}
	for _, log := range opt.Logs {
		v, err := translog.NewVerifier(log.String(), []string{opt.Key.VKey.String()}, 0)
		if err != nil {
			return nil, err
		}
		if w.logs[log.Name] != nil {
			return nil, fmt.Errorf("two log keys of the origin %s", log.Name)
		}
		w.logs[log.Name] = v
	}
	if len(w.logs) == 0 {
		return nil, errors.New("a witness needs a log to witness")
	}
	return w, w.load()
}

func (w *Witness) load() error {
	info, err := os.Stat(w.opt.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() > maxState {
		err = fmt.Errorf("it has %d bytes", info.Size())
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(w.opt.State)
	}
	if err == nil {
		err = json.Unmarshal(data, &w.state)
	}
	if err != nil {
		// Going on without it could cosign a second history.
		return fmt.Errorf("reading the witness's state %s: %w", w.opt.State, err)
	}
	return nil
}

// save makes the state durable, or leaves the file as it was.
func (w *Witness) save() error {
	data, err := json.MarshalIndent(w.state, "", "  ")
	if err != nil {
		return err
	}
	dir := filepath.Dir(w.opt.State)
	f, err := os.CreateTemp(dir, ".witness-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), w.opt.State)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// refused is an answer that is no cosignature.
type refused struct {
	status int
	size   int64 // of 409
	why    string
}

func (r *refused) Error() string { return r.why }

// ServeHTTP answers POST /add-checkpoint.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != Path:
		http.Error(rw, "there is only POST "+Path, http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		rw.Header().Set("Allow", http.MethodPost)
		http.Error(rw, "there is only POST "+Path, http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, translog.MaxRequest))
	if err != nil {
		http.Error(rw, "the request is too large, or broke off", http.StatusBadRequest)
		return
	}
	line, err := w.Add(body)
	var no *refused
	switch {
	case err == nil:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Write(line) // the client may have left
	case !errors.As(err, &no):
		w.opt.Log.Error("a checkpoint could not be recorded, and was not cosigned", "error", err)
		http.Error(rw, "the witness cannot write its state", http.StatusInternalServerError)
	case no.status == http.StatusConflict:
		rw.Header().Set("Content-Type", sizeType)
		rw.WriteHeader(no.status)
		fmt.Fprintf(rw, "%d\n", no.size)
	default:
		http.Error(rw, no.why, no.status)
	}
}

// Add cosigns the checkpoint of a request: it returns the signature's line.
func (w *Witness) Add(body []byte) ([]byte, error) {
	req, err := translog.ParseRequest(body)
	if err != nil {
		return nil, &refused{status: http.StatusBadRequest, why: err.Error()}
	}
	c := req.Checkpoint
	log := w.logs[c.Origin]
	if log == nil {
		return nil, &refused{status: http.StatusNotFound, why: "this witness does not know the log " + c.Origin}
	}
	if _, err := log.Open(c.Encode(), w.opt.Now()); canon.ClassOf(err) == translog.ClassSignature {
		return nil, &refused{status: http.StatusForbidden, why: err.Error()}
	}
	if req.Old > c.Size {
		return nil, &refused{status: http.StatusBadRequest, why: "the old size is larger than the checkpoint's"}
	}
	return w.extend(req)
}

// extend compares with what was cosigned last and records the new checkpoint,
// in one step: two requests at once cannot each extend the same.
func (w *Witness) extend(req *translog.Request) ([]byte, error) {
	c := req.Checkpoint
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.state[c.Origin]
	if last.Size != req.Old {
		return nil, &refused{status: http.StatusConflict, size: last.Size, why: "the old size is another"}
	}
	if err := extends(last, req); err != nil {
		w.opt.Log.Error("a log shows another history than before; its checkpoint is not cosigned",
			"origin", c.Origin, "cosigned", last.Size, "size", c.Size, "error", err, "evidence", string(c.Encode()))
		return nil, err
	}
	if last != (seen{c.Size, c.Root}) {
		w.state[c.Origin] = seen{c.Size, c.Root}
		if err := w.save(); err != nil {
			w.state[c.Origin] = last
			return nil, err
		}
	}
	w.opt.Log.Info("cosigned", "origin", c.Origin, "size", c.Size, "before", last.Size)
	return translog.Cosign(w.opt.Key, c, w.opt.Now()).Encode(), nil
}

func extends(last seen, req *translog.Request) error {
	c := req.Checkpoint
	switch {
	case last.Size == 0:
		if len(req.Path) != 0 || (c.Size == 0 && c.Root != emptyRoot()) {
			return &refused{status: http.StatusUnprocessableEntity, why: "a proof from nothing is empty"}
		}
	case last.Size == c.Size:
		if last.Root != c.Root {
			return &refused{status: http.StatusConflict, size: last.Size, why: "the root of that size was another"}
		}
		if len(req.Path) != 0 {
			return &refused{status: http.StatusUnprocessableEntity, why: "a proof of equal sizes is empty"}
		}
	default:
		if err := tlog.CheckTree(req.Path, c.Size, c.Root, last.Size, last.Root); err != nil {
			return &refused{status: http.StatusUnprocessableEntity, why: "the consistency proof does not verify"}
		}
	}
	return nil
}

func emptyRoot() tlog.Hash {
	h, _ := tlog.TreeHash(0, nil) // of nothing: it reads nothing
	return h
}

// Server serves a witness with timeouts.
func (w *Witness) Server() *http.Server {
	return &http.Server{Handler: w, ReadTimeout: readTimeout, WriteTimeout: readTimeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(w.opt.Log.Handler(), slog.LevelDebug)}
}
