package translog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

func TestEntry(t *testing.T) {
	for _, n := range []int{0, 1, 300, MaxEntry - 2 - 4} {
		st := bytes.Repeat([]byte("s"), n)
		entry, err := Entry(st, []byte("sign"))
		if err != nil {
			t.Fatal(err)
		}
		gotSt, gotSig, err := SplitEntry(entry)
		if err != nil || !bytes.Equal(gotSt, st) || string(gotSig) != "sign" {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := Entry(make([]byte, MaxEntry-2-3), []byte("sign")); canon.ClassOf(err) != ClassTooLarge {
		t.Errorf("an entry too long: %v", err)
	}
	for _, bad := range [][]byte{nil, {0}, {0, 1}, {0xff, 0xff, 1}, make([]byte, MaxEntry+1)} {
		if _, _, err := SplitEntry(bad); canon.ClassOf(err) != ClassEntry {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

// TestNote goes both ways with golang.org/x/mod/sumdb/note.
func TestNote(t *testing.T) {
	k := testKey(t, LogKey, "example.com/log", 3)
	signer, err := note.NewSigner(strings.TrimSuffix(string(k.File()), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(k.VKey.String())
	if err != nil {
		t.Fatal(err)
	}
	c := Sign(k, 3, tlog.Hash{1})
	if n, err := note.Open(c.Encode(), note.VerifierList(verifier)); err != nil || n.Text != string(c.Body()) {
		t.Errorf("their reading of ours: %v", err)
	}
	theirs, err := note.Sign(&note.Note{Text: string(c.Body())}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(theirs, c.Encode()) {
		t.Errorf("they sign\n%s\nwe sign\n%s", theirs, c.Encode())
	}
}

// TestCosignatureExample is the cosignature of the C2SP page, whose key is not
// given, so that only its form can be looked at.
func TestCosignatureExample(t *testing.T) {
	text := "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
		"— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" +
		"— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
	c, err := ParseCheckpoint([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Size != 20852163 || len(c.Signatures) != 2 || len(c.Signatures[1].Bytes) != 72 {
		t.Errorf("%+v", c)
	}
	if want := "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n"; !strings.HasPrefix(string(cosigned(c.Body(), 1679315147)), want) {
		t.Errorf("cosigned: %q", cosigned(c.Body(), 1679315147))
	}
}

func TestKeys(t *testing.T) {
	for _, alg := range []Algorithm{LogKey, WitnessKey} {
		k, err := GenerateKey(alg, "")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseVKey(alg, k.VKey.String()); err != nil || again != k.VKey {
			t.Errorf("vkey: %v", err)
		}
		if again, err := ParseKeyFile(alg, k.File()); err != nil || again.VKey != k.VKey || !again.private.Equal(k.private) {
			t.Errorf("key file: %v", err)
		}
		if _, err := ParseVKey(LogKey+WitnessKey-alg, k.VKey.String()); err == nil {
			t.Error("a key of another algorithm was taken")
		}
		if _, err := ParseKeyFile(LogKey+WitnessKey-alg, k.File()); err == nil {
			t.Error("a key file of another algorithm was taken")
		}
		text := k.VKey.String()
		for _, bad := range []string{"", "x", text + "=", " " + text, text + "\n", strings.Replace(text, "+", " ", 1), "other" + text,
			strings.ToUpper(text), strings.Replace(text, fmt.Sprintf("%08x", k.ID), "00000000", 1)} {
			if _, err := ParseVKey(alg, bad); err == nil {
				t.Errorf("%q was taken", bad)
			}
		}
		for _, bad := range []string{"", "x", string(k.File()) + "\n\n", strings.Replace(string(k.File()), fmt.Sprintf("%08x", k.ID), "00000000", 1), text} {
			if _, err := ParseKeyFile(alg, []byte(bad)); err == nil {
				t.Errorf("%q was taken", bad)
			}
		}
	}
	for _, name := range []string{"a b", "a+b", "a\nb", "\u00e9", strings.Repeat("a", 129)} {
		if _, err := GenerateKey(LogKey, name); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	if k := testKey(t, LogKey, "", 1); !strings.HasPrefix(k.Name, "countersign.log/") || len(k.Name) != len("countersign.log/")+16 {
		t.Errorf("a log's name is %s", k.Name)
	}
}

func TestNewVerifier(t *testing.T) {
	log, w1, w2 := testKey(t, LogKey, "log", 1), testKey(t, WitnessKey, "w1", 2), testKey(t, WitnessKey, "w2", 3)
	sameKey, logAsWitness := testKey(t, WitnessKey, "w3", 2), testKey(t, WitnessKey, "w4", 1)
	if _, err := NewVerifier(log.VKey.String(), []string{w1.VKey.String(), w2.VKey.String()}, 2); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		witnesses []SecretKey
		quorum    int
	}{
		"the same twice": {[]SecretKey{w1, w1}, 1}, "one key under two names": {[]SecretKey{w1, sameKey}, 1}, "the log's key": {[]SecretKey{logAsWitness}, 1},
		"the log's name": {[]SecretKey{testKey(t, WitnessKey, "log", 5)}, 1}, "too many": {[]SecretKey{w1}, 2}, "less than none": {nil, -1}, "a log's key": {[]SecretKey{testKey(t, LogKey, "w", 9)}, 0},
	} {
		var texts []string
		for _, w := range c.witnesses {
			texts = append(texts, w.VKey.String())
		}
		if _, err := NewVerifier(log.VKey.String(), texts, c.quorum); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestProofsOfAllLeaves(t *testing.T) {
	log := testKey(t, LogKey, "log", 1)
	v, err := NewVerifier(log.VKey.String(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTree(t, 40)
	for size := int64(1); size <= 40; size++ {
		c := Sign(log, size, tr.root(size))
		for leaf := range size {
			if _, err := v.CheckProof(mustEntry(t, leaf), tr.prove(leaf, c).Encode(), time.Now()); err != nil {
				t.Fatalf("leaf %d of %d: %v", leaf, size, err)
			}
		}
	}
}

func TestRequest(t *testing.T) {
	tr, log := newTree(t, 20), testKey(t, LogKey, "log", 1)
	path, err := tlog.ProveTree(20, 7, tr)
	if err != nil {
		t.Fatal(err)
	}
	r := Request{7, path, Sign(log, 20, tr.root(20))}
	again, err := ParseRequest(r.Encode())
	if err != nil || again.Old != 7 || len(again.Path) != len(path) {
		t.Fatalf("%+v, %v", again, err)
	}
	text := string(r.Encode())
	for name, bad := range map[string]string{
		"empty": "", "no old": strings.TrimPrefix(text, "old "), "zero in front": strings.Replace(text, "old 7", "old 07", 1), "negative": strings.Replace(text, "old 7", "old -7", 1),
		"carriage returns": strings.ReplaceAll(text, "\n", "\r\n"), "no empty line": strings.Replace(text, "\n\n", "\n", 1), "text behind": text + "x", "no checkpoint": "old 0\n\n",
		"64 hashes": strings.Replace(text, "\n", "\n"+strings.Repeat(encodeBase64(make([]byte, 32))+"\n", 64), 1),
	} {
		if _, err := ParseRequest([]byte(bad)); canon.ClassOf(err) != ClassForm {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTilePaths(t *testing.T) {
	for path, want := range map[string]tlog.Tile{
		"0/000": {H: 8, L: 0, N: 0, W: 256}, "1/x001/x234/067": {H: 8, L: 1, N: 1234067, W: 256}, "2/003.p/17": {H: 8, L: 2, N: 3, W: 17},
		"entries/000": {H: 8, L: -1, N: 0, W: 256}, "entries/x001/000.p/255": {H: 8, L: -1, N: 1000, W: 255},
	} {
		got, ok := ParseTilePath(path)
		if !ok || got != want || TilePath(got) != path {
			t.Errorf("%s: %+v, %v, again %s", path, got, ok, TilePath(got))
		}
	}
	for _, path := range []string{"", "0", "0/", "0/0", "0/00", "0/0000", "00/000", "-1/000", "+1/000", "7/000", "64/000", "0/x000", "0/x000/000", "0/001/000", "0/x001/x000",
		"0/000.p/0", "0/000.p/256", "0/000.p/01", "0/000.p/-1", "0/000.p", "0/000/", "0/000.p/1/", "data/000", "entries", "entries/0", "entries/000.p/300", "8/0/000", "0/../000", "0/-01",
		"0/x999/x999/x999/x999/x999/x999/x999/x999/999", "0/x018/x446/x744/x073/x709/x551/616"} {
		if got, ok := ParseTilePath(path); ok {
			t.Errorf("%q was taken as %+v", path, got)
		}
	}
}

// TestTiles counts as the C2SP page does, for a tree of 70,000.
func TestTiles(t *testing.T) {
	count := map[string]int{}
	if err := Tiles(70000, func(tile tlog.Tile) error {
		count[fmt.Sprintf("%d/%v", tile.L, tile.W)]++
		if !Covered(tile, 70000) {
			t.Errorf("%+v is not covered", tile)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"0/256": 273, "0/112": 1, "1/256": 1, "1/17": 1, "2/1": 1}
	if fmt.Sprint(count) != fmt.Sprint(want) {
		t.Errorf("tiles of 70000: %v, want %v", count, want)
	}
	if Covered(tlog.Tile{H: 8, L: 0, N: 273, W: 113}, 70000) || Covered(tlog.Tile{H: 8, L: 2, N: 0, W: 2}, 70000) || !Covered(tlog.Tile{H: 8, L: -1, N: 273, W: 112}, 70000) {
		t.Error("what a tree covers")
	}
}

func FuzzParseProof(f *testing.F) {
	log := testKey(f, LogKey, "log", 1)
	v, err := NewVerifier(log.VKey.String(), nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	tr := newTree(f, 5)
	f.Add(tr.prove(3, Sign(log, 5, tr.root(5))).Encode())
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := ParseProof(text); err == nil && !bytes.Equal(p.Encode(), text) {
			t.Fatal("it is not in its one form")
		}
		if _, err := v.CheckProof(mustEntry(t, 4), text, time.Now()); canon.ClassOf(err) == "" {
			t.Fatalf("a proof of another leaf: %v", err)
		}
	})
}

// TestMutations: no single changed, added or missing byte leaves a proof good,
// but in lines that are skipped.
func TestMutations(t *testing.T) {
	log, w := testKey(t, LogKey, "log", 1), testKey(t, WitnessKey, "w", 2)
	v, err := NewVerifier(log.VKey.String(), []string{w.VKey.String()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTree(t, 9)
	c := Sign(log, 9, tr.root(9))
	c.Signatures = append(c.Signatures, Cosign(w, c, time.Now()))
	good := tr.prove(4, c).Encode()
	if _, err := v.CheckProof(mustEntry(t, 4), good, time.Now()); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range good {
		for _, bad := range [][]byte{
			append(append(bytes.Clone(good[:i]), good[i]^byte(1+r.IntN(255))), good[i+1:]...), append(bytes.Clone(good[:i]), good[i+1:]...),
			append(append(bytes.Clone(good[:i]), byte(r.IntN(256))), good[i:]...), good[:i],
		} {
			if bytes.Equal(bad, good) {
				continue
			}
			if _, err := v.CheckProof(mustEntry(t, 4), bad, time.Now()); canon.ClassOf(err) == "" {
				t.Errorf("byte %d: %v: %q", i, err, bad)
			}
		}
	}
}

// FuzzParse: what a witness or an auditor reads from others has one form.
func FuzzParse(f *testing.F) {
	log := testKey(f, LogKey, "log", 1)
	tr := newTree(f, 5)
	c := Sign(log, 5, tr.root(5))
	f.Add(c.Encode(), "0/000")
	f.Add([]byte(log.VKey.String()), "entries/x001/234.p/5")
	f.Add(log.File(), "3/000.p/255")
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		if c, err := ParseCheckpoint(text); err == nil && !bytes.Equal(c.Encode(), text) {
			t.Error("a checkpoint is not in its one form")
		}
		if r, err := ParseRequest(text); err == nil && !bytes.Equal(r.Encode(), text) {
			t.Error("a request is not in its one form")
		}
		if k, err := ParseVKey(LogKey, string(text)); err == nil && k.String() != string(text) {
			t.Error("a verifier key is not in its one form")
		}
		if k, err := ParseKeyFile(LogKey, text); err == nil && !bytes.Equal(bytes.TrimSuffix(k.File(), []byte("\n")), bytes.TrimSuffix(text, []byte("\n"))) {
			t.Error("a key file is not in its one form")
		}
		if tile, ok := ParseTilePath(path); ok && TilePath(tile) != path {
			t.Errorf("the path %q is that of %q", path, TilePath(tile))
		}
	})
}
