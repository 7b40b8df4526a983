// Command costs measures what single WebAssembly instructions cost in time, on
// wazero's compiler and on V8's, in chains that depend on each other and in four
// that do not. It prints a table beside the cost table of docs/spec/meter.md: the
// time of each, less that of an empty loop, as a multiple of i32.add's in a chain.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tetratelabs/wazero"
)

func main() {
	rounds := flag.Int("rounds", 9, "runs, of which the quickest counts")
	flag.Parse()
	if err := measure(*rounds); err != nil {
		fmt.Fprintln(os.Stderr, "costs:", err)
		os.Exit(1)
	}
}

const (
	turns  = 200_000
	repeat = 16 // of the instruction in a loop's body, in all chains together
)

// times are nanoseconds of one instruction: in one chain, and in four.
type times struct{ chain, four float64 }

func measure(rounds int) error {
	engines := []struct {
		name string
		run  func([]byte, int) (float64, error)
	}{{"wazero", onWazero}, {"V8", onNode}}
	unit := map[string]float64{}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "instruction\tcost\twazero chain\tfour\tV8 chain\tfour")
	for _, op := range append([]operation{{"i32.add", 1, "i32", "(i32.add X (local.get $k))", 0}}, operations...) {
		fmt.Fprintf(w, "%s\t%d", op.name, op.cost)
		for _, e := range engines {
			t, err := op.measure(func(m []byte) (float64, error) { return e.run(m, rounds) })
			if err != nil {
				return fmt.Errorf("%s on %s: %w", op.name, e.name, err)
			}
			if unit[e.name] == 0 {
				unit[e.name] = t.chain
			}
			fmt.Fprintf(w, "\t%.1f\t%.1f", t.chain/unit[e.name]-op.extra, t.four/unit[e.name]-op.extra/2)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func (op *operation) measure(run func([]byte) (float64, error)) (t times, err error) {
	var seconds [3]float64
	for i, chains := range []int{0, 1, 4} {
		module, err := assemble(op.source(chains))
		if err != nil {
			return t, err
		}
		if seconds[i], err = run(module); err != nil {
			return t, err
		}
	}
	one := func(s float64) float64 { return max(0, s-seconds[0]) / turns / repeat * 1e9 }
	return times{one(seconds[1]), one(seconds[2])}, nil
}

// source is a module whose function run repeats the operation in so many chains.
func (op *operation) source(chains int) string {
	var body, locals, end strings.Builder
	for i := range repeat {
		if chains > 0 {
			x := fmt.Sprintf("$x%d", i%chains)
			fmt.Fprintf(&body, "(local.set %s %s)\n", x, strings.ReplaceAll(op.code, "X", "(local.get "+x+")"))
		}
	}
	zero := map[string]string{"v128": "(v128.const i32x4 7 7 7 7)"}[op.typ]
	if zero == "" {
		zero = "(" + op.typ + ".const 7)"
	}
	for i := range max(1, chains) {
		fmt.Fprintf(&locals, "(local $x%d %s)", i, op.typ)
		fmt.Fprintf(&end, "(local.set $x%d %s)", i, zero)
	}
	store := map[string]string{"v128": "v128.store"}[op.typ]
	if store == "" {
		store = op.typ + ".store"
	}
	var out strings.Builder
	for i := range max(1, chains) {
		fmt.Fprintf(&out, "(%s (i32.const %d) (local.get $x%d))", store, 64+16*i, i)
	}
	return fmt.Sprintf(`(module (import "m" "host" (func $host (param i32) (result i32)))
		(memory (export "memory") 1) (table 2 funcref) (elem (i32.const 0) $id) (global $g (mut i32) (i32.const 7))
		(type $id (func (param i32) (result i32))) (func $id (type $id) (local.get 0))
		(func (export "run") (param $n i32) %s (local $k i32) (local $l i64) (local $f f32) (local $d f64) (local $v v128)
		(local.set $k (i32.load (i32.const 0))) (local.set $l (i64.load (i32.const 8))) (local.set $f (f32.load (i32.const 16)))
		(local.set $d (f64.load (i32.const 24))) (local.set $v (v128.load (i32.const 32))) %s
		(loop %s (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) %s)
		(data (i32.const 0) "\05\00\00\00\00\00\00\00\05\00\00\00\00\00\00\00\00\00\a0\3f\00\00\00\00\00\00\00\00\00\00\f4\3f")
		(data (i32.const 32) "\01\02\03\04\05\06\07\08\01\02\03\04\05\06\07\08"))`, locals.String(), end.String(), body.String(), out.String())
}

func assemble(wat string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	src, out := filepath.Join(dir, "m.wat"), filepath.Join(dir, "m.wasm")
	if err := os.WriteFile(src, []byte(wat), 0o600); err != nil {
		return nil, err
	}
	if text, err := exec.Command("wat2wasm", src, "-o", out).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("wat2wasm: %w\n%s", err, text)
	}
	return os.ReadFile(out)
}

func onWazero(module []byte, rounds int) (float64, error) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer r.Close(ctx)
	_, err := r.NewHostModuleBuilder("m").NewFunctionBuilder().WithFunc(func(x uint32) uint32 { return x }).Export("host").Instantiate(ctx)
	if err != nil {
		return 0, err
	}
	m, err := r.Instantiate(ctx, module)
	if err != nil {
		return 0, err
	}
	least := math.Inf(1)
	for range rounds {
		start := time.Now()
		if _, err := m.ExportedFunction("run").Call(ctx, turns); err != nil {
			return 0, err
		}
		least = min(least, time.Since(start).Seconds())
	}
	return least, nil
}

const script = `
const chunks = []; for await (const c of process.stdin) chunks.push(c);
const [rounds, turns] = process.argv.slice(1).map(Number);
const { exports: { run } } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.concat(chunks)), { m: { host: (x) => x } });
let least = Infinity;
for (let i = 0; i < rounds; i++) { const t = performance.now(); run(turns); least = Math.min(least, performance.now() - t); }
console.log(JSON.stringify(least / 1000));`

func onNode(module []byte, rounds int) (seconds float64, err error) {
	cmd := exec.Command("node", "--no-liftoff", "--input-type=module", "-e", script, fmt.Sprint(rounds), fmt.Sprint(turns))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(module), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("node: %w", err)
	}
	return seconds, json.Unmarshal(out, &seconds)
}
