package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// limit recognises refusals for size.
var limit = regexp.MustCompile(`at most|too large|larger than|deeper than|limit`)

// compiles has wazero compile a metered module.
func compiles(code []byte) error {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2|experimental.CoreFeaturesExtendedConst))
	defer r.Close(ctx)
	_, err := r.CompileModule(ctx, code)
	return err
}

// outcome is one cell of the table.
func (r *result) outcome() string {
	switch {
	case r.bug:
		return "WRONG: " + r.refused
	case r.wazero != nil:
		return "WRONG: wazero: " + strings.SplitN(r.wazero.Error(), "\n", 2)[0]
	case r.v8 == "invalid":
		return "WRONG: not valid in V8"
	case r.refused != "" && r.size > 0:
		return "metered without its imports; " + r.refused
	case r.refused != "":
		return r.refused
	}
	return "metered"
}

// table has a line for each module, and totals.
func table(results []result) string {
	var b strings.Builder
	t := totals{refused: map[string]int{}}
	b.WriteString("| package | module | bytes | MB/s | growth | outcome |\n| --- | --- | ---: | ---: | ---: | --- |\n")
	for i := range results {
		r := &results[i]
		t.add(r)
		speed, growth := "", ""
		if r.size > 0 {
			speed, growth = fmt.Sprintf("%.0f", r.speed), fmt.Sprintf("%.2f", float64(r.size)/float64(r.before))
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s |\n", r.pack, r.name, len(r.source.code), speed, growth, strings.ReplaceAll(r.outcome(), "|", "\\|"))
	}
	return b.String() + t.String()
}
