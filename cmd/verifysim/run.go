package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/terminal"
	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/release"
)

// maxLocalInput is more than a task can have, because a module that is being
// developed may be tried on more.
const maxLocalInput = 64 << 20

// Defaults of run, for a module without a release.
const (
	defaultFuel   = 1 << 40
	defaultOutput = 1 << 20
	defaultPages  = 256 // as of signer build
)

type runFlags struct {
	input, seed, release string
	fuel, segment        uint64
	pages, seconds       uint32
	output               uint32
	args                 []string
	interpreter, build   bool
	asJSON               *bool
}

func runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run MODULE.wasm",
		Short: "Run a module here, as a volunteer would",
		Long: `Runs a metered module under wazero on the deterministic host of docs/spec/abi.md.
The module's output goes to standard output, its log and a line about the run to standard error.
The same module, input, seed and limits give the same output and fuel on every machine.

Exit codes: 0 the module exited with code 0; 2 it ended otherwise; 1 it could not be run, or was interrupted.`,
		Example: `  echo 7328499434 | verifysim run factor.metered.wasm --input -
  verifysim run factor.wasm --build --input numbers.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.asJSON = jsonFlag(c)
	fl := c.Flags()
	fl.StringVarP(&f.input, "input", "i", "", "give this `file` on standard input; - passes on this command's (default: empty)")
	fl.StringVar(&f.seed, "seed", "", "`hex` of the 32 bytes that random_get draws from (default: zeros)")
	fl.Uint64Var(&f.fuel, "fuel", defaultFuel, "fuel limit")
	fl.Uint64Var(&f.segment, "segment-fuel", 0, "fuel limit for a segment; segment_due says 1 from half of it on (default: none, and it never does)")
	fl.Uint32Var(&f.pages, "memory-pages", 0, "largest memory in pages of 64 KiB, as the module declares it (default: what it declares; 256 with --build)")
	fl.Uint32Var(&f.seconds, "seconds", 0, "time limit (default: none)")
	fl.Uint32Var(&f.output, "output-bytes", defaultOutput, "limit on standard output")
	fl.StringArrayVar(&f.args, "arg", nil, "a parameter for the module; may be given several times")
	fl.StringVar(&f.release, "release", "", "take all limits from this release statement `file`, and check that it is of this module (its signature is not looked at)")
	fl.BoolVar(&f.interpreter, "interpreter", false, "use wazero's interpreter: the same outcome, slowly")
	fl.BoolVar(&f.build, "build", false, "meter the module first, in memory, as signer build does")
	for _, limit := range []string{"fuel", "segment-fuel", "memory-pages", "seconds", "output-bytes", "build"} {
		c.MarkFlagsMutuallyExclusive("release", limit)
	}
	return c
}

func (f *runFlags) run(c *cobra.Command, path string) error {
	task, err := f.task(c, path)
	if err != nil {
		return err
	}
	show, done := progressBar(c, path)
	task.Progress = func(permille int, text string, _ uint64) { show(uint64(permille), 1000, text) }
	// Ctrl-C ends the module, and then the outcome tells how far it came; so
	// the engine itself is not cancelled.
	ctx := context.WithoutCancel(c.Context())
	engine, err := sandbox.New(ctx, &sandbox.Options{Interpreter: f.interpreter, CacheDir: modulesDir()})
	if err != nil {
		return err
	}
	defer engine.Close(ctx)
	start := time.Now()
	o, err := engine.Run(c.Context(), task)
	done()
	if errors.Is(err, sandbox.ErrNotMetered) {
		return fmt.Errorf("%s: %w; signer build meters it, and verifysim run --build does for one run", path, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := f.print(c, o, time.Since(start)); err != nil {
		return err
	}
	switch {
	case o.End == sandbox.Cancelled:
		return context.Canceled
	case o.End != sandbox.Exit || o.Code != 0:
		return errModule
	}
	return nil
}

func (f *runFlags) task(c *cobra.Command, path string) (task sandbox.Task, err error) {
	if task.Module, err = readCapped(c, path, release.MaxModule); err != nil {
		return task, err
	}
	if f.input != "" {
		if task.Input, err = readCapped(c, f.input, maxLocalInput); err != nil {
			return task, err
		}
	}
	if task.Seed, err = parseSeed(f.seed); err != nil {
		return task, err
	}
	task.Args = f.args
	task.Limits = sandbox.Limits{Fuel: f.fuel, SegmentFuel: f.segment, MemoryPages: f.pages, OutputBytes: f.output}
	task.Deadline = time.Duration(f.seconds) * time.Second
	switch {
	case f.release != "":
		err = f.limitsOf(c, &task)
	case f.build:
		if f.pages == 0 {
			task.Limits.MemoryPages = defaultPages
		}
		task.Module, _, err = meter.Rewrite(task.Module, &meter.Options{MemoryPages: task.Limits.MemoryPages})
	}
	if err != nil {
		return task, fmt.Errorf("%s: %w", path, err)
	}
	return task, nil
}

func (f *runFlags) limitsOf(c *cobra.Command, task *sandbox.Task) error {
	data, err := readCapped(c, f.release, release.MaxStatement)
	if err != nil {
		return err
	}
	r, err := release.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", f.release, err)
	}
	task.Limits = sandbox.Limits{Fuel: r.Limits.TaskFuel, SegmentFuel: r.Limits.SegmentFuel, MemoryPages: uint32(r.Limits.MemoryPages), OutputBytes: uint32(r.Limits.OutputBytes)}
	task.Deadline = time.Duration(r.Limits.Seconds) * time.Second
	return r.CheckModule(task.Module)
}

func parseSeed(s string) (seed [32]byte, err error) {
	if s == "" {
		return seed, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(seed) {
		return seed, fmt.Errorf("--seed %.80q: want 64 hex digits", s)
	}
	return [32]byte(b), nil
}

// outcomeJSON is what run --json prints; bytes are base64.
type outcomeJSON struct {
	End          sandbox.End  `json:"end"`
	Code         uint32       `json:"code"`
	Fuel         uint64       `json:"fuel"`
	Output       []byte       `json:"output"`
	OutputSHA256 canon.Digest `json:"output_sha256"`
	Segments     int          `json:"segments"`
	Transcript   canon.Digest `json:"transcript"`
	Log          []byte       `json:"log"`
	Detail       string       `json:"detail"`
	Milliseconds int64        `json:"milliseconds"`
}

func (f *runFlags) print(c *cobra.Command, o sandbox.Outcome, took time.Duration) error {
	if *f.asJSON {
		return printJSON(c.OutOrStdout(), outcomeJSON{o.End, o.Code, o.Fuel, o.Output, canon.Sum(o.Output),
			len(o.Links), o.Transcript(), o.Log, o.Detail, took.Milliseconds()})
	}
	if _, err := c.OutOrStdout().Write(terminal.Text(c.OutOrStdout(), o.Output)); err != nil {
		return fmt.Errorf("writing the module's output: %w", err)
	}
	if _, err := c.ErrOrStderr().Write(terminal.Text(c.ErrOrStderr(), o.Log)); err != nil {
		return fmt.Errorf("writing the module's log: %w", err)
	}
	if n := len(o.Log); n > 0 && o.Log[n-1] != '\n' {
		fmt.Fprintln(c.ErrOrStderr())
	}
	segments := ""
	if n := len(o.Links); n > 1 {
		segments = fmt.Sprintf("%d segments, ", n)
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s, %d bytes of output, %d fuel, %s%v\n", ending(o), len(o.Output), o.Fuel, segments, took.Round(time.Millisecond))
	return nil
}

func ending(o sandbox.Outcome) string {
	switch {
	case o.End == sandbox.Exit:
		return fmt.Sprintf("exit with code %d", o.Code)
	case o.Detail != "":
		return fmt.Sprintf("%s: %s", o.End, o.Detail)
	}
	return string(o.End)
}
