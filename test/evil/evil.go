// Package evil is a hub that lies. It stands in front of a real one, passes
// everything on, and changes what an attack says: every message and every HTTP
// body, in every way that a thief of the hub could think of. What volunteers
// then do it notes from their own words, so that a test can say whether
// anything ran that no researcher signed.
package evil

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/countersign/countersign/internal/wire"
)

// maxBody is more than any body that a hub has.
const maxBody = 32 << 20

// Proxy is a hub under attack. It is an http.Handler.
type Proxy struct {
	upstream *url.URL
	attack   Attack

	mu     sync.Mutex
	report Report
	held   map[string][]byte // bodies of the hub by path, for swapping
	again  map[string]object // the last message of each type, for repeating
}

// Report is what volunteers said and asked while the attack went on.
type Report struct {
	Attacked int      `json:"attacked"` // bodies and messages that were changed
	Asked    []string `json:"asked"`    // paths
	Votes    []Vote   `json:"votes"`
	Checks   []string `json:"checks"`  // of leases that came back: reason, or the failed check
	Running  int      `json:"running"` // words of a task that it runs
	Joined   int      `json:"joined"`
	Left     int      `json:"left"` // connections that volunteers ended
}

// Vote is what a volunteer claims to have done.
type Vote struct {
	Order  string `json:"order"`
	Task   uint64 `json:"task"`
	Module string `json:"module"`
	Input  string `json:"input"`
	End    string `json:"end"`
	Output string `json:"output"`
}

// object is a message, its members as they came.
type object map[string]json.RawMessage

func (o object) kind() (s string) {
	_ = json.Unmarshal(o["type"], &s)
	return s
}

func (o object) encode() []byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	return b
}

// with returns a copy with one member another.
func (o object) with(member string, v any) object {
	c := object{}
	for k, raw := range o {
		c[k] = raw
	}
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	c[member] = raw
	return c
}

// New returns a Proxy in front of the hub at a base URL.
func New(upstream string, a Attack) (*Proxy, error) {
	u, err := url.Parse(upstream)
	if err != nil {
		return nil, err
	}
	return &Proxy{upstream: u, attack: a, held: map[string][]byte{}, again: map[string]object{}}, nil
}

// Report returns what was seen until now.
func (p *Proxy) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.report
	r.Asked, r.Votes, r.Checks = append([]string{}, r.Asked...), append([]Vote{}, r.Votes...), append([]string{}, r.Checks...)
	return r
}

func (p *Proxy) note(change func(*Report)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.report)
}

// ReportPath serves the Report.
const ReportPath = "/evil/report"

// ServeHTTP is the hub, as the volunteer sees it.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case wire.WorkPath:
		p.work(w, r)
	case ReportPath:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.Report())
	default:
		p.pass(w, r)
	}
}

// pass answers as the hub does, unless the attack changes it.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request) {
	p.note(func(o *Report) { o.Asked = append(o.Asked, r.URL.Path) })
	if body, ok := p.attack.Files[r.URL.Path]; ok {
		p.note(func(o *Report) { o.Attacked++ })
		_, _ = w.Write(body)
		return
	}
	status, header, body, err := p.fetch(r.Context(), r.Method, r.URL.RequestURI(), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for name, values := range header {
		switch name {
		case "Content-Length", "Etag", "Cache-Control", "Date":
		default:
			w.Header()[name] = values
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	if f := p.attack.Body; f != nil && status == http.StatusOK {
		if answer := f(p, r.URL.Path, body); answer != nil {
			p.note(func(o *Report) { o.Attacked++ })
			answer.write(w, r)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (p *Proxy) fetch(ctx context.Context, method, uri string, in io.Reader) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.upstream.String()+uri, in)
	if err != nil {
		return 0, nil, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	return res.StatusCode, res.Header, body, err
}

// other returns a body of the same kind as that of a path, but another one.
func (p *Proxy) other(path string, others []string) []byte {
	for _, o := range others {
		if o == path {
			continue
		}
		p.mu.Lock()
		body := p.held[o]
		p.mu.Unlock()
		if body == nil {
			_, _, body, _ = p.fetch(context.Background(), http.MethodGet, o, nil)
			p.mu.Lock()
			p.held[o] = body
			p.mu.Unlock()
		}
		return body
	}
	return nil
}

// Answer is what a volunteer gets instead of what it asked for.
type Answer struct {
	Status   int // 0: 200
	Body     []byte
	Endless  bool   // the body goes on for ever
	Hang     bool   // nothing comes
	Slow     bool   // a byte comes, and another one later
	Location string // of a redirect
}

func (a *Answer) write(w http.ResponseWriter, r *http.Request) {
	if a.Hang {
		<-r.Context().Done()
		return
	}
	if a.Location != "" {
		w.Header().Set("Location", a.Location)
	}
	w.WriteHeader(max(a.Status, http.StatusOK))
	if a.Slow {
		a.drip(w, r)
		return
	}
	if a.Status == 0 {
		_, _ = w.Write(a.Body)
	}
	for junk := bytes.Repeat([]byte{'x'}, 1<<16); a.Endless; {
		if _, err := w.Write(junk); err != nil {
			return
		}
	}
}

// drip sends the body a byte at a time.
func (a *Answer) drip(w http.ResponseWriter, r *http.Request) {
	for i := range a.Body {
		if _, err := w.Write(a.Body[i : i+1]); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
}

// work relays a worker connection.
func (p *Proxy) work(w http.ResponseWriter, r *http.Request) {
	down, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer down.CloseNow()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	at := *p.upstream
	at.Scheme, at.Path = "ws", wire.WorkPath
	up, _, err := websocket.Dial(ctx, at.String(), &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer up.CloseNow()
	down.SetReadLimit(maxBody)
	up.SetReadLimit(maxBody)
	ended := make(chan error, 2)
	go func() {
		err := p.relay(ctx, down, up, p.heard)
		p.note(func(o *Report) { o.Left++ })
		ended <- err
	}()
	go func() { ended <- p.relay(ctx, up, down, p.said) }()
	<-ended
	// What the hub said last may still have to arrive.
	_ = down.Close(websocket.StatusGoingAway, "")
}

// relay passes frames on, with their messages as change makes them. What was
// said in one frame stays in one: messages stand for others of their frame (see
// docs/spec/wire.md), and the attack is to be the only lie.
func (p *Proxy) relay(ctx context.Context, from, to *websocket.Conn, change func([]byte) []Frame) error {
	for {
		_, data, err := from.Read(ctx)
		if err != nil {
			return err
		}
		var frames []Frame
		for message := range bytes.SplitSeq(data, []byte("\n")) {
			for _, f := range change(message) {
				if last := len(frames) - 1; last >= 0 && f.joins(frames[last]) {
					frames[last].Data = append(append(bytes.Clone(frames[last].Data), '\n'), f.Data...)
				} else {
					frames = append(frames, f)
				}
			}
		}
		if err := pass(ctx, to, frames); err != nil {
			return err
		}
	}
}

// joins says whether f may be sent in one frame with what is before it.
func (f Frame) joins(before Frame) bool {
	return f.Delay == 0 && before.Delay == 0 && !f.Binary && !before.Binary
}

func pass(ctx context.Context, to *websocket.Conn, frames []Frame) error {
	for _, f := range frames {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
			return ctx.Err()
		}
		kind := websocket.MessageText
		if f.Binary {
			kind = websocket.MessageBinary
		}
		if err := to.Write(ctx, kind, f.Data); err != nil {
			return err
		}
	}
	return nil
}

// Frame is one WebSocket message.
type Frame struct {
	Data   []byte
	Binary bool
	Delay  time.Duration
}

// said is what the hub said, as the attack has it.
func (p *Proxy) said(data []byte) []Frame {
	var m object
	if err := json.Unmarshal(data, &m); err != nil {
		return []Frame{{Data: data}}
	}
	frames := []Frame{{Data: data}}
	if p.attack.Message != nil {
		if changed := p.attack.Message(p, m, data); changed != nil {
			p.note(func(o *Report) { o.Attacked++ })
			frames = changed
		}
	}
	if m.kind() == "welcome" {
		for _, more := range p.attack.Uninvited {
			p.note(func(o *Report) { o.Attacked++ })
			frames = append(frames, Frame{Data: more})
		}
	}
	return frames
}

// heard is what the volunteer said. It passes unchanged, and is noted.
func (p *Proxy) heard(data []byte) []Frame {
	var m struct {
		Type   string
		Vote   Vote
		Reason string
		Check  string
		Fuel   uint64
	}
	if err := json.Unmarshal(data, &m); err != nil {
		p.note(func(o *Report) { o.Checks = append(o.Checks, "garbage: "+err.Error()) })
		return []Frame{{Data: data}}
	}
	p.note(func(o *Report) {
		switch m.Type {
		case "join":
			o.Joined++
		case "progress":
			if m.Fuel > 0 {
				o.Running++
			}
		case "result":
			o.Votes = append(o.Votes, m.Vote)
		case "return":
			if m.Check == "" {
				m.Check = "(" + m.Reason + ")"
			}
			o.Checks = append(o.Checks, m.Check)
		}
	})
	return []Frame{{Data: data}}
}

// Truth is what may run: of each order its module and the inputs of its tasks,
// as hex digests.
type Truth map[string]struct {
	Module string
	Inputs []string
}

// Breach returns what a volunteer did that no researcher signed, or nil.
func (t Truth) Breach(votes []Vote) error {
	for _, v := range votes {
		o, ok := t[v.Order]
		switch {
		case !ok:
			return fmt.Errorf("a vote on order %s, which nobody signed", v.Order)
		case v.Module != o.Module:
			return fmt.Errorf("module %s ran for order %s, whose researcher signed %s", v.Module, v.Order, o.Module)
		case v.Task >= uint64(len(o.Inputs)) || v.Input != o.Inputs[v.Task]:
			return fmt.Errorf("task %d of order %s ran on input %s, which is not the signed one", v.Task, v.Order, v.Input)
		}
	}
	return nil
}

var errHung = errors.New("the volunteer hangs")

// Outcome says in a few words what stopped an attack.
func (r *Report) Outcome() string {
	switch {
	case len(r.Checks) > 0:
		return strings.Join(distinct(r.Checks), ", ")
	case r.Attacked == 0:
		return "never asked"
	case r.Left > 0:
		return "hung up"
	case len(r.Votes) > 0:
		return "signed work only"
	}
	return "nothing came of it"
}

func distinct(all []string) (once []string) {
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			once = append(once, s)
		}
	}
	return once
}
