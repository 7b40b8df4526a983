package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/canon"
)

var update = flag.Bool("update", false, "write the vectors again")

const vectorDir = "../../testdata/vectors/wire"

// vector is one file; testdata/vectors/wire/README.md says what is what.
type vector struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Class     string `json:"class"`
	Message   string `json:"message,omitempty"`
	Seed      string `json:"seed,omitempty"`
	Worker    string `json:"worker,omitempty"`
	Signature string `json:"signature,omitempty"`
	Hub       string `json:"hub,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
	Statement string `json:"statement,omitempty"`
}

func TestVectors(t *testing.T) {
	made := makeVectors(t)
	if *update {
		writeVectors(t, made)
	}
	index, err := os.ReadFile(filepath.Join(vectorDir, "INDEX"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%d\n", len(files)) != string(index) || len(files) != len(made) {
		t.Fatalf("%d files, INDEX says %q, %d are made", len(files), index, len(made))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, made[filepath.Base(file)]) {
			t.Errorf("%s is not what -update writes", file)
		}
		var v vector
		if err := json.Unmarshal(data, &v); err != nil {
			t.Fatal(err)
		}
		if got := classOf(v.open(t)); got != v.Class {
			t.Errorf("%s: class %q, want %q", v.Name, got, v.Class)
		}
	}
}

func classOf(err error) string {
	if err == nil {
		return "ok"
	}
	return canon.ClassOf(err)
}

func (v *vector) open(t *testing.T) error {
	switch v.Kind {
	case "to_worker":
		m, err := DecodeFromHub([]byte(v.Message))
		return v.same(t, m, err)
	case "to_hub":
		m, err := DecodeFromWorker([]byte(v.Message))
		return v.same(t, m, err)
	case "vote":
		return v.openVote(t)
	case "join":
		m, err := DecodeFromWorker([]byte(v.Message))
		if err != nil {
			return err
		}
		hello := &Hello{}
		copy(hello.Hub[:], unhex(t, v.Hub))
		copy(hello.Nonce[:], unhex(t, v.Nonce))
		return VerifyJoin(hello, m.(*Join))
	}
	t.Fatalf("%s: kind %q", v.Name, v.Kind)
	return nil
}

// same checks that a good message is written as it was read.
func (v *vector) same(t *testing.T, m Message, err error) error {
	if err != nil {
		return err
	}
	data, err := Encode(m)
	if v.Name != "to_hub spaced" && v.Name != "to_worker reordered" && string(data) != v.Message {
		t.Errorf("%s: written as %s", v.Name, data)
	}
	return err
}

func (v *vector) openVote(t *testing.T) error {
	vote, err := ParseVote([]byte(v.Statement))
	if err != nil {
		return err
	}
	worker, err := ParseKey(v.Worker)
	if err != nil {
		t.Fatal(err)
	}
	if v.Class == "ok" {
		sig, err := SignVote(vote, ed25519.NewKeyFromSeed(unhex(t, v.Seed)))
		if err != nil || hex.EncodeToString(sig[:]) != v.Signature {
			t.Errorf("%s: signed as %x (%v)", v.Name, sig, err)
		}
	}
	return VerifyVote(vote, worker, Signature(unhex(t, v.Signature)))
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func makeVectors(t *testing.T) map[string][]byte {
	var all []vector
	add := func(v vector) { all = append(all, v) }
	for _, m := range samples(t) {
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		kind := "to_hub"
		if _, ok := m.(FromHub); ok {
			kind = "to_worker"
		}
		name := kind + " " + m.kind()
		if k, ok := m.(*Kill); ok {
			name += " " + string(k.Scope)
		}
		add(vector{Name: name, Kind: kind, Class: "ok", Message: string(data)})
	}
	for name, message := range badMessages(t) {
		kind, _, _ := strings.Cut(name, " ")
		add(vector{Name: name, Kind: kind, Class: CodeMessage, Message: message})
	}
	add(vector{Name: "to_hub spaced", Kind: "to_hub", Class: "ok", Message: "\n{ \"leases\" : 3 ,\t\"type\": \"want\" }\r\n"})
	add(vector{Name: "to_worker reordered", Kind: "to_worker", Class: "ok", Message: `{"halted":false,"type":"welcome"}`})
	all = append(all, voteVectors(t)...)
	all = append(all, joinVectors(t)...)
	made := map[string][]byte{}
	for _, v := range all {
		data, err := canon.Encode(&v)
		if err != nil { // a bad message may have bytes that canon refuses
			data, err = json.MarshalIndent(&v, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			data = append(data, '\n')
		}
		file := strings.NewReplacer(" ", "-", "_", "-").Replace(v.Name) + ".json"
		if made[file] != nil {
			t.Fatalf("two vectors are named %q", v.Name)
		}
		made[file] = data
	}
	return made
}

// badMessages spoils good ones. Cases that a reader built on a lax JSON parser
// cannot see (duplicates, escapes) are in the direction to the hub only.
func badMessages(t *testing.T) map[string]string {
	good := map[string]string{}
	for _, m := range samples(t) {
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		good[m.kind()] = string(data)
	}
	swap := func(kind, old, new string) string {
		if !strings.Contains(good[kind], old) {
			t.Fatalf("sample %s has no %q", kind, old)
		}
		return strings.Replace(good[kind], old, new, 1)
	}
	id := testID.String()
	return map[string]string{
		"to_worker empty":             "",
		"to_worker null":              "null",
		"to_worker array":             `["idle"]`,
		"to_worker no type":           `{}`,
		"to_worker type number":       `{"type":1}`,
		"to_worker unknown type":      `{"type":"lend"}`,
		"to_worker prototype type":    `{"type":"constructor"}`,
		"to_worker wrong direction":   good["want"],
		"to_worker trailing":          good["idle"] + "{}",
		"to_worker unknown member":    `{"type":"idle","more":1}`,
		"to_worker proto member":      `{"type":"idle","__proto__":1}`,
		"to_worker missing member":    `{"type":"welcome"}`,
		"to_worker null member":       `{"type":"welcome","halted":null}`,
		"to_worker cased member":      `{"type":"welcome","Halted":true}`,
		"to_worker bool as number":    `{"type":"welcome","halted":1}`,
		"to_worker bool as text":      `{"type":"welcome","halted":"true"}`,
		"to_worker upper case hex":    swap("ack", id, strings.ToUpper(id)),
		"to_worker short hex":         swap("ack", id, id[2:]),
		"to_worker hex that is none":  swap("ack", id, "zz"+id[2:]),
		"to_worker verdict":           swap("ack", "pending", "won"),
		"to_worker negative task":     swap("lease", fmt.Sprint(MaxTask), "-1"),
		"to_worker fraction task":     swap("lease", fmt.Sprint(MaxTask), "1.5"),
		"to_worker large task":        swap("lease", fmt.Sprint(MaxTask), fmt.Sprint(MaxTask+1)),
		"to_worker huge task":         swap("lease", fmt.Sprint(MaxTask), "18446744073709551616"),
		"to_worker text task":         swap("lease", fmt.Sprint(MaxTask), `"1"`),
		"to_worker lane":              swap("lease", `"lane":2`, `"lane":256`),
		"to_worker seconds zero":      swap("lease", `"seconds":90`, `"seconds":0`),
		"to_worker seconds large":     swap("lease", `"seconds":90`, `"seconds":1048577`),
		"to_worker base64 unpadded":   swap("lease", `"MTIK"`, `"MTI"`),
		"to_worker base64 url":        swap("lease", `"MTIK"`, `"MT-_"`),
		"to_worker base64 loose bits": swap("lease", `"MTIK"`, `"MTJ="`),
		"to_worker base64 newline":    swap("lease", `"MTIK"`, `"MT\nIK"`),
		"to_worker token space":       swap("lease", "a.b.c", "a b"),
		"to_worker token empty":       swap("lease", "a.b.c", ""),
		"to_worker token long":        swap("lease", "a.b.c", strings.Repeat("a", MaxToken+1)),
		"to_worker kill scope":        `{"type":"kill","scope":"world","target":"","reason":""}`,
		"to_worker kill all target":   `{"type":"kill","scope":"all","target":"` + id + `","reason":""}`,
		"to_worker kill order empty":  `{"type":"kill","scope":"order","target":"","reason":""}`,
		"to_worker kill order id":     `{"type":"kill","scope":"order","target":"` + id + `","reason":""}`,
		"to_worker kill reason long":  `{"type":"kill","scope":"all","target":"","reason":"` + strings.Repeat("x", MaxReason+1) + `"}`,
		"to_worker error code empty":  `{"type":"error","code":"","message":""}`,
		"to_worker error not ascii":   `{"type":"error","code":"slow","message":"caf` + "\u00e9" + `"}`,
		"to_worker error control":     `{"type":"error","code":"slow","message":"a\u0007"}`,
		"to_hub duplicate member":     `{"type":"want","leases":1,"leases":2}`,
		"to_hub escaped text":         swap("join", "test/1", `\u0074est/1`),
		"to_hub escaped slash":        swap("join", "test/1", `test\/1`),
		"to_hub exponent":             `{"type":"want","leases":1e1}`,
		"to_hub leading zero":         `{"type":"want","leases":01}`,
		"to_hub minus zero":           `{"type":"want","leases":-0}`,
		"to_hub want too many":        `{"type":"want","leases":65}`,
		"to_hub wrong direction":      good["idle"],
		"to_hub agent empty":          swap("join", "test/1", ""),
		"to_hub agent long":           swap("join", "test/1", strings.Repeat("a", MaxAgent+1)),
		"to_hub permille":             swap("progress", `"permille":1000`, `"permille":1001`),
		"to_hub progress text long":   swap("progress", "halfway", strings.Repeat("a", MaxText+1)),
		"to_hub fuel over 2 53":       swap("progress", fmt.Sprint(canon.MaxInteger), fmt.Sprint(canon.MaxInteger+1)),
		"to_hub return reason":        swap("return", `"refused"`, `"bored"`),
		"to_hub return check":         swap("return", "module_sha256", "Module"),
		"to_hub vote text":            swap("result", `"vote":{`, `"vote":"{`),
		"to_hub vote nested":          swap("result", `"code":0`, `"code":{}`),
		"to_hub vote unknown member":  swap("result", `"code":0`, `"code":0,"more":0`),
		"to_hub vote type":            swap("result", VoteType, "countersign.vote/v2"),
		"to_hub vote end":             swap("result", `"exit"`, `"deadline"`),
		"to_hub vote code of a trap":  strings.Replace(swap("result", `"exit"`, `"trap"`), `"code":0`, `"code":1`, 1),
		"to_hub vote code large":      swap("result", `"code":0`, `"code":4294967296`),
	}
}

func voteVectors(t *testing.T) (all []vector) {
	add := func(name, class string, edit func(*Vote), spoil func(statement string) string) {
		v := testVote()
		if edit != nil {
			edit(v)
		}
		statement, err := v.Statement()
		if err != nil {
			t.Fatal(err)
		}
		sig := ed25519.Sign(testWorker, statement)
		if spoil != nil {
			statement = []byte(spoil(string(statement)))
		}
		all = append(all, vector{Name: "vote " + name, Kind: "vote", Class: class, Seed: hex.EncodeToString(testWorker.Seed()),
			Worker: hex.EncodeToString(testWorker.Public().(ed25519.PublicKey)), Statement: string(statement), Signature: hex.EncodeToString(sig)})
	}
	swap := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("vote has no %q", old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	add("exit", "ok", nil, nil)
	add("exit code", "ok", func(v *Vote) { v.Code = 1<<32 - 1 }, nil)
	add("trap", "ok", func(v *Vote) { v.End = EndTrap }, nil)
	add("fuel", "ok", func(v *Vote) { v.End, v.Fuel = EndFuel, canon.MaxInteger }, nil)
	add("output", "ok", func(v *Vote) { v.End, v.Task, v.Lane = EndOutput, MaxTask, MaxLane }, nil)
	add("altered", CodeVoteSignature, nil, swap("4711", "4712"))
	add("compact", "encoding", nil, func(s string) string { return strings.ReplaceAll(s, "\n  ", "") })
	add("unknown member", "encoding", nil, swap(`"code": 0,`, "\"code\": 0,\n  \"more\": 0,"))
	add("end", "bounds", nil, swap("exit", "fault"))
	return all
}

func joinVectors(t *testing.T) (all []vector) {
	add := func(name, class string, hello *Hello) {
		data, err := Encode(SignJoin(testHello(), testWorker, "test/1"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, vector{Name: "join " + name, Kind: "join", Class: class, Seed: hex.EncodeToString(testWorker.Seed()),
			Hub: hello.Hub.String(), Nonce: hex.EncodeToString(hello.Nonce[:]), Message: string(data)})
	}
	add("good", "ok", testHello())
	other := testHello()
	other.Nonce[5]++
	add("other nonce", CodeJoinSignature, other)
	other = testHello()
	other.Hub[5]++
	add("other hub", CodeJoinSignature, other)
	return all
}

func writeVectors(t *testing.T, made map[string][]byte) {
	old, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	made["INDEX"] = fmt.Appendf(nil, "%d\n", len(made))
	defer delete(made, "INDEX")
	for file, data := range made {
		if err := os.WriteFile(filepath.Join(vectorDir, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
