package main

// breaks has every pair of an invariant and a test in the spec's table, in its
// order; what takes minutes is last.
var breaks = append(append(accepting, charging...), bounding...)

// accepting: what is metered, what is refused, and within which limits.
var accepting = []broken{
	{"same source, same bytes", "names are written in the order of a map", "internal/wasm/names.go",
		"range slices.Sorted(maps.Keys(n.Funcs))", "range slices.Collect(maps.Keys(n.Funcs))", "meter: TestRewriteDeterministic"},
	{"same source, same bytes", "loops are written again in the order of a map, as far as there is room", "meter/analyse.go",
		"slices.SortStableFunc(g.plain, func(a, b plainLoop) int { return b.depth - a.depth })",
		"slices.SortStableFunc(g.plain, func(a, b plainLoop) int { return b.depth - a.depth })\n\tany := map[int]plainLoop{}\n\tfor i, l := range g.plain {\n\t\tany[i] = l\n\t}\n\tg.plain = g.plain[:0]\n\tfor _, l := range any {\n\t\tg.plain = append(g.plain, l)\n\t}",
		"meter: TestRewriteDeterministic"},

	{specSuite, "the block around a function that pays for the stack has no result", "meter/rewrite.go",
		"f.code = append(f.code, byte(f.result[0]))", "f.code = append(f.code, noType)", "meter: TestSpecSuiteRewrites"},
	{specSuite, "operands left at the end of a block are let pass", "internal/wasm/validate.go",
		"if len(c.values) != f.height {\n\t\tc.fail(v, \"operands are left", "if false {\n\t\tc.fail(v, \"operands are left", "wasm: TestSpecSuite"},

	{onlyAccepted, "a shared memory is accepted", "internal/wasm/decode.go", "case flags&2 != 0:", "case flags&2 != 0 && flags != 3:", "meter: TestRefusals"},
	{onlyAccepted, "vectors are accepted in the types of imported functions", "meter/accept.go",
		"v == wasm.F32 || v == wasm.F64 || v == wasm.V128", "v == wasm.F32 || v == wasm.F64", "meter: TestHostFloats"},
	{onlyAccepted, "relaxed SIMD is taken for what has the opcode's low byte", "internal/wasm/instr.go",
		"v.Op = v.Op<<16 | Op(min(r.u32(), 0xffff))", "v.Op = v.Op<<16 | Op(r.u32()&0xff)", "meter: TestRefusedInstructions"},
	{onlyAccepted, "ref.eq, of GC, is accepted", "internal/wasm/opcode.go",
		`refused(all, 0xd3, GC, "ref.eq")`, `rows(all, 0xd3, immNone, "", "ref.eq")`, "wasm: TestOpcodesAsWabt"},

	{indexBounds, "globals are counted with those that metering adds", "internal/wasm/instr.go",
		`in.below(v, "global", len(in.m.Globals))`, `in.below(v, "global", len(in.m.Globals)+2)`, "meter: TestIndexBounds"},
	{indexBounds, "functions are counted with the import that metering adds", "internal/wasm/instr.go",
		"in.locals, in.funcs = m.NumLocals(i), uint32(m.NumFuncs())", "in.locals, in.funcs = m.NumLocals(i), uint32(m.NumFuncs())+1", "meter: TestIndexBounds"},
	{indexBounds, "exports may name the global that metering adds", "internal/wasm/content.go",
		"return len(d.m.Globals)", "return len(d.m.Globals) + 1", "meter: TestSectionBounds"},

	{wholeOnce, "what charges for bulk operations has no end", "meter/helpers.go",
		"out = w.check(w.setFuel(out))\n\treturn append(out, opLocalGet, 0, opEnd)", "out = w.check(w.setFuel(out))\n\treturn append(out, opLocalGet, 0)", "meter: FuzzRewrite"},
	{wholeOnce, "reserved names are accepted", "meter/accept.go", "{acceptNames, acceptSizes}", "{acceptSizes}", "meter: FuzzRewrite"},

	{limits, "a local fewer is allowed", "meter/accept.go", "n > wasm.MaxLocals-addedLocals", "n >= wasm.MaxLocals-addedLocals", "meter: TestLimits"},
	{limits, "a data segment more is allowed", "internal/wasm/content.go", `r.count("data segments", MaxSegs)`, `r.count("data segments", MaxSegs+1)`, "meter: TestLimits"},
	{limits, "more memory is allowed than the options do", "meter/accept.go", "m.Memory.Min > opt.MemoryPages:", "m.Memory.Min > 2*opt.MemoryPages:", "meter: TestRefusals"},
	{limits, "all code together may grow without end", "meter/writer.go", "len(code) > wasm.MaxBody || len(w.code) > wasm.MaxModule", "len(code) > wasm.MaxBody", "meter: TestGrowsTooLarge"},

	{hostileModules, "room is made for a function's locals one by one, not as they are declared", "meter/rewrite.go",
		"locals: b.Locals[:len(b.Locals):len(b.Locals)]", "locals: append(make([]wasm.Local, 0, w.m.NumLocals(i)/16), b.Locals...)", "meter: TestHostileModules"},
	{hostileModules, "a branch may give back from any number of blocks", "meter/function.go", "const maxRefunds = 32", "const maxRefunds = 1 << 20", "meter: TestHostileModules"},
}

// charging: that fuel is what runs, whatever the slice, and that Check says so.
var charging = []broken{
	{fuelIsCost, "a branch out of an inner loop gives nothing back", "meter/rewrite.go",
		"amount += f.plan.edits[c.edit].value - uint64(c.until)", "amount += 0 * (f.plan.edits[c.edit].value - uint64(c.until))", "meter: TestFuelIsWhatRuns"},
	{fuelIsCost, "callers pay for functions that the host calls", "meter/prepaid.go", "w.a.refs[f] || w.exported[f] ||", "w.a.refs[f] ||", "meter: TestFuelIsWhatRuns"},
	{fuelIsCost, "callers do not pay for prepaid functions", "meter/function.go", "p.charge(p.prepaid[v.A])\n", "", "meter: TestFuelIsWhatRuns"},
	{fuelIsCost, "call_indirect costs 11", "meter/cost.go", "set(12, wasm.OpCallIndirect)", "set(11, wasm.OpCallIndirect)", "meter: TestCosts"},

	{everyCycle, "a loop in which nothing is called is charged at its head, and not checked", "meter/rewrite.go",
		"f.code = append(f.code, opBrIf, 1)", "f.code = append(f.code, byte(wasm.OpDrop))", "meter: TestGolden/loop"},
	{everyCycle, "a prepaid function begins without a check", "meter/rewrite.go", "f.code = f.writer.check(f.code)\n", "", "meter: TestGolden/prepaid"},
	{everyCycle, "loops are charged and not checked", "meter/rewrite.go",
		"f.code = append(f.code, opBrIf, 1)", "f.code = append(f.code, byte(wasm.OpDrop))", "meter: TestCyclesPassChecks"},
	{everyCycle, "the start of a function is charged, and not checked", "meter/rewrite.go",
		"f.check(max(e.value, 1))", "f.charge(max(e.value, 1))",
		"sandbox: TestFuelStopsEveryLoop/^recursion$"},

	{anySlice, "what a loop charged before a refill is not taken back", "meter/rewrite.go",
		"int64(max(f.plan.edits[e.value].value, 1)))\n\tf.code = appendIndex(append(f.code, opI64Add)", "0)\n\tf.code = appendIndex(append(f.code, opI64Add)", "meter: TestFuelIsWhatRuns"},
	{anySlice, "a grant to a balance in a local is not added to $fuel, which is what a trap leaves", "meter/helpers.go",
		"out = w.setFuel(append(w.getFuel(out), opLocalGet, 1, opI64Add))\n", "", "meter: TestFuelIsWhatRuns"},
	{anySlice, "the host forgets what was overdrawn when it grants", "internal/sandbox/tank.go",
		"t.granted += uint64(g)", "t.granted += min(slice, t.limit-t.used)", "sandbox: TestSliceIndependence"},
	{anySlice, "a counted loop pays a turn too many ahead", "meter/rewrite.go",
		"opI64Const, 1, opI64Add, opI64Const)", "opI64Const, 2, opI64Add, opI64Const)", "sandbox: TestCountedLoops"},

	{checkAccepts, "taking away forgets the stub of the last import", "meter/strip.go", "f <= total+s.imports:", "f < total+s.imports:", "meter: TestCheckAccepts"},
	{checkAccepts, "taking away forgets the start function", "meter/strip.go", "if m.Start != nil {", "if false {", "meter: TestCheckSpecSuite"},
	{checkAccepts, "what looks like a scratch local is taken for one", "meter/strip.go", "u.guessed && u.scratches > 0", "false && u.guessed", "meter: TestCheckLookalikes"},
	{checkAccepts, "functions in tables keep their numbers when taken away from", "meter/strip.go", "e.Funcs[j] = s.index(-1, e.Offset, f)", "e.Funcs[j] = f", "meter: FuzzCheck"},

	{checkRefuses, "nothing is compared", "meter/check.go", "!bytes.Equal(again, module)", "!bytes.Equal(again, again)", "meter: TestMutants"},
	{checkRefuses, "only the length is compared", "meter/check.go", "!bytes.Equal(again, module)", "len(again) != len(module) || bytes.Equal(again, nil)", "meter: TestEveryByte"},
	{checkRefuses, "what the module declares is taken for the limit of the memory", "meter/check.go", "o.MemoryPages == 0 && m.Memory", "m.Memory", "meter: TestCheckRefuses"},

	{witnesses, "imported functions are called without their stub", "meter/writer.go", "return uint32(w.m.NumFuncs()) + 1 + f", "return f", "meter: TestWitness"},
	{witnesses, "memory grows by itself", "meter/function.go", "case wasm.OpMemoryGrow:\n\t\tp.instead(v, editGrow, 0)", "case wasm.OpMemoryGrow:", "meter: TestWitness"},
}

// bounding: bulk operations, memory, the call stack, NaNs; and all of it together.
var bounding = []broken{
	{bulkFirst, "bulk operations are charged and not checked before they run", "meter/helpers.go",
		"out = w.check(w.setFuel(out))\n\treturn append(out, opLocalGet, 0, opEnd)", "out = w.setFuel(out)\n\treturn append(out, opLocalGet, 0, opEnd)", "meter: TestGolden/bulk"},
	{bulkFirst, "the same", "meter/helpers.go",
		"out = w.check(w.setFuel(out))\n\treturn append(out, opLocalGet, 0, opEnd)", "out = w.setFuel(out)\n\treturn append(out, opLocalGet, 0, opEnd)", "sandbox: TestBulkChargedBeforeItRuns"},
	{bulkFirst, "16 bytes cost what 8 do", "meter/cost.go", "bulkShift    = 3", "bulkShift    = 4", "sandbox: TestBulkCharged"},

	{"memory stops at the limit with −1", "memory may grow to a page more", "meter/helpers.go", "uint64(w.pages))", "uint64(w.pages)+1)", "sandbox: TestMemoryLimit"},

	{recursion, "functions in cycles do not pay", "meter/stack.go", "if cyclic || whole > freeStack {", "if whole > freeStack {", "sandbox: TestCallStack"},
	{recursion, "a function gives back less than it took", "meter/rewrite.go", "int64(f.stack)), opI32Add)", "int64(f.stack)-8), opI32Add)", "meter: TestGolden/recursion"},

	{forWazero, "an if takes the wrong operand", "meter/wazero.go",
		"append(appendIndex(f.code, opLocalSet, x), byte(wasm.OpDrop))", "append(f.code, byte(wasm.OpDrop), opLocalTee, byte(x), byte(wasm.OpDrop))", "meter: TestForWazero"},
	{forWazero, "vectors are left to select", "meter/wazero.go", "case wasm.V128:", "case 0:", "meter: TestForWazero"},
	{forWazero, "modules are given to the compiler as they are", "internal/sandbox/sandbox.go", "if !e.opt.Interpreter {", "if e.opt.Interpreter {", "sandbox: TestSelects"},

	{canonicalNaNs, "the square root is not taken for arithmetic", "meter/floats.go", "span(abs+2, abs+6, floatOp", "span(abs+2, abs+5, floatOp", "sandbox: TestCanonicalNaN"},
	{canonicalNaNs, "f64x2.nearest is not taken for arithmetic", "meter/floats.go", "0xfd0074, 0xfd0075, 0xfd007a, 0xfd0094)", "0xfd0074, 0xfd0075, 0xfd007a)", "sandbox: TestCanonicalNaN"},
	{canonicalNaNs, "select of a number and what arithmetic made is taken for a number", "meter/nanrules.go",
		"case b.state == raw:\n\t\tn.result(v, b.lane)", "case b.state == raw:\n\t\tn.push(value{})", "sandbox: TestCanonicalNaN"},
	{canonicalNaNs, "copysign is not taken to look at its second operand", "meter/nanrules.go", "n.observe(y)\n\t\tn.keep", "n.use(y, a.from)\n\t\tn.keep", "sandbox: TestCanonicalNaN"},
	{canonicalNaNs, "br_table is not taken to look at its values", "meter/nanrules.go", "n.observeTop(n.arity(v.Labels[0]))\n", "", "sandbox: TestCanonicalNaN"},
	{canonicalNaNs, "a local that holds loaded values too is taken for raw", "meter/nanrules.go", "if l.state != exact {\n\t\t\t*l, n.moved", "if false {\n\t\t\t*l, n.moved", "sandbox: TestCanonicalNaN"},
	{canonicalNaNs, "arithmetic is not taken to look at vectors of other lanes", "meter/nanrules.go", "if v.lane != l {\n\t\tn.observe(v)", "if false {\n\t\tn.observe(v)", "nans: TestNaNs"},

	{"a loop that defers leaves in memory what storing canonical values would", "the offset of a store is forgotten behind the loop", "meter/deferred.go",
		"if off := int64(int32(a.form.off)); off != 0 {", "if off := int64(0); off != 0 {", "meter: TestDeferredStores"},
	{"a loop that could tell does not defer", "loads and stores of other types do not matter", "meter/deferred.go",
		"v.Op >= 0x28 && v.Op <= 0x3e || v.Op > 0xfd0000", "v.Op > 0xfd0000", "meter: TestObservedStores"},
	{"a loop that could tell does not defer", "a loaded value that something looks at does not matter", "meter/deferred.go",
		"!ok || c.nans.loads[at].observed", "!ok || at < 0", "meter: TestObservedStores"},

	{"random modules give the same before and after, and the same in every engine", "functions in tables keep their numbers", "meter/writer.go",
		"e.Funcs[j] = w.index(f)", "e.Funcs[j] = f", "proof: TestRandomModules"},
	{"the specification's assertions hold on metered modules, with the same fuel, in wazero's two engines and V8", "min is not taken for arithmetic", "meter/floats.go",
		"span(add, add+5, floatOp", "span(add, add+3, floatOp", "proof: TestSpecSuite"},
}

// Rows of the spec's table that are broken more than once.
const (
	specSuite      = "what is valid in the specification's suite is rewritten to what is valid, or refused for a feature; what is not is refused"
	onlyAccepted   = "nothing outside of what is accepted passes"
	indexBounds    = "an index out of range in the source stays refused"
	wholeOnce      = "what comes out decodes, and is not metered again"
	limits         = "every limit holds at the most that is allowed and at one more"
	hostileModules = "a hostile module costs memory in proportion to its size"
	fuelIsCost     = "what is charged is the cost of what runs"
	everyCycle     = "every loop and function is charged and checked"
	anySlice       = "fuel does not depend on the slice"
	checkAccepts   = "what metering gives passes the check"
	checkRefuses   = "whatever lacks or weakens a piece of the metering does not"
	witnesses      = "nothing of the guest names a counter, calls the host without its stub, grows or loops unchecked"
	bulkFirst      = "bulk operations are charged before they run"
	recursion      = "recursion ends in a trap by the module's own count"
	forWazero      = "wazero's compiler is given what it gets right, which does the same"
	canonicalNaNs  = "a NaN that is observed is canonical, one that was loaded stays"
)
