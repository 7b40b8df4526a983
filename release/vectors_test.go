package release

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/keys"
)

var update = flag.Bool("update", false, "write the vectors again")

const vectorDir = "../testdata/vectors/statement"

// vector is one case, read by Go and by TypeScript: see the folder's README.
type vector struct {
	Name      string   `json:"name"`
	Kind      string   `json:"kind"`
	Class     string   `json:"class"` // "ok" or the failure class expected
	Now       string   `json:"now"`
	Keys      []string `json:"keys"`
	Statement []byte   `json:"statement"`
	Signature []byte   `json:"signature"`
}

// TestVectors opens every vector of the folder as a worker does that trusts
// the vector's keys.
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
	if err != nil || len(files) != want {
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
	t.Logf("%d statement vectors", len(files))
}

func (v vector) run(t *testing.T) {
	at, err := time.Parse(time.RFC3339, v.Now)
	if err != nil {
		t.Fatal(err)
	}
	var trusted []keys.PublicKey
	for _, k := range v.Keys {
		key, err := keys.ParsePublicKey([]byte(k))
		if err != nil {
			t.Fatal(err)
		}
		trusted = append(trusted, key)
	}
	switch v.Kind {
	case "release":
		_, _, err = OpenPinned(v.Statement, v.Signature, trusted, at)
	case "order":
		_, _, err = OpenOrderPinned(v.Statement, v.Signature, trusted, at)
	default:
		t.Fatalf("kind %q", v.Kind)
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
		name := strings.NewReplacer(" ", "-", "^", "", ",", "").Replace(v.Name) + ".json"
		if err := os.WriteFile(filepath.Join(vectorDir, name), buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(vectorDir, "INDEX"), fmt.Appendln(nil, len(all)), 0o644); err != nil {
		t.Fatal(err)
	}
}

type builder struct {
	t   testing.TB
	key keys.SecretKey
	all []vector
}

func buildVectors(t testing.TB) []vector {
	b := &builder{t: t, key: seeded(t, 7)}
	b.accepted()
	b.signatures()
	b.encodings()
	b.bounds()
	b.expiry()
	b.orders()
	return b.all
}

// orders adds the cases in which orders differ from releases.
func (b *builder) orders() {
	order := func(name, class string, change func(*Order)) {
		o := sampleOrder(b.t)
		change(o)
		st, err := canon.Encode(o)
		if err != nil {
			b.t.Fatal(err)
		}
		b.add("order "+name, class, st, keys.Sign(b.key, st, OrderType)).Kind = "order"
	}
	text := func(name, class, old, new string) {
		st, err := canon.Encode(sampleOrder(b.t))
		if err != nil || !bytes.Contains(st, []byte(old)) {
			b.t.Fatalf("%s: %v", name, err)
		}
		st = bytes.Replace(st, []byte(old), []byte(new), 1)
		b.add("order "+name, class, st, keys.Sign(b.key, st, OrderType)).Kind = "order"
	}
	order("good", "ok", func(*Order) {})
	order("good range", "ok", func(o *Order) { o.Input = Input{Range: &Range{0, 100, 7}} })
	order("good list", "ok", func(o *Order) { o.Input = Input{List: []string{"12", "", `"a\b" ~`}} })
	order("good longest list", "ok", func(o *Order) { o.Input = Input{List: make([]string, MaxList)} })
	order("list over the cap", "too_large", func(o *Order) { o.Input = Input{List: []string{strings.Repeat("x", MaxStatement)}} })
	order("good chunks", "ok", func(o *Order) { o.Input = Input{Chunks: &Chunks{canon.Sum(nil), 5, 2}} })
	order("good largest chunks", "ok", func(o *Order) { o.Input = Input{Chunks: &Chunks{canon.Sum(nil), MaxChunkedFile, MaxChunk}} })
	order("good smallest chunks", "ok", func(o *Order) { o.Input = Input{Chunks: &Chunks{canon.Sum(nil), MaxChunkedFile, 1}} })
	order("good largest range", "ok", func(o *Order) { o.Input = Input{Range: &Range{0, canon.MaxInteger, 8192}} })
	order("good largest file", "ok", func(o *Order) {
		o.Input.Lines.Length, o.Input.Lines.Lines, o.Input.Lines.PerTask = MaxInputFile, MaxInputFile, MaxTaskInput
	})
	order("good one of one", "ok", func(o *Order) { o.Redundancy.Vote = &Vote{1, 1} })
	order("good audit", "ok", func(o *Order) { o.AuditPermille = 1000 })
	order("good deadline", "ok", func(o *Order) { o.DeadlineSeconds = 1 })
	order("good longest deadline", "ok", func(o *Order) { o.AuditPermille, o.DeadlineSeconds = 1, 86400 })
	order("good first", "ok", func(o *Order) { o.Redundancy = Redundancy{First: &First{}} })
	adaptive := func(e, c, f, s int) func(*Order) {
		return func(o *Order) { o.Redundancy = Redundancy{Adaptive: &Adaptive{e, c, f, s}} }
	}
	order("good adaptive", "ok", adaptive(1000, 100, 350, 100))
	order("good adaptive least", "ok", adaptive(1, 10, 1, 0))
	order("good adaptive most", "ok", adaptive(1_000_000, 1000, 400, 999))
	after, outputs := &After{Permille: 1000}, Input{Outputs: &Outputs{Tasks: 10, PerTask: 4}}
	order("good parameters", "ok", func(o *Order) { o.Parameters = []string{"reduce", "", `"a\b" ~`} })
	order("good most parameters", "ok", func(o *Order) { o.Parameters = slices.Repeat([]string{strings.Repeat("p", 256)}, 16) })
	order("good after", "ok", func(o *Order) { o.After = &After{Permille: 1} })
	order("good outputs", "ok", func(o *Order) { o.After, o.Input = after, outputs })
	order("good largest outputs", "ok", func(o *Order) { o.After, o.Input = after, Input{Outputs: &Outputs{MaxOutputs, MaxOutputs}} })
	for name, change := range map[string]func(*Order){
		"too long a list":         func(o *Order) { o.Input = Input{List: make([]string, MaxList+1)} },
		"list and range":          func(o *Order) { o.Input = Input{List: []string{"1"}, Range: &Range{0, 1, 1}} },
		"chunks of no bytes":      func(o *Order) { o.Input = Input{Chunks: &Chunks{canon.Sum(nil), 5, 0}} },
		"chunks of an empty file": func(o *Order) { o.Input = Input{Chunks: &Chunks{canon.Sum(nil), 0, 1}} },
		"too large chunks":        func(o *Order) { o.Input = Input{Chunks: &Chunks{canon.Sum(nil), MaxChunkedFile, MaxChunk + 1}} },
		"chunks of too much":      func(o *Order) { o.Input = Input{Chunks: &Chunks{canon.Sum(nil), MaxChunkedFile + 1, MaxChunk}} },
		"chunks and lines":        func(o *Order) { o.Input.Chunks = &Chunks{canon.Sum(nil), 5, 2} },
		"17 parameters":           func(o *Order) { o.Parameters = make([]string, 17) },
		"long parameters":         func(o *Order) { o.Parameters = []string{strings.Repeat("p", 4096), "p"} },
		"outputs of no order":     func(o *Order) { o.Input = outputs }, "outputs and range": func(o *Order) { o.After = after; o.Input = outputs; o.Input.Range = &Range{0, 1, 1} },
		"outputs of no tasks":     func(o *Order) { o.After, o.Input = after, Input{Outputs: &Outputs{0, 1}} },
		"outputs of too many":     func(o *Order) { o.After, o.Input = after, Input{Outputs: &Outputs{MaxOutputs + 1, 1}} },
		"no outputs a task":       func(o *Order) { o.After, o.Input = after, Input{Outputs: &Outputs{1, 0}} },
		"too many outputs a task": func(o *Order) { o.After, o.Input = after, Input{Outputs: &Outputs{1, MaxOutputs + 1}} },
		"after 0 permille":        func(o *Order) { o.After = &After{} }, "after 1001 permille": func(o *Order) { o.After = &After{Permille: 1001} },
		"no title": func(o *Order) { o.Title = "" }, "long title": func(o *Order) { o.Title = strings.Repeat("t", 201) },
		"no rule": func(o *Order) { o.Input = Input{} }, "two rules": func(o *Order) { o.Input.Range = &Range{0, 1, 1} },
		"empty range": func(o *Order) { o.Input = Input{Range: &Range{5, 5, 1}} }, "range backwards": func(o *Order) { o.Input = Input{Range: &Range{6, 5, 1}} },
		"step 0": func(o *Order) { o.Input = Input{Range: &Range{0, 5, 0}} }, "too many tasks": func(o *Order) { o.Input = Input{Range: &Range{0, 1<<40 + 1, 1}} },
		"no bytes": func(o *Order) { o.Input.Lines.Length = 0 }, "too many bytes": func(o *Order) { o.Input.Lines.Length = MaxInputFile + 1 },
		"no lines": func(o *Order) { o.Input.Lines.Lines = 0 }, "more lines than bytes": func(o *Order) { o.Input.Lines.Lines = o.Input.Lines.Length + 1 },
		"no lines a task": func(o *Order) { o.Input.Lines.PerTask = 0 }, "too many lines a task": func(o *Order) { o.Input.Lines.PerTask = MaxTaskInput + 1 },
		"no redundancy": func(o *Order) { o.Redundancy.Vote = nil }, "half agree": func(o *Order) { o.Redundancy.Vote = &Vote{2, 4} },
		"audit over all": func(o *Order) { o.AuditPermille = 1001 }, "audit of the first": func(o *Order) { o.AuditPermille, o.Redundancy = 1, Redundancy{First: &First{}} },
		"first and adaptive": func(o *Order) { o.Redundancy = Redundancy{First: &First{}, Adaptive: &DefaultAdaptive} },
		"all redundancies":   func(o *Order) { o.Redundancy.First, o.Redundancy.Adaptive = &First{}, &DefaultAdaptive },
		"adaptive error 0":   adaptive(0, 100, 350, 100), "adaptive error": adaptive(1_000_001, 100, 350, 100),
		"adaptive few checks": adaptive(1000, 9, 350, 100), "adaptive many checks": adaptive(1000, 1001, 350, 100),
		"adaptive none faulty": adaptive(1000, 100, 0, 100), "adaptive many faulty": adaptive(1000, 100, 401, 100),
		"adaptive all lies": adaptive(1000, 100, 350, 1000),
		"two redundancies":  func(o *Order) { o.Redundancy.First = &First{} },
		"none agree":        func(o *Order) { o.Redundancy.Vote = &Vote{0, 1} }, "more agree than vote": func(o *Order) { o.Redundancy.Vote = &Vote{3, 2} },
		"too many lanes": func(o *Order) { o.Redundancy.Vote = &Vote{17, 17} }, "complete at 0": func(o *Order) { o.CompletePermille = 0 },
		"complete at 1001": func(o *Order) { o.CompletePermille = 1001 }, "priority 10": func(o *Order) { o.Priority = 10 }, "deadline over a day": func(o *Order) { o.DeadlineSeconds = 86401 },
		"ends before it begins": func(o *Order) { o.Expires = o.NotBefore },
	} {
		order("bounds "+name, "bounds", change)
	}
	order("expired", "expiry", func(o *Order) { o.NotBefore, o.Expires = canon.TimeOf(now.Add(-time.Hour)), canon.TimeOf(now) })
	order("more than 90 days ahead", "expiry", func(o *Order) { o.Expires = canon.TimeOf(now.Add(90*24*time.Hour + time.Second)) })
	text("empty parameters", "encoding", `"redundancy": {`, `"parameters": [],`+"\n"+`  "redundancy": {`)
	text("parameter is a number", "encoding", `"redundancy": {`, `"parameters": [`+"\n    1\n"+`  ],`+"\n"+`  "redundancy": {`)
	text("null after", "encoding", `"input": {`, `"after": null,`+"\n"+`  "input": {`)
	text("empty list", "encoding", `"input": {`, `"input": {`+"\n"+`    "list": [],`)
	text("list of numbers", "encoding", `"input": {`, `"input": {`+"\n"+`    "list": [`+"\n      1\n"+`    ],`)
	text("list with a control character", "encoding", `"input": {`, `"input": {`+"\n"+`    "list": [`+"\n      \"\\t\"\n"+`    ],`)
	text("unknown rule", "encoding", `"lines": {`, `"files": {`)
	text("unknown member", "encoding", `"priority": 5`, `"priority": 5,`+"\n"+`  "urgent": 1`)
	text("negative", "encoding", `"priority": 5`, `"priority": -5`)
	text("float", "encoding", `"agree": 2`, `"agree": 2.0`)
	text("unknown redundancy", "encoding", `"vote": {`, `"none": {`)
	text("adaptive without a member", "encoding", `"vote": {`, `"adaptive": {`)
	text("audit 0", "encoding", `"complete_permille": `, `"audit_permille": 0,`+"\n"+`  "complete_permille": `)
	text("deadline 0", "encoding", `"priority": 5`, `"priority": 5,`+"\n"+`  "deadline_seconds": 0`)
	text("deadline too early", "encoding", `"priority": 5`, `"deadline_seconds": 5,`+"\n"+`  "priority": 5`)
	text("null deadline", "encoding", `"priority": 5`, `"priority": 5,`+"\n"+`  "deadline_seconds": null`)
	text("null audit", "encoding", `"complete_permille": `, `"audit_permille": null,`+"\n"+`  "complete_permille": `)
	text("first with a member", "encoding", `"vote": {`, `"first": {`)
	text("of another type", "encoding", OrderType, Type)
	text("null rule", "encoding", `"redundancy": {`, `"redundancy": null, "x": {`)
	slices.SortFunc(b.all, func(x, y vector) int { return strings.Compare(x.Name, y.Name) })
}

func (b *builder) add(name, class string, statement, signature []byte) *vector {
	b.all = append(b.all, vector{Name: name, Kind: "release", Class: class, Now: canon.TimeOf(now).String(),
		Keys: []string{b.key.Public().String()}, Statement: statement, Signature: signature})
	return &b.all[len(b.all)-1]
}

func (b *builder) signed(r *Release) (st, sig []byte) {
	st, err := canon.Encode(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return st, keys.Sign(b.key, st, comment(Type, r.Name, r.Version))
}

func (b *builder) accepted() {
	st, sig := b.signed(sampleRelease())
	b.add("good", "ok", st, sig)
	b.add("good no last newline in signature", "ok", st, bytes.TrimSuffix(sig, []byte("\n")))
	other := seeded(b.t, 8).Public().String()
	v := b.add("good second of two keys", "ok", st, sig)
	v.Keys = []string{other, v.Keys[0]}
	r := sampleRelease()
	r.Purpose = `Says "a\b" & <c> to 100%, $1 'x' ~`
	st, sig = b.signed(r)
	b.add("good odd text", "ok", st, sig)
	r = sampleRelease()
	r.Limits.TaskFuel = canon.MaxInteger
	r.Limits.OutputBytes = 0
	st, sig = b.signed(r)
	b.add("good extreme limits", "ok", st, sig)
	st, _ = b.signed(sampleRelease())
	b.add("good comment with tab and bytes over 127", "ok", st,
		keys.Sign(b.key, st, "timestamp:1\u00e9 file\u2713"))
}

func (b *builder) signatures() {
	st, sig := b.signed(sampleRelease())
	text := string(sig)
	lines := strings.Split(text, "\n")
	sub := func(name, class, old, new string) {
		if !strings.Contains(text, old) {
			b.t.Fatalf("%s: no %q", name, old)
		}
		b.add(name, class, st, []byte(strings.Replace(text, old, new, 1)))
	}
	b.add("statement altered", "signature_invalid", bytes.Replace(st, []byte(`"version": 3`), []byte(`"version": 4`), 1), sig)
	sub("comment altered", "signature_invalid", "version 3", "version 4")
	b.add("signature of another statement", "signature_invalid", st, keys.Sign(b.key, []byte("x"), "x"))
	b.add("signature empty", "signature_malformed", st, nil)
	b.add("signature with carriage returns", "signature_malformed", st, []byte(strings.ReplaceAll(text, "\n", "\r\n")))
	sub("signature with a carriage return in its trusted comment", "signature_malformed", "\ntrusted comment: ", "\ntrusted comment: \r")
	b.add("signature with a fifth line", "signature_malformed", st, append(bytes.Clone(sig), "more\n"...))
	b.add("signature with two last newlines", "signature_malformed", st, append(bytes.Clone(sig), '\n'))
	sub("signature without untrusted comment", "signature_malformed", "untrusted comment: ", "")
	sub("signature without trusted comment", "signature_malformed", "\ntrusted comment: ", "\ncomment: ")
	sub("signature base64 with a space", "signature_malformed", lines[1][:8], lines[1][:8]+" ")
	sub("signature base64 short", "signature_malformed", lines[1], lines[1][:96])
	sub("signature base64 url alphabet", "signature_malformed", lines[3], strings.Repeat("-", 86)+"==")
	sub("comment signature base64 not canonical", "signature_malformed", lines[3], trailingBits(lines[3]))
	sub("signature algorithm unknown", "signature_malformed", lines[1][:3], base64.StdEncoding.EncodeToString([]byte("EX0"))[:3])
	b.add("signature too large", "too_large", st, bytes.Repeat([]byte("a"), keys.MaxSignature+1))
	b.add("statement too large", "too_large", bytes.Repeat([]byte(" "), MaxStatement+1), sig)
	b.add("signature by an unknown key", "signature_unknown_key", st, keys.Sign(seeded(b.t, 8), st, "x"))
	b.add("signature by another key under a trusted id", "signature_invalid", st, relabel(b.t, keys.Sign(seeded(b.t, 8), st, "x"), lines[1]))
	b.legacy(st)
}

// legacy adds signatures with the algorithm Ed, over the bytes and over their
// digest, which some verifiers take for the same.
func (b *builder) legacy(st []byte) {
	sig := keys.Sign(b.key, st, "legacy")
	lines := strings.Split(string(sig), "\n")
	raw, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil {
		b.t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(raw, minisign.EdDSA)
	lines[1] = base64.StdEncoding.EncodeToString(raw)
	b.add("signature legacy over the digest", "signature_legacy", st, []byte(strings.Join(lines, "\n")))
}

func trailingBits(line string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.TrimRight(line, "=")
	i := strings.IndexByte(alphabet, last[len(last)-1])
	return last[:len(last)-1] + string(alphabet[i|1]) + line[len(last):]
}

// relabel puts the key id of the signature line like into sig.
func relabel(t testing.TB, sig []byte, like string) []byte {
	lines := strings.Split(string(sig), "\n")
	raw, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	id, err := base64.StdEncoding.DecodeString(like)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[2:10], id[2:10])
	lines[1] = base64.StdEncoding.EncodeToString(raw)
	return []byte(strings.Join(lines, "\n"))
}

func (b *builder) encodings() {
	good, err := sampleRelease().Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	text := string(good)
	raw := func(name, statement string) {
		if statement == text {
			b.t.Fatalf("%s: unchanged", name)
		}
		b.add("encoding "+name, "encoding", []byte(statement), keys.Sign(b.key, []byte(statement), "x"))
	}
	sub := func(name, old, new string) { raw(name, strings.Replace(text, old, new, 1)) }
	sub("unknown member", `"version": 3`, "\"more\": 1,\n  \"version\": 3")
	sub("duplicate member", `"version": 3`, "\"version\": 3,\n  \"version\": 3")
	sub("missing member", "  \"version\": 3,\n", "")
	sub("member in other case", `"version"`, `"Version"`)
	sub("members swapped", "  \"abi\": \"countersign/1\",\n  \"cost_table\": \"v1\",\n", "  \"cost_table\": \"v1\",\n  \"abi\": \"countersign/1\",\n")
	sub("type not first", "  \"type\": \"countersign.release/v1\",\n  \"name\": \"ada/factor\",\n", "  \"name\": \"ada/factor\",\n  \"type\": \"countersign.release/v1\",\n")
	sub("type of an order", "release/v1", "order/v1")
	sub("type of another version", "release/v1", "release/v2")
	sub("escaped slash", "ada/factor", `ada\/factor`)
	sub("escaped letter", "ada/factor", `\u0061da/factor`)
	sub("escaped angle bracket", "Factors", `\u003cFactors`)
	sub("escaped newline", "Factors", `\n`)
	sub("look-alike letter", "ada/factor", "\u0430da/factor")
	sub("not UTF-8", "Factors", "\xff\xfe")
	sub("control character", "Factors", "\x7f")
	sub("float", `"version": 3`, `"version": 3.0`)
	sub("exponent", `"version": 3`, `"version": 3e0`)
	sub("negative", `"version": 3`, `"version": -3`)
	sub("minus zero", `"output_bytes": 65536`, `"output_bytes": -0`)
	sub("leading zero", `"version": 3`, `"version": 03`)
	sub("number as text", `"version": 3`, `"version": "3"`)
	sub("text as number", `"abi": "countersign/1"`, `"abi": 1`)
	sub("null", `"version": 3`, `"version": null`)
	sub("2^53", `"task_fuel": 1000000000`, `"task_fuel": 9007199254740992`)
	sub("2^53 plus 1", `"task_fuel": 1000000000`, `"task_fuel": 9007199254740993`)
	sub("array for an object", `"version": 3`, `"version": []`)
	sub("digest in upper case", sampleRelease().ModuleSHA256.String(), strings.ToUpper(sampleRelease().ModuleSHA256.String()))
	sub("digest short", sampleRelease().ModuleSHA256.String(), sampleRelease().ModuleSHA256.String()[:62])
	sub("digest not hex", sampleRelease().ModuleSHA256.String(), strings.Repeat("g", 64))
	sub("time with offset", "12:00:00Z", "12:00:00+00:00")
	sub("time with fraction", "12:00:00Z", "12:00:00.0Z")
	sub("time that is none", "2026-12-31", "2026-02-30")
	sub("time of hour 24", "T12:", "T24:")
	sub("time with a leap second", "12:00:00Z", "12:00:60Z")
	sub("time before 2000", "2026-12-31", "1999-12-31")
	raw("compact", compact(b.t, good))
	raw("byte order mark", "\ufeff"+text)
	raw("trailing space", text+" ")
	raw("trailing object", text+text)
	raw("no last newline", strings.TrimSuffix(text, "\n"))
	raw("tabs", strings.ReplaceAll(text, "  ", "\t"))
	raw("carriage returns", strings.ReplaceAll(text, "\n", "\r\n"))
	raw("empty", "")
	raw("not an object", "[]\n")
	raw("cut short", text[:len(text)/2])
	raw("deep nesting", strings.Repeat("[", 16000))
}

func compact(t testing.TB, data []byte) string {
	var buf bytes.Buffer
	if err := json.Compact(&buf, data); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func (b *builder) bounds() {
	for _, name := range sortedKeys(releaseOutOfBounds) {
		r := sampleRelease()
		releaseOutOfBounds[name](r)
		st, sig := b.signed(r)
		b.add("bounds "+name, "bounds", st, sig)
	}
}

func (b *builder) expiry() {
	at := func(name, class string, expires time.Time) {
		r := sampleRelease()
		r.Expires = canon.TimeOf(expires)
		st, sig := b.signed(r)
		b.add("expiry "+name, class, st, sig)
	}
	at("now", "expiry", now)
	at("a second ago", "expiry", now.Add(-time.Second))
	at("in a second", "ok", now.Add(time.Second))
	at("in 90 days", "ok", now.Add(MaxAge))
	at("in 90 days and a second", "expiry", now.Add(MaxAge+time.Second))
	at("in the year 9999", "expiry", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
