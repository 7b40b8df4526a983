package proof

import (
	"os"
	"strings"
)

// run has the three engines carry out all scripts.
func (s *suite) run(spectest string) {
	host, err := os.ReadFile(spectest)
	if err != nil {
		s.t.Fatal(err)
	}
	var plans [][]step
	for _, p := range s.scripts {
		plans = append(plans, p.steps)
	}
	v8, err := onV8(s.tmp, spectest, plans)
	if err != nil {
		s.t.Fatal(err)
	}
	for i, p := range s.scripts {
		compiler, err := onWazero(false, host, p.steps)
		if err != nil {
			s.t.Fatalf("%s: %v", p.file, err)
		}
		// Another slice, which must not matter.
		interpreter, err := onWazero(true, host, refueled(p.steps, 77))
		if err != nil {
			s.t.Fatalf("%s: %v", p.file, err)
		}
		s.check(p, "compiler", compiler)
		s.check(p, "interpreter", interpreter)
		s.check(p, "V8", v8[i])
		s.sameFuel(p, "interpreter", compiler, interpreter)
		s.sameFuel(p, "V8", compiler, v8[i])
	}
}

func refueled(steps []step, slice int64) []step {
	var all []step
	for _, st := range steps {
		st.Refuel = slice
		all = append(all, st)
	}
	return all
}

// check makes the suite's assertions.
func (s *suite) check(p *script, engine string, all []outcome) {
	for i, c := range p.commands {
		if wrong := c.wrong(all[i], engine); wrong != "" {
			s.t.Errorf("%s line %d on %s: %s: %s %v, want %s %v: %+v", p.file, c.Line, engine, c.Type, c.Action.Field, c.Action.Args, c.Text, c.Expected, all[i])
			s.counts["assertions failed on "+engine]++
		} else if c.Type != "module" {
			s.counts["assertions passed on "+engine]++
		}
	}
}

// wrong says what is wrong about an outcome, "" if nothing.
func (c command) wrong(o outcome, engine string) string {
	switch c.Type {
	case "module", "action":
		return o.Trap
	case "assert_return":
		if o.Trap != "" || len(o.Values) != len(c.Expected) {
			return "no result"
		}
		for i, e := range c.Expected {
			if !e.matches(o.Values[i]) {
				return "another result"
			}
		}
		return ""
	case "assert_exhaustion":
		// The module's own count ends it, but for wazero's interpreter, which
		// has fewer frames than that. A host tells by countersign_stack.
		if o.Trap == trapUnreachable && o.Spent || engine == "interpreter" && o.Trap == trapStack && !o.Spent {
			return ""
		}
	case "assert_trap":
		if c.trap(o.Trap) && !o.Spent {
			return ""
		}
	case "assert_unlinkable":
		// In 1.0, active segments that do not fit were no trap; wazero puts
		// off what is out of a table's bounds.
		if o.Trap == "link" || strings.HasSuffix(c.Text, "segment does not fit") && (o.Trap != "" || c.Text[0] == 'e') {
			return ""
		}
	case "assert_uninstantiable":
		// wazero puts off what is out of a table's bounds.
		if c.trap(o.Trap) || o.Trap == "" && engine != "V8" && strings.Contains(c.Text, "table") {
			return ""
		}
	}
	return "another end"
}

// trap compares the suite's words for a trap with a kind.
func (c command) trap(kind string) bool {
	switch c.Text {
	case trapUnreachable, trapMemory, trapDivide:
		return kind == c.Text
	case trapOverflow, trapConversion:
		return kind == c.Text || kind == "float"
	}
	return kind == trapTable
}

// sameFuel makes sure that two engines used the same after every step.
func (s *suite) sameFuel(p *script, engine string, a, b []outcome) {
	apart := map[int]int64{} // by instance, what an overflow of the engine made them differ
	for i, st := range p.steps {
		if b[i].Trap == trapStack {
			apart[st.ID] = b[i].Fuel - a[i].Fuel
			s.counts["fuel not compared with "+engine+", its stack is used up"]++
			continue
		}
		if a[i].Fuel+apart[st.ID] != b[i].Fuel {
			s.t.Errorf("%s line %d: %d fuel on the compiler, %d on %s", p.file, p.commands[i].Line, a[i].Fuel, b[i].Fuel, engine)
			apart[st.ID] = b[i].Fuel - a[i].Fuel
			continue
		}
		s.counts["fuel the same as on "+engine]++
	}
}
