package fleet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
)

// role is what a volunteer is.
type role int

const (
	honest role = iota
	liar
	vanisher
)

// cast is everything that follows from the seed.
type cast struct {
	opt        *Options
	researcher keys.SecretKey
	roles      []role
	honest     int
	liars      int
	vanishers  int
	input      []byte // the order's file
}

// source returns the randomness for one purpose, apart from all others.
func source(seed uint64, purpose string, n int) rand.Source {
	b := binary.LittleEndian.AppendUint64([]byte("countersign.fleet/v1 "+purpose+" "), seed)
	return rand.NewChaCha8(sha256.Sum256(binary.LittleEndian.AppendUint64(b, uint64(n))))
}

func newCast(opt *Options) *cast {
	c := &cast{opt: opt, roles: make([]role, opt.Volunteers)}
	c.liars = opt.Volunteers * opt.Liars / 100
	c.vanishers = opt.Volunteers * opt.Vanish / 100
	c.honest = opt.Volunteers - c.liars - c.vanishers
	for n, i := range rand.New(source(opt.Seed, "roles", 0)).Perm(opt.Volunteers) {
		switch {
		case n < c.liars:
			c.roles[i] = liar
		case n < c.liars+c.vanishers:
			c.roles[i] = vanisher
		}
	}
	c.input = numbers(opt)
	key, err := keys.Generate(source(opt.Seed, "researcher", 0).(*rand.ChaCha8))
	if err != nil {
		panic("fleet: randomness from memory fails: " + err.Error())
	}
	c.researcher = key
	return c
}

// payload is the module that the tasks run.
func (o *Options) payload() (source, module []byte) {
	if o.Steps != 0 {
		return payloads.StepsSource, payloads.StepsModule
	}
	return payloads.FactorSource, payloads.FactorModule
}

// numbers are small enough that a task takes about a millisecond.
func numbers(opt *Options) []byte {
	r := rand.New(source(opt.Seed, "numbers", 0))
	var b bytes.Buffer
	for range opt.Tasks * opt.PerTask {
		if opt.Steps != 0 {
			fmt.Fprintln(&b, opt.Steps+r.IntN(100))
			continue
		}
		fmt.Fprintln(&b, 2+r.Uint64N(100_000))
	}
	return b.Bytes()
}

func (c *cast) trust() volunteer.Trust {
	return volunteer.Trust{Keys: []keys.PublicKey{c.researcher.Public()}}
}

// actor is one volunteer of the cast.
type actor struct {
	number  int
	role    role
	key     ed25519.PrivateKey
	worker  wire.Key
	collude bool
	random  *rand.Rand // of its vanishing
	lies    *rand.Rand // of when it lies
	often   int        // percent
}

func (c *cast) actor(i int) *actor {
	var seed [ed25519.SeedSize]byte
	source(c.opt.Seed, "volunteer", i).(*rand.ChaCha8).Read(seed[:]) // never fails
	key := ed25519.NewKeyFromSeed(seed[:])
	return &actor{number: i, role: c.roles[i], key: key, worker: wire.KeyOf(key.Public().(ed25519.PublicKey)),
		collude: c.opt.Collude, random: rand.New(source(c.opt.Seed, "vanish", i)),
		lies: rand.New(source(c.opt.Seed, "lies", i)), often: c.opt.Lies}
}

// vanishes decides at a lease, half of the time against doing it.
func (a *actor) vanishes(*wire.Lease) bool { return a.role == vanisher && a.random.IntN(2) == 0 }

// left decides when the hub has a checkpoint, half of the time for leaving.
// Liars leave too: somebody is to go on with their lies.
func (a *actor) left(k *wire.Kept) bool {
	return a.role != honest && k.Segments > 0 && a.random.IntN(2) == 0
}

// state is what the actor hands on: a liar's is wrong, and each liar's
// otherwise wrong.
func (a *actor) state(_ *wire.Lease, state []byte) []byte {
	if a.role != liar {
		return state
	}
	state = bytes.Clone(state)
	if a.collude {
		state[len(state)-1] ^= 1
	} else {
		binary.LittleEndian.PutUint32(state[len(state)-4:], uint32(a.number)+1)
	}
	return state
}

func (a *actor) absence() time.Duration {
	return minAbsence + time.Duration(a.random.Int64N(int64(maxAbsence-minAbsence)))
}

// outcome is what the actor says that a task came to. Liars that do not collude
// each tell lies of their own, of which no two are equal.
func (a *actor) outcome(l *wire.Lease, o sandbox.Outcome) sandbox.Outcome {
	if a.role != liar || a.lies.IntN(100) >= a.often {
		return o
	}
	mine := uint64(a.number) + 1
	kind := (l.Task + mine) % 4
	if a.collude {
		mine, kind = 1, l.Task%4
	}
	switch kind {
	case 0:
		o.Output = fmt.Appendf(append([]byte(nil), o.Output...), "%d -> 1\n", mine)
	case 1:
		o.Fuel += mine
	case 2:
		o.Code = uint32(mine)
	case 3:
		o.End, o.Code, o.Output, o.Fuel = sandbox.Trap, 0, nil, mine
	}
	return o
}
