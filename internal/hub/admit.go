package hub

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/release"
)

const (
	maxSignature = 2 << 10
	maxReleases  = 1 << 14
	maxOrders    = 1 << 14
)

// signedForm begins to read a form: the statement and its signature, which lead
// every one, and not what follows them, at most so many bytes. The statement's own
// cap is one above what it may have, so that its class is what is reported.
func signedForm(w http.ResponseWriter, r *http.Request, more int64) (f *form, s signed, err error) {
	if f, err = newForm(w, r, release.MaxStatement+maxSignature+more); err != nil {
		return nil, s, err
	}
	if s.statement, err = f.read("statement", release.MaxStatement); err != nil {
		return nil, s, err
	}
	s.signature, err = f.read("signature", maxSignature)
	return f, s, err
}

// postRelease admits a release: what a policy key signed, whose module is what
// metering its source gives, and which the engine takes.
func (h *Hub) postRelease(w http.ResponseWriter, r *http.Request) error {
	f, s, err := signedForm(w, r, 2*release.MaxModule)
	if err != nil {
		return err
	}
	if err := h.current(); err != nil {
		return err
	}
	trust := h.trust.Load()
	rel, who, err := release.Open(s.statement, s.signature, trust.Policy, h.now())
	if err != nil {
		return err
	}
	digest := canon.Sum(s.statement)
	if err := trust.GoodRelease(digest, rel.Name, rel.Version); err != nil {
		return err
	}
	if err := h.unstopped(wire.KillRelease, digest); err != nil {
		return err
	}
	source, module, err := f.modules(rel)
	if err != nil {
		return err
	}
	if _, err := h.catalog.release(digest); err == nil {
		return answer(w, http.StatusOK, wire.ReleaseAdmitted{Release: digest})
	}
	if len(h.catalog.allReleases()) >= maxReleases {
		return refusal(wire.CodeForbidden, "the hub has all the releases that it can take")
	}
	if err := h.prove(w, r, rel, source, module); err != nil {
		return err
	}
	fresh, err := h.keepRelease(rel, s, source, module)
	if err != nil {
		return err
	}
	h.log.Info("release admitted", "release", digest, "name", rel.Name, "version", rel.Version, "researcher", who.Name, "module", rel.ModuleSHA256, "bytes", rel.ModuleLength)
	h.metrics.admitted.WithLabelValues("release").Inc()
	return answer(w, created(fresh), wire.ReleaseAdmitted{Release: digest})
}

func created(fresh bool) int {
	if fresh {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (h *Hub) unstopped(scope wire.Scope, d canon.Digest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reason, is := h.machine.StopReason(scope, d); is {
		return refusal(wire.CodeStopped, "%s %s was stopped: %s", scope, d.Short(), reason)
	}
	return nil
}

// modules reads source and module and checks them against the release.
func (f *form) modules(rel *release.Release) (source, module []byte, err error) {
	if source, err = f.read("source", release.MaxModule); err != nil {
		return nil, nil, err
	}
	if canon.Sum(source) != rel.SourceSHA256 {
		return nil, nil, refusal(wire.CodeSourceSHA256, "release %q version %d: the source's sha256 is not the signed one", rel.Name, rel.Version)
	}
	part, err := f.open("module")
	if err != nil {
		return nil, nil, err
	}
	// One byte more than signed shows a module that is longer.
	if module, err = io.ReadAll(io.LimitReader(part, rel.ModuleLength+1)); err != nil {
		return nil, nil, err
	}
	return source, module, rel.CheckModule(module)
}

// prove makes sure that the module is what metering the source gives, that it is
// metered by the rules whatever the source is, and that the engine takes both.
// Few at a time: this is the most that a request can make the hub do.
func (h *Hub) prove(w http.ResponseWriter, r *http.Request, rel *release.Release, source, module []byte) error {
	select {
	case h.admits <- struct{}{}:
		defer func() { <-h.admits }()
	case <-r.Context().Done():
		return refusal(wire.CodeTimeout, "the client left")
	}
	deadlines(w, 10*partTimeout, 10*partTimeout)
	if err := metering(rel, source, module); err != nil {
		return err
	}
	for what, code := range map[string][]byte{"source": source, "module": module} {
		if err := h.engine.Validate(r.Context(), code); err != nil {
			return &canon.Error{Class: wire.CodeModuleInvalid, Msg: fmt.Sprintf("release %q version %d: %s", rel.Name, rel.Version, what), Err: err}
		}
	}
	return nil
}

// metering proves the module's metering twice: against the source that the
// release is published with, and from the module's bytes alone.
func metering(rel *release.Release, source, module []byte) error {
	opt := &meter.Options{MemoryPages: uint32(rel.Limits.MemoryPages)}
	metered, _, err := meter.Rewrite(source, opt)
	if err != nil {
		return &canon.Error{Class: wire.CodeMetering, Msg: fmt.Sprintf("release %q version %d: metering the source", rel.Name, rel.Version), Err: err}
	}
	if !bytes.Equal(metered, module) {
		return refusal(wire.CodeMeteringDiffer, "release %q version %d: metering the source with cost table %s and %d pages gives another module: build it with this version of signer",
			rel.Name, rel.Version, rel.CostTable, rel.Limits.MemoryPages)
	}
	if _, err := meter.Check(module, opt); err != nil {
		return &canon.Error{Class: wire.CodeMeteringDiffer, Msg: fmt.Sprintf("release %q version %d: the module", rel.Name, rel.Version), Err: err}
	}
	return nil
}

func (h *Hub) keepRelease(rel *release.Release, s signed, source, module []byte) (fresh bool, err error) {
	for _, blob := range [][]byte{source, module} {
		if _, err := h.store.PutBlob(blob); err != nil {
			return false, err
		}
	}
	st := store.Statement{Digest: canon.Sum(s.statement), Bytes: s.statement, Signature: s.signature, At: h.now()}
	if fresh, err = h.store.PutStatement(store.Release, st); err != nil {
		return false, err
	}
	if err := h.notary.admitted(st.Digest); err != nil {
		return false, err
	}
	h.catalog.addRelease(&releaseEntry{rel, st.Digest, uint64(len(h.catalog.allReleases())) + 1}, s)
	return fresh, nil
}
