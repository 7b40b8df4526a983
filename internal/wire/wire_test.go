package wire

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"reflect"
	"strings"
	"sync"
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
		Input: canon.Sum([]byte("12\n")), End: EndExit, Code: 0, Fuel: 4711, Output: canon.Sum([]byte("12 -> 2,2,3\n")),
		Segments: 3, Transcript: testLink(3), From: 2}
}

// testLink is a link as a hub can check it: 32 bytes.
func testLink(n byte) canon.Digest { return canon.Sum([]byte{n}) }

func testLinks(n byte) (links []byte) {
	for i := range n {
		d := testLink(i + 1)
		links = append(links, d[:]...)
	}
	return links
}

func testCheckpoint(t testing.TB) *Checkpoint {
	t.Helper()
	p := &Checkpoint{State: []byte("state"), Output: []byte("12 -> 2,"), Links: testLinks(2)}
	p.Reached = Reached{Type: CheckpointType, Order: canon.Sum([]byte("order")), Task: 12, Lane: 1, Lease: testID, Module: canon.Sum([]byte("module")),
		Input: canon.Sum([]byte("12\n")), Segments: 2, Fuel: 4000, Transcript: testLink(2), State: canon.Sum(p.State), Output: canon.Sum(p.Output), From: 1}
	var err error
	if p.Signature, err = SignReached(&p.Reached, testWorker); err != nil {
		t.Fatal(err)
	}
	return p
}

func testFile(t testing.TB) *CheckpointFile {
	return &CheckpointFile{KeyOf(testWorker.Public().(ed25519.PublicKey)), *testCheckpoint(t)}
}

func testResult(t testing.TB) *Result {
	t.Helper()
	sig, err := SignVote(testVote(), testWorker)
	if err != nil {
		t.Fatal(err)
	}
	return &Result{Token: "aGVhZA.Ym9keQ.c2ln-_", Vote: *testVote(), Output: []byte("12 -> 2,2,3\n"), Links: testLinks(3), Seal: sig}
}

// samples has one good message of every type.
func samples(t testing.TB) []Message {
	d := canon.Sum([]byte("order"))
	return []Message{
		testHello(), &Welcome{Halted: true, Visit: 75, Session: "a.b.c"}, &Idle{}, &Resume{},
		&Lease{Token: "a.b.c", ID: testID, Order: d, Release: canon.Sum([]byte("release")), Task: MaxTask, Lane: 2, Input: []byte("12\n"), Proof: bytes.Repeat([]byte{7}, 2*LinkSize), Checkpoint: canon.Sum([]byte("checkpoint")), Seconds: 90},
		&Kept{ID: testID, Segments: MaxSegments - 1},
		&Ack{ID: testID, Verdict: Pending},
		&Refused{ID: testID, Code: CodeVoteMismatch, Message: `the "input" differs \ from the task's`},
		&Kill{Scope: KillAll, Reason: "operator"}, &Kill{Scope: KillOrder, Target: d.String()}, &Kill{Scope: KillTask, Target: TaskTarget(d, MaxTask)},
		&Error{Code: CodeSlow, Message: "messages pile up", Retry: MaxRetry},
		SignJoin(testHello(), testWorker, "test/1"), &Want{Leases: 4},
		&Progress{ID: testID, Permille: 1000, Text: "halfway", Fuel: canon.MaxInteger},
		&Offer{Token: "a.b.c", Checkpoint: *testCheckpoint(t)},
		testResult(t), &Sheet{Signature{8}},
		&Return{ID: testID, Reason: ReturnRefused, Check: "module_sha256", Detail: "module differs"},
	}
}

// decodeAny reads a frame of one message.
func decodeAny(m Message, data []byte) (Message, error) {
	if _, ok := m.(FromHub); ok {
		return only(DecodeFromHub(data))
	}
	return only(DecodeFromWorker(data))
}

func only[M Message](all []M, err error) (Message, error) {
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d messages", len(all))
	}
	return all[0], nil
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
// TestEncodeWritesNothing: a message may be encoded while others encode it, and
// what is behind it, too. The race detector sees it.
func TestEncodeWritesNothing(t *testing.T) {
	for _, m := range samples(t) {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := Encode(m); err != nil {
					t.Errorf("%T: %v", m, err)
				}
			})
		}
		both.Wait()
	}
}

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
	long := strings.Repeat("x", MaxLeaseToken+1)
	vote := testVote()
	vote.End, vote.Code = EndTrap, 1
	for name, m := range map[string]Message{
		"agent empty":     &Join{},
		"agent newline":   &Join{Agent: "a\nb"},
		"pass long":       &Join{Agent: "a", Pass: long},
		"session space":   &Welcome{Session: "a b"},
		"want":            &Want{Leases: MaxWant + 1},
		"token long":      &Lease{Token: long, Seconds: 1},
		"token space":     &Lease{Token: "a b", Seconds: 1},
		"seconds zero":    &Lease{Token: "a"},
		"input long":      &Lease{Token: "a", Seconds: 1, Input: make([]byte, MaxInput+1)},
		"proof long":      &Lease{Token: "a", Seconds: 1, Proof: make([]byte, MaxProof*LinkSize+1)},
		"task":            &Lease{Token: "a", Seconds: 1, Task: MaxTask + 1},
		"lane":            &Lease{Token: "a", Seconds: 1, Lane: MaxLane + 1},
		"permille":        &Progress{Permille: 1001},
		"verdict":         &Ack{Verdict: "won"},
		"scope":           &Kill{Scope: "world"},
		"target missing":  &Kill{Scope: KillOrder},
		"target on all":   &Kill{Scope: KillAll, Target: testID.String()},
		"target id":       &Kill{Scope: KillOrder, Target: testID.String()},
		"target no task":  &Kill{Scope: KillTask, Target: canon.Sum(nil).String()},
		"target digest":   &Kill{Scope: KillLease, Target: canon.Sum(nil).String()},
		"reason long":     &Kill{Scope: KillAll, Reason: long},
		"code empty":      &Error{},
		"retry":           &Error{Code: CodeClosing, Retry: MaxRetry + 1},
		"code upper case": &Error{Code: "Rate"},
		"return reason":   &Return{Reason: "bored"},
		"vote code":       &Result{Token: "a", Vote: *vote},
		"vote type":       &Result{Token: "a"},
		"visit":           &Welcome{Visit: MaxSeconds + 1},
		"kept segments":   &Kept{Segments: MaxSegments},
		"links long":      &Result{Token: "a", Vote: *testVote(), Links: make([]byte, MaxSegments*LinkSize+1)},
		"offer links":     &Offer{Token: "a", Checkpoint: Checkpoint{Reached: testCheckpoint(t).Reached, Links: make([]byte, MaxSegments*LinkSize)}},
		"offer state":     &Offer{Token: "a", Checkpoint: Checkpoint{Reached: testCheckpoint(t).Reached, State: make([]byte, MaxState+1)}},
		"offer from":      &Offer{Token: "a", Checkpoint: Checkpoint{Reached: Reached{Type: CheckpointType, Segments: 1, From: 1}}},
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
	r.Output, r.Links, r.Token = make([]byte, MaxOutput), make([]byte, MaxSegments*LinkSize), strings.Repeat("a", MaxLeaseToken)
	p := &Offer{Token: r.Token, Checkpoint: *testCheckpoint(t)}
	p.State, p.Output, p.Links = make([]byte, MaxState), make([]byte, MaxOutput), make([]byte, (MaxSegments-1)*LinkSize)
	l := &Lease{Token: r.Token, Seconds: MaxSeconds, Input: make([]byte, MaxInput), Proof: make([]byte, MaxProof*LinkSize)}
	for _, m := range []Message{r, p, l} {
		data, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeAny(m, data); err != nil {
			t.Error(err)
		}
	}
	file := &CheckpointFile{Checkpoint: p.Checkpoint}
	data, err := file.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseCheckpointFile(data); err != nil {
		t.Error(err)
	}
}

func TestCheckpointStatementIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := testCheckpoint(&testing.T{}).Reached
		r.Task = rapid.Uint64Range(0, MaxTask).Draw(t, "task")
		r.Fuel = rapid.Uint64Range(0, canon.MaxInteger).Draw(t, "fuel")
		r.Segments = rapid.Uint32Range(1, MaxSegments-1).Draw(t, "segments")
		r.From = rapid.Uint32Range(0, r.Segments-1).Draw(t, "from")
		copy(r.State[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "state"))
		got, err := r.Statement()
		if err != nil {
			t.Fatal(err)
		}
		want, err := canon.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
		if back, err := ParseReached(got); err != nil || *back != r {
			t.Fatalf("parsed %+v, %v", back, err)
		}
	})
}

// TestCheckpointVerify: no byte of a checkpoint can differ from what its
// worker signed.
func TestCheckpointVerify(t *testing.T) {
	worker := KeyOf(testWorker.Public().(ed25519.PublicKey))
	if err := testCheckpoint(t).Verify(worker); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Checkpoint){
		"state":         func(p *Checkpoint) { p.State[0]++ },
		"output":        func(p *Checkpoint) { p.Output = p.Output[1:] },
		"last link":     func(p *Checkpoint) { p.Links[LinkSize]++ },
		"a link less":   func(p *Checkpoint) { p.Links = p.Links[LinkSize:] },
		"a link more":   func(p *Checkpoint) { p.Links = append(p.Links[:LinkSize:LinkSize], p.Links...) },
		"half a link":   func(p *Checkpoint) { p.Links = append(p.Links[:5:5], p.Links...) },
		"no links":      func(p *Checkpoint) { p.Links = nil },
		"fuel":          func(p *Checkpoint) { p.Reached.Fuel++ },
		"task":          func(p *Checkpoint) { p.Reached.Task++ },
		"order":         func(p *Checkpoint) { p.Reached.Order[0]++ },
		"signature":     func(p *Checkpoint) { p.Signature[9]++ },
		"other's state": func(p *Checkpoint) { p.State = []byte("evil"); p.Reached.State = canon.Sum(p.State) },
	} {
		p := testCheckpoint(t)
		spoil(p)
		if err := p.Verify(worker); canon.ClassOf(err) != CodeCheckpoint {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := testCheckpoint(t).Verify(KeyOf(testHub.Public().(ed25519.PublicKey))); canon.ClassOf(err) != CodeCheckpoint {
		t.Errorf("other worker: %v", err)
	}
}

func TestVoteStatementIsCanonical(t *testing.T) {
	ends := []End{EndExit, EndTrap, EndFuel, EndOutput, EndState}
	rapid.Check(t, func(t *rapid.T) {
		v := testVote()
		v.Task = rapid.Uint64Range(0, MaxTask).Draw(t, "task")
		v.Lane = rapid.Uint32Range(0, MaxLane).Draw(t, "lane")
		v.Fuel = rapid.Uint64Range(0, canon.MaxInteger).Draw(t, "fuel")
		v.Segments = rapid.Uint32Range(1, MaxSegments).Draw(t, "segments")
		v.From = rapid.Uint32Range(0, v.Segments-1).Draw(t, "from")
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
	if err := VerifyVote(&r.Vote, worker, r.Seal); err != nil {
		t.Fatal(err)
	}
	other := r.Vote
	other.Fuel++
	if err := VerifyVote(&other, worker, r.Seal); canon.ClassOf(err) != CodeVoteSignature {
		t.Errorf("other vote: %v", err)
	}
	if err := VerifyVote(&r.Vote, KeyOf(testHub.Public().(ed25519.PublicKey)), r.Seal); canon.ClassOf(err) != CodeVoteSignature {
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
		if all, err := DecodeFromHub(data); err == nil {
			for _, m := range all {
				again(t, m)
			}
		}
		if all, err := DecodeFromWorker(data); err == nil {
			for _, m := range all {
				again(t, m)
			}
		}
	})
}

// FuzzCheckpointFile: what parses is written as it was read, white space and
// order aside.
func FuzzCheckpointFile(f *testing.F) {
	data, err := testFile(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseCheckpointFile(data)
		if err != nil {
			return
		}
		written, err := file.Encode()
		if err != nil {
			t.Fatalf("parsed %+v, which does not encode: %v", file, err)
		}
		if back, err := ParseCheckpointFile(written); err != nil || !reflect.DeepEqual(back, file) {
			t.Fatalf("parsed %+v, then %+v (%v)", file, back, err)
		}
		_ = file.Verify(file.Worker) // must not panic
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
