// Command breaks shows that every invariant of docs/spec/meter.md has a test that
// fails without it. It breaks the code in one place after the other, in a copy
// that only the compiler sees, and runs the test that the spec names for what
// was broken.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

const usage = `Breaks the metering in one place after the other, and wants the test that
docs/spec/meter.md names for the invariant to fail. The tree is not changed.
Takes about five minutes; run it from the root of the repository: make breaks

Exit codes: 0 every test failed as it should, 1 one did not, or a break is
wrong, 130 interrupted.

`

func main() {
	only := flag.String("only", "", "only breaks with this `text` in their invariant, what is broken, or test")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, ".", chosen(breaks, *only))
	if ctx.Err() != nil {
		fmt.Fprintln(os.Stderr, "breaks: interrupted")
		os.Exit(130)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "breaks:", err)
		os.Exit(1)
	}
}

func chosen(all []broken, text string) (some []broken) {
	for _, b := range all {
		if strings.Contains(b.invariant+"\n"+b.what+"\n"+b.test, text) {
			some = append(some, b)
		}
	}
	return some
}

// run makes sure that the tests pass as things are, and that each fails when its
// invariant is broken.
func run(ctx context.Context, root string, chosen []broken) error {
	if len(chosen) == 0 {
		return fmt.Errorf("no break has that text: -only \"\" runs all of them")
	}
	if err := covered(root, breaks); err != nil {
		return err
	}
	wrong, passed := 0, map[string]bool{} // packages whose tests pass
	for _, b := range chosen {
		if pkg := b.pkg(); !passed[pkg] {
			passed[pkg] = true
			if err := pass(ctx, root, pkg, chosen); err != nil {
				return err
			}
		}
		start := time.Now()
		how, err := b.fails(ctx, root)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			wrong++
			how = "ERROR: " + err.Error()
		} else if how == survived {
			wrong++
		}
		fmt.Printf("%s\n    broken: %s\n    %s: %s, %.1f s\n", b.invariant, b.what, b.test, how, time.Since(start).Seconds())
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d breaks did not make their test fail", wrong, len(chosen))
	}
	fmt.Printf("%d breaks, and each made its test fail.\n", len(chosen))
	return nil
}

// pass runs each test of a package once on the code as it is.
func pass(ctx context.Context, root, pkg string, chosen []broken) error {
	var names []string
	for _, b := range chosen {
		if name := b.top(); b.pkg() == pkg && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	fmt.Printf("%s unbroken: %s\n", pkg, strings.Join(names, " "))
	verdicts, err := test(ctx, root, pkg, "^("+strings.Join(names, "|")+")$", "")
	if err != nil {
		return err
	}
	for _, name := range names {
		if v := verdicts.of[name]; v != "pass" {
			return fmt.Errorf("%s: %s gives %q without a break, it has to pass:\n%s", pkg, name, v, verdicts.text)
		}
	}
	return nil
}
