package hub

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// chunked is an order over a file in chunks.
func (h *testHub) chunked(file string, size int64) *release.Order {
	h.t.Helper()
	rule, err := release.SplitChunks(bytes.NewReader([]byte(file)), size, func(uint64, release.Span, []byte) error { return nil })
	if err != nil {
		h.t.Fatal(err)
	}
	o := h.sampleOrder("1\n", 1)
	o.Input = release.Input{Chunks: rule}
	return o
}

func fileOf(length int) string {
	file := make([]byte, length)
	for i := range file {
		file[i] = byte(i * i >> 5)
	}
	return string(file)
}

// TestChunks takes leases of long and short chunks and votes on them, before
// and after a restart.
func TestChunks(t *testing.T) {
	h := startHub(t, Options{UnsafeOneNetwork: true})
	file := fileOf(2*100_000 + 5)
	o := h.chunked(file, 100_000)
	d := h.submit(o, file)
	for n := range 2 {
		w := h.join(n)
		seen := map[uint64]bool{}
		for range 3 {
			l := w.want(1)
			seen[l.Task] = true
			at := o.Input.Chunks.Span(l.Task)
			want := []byte(file[at.Offset : at.Offset+int64(at.Length)])
			input := l.Input
			if at.Length > release.MaxTaskInput {
				if len(input) > 0 {
					t.Fatalf("the lease of task %d has %d bytes", l.Task, len(input))
				}
				input = h.body(fmt.Sprintf("/i/%s/%d", d, l.Task))
			}
			if !bytes.Equal(input, want) {
				t.Fatalf("task %d: %d bytes, not the file's", l.Task, len(input))
			}
			if err := o.CheckTaskInput(l.Task, input, l.Proof); err != nil {
				t.Fatal(err)
			}
			l.Input = input
			w.send(&wire.Want{})
			w.send(w.result(l, "some output"))
			await[*wire.Ack](w)
		}
		if len(seen) != 3 {
			t.Errorf("worker %d had the tasks %v", n, seen)
		}
		if n == 0 {
			h.restart()
		}
	}
	eventually(t, "done", func() bool { return h.order(d).State == "done" })
	if got := h.body("/v1/orders/" + d.String() + "/input"); string(got) != file {
		t.Error("the input file is another one")
	}
	h.end()
	if report, err := Check(h.opt.Data, true); err != nil || len(report.Problems) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if err := os.WriteFile(filepath.Join(h.opt.Data, "blobs", canon.Sum([]byte(file)).String()), []byte(file[1:]), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := Check(h.opt.Data, true); err != nil || len(report.Problems) != 2 {
		t.Errorf("a damaged file: %+v, %v", report, err)
	}
	h.start() // the order is withheld
	if status, _ := h.do("GET", fmt.Sprintf("/i/%s/0", d), "", "", nil); status != 404 {
		t.Errorf("a damaged chunk is served: %d", status)
	}
}

// TestChunkProofs proves chunks of an order that has more of them than hashes
// are kept.
func TestChunkProofs(t *testing.T) {
	file := fileOf(100_003)
	o := &release.Order{}
	var err error
	if o.Input.Chunks, err = release.SplitChunks(strings.NewReader(file), 5, func(uint64, release.Span, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	in, err := scanInputs(o, strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	in.from(f)
	defer in.Close()
	for task := uint64(0); task < o.Tasks(); task++ {
		if task%97 != 0 && task < o.Tasks()-3 {
			continue
		}
		input, err := in.input(task)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := in.proof(task)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.CheckTaskInput(task, input, proof); err != nil || string(input) != file[5*task:min(5*task+5, 100_003)] {
			t.Fatalf("task %d: %q, %v", task, input, err)
		}
	}
}

// TestChunkVote refuses a vote on another chunk's bytes.
func TestChunkVote(t *testing.T) {
	h := startHub(t, Options{})
	file := fileOf(200_000)
	h.submit(h.chunked(file, 100_000), file)
	w := h.join(1)
	l := w.want(1)
	l.Input = []byte(file[:99_999])
	w.send(w.result(l, "some output"))
	if r := await[*wire.Refused](w); r.Code != wire.CodeVoteMismatch {
		t.Errorf("%+v", r)
	}
}

func TestTaskInputRefuses(t *testing.T) {
	h := startHub(t, Options{})
	file := fileOf(100_005)
	d := h.submit(h.chunked(file, 100_000), file)
	small := h.chunked("abc", 1)
	small.Title = "small chunks"
	s := h.submit(small, "abc")
	lines := h.submit(h.sampleOrder("1\n", 1), "1\n")
	for path, want := range map[string]int{
		"/i/" + d.String() + "/0": 200, "/i/" + d.String() + "/1": 404, "/i/" + d.String() + "/2": 404, "/i/" + d.String() + "/-1": 404,
		"/i/" + d.String() + "/x": 404, "/i/" + d.String() + "/18446744073709551616": 404, "/i/" + d.String() + "/1099511627776": 404,
		"/i/" + s.String() + "/0": 404, "/i/" + lines.String() + "/0": 404, "/i/" + canon.Sum(nil).String() + "/0": 404, "/i/x/0": 404,
	} {
		if status, _ := h.do("GET", path, "", "", nil); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	res, err := http.Get(h.url + "/i/" + d.String() + "/0")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" || res.ContentLength != 100_000 {
		t.Errorf("%q, %d bytes", got, res.ContentLength)
	}
}

func TestChunksRefused(t *testing.T) {
	h := startHub(t, Options{})
	file := fileOf(1000)
	for name, c := range map[string]struct {
		change func(*release.Chunks)
		input  string
		code   string
	}{
		"another file": {func(*release.Chunks) {}, file[1:] + "x", "input"},
		"short":        {func(*release.Chunks) {}, file[1:], "input"},
		"long":         {func(*release.Chunks) {}, file + "x", "input"},
		"too large":    {func(r *release.Chunks) { r.Length, r.Size = release.MaxInputFile+1, release.MaxChunk }, file, "too_large"},
	} {
		o := h.chunked(file, 100)
		c.change(o.Input.Chunks)
		o.Expires = canon.TimeOf(h.clock.now().Add(time.Hour))
		st, sig, err := o.Sign(seeded(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}, part{"input", []byte(c.input)}); code != c.code {
			t.Errorf("%s: %q, want %q", name, code, c.code)
		}
	}
}
