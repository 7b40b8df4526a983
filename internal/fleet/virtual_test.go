package fleet

import (
	"reflect"
	"testing"

	"github.com/countersign/countersign/release"
)

// TestVirtual: at 35 % liars nothing wrong stays and little is repeated, the same
// from one seed each time; and where liars are too many, the report says so.
func TestVirtual(t *testing.T) {
	play := func(opt VirtualOptions) *VirtualReport {
		t.Helper()
		opt.Seed, opt.Terms = 1, release.DefaultAdaptive
		r, err := Virtual(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	opt := VirtualOptions{Volunteers: 100, Liars: 35, Lies: 10, Tasks: 40_000}
	r := play(opt)
	repeated := float64(r.WarmLanes) / float64(r.WarmTasks)
	if r.Wrong != 0 || r.Undecided != 0 || r.CaughtTrue != r.Caught || r.Caught < 34 || repeated > 1.3 || repeated < 1.05 {
		t.Errorf("%+v", r)
	}
	if again := play(opt); !reflect.DeepEqual(r, again) {
		t.Errorf("%+v, and then %+v", r, again)
	}
	if r := play(VirtualOptions{Volunteers: 100, Liars: 80, Collude: true, Tasks: 2000}); r.Wrong == 0 {
		t.Errorf("80 %% liars with the same lies win nothing: %+v", r)
	}
}
