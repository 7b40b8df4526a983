package wire

import (
	"bytes"
	"crypto/ed25519"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/countersign/countersign/internal/canon"
)

var (
	testHub    = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	testWorker = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	testID     = LeaseID{0: 0xab, 15: 0x01}
	testNonce  = Nonce{0: 7, 31: 9}
)

func testHello() *Hello {
	return &Hello{Hub: KeyOf(testHub.Public().(ed25519.PublicKey)), Nonce: testNonce, Time: 1_800_000_000}
}

func testVote() *Vote {
	return &Vote{Type: VoteType, Order: canon.Sum([]byte("order")), Task: 12, Lane: 1, Lease: testID, Module: canon.Sum([]byte("module")),
		Input: canon.Sum([]byte("12\n")), End: EndExit, Code: 0, Fuel: 4711, Output: canon.Sum([]byte("12 -> 2,2,3\n"))}
}

func testResult(t testing.TB) *Result {
	t.Helper()
	sig, err := SignVote(testVote(), testWorker)
	if err != nil {
		t.Fatal(err)
	}
	return &Result{Token: "aGVhZA.Ym9keQ.c2ln-_", Vote: *testVote(), Output: []byte("12 -> 2,2,3\n"), Signature: sig}
}

// samples has one good message of every type.
func samples(t testing.TB) []Message {
	d := canon.Sum([]byte("order"))
	return []Message{
		testHello(), &Welcome{Halted: true}, &Idle{}, &Resume{},
		&Lease{Token: "a.b.c", ID: testID, Order: d, Release: canon.Sum([]byte("release")), Task: MaxTask, Lane: 2, Input: []byte("12\n"), Seconds: 90},
		&Ack{ID: testID, Verdict: Pending},
		&Refused{ID: testID, Code: CodeVoteMismatch, Message: `the "input" differs \ from the task's`},
		&Kill{Scope: KillAll, Reason: "operator"}, &Kill{Scope: KillOrder, Target: d.String()},
		&Error{Code: CodeSlow, Message: "messages pile up"},
		SignJoin(testHello(), testWorker, "test/1"), &Want{Leases: 4},
		&Progress{ID: testID, Permille: 1000, Text: "halfway", Fuel: canon.MaxInteger},
		testResult(t),
		&Return{ID: testID, Reason: ReturnRefused, Check: "module_sha256", Detail: "module differs"},
	}
}

func decodeAny(m Message, data []byte) (Message, error) {
	if _, ok := m.(FromHub); ok {
		return DecodeFromHub(data)
	}
	return DecodeFromWorker(data)
}

func TestRoundTrip(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range samples(t) {
		data, err := Encode(m)
		if err != nil {
			t.Fatalf("%s: %v", m.kind(), err)
		}
		got, err := decodeAny(m, data)
		if err != nil {
			t.Fatalf("%s: %v\n%s", m.kind(), err, data)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: got %+v, want %+v", m.kind(), got, m)
		}
		seen[m.kind()] = true
	}
	if want := len(hubMessages) + len(workerMessages); len(seen) != want {
		t.Errorf("samples have %d types of %d", len(seen), want)
	}
}

// TestUnions checks that each name creates the type that has this name.
func TestUnions(t *testing.T) {
	for name, create := range hubMessages {
		if got := create().kind(); got != name {
			t.Errorf("hub message %q is listed as %q", got, name)
		}
	}
	for name, create := range workerMessages {
		if got := create().kind(); got != name {
			t.Errorf("worker message %q is listed as %q", got, name)
		}
	}
}

func TestDirections(t *testing.T) {
	for _, m := range samples(t) {
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.(FromHub); ok {
			_, err = DecodeFromWorker(data)
		} else {
			_, err = DecodeFromHub(data)
		}
		if canon.ClassOf(err) != CodeMessage {
			t.Errorf("%s taken in the wrong direction: %v", m.kind(), err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	long := strings.Repeat("x", 2049)
	vote := testVote()
	vote.End, vote.Code = EndTrap, 1
	for name, m := range map[string]Message{
		"agent empty":     &Join{},
		"agent newline":   &Join{Agent: "a\nb"},
		"want":            &Want{Leases: MaxWant + 1},
		"token long":      &Lease{Token: long, Seconds: 1},
		"token space":     &Lease{Token: "a b", Seconds: 1},
		"seconds zero":    &Lease{Token: "a"},
		"input long":      &Lease{Token: "a", Seconds: 1, Input: make([]byte, MaxInput+1)},
		"task":            &Lease{Token: "a", Seconds: 1, Task: MaxTask + 1},
		"lane":            &Lease{Token: "a", Seconds: 1, Lane: MaxLane + 1},
		"permille":        &Progress{Permille: 1001},
		"verdict":         &Ack{Verdict: "won"},
		"scope":           &Kill{Scope: "world"},
		"target missing":  &Kill{Scope: KillOrder},
		"target on all":   &Kill{Scope: KillAll, Target: testID.String()},
		"target id":       &Kill{Scope: KillOrder, Target: testID.String()},
		"target digest":   &Kill{Scope: KillLease, Target: canon.Sum(nil).String()},
		"reason long":     &Kill{Scope: KillAll, Reason: long},
		"code empty":      &Error{},
		"code upper case": &Error{Code: "Rate"},
		"return reason":   &Return{Reason: "bored"},
		"vote code":       &Result{Token: "a", Vote: *vote},
		"vote type":       &Result{Token: "a"},
		"output long":     &Result{Token: "a", Vote: *testVote(), Output: make([]byte, MaxOutput+1)},
	} {
		if data, err := Encode(m); canon.ClassOf(err) != CodeMessage {
			t.Errorf("%s: encoded as %.200s (%v)", name, data, err)
		}
	}
}

func TestCaps(t *testing.T) {
	pad := func(m Message, n int) []byte {
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return append(data, bytes.Repeat([]byte{' '}, n-len(data))...)
	}
	if _, err := DecodeFromHub(pad(&Idle{}, MaxToWorker)); err != nil {
		t.Error(err)
	}
	if _, err := DecodeFromHub(pad(&Idle{}, MaxToWorker+1)); canon.ClassOf(err) != CodeMessage {
		t.Errorf("to worker, over the cap: %v", err)
	}
	if _, err := DecodeFromWorker(pad(&Want{}, MaxToHub+1)); canon.ClassOf(err) != CodeMessage {
		t.Errorf("to hub, over the cap: %v", err)
	}
}

// TestLargestFit checks that the largest result and lease fit their caps.
func TestLargestFit(t *testing.T) {
	r := testResult(t)
	r.Output, r.Token = make([]byte, MaxOutput), strings.Repeat("a", MaxToken)
	l := &Lease{Token: r.Token, Seconds: MaxSeconds, Input: make([]byte, MaxInput)}
	for _, m := range []Message{r, l} {
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeAny(m, data); err != nil {
			t.Error(err)
		}
	}
}

func TestVoteStatementIsCanonical(t *testing.T) {
	ends := []End{EndExit, EndTrap, EndFuel, EndOutput}
	rapid.Check(t, func(t *rapid.T) {
		v := testVote()
		v.Task = rapid.Uint64Range(0, MaxTask).Draw(t, "task")
		v.Lane = rapid.Uint32Range(0, MaxLane).Draw(t, "lane")
		v.Fuel = rapid.Uint64Range(0, canon.MaxInteger).Draw(t, "fuel")
		v.End = rapid.SampledFrom(ends).Draw(t, "end")
		if v.End == EndExit {
			v.Code = rapid.Uint32().Draw(t, "code")
		}
		copy(v.Lease[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "lease"))
		got, err := v.Statement()
		if err != nil {
			t.Fatal(err)
		}
		want, err := canon.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
		back, err := ParseVote(got)
		if err != nil || *back != *v {
			t.Fatalf("parsed %+v, %v", back, err)
		}
	})
}

func TestVoteSignature(t *testing.T) {
	r := testResult(t)
	worker := KeyOf(testWorker.Public().(ed25519.PublicKey))
	if err := VerifyVote(&r.Vote, worker, r.Signature); err != nil {
		t.Fatal(err)
	}
	other := r.Vote
	other.Fuel++
	if err := VerifyVote(&other, worker, r.Signature); canon.ClassOf(err) != CodeVoteSignature {
		t.Errorf("other vote: %v", err)
	}
	if err := VerifyVote(&r.Vote, KeyOf(testHub.Public().(ed25519.PublicKey)), r.Signature); canon.ClassOf(err) != CodeVoteSignature {
		t.Errorf("other worker: %v", err)
	}
}

func TestJoin(t *testing.T) {
	join := SignJoin(testHello(), testWorker, "test/1")
	if err := VerifyJoin(testHello(), join); err != nil {
		t.Fatal(err)
	}
	hello := testHello()
	hello.Nonce[0]++
	if err := VerifyJoin(hello, join); canon.ClassOf(err) != CodeJoinSignature {
		t.Errorf("other nonce: %v", err)
	}
	hello = testHello()
	hello.Hub[0]++
	if err := VerifyJoin(hello, join); canon.ClassOf(err) != CodeJoinSignature {
		t.Errorf("other hub: %v", err)
	}
}

func TestStatus(t *testing.T) {
	if got := Status("signature_legacy"); got != 400 {
		t.Errorf("signature_legacy: %d", got)
	}
	if got := Status("no such code"); got != 500 {
		t.Errorf("unknown code: %d", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples(f) {
		data, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := DecodeFromHub(data); err == nil {
			again(t, m)
		}
		if m, err := DecodeFromWorker(data); err == nil {
			again(t, m)
		}
	})
}

// again checks that what was decoded can be encoded and decodes to itself.
func again(t *testing.T, m Message) {
	data, err := Encode(m)
	if err != nil {
		t.Fatalf("decoded %+v, which does not encode: %v", m, err)
	}
	if back, err := decodeAny(m, data); err != nil || !reflect.DeepEqual(back, m) {
		t.Fatalf("decoded %+v, then %+v (%v)", m, back, err)
	}
}

func BenchmarkDecodeResult(b *testing.B) {
	data, err := Encode(testResult(b))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeFromWorker(data); err != nil {
			b.Fatal(err)
		}
	}
}
