package hub

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/job"
	"github.com/countersign/countersign/internal/wire"
)

const (
	pingEvery    = 30 * time.Second // and as long to answer
	writeTimeout = 30 * time.Second
	closeTimeout = 2 * time.Second
	maxOutgoing  = 512 // messages that wait for a worker to read
	uselessPrice = 50  // messages that a useless vote or checkpoint counts as, beside itself
)

// session is one worker connection. Between messages it holds one goroutine,
// which reads; writing and pinging take theirs when there is something to do.
type session struct {
	hub     *Hub
	conn    *websocket.Conn
	client  netip.Addr
	net     netip.Prefix
	origin  string // of its page, if that is not the hub's; or ""
	pass    pass
	id      job.SessionID
	worker  wire.Key
	agent   string
	limiter *rate.Limiter
	ping    *time.Timer
	ctx     context.Context
	cancel  context.CancelFunc
	since   time.Time // it joined; guarded by hub.mu, as is worked
	worked  bool      // it held a lease

	mu      sync.Mutex
	queue   []outgoing
	writing bool
	over    bool
}

// outgoing is a message on its way: made already, or made when it is written,
// because that may read a disk.
type outgoing struct {
	raw   []byte
	msg   wire.FromHub
	lease *job.Lease
	close websocket.StatusCode // after this message, if not 0
}

// serve runs a connection to its end, and calls end then.
func (h *Hub) serve(conn *websocket.Conn, client netip.Addr, origin string, end func()) {
	s := &session{hub: h, conn: conn, client: client, origin: origin, net: job.NetOf(client), limiter: rate.NewLimiter(wire.MaxRate, wire.MaxBurst)}
	s.ctx, s.cancel = context.WithCancel(h.ctx)
	conn.SetReadLimit(wire.MaxJoin) // whoever has not joined gets no memory
	err := s.join()
	if err == nil {
		conn.SetReadLimit(wire.MaxToHub)
		go s.stay(end) // on a fresh stack: joining takes a deep one, and idle workers are many
		return
	}
	s.reject(err)
	s.close(end)
}

func (s *session) close(end func()) {
	s.conn.CloseNow()
	s.cancel()
	end()
}

// stay serves a worker that has joined.
func (s *session) stay(end func()) {
	h := s.hub
	defer s.close(end)
	defer h.leave(s)
	s.ping = time.AfterFunc(time.Hour, s.probe)
	s.ping.Reset(h.opt.pingEvery) // only now, because probe uses s.ping
	defer s.ping.Stop()
	if err := s.listen(); err != nil {
		s.reject(err)
	}
}

// join makes the worker prove its key.
func (s *session) join() error {
	ctx, cancel := context.WithTimeout(s.ctx, wire.JoinTimeout)
	defer cancel()
	hello := &wire.Hello{Hub: s.hub.id, Time: uint64(s.hub.now().Unix())}
	rand.Read(hello.Nonce[:]) // never fails
	if err := s.write(ctx, hello); err != nil {
		return err
	}
	all, err := s.read(ctx)
	if err != nil && ctx.Err() != nil && s.ctx.Err() == nil {
		return refusal(wire.CodeJoinTimeout, "no join within %s", wire.JoinTimeout)
	}
	if err != nil {
		return err
	}
	join, ok := all[0].(*wire.Join)
	if !ok || len(all) > 1 {
		return refusal(wire.CodeMessage, "the first message must be join, alone in its frame")
	}
	if err := wire.VerifyJoin(hello, join); err != nil {
		return err
	}
	s.worker, s.agent = join.Worker, join.Agent
	if s.pass, err = s.hub.letIn(s, join.Pass); err != nil {
		return err
	}
	token, err := s.hub.comeback(s.worker, s.pass)
	if err != nil {
		return err
	}
	return s.hub.enter(s, token)
}

// enter makes a session known to the machine, and welcomes the worker. What
// revokes tokens or replaces the policy goes through the list of sessions afterwards.
func (h *Hub) enter(s *session, comeback string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return refusal(wire.CodeClosing, "the hub shuts down")
	}
	if !h.mayStay(s) {
		return refusal(wire.CodeOrigin, "pages of this origin may not volunteer here any more")
	}
	if r, is := (*h.tokens.revoked.Load())[s.pass.via]; is {
		return refusal(wire.CodeUnauthorized, "the site's token was revoked: %s", r.Reason)
	}
	h.last++
	s.id = h.last
	h.sessions[s.id] = s
	h.machine.Connect(s.id, s.worker, s.net)
	halted, _ := h.machine.Halted()
	s.since = h.now()
	s.send(outgoing{msg: &wire.Welcome{Halted: halted, Visit: h.visits.seconds(), Session: comeback}})
	h.log.Debug("worker joined", "worker", s.worker, "agent", s.agent, "client", s.client, "origin", s.origin)
	return nil
}

func (h *Hub) leave(s *session) {
	h.mu.Lock()
	delete(h.sessions, s.id)
	if s.worked && !h.closing { // a hub that closes cuts visits short
		h.visits.observe(h.now().Sub(s.since))
	}
	h.perform(h.machine.Disconnect(h.now(), s.id))
	h.mu.Unlock()
	s.mu.Lock()
	s.over, s.queue = true, nil
	s.mu.Unlock()
	h.log.Debug("worker left", "worker", s.worker, "client", s.client)
}

// read returns the messages of the next frame, of which there is one at least.
// An error without a code means that the connection is gone.
func (s *session) read(ctx context.Context) ([]wire.FromWorker, error) {
	all, size, err := s.readFrame(ctx)
	if err != nil {
		return nil, err
	}
	// A worker that sends too fast waits: its messages stay in its socket.
	if err := s.limiter.WaitN(ctx, len(all)+size/wire.RateBytes); err != nil {
		return nil, err
	}
	return all, wire.OpenSheet(all, s.worker)
}

// readFrame reads and decodes the next frame, and returns its length. While there is none, a session has
// no buffer: idle workers are many.
func (s *session) readFrame(ctx context.Context) (all []wire.FromWorker, size int, err error) {
	typ, r, err := s.conn.Reader(ctx)
	if err != nil {
		return nil, 0, err
	}
	if typ != websocket.MessageText {
		return nil, 0, refusal(wire.CodeMessage, "message: binary; messages are text")
	}
	b := frames.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= maxKeptFrame {
			b.Reset()
			frames.Put(b)
		}
	}()
	if _, err := b.ReadFrom(r); errors.Is(err, websocket.ErrMessageTooBig) {
		return nil, 0, refusal(wire.CodeMessage, "frame: too long")
	} else if err != nil {
		return nil, 0, err
	}
	size = b.Len()
	all, err = wire.DecodeFromWorker(b.Bytes()) // copies what it keeps
	return all, size, err
}

// useless lets a worker pay for a vote or checkpoint that is refused, or was here
// before: they are the dearest messages to look at, and cost nothing to make up. Its
// network pays too, as for a request, so that many connections are not the way around.
func (s *session) useless() error {
	s.limiter.ReserveN(time.Now(), uselessPrice)
	return s.hub.limits.request(s.client)
}

// frames are buffers for frames that are being read.
var frames = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxKeptFrame = 128 << 10

// listen takes messages until the connection ends; its error, if any, is the
// worker's.
func (s *session) listen() error {
	for {
		all, err := s.read(s.ctx)
		if err != nil {
			return err
		}
		for _, m := range all {
			if err := s.hub.handle(s, m); err != nil {
				return err
			}
		}
	}
}

func (h *Hub) handle(s *session, m wire.FromWorker) error {
	switch m := m.(type) {
	case *wire.Want:
		h.work(func(j *job.Machine) []job.Action { return j.Want(h.now(), s.id, int(m.Leases)) })
	case *wire.Progress:
		h.progress(s, m)
	case *wire.Offer:
		if !h.offer(s, m) {
			return s.useless()
		}
	case *wire.Result:
		if err := h.take(s, m); err != nil {
			h.refuse(s, m.Vote.Lease, err)
			if canon.ClassOf(err) == wire.CodeLeaseToken {
				return nil // it comes again with the token, and cost nothing
			}
			return s.useless()
		}
	case *wire.Sheet: // its votes were given their seals by it
	case *wire.Return:
		h.giveBack(s, m)
	default:
		return refusal(wire.CodeMessage, "message: this worker has joined already")
	}
	return nil
}

func (h *Hub) progress(s *session, m *wire.Progress) {
	h.mu.Lock()
	l, ok := h.machine.Alive(s.id, m.ID)
	h.mu.Unlock()
	if !ok || m.Text == "" {
		return
	}
	if o, err := h.catalog.order(l.Order); err == nil {
		o.text.Store(&m.Text)
	}
}

// giveBack takes a lease that the worker returns. A check that failed in front
// of the worker is what the operator must hear of: somebody altered something.
func (h *Hub) giveBack(s *session, m *wire.Return) {
	h.mu.Lock()
	failed := m.Reason == wire.ReturnFault || m.Reason == wire.ReturnRefused || m.Reason == wire.ReturnDeadline
	l, ok, actions := h.machine.Return(h.now(), s.id, m.ID, failed)
	h.perform(actions)
	h.mu.Unlock()
	if !ok {
		return // it ended meanwhile, as a killed lease does
	}
	h.metrics.ended.WithLabelValues(string(m.Reason)).Inc()
	var rel canon.Digest
	if o, err := h.catalog.order(l.Order); err == nil {
		o.stats.back(string(m.Reason))
		rel = o.release.digest
	}
	log := h.log.Debug
	if failed {
		log = h.log.Warn
	}
	log("lease returned", "reason", m.Reason, "check", m.Check, "detail", m.Detail, "worker", s.worker, "agent", s.agent,
		"order", l.Order, "release", rel, "task", l.Task, "lease", l.ID)
}

// probe pings the worker, so that a connection that is gone is noticed.
func (s *session) probe() {
	ctx, cancel := context.WithTimeout(s.ctx, s.hub.opt.pingEvery)
	defer cancel()
	if err := s.conn.Ping(ctx); err != nil {
		s.cancel()
		return
	}
	s.ping.Reset(s.hub.opt.pingEvery)
}
