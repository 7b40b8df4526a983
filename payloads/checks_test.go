package payloads_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// How many folders with how many cases TestGolden has to find.
const (
	wantFolders = 19
	wantCases   = 69
)

// checks compute, in another way than the module does, what it must write.
var checks = map[string]func(t *testing.T, c *goldenCase, input []byte) []byte{
	"factor/factor.metered.wasm":          factorAgain,
	"primes/primes.metered.wasm":          primesAgain,
	"primes/primes-sum.metered.wasm":      primesSumAgain,
	"lab-fib/lab-fib.metered.wasm":        fibAgain,
	"lab-cpu/lab-cpu.metered.wasm":        seriesAgain,
	"lab-io/lab-io.metered.wasm":          foldAgain,
	"mandelbrot/mandelbrot.metered.wasm":  mandelbrotAgain,
	"gradient/gradient.metered.wasm":      gradientAgain,
	"gradient/gradient-step.metered.wasm": stepAgain,
	"align/align.metered.wasm":            alignAgain,
	"steps/steps.metered.wasm":            stepsAgain,
	"wordcount/wordcount.metered.wasm":    wordsAgain,
}

// scan reads values from the start of a line.
func scan(t *testing.T, line string, v ...any) {
	t.Helper()
	if _, err := fmt.Sscan(line, v...); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
}

// factorAgain divides by trial up to the square root.
func factorAgain(t *testing.T, _ *goldenCase, input []byte) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(input)) {
		var n uint64
		scan(t, line, &n)
		var p []string
		left := n
		for d := uint64(2); d*d <= left; d++ {
			for ; left%d == 0; left /= d {
				p = append(p, fmt.Sprint(d))
			}
		}
		if left > 1 {
			p = append(p, fmt.Sprint(left))
		}
		fmt.Fprintf(&out, "%d -> %s\n", n, strings.Join(p, ","))
	}
	return []byte(out.String())
}

// primesAgain crosses out the multiples of every number from 2 on.
func primesAgain(t *testing.T, _ *goldenCase, input []byte) []byte {
	var a, b uint64
	scan(t, string(input), &a, &b)
	composite := make([]bool, b-a)
	for d := uint64(2); d*d < b; d++ {
		for n := max(d*d, (a+d-1)/d*d); n < b; n += d {
			composite[n-a] = true
		}
	}
	count := 0
	for i, c := range composite {
		if !c && a+uint64(i) >= 2 {
			count++
		}
	}
	return fmt.Appendf(nil, "%d %d %d\n", a, b, count)
}

func primesSumAgain(t *testing.T, _ *goldenCase, input []byte) []byte {
	var from, to, all uint64
	for i, line := range strings.Split(strings.TrimSpace(string(input)), "\n") {
		var a, b, n uint64
		if scan(t, line, &a, &b, &n); i == 0 {
			from = a
		}
		to, all = b, all+n
	}
	return fmt.Appendf(nil, "%d %d %d\n", from, to, all)
}

func fibAgain(t *testing.T, _ *goldenCase, input []byte) (out []byte) {
	for line := range strings.Lines(string(input)) {
		var n int
		scan(t, line, &n)
		a, b := 0, 1
		for range n {
			a, b = b, a+b
		}
		out = fmt.Appendf(out, "%d %d\n", n, a)
	}
	return out
}

func seriesAgain(t *testing.T, _ *goldenCase, input []byte) []byte {
	var a, b uint64
	scan(t, string(input), &a, &b)
	sum := 0.0
	for k := a; k < b; k++ {
		sum += 1 / (float64(k) * float64(k))
	}
	scaled := uint64(sum * 1e15)
	return fmt.Appendf(nil, "%d %d %016x %d.%015d\n", a, b, math.Float64bits(sum), scaled/1e15, scaled%1e15)
}

func foldAgain(_ *testing.T, _ *goldenCase, input []byte) []byte {
	var out bytes.Buffer
	sum := 0
	for i, b := range input {
		if sum = (sum + int(b)) % 251; i%16 == 15 || i == len(input)-1 {
			out.WriteByte(byte(sum))
		}
	}
	return out.Bytes()
}

// alignAgain is Smith–Waterman with affine gaps as Gotoh wrote it down: three
// tables, one cell at a time.
func alignAgain(_ *testing.T, c *goldenCase, input []byte) (out []byte) {
	query := strings.ToUpper(c.Args[0])
	for _, record := range strings.Split(string(input), ">")[1:] {
		head, body, _ := strings.Cut(record, "\n")
		letters := strings.ToUpper(strings.ReplaceAll(body, "\n", ""))
		name, _, _ := strings.Cut(head, " ")
		out = fmt.Appendf(out, "%s %d\n", name, smithWaterman(query, letters))
	}
	return out
}

func smithWaterman(a, b string) (best int) {
	const open, extend, never = 4, 1, -1 << 30
	h, e := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range e {
		e[j] = never
	}
	for i := range len(a) {
		f, diagonal := never, h[0]
		for j := 1; j <= len(b); j++ {
			pair := -1
			if a[i] == b[j-1] {
				pair = 2
			}
			e[j] = max(e[j]-extend, h[j]-open)
			f = max(f-extend, h[j-1]-open)
			diagonal, h[j] = h[j], max(0, diagonal+pair, e[j], f)
			best = max(best, h[j])
		}
	}
	return best
}

// wordsAgain finds words by a regular expression, and counts in reduce by
// writing out each word as often as it stands there.
func wordsAgain(t *testing.T, c *goldenCase, input []byte) (out []byte) {
	words := regexp.MustCompile(`\pL+`).FindAllString(string(input), -1)
	if len(c.Args) > 0 {
		words = nil
		for line := range strings.Lines(string(input)) {
			var word string
			var n int
			scan(t, line, &word, &n)
			words = append(words, slices.Repeat([]string{word}, n)...)
		}
	}
	counts := map[string]int{}
	for _, w := range words {
		counts[strings.ToLower(w)]++
	}
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		out = fmt.Appendf(out, "%s %d\n", w, counts[w])
	}
	return out
}

func stepsAgain(t *testing.T, _ *goldenCase, input []byte) (out []byte) {
	var until, mixed uint64
	scan(t, string(input), &until)
	for done := range until {
		for range 1000 {
			mixed = (mixed^done)*0x9e3779b97f4a7c15 + mixed>>29
		}
		if (done+1)%1024 == 0 {
			out = append(out, '.')
		}
	}
	return fmt.Appendf(out, "%016x\n", mixed)
}
