package wire

import (
	"github.com/countersign/countersign/internal/canon"
)

// object is a JSON object as the wire has them: members in any order, each
// name once, values that are strings, integers, booleans or, one level deep,
// objects. Anything else is not parsed at all. Values stay in the message.
type object struct {
	n   int
	all [maxMembers]member
}

const maxMembers = 16

type member struct {
	name  []byte
	kind  valueKind
	value []byte  // of a string: between the quotes, still escaped
	sub   *object // of an object
	taken bool
}

type valueKind byte

const (
	isString valueKind = iota
	isInteger
	isBool
	isObject
)

func (k valueKind) String() string {
	return [...]string{"string", "integer", "boolean", "object"}[k]
}

func (o *object) find(name string) *member {
	for i := range o.all[:o.n] {
		if string(o.all[i].name) == name {
			return &o.all[i]
		}
	}
	return nil
}

// rest returns the name of a member that nobody took.
func (o *object) rest() (name string, found bool) {
	for i := range o.all[:o.n] {
		if !o.all[i].taken {
			return string(o.all[i].name), true
		}
	}
	return "", false
}

func parseObject(data []byte) (*object, error) { return new(parser).parse(data) }

// parser parses one message after the other into the same objects: what it
// returned last is gone then.
type parser struct {
	data    []byte
	at      int
	objects [2]object // by depth
	inside  bool      // the object has an object already
}

func (p *parser) parse(data []byte) (*object, error) {
	p.data, p.at, p.inside = data, 0, false
	o, err := p.object(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.at != len(data) {
		return nil, p.fail("more after the object")
	}
	return o, nil
}

func (p *parser) fail(what string) error {
	return canon.Fail(CodeMessage, "message: %s at offset %d", what, p.at)
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next skips white space and one byte c, and reports whether it was there.
func (p *parser) next(c byte) bool {
	p.space()
	if p.at < len(p.data) && p.data[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) object(depth int) (*object, error) {
	if !p.next('{') {
		return nil, p.fail("no object")
	}
	o := &p.objects[depth]
	o.n = 0
	if p.next('}') {
		return o, nil
	}
	for {
		if err := p.member(o, depth); err != nil {
			return nil, err
		}
		if p.next('}') {
			return o, nil
		}
		if !p.next(',') {
			return nil, p.fail("neither comma nor end of the object")
		}
	}
}

func (p *parser) member(o *object, depth int) error {
	if !p.next('"') {
		return p.fail("no member name")
	}
	name, err := p.quoted()
	if err != nil {
		return err
	}
	if o.find(string(name)) != nil {
		return p.fail("a member that stands twice ends")
	}
	if o.n == len(o.all) {
		return p.fail("too many members")
	}
	if !p.next(':') {
		return p.fail("no colon")
	}
	m := &o.all[o.n]
	*m = member{name: name}
	if err := p.value(m, depth); err != nil {
		return err
	}
	o.n++
	return nil
}

func (p *parser) value(m *member, depth int) (err error) {
	p.space()
	if p.at == len(p.data) {
		return p.fail("no value")
	}
	switch c := p.data[p.at]; {
	case c == '"':
		p.at++
		m.kind = isString
		m.value, err = p.quoted()
		return err
	case c >= '0' && c <= '9':
		m.kind, m.value = isInteger, p.run(func(c byte) bool { return c >= '0' && c <= '9' })
		if len(m.value) > 1 && m.value[0] == '0' {
			return p.fail("a number with leading zeros ends")
		}
		return nil
	case c == 't' || c == 'f':
		m.kind, m.value = isBool, p.run(func(c byte) bool { return c >= 'a' && c <= 'z' })
		if s := string(m.value); s != "true" && s != "false" {
			return p.fail("a word that is no boolean ends")
		}
		return nil
	case c == '{' && depth == 0 && !p.inside:
		m.kind, p.inside = isObject, true // no message has two
		m.sub, err = p.object(depth + 1)
		return err
	}
	return p.fail("no string, integer, boolean or object allowed here, or a second object")
}

func (p *parser) run(in func(byte) bool) []byte {
	start := p.at
	for p.at < len(p.data) && in(p.data[p.at]) {
		p.at++
	}
	return p.data[start:p.at]
}

// quoted reads a string behind its first quote: printable ASCII, with " and \
// as the only characters that are escaped.
func (p *parser) quoted() ([]byte, error) {
	start := p.at
	for ; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '"':
			p.at++
			return p.data[start : p.at-1], nil
		case c == '\\':
			p.at++
			if p.at == len(p.data) || p.data[p.at] != '"' && p.data[p.at] != '\\' {
				return nil, p.fail("an escape other than \\\" and \\\\")
			}
		case c < 0x20 || c > 0x7e:
			return nil, p.fail("a byte that is not printable ASCII")
		}
	}
	return nil, p.fail("a string without end")
}
