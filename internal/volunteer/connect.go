package volunteer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

const (
	joinTimeout = 20 * time.Second // the hub's own is 10 from its hello on
	pingEvery   = 30 * time.Second
	pingTimeout = 15 * time.Second
	// Below what the hub allows, which counts from its own clock.
	sendRate  = wire.MaxRate * 4 / 5
	sendBurst = wire.MaxBurst / 2
)

// connect joins the hub and serves the connection until it ends. A nil error
// means that all has been said.
func (v *Volunteer) connect(ctx context.Context) error {
	conn, begun, err := v.join(ctx)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", v.url, err)
	}
	defer conn.CloseNow() // when it was not closed before
	return v.serve(ctx, conn, begun)
}

// join returns a connection that has been greeted, and what came with the
// greeting's last message.
func (v *Volunteer) join(ctx context.Context) (_ *websocket.Conn, begun []wire.FromHub, _ error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	defer context.AfterFunc(v.settled, cancel)() // then there is no reason to join
	conn, answer, err := websocket.Dial(ctx, v.url, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return nil, nil, hinted(err, answer)
	}
	conn.SetReadLimit(wire.MaxToWorker)
	if conn.Subprotocol() != wire.Subprotocol {
		err = errors.New("it does not speak " + wire.Subprotocol)
	} else {
		begun, err = v.greet(ctx, conn)
	}
	if err != nil {
		_ = conn.CloseNow() // err says more
		return nil, nil, err
	}
	return conn, begun, nil
}

// greet proves the worker's key, and returns what follows the welcome in its frame.
func (v *Volunteer) greet(ctx context.Context, conn *websocket.Conn) ([]wire.FromHub, error) {
	all, err := receive(ctx, conn)
	if err != nil {
		return nil, err
	}
	hello, ok := all[0].(*wire.Hello)
	if !ok || len(all) > 1 {
		return nil, refusedBy(all[len(all)-1])
	}
	if err := write(ctx, conn, wire.SignJoin(hello, v.opt.Key, v.opt.Agent)); err != nil {
		return nil, err
	}
	if all, err = receive(ctx, conn); err != nil {
		return nil, err
	}
	welcome, ok := all[0].(*wire.Welcome)
	if !ok {
		return nil, refusedBy(all[0])
	}
	v.visit.Store(welcome.Visit)
	v.log.Info("joined", "hub", v.opt.Hub, "hub_key", hello.Hub, "halted", welcome.Halted)
	return all[1:], nil
}

// refusedBy is the error for a message that does not continue the greeting.
func refusedBy(m wire.FromHub) error {
	if e, ok := m.(*wire.Error); ok {
		return closedBy(e)
	}
	return canon.Fail(wire.CodeMessage, "the hub sent a %T where the greeting goes on", m)
}

// busyError is one after which the hub wants to be left alone for a while.
type busyError struct {
	retry time.Duration
	err   error
}

func (e *busyError) Error() string { return e.err.Error() }
func (e *busyError) Unwrap() error { return e.err }

// closedBy is the error for the hub's last word.
func closedBy(e *wire.Error) error {
	return &busyError{time.Duration(e.Retry) * time.Second, canon.Fail(e.Code, "the hub says: %s", e.Message)}
}

// hinted adds what an answer over HTTP says about coming again.
func hinted(err error, answer *http.Response) error {
	if answer == nil {
		return err
	}
	seconds, bad := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 32)
	if bad != nil {
		return err // none, or a date, which no hub sends
	}
	return &busyError{time.Duration(seconds) * time.Second, err}
}

// receive returns the messages of the next frame, of which there is one at least.
func receive(ctx context.Context, conn *websocket.Conn) ([]wire.FromHub, error) {
	kind, data, err := conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		return nil, canon.Fail(wire.CodeMessage, "the hub sent bytes that are not text")
	}
	return wire.DecodeFromHub(data)
}

func write(ctx context.Context, conn *websocket.Conn, m wire.FromWorker) error {
	data, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, data)
}

// serve works on a joined connection, first on the messages that have come.
func (v *Volunteer) serve(ctx context.Context, conn *websocket.Conn, all []wire.FromHub) error {
	ctx, fail := context.WithCancelCause(ctx)
	out := newOutbox()
	v.attach(out)
	var running sync.WaitGroup
	running.Go(func() { fail(v.deliver(ctx, conn, out)) })
	running.Go(func() { fail(ping(ctx, conn)) })
	defer running.Wait()
	defer v.detach()

	for {
		var err error
		for i := 0; i < len(all) && err == nil; i++ {
			err = v.dispatch(all[i])
		}
		if err == nil {
			all, err = receive(ctx, conn)
		}
		if err != nil {
			fail(err)
			return ended(ctx, err)
		}
	}
}

// ended is why a connection ended: what failed first, and nothing when it was
// closed because all had been said.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, errSettled) {
		return nil
	}
	return err
}

var errSettled = errors.New("all has been said")

// deliver writes what is in the outbox, no faster than the hub takes it. When
// all has been said it closes the connection.
func (v *Volunteer) deliver(ctx context.Context, conn *websocket.Conn, out *outbox) error {
	pace := rate.NewLimiter(sendRate, sendBurst)
	for {
		all := out.next()
		if len(all) == 0 {
			select {
			case <-out.filled:
				continue
			case <-v.settled.Done():
				_ = conn.Close(websocket.StatusNormalClosure, "") // it is over either way
				return errSettled
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := pace.WaitN(ctx, len(all)); err != nil {
			return err
		}
		if err := v.deliverFrame(ctx, conn, all); err != nil {
			return fmt.Errorf("sending %d messages, the first a %T: %w", len(all), all[0], err)
		}
		v.sent(out)
	}
}

// deliverFrame writes messages in one frame. One signature is for all its votes.
func (v *Volunteer) deliverFrame(ctx context.Context, conn *websocket.Conn, all []wire.FromWorker) error {
	var results []*wire.Result
	frame := slices.Clone(all)
	for i, m := range frame {
		if r, ok := m.(*wire.Result); ok {
			unsigned := *r // the same vote may go into another frame later
			results = append(results, &unsigned)
			frame[i] = &unsigned
		}
	}
	sheet, err := wire.SealResults(results, v.opt.Key)
	if err != nil {
		return err
	}
	if sheet != nil {
		frame = append(frame, sheet)
	}
	text, err := wire.Frame(frame...)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := conn.Write(ctx, websocket.MessageText, text); err != nil {
		return err
	}
	if o, ok := all[0].(*wire.Offer); ok {
		v.cost(o.Reached.Lease, time.Since(began))
	}
	return nil
}

// ping notices a hub that is gone without a word.
func ping(ctx context.Context, conn *websocket.Conn) error {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
		waiting, cancel := context.WithTimeout(ctx, pingTimeout)
		err := conn.Ping(waiting)
		cancel()
		if err != nil {
			return fmt.Errorf("the hub does not answer: %w", err)
		}
	}
}

// attach makes out the way to the hub. First goes what the hub may have missed,
// then the wish for more.
func (v *Volunteer) attach(out *outbox) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out = out
	for _, r := range v.results { // the hub may have forgotten what it lent
		out.put(r)
	}
	clear(v.bare)
	for _, t := range v.held { // shows the hub that they are still held
		out.put(t.progress())
	}
	for _, o := range v.offers {
		out.put(o)
	}
	for _, r := range v.returns {
		out.put(r)
	}
	v.returns = nil
	if !v.stopping {
		out.put(v.want())
	}
	v.check()
}

func (v *Volunteer) detach() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.out = nil
	v.check()
}

// sent notes that a message has been written.
func (v *Volunteer) sent(out *outbox) {
	v.mu.Lock()
	defer v.mu.Unlock()
	out.written()
	v.check()
}

// send gives a message to the connection, under v.mu. Without a connection,
// results and returns wait for the next one, and the rest is not worth it.
func (v *Volunteer) send(m wire.FromWorker) {
	if v.out != nil {
		v.out.put(m)
	} else if r, ok := m.(*wire.Return); ok && len(v.returns) < wire.MaxWant {
		v.returns = append(v.returns, r)
	}
}

// outbox holds messages that wait to be written. It is guarded by its own lock,
// because the writer must not wait for the volunteer's.
type outbox struct {
	mu      sync.Mutex
	waiting []wire.FromWorker
	writing bool
	filled  chan struct{}
}

func newOutbox() *outbox { return &outbox{filled: make(chan struct{}, 1)} }

func (o *outbox) put(m wire.FromWorker) {
	o.mu.Lock()
	o.waiting = append(o.waiting, m)
	o.mu.Unlock()
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// next returns the messages to write now, in one frame. A checkpoint goes alone:
// how long it takes says how often it is worth it.
func (o *outbox) next() []wire.FromWorker {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, size := 0, 0
	for ; n < len(o.waiting) && n < wire.MaxSheet; n++ {
		_, alone := o.waiting[n].(*wire.Offer)
		if alone && n > 0 || n > 0 && size+sizeOf(o.waiting[n]) > wire.MaxToHub {
			break
		}
		size += sizeOf(o.waiting[n])
		if alone {
			n++
			break
		}
	}
	all := o.waiting[:n:n]
	o.waiting = o.waiting[n:]
	o.writing = n > 0
	return all
}

// sizeOf is what a message takes in a frame, at most.
func sizeOf(m wire.FromWorker) int {
	size := 4096
	if r, ok := m.(*wire.Result); ok {
		size += wire.MaxLeaseToken + base64.StdEncoding.EncodedLen(len(r.Output)+len(r.Links)+3)
	}
	return size
}

func (o *outbox) written() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = false
}

func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting) == 0 && !o.writing
}
