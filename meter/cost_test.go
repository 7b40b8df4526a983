package meter

import (
	"regexp"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
)

// table is the cost table of docs/spec/meter.md once more, by names instead of
// opcodes; the first row that matches counts.
var table = []struct {
	cost  uint64
	names string
}{
	{0, `block|loop|end|else|br|return|nop|drop|unreachable|local\.(get|set|tee)|(...|v128)\.const`},
	{2, `...\.load.*|...\.store.*|br_table|select|(memory|table)\.size|table\.(get|set)`},
	{2, `f..\.(min|max)|i..\.trunc_.*|f..\.(convert|demote|promote)_.*`},
	{6, `call`},
	{12, `call_indirect`},
	{8, `f..(x.)?\.div|i32\.(div|rem)_.`},
	{12, `f..(x.)?\.sqrt`},
	{16, `i64\.(div|rem)_.`},
	{32, `(memory|table)\.(fill|copy|init)|(data|elem)\.drop`},
	{128, `(memory|table)\.grow`},
	{3, `v128\.(load|store).*_lane`},
	{2, `v128\.(load|store).*|i8x16\.(shuffle|swizzle|sh[lr].*)|i64x2\.shr_s|.*_lane(_.)?`},
	{2, `f..x.\.(demote|promote)_.*|f..(x.)?\.(ceil|floor|trunc|nearest)`},
	{3, `f..x.\.(min|max|convert_.*)|i32x4\.trunc_sat_.*`},
	{4, `i8x16\.popcnt|i64x2\.mul`},
	{1, `.*`},
}

func TestCosts(t *testing.T) {
	n := 0
	for op := wasm.Op(0); op < 0x1000000; op++ {
		if !op.Accepted() {
			continue
		}
		n++
		for _, row := range table {
			if !regexp.MustCompile(`^(?:` + row.names + `)$`).MatchString(op.Name()) {
				continue
			}
			if got := cost(op); got != row.cost {
				t.Errorf("%s costs %d, the spec says %d", op, got, row.cost)
			}
			break
		}
	}
	if n != 437 {
		t.Errorf("%d instructions have costs, 437 are expected", n)
	}
}
