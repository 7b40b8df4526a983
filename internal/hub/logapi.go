package hub

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/translog"
	"github.com/countersign/countersign/internal/wire"
)

// proof proves that the log has a statement.
func (n *notary) proof(d canon.Digest) ([]byte, error) {
	index, err := n.index(d)
	if err != nil {
		return nil, err
	}
	c, witnessed := n.current()
	if witnessed != nil && index < witnessed.Size {
		c = witnessed
	}
	if index >= c.Size {
		return nil, refusal(wire.CodeNotFound, "statement %s is under no published checkpoint yet", d.Short())
	}
	p := translog.Proof{Index: index, Checkpoint: c}
	err = n.store.ViewLog(func(v store.LogView) error {
		p.Path, err = tlog.ProveRecord(c.Size, index, v)
		return err
	})
	return p.Encode(), err
}

// anyPage lets any page read what is public and changes.
func anyPage(w http.ResponseWriter, contentType string) {
	head := w.Header()
	head.Set("Content-Type", contentType)
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (h *Hub) getProof(w http.ResponseWriter, d canon.Digest) error {
	proof, err := h.notary.proof(d)
	if err != nil {
		return err
	}
	anyPage(w, "text/plain; charset=utf-8")
	w.Write(proof) // fails if the client left
	return nil
}

func (h *Hub) getLogCheckpoint(w http.ResponseWriter, r *http.Request) error {
	c, _ := h.notary.current()
	anyPage(w, "text/plain; charset=utf-8")
	w.Write(c.Encode())
	return nil
}

func (h *Hub) getLogTile(w http.ResponseWriter, r *http.Request) error {
	// The path as it came: one that was cleaned is another one.
	t, ok := translog.ParseTilePath(strings.TrimPrefix(r.URL.EscapedPath(), "/log/tile/"))
	c, _ := h.notary.current()
	if !ok || !translog.Covered(t, c.Size) {
		return refusal(wire.CodeNotFound, "the log has no tile %s", printable(r.URL.Path, 100))
	}
	var data []byte
	if err := h.store.ViewLog(func(v store.LogView) (err error) {
		if t.L == translog.EntryLevel {
			data, err = bundle(v, t)
		} else {
			data, err = tlog.ReadTileData(t, v)
		}
		return err
	}); err != nil {
		return err
	}
	deadlines(w, downloadTimeout, downloadTimeout)
	immutable(w, "application/octet-stream")
	if t.L == translog.EntryLevel {
		return compressed(w, r, data)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	return nil
}

// bundle is the entries of a tile, each after its length.
func bundle(v store.LogView, t tlog.Tile) (data []byte, err error) {
	for i := range int64(t.W) {
		entry, err := v.Entry(t.N<<translog.TileHeight + i)
		if err != nil {
			return nil, err
		}
		data = append(binary.BigEndian.AppendUint16(data, uint16(len(entry))), entry...)
	}
	return data, nil
}

// compressed answers with gzip to those that take it.
func compressed(w http.ResponseWriter, r *http.Request, data []byte) error {
	w.Header().Add("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Write(data)
		return nil
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed) // anybody may ask
	if err != nil {
		return err
	}
	if _, err := z.Write(data); err != nil {
		return nil // the client left
	}
	z.Close()
	return nil
}
