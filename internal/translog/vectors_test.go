package translog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/countersign/countersign/internal/canon"
)

var update = flag.Bool("update", false, "write the vectors again")

const vectorDir = "../../testdata/vectors/log"

// vector is one case, read by Go and by TypeScript: see the folder's README.
type vector struct {
	Name      string   `json:"name"`
	Class     string   `json:"class"` // "ok" or the failure class expected
	Now       string   `json:"now"`
	Log       string   `json:"log"`
	Witnesses []string `json:"witnesses"`
	Quorum    int      `json:"quorum"`
	Statement []byte   `json:"statement"`
	Signature []byte   `json:"signature"`
	Proof     []byte   `json:"proof"`
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	index, err := os.ReadFile(filepath.Join(vectorDir, "INDEX"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.Atoi(strings.TrimSpace(string(index)))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil || len(files) != want || want == 0 {
		t.Fatalf("%d vectors, INDEX says %d (%v)", len(files), want, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		t.Run(v.Name, func(t *testing.T) { v.run(t) })
	}
	t.Logf("%d log vectors", len(files))
}

func (v vector) run(t *testing.T) {
	at, err := time.Parse(time.RFC3339, v.Now)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := NewVerifier(v.Log, v.Witnesses, v.Quorum)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := Entry(v.Statement, v.Signature)
	if err == nil {
		_, err = verifier.CheckProof(entry, v.Proof, at)
	}
	got := canon.ClassOf(err)
	if err == nil {
		got = "ok"
	}
	if got != v.Class {
		t.Errorf("got %s (%v), want %s", got, err, v.Class)
	}
}

func writeVectors(t *testing.T) {
	old, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	all := buildVectors(t)
	for _, v := range all {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(vectorDir, strings.ReplaceAll(v.Name, " ", "-")+".json")
		if _, err := os.Stat(name); err == nil {
			t.Fatalf("two vectors are called %q", v.Name)
		}
		if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(vectorDir, "INDEX"), fmt.Appendln(nil, len(all)), 0o644); err != nil {
		t.Fatal(err)
	}
}

var vectorTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testKey is a key that is the same in every run.
func testKey(t testing.TB, alg Algorithm, name string, seed byte) SecretKey {
	t.Helper()
	k, err := NewKey(alg, name, bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// tree is a log in memory.
type tree struct {
	t      testing.TB
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

func (tr *tree) add(entry []byte) {
	more, err := tlog.StoredHashes(tr.size, entry, tr)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.hashes = append(tr.hashes, more...)
	tr.size++
}

func (tr *tree) root(size int64) tlog.Hash {
	h, err := tlog.TreeHash(size, tr)
	if err != nil {
		tr.t.Fatal(err)
	}
	return h
}

func (tr *tree) prove(index int64, c *Checkpoint) *Proof {
	path, err := tlog.ProveRecord(c.Size, index, tr)
	if err != nil {
		tr.t.Fatal(err)
	}
	return &Proof{index, path, c}
}

func statement(i int64) (st, sig []byte) {
	return fmt.Appendf(nil, "{\n  \"type\": \"countersign.test/v1\",\n  \"number\": %d\n}\n", i), fmt.Appendf(nil, "signature file of statement %d\n", i)
}

// newTree has so many entries.
func newTree(t testing.TB, size int64) *tree {
	tr := &tree{t: t}
	for i := range size {
		entry, err := Entry(statement(i))
		if err != nil {
			t.Fatal(err)
		}
		tr.add(entry)
	}
	return tr
}

// vectorMaker makes cases of one log with three witnesses.
type vectorMaker struct {
	t         *testing.T
	tree      *tree
	log       SecretKey
	witnesses []SecretKey
	all       []vector
}

const vectorSize, vectorLeaf = 11, 6

func buildVectors(t *testing.T) []vector {
	m := &vectorMaker{t: t, tree: newTree(t, 700), log: testKey(t, LogKey, "countersign.log/vectors", 1)}
	for i := range byte(3) {
		m.witnesses = append(m.witnesses, testKey(t, WitnessKey, fmt.Sprintf("witness%d.example/w", i+1), 10+i))
	}
	m.good()
	m.badForm()
	m.badSignatures()
	m.badInclusion()
	m.badWitnesses()
	return m.all
}

// checkpoint is cosigned by those witnesses.
func (m *vectorMaker) checkpoint(size int64, witnesses ...int) *Checkpoint {
	c := Sign(m.log, size, m.tree.root(size))
	for _, w := range witnesses {
		c.Signatures = append(c.Signatures, Cosign(m.witnesses[w], c, vectorTime.Add(-time.Minute)))
	}
	return c
}

// sample is the proof of leaf 6 of 11.
func (m *vectorMaker) sample(witnesses ...int) *Proof {
	return m.tree.prove(vectorLeaf, m.checkpoint(vectorSize, witnesses...))
}

// add adds a case of a reader that asks for so many of the three witnesses.
func (m *vectorMaker) add(name, class string, quorum int, proof []byte, change ...func(*vector)) {
	v := vector{Name: name, Class: class, Now: vectorTime.Format(time.RFC3339), Log: m.log.VKey.String(), Quorum: quorum, Proof: proof}
	for _, w := range m.witnesses {
		v.Witnesses = append(v.Witnesses, w.VKey.String())
	}
	v.Statement, v.Signature = statement(vectorLeaf)
	for _, c := range change {
		c(&v)
	}
	m.all = append(m.all, v)
}

func of(leaf int64) func(*vector) {
	return func(v *vector) { v.Statement, v.Signature = statement(leaf) }
}

func (m *vectorMaker) good() {
	for _, c := range []struct{ size, leaf int64 }{{1, 0}, {2, 0}, {2, 1}, {3, 2}, {8, 5}, {11, 10}, {256, 255}, {257, 256}, {700, 0}, {700, 699}, {700, 512}} {
		m.add(fmt.Sprintf("ok leaf %d of %d", c.leaf, c.size), "ok", 0, m.tree.prove(c.leaf, m.checkpoint(c.size)).Encode(), of(c.leaf))
	}
	m.add("ok unwitnessed", "ok", 0, m.sample().Encode())
	m.add("ok no witnesses configured", "ok", 0, m.sample(0, 1).Encode(), func(v *vector) { v.Witnesses = []string{} })
	m.add("ok one witness of three", "ok", 1, m.sample(2).Encode())
	m.add("ok two witnesses of three", "ok", 2, m.sample(2, 0).Encode())
	m.add("ok three witnesses of three", "ok", 3, m.sample(0, 1, 2).Encode())
	p := m.sample(0)
	stranger := testKey(m.t, WitnessKey, "stranger.example/w", 77)
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, Cosign(stranger, p.Checkpoint, vectorTime), Signature{"odd.example", 5, []byte{1}})
	m.add("ok lines of strangers are skipped", "ok", 1, p.Encode())
	p = m.sample()
	p.Checkpoint.Signatures = append([]Signature{Cosign(m.witnesses[0], p.Checkpoint, vectorTime)}, p.Checkpoint.Signatures...)
	m.add("ok witness before the log", "ok", 1, p.Encode())
	p = m.sample()
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, Cosign(m.witnesses[0], p.Checkpoint, vectorTime.Add(MaxAhead)))
	m.add("ok cosignature ten minutes ahead", "ok", 1, p.Encode())
	p = m.sample()
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, Cosign(m.witnesses[0], p.Checkpoint, vectorTime.Add(24*time.Hour)), Cosign(m.witnesses[0], p.Checkpoint, time.Unix(0, 0)))
	m.add("ok one cosignature from the future and one not", "ok", 1, p.Encode())
	p = m.sample(0)
	p.Checkpoint.Signatures[1].ID ^= 1
	m.add("ok witness of another id is a stranger", "ok", 0, p.Encode())
}

func (m *vectorMaker) badForm() {
	text := string(m.sample(0, 1).Encode())
	lines := strings.SplitAfter(text, "\n")
	edit := func(name string, change func(string) string) {
		changed := change(text)
		if changed == text {
			m.t.Fatalf("form %s: nothing is changed", name)
		}
		m.add("form "+name, ClassForm, 0, []byte(changed))
	}
	replace := func(name, old, by string) {
		edit(name, func(s string) string { return strings.Replace(s, old, by, 1) })
	}
	edit("empty", func(string) string { return "" })
	edit("carriage returns", func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") })
	replace("carriage return in the index", "index 6\n", "index 6\r\n")
	replace("other version", "tlog-proof@v1", "tlog-proof@v2")
	edit("byte order mark", func(s string) string { return "\ufeff" + s })
	edit("no header", func(s string) string { return strings.TrimPrefix(s, lines[0]) })
	edit("no index", func(s string) string { return strings.Replace(s, lines[1], "", 1) })
	replace("extra line", "index 6\n", "extra YWJj\nindex 6\n")
	replace("index with a zero in front", "index 6", "index 06")
	replace("index with a sign", "index 6", "index +6")
	replace("index negative", "index 6", "index -6")
	replace("index empty", "index 6", "index ")
	replace("index in hex", "index 6", "index 0x6")
	replace("index with a space behind", "index 6", "index 6 ")
	replace("index too large", "index 6", "index 9007199254740992")
	replace("index of twenty digits", "index 6", "index 18446744073709551622")
	replace("two spaces after index", "index 6", "index  6")
	edit("hash cut", func(s string) string { return strings.Replace(s, lines[2], lines[2][:40]+"\n", 1) })
	edit("hash without padding", func(s string) string { return strings.Replace(s, lines[2], strings.TrimRight(lines[2], "=\n")+"\n", 1) })
	edit("hash of 31 bytes", func(s string) string {
		return strings.Replace(s, lines[2], base64.StdEncoding.EncodeToString(make([]byte, 31))+"\n", 1)
	})
	edit("hash of 33 bytes", func(s string) string {
		return strings.Replace(s, lines[2], base64.StdEncoding.EncodeToString(make([]byte, 33))+"\n", 1)
	})
	edit("hash with loose bits", func(s string) string { return strings.Replace(s, lines[2], loosen(lines[2]), 1) })
	edit("hash in the url alphabet", func(s string) string { return strings.Replace(s, lines[2], "-"+lines[2][1:], 1) })
	edit("hash with a space behind", func(s string) string {
		return strings.Replace(s, lines[2], strings.TrimSuffix(lines[2], "\n")+" \n", 1)
	})
	edit("64 hashes", func(s string) string { return strings.Replace(s, lines[2], strings.Repeat(lines[2], 64-3), 1) })
	edit("no empty line before the checkpoint", func(s string) string { return strings.Replace(s, "\n\n", "\n", 1) })
	edit("two empty lines before the checkpoint", func(s string) string { return strings.Replace(s, "\n\n", "\n\n\n", 1) })
	edit("no empty line before the signatures", func(s string) string {
		at := strings.LastIndex(s, "\n\n")
		return s[:at] + s[at+1:]
	})
	replace("extension line", "\n\n— ", "\nextension\n\n— ")
	replace("size with a zero in front", "\n11\n", "\n011\n")
	replace("size negative", "\n11\n", "\n-11\n")
	replace("size too large", "\n11\n", "\n9007199254740992\n")
	replace("origin with a space", "\n\ncountersign.log/vectors\n", "\n\ncountersign.log vectors\n")
	replace("origin empty", "\n\ncountersign.log/vectors\n", "\n\n\n")
	replace("origin with a plus", "\n\ncountersign.log/vectors\n", "\n\ncountersign.log+vectors\n")
	replace("origin not ascii", "\n\ncountersign.log/vectors\n", "\n\ncountersign.log/v\u00e9ctors\n")
	replace("origin too long", "\n\ncountersign.log/vectors\n", "\n\n"+strings.Repeat("o", 129)+"\n")
	root := encodeBase64(m.sample().Checkpoint.Root[:])
	replace("root with loose bits", root, strings.TrimSuffix(loosen(root+"\n"), "\n"))
	replace("root cut", root, root[:20])
	edit("no last newline", func(s string) string { return strings.TrimSuffix(s, "\n") })
	edit("empty line behind", func(s string) string { return s + "\n" })
	edit("text behind", func(s string) string { return s + "and more\n" })
	edit("no signatures", func(s string) string { return s[:strings.Index(s, "— ")] })
	replace("hyphen instead of a dash", "— ", "- ")
	replace("dash without a space", "— countersign", "—countersign")
	replace("two spaces after the dash", "— ", "—  ")
	replace("signature base64 without padding", lines[len(lines)-4], strings.TrimRight(lines[len(lines)-4], "=\n")+"\n")
	replace("signature base64 with a letter too many", lines[len(lines)-4], strings.TrimSuffix(lines[len(lines)-4], "\n")+"A\n")
	replace("signature of a key id alone", lines[len(lines)-4], "— countersign.log/vectors AAAAAA==\n")
	replace("signature line of a name alone", lines[len(lines)-4], "— countersign.log/vectors\n")
	replace("signature line of three parts", lines[len(lines)-4], strings.TrimSuffix(lines[len(lines)-4], "\n")+" x\n")
	edit("33 signature lines", func(s string) string { return s + strings.Repeat("— s AAAAAAAA\n", 30) })
	edit("not utf-8", func(s string) string { return strings.Replace(s, "— ", "\xe2\x80 ", 1) })
	edit("zero byte", func(s string) string { return strings.Replace(s, "index 6", "index 6\x00", 1) })
	m.add("too large", ClassTooLarge, 0, []byte(text+strings.Repeat("\n", MaxProof)))
}

// loosen changes bits that base64 ignores, in a line of 32 bytes.
func loosen(line string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.IndexByte(line, '=') - 1
	return line[:at] + string(alphabet[strings.IndexByte(alphabet, line[at])|1]) + line[at+1:]
}

func (m *vectorMaker) badSignatures() {
	other := testKey(m.t, LogKey, m.log.Name, 99)
	by := func(k SecretKey) []byte {
		return m.tree.prove(vectorLeaf, Sign(k, vectorSize, m.tree.root(vectorSize))).Encode()
	}
	m.add("signature by another key", ClassSignature, 0, by(other))
	p := m.sample()
	p.Checkpoint.Signatures = Sign(other, vectorSize, p.Checkpoint.Root).Signatures
	p.Checkpoint.Signatures[0].ID = m.log.ID
	m.add("signature by another key under the log's id", ClassSignature, 0, p.Encode())
	m.add("origin of another log", ClassSignature, 0, by(testKey(m.t, LogKey, "countersign.log/other", 1)))
	p = m.sample()
	p.Checkpoint.Origin = "countersign.log/other"
	m.add("origin changed under the signature", ClassSignature, 0, p.Encode())
	p = m.sample()
	p.Checkpoint.Size++
	m.add("size changed under the signature", ClassSignature, 0, p.Encode())
	p = m.sample()
	p.Checkpoint.Root[0] ^= 1
	m.add("root changed under the signature", ClassSignature, 0, p.Encode())
	p = m.sample()
	p.Checkpoint.Signatures[0].Bytes[7] ^= 1
	m.add("signature changed", ClassSignature, 0, p.Encode())
	p = m.sample()
	p.Checkpoint.Signatures[0].Bytes = p.Checkpoint.Signatures[0].Bytes[:63]
	m.add("signature cut", ClassSignature, 0, p.Encode())
	p = m.sample()
	p.Checkpoint.Signatures[0].ID++
	m.add("signature under another id", ClassSignature, 0, p.Encode())
	p = m.sample()
	p.Checkpoint.Signatures[0].Name = "countersign.log/other"
	m.add("signature under another name", ClassSignature, 0, p.Encode())
	p = m.sample()
	bad := p.Checkpoint.Signatures[0]
	bad.Bytes = make([]byte, 64)
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, bad)
	m.add("signature good and another by the same key bad", ClassSignature, 0, p.Encode())
	p = m.sample(0, 1, 2)
	p.Checkpoint.Signatures = p.Checkpoint.Signatures[1:]
	m.add("signature by witnesses alone", ClassSignature, 0, p.Encode())
	p = m.sample()
	asLog := SecretKey{newVKey(WitnessKey, m.log.Name, m.log.key[:]), m.log.private}
	p.Checkpoint.Signatures = []Signature{Cosign(asLog, p.Checkpoint, vectorTime)}
	p.Checkpoint.Signatures[0].ID = m.log.ID
	m.add("signature that is a cosignature by the log key", ClassSignature, 0, p.Encode())
}

func (m *vectorMaker) badInclusion() {
	m.add("inclusion of another statement", ClassInclusion, 0, m.sample().Encode(), of(7))
	m.add("inclusion of another signature file", ClassInclusion, 0, m.sample().Encode(), func(v *vector) { v.Signature = append(v.Signature, '\n') })
	m.add("inclusion with a byte moved to the signature", ClassInclusion, 0, m.sample().Encode(), func(v *vector) {
		n := len(v.Statement) - 1
		v.Signature = append([]byte{v.Statement[n]}, v.Signature...)
		v.Statement = v.Statement[:n]
	})
	change := func(name string, f func(*Proof)) {
		p := m.sample(0, 1, 2)
		f(p)
		m.add("inclusion "+name, ClassInclusion, 2, p.Encode())
	}
	change("path cut at the end", func(p *Proof) { p.Path = p.Path[:len(p.Path)-1] })
	change("path cut at the start", func(p *Proof) { p.Path = p.Path[1:] })
	change("path empty", func(p *Proof) { p.Path = nil })
	change("path with a hash more", func(p *Proof) { p.Path = append(p.Path, tlog.Hash{}) })
	change("path with 63 hashes", func(p *Proof) { p.Path = append(p.Path, make([]tlog.Hash, 63-len(p.Path))...) })
	change("path in reverse", func(p *Proof) { p.Path[0], p.Path[1] = p.Path[1], p.Path[0] })
	change("path with a bit changed", func(p *Proof) { p.Path[1][31] ^= 0x80 })
	change("of another leaf", func(p *Proof) { p.Index = 5; p.Path = m.tree.prove(5, p.Checkpoint).Path })
	change("index changed", func(p *Proof) { p.Index = 7 })
	change("index is the size", func(p *Proof) { p.Index = vectorSize })
	change("index far beyond", func(p *Proof) { p.Index = canon.MaxInteger })
	empty := Sign(m.log, 0, m.tree.root(0))
	m.add("inclusion in an empty log", ClassInclusion, 0, (&Proof{0, nil, empty}).Encode(), of(0))
	p := m.sample()
	p.Checkpoint = m.checkpoint(12)
	m.add("inclusion under a checkpoint of another size", ClassInclusion, 0, p.Encode())
	// A node in the place of a leaf: the second preimage that the leaf prefix is there for.
	left, right := tlog.RecordHash(mustEntry(m.t, 0)), tlog.RecordHash(mustEntry(m.t, 1))
	node := Sign(m.log, 1, m.tree.root(2))
	m.add("inclusion of a node as an entry", ClassInclusion, 0, (&Proof{0, nil, node}).Encode(), func(v *vector) {
		body := append(append([]byte{}, left[:]...), right[:]...)
		n := int(binary.BigEndian.Uint16(body))
		v.Statement, v.Signature = body[2:min(len(body), 2+n)], body[min(len(body), 2+n):]
	})
}

func mustEntry(t testing.TB, i int64) []byte {
	entry, err := Entry(statement(i))
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func (m *vectorMaker) badWitnesses() {
	refused := func(name string, quorum int, p *Proof) { m.add("witness "+name, ClassWitness, quorum, p.Encode()) }
	refused("none of one", 1, m.sample())
	refused("one of two", 2, m.sample(1))
	refused("two of three", 3, m.sample(1, 2))
	refused("the same line twice", 2, m.sample(1, 1))
	p := m.sample(1)
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, Cosign(m.witnesses[1], p.Checkpoint, vectorTime))
	refused("the same at two times", 2, p)
	p = m.sample(0)
	p.Checkpoint.Signatures[1].ID ^= 1
	refused("key id does not match", 1, p)
	p = m.sample(0)
	p.Checkpoint.Signatures[1].Name = m.witnesses[1].Name
	refused("name does not match", 1, p)
	p = m.sample()
	impostor := testKey(m.t, WitnessKey, m.witnesses[0].Name, 98)
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, Cosign(impostor, p.Checkpoint, vectorTime))
	refused("of the right name with another key", 1, p)
	p.Checkpoint.Signatures[1].ID = m.witnesses[0].ID
	refused("with another key under the id", 0, p)
	p = m.sample()
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, Cosign(m.witnesses[0], p.Checkpoint, vectorTime.Add(MaxAhead+time.Second)))
	refused("ten minutes and a second ahead", 1, p)
	p.Checkpoint.Signatures[1] = Cosign(m.witnesses[0], p.Checkpoint, time.Unix(1<<62, 0))
	refused("in the far future", 1, p)
	p.Checkpoint.Signatures[1] = Cosign(m.witnesses[0], p.Checkpoint, time.Unix(-5, 0))
	refused("time beyond 2 to the 63", 0, p)
	p = m.sample(0)
	p.Checkpoint.Signatures[1].Bytes[7]++
	refused("time changed", 0, p)
	p = m.sample(0)
	p.Checkpoint.Signatures[1].Bytes = p.Checkpoint.Signatures[1].Bytes[8:]
	refused("signature without its time", 0, p)
	p = m.sample(0, 1)
	p.Checkpoint.Signatures[2].Bytes[20] ^= 1
	refused("one good and one changed", 1, p)
	p = m.sample()
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, Cosign(m.witnesses[0], m.checkpoint(12), vectorTime))
	refused("of another checkpoint", 1, p)
	p = m.sample()
	plain := Sign(SecretKey{newVKey(LogKey, m.log.Name, m.witnesses[0].key[:]), m.witnesses[0].private}, p.Checkpoint.Size, p.Checkpoint.Root).Signatures[0]
	plain.Name, plain.ID = m.witnesses[0].Name, m.witnesses[0].ID
	plain.Bytes = append(make([]byte, 8), plain.Bytes...)
	p.Checkpoint.Signatures = append(p.Checkpoint.Signatures, plain)
	refused("signed as a log", 0, p)
}
