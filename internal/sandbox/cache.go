package sandbox

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/countersign/countersign/internal/canon"
)

type compiler func(ctx context.Context, code []byte) (wazero.CompiledModule, error)

// cache keeps the compiled modules that were used last. One that is in use
// when it is pushed out stays open until its last user is done.
type cache struct {
	compile compiler
	limit   int

	mu     sync.Mutex
	byHash map[canon.Digest]*module
	recent *list.List // of *module, the one used last first
}

type module struct {
	hash     canon.Digest
	users    int // one of them is the cache, while it has the module; guarded by cache.mu
	place    *list.Element
	ready    chan struct{} // closed when compiled or err is set
	compiled wazero.CompiledModule
	err      error
}

func newCache(limit int, compile compiler) *cache {
	return &cache{compile: compile, limit: limit, byHash: map[canon.Digest]*module{}, recent: list.New()}
}

// get returns the compiled module, to be given back with put. hash is what the
// caller says that the bytes have, or zero; it is believed only when the cache
// has it already, because what is in the cache was hashed here.
func (c *cache) get(ctx context.Context, code []byte, hash canon.Digest) (*module, error) {
	if hash == (canon.Digest{}) {
		hash = canon.Sum(code)
	}
	m, found := c.find(hash)
	if !found {
		// Others may wait for it, so this caller's cancelling must not end it.
		m.compiled, m.err = c.build(context.WithoutCancel(ctx), code, hash)
		close(m.ready)
	}
	<-m.ready
	if m.err != nil {
		c.forget(m)
		c.put(m)
		return nil, m.err
	}
	return m, nil
}

func (c *cache) build(ctx context.Context, code []byte, hash canon.Digest) (wazero.CompiledModule, error) {
	if got := canon.Sum(code); got != hash {
		return nil, fmt.Errorf("module %s: its sha256 is %s", hash.Short(), got.Short())
	}
	return c.compile(ctx, code)
}

// find returns the module with one user more. If it was not there, the caller
// has to build it.
func (c *cache) find(hash canon.Digest) (m *module, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, found = c.byHash[hash]; found {
		c.recent.MoveToFront(m.place)
		m.users++
		return m, true
	}
	m = &module{hash: hash, users: 2, ready: make(chan struct{})}
	c.byHash[hash] = m
	m.place = c.recent.PushFront(m)
	if c.recent.Len() > c.limit {
		c.drop(c.recent.Back().Value.(*module))
	}
	return m, false
}

// put gives a module back.
func (c *cache) put(m *module) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(m)
}

// forget takes out a module that cannot be compiled.
func (c *cache) forget(m *module) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byHash[m.hash] == m {
		c.drop(m)
	}
}

func (c *cache) drop(m *module) {
	delete(c.byHash, m.hash)
	c.recent.Remove(m.place)
	c.release(m)
}

func (c *cache) release(m *module) {
	if m.users--; m.users == 0 && m.compiled != nil {
		// This drops the engine's reference; it has no way to fail.
		_ = m.compiled.Close(context.Background())
	}
}
