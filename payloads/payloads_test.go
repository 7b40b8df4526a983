package payloads

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// first are the numbers of the first demo, with their factors.
const first = `7328499434 -> 2,17,257,838693
3792814921 -> 7,41,13215383
4083310343 -> 7,37,15765677
4401689293 -> 643,757,9043
3979661166 -> 2,3,3,3,13,89,63697
6915352069 -> 6277,1101697
393300005 -> 5,7,11237143
5359459099 -> 19391,276389
2532264950 -> 2,5,5,50645299
3794691709 -> 1237,3067657
7519596251 -> 31,242567621
9625185328 -> 2,2,2,2,11,37,1478069
645966521 -> 41,167,94343
`

// factors divides by trial, up to the square root.
func factors(n uint64) (p []uint64) {
	for d := uint64(2); d*d <= n; d++ {
		for ; n%d == 0; n /= d {
			p = append(p, d)
		}
	}
	if n > 1 {
		p = append(p, n)
	}
	return p
}

// numbers parses lines, each of which has to end in a newline.
func numbers(t *testing.T, lines []byte) (all []uint64) {
	t.Helper()
	for line := range bytes.Lines(lines) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		n, err := strconv.ParseUint(string(text), 10, 63)
		if err != nil || !ended || strconv.FormatUint(n, 10) != string(text) {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, n)
	}
	return all
}

func lineOf(n uint64) string {
	return fmt.Sprintf("%d -> %s\n", n, strings.ReplaceAll(strings.Trim(fmt.Sprint(factors(n)), "[]"), " ", ","))
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("factor/golden/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGoldenFactors makes sure that what factor is compared with is right.
func TestGoldenFactors(t *testing.T) {
	var want strings.Builder
	in := numbers(t, golden(t, "input.txt"))
	for _, n := range in {
		want.WriteString(lineOf(n))
	}
	if got := string(golden(t, "output.txt")); got != want.String() {
		t.Errorf("output.txt:\n%s\nwant:\n%s", got, want.String())
	}
	if !strings.HasPrefix(want.String(), first) {
		t.Error("the golden output does not start with the first demo's factors")
	}
	for _, edge := range []uint64{0, 1, 2, math.MaxInt64} {
		if !slices.Contains(in, edge) {
			t.Errorf("the golden input lacks %d", edge)
		}
	}
	if fuel := numbers(t, golden(t, "fuel.txt")); len(fuel) != 1 || fuel[0] == 0 {
		t.Errorf("fuel.txt: %v", fuel)
	}
}

// demoBudget bounds the divisions of the numbers that follow the first demo's,
// so that the demo takes seconds.
const demoBudget = 300_000_000

func TestDemoNumbers(t *testing.T) {
	all := numbers(t, DemoNumbers)
	var start strings.Builder
	var divisions uint64
	seen := map[uint64]bool{}
	for i, n := range all {
		if seen[n] {
			t.Errorf("%d stands twice", n)
		}
		seen[n] = true
		if i < 13 {
			start.WriteString(lineOf(n))
		} else if p := factors(n); len(p) > 0 {
			divisions += p[len(p)-1]
		}
	}
	if start.String() != first {
		t.Errorf("the first numbers are\n%s", start.String())
	}
	if len(all) < 300 || divisions > demoBudget {
		t.Errorf("%d numbers, %d divisions beside the first demo's; 300 and at most %d are wanted", len(all), divisions, demoBudget)
	}
	t.Logf("%d numbers, %d divisions beside the first demo's", len(all), divisions)
}
