package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// totals are what stands below the table.
type totals struct {
	modules, metered, stripped, wrong int
	before, after                     int
	seconds                           float64
	refused                           map[string]int // by reason, also those whose code was tried
}

func (t *totals) add(r *result) {
	t.modules++
	if r.reason != "" {
		t.refused[r.reason]++
	}
	switch outcome := r.outcome(); {
	case strings.HasPrefix(outcome, "WRONG"):
		t.wrong++
		return
	case outcome == "metered":
		t.metered++
	case r.size > 0:
		t.stripped++
	default:
		return
	}
	t.before, t.after = t.before+r.before, t.after+r.size
	t.seconds += float64(r.before) / 1e6 / r.speed
}

func (t *totals) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d modules: %d metered, %d metered without their imports, %d refused, %d wrong.\n",
		t.modules, t.metered, t.stripped, t.modules-t.metered-t.stripped-t.wrong, t.wrong)
	if t.before > 0 {
		fmt.Fprintf(&b, "%.1f MB became %.1f MB, growth %.3f, at %.0f MB/s.\n",
			float64(t.before)/1e6, float64(t.after)/1e6, float64(t.after)/float64(t.before), float64(t.before)/1e6/t.seconds)
	}
	b.WriteString("\nReasons of refusals:\n\n")
	for _, why := range slices.Sorted(maps.Keys(t.refused)) {
		fmt.Fprintf(&b, "* %s: %d\n", why, t.refused[why])
	}
	return b.String()
}
