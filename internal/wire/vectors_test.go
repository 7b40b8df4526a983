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
		t.Run(v.Name, func(t *testing.T) {
			if got := classOf(v.open(t)); got != v.Class {
				t.Errorf("class %q, want %q", got, v.Class)
			}
		})
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
		all, err := DecodeFromHub([]byte(v.Message))
		return same(t, v, all, err)
	case "to_hub":
		all, err := DecodeFromWorker([]byte(v.Message))
		return same(t, v, all, err)
	case "vote":
		return v.openVote(t)
	case "sheet":
		return v.openSheet(t)
	case "checkpoint":
		return v.openCheckpoint(t)
	case "refutation":
		return v.openRefutation(t)
	case "file":
		return v.openFile(t)
	case "join":
		all, err := DecodeFromWorker([]byte(v.Message))
		if err != nil {
			return err
		}
		hello := &Hello{}
		copy(hello.Hub[:], unhex(t, v.Hub))
		copy(hello.Nonce[:], unhex(t, v.Nonce))
		return VerifyJoin(hello, all[0].(*Join))
	}
	t.Fatalf("%s: kind %q", v.Name, v.Kind)
	return nil
}

// same checks that a good frame is written as it was read.
func same[M Message](t *testing.T, v *vector, all []M, err error) error {
	if err != nil {
		return err
	}
	data, err := Frame(all...)
	if err != nil {
		return err
	}
	if v.Name != "to_hub spaced" && v.Name != "to_worker reordered" && v.Name != "to_worker leases of one token" && string(data) != v.Message {
		t.Errorf("%s: written as %s", v.Name, data)
	}
	return nil
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
		seal, err := SignVote(vote, ed25519.NewKeyFromSeed(unhex(t, v.Seed)))
		if err != nil || hex.EncodeToString(seal.Signature[:]) != v.Signature {
			t.Errorf("%s: signed as %x (%v)", v.Name, seal.Signature, err)
		}
	}
	return VerifyVote(vote, worker, Seal{Signature: Signature(unhex(t, v.Signature))})
}

func (v *vector) openCheckpoint(t *testing.T) error {
	reached, err := ParseReached([]byte(v.Statement))
	if err != nil {
		return err
	}
	worker, err := ParseKey(v.Worker)
	if err != nil {
		t.Fatal(err)
	}
	if v.Class == "ok" {
		sig, err := SignReached(reached, ed25519.NewKeyFromSeed(unhex(t, v.Seed)))
		if err != nil || hex.EncodeToString(sig[:]) != v.Signature {
			t.Errorf("%s: signed as %x (%v)", v.Name, sig, err)
		}
	}
	return VerifyReached(reached, worker, Signature(unhex(t, v.Signature)))
}

func (v *vector) openFile(t *testing.T) error {
	file, err := ParseCheckpointFile([]byte(v.Message))
	if err != nil {
		return err
	}
	data, err := file.Encode()
	if err != nil || string(data) != v.Message {
		t.Errorf("%s: written as %s (%v)", v.Name, data, err)
	}
	return file.Verify(file.Worker)
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
	add(vector{Name: "to_hub spaced", Kind: "to_hub", Class: "ok", Message: "\r{ \"leases\" : 3 ,\t\"type\": \"want\" }\r "})
	add(vector{Name: "to_hub several", Kind: "to_hub", Class: "ok", Message: `{"type":"want","leases":3}` + "\n" + `{"type":"want","leases":0}`})
	add(vector{Name: "to_worker several", Kind: "to_worker", Class: "ok", Message: `{"type":"idle"}` + "\n" + startLease(t) + "\n" + `{"type":"resume"}`})
	add(vector{Name: "to_worker as many as may be", Kind: "to_worker", Class: "ok", Message: strings.Repeat("{\"type\":\"idle\"}\n", MaxBatch-1) + `{"type":"idle"}`})
	add(vector{Name: "to_worker reordered", Kind: "to_worker", Class: "ok", Message: `{"halted":false,"session":"","visit":60,"type":"welcome"}`})
	add(vector{Name: "to_worker welcome visit unknown", Kind: "to_worker", Class: "ok", Message: `{"type":"welcome","halted":false,"visit":0,"session":""}`})
	add(vector{Name: "to_worker lease from the start", Kind: "to_worker", Class: "ok", Message: startLease(t)})
	add(vector{Name: "to_worker leases of one token", Kind: "to_worker", Class: "ok",
		Message: startLease(t) + "\n" + `{"type":"idle"}` + "\n" + strings.Replace(startLease(t), "a.b.c", "", 1) + "\n" + strings.Replace(startLease(t), "a.b.c", "", 1)})
	all = append(all, voteVectors(t)...)
	all = append(all, sheetVectors(t)...)
	all = append(all, checkpointVectors(t)...)
	all = append(all, refutationVectors(t)...)
	all = append(all, fileVectors(t)...)
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
	id, checkpoint, digest := testID.String(), canon.Sum([]byte("checkpoint")).String(), canon.Sum([]byte("order")).String()
	return map[string]string{
		"to_worker empty":                    "",
		"to_worker null":                     "null",
		"to_worker array":                    `["idle"]`,
		"to_worker no type":                  `{}`,
		"to_worker type number":              `{"type":1}`,
		"to_worker unknown type":             `{"type":"lend"}`,
		"to_worker prototype type":           `{"type":"constructor"}`,
		"to_worker wrong direction":          good["want"],
		"to_worker too many":                 strings.Repeat(good["idle"]+"\n", MaxBatch) + good["idle"],
		"to_worker newline at the end":       good["idle"] + "\n",
		"to_worker newline at the beginning": "\n" + good["idle"],
		"to_worker newline in a message":     strings.Replace(good["idle"], "{", "{\n", 1),
		"to_worker one of several is bad":    good["idle"] + "\n" + good["want"],
		"to_worker array of messages":        "[" + good["idle"] + "]",
		"to_worker trailing":                 good["idle"] + "{}",
		"to_worker unknown member":           `{"type":"idle","more":1}`,
		"to_worker proto member":             `{"type":"idle","__proto__":1}`,
		"to_worker missing member":           `{"type":"welcome"}`,
		"to_worker null member":              `{"type":"welcome","halted":null,"visit":0,"session":""}`,
		"to_worker cased member":             `{"type":"welcome","Halted":true,"visit":0,"session":""}`,
		"to_worker bool as number":           `{"type":"welcome","halted":1,"visit":0,"session":""}`,
		"to_worker bool as text":             `{"type":"welcome","halted":"true","visit":0,"session":""}`,
		"to_worker upper case hex":           swap("ack", id, strings.ToUpper(id)),
		"to_worker short hex":                swap("ack", id, id[2:]),
		"to_worker hex that is none":         swap("ack", id, "zz"+id[2:]),
		"to_worker verdict":                  swap("ack", "pending", "won"),
		"to_worker negative task":            swap("lease", fmt.Sprint(MaxTask), "-1"),
		"to_worker fraction task":            swap("lease", fmt.Sprint(MaxTask), "1.5"),
		"to_worker large task":               swap("lease", fmt.Sprint(MaxTask), fmt.Sprint(MaxTask+1)),
		"to_worker huge task":                swap("lease", fmt.Sprint(MaxTask), "18446744073709551616"),
		"to_worker text task":                swap("lease", fmt.Sprint(MaxTask), `"1"`),
		"to_worker lane":                     swap("lease", `"lane":2`, `"lane":256`),
		"to_worker visit missing":            `{"type":"welcome","halted":true,"session":""}`,
		"to_worker session missing":          `{"type":"welcome","halted":true,"visit":75}`,
		"to_worker session spaced":           swap("welcome", `"session":"a.b.c"`, `"session":"a b"`),
		"to_worker visit large":              swap("welcome", `"visit":75`, `"visit":1048577`),
		"to_worker checkpoint short":         swap("lease", checkpoint, checkpoint[2:]),
		"to_worker checkpoint upper":         swap("lease", checkpoint, strings.ToUpper(checkpoint)),
		"to_worker checkpoint zero":          swap("lease", checkpoint, strings.Repeat("0", 64)),
		"to_worker kept segments":            swap("kept", "16383", "16384"),
		"to_worker offer back":               good["checkpoint"],
		"to_hub kept":                        good["kept"],
		"to_hub checkpoint zero":             swap("checkpoint", `"segments":2`, `"segments":0`),
		"to_hub checkpoint last":             swap("checkpoint", `"segments":2`, `"segments":16384`),
		"to_hub checkpoint from":             swap("checkpoint", `"from":1`, `"from":2`),
		"to_hub checkpoint type":             swap("checkpoint", CheckpointType, VoteType),
		"to_hub checkpoint end":              swap("checkpoint", `"from":1`, `"from":1,"end":"exit"`),
		"to_hub checkpoint text":             swap("checkpoint", `"checkpoint":{`, `"checkpoint":"{`),
		"to_hub checkpoint links":            strings.Replace(good["checkpoint"], `"links":"`, `"link":"`, 1),
		"to_hub checkpoint id":               swap("checkpoint", `"lease":"a.b.c"`, `"id":"`+id+`"`),
		"to_hub result no links":             strings.Replace(good["result"], `"links":"`, `"link":"`, 1),
		"to_hub vote segments zero":          swap("result", `"segments":3`, `"segments":0`),
		"to_hub vote segments large":         swap("result", `"segments":3`, `"segments":16385`),
		"to_hub vote from":                   swap("result", `"from":2`, `"from":3`),
		"to_hub vote no transcript":          strings.Replace(good["result"], `"transcript"`, `"transcripts"`, 1),
		"to_worker seconds zero":             swap("lease", `"seconds":90`, `"seconds":0`),
		"to_worker seconds large":            swap("lease", `"seconds":90`, `"seconds":1048577`),
		"to_worker base64 unpadded":          swap("lease", `"MTIK"`, `"MTI"`),
		"to_worker base64 url":               swap("lease", `"MTIK"`, `"MT-_"`),
		"to_worker base64 loose bits":        swap("lease", `"MTIK"`, `"MTJ="`),
		"to_worker base64 newline":           swap("lease", `"MTIK"`, `"MT\nIK"`),
		"to_worker token space":              swap("lease", "a.b.c", "a b"),
		"to_worker token empty":              swap("lease", "a.b.c", ""),
		"to_worker token long":               swap("lease", "a.b.c", strings.Repeat("a", MaxLeaseToken+1)),
		"to_worker token missing":            good["idle"] + "\n" + swap("lease", "a.b.c", "") + "\n" + good["lease"],
		"to_worker session long":             swap("welcome", "a.b.c", strings.Repeat("a", MaxToken+1)),
		"to_hub sheet signature missing":     `{"type":"sheet"}`,
		"to_hub signature short":             swap("result", `"signature":"`, `"signature":"0`),
		"to_worker kill scope":               `{"type":"kill","scope":"world","target":"","reason":""}`,
		"to_worker kill all target":          `{"type":"kill","scope":"all","target":"` + id + `","reason":""}`,
		"to_worker kill order empty":         `{"type":"kill","scope":"order","target":"","reason":""}`,
		"to_worker kill order id":            `{"type":"kill","scope":"order","target":"` + id + `","reason":""}`,
		"to_worker kill task none":           `{"type":"kill","scope":"task","target":"` + digest + `","reason":""}`,
		"to_worker kill task empty":          `{"type":"kill","scope":"task","target":"` + digest + `/","reason":""}`,
		"to_worker kill task zero":           `{"type":"kill","scope":"task","target":"` + digest + `/01","reason":""}`,
		"to_worker kill task large":          `{"type":"kill","scope":"task","target":"` + digest + `/` + fmt.Sprint(MaxTask+1) + `","reason":""}`,
		"to_worker kill task upper":          `{"type":"kill","scope":"task","target":"` + strings.ToUpper(digest) + `/1","reason":""}`,
		"to_worker kill reason long":         `{"type":"kill","scope":"all","target":"","reason":"` + strings.Repeat("x", MaxReason+1) + `"}`,
		"to_worker error code empty":         `{"type":"error","code":"","message":"","retry":0}`,
		"to_worker error not ascii":          `{"type":"error","code":"slow","message":"caf` + "\u00e9" + `","retry":0}`,
		"to_worker error retry none":         `{"type":"error","code":"slow","message":""}`,
		"to_worker error retry large":        `{"type":"error","code":"slow","message":"","retry":3601}`,
		"to_worker error control":            `{"type":"error","code":"slow","message":"a\u0007","retry":0}`,
		"to_hub duplicate member":            `{"type":"want","leases":1,"leases":2}`,
		"to_hub escaped text":                swap("join", "test/1", `\u0074est/1`),
		"to_hub escaped slash":               swap("join", "test/1", `test\/1`),
		"to_hub exponent":                    `{"type":"want","leases":1e1}`,
		"to_hub leading zero":                `{"type":"want","leases":01}`,
		"to_hub minus zero":                  `{"type":"want","leases":-0}`,
		"to_hub want too many":               `{"type":"want","leases":65}`,
		"to_hub wrong direction":             good["idle"],
		"to_hub agent empty":                 swap("join", "test/1", ""),
		"to_hub agent long":                  swap("join", "test/1", strings.Repeat("a", MaxAgent+1)),
		"to_hub permille":                    swap("progress", `"permille":1000`, `"permille":1001`),
		"to_hub progress text long":          swap("progress", "halfway", strings.Repeat("a", MaxText+1)),
		"to_hub fuel over 2 53":              swap("progress", fmt.Sprint(canon.MaxInteger), fmt.Sprint(canon.MaxInteger+1)),
		"to_hub return reason":               swap("return", `"refused"`, `"bored"`),
		"to_hub return check":                swap("return", "module_sha256", "Module"),
		"to_hub vote text":                   swap("result", `"vote":{`, `"vote":"{`),
		"to_hub vote nested":                 swap("result", `"code":0`, `"code":{}`),
		"to_hub vote unknown member":         swap("result", `"code":0`, `"code":0,"more":0`),
		"to_hub vote type":                   swap("result", VoteType, "countersign.vote/v2"),
		"to_hub vote end":                    swap("result", `"exit"`, `"deadline"`),
		"to_hub vote code of a trap":         strings.Replace(swap("result", `"exit"`, `"trap"`), `"code":0`, `"code":1`, 1),
		"to_hub vote code large":             swap("result", `"code":0`, `"code":4294967296`),
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
	add("state", "ok", func(v *Vote) { v.End = EndState; v.Segments, v.From = MaxSegments, MaxSegments-1 }, nil)
	add("from", "bounds", nil, swap(`"from": 2`, `"from": 3`))
	add("segments", "bounds", nil, swap(`"segments": 3`, `"segments": 16385`))
	add("transcript altered", CodeVoteSignature, nil, swap(`"transcript": "0`, `"transcript": "1`))
	add("altered", CodeVoteSignature, nil, swap("4711", "4712"))
	add("compact", "encoding", nil, func(s string) string { return strings.ReplaceAll(s, "\n  ", "") })
	add("unknown member", "encoding", nil, swap(`"code": 0,`, "\"code\": 0,\n  \"more\": 0,"))
	add("end", "bounds", nil, swap("exit", "fault"))
	return all
}

func checkpointVectors(t *testing.T) (all []vector) {
	add := func(name, class string, edit func(*Reached), spoil func(statement string) string) {
		r := testCheckpoint(t).Reached
		if edit != nil {
			edit(&r)
		}
		statement, err := r.Statement()
		if err != nil {
			t.Fatal(err)
		}
		sig := ed25519.Sign(testWorker, statement)
		if spoil != nil {
			was := string(statement)
			if statement = []byte(spoil(was)); string(statement) == was {
				t.Fatalf("checkpoint %s: nothing is spoiled", name)
			}
		}
		all = append(all, vector{Name: "checkpoint " + name, Kind: "checkpoint", Class: class, Seed: hex.EncodeToString(testWorker.Seed()),
			Worker: hex.EncodeToString(testWorker.Public().(ed25519.PublicKey)), Statement: string(statement), Signature: hex.EncodeToString(sig)})
	}
	swap := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	add("good", "ok", nil, nil)
	add("largest", "ok", func(r *Reached) {
		r.Task, r.Lane, r.Segments, r.From, r.Fuel = MaxTask, MaxLane, MaxSegments-1, MaxSegments-2, canon.MaxInteger
	}, nil)
	add("altered", CodeCheckpoint, nil, swap("4000", "4001"))
	add("compact", "encoding", nil, func(s string) string { return strings.ReplaceAll(s, "\n  ", "") })
	add("unknown member", "encoding", nil, swap(`"segments": 2,`, "\"segments\": 2,\n  \"end\": \"exit\","))
	add("is a vote", "encoding", nil, swap(CheckpointType, VoteType))
	add("segments", "bounds", nil, swap(`"segments": 2`, `"segments": 16384`))
	add("from", "bounds", nil, swap(`"from": 1`, `"from": 2`))
	return all
}

func fileVectors(t *testing.T) (all []vector) {
	add := func(name, class string, edit func(*CheckpointFile), spoil func(string) string) {
		f := testFile(t)
		if edit != nil {
			edit(f)
		}
		data, err := f.Encode()
		if err != nil {
			t.Fatal(err)
		}
		message := string(data)
		if spoil != nil {
			message = spoil(message)
		}
		all = append(all, vector{Name: "file " + name, Kind: "file", Class: class, Message: message})
	}
	add("good", "ok", nil, nil)
	add("empty state", "ok", func(f *CheckpointFile) {
		f.State, f.Output, f.Reached.State, f.Reached.Output = nil, nil, canon.Sum(nil), canon.Sum(nil)
		f.Signature, _ = SignReached(&f.Reached, testWorker)
	}, nil)
	add("state", CodeCheckpoint, func(f *CheckpointFile) { f.State = []byte("other") }, nil)
	add("output", CodeCheckpoint, func(f *CheckpointFile) { f.Output = nil }, nil)
	add("links", CodeCheckpoint, func(f *CheckpointFile) { f.Links = testLinks(3) }, nil)
	add("last link", CodeCheckpoint, func(f *CheckpointFile) { f.Links[40]++ }, nil)
	add("worker", CodeCheckpoint, func(f *CheckpointFile) { f.Worker = KeyOf(testHub.Public().(ed25519.PublicKey)) }, nil)
	add("fuel", CodeCheckpoint, func(f *CheckpointFile) { f.Reached.Fuel++ }, nil)
	add("type", CodeMessage, nil, func(s string) string { return strings.Replace(s, "{", `{"type":"checkpoint",`, 1) })
	add("trailing", CodeMessage, nil, func(s string) string { return s + "{}" })
	add("no worker", CodeMessage, nil, func(s string) string { return strings.Replace(s, "worker", "author", 1) })
	return all
}

// startLease is a lease of a lane that nobody has begun.
func startLease(t *testing.T) string {
	data, err := Encode(&Lease{Token: "a.b.c", Input: []byte{}, Seconds: 1})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
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
