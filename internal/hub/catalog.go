package hub

import (
	"cmp"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// catalog has the admitted statements. Entries are added and never changed, so
// whoever got one may read it without the lock.
type catalog struct {
	mu         sync.RWMutex
	releases   map[canon.Digest]*releaseEntry
	orders     map[canon.Digest]*orderEntry
	statements map[canon.Digest]signed
	blobs      map[canon.Digest]bool // modules and sources of releases
}

// signed is a statement with its signature.
type signed struct{ statement, signature []byte }

type releaseEntry struct {
	*release.Release
	digest canon.Digest
	seq    uint64
}

type orderEntry struct {
	*release.Order
	digest     canon.Digest
	release    *releaseEntry
	seq        uint64
	input      taskInputs
	researcher string                 // the key that signed it; "" if the policy trusts none that did
	blob       canon.Digest           // input file; zero: none
	votes      atomic.Uint64          // on disk
	text       atomic.Pointer[string] // last progress text
	admitted   time.Time
	stats      stats
}

func newCatalog() *catalog {
	return &catalog{releases: map[canon.Digest]*releaseEntry{}, orders: map[canon.Digest]*orderEntry{},
		statements: map[canon.Digest]signed{}, blobs: map[canon.Digest]bool{}}
}

// close closes the orders' input files.
func (c *catalog) close() {
	for _, o := range c.orders {
		closeInput(o)
	}
}

func closeInput(o *orderEntry) {
	if c, ok := o.input.(io.Closer); ok {
		c.Close() // it was only read
	}
}

func (c *catalog) addRelease(r *releaseEntry, s signed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releases[r.digest] = r
	c.statements[r.digest] = s
	c.blobs[r.ModuleSHA256], c.blobs[r.SourceSHA256] = true, true
}

// addOrder reports whether the order is new.
func (c *catalog) addOrder(o *orderEntry, s signed) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orders[o.digest] != nil {
		return false
	}
	c.orders[o.digest] = o
	c.statements[o.digest] = s
	return true
}

func (c *catalog) addStop(digest canon.Digest, s signed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statements[digest] = s
}

func (c *catalog) release(d canon.Digest) (*releaseEntry, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.releases[d]; r != nil {
		return r, nil
	}
	return nil, refusal(wire.CodeUnknownRelease, "release %s is not here: publish it first", d.Short())
}

func (c *catalog) order(d canon.Digest) (*orderEntry, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if o := c.orders[d]; o != nil {
		return o, nil
	}
	return nil, refusal(wire.CodeUnknownOrder, "order %s is not here", d.Short())
}

func (c *catalog) statement(d canon.Digest) (signed, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	s, ok := c.statements[d]
	return s, ok
}

// hasBlob reports whether d is a module or source that may be fetched.
func (c *catalog) hasBlob(d canon.Digest) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.blobs[d]
}

func (c *catalog) allReleases() []*releaseEntry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*releaseEntry, 0, len(c.releases))
	for _, r := range c.releases {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *releaseEntry) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

func (c *catalog) allOrders() []*orderEntry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*orderEntry, 0, len(c.orders))
	for _, o := range c.orders {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *orderEntry) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// seconds is the release's limit for one task.
func (r *releaseEntry) seconds() time.Duration { return time.Duration(r.Limits.Seconds) * time.Second }

// ends is when the order may not be lent any more.
func (o *orderEntry) ends() time.Time {
	if at := o.release.Expires.Time(); at.Before(o.Expires.Time()) {
		return at
	}
	return o.Expires.Time()
}

// moduleCache keeps verified modules in memory, up to a size.
type moduleCache struct {
	mu   sync.Mutex
	size int
	all  map[canon.Digest][]byte
}

const maxModuleCache = 64 << 20

func newModuleCache() *moduleCache { return &moduleCache{all: map[canon.Digest][]byte{}} }

// get returns a blob, from memory or by load.
func (c *moduleCache) get(d canon.Digest, load func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	data, ok := c.all[d]
	c.mu.Unlock()
	if ok {
		return data, nil
	}
	data, err := load()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.all[d]; ok {
		return data, nil
	}
	for other, held := range c.all { // any will do: what is used comes back
		if c.size+len(data) <= maxModuleCache {
			break
		}
		c.size -= len(held)
		delete(c.all, other)
	}
	c.all[d] = data
	c.size += len(data)
	return data, nil
}

// blob opens an order's input file.
func (h *Hub) blob(o *orderEntry) (*os.File, error) { return h.store.OpenBlob(o.blob) }
