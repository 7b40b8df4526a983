package wire

import "time"

// Events of GET /v1/orders/<digest>/events, docs/spec/wire.md, "Events".
const (
	EventOrder  = "order"  // an OrderInfo: something about the order has changed
	EventResult = "result" // a ResultLine; its cursor is the event's id
	EventEnd    = "end"    // an OrderInfo: nothing more will come, and the stream ends
)

// EventStream is its content type.
const EventStream = "text/event-stream"

// HeartbeatEvery is the longest silence of a stream of events.
const HeartbeatEvery = 15 * time.Second
