package evil

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Attack is one way to lie.
type Attack struct {
	Name string
	// Stops is what must stop it, as volunteers say it: a check, "hung up" for
	// ending the connection, or "" for attacks that at most delay.
	Stops []string
	// Body returns another answer to a request; nil leaves it.
	Body func(p *Proxy, path string, body []byte) *Answer
	// Files are bodies to serve under paths, whatever the hub has there.
	Files map[string][]byte
	// Uninvited are messages that follow the welcome.
	Uninvited [][]byte
	// Message returns what to send instead of a message; nil leaves it.
	Message func(p *Proxy, m object, raw []byte) []Frame
}

// World is what attacks know of the hub's contents: two orders, each of its own
// release, and a revoked or older version if there is one. Paths are as served.
type World struct {
	Orders, Releases, Modules []string // digests
	Inputs                    [][]byte // of tasks, not of the first order
}

func paths(prefix string, digests []string, suffix string) (all []string) {
	for _, d := range digests {
		all = append(all, prefix+d+suffix)
	}
	return all
}

// Attacks returns all attacks on a world.
func (w *World) Attacks() (all []Attack) {
	for _, kind := range []struct {
		name  string
		paths []string
		stops []string
	}{
		{"release", paths("/s/", w.Releases, ""), []string{"signature_invalid", "statement_sha256", "too_large"}},
		{"release signature", paths("/s/", w.Releases, ".minisig"), []string{"signature_malformed", "signature_invalid", "signature_legacy", "signature_unknown_key", "too_large"}},
		{"order", paths("/s/", w.Orders, ""), []string{"signature_invalid", "statement_sha256", "too_large"}},
		{"order signature", paths("/s/", w.Orders, ".minisig"), []string{"signature_malformed", "signature_invalid", "signature_legacy", "signature_unknown_key", "too_large"}},
		{"module", paths("/m/", w.Modules, ""), []string{"module_sha256", "module_length"}},
	} {
		all = append(all, bodies(kind.name, kind.paths, kind.stops)...)
	}
	for _, kind := range []string{"hello", "welcome", "lease", "ack"} {
		all = append(all, messages(kind)...)
	}
	for _, m := range unsaid {
		all = append(all, uninvited(messages(m.kind()), m)...)
	}
	return append(all, w.leases()...)
}

const nobody = "0123456789abcdef0123456789abcdef"

// unsaid are messages that an honest hub has no reason for here.
var unsaid = []object{
	object{}.with("type", "kill").with("scope", "lease").with("target", nobody).with("reason", "evil"),
	object{}.with("type", "resume"),
	object{}.with("type", "refused").with("id", nobody).with("code", "lease_invalid").with("message", "evil"),
	object{}.with("type", "kept").with("id", nobody).with("segments", 1),
}

// uninvited lets changes of the message m come after each lease, as if the
// hub had sent m there.
func uninvited(changes []Attack, m object) (all []Attack) {
	for _, a := range changes {
		if strings.HasSuffix(a.Name, ": never sent") {
			continue // that is what an honest hub does
		}
		all = append(all, Attack{Name: a.Name, Stops: a.Stops, Message: func(p *Proxy, lease object, raw []byte) []Frame {
			if lease.kind() != "lease" {
				return nil
			}
			return append([]Frame{{Data: raw}}, a.Message(p, m, m.encode())...)
		}})
	}
	return all
}

// bodies changes what is served under some paths.
func bodies(name string, paths, stops []string) []Attack {
	at := func(how string, stops []string, change func(p *Proxy, path string, body []byte) *Answer) Attack {
		return Attack{Name: name + ": " + how, Stops: stops, Body: func(p *Proxy, path string, body []byte) *Answer {
			for _, own := range paths {
				if own == path {
					return change(p, path, body)
				}
			}
			return nil
		}}
	}
	flip := func(where func(n int) int) func(*Proxy, string, []byte) *Answer {
		return func(_ *Proxy, _ string, body []byte) *Answer {
			b := bytes.Clone(body)
			b[where(len(b))] ^= 1
			return &Answer{Body: b}
		}
	}
	fixed := func(a Answer) func(*Proxy, string, []byte) *Answer {
		return func(*Proxy, string, []byte) *Answer { return &a }
	}
	return []Attack{
		at("first byte altered", stops, flip(func(int) int { return 0 })),
		at("a byte in the middle altered", stops, flip(func(n int) int { return n / 2 })),
		at("last byte altered", stops, flip(func(n int) int { return n - 1 })),
		at("second half missing", stops, func(_ *Proxy, _ string, b []byte) *Answer { return &Answer{Body: b[:len(b)/2]} }),
		at("empty", stops, fixed(Answer{})),
		at("one byte more", stops, func(_ *Proxy, _ string, b []byte) *Answer { return &Answer{Body: append(bytes.Clone(b), '\n')} }),
		at("without an end", stops, func(_ *Proxy, _ string, b []byte) *Answer { return &Answer{Body: b, Endless: true} }),
		at("another one", stops, func(p *Proxy, path string, _ []byte) *Answer { return &Answer{Body: p.other(path, paths)} }),
		at("not found", nil, fixed(Answer{Status: http.StatusNotFound})),
		at("an internal error", nil, fixed(Answer{Status: http.StatusInternalServerError})),
		at("a redirect to itself", nil, func(_ *Proxy, path string, _ []byte) *Answer {
			return &Answer{Status: http.StatusFound, Location: path}
		}),
		at("never answered", nil, fixed(Answer{Hang: true})),
		at("a byte at a time", nil, func(_ *Proxy, _ string, b []byte) *Answer { return &Answer{Body: b, Slow: true} }),
	}
}

// hungUp is how volunteers answer what is no message of the protocol.
var hungUp = []string{"hung up"}

// messages changes the hub's messages of one type, member by member.
func messages(kind string) (all []Attack) {
	at := func(how string, stops []string, change func(p *Proxy, m object, raw []byte) []Frame) {
		all = append(all, Attack{Name: kind + ": " + how, Stops: stops, Message: func(p *Proxy, m object, raw []byte) []Frame {
			if m.kind() != kind {
				return nil
			}
			return change(p, m, raw)
		}})
	}
	one := func(change func(m object, raw []byte) []byte) func(*Proxy, object, []byte) []Frame {
		return func(_ *Proxy, m object, raw []byte) []Frame { return []Frame{{Data: change(m, raw)}} }
	}
	at("never sent", nil, func(*Proxy, object, []byte) []Frame { return []Frame{} })
	at("a second late", nil, func(_ *Proxy, _ object, raw []byte) []Frame { return []Frame{{Data: raw, Delay: time.Second}} })
	at("cut", hungUp, one(func(_ object, raw []byte) []byte { return raw[:len(raw)-2] }))
	at("no JSON", hungUp, one(func(object, []byte) []byte { return []byte("countersign") }))
	at("as binary", hungUp, func(_ *Proxy, _ object, raw []byte) []Frame { return []Frame{{Data: raw, Binary: true}} })
	at("with 8 MiB of spaces", hungUp, one(func(_ object, raw []byte) []byte { return append(bytes.Repeat([]byte{' '}, 8<<20), raw...) }))
	at("twice in one", hungUp, one(func(_ object, raw []byte) []byte { return append(bytes.Clone(raw), raw...) }))
	at("with a member that is none", hungUp, one(func(m object, _ []byte) []byte { return m.with("evil", true).encode() }))
	at("with its type twice", hungUp, one(func(_ object, raw []byte) []byte {
		return []byte(`{"type":` + fmt.Sprintf("%q", kind) + `,` + strings.TrimPrefix(string(raw), "{"))
	}))
	at("nested deeply", hungUp, one(func(object, []byte) []byte {
		return []byte(`{"type":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`)
	}))
	for _, member := range members[kind] {
		for _, wrong := range []struct {
			name string
			v    any
		}{{"null", nil}, {"a number", -1}, {"an object", map[string]any{}}, {"a long text", strings.Repeat("a", 100_001)}, {"text that is not ASCII", "\u202e\x00"}} {
			at(member+" is "+wrong.name, hungUp, one(func(m object, _ []byte) []byte { return m.with(member, wrong.v).encode() }))
		}
		at("without "+member, hungUp, one(func(m object, _ []byte) []byte {
			c := m.with(member, 0)
			delete(c, member)
			return c.encode()
		}))
	}
	return all
}

// members of the messages that are attacked one by one.
var members = map[string][]string{
	"hello":   {"hub", "nonce", "time"},
	"welcome": {"halted", "visit"},
	"lease":   {"lease", "id", "order", "release", "task", "lane", "input", "proof", "checkpoint", "seconds"},
	"ack":     {"id", "verdict"},
	"kill":    {"scope", "target", "reason"},
	"refused": {"id", "code", "message"},
	"kept":    {"id", "segments"},
}

// leases are well-formed and lie.
func (w *World) leases() (all []Attack) {
	at := func(how string, stops []string, change func(p *Proxy, m object) []object) {
		all = append(all, Attack{Name: "lease: " + how, Stops: stops, Message: func(p *Proxy, m object, _ []byte) []Frame {
			if m.kind() != "lease" {
				return nil
			}
			frames := []Frame{}
			for _, c := range change(p, m) {
				frames = append(frames, Frame{Data: c.encode()})
			}
			return frames
		}})
	}
	one := func(change func(m object) object) func(*Proxy, object) []object {
		return func(_ *Proxy, m object) []object { return []object{change(m)} }
	}
	not := func(m object, member string, digests []string) string {
		var own string
		_ = json.Unmarshal(m[member], &own)
		for _, d := range digests {
			if d != own {
				return d
			}
		}
		return own
	}
	input := []string{"input"}
	at("another order", []string{"bounds"}, one(func(m object) object { return m.with("order", not(m, "order", w.Orders)) }))
	at("an order that does not exist", nil, one(func(m object) object { return m.with("order", strings.Repeat("ab", 32)) }))
	at("another release", []string{"bounds"}, one(func(m object) object { return m.with("release", not(m, "release", w.Releases)) }))
	at("a release that does not exist", []string{"bounds"}, one(func(m object) object { return m.with("release", strings.Repeat("ab", 32)) }))
	at("the order as the release", []string{"bounds"}, one(func(m object) object { c := m.with("", nil); delete(c, ""); c["release"] = m["order"]; return c }))
	at("another order and its release", input, one(func(m object) object {
		return m.with("order", not(m, "order", w.Orders)).with("release", not(m, "release", w.Releases))
	}))
	at("an invented input", input, one(func(m object) object { return m.with("input", []byte("1234567890\n")) }))
	at("no input", input, one(func(m object) object { return m.with("input", "") }))
	at("another task's input", input, one(func(m object) object { return m.with("input", w.Inputs[0]) }))
	at("two tasks' input in one", input, one(func(m object) object {
		var own []byte
		_ = json.Unmarshal(m["input"], &own)
		return m.with("input", append(own, w.Inputs[0]...))
	}))
	at("another task number", input, one(func(m object) object {
		var task int
		_ = json.Unmarshal(m["task"], &task)
		return m.with("task", task+1)
	}))
	at("a task that the order has not", input, one(func(m object) object { return m.with("task", 1<<39) }))
	at("no proof", input, one(func(m object) object { return m.with("proof", "") }))
	at("a proof with a bit changed", input, one(func(m object) object {
		var proof []byte
		_ = json.Unmarshal(m["proof"], &proof)
		proof[len(proof)/2] ^= 4
		return m.with("proof", proof)
	}))
	at("no token", []string{"hung up"}, one(func(m object) object { return m.with("lease", "") }))
	at("somebody's token", nil, one(func(m object) object { return m.with("lease", "e30.e30.e30") }))
	at("twice", nil, func(_ *Proxy, m object) []object { return []object{m, m} })
	at("the last one again", nil, func(p *Proxy, m object) []object {
		p.mu.Lock()
		defer p.mu.Unlock()
		last, ok := p.again["lease"]
		p.again["lease"] = m
		if !ok {
			return []object{m}
		}
		return []object{last, m}
	})
	at("a hundred that nobody asked for", nil, func(_ *Proxy, m object) []object {
		many := []object{m}
		for i := range 100 {
			many = append(many, m.with("id", fmt.Sprintf("%032x", i)))
		}
		return many
	})
	at("taken back at once, and a halt lifted that was none", nil, func(_ *Proxy, m object) []object {
		kill := object{}.with("type", "kill").with("scope", "all").with("target", "").with("reason", "evil")
		return []object{m, kill, object{}.with("type", "resume"), object{}.with("type", "resume")}
	})
	return all
}
