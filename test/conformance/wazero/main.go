// Command wazero runs tasks on one of wazero's engines: a column of the
// conformance table. It reads a JSON array of tasks and writes what came of
// each.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
)

type task struct {
	Name          string
	Module, Input []byte
	Args          []string
	Seed          string
	Limits        struct {
		TaskFuel    uint64 `json:"task_fuel"`
		SegmentFuel uint64 `json:"segment_fuel"`
		MemoryPages uint32 `json:"memory_pages"`
		OutputBytes uint32 `json:"output_bytes"`
	}
}

type found struct {
	Name       string       `json:"name"`
	End        sandbox.End  `json:"end"`
	Code       uint32       `json:"code"`
	Fuel       uint64       `json:"fuel"`
	Segments   int          `json:"segments"`
	Transcript canon.Digest `json:"transcript"`
	Output     canon.Digest `json:"output"`
	Detail     string       `json:"detail"`
	Millis     int64        `json:"millis"`
}

func main() {
	interpreter := flag.Bool("interpreter", false, "use the interpreter")
	flag.Parse()
	if err := run(*interpreter); err != nil {
		fmt.Fprintln(os.Stderr, "wazero:", err)
		os.Exit(1)
	}
}

func run(interpreter bool) error {
	var tasks []task
	if err := json.NewDecoder(os.Stdin).Decode(&tasks); err != nil {
		return fmt.Errorf("reading tasks: %w", err)
	}
	ctx := context.Background()
	e, err := sandbox.New(ctx, &sandbox.Options{Interpreter: interpreter})
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	all := []found{}
	for _, t := range tasks {
		seed, err := hex.DecodeString(t.Seed)
		if err != nil || len(seed) != 32 {
			return fmt.Errorf("%s: seed %q", t.Name, t.Seed)
		}
		began := time.Now()
		o, err := e.Run(ctx, sandbox.Task{Module: t.Module, Input: t.Input, Args: t.Args, Seed: [32]byte(seed), Limits: sandbox.Limits{
			Fuel: t.Limits.TaskFuel, SegmentFuel: t.Limits.SegmentFuel, MemoryPages: t.Limits.MemoryPages, OutputBytes: t.Limits.OutputBytes}})
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		all = append(all, found{t.Name, o.End, o.Code, o.Fuel, len(o.Links), o.Transcript(), canon.Sum(o.Output), o.Detail, time.Since(began).Milliseconds()})
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}
