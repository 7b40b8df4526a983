package hub

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/webworker"
)

// routes is every path of docs/spec/wire.md, and the page.
func (h *Hub) routes() http.Handler {
	mux := http.NewServeMux()
	for _, o := range h.operations() {
		mux.HandleFunc(o.method+" "+o.path, func(w http.ResponseWriter, r *http.Request) {
			if err := o.handle(w, r); err != nil {
				h.fault(w, r, err)
			}
		})
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*h.page.Load()).ServeHTTP(w, r) })
	for _, path := range []string{"/{$}", "/countersign.js", "/results", "/results.js", "/page.css", "/icon.svg"} {
		mux.Handle("GET "+path, page)
	}
	return h.guard(mux)
}

// repage writes the page again, which names researchers and warnings.
func (h *Hub) repage() {
	page := webworker.Handler(h.pageData())
	h.page.Store(&page)
}

func (h *Hub) pageData() webworker.PageData {
	data := webworker.PageData{Title: h.opt.Title, Origin: h.opt.Origin, Warning: h.trustInfo(h.trust.Load(), h.now()).Warning,
		Log: h.notary.key.VKey.String()}
	for _, k := range h.notary.keys {
		data.Witnesses = append(data.Witnesses, k.String())
	}
	data.Threshold, data.Floor = h.opt.Root.Threshold, max(h.opt.Root.Floor, 1)
	for _, k := range h.opt.Root.Keys {
		data.Root = append(data.Root, k.String())
	}
	for _, r := range h.Policy().Researchers {
		data.Researchers = append(data.Researchers, webworker.Researcher{Name: r.Name, Key: r.Key.String(), Prefix: r.Prefix})
	}
	return data
}

// readTimeout is for requests without a long body; uploads extend it.
const readTimeout = 30 * time.Second

// guard sets what holds for every answer, turns the mux's own errors into the
// hub's, and survives handlers that panic.
func (h *Hub) guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				h.log.Error("a handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				h.fault(w, r, errors.New("panic"))
			}
		}()
		head := w.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		if r.TLS != nil {
			head.Set("Strict-Transport-Security", "max-age=31536000")
		}
		deadlines(w, readTimeout, readTimeout)
		if err := h.limits.request(h.client(r)); err != nil {
			h.fault(w, r, err)
			return
		}
		if err := h.guardOrigin(w, r); err != nil {
			h.fault(w, r, err)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			h.fault(w, r, h.unrouted(mux, r))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// deadlines sets how long the request may take to come and the answer to go.
// A writer that has none, as in tests, needs none.
func deadlines(w http.ResponseWriter, read, write time.Duration) {
	c := http.NewResponseController(w)
	now := time.Now() // sockets go by the machine's clock
	for _, err := range []error{c.SetReadDeadline(now.Add(read)), c.SetWriteDeadline(now.Add(write))} {
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return // the connection is gone, as the handler will notice
		}
	}
}

// unrouted tells a wrong method from a wrong path.
func (h *Hub) unrouted(mux *http.ServeMux, r *http.Request) error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			return refusal(wire.CodeMethod, "%s is not for %s", r.URL.Path, r.Method)
		}
	}
	return refusal(wire.CodeNotFound, "there is nothing at %s", r.URL.Path)
}

// public is what the one that asked may know of an error.
func public(err error) (code, text string) {
	if code = canon.ClassOf(err); code == "" && store.NoRoom(err) {
		return wire.CodeFull, "the hub's disk is full"
	}
	if code == "" {
		return wire.CodeInternal, "internal error"
	}
	return code, err.Error()
}

// fault answers with an error; the log has its cause.
func (h *Hub) fault(w http.ResponseWriter, r *http.Request, err error) {
	code, text := public(err)
	status := wire.Status(code)
	log := h.log.Info
	if status >= http.StatusInternalServerError {
		log = h.log.Error
	}
	log("request refused", "method", r.Method, "path", r.URL.Path, "status", status, "code", code, "error", err, "client", h.client(r))
	h.metrics.errors.WithLabelValues(code).Inc()
	if seconds := h.limits.comeAgain(code); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	var body wire.ErrorBody
	body.Error.Code, body.Error.Message = code, printable(text, wire.MaxErrorText)
	answer(w, status, body)
}

// answer writes a JSON body. A client that is gone is no error of the hub's.
func answer(w http.ResponseWriter, status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(data, '\n'))
	return nil
}

// accept upgrades a worker's connection and lets go of the request, which
// frees what the server holds for it.
func (h *Hub) accept(w http.ResponseWriter, r *http.Request) error {
	client := h.client(r)
	if err := h.limits.connections.take(client); err != nil {
		return err
	}
	if err := h.begin(); err != nil {
		h.limits.connections.leave(client)
		return err
	}
	served := false
	end := func() {
		h.limits.connections.leave(client)
		h.serving.Done()
	}
	defer func() {
		if !served {
			end()
		}
	}()
	if !offers(r, wire.Subprotocol) {
		return refusal(wire.CodeRequest, "the subprotocol %s is not offered", wire.Subprotocol)
	}
	origin, err := h.pageOrigin(r)
	if err != nil {
		return err
	}
	conn, err := websocket.Accept(slim{w}, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol},
		InsecureSkipVerify: true, // pageOrigin has looked at the origin
		CompressionMode:    websocket.CompressionDisabled})
	if err != nil {
		h.log.Info("worker connection refused", "error", err, "client", client)
		h.metrics.errors.WithLabelValues(wire.CodeRequest).Inc()
		return nil // Accept has answered
	}
	served = true
	go h.serve(conn, client, origin, end)
	return nil
}

// slim hands over connections with small buffers. The server's are 4 KiB each
// way, half of what an idle worker would cost; longer frames pass them by.
type slim struct{ http.ResponseWriter }

func (s slim) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil || rw.Reader.Buffered() > 0 { // it did not wait for the answer
		return conn, rw, err
	}
	return conn, bufio.NewReadWriter(bufio.NewReaderSize(conn, readBuffer), bufio.NewWriterSize(conn, writeBuffer)), nil
}

const readBuffer, writeBuffer = 2 << 10, 1 << 10

// begin counts a session in, unless the hub closes.
func (h *Hub) begin() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return refusal(wire.CodeClosing, "the hub shuts down")
	}
	h.serving.Add(1)
	return nil
}

func offers(r *http.Request, protocol string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(p) == protocol {
				return true
			}
		}
	}
	return false
}
