package payloads_test

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/sandbox"
)

// The conversions around products below keep Go from fusing a product and a sum
// into one rounding, which it may do on other machines than x86-64.

func mandelbrotAgain(t *testing.T, c *goldenCase, input []byte) (out []byte) {
	size := []int{800, 600, 2000}
	for i, a := range c.Args {
		scan(t, a, &size[i])
	}
	w, h, most := size[0], size[1], size[2]
	var from, to int
	if scan(t, string(input), &from, &to); from == 0 {
		out = fmt.Appendf(out, "P5\n%d %d\n255\n", w, h)
	}
	step := 3 / float64(w)
	for y := from; y < to; y++ {
		for x := range w {
			cx := float64((float64(x)+0.5-float64(w)/2)*step) - 0.75
			cy := (float64(y) + 0.5 - float64(h)/2) * step
			zx, zy, n := 0.0, 0.0, 0
			for ; n < most && float64(zx*zx)+float64(zy*zy) <= 4; n++ {
				zx, zy = float64(zx*zx)-float64(zy*zy)+cx, float64(2*zx*zy)+cy
			}
			shade := byte(0)
			if n < most {
				shade = byte(255 * n / (n + 16))
			}
			out = append(out, shade)
		}
	}
	return out
}

// exponential, logarithm: gradient.c says what they do, and in which order.
func exponential(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > 709:
		return math.Inf(1)
	case x < -708:
		return 0
	}
	n := math.Floor(float64(x*1.4426950408889634) + 0.5)
	r := x - float64(n*0.6931471803691238) - float64(n*1.9082149292705877e-10)
	sum := 1.0
	for i := 13.0; i >= 1; i-- {
		sum = float64(sum*r)/i + 1
	}
	return sum * math.Float64frombits(uint64(int64(n)+1023)<<52)
}

func logarithm(x float64) float64 {
	s := (x - 1) / (x + 1)
	sum := 0.0
	for i := 33.0; i >= 1; i -= 2 {
		sum = float64(float64(sum)*float64(s*s)) + 1/i
	}
	return 2 * s * sum
}

// TestFunctions compares the functions that gradient.c writes out, in their Go
// form, with those of the library, which may differ in the last bits.
func TestFunctions(t *testing.T) {
	near := func(got, want float64) bool {
		return bits.Len64(math.Float64bits(got)-math.Float64bits(want)+8) <= 4
	}
	for x := -700.0; x < 700; x += 0.37 {
		if got, want := exponential(x), math.Exp(x); !near(got, want) {
			t.Errorf("exponential(%v) = %v, want %v", x, got, want)
		}
	}
	for x := 1.0; x <= 2; x += 1.0 / 512 {
		if got, want := logarithm(x), math.Log(x); math.Abs(got-want) > 4e-16 {
			t.Errorf("logarithm(%v) = %v, want %v", x, got, want)
		}
	}
}

// hexDoubles reads "n d d …".
func hexDoubles(t *testing.T, line string) (n uint64, d []float64) {
	t.Helper()
	words := strings.Fields(line)
	scan(t, words[0], &n)
	for _, w := range words[1:] {
		b, err := strconv.ParseUint(w, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		d = append(d, math.Float64frombits(b))
	}
	return n, d
}

// hexLine writes doubles as the payloads do. A NaN that was computed there is
// always the canonical one; what was copied is as it was.
func hexLine(n uint64, copied, computed []float64) []byte {
	out := strconv.AppendUint(nil, n, 10)
	for _, x := range copied {
		out = fmt.Appendf(out, " %016x", math.Float64bits(x))
	}
	for _, x := range computed {
		b := math.Float64bits(x)
		if math.IsNaN(x) {
			b = 0x7ff8000000000000
		}
		out = fmt.Appendf(out, " %016x", b)
	}
	return append(out, '\n')
}

func gradientAgain(t *testing.T, c *goldenCase, input []byte) []byte {
	var weights, sum []float64
	var n uint64
	loss := 0.0
	if len(c.Args) > 0 {
		_, weights = hexDoubles(t, c.Args[0])
		weights = weights[:len(weights)-1]
	}
	for line := range strings.Lines(string(input)) {
		words := strings.Fields(line)
		x := []float64{1}
		for _, w := range words[1:] {
			v, err := strconv.ParseFloat(w, 64)
			if err != nil {
				t.Fatal(err)
			}
			x = append(x, v)
		}
		if weights == nil {
			weights = make([]float64, len(x))
		}
		if sum == nil {
			sum = make([]float64, len(x))
		}
		z, class := 0.0, float64(words[0][0]-'0')
		for i := range x {
			z += float64(weights[i] * x[i])
		}
		e := 1/(1+exponential(-z)) - class
		for i := range x {
			sum[i] += float64(e * x[i])
		}
		wrong := z // how far the sample is on the wrong side
		if class == 1 {
			wrong = -z
		}
		loss += max0(wrong) + logarithm(1+exponential(-math.Abs(wrong)))
		n++
	}
	return hexLine(n, weights, append(sum, loss))
}

// max0 is 0 for NaN, unlike max.
func max0(x float64) float64 {
	if x > 0 {
		return x
	}
	return 0
}

func stepAgain(t *testing.T, c *goldenCase, input []byte) []byte {
	var all uint64
	var weights, sum []float64
	rate := uint64(1000)
	if len(c.Args) > 0 {
		scan(t, c.Args[0], &rate)
	}
	for line := range strings.Lines(string(input)) {
		n, d := hexDoubles(t, line)
		k := len(d) / 2
		if weights = d[:k]; sum == nil {
			sum = make([]float64, k+1)
		}
		for i, x := range d[k:] {
			sum[i] += x
		}
		all += n
	}
	next := make([]float64, len(weights))
	for i, w := range weights {
		next[i] = w - float64(float64(rate)/1000*sum[i])/float64(all)
	}
	return hexLine(all, nil, append(next, sum[len(weights)]/float64(all)))
}

// TestGradientRounds does rounds of map and reduce as orders would, and looks
// whether the model learns.
func TestGradientRounds(t *testing.T) {
	c := &goldenCase{dir: "gradient", Seed: strings.Repeat("0", 64), Limits: limits{TaskFuel: 1 << 30, MemoryPages: 16, OutputBytes: 65536}}
	e := engine(t, false)
	run := func(module string, input []byte) []byte {
		c.Module = module
		o := c.run(t, e, input)
		if o.End != sandbox.Exit || o.Code != 0 {
			t.Fatalf("%s: %s %d: %s", module, o.End, o.Code, o.Log)
		}
		return o.Output
	}
	var loss []float64
	for range 30 {
		var maps []byte
		for _, part := range []string{"gradient/part0.txt", "gradient/part1.txt"} {
			data, err := os.ReadFile(part)
			if err != nil {
				t.Fatal(err)
			}
			maps = append(maps, run("gradient.metered.wasm", data)...)
		}
		args := c.Args
		c.Args = nil
		line := run("gradient-step.metered.wasm", maps)
		if want := stepAgain(t, c, maps); string(line) != string(want) {
			t.Fatalf("round with weights %q gives\n%s, want\n%s", args, line, want)
		}
		c.Args = []string{strings.TrimSpace(string(line))}
		_, d := hexDoubles(t, string(line))
		loss = append(loss, d[len(d)-1])
	}
	if math.Abs(loss[0]-math.Ln2) > 1e-12 || loss[29] > 0.36 || !slices.IsSortedFunc(loss, func(a, b float64) int { return int(math.Copysign(1, b-a)) }) {
		t.Errorf("losses %v", loss)
	}
	t.Logf("mean loss %.4f before the first round, %.4f before the 30th", loss[0], loss[29])
}
