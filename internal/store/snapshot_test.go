package store

import (
	"archive/tar"
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/canon"
)

// TestSnapshotHolds: a file that goes while a snapshot is made is in it, and
// goes afterwards; one that comes back meanwhile stays.
func TestSnapshotHolds(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "data"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(text string) canon.Digest {
		t.Helper()
		d := canon.Sum([]byte(text))
		if err := s.files.put(d, netip.MustParsePrefix("10.0.0.0/24"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	goes, returns := put("goes"), put("returns")
	s.files.hold()
	s.files.remove([]canon.Digest{goes, returns})
	put("returns")
	dir, err := s.Snapshot() // holds and releases, inside of the other
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []canon.Digest{goes, returns} {
		if _, err := os.Stat(filepath.Join(dir, fileDir, d.String())); err != nil {
			t.Errorf("not in the snapshot: %v", err)
		}
	}
	s.files.release()
	if _, err := os.Stat(s.files.path(goes)); !os.IsNotExist(err) {
		t.Errorf("a file that was removed is there: %v", err)
	}
	if _, err := os.Stat(s.files.path(returns)); err != nil {
		t.Errorf("a file that came back is gone: %v", err)
	}
	if now, _ := s.CheckpointBytes(); now != int64(len("returns")) {
		t.Errorf("%d bytes are counted", now)
	}
}

// TestExtractRefuses: nothing outside, nothing twice, nothing that is no file.
func TestExtractRefuses(t *testing.T) {
	blob := "blobs/" + strings.Repeat("0a", 32)
	for name, headers := range map[string][]tar.Header{
		"outside":      {{Name: "../evil", Typeflag: tar.TypeReg}},
		"absolute":     {{Name: "/etc/evil", Typeflag: tar.TypeReg}},
		"inside":       {{Name: "blobs/../../evil", Typeflag: tar.TypeReg}},
		"other name":   {{Name: "blobs/x", Typeflag: tar.TypeReg}},
		"link":         {{Name: blob, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		"hard link":    {{Name: blob, Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
		"folder":       {{Name: "blobs", Typeflag: tar.TypeDir}},
		"device":       {{Name: "facts.db", Typeflag: tar.TypeChar}},
		"twice":        {{Name: blob, Typeflag: tar.TypeReg}, {Name: blob, Typeflag: tar.TypeReg}},
		"partial name": {{Name: blob + ".new", Typeflag: tar.TypeReg}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Extract(&b, filepath.Join(t.TempDir(), "data")); err == nil {
			t.Errorf("%s: extracted", name)
		}
	}
}
