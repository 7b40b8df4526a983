package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/release"
)

// parts of a release's form.
func releaseParts(st, sig, source, module []byte) []part {
	return []part{{"statement", st}, {"signature", sig}, {"source", source}, {"module", module}}
}

func flipped(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1
	return data
}

// released signs a release that edit spoils first.
func released(t *testing.T, key keys.SecretKey, edit func(*release.Release)) (st, sig []byte) {
	t.Helper()
	r := sampleRelease()
	if edit != nil {
		edit(r)
	}
	st, sig, err := r.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return st, sig
}

func TestReleaseRefusals(t *testing.T) {
	h := startHub(t, Options{})
	ada, eve := seeded(t, 1), seeded(t, 2)
	st, sig := released(t, ada, nil)
	with := func(edit func(*release.Release)) []part {
		st, sig := released(t, ada, edit)
		return releaseParts(st, sig, payloads.FactorSource, payloads.FactorModule)
	}
	_, evesSig := released(t, eve, nil)
	other, err := os.ReadFile("../../payloads/hostile/loop/loop.wasm")
	if err != nil {
		t.Fatal(err)
	}
	// A module that is metered, but not by these rules: one byte of code differs.
	altered := flipped(payloads.FactorModule, len(payloads.FactorModule)/2)
	pages, _, err := meter.Rewrite(payloads.FactorSource, &meter.Options{MemoryPages: 17})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		code  string
		parts []part
	}{
		"no parts":           {wire.CodeRequest, nil},
		"signature missing":  {wire.CodeRequest, []part{{"statement", st}}},
		"source first":       {wire.CodeRequest, []part{{"source", payloads.FactorSource}, {"statement", st}}},
		"long statement":     {"too_large", releaseParts(bytes.Repeat([]byte{' '}, release.MaxStatement+1), sig, nil, nil)},
		"long signature":     {"too_large", releaseParts(st, bytes.Repeat([]byte{'a'}, maxSignature+1), nil, nil)},
		"altered statement":  {"signature_invalid", releaseParts(flipped(st, 60), sig, payloads.FactorSource, payloads.FactorModule)},
		"altered signature":  {"signature_malformed", releaseParts(st, sig[10:], payloads.FactorSource, payloads.FactorModule)},
		"another's key":      {"signature_unknown_key", releaseParts(st, evesSig, payloads.FactorSource, payloads.FactorModule)},
		"expired":            {"expiry", with(func(r *release.Release) { r.Expires = canon.TimeOf(began.Add(-time.Hour)) })},
		"expires far ahead":  {"expiry", with(func(r *release.Release) { r.Expires = canon.TimeOf(began.Add(91 * 24 * time.Hour)) })},
		"another's name":     {"name_prefix", with(func(r *release.Release) { r.Name = "bob/factor" })},
		"over the ceiling":   {"ceiling", with(func(r *release.Release) { r.Limits.TaskFuel = 1e12 + 1 })},
		"altered source":     {wire.CodeSourceSHA256, releaseParts(st, sig, flipped(payloads.FactorSource, 100), payloads.FactorModule)},
		"altered module":     {wire.CodeModuleSHA256, releaseParts(st, sig, payloads.FactorSource, altered)},
		"longer module":      {wire.CodeModuleLength, releaseParts(st, sig, payloads.FactorSource, append(bytes.Clone(payloads.FactorModule), 0))},
		"shorter module":     {wire.CodeModuleLength, releaseParts(st, sig, payloads.FactorSource, payloads.FactorModule[1:])},
		"module missing":     {wire.CodeRequest, releaseParts(st, sig, payloads.FactorSource, nil)[:3]},
		"other pages signed": {wire.CodeMeteringDiffer, with(func(r *release.Release) { r.Limits.MemoryPages = 17 })},
		"altered, signed": {wire.CodeMeteringDiffer, func() []part {
			st, sig := released(t, ada, func(r *release.Release) { r.ModuleSHA256 = canon.Sum(altered) })
			return releaseParts(st, sig, payloads.FactorSource, altered)
		}()},
		"metered for more memory, signed": {wire.CodeMeteringDiffer, func() []part {
			st, sig := released(t, ada, func(r *release.Release) { r.ModuleSHA256, r.ModuleLength = canon.Sum(pages), int64(len(pages)) })
			return releaseParts(st, sig, payloads.FactorSource, pages)
		}()},
		"source of another, signed": {wire.CodeMeteringDiffer, func() []part {
			st, sig := released(t, ada, func(r *release.Release) { r.SourceSHA256 = canon.Sum(other) })
			return releaseParts(st, sig, other, payloads.FactorModule)
		}()},
		"unmetered module, signed": {wire.CodeMeteringDiffer, func() []part {
			st, sig := released(t, ada, func(r *release.Release) {
				r.ModuleSHA256, r.ModuleLength = canon.Sum(payloads.FactorSource), int64(len(payloads.FactorSource))
			})
			return releaseParts(st, sig, payloads.FactorSource, payloads.FactorSource)
		}()},
		"no wasm, signed": {wire.CodeMetering, func() []part {
			junk := []byte("not a module at all")
			st, sig := released(t, ada, func(r *release.Release) {
				r.SourceSHA256, r.ModuleSHA256, r.ModuleLength = canon.Sum(junk), canon.Sum(junk), int64(len(junk))
			})
			return releaseParts(st, sig, junk, junk)
		}()},
		"type error, signed": {wire.CodeMetering, func() []part {
			source := illTyped()
			st, sig := released(t, ada, func(r *release.Release) { r.SourceSHA256 = canon.Sum(source) })
			return releaseParts(st, sig, source, payloads.FactorModule)
		}()},
	} {
		status, code := h.post("/v1/releases", c.parts...)
		if code != c.code || status != wire.Status(c.code) {
			t.Errorf("%s: %d %s, want %s", name, status, code, c.code)
		}
	}
	var list wire.ReleaseList
	if h.get("/v1/releases", &list); len(list.Releases) != 0 {
		t.Errorf("%d releases were admitted", len(list.Releases))
	}
	files, err := os.ReadDir(h.opt.Data + "/blobs")
	if err != nil || len(files) != 0 {
		t.Errorf("refused releases leave %d files (%v)", len(files), err)
	}
	for _, code := range []string{"signature_invalid", "metering_differ", "ceiling"} {
		if !strings.Contains(h.log.String(), "code="+code) {
			t.Errorf("the log does not say %s", code)
		}
	}
}

// illTyped is a module that the subset allows, and whose _start leaves a value
// on the stack that its type does not have.
func illTyped() []byte {
	return []byte("\x00asm\x01\x00\x00\x00" +
		"\x01\x04\x01\x60\x00\x00" + // type () -> ()
		"\x03\x02\x01\x00" + // one function
		"\x05\x03\x01\x00\x01" + // memory, 1 page
		"\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x00" +
		"\x0a\x06\x01\x04\x00\x41\x01\x0b") // i32.const 1
}

// TestLegacySignature: one that the old algorithm made over the digest, from
// the shared vectors.
func TestLegacySignature(t *testing.T) {
	data, err := os.ReadFile("../../testdata/vectors/statement/signature-legacy-over-the-digest.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Keys                 []string
		Statement, Signature []byte
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	key, err := keys.ParsePublicKey([]byte(v.Keys[0]))
	if err != nil {
		t.Fatal(err)
	}
	h := startHub(t, Options{Policies: policyOf(t, 1, key)})
	if status, code := h.post("/v1/releases", releaseParts(v.Statement, v.Signature, nil, nil)...); code != "signature_legacy" {
		t.Errorf("%d %s", status, code)
	}
}

// TestNothingReadBehindBadSignature: an upload of many megabytes behind a
// statement that nobody signed is answered at once.
func TestNothingReadBehindBadSignature(t *testing.T) {
	h := startHub(t, Options{})
	st, _ := released(t, seeded(t, 1), nil)
	head := "--b\r\nContent-Disposition: form-data; name=\"statement\"\r\n\r\n" + string(st) +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"signature\"\r\n\r\nno signature\r\n--b\r\nContent-Disposition: form-data; name=\"source\"\r\n\r\n"
	endless, w := io.Pipe()
	defer endless.Close()
	var sent atomic.Int64
	go func() {
		io.WriteString(w, head)
		for junk := make([]byte, 64<<10); ; sent.Add(int64(len(junk))) {
			if _, err := w.Write(junk); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	start := time.Now()
	status, code := h.do("POST", "/v1/releases", "multipart/form-data; boundary=b", "", endless)
	if code != "signature_malformed" || time.Since(start) > 30*time.Second {
		t.Errorf("%d %s after %s", status, code, time.Since(start))
	}
	if n := sent.Load(); n >= release.MaxModule { // sockets take some of it
		t.Errorf("%d bytes of a source were taken", n)
	}
}

func TestReleaseAdmitted(t *testing.T) {
	h := startHub(t, Options{})
	st, sig := released(t, seeded(t, 1), nil)
	parts := releaseParts(st, sig, payloads.FactorSource, payloads.FactorModule)
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		if status, code := h.post("/v1/releases", parts...); status != want {
			t.Errorf("%d %s, want %d", status, code, want)
		}
	}
	for range 2 {
		d := canon.Sum(st)
		if got := h.body("/s/" + d.String()); !bytes.Equal(got, st) {
			t.Errorf("statement %q", got)
		}
		if got := h.body("/s/" + d.String() + ".minisig"); !bytes.Equal(got, sig) {
			t.Errorf("signature %q", got)
		}
		if got := h.body("/m/" + canon.Sum(payloads.FactorModule).String()); !bytes.Equal(got, payloads.FactorModule) {
			t.Error("another module comes back")
		}
		var list wire.ReleaseList
		if h.get("/v1/releases", &list); len(list.Releases) != 1 || list.Releases[0].Release != d || list.Releases[0].State != "live" {
			t.Errorf("%+v", list)
		}
		h.restart()
	}
}

func TestOrderRefusals(t *testing.T) {
	h := startHub(t, Options{})
	ada := seeded(t, 1)
	const input = "1\n2\n3\n"
	h.release()
	for name, c := range map[string]struct {
		code  string
		key   keys.SecretKey
		input string
		edit  func(*release.Order)
	}{
		"another's key": {"signature_unknown_key", seeded(t, 2), input, nil},
		"expired": {"expiry", ada, input, func(o *release.Order) {
			o.NotBefore, o.Expires = canon.TimeOf(began.Add(-2*time.Hour)), canon.TimeOf(began.Add(-time.Hour))
		}},
		"unknown release": {wire.CodeUnknownRelease, ada, input, func(o *release.Order) { o.ReleaseSHA256[0] ^= 1 }},
		"too many tasks":  {"ceiling", ada, "", func(o *release.Order) { o.Input = release.Input{Range: &release.Range{To: 1e6 + 1, Step: 1}} }},
		"other input":     {wire.CodeInput, ada, "1\n2\n4\n", nil},
		"longer input":    {wire.CodeInput, ada, input + "4\n", nil},
		"shorter input":   {wire.CodeInput, ada, "1\n2\n", nil},
		"no newline":      {wire.CodeInput, ada, "1\n2\n3", nil},
		"empty input":     {wire.CodeInput, ada, "", nil},
		"long line":       {wire.CodeInput, ada, strings.Repeat("1", 70000) + "\n", nil},
	} {
		o := h.sampleOrder(input, 1)
		if c.edit != nil {
			c.edit(o)
		}
		st, sig, err := o.Sign(c.key)
		if err != nil {
			t.Fatal(err)
		}
		status, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}, part{"input", []byte(c.input)})
		if code != c.code || status != wire.Status(c.code) {
			t.Errorf("%s: %d %s, want %s", name, status, code, c.code)
		}
	}
	st, sig, err := h.sampleOrder(input, 1).Sign(ada)
	if err != nil {
		t.Fatal(err)
	}
	if _, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}); code != wire.CodeRequest {
		t.Errorf("no input: %s", code)
	}
	var list wire.OrderList
	if h.get("/v1/orders", &list); len(list.Orders) != 0 {
		t.Errorf("%d orders were admitted", len(list.Orders))
	}
	files, err := os.ReadDir(h.opt.Data + "/blobs")
	if err != nil || len(files) != 2 {
		t.Errorf("%d blobs (%v), want source and module alone", len(files), err)
	}
}

// TestLongInput has more tasks than the index of the input file has places.
func TestLongInput(t *testing.T) {
	var b strings.Builder
	const lines = 2*(1<<16) + 77
	for i := range lines {
		fmt.Fprintf(&b, "%d%s\n", i, strings.Repeat("x", i%7))
	}
	o := &release.Order{}
	rule, err := release.Split(strings.NewReader(b.String()), 3, func(uint64, release.Span, []byte) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	o.Input.Lines = rule
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(b.String()); err != nil {
		t.Fatal(err)
	}
	for _, per := range []int64{1, 3} {
		if o.Input.Lines, err = release.Split(strings.NewReader(b.String()), per, func(uint64, release.Span, []byte) error { return nil }); err != nil {
			t.Fatal(err)
		}
		in, err := scanInputs(o, strings.NewReader(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		in.from(f)
		if _, err := release.Split(strings.NewReader(b.String()), per, func(task uint64, _ release.Span, want []byte) error {
			if task%97 != 0 && task < o.Tasks()-3 {
				return nil
			}
			if got, err := in.input(task); err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("task %d: %q, %v; want %q", task, got, err, want)
			}
			proof, err := in.proof(task)
			if err != nil {
				return err
			}
			return o.CheckTaskInput(task, want, proof)
		}); err != nil {
			t.Error(err)
		}
	}
}

func (h *testHub) stop(key keys.SecretKey, target string, d canon.Digest) (status int, code string) {
	h.t.Helper()
	st, sig, err := release.NewStop(target, d, "wrong numbers", h.clock.now()).Sign(key)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.post("/v1/stops", part{"statement", st}, part{"signature", sig})
}

func TestStops(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(10), "")
	w := h.join(1)
	w.want(1)
	if _, code := h.stop(seeded(t, 2), "order", order); code != "signature_unknown_key" {
		t.Errorf("by a stranger: %s", code)
	}
	if _, code := h.stop(seeded(t, 1), "order", canon.Sum(nil)); code != wire.CodeUnknownOrder {
		t.Errorf("of nothing: %s", code)
	}
	if status, code := h.stop(seeded(t, 1), "order", order); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	if k := await[*wire.Kill](w); k.Scope != wire.KillOrder || k.Target != order.String() || !strings.Contains(k.Reason, "wrong numbers") {
		t.Errorf("%+v", k)
	}
	second := h.rangeOrder(9)
	h.submit(second, "")
	if status, code := h.stop(seeded(t, 1), "release", second.ReleaseSHA256); status != http.StatusCreated {
		t.Fatalf("%d %s", status, code)
	}
	for range 2 {
		var list wire.OrderList
		if h.get("/v1/orders", &list); len(list.Orders) != 2 || list.Orders[0].State != "stopped" || list.Orders[1].State != "stopped" || list.Orders[0].Reason != "wrong numbers" {
			t.Errorf("%+v", list)
		}
		third := *second
		third.Title = "one more"
		st, sig, err := third.Sign(seeded(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, code := h.post("/v1/orders", part{"statement", st}, part{"signature", sig}); code != wire.CodeStopped {
			t.Errorf("an order of the stopped release: %s", code)
		}
		rst, rsig := released(t, seeded(t, 1), nil)
		if _, code := h.post("/v1/releases", releaseParts(rst, rsig, payloads.FactorSource, payloads.FactorModule)...); code != wire.CodeStopped {
			t.Errorf("the stopped release again: %s", code)
		}
		h.restart()
	}
}

// TestPolicyChanges: what today's policy does not admit is shown, but not lent.
func TestPolicyChanges(t *testing.T) {
	t.Parallel()
	h := startHub(t, Options{UnsafeOneNetwork: true})
	order := h.submit(h.rangeOrder(10), "")
	h.end()
	h.opt.Policies = append(h.opt.Policies, policyOf(t, 2, seeded(t, 2).Public())...)
	h.start()
	w := h.join(1)
	w.send(&wire.Want{Leases: 1})
	next[*wire.Idle](w)
	if info := h.order(order); info.State != "stopped" || !strings.Contains(info.Reason, "not admitted") {
		t.Errorf("%+v", info)
	}
	h.end()
	h.opt.Policies = append(h.opt.Policies, policyOf(t, 3, seeded(t, 1).Public())...)
	h.start()
	h.join(1).want(1)
}

func TestPolicyExpires(t *testing.T) {
	h := startHub(t, Options{})
	st, sig := released(t, seeded(t, 1), nil)
	h.clock.advance(301 * 24 * time.Hour)
	if _, code := h.post("/v1/releases", releaseParts(st, sig, payloads.FactorSource, payloads.FactorModule)...); code != wire.CodePolicy {
		t.Errorf("%s", code)
	}
}

// TestDamagedBlobs: what has changed on disk is not lent.
func TestDamagedBlobs(t *testing.T) {
	const input = "1\n2\n3\n"
	for name, digest := range map[string]canon.Digest{"module": canon.Sum(payloads.FactorModule), "input": canon.Sum([]byte(input))} {
		h := startHub(t, Options{UnsafeOneNetwork: true})
		order := h.submit(h.sampleOrder(input, 1), input)
		h.end()
		file := h.opt.Data + "/blobs/" + digest.String()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, flipped(data, 2), 0o600); err != nil {
			t.Fatal(err)
		}
		h.start()
		if info := h.order(order); info.State != "stopped" {
			t.Errorf("%s: %+v", name, info)
		}
		h.end()
		if report, err := Check(h.opt.Data, true); err != nil || len(report.Problems) == 0 {
			t.Errorf("%s: check finds nothing: %+v, %v", name, report, err)
		}
	}
}
