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
	{0, `block|loop|end|else|nop|drop|unreachable|local\.(get|set|tee)|...\.const`},
	{2, `...\.load.*|br_table|select|memory\.size|f..\.(min|max)|i..\.trunc_.*|f..\.(convert|demote|promote)_.*`},
	{2, `...\.store.*`},
	{3, `call`},
	{5, `call_indirect`},
	{8, `f..\.div|i32\.(div|rem)_.`},
	{12, `f..\.(sqrt|ceil|floor|trunc|nearest)`},
	{16, `i64\.(div|rem)_.`},
	{16, `memory\.(fill|copy|init)|data\.drop`},
	{128, `memory\.grow`},
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
	if n != 189 {
		t.Errorf("%d instructions have costs, 189 are expected", n)
	}
}
