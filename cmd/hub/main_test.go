package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hub": main})
}

// TestScripts runs the real command; see testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"port": port, "wait-for": waitFor, "publish": publish, "flip": flip, "jti-of": jtiOf},
		Setup: func(env *testscript.Env) error {
			env.Setenv("COUNTERSIGN_HUB", "")
			env.Setenv("ROOT", testRoot().Public().String())
			env.Setenv("COUNTERSIGN_HUB_ROOT", testRoot().Public().String())
			return errors.Join(writePolicy(env.WorkDir, "policy.json", time.Now().Add(90*24*time.Hour)), writePolicy(env.WorkDir, "expired.json", time.Now().Add(-24*time.Hour)))
		},
	})
}

// writePolicy writes a signed policy that expires then.
func writePolicy(dir, name string, expires time.Time) error {
	s, err := testPolicy(expires).Sign(testRoot())
	path := filepath.Join(dir, name)
	return errors.Join(err, os.WriteFile(path, s.Statement, 0o600), os.WriteFile(path+".minisig", s.Signatures, 0o600))
}

func testKey() keys.SecretKey  { return seededKey(1) }
func testRoot() keys.SecretKey { return seededKey(2) }

func seededKey(seed byte) keys.SecretKey {
	k, err := keys.Generate(bytes.NewReader(bytes.Repeat([]byte{seed}, 64)))
	if err != nil {
		panic(err) // of a reader that does not fail
	}
	return k
}

func testPolicy(expires time.Time) *policy.Policy {
	return policy.New(7, policy.Root{Keys: []keys.PublicKey{testRoot().Public()}, Threshold: 1}, expires, policy.Researcher{
		Name: "Ada", Key: testKey().Public(), Prefix: "ada/", Ceilings: policy.Ceilings{TaskFuel: 1e12, MemoryPages: 64, Seconds: 600, Tasks: 1e6}})
}

// port sets a variable to an address on which nothing listens: port NAME
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// waitFor runs a command until it succeeds, for at most 20 seconds: wait-for
// COMMAND ARG...
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: wait-for COMMAND ARG...")
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%v still fails: %v", args, err)
		}
	}
}

// publish gives a hub a release and an order, and sets RELEASE and ORDER:
// publish URL
func publish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: publish URL")
	}
	cl, err := client.New(args[0], "")
	ts.Check(err)
	now := time.Now()
	r := release.Release{Type: release.Type, Name: "ada/factor", Version: 1, ModuleSHA256: canon.Sum(payloads.FactorModule), ModuleLength: int64(len(payloads.FactorModule)),
		SourceSHA256: canon.Sum(payloads.FactorSource), ABI: release.ABI, CostTable: release.CostTable,
		Limits:  release.Limits{TaskFuel: 1e10, SegmentFuel: 1e10, MemoryPages: payloads.Pages, Seconds: 60, OutputBytes: 65536},
		Purpose: "Factors integers.", Expires: canon.TimeOf(now.Add(24 * time.Hour))}
	st, sig, err := r.Sign(testKey())
	ts.Check(err)
	var rel wire.ReleaseAdmitted
	ts.Check(cl.Post(context.Background(), "/v1/releases", &rel, client.Bytes("statement", st), client.Bytes("signature", sig),
		client.Bytes("source", payloads.FactorSource), client.Bytes("module", payloads.FactorModule)))
	o := release.Order{Type: release.OrderType, Title: "numbers", ReleaseSHA256: rel.Release, Input: release.Input{Range: &release.Range{From: 1, To: 100, Step: 1}},
		Redundancy: release.Redundancy{Vote: &release.Vote{Agree: 2, Of: 3}}, CompletePermille: 1000,
		NotBefore: canon.TimeOf(now.Add(-time.Minute)), Expires: canon.TimeOf(now.Add(time.Hour))}
	st, sig, err = o.Sign(testKey())
	ts.Check(err)
	var order wire.OrderAdmitted
	ts.Check(cl.Post(context.Background(), "/v1/orders", &order, client.Bytes("statement", st), client.Bytes("signature", sig)))
	ts.Setenv("RELEASE", rel.Release.String())
	ts.Setenv("ORDER", order.Order.String())
	ts.Setenv("MODULE", r.ModuleSHA256.String())
}

// flip changes a byte of a file: flip FILE
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	file := ts.MkAbs(args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(file, data, 0o600))
}

// jtiOf sets JTI to the id of a role's token, in the list that was printed
// last: jti-of ROLE
func jtiOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jti-of ROLE")
	}
	var list wire.TokenList
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	for _, t := range list.Tokens {
		if t.Role == args[0] {
			ts.Setenv("JTI", t.ID)
			return
		}
	}
	ts.Fatalf("no token of role %s", args[0])
}
