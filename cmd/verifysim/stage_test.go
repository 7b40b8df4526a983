package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/volunteer"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/keys"
	"github.com/countersign/countersign/payloads"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/release"
)

// stage starts a hub with a release and an order over the lines of a file:
// stage FILE PER-TASK [first]; with first, the first outcome of each task counts. It writes ada.pub, root.pub, policy.json and auditor.token, and sets
// COUNTERSIGN_HUB and ORDER; the hub's log is hub.log. With FILE loop it is a release of an endless loop, with recursion one that traps,
// with steps one of payloads/steps with one task of a few seconds.
func stage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 && (len(args) != 3 || args[2] != "first") {
		ts.Fatalf("usage: stage FILE PER-TASK [first]")
	}
	perTask, err := strconv.Atoi(args[1])
	ts.Check(err)
	ada, err := keys.Generate(nil)
	ts.Check(err)
	c := startHub(ts, ada, "ada/")
	source, module, input := payloads.FactorSource, payloads.FactorModule, []byte("1\n2\n3\n")
	segment := uint64(1 << 40)
	switch args[0] {
	case "loop":
		source, module = payloads.LoopSource, payloads.LoopModule
	case "recursion":
		source, module = payloads.RecursionSource, payloads.RecursionModule
	case "steps":
		source, module, input, segment = payloads.StepsSource, payloads.StepsModule, []byte("2500000\n"), 50_000_000
	default:
		input = []byte(ts.ReadFile(args[0]))
	}
	rule := release.Redundancy{Vote: &release.Vote{Agree: 2, Of: 3}}
	if len(args) == 3 {
		rule = release.Redundancy{First: &release.First{}}
	}
	ts.Setenv("ORDER", publish(ts, c, ada, source, module, segment, input, int64(perTask), rule).String())
}

// hubFor starts a hub on which a key file's key may sign everything under a prefix: hubFor KEY PREFIX.
func hubFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hubfor KEY PREFIX")
	}
	key, err := keys.Decrypt("test", []byte(ts.ReadFile(args[0])))
	ts.Check(err)
	startHub(ts, key, args[1])
}

// startHub starts a hub, writes ada.pub and policy.json, and sets COUNTERSIGN_HUB.
func startHub(ts *testscript.TestScript, ada keys.SecretKey, prefix string) *client.Client {
	rootKey, err := keys.Generate(nil)
	ts.Check(err)
	root := policy.Root{Keys: []keys.PublicKey{rootKey.Public()}, Threshold: 1}
	p := policy.New(1, root, time.Now().Add(time.Hour), policy.Researcher{Name: "Ada", Key: ada.Public(), Prefix: prefix,
		Ceilings: policy.Ceilings{TaskFuel: 1 << 50, MemoryPages: 1000, Seconds: 1000, Tasks: 1000}})
	signed, err := p.Sign(rootKey)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("ada.pub"), ada.Public().File(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("root.pub"), rootKey.Public().File(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("policy.json"), signed.Statement, 0o600))

	dir, err := os.MkdirTemp(ts.MkAbs("."), "data")
	ts.Check(err)
	log, err := os.Create(ts.MkAbs("hub.log"))
	ts.Check(err)
	ts.Defer(func() { ts.Check(log.Close()) })
	h, err := hub.New(context.Background(), hub.Options{Data: dir, Root: root, Policies: []policy.Signed{signed}, UnsafeOneNetwork: true, Log: slog.New(slog.NewTextHandler(log, nil))})
	ts.Check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.Run(ctx, l) }()
	ts.Defer(func() {
		stop()
		ts.Check(<-served)
		ts.Check(h.Close())
	})
	token, err := hub.Mint(dir, hub.Grant{Role: "auditor", Subject: "ada", Life: time.Hour}, time.Now())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("auditor.token"), []byte(token), 0o600))
	ts.Setenv("COUNTERSIGN_HUB", "http://"+l.Addr().String())
	c, err := client.New("http://"+l.Addr().String(), "")
	ts.Check(err)
	return c
}

// liars lets that many volunteers, each with a lie of its own, work until the
// script ends: liars N [late]. With late they lie about the second segment
// behind the checkpoint that they went on from, and everything after it.
func liars(ts *testscript.TestScript, neg bool, args []string) {
	late := len(args) == 2 && args[1] == "late"
	if neg || len(args) != 1 && !late {
		ts.Fatalf("usage: liars N [late]")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ada, err := keys.ParsePublicKey([]byte(ts.ReadFile("ada.pub")))
	ts.Check(err)
	engine, err := sandbox.New(context.Background(), nil)
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	ts.Defer(func() {
		stop()
		running.Wait()
		ts.Check(engine.Close(context.Background()))
	})
	for i := range n {
		_, key, err := ed25519.GenerateKey(nil)
		ts.Check(err)
		lie := func(l *wire.Lease, o sandbox.Outcome) sandbox.Outcome {
			if late {
				return astray(ts, l, o)
			}
			o.Fuel += uint64(i) + 1
			return o
		}
		v, err := volunteer.New(volunteer.Options{Hub: ts.Getenv("COUNTERSIGN_HUB"), Key: key, Trust: volunteer.Trust{Keys: []keys.PublicKey{ada}}, Engine: engine,
			Misbehave: &volunteer.Misbehave{Outcome: lie}})
		ts.Check(err)
		running.Go(func() { v.Run(ctx) }) // it ends when the hub or the script does
	}
}

// astray is an outcome with another output and other links, from the second
// segment behind the lease's checkpoint on.
func astray(ts *testscript.TestScript, l *wire.Lease, o sandbox.Outcome) sandbox.Outcome {
	c, err := client.New(ts.Getenv("COUNTERSIGN_HUB"), "")
	ts.Check(err)
	body, err := c.Open(context.Background(), "/c/"+l.Checkpoint.String())
	ts.Check(err)
	defer body.Close()
	data, err := io.ReadAll(body)
	ts.Check(err)
	f, err := wire.ParseCheckpointFile(data)
	ts.Check(err)
	o.Links, o.Output = slices.Clone(o.Links), []byte("a lie")
	for i := int(f.Reached.Segments) + 1; i < len(o.Links); i++ {
		o.Links[i] = canon.Sum(o.Links[i][:])
	}
	return o
}

func in(d time.Duration) canon.Time { return canon.TimeOf(time.Now().Add(d)) }

func publish(ts *testscript.TestScript, c *client.Client, key keys.SecretKey, source, module []byte, segment uint64, input []byte, perTask int64, rule release.Redundancy) canon.Digest {
	r := release.Release{Type: release.Type, Name: "ada/test", Version: 1, ModuleSHA256: canon.Sum(module), ModuleLength: int64(len(module)), SourceSHA256: canon.Sum(source),
		ABI: release.ABI, CostTable: release.CostTable, Limits: release.Limits{TaskFuel: 1 << 40, SegmentFuel: segment, MemoryPages: payloads.Pages, Seconds: 100, OutputBytes: 10000},
		Purpose: "A test.", Expires: in(time.Hour)}
	st, sig, err := r.Sign(key)
	ts.Check(err)
	ts.Check(c.Post(context.Background(), "/v1/releases", &wire.ReleaseAdmitted{}, client.Bytes("statement", st), client.Bytes("signature", sig), client.Bytes("source", source), client.Bytes("module", module)))
	lines, err := release.Split(bytes.NewReader(input), perTask, func(uint64, release.Span, []byte) error { return nil })
	ts.Check(err)
	o := release.Order{Type: release.OrderType, Title: "Some numbers", ReleaseSHA256: canon.Sum(st), Input: release.Input{Lines: lines},
		Redundancy: rule, CompletePermille: 1000, NotBefore: in(-time.Minute), Expires: in(30 * time.Minute)}
	st, sig, err = o.Sign(key)
	ts.Check(err)
	ts.Check(c.Post(context.Background(), "/v1/orders", &wire.OrderAdmitted{}, client.Bytes("statement", st), client.Bytes("signature", sig), client.Bytes("input", input)))
	return canon.Sum(st)
}

// await waits until the order is done, that many leases are lent, the program
// says something, or the hub's log or metrics or a file have a line with a text:
// await done, await leases N, await text TEXT, await log TEXT, await metric TEXT,
// await file NAME TEXT.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: await done, await leases N, await text TEXT, await log TEXT, await metric TEXT, await file NAME TEXT")
	}
	c, err := client.New(ts.Getenv("COUNTERSIGN_HUB"), "")
	ts.Check(err)
	order, err := canon.ParseDigest(ts.Getenv("ORDER"))
	ts.Check(err)
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		info, err := c.Order(context.Background(), order)
		ts.Check(err)
		switch {
		case args[0] == "done" && info.State == "done",
			args[0] == "leases" && strconv.Itoa(info.Leases) == args[1],
			args[0] == "text" && info.Text == args[1],
			args[0] == "metric" && strings.Contains(metrics(ts, c), args[1]+"\n"),
			args[0] == "log" && strings.Contains(ts.ReadFile("hub.log"), args[1]),
			args[0] == "file" && has(ts.MkAbs(args[1]), args[2]):
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("after five minutes: %+v", info)
		}
	}
}

// has reports whether there is a file with that text.
func has(file, text string) bool {
	data, err := os.ReadFile(file)
	return err == nil && bytes.Contains(data, []byte(text))
}

func metrics(ts *testscript.TestScript, c *client.Client) string {
	body, err := c.Open(context.Background(), "/metrics")
	ts.Check(err)
	defer body.Close()
	text, err := io.ReadAll(body)
	ts.Check(err)
	return string(text)
}
