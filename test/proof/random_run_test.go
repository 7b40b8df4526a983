package proof

import (
	"fmt"
	"os"
)

// run carries out the steps of all modules on every engine, and compares.
func (r *random) run() {
	var plans [][]step
	for _, c := range r.cases {
		plans = append(plans, c.source, c.metered)
	}
	v8, err := onV8(r.dir, "", plans)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, c := range r.cases {
		source, err1 := onWazero(false, nil, c.source)
		metered, err2 := onWazero(false, nil, c.metered)
		other, err3 := onWazero(true, nil, refueled(c.metered, 77))
		if err1 != nil || err2 != nil || err3 != nil {
			r.t.Errorf("seed %d: %v, %v, %v", c.seed, err1, err2, err3)
			continue
		}
		r.counts["compared"]++
		if c.exact {
			r.compare(c, "before and after on the compiler", source, metered, false)
			r.compare(c, "before and after in V8", v8[2*i], v8[2*i+1], false)
		}
		r.compare(c, "interpreter", metered, other, true)
		r.compare(c, "V8", metered, v8[2*i+1], true)
	}
}

// compare looks for the first step of which two runs made something else. When
// an engine's own stack was used up the runs have gone apart for good reason.
func (r *random) compare(c randomCase, what string, a, b []outcome, fuel bool) {
	for i := range a {
		x, y := a[i], b[i]
		if overflowed(x) || overflowed(y) {
			r.counts["stack used up, "+what]++
			return
		}
		if !fuel {
			x.Fuel, y.Fuel = 0, 0
		}
		if !x.same(y) {
			c.keep(os.TempDir())
			r.t.Errorf("seed %d, %s, step %d (%s): %s\nand %s", c.seed, what, i, c.metered[i].Field, show(x), show(y))
			return
		}
		r.counts["steps the same, "+what]++
		r.counts["calls of the host the same, "+what] += len(x.Log)
	}
}

func overflowed(o outcome) bool { return o.Trap == trapStack }

func show(o outcome) string {
	return fmt.Sprintf("%v trap %q (%.120s) fuel %d memory %s log %v", o.Values, o.Trap, o.Detail, o.Fuel, o.Hash, o.Log)
}
