package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/meter"
	"github.com/countersign/countersign/release"
)

func buildCommand() *cobra.Command {
	var out string
	var pages uint32
	var report bool
	c := &cobra.Command{
		Use:   "build SOURCE.wasm",
		Short: "Meter a module: the bytes that browsers will run",
		Long: `Reads a WebAssembly command (WASI preview 1), validates it, adds fuel metering, and validates the result.
The same source and options give the same bytes anywhere, so a hub can repeat it.
With --report, says what was added, how large the code has become and which blocks cost most; or what the module is refused for, in which function, at which offset.

What is accepted, added and charged: docs/spec/meter.md.`,
		Example: "  signer build factor.wasm -o factor.metered.wasm --memory-pages 16",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	addJobFlag(c)
	c.Flags().StringVarP(&out, "output", "o", "", "write the metered module to this `file`")
	c.Flags().BoolVar(&report, "report", false, "say what was added and what it costs, or why the module is refused")
	c.Flags().Uint32Var(&pages, "memory-pages", 256, "largest linear memory, in pages of 64 KiB; the release's limit must be the same")
	must(c, "output")
	c.RunE = func(c *cobra.Command, args []string) error {
		source, err := readCapped(args[0], release.MaxModule)
		if err != nil {
			return err
		}
		b, err := build(c.Context(), source, pages)
		if err != nil {
			if r := refusalOf(err); report && r != nil {
				err = errors.Join(err, printRefusal(c, r, *asJSON))
			}
			return fmt.Errorf("building %s: %w", args[0], err)
		}
		if err := replaceModule(out, b.module); err != nil {
			return err
		}
		return b.print(c, out, report, *asJSON)
	}
	return c
}

// built is a metered module.
type built struct {
	source, module []byte
	pages          uint32
	inspection     *meter.Inspection
}

// build meters the source and validates both with the engine that re-verifies
// results.
func build(ctx context.Context, source []byte, pages uint32) (*built, error) {
	opt := &meter.Options{MemoryPages: pages}
	module, _, err := meter.Rewrite(source, opt)
	if err != nil {
		return nil, refusedAs(err)
	}
	b := &built{source: source, module: module, pages: pages}
	if b.inspection, err = meter.Inspect(source, opt); err != nil {
		return nil, err
	}
	engine, err := sandbox.New(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer engine.Close(ctx)
	if err := engine.Validate(ctx, source); err != nil {
		return nil, fmt.Errorf("the source is not a valid module: %w", err)
	}
	if err := engine.Validate(ctx, module); err != nil {
		return nil, fmt.Errorf("the metered module does not validate, which is a defect of signer: %w", err)
	}
	if _, err := meter.Check(module, opt); err != nil {
		return nil, fmt.Errorf("the metered module cannot be checked, which is a defect of signer: %w", err)
	}
	return b, nil
}

// refusedAs tells modules that are malformed from those that use what is not
// accepted.
func refusedAs(err error) error {
	if r := refusalOf(err); r != nil && r.Feature == "" {
		return fmt.Errorf("the source is not a valid module, or over a limit: %w", err)
	}
	return err
}

func printRefusal(c *cobra.Command, r *refusal, asJSON bool) error {
	if asJSON {
		return printJSON(c.OutOrStdout(), map[string]any{"refused": r})
	}
	r.print(c.OutOrStdout())
	return nil
}

func (b *built) print(c *cobra.Command, path string, report, asJSON bool) error {
	w, in := c.OutOrStdout(), b.inspection
	if asJSON {
		all := map[string]any{"module_sha256": canon.Sum(b.module), "module_length": len(b.module),
			"source_sha256": canon.Sum(b.source), "source_length": len(b.source), "memory_pages": b.pages, "report": in.Report}
		if report {
			all["functions"] = in.Functions
		}
		return printJSON(w, all)
	}
	fields(w, "module", fmt.Sprintf("%s, %d bytes (source %d, ×%.2f)", path, len(b.module), len(b.source), ratio(len(b.module), len(b.source))),
		"sha256", canon.Sum(b.module), "memory", fmt.Sprintf("at most %d pages (%d KiB)", b.pages, b.pages*64), "metering", &in.Report)
	if report {
		printReport(w, in)
	}
	return nil
}
