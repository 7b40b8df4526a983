package proof

import (
	"fmt"
	"slices"
	"strconv"
)

// step is one thing that an engine is told to do. Engines are told the same,
// and what comes of it is compared.
type step struct {
	Op     string   // "module", "call", "get" or "memory"
	ID     int      // of the instance: made by "module", used by the others
	File   string   // of a module
	As     string   // the name under which its exports can be imported, if any
	Field  string   // the export
	Args   []value  // of a call
	Types  []string // of the results
	Refuel int64    // how much one refill grants
}

// value is a number by its bits, or a reference: "null", "func", or the
// number of a host's object.
type value struct{ Type, Lo, Hi string }

// outcome is what came of a step.
type outcome struct {
	Values []value
	Trap   string   // the kind; "" when there was none
	Detail string   // the engine's own words
	Fuel   int64    // that the instance has used so far
	Hash   string   // of a memory
	Spent  bool     // the step ended with countersign_stack below zero
	Log    []string // what the host was called with
}

func (v value) halves() (lo, hi uint64) { return number(v.Lo), number(v.Hi) }

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0
	}
	return n
}

// same compares what two engines made of a step.
func (o outcome) same(p outcome) bool {
	return o.Fuel == p.Fuel && family(o.Trap) == family(p.Trap) && o.Hash == p.Hash && sameValues(o.Values, p.Values) && slices.Equal(o.Log, p.Log)
}

func sameValues(a, b []value) bool {
	return fmt.Sprint(a) == fmt.Sprint(b)
}

// family joins the kinds of traps that V8 does not tell apart.
func family(trap string) string {
	if trap == trapConversion || trap == trapOverflow {
		return "float"
	}
	return trap
}
