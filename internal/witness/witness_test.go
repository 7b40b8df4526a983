package witness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/translog"
)

// tree is a log in memory.
type tree struct {
	size   int64
	hashes []tlog.Hash
}

func (tr *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		all[i] = tr.hashes[index]
	}
	return all, nil
}

func (tr *tree) grow(t *testing.T, size int64, text string) *tree {
	t.Helper()
	for ; tr.size < size; tr.size++ {
		more, err := tlog.StoredHashes(tr.size, fmt.Appendf(nil, "%s %d", text, tr.size), tr)
		if err != nil {
			t.Fatal(err)
		}
		tr.hashes = append(tr.hashes, more...)
	}
	return tr
}

func (tr *tree) prove(old, size int64) (tlog.TreeProof, error) { return tlog.ProveTree(size, old, tr) }

func (tr *tree) checkpoint(t *testing.T, key translog.SecretKey, size int64) *translog.Checkpoint {
	t.Helper()
	root, err := tlog.TreeHash(size, tr)
	if err != nil {
		t.Fatal(err)
	}
	return translog.Sign(key, size, root)
}

func newKey(t *testing.T, alg translog.Algorithm, name string) translog.SecretKey {
	t.Helper()
	k, err := translog.GenerateKey(alg, name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type fixture struct {
	t        *testing.T
	log, key translog.SecretKey
	opt      Options
	url      string
	witness  *Witness
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, log: newKey(t, translog.LogKey, "log.example"), key: newKey(t, translog.WitnessKey, "witness.example")}
	f.opt = Options{Key: f.key, Logs: []translog.VKey{f.log.VKey}, State: filepath.Join(t.TempDir(), "state.json")}
	f.restart()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.witness.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fixture) restart() {
	f.t.Helper()
	var err error
	if f.witness, err = New(f.opt); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) post(body string) (status int, contentType, answer string) {
	f.t.Helper()
	res, err := http.Post(f.url+Path, "text/plain", strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(data)
}

func (f *fixture) request(old int64, path tlog.TreeProof, c *translog.Checkpoint) string {
	return string((&translog.Request{Old: old, Path: path, Checkpoint: c}).Encode())
}

// TestWitness goes through the table of docs/spec/log.md.
func TestWitness(t *testing.T) {
	f := start(t)
	tr := new(tree).grow(t, 20, "leaf")
	other := new(tree).grow(t, 5, "leaf").grow(t, 20, "other")
	check := func(name, body string, status int, answer string) {
		t.Helper()
		got, contentType, text := f.post(body)
		if got != status || (answer != "" && text != answer) {
			t.Errorf("%s: %d %q, want %d %q", name, got, text, status, answer)
		}
		if status == 409 && contentType != "text/x.tlog.size" {
			t.Errorf("%s: content type %s", name, contentType)
		}
	}
	proof := func(tr *tree, old, size int64) tlog.TreeProof {
		t.Helper()
		p, err := tr.prove(old, size)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	check("garbage", "hello\n", 400, "")
	check("old larger", f.request(8, nil, tr.checkpoint(t, f.log, 7)), 400, "")
	check("unknown origin", f.request(0, nil, tr.checkpoint(t, newKey(t, translog.LogKey, "other.example"), 7)), 404, "")
	check("another key", f.request(0, nil, tr.checkpoint(t, newKey(t, translog.LogKey, "log.example"), 7)), 403, "")
	check("proof from nothing", f.request(0, proof(tr, 3, 7), tr.checkpoint(t, f.log, 7)), 422, "")
	check("wrong old at first", f.request(3, proof(tr, 3, 7), tr.checkpoint(t, f.log, 7)), 409, "0\n")
	check("empty", f.request(0, nil, tr.checkpoint(t, f.log, 0)), 200, "")
	check("empty with another root", f.request(0, nil, translog.Sign(f.log, 0, tlog.Hash{1})), 422, "")
	check("first", f.request(0, nil, tr.checkpoint(t, f.log, 7)), 200, "")
	check("again", f.request(7, nil, tr.checkpoint(t, f.log, 7)), 200, "")
	check("again with a proof", f.request(7, proof(tr, 3, 7), tr.checkpoint(t, f.log, 7)), 422, "")
	check("again from nothing", f.request(0, nil, tr.checkpoint(t, f.log, 7)), 409, "7\n")
	check("another root of the size", f.request(7, nil, other.checkpoint(t, f.log, 7)), 409, "7\n")
	check("smaller", f.request(5, nil, tr.checkpoint(t, f.log, 5)), 409, "7\n")
	check("fork", f.request(7, proof(other, 7, 12), other.checkpoint(t, f.log, 12)), 422, "")
	check("no proof", f.request(7, nil, tr.checkpoint(t, f.log, 12)), 422, "")
	check("proof of another size", f.request(7, proof(tr, 7, 13), tr.checkpoint(t, f.log, 12)), 422, "")
	check("extended", f.request(7, proof(tr, 7, 12), tr.checkpoint(t, f.log, 12)), 200, "")
	check("too large", strings.Repeat("x", translog.MaxRequest+1), 400, "")
	f.restart()
	check("another history after a restart", f.request(0, nil, other.checkpoint(t, f.log, 20)), 409, "12\n")
	check("extended after a restart", f.request(12, proof(tr, 12, 20), tr.checkpoint(t, f.log, 20)), 200, "")
	if res, err := http.Get(f.url + Path); err != nil || res.StatusCode != 405 {
		t.Errorf("GET: %v, %v", res, err)
	}
	if info, err := os.Stat(f.opt.State); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the state: %v %v", info, err)
	}
	if err := os.WriteFile(f.opt.State, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(f.opt); err == nil {
		t.Error("a damaged state was taken")
	}
}

// TestAtOnce: of two histories that come at once, one is cosigned.
func TestAtOnce(t *testing.T) {
	for range 20 {
		f := start(t)
		var wg sync.WaitGroup
		results := make([]error, 8)
		for i := range results {
			tr := new(tree).grow(t, int64(3+i), fmt.Sprint("history ", i))
			body := []byte(f.request(0, nil, tr.checkpoint(t, f.log, int64(3+i))))
			wg.Go(func() { _, results[i] = f.witness.Add(body) })
		}
		wg.Wait()
		good := 0
		for _, err := range results {
			if err == nil {
				good++
			}
		}
		if good != 1 {
			t.Fatalf("%d histories were cosigned", good)
		}
	}
}

// TestNotRecorded: what cannot be written down is not cosigned.
func TestNotRecorded(t *testing.T) {
	f := start(t)
	f.witness.opt.State = filepath.Join(t.TempDir(), "missing", "state.json")
	tr := new(tree).grow(t, 7, "leaf")
	if status, _, answer := f.post(f.request(0, nil, tr.checkpoint(t, f.log, 7))); status != 500 || strings.Contains(answer, "—") {
		t.Errorf("%d %q", status, answer)
	}
	f.witness.opt.State = f.opt.State
	if status, _, _ := f.post(f.request(0, nil, tr.checkpoint(t, f.log, 7))); status != 200 {
		t.Errorf("then: %d", status)
	}
}

func TestAsk(t *testing.T) {
	f := start(t)
	tr := new(tree).grow(t, 30, "leaf")
	remote := func() *Remote {
		r, err := NewRemote(f.url + "/," + f.key.VKey.String())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	v, err := translog.NewVerifier(f.log.VKey.String(), []string{f.key.VKey.String()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := remote()
	for i, size := range []int64{0, 1, 5, 5, 17, 30} {
		if i == 4 {
			r = remote() // forgot where the witness is: it asks twice
		}
		c := tr.checkpoint(t, f.log, size)
		s, err := r.Ask(context.Background(), c, tr.prove)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		c.Signatures = append(c.Signatures, s)
		if _, err := v.Open(c.Encode(), time.Now()); err != nil {
			t.Errorf("size %d: %v", size, err)
		}
	}
	fork := new(tree).grow(t, 20, "leaf").grow(t, 40, "fork")
	for name, ask := range map[string]struct {
		r    *Remote
		tree *tree
		size int64
	}{"same size": {r, fork, 30}, "larger": {r, fork, 40}, "smaller": {r, tr, 29}, "larger, by one that forgot": {remote(), fork, 40}, "same, by one that forgot": {remote(), fork, 30}} {
		if _, err := ask.r.Ask(context.Background(), ask.tree.checkpoint(t, f.log, ask.size), ask.tree.prove); canon.ClassOf(err) != translog.ClassFork {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAskLiar: what a witness answers is not believed.
func TestAskLiar(t *testing.T) {
	log, key := newKey(t, translog.LogKey, "log.example"), newKey(t, translog.WitnessKey, "witness.example")
	tr := new(tree).grow(t, 9, "leaf")
	c := tr.checkpoint(t, log, 9)
	var status int
	var answer []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status == http.StatusFound {
			http.Redirect(w, r, "/elsewhere", status)
			return
		}
		w.WriteHeader(status)
		w.Write(answer)
	}))
	defer server.Close()
	for name, a := range map[string]struct {
		status int
		answer []byte
	}{
		"another key":      {200, translog.Cosign(newKey(t, translog.WitnessKey, key.Name), c, time.Now()).Encode()},
		"another size":     {200, translog.Cosign(key, tr.checkpoint(t, log, 8), time.Now()).Encode()},
		"nothing":          {200, nil},
		"not a line":       {200, []byte("hello")},
		"endless":          {200, bytes.Repeat([]byte("x"), 1<<20)},
		"409 and no size":  {409, []byte("no\n")},
		"409 and negative": {409, []byte("-4\n")},
		"500":              {500, nil},
		"redirect":         {302, nil},
	} {
		status, answer = a.status, a.answer
		r, err := NewRemote(server.URL + "," + key.VKey.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Ask(context.Background(), c, tr.prove); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, bad := range []string{"", server.URL, "ftp://x," + key.VKey.String(), server.URL + "," + log.VKey.String(), server.URL + "?x=1," + key.VKey.String()} {
		if _, err := NewRemote(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
