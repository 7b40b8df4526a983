package meter

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/wasm"
	"github.com/countersign/countersign/payloads"
)

// witness looks at the text of a metered module's functions and says what is
// wrong with it. It knows the sequences that metering consists of and where they
// have to stand; it has nothing of the code that writes them, and knows neither
// costs nor which functions pay for the stack.
type witness struct {
	m         *wasm.Module
	fuel      uint32 // global; the stack's is the next
	ask       uint32 // countersign.refill
	names     map[uint32]string
	firstHelp uint32          // index of the first stub
	ends      bool            // the function that was read last can end
	bare      map[uint32]bool // functions whose callers pay for their first block
	errs      []error
}

// Text of the functions that metering adds, after names are put in. What a stub
// passes on and a number that is the module's are left open.
var helperText = map[string]string{
	"stub": `CHECK (local\.get \d+ )*IMPORT end `,
	"REFILL": `loop global\.get FUEL ASK local\.tee 0 i64\.const 0 i64\.le_s if unreachable end ` +
		`global\.get FUEL local\.get 0 i64\.add global\.set FUEL global\.get FUEL i64\.const 0 i64\.lt_s br_if 0 end end `,
	"REFILL_LOCAL": `loop local\.get 0 ASK local\.tee 1 i64\.const 0 i64\.le_s if unreachable end ` +
		`global\.get FUEL local\.get 1 i64\.add global\.set FUEL ` +
		`local\.get 0 local\.get 1 i64\.add local\.tee 0 i64\.const 0 i64\.lt_s br_if 0 end local\.get 0 end `,
	"BULK":     `global\.get FUEL local\.get 0 i32\.const 3 i32\.shr_u i64\.extend_i32_u i64\.sub global\.set FUEL MORE local\.get 0 end `,
	"ELEMENTS": `global\.get FUEL local\.get 0 i32\.const 0 i32\.shr_u i64\.extend_i32_u i64\.sub global\.set FUEL MORE local\.get 0 end `,
	"GROW": `memory\.size i64\.extend_i32_u local\.get 0 i64\.extend_i32_u i64\.add i64\.const PAGES i64\.gt_u if i32\.const -1 return end ` +
		`global\.get FUEL local\.get 0 i64\.extend_i32_u i64\.const 1024 i64\.mul i64\.sub global\.set FUEL MORE ` +
		`local\.get 0 memory\.grow local\.tee 0 i32\.const -1 i32\.eq if i64\.const -9223372036854775808 global\.set FUEL unreachable end local\.get 0 end `,
	"GROW_TABLE": `table\.size \d+ i64\.extend_i32_u local\.get 1 i64\.extend_i32_u i64\.add i64\.const \d+ i64\.gt_u if i32\.const -1 return end ` +
		`global\.get FUEL local\.get 1 i64\.extend_i32_u i64\.const 1 i64\.mul i64\.sub global\.set FUEL MORE ` +
		`local\.get 0 local\.get 1 table\.grow \d+ local\.tee 1 i32\.const -1 i32\.eq if i64\.const -9223372036854775808 global\.set FUEL unreachable end local\.get 1 end `,
	"START": `call \d+ call \d+ end `,
}

const (
	charge = `global\.get FUEL i64\.const \d+ i64\.sub global\.set FUEL `
	more   = `global\.get FUEL i64\.const 0 i64\.lt_s if REFILL end `
	refuel = `local\.get BALANCE i64\.const \d+ i64\.sub local\.tee BALANCE i64\.const 0 i64\.lt_s if local\.get BALANCE REFILL_LOCAL local\.set BALANCE end `
)

// sequences of the source's functions, the longest first.
var sequences = []struct {
	re   *regexp.Regexp
	name string
}{
	{regexp.MustCompile(charge + more), "CHECK "},
	{regexp.MustCompile(more), "BARE_CHECK "},
	{regexp.MustCompile(refuel), "LOCAL_CHECK "},
	{regexp.MustCompile(`block loop block loop local\.get BALANCE i64\.const (\d+) i64\.sub local\.tee BALANCE i64\.const 0 i64\.lt_s br_if 1 `), "LEAVES $1 "},
	{regexp.MustCompile(`end (?:br 2 |DEAD )?end local\.get BALANCE REFILL_LOCAL i64\.const (\d+) i64\.add local\.set BALANCE br 0 end end `), "AGAIN $1 "},
	{regexp.MustCompile(charge), "CHARGE "},
	{regexp.MustCompile(`local\.get BALANCE i64\.const (\d+) i64\.sub local\.set BALANCE `), "LOCAL_CHARGE $1 "},
	{regexp.MustCompile(`local\.get BALANCE i64\.const (\d+) i64\.add local\.set BALANCE br `), "REFUND $1 br "},
	{regexp.MustCompile(`local\.get BALANCE i64\.const (\d+) i64\.add global\.set FUEL br `), "REFUND $1 SPILL br "},
	{regexp.MustCompile(`global\.get STACK i32\.const \d+ i32\.sub global\.set STACK global\.get STACK i32\.const 0 i32\.lt_s if unreachable end `), "PUSH "},
	{regexp.MustCompile(`global\.get STACK i32\.const \d+ i32\.add global\.set STACK `), "POP "},
	{regexp.MustCompile(`local\.get BALANCE global\.set FUEL `), "SPILL "},
	{regexp.MustCompile(`global\.get FUEL local\.set BALANCE `), "RELOAD "},
}

// forbidden is what must not be left of a function of the source.
var forbidden = map[string]*regexp.Regexp{
	"names a counter":                       regexp.MustCompile(`FUEL|STACK|BALANCE`),
	"calls the host without a stub":         regexp.MustCompile(`ASK|IMPORT`),
	"grows by itself":                       regexp.MustCompile(`(memory|table)\.grow`),
	"has a loop that is not checked":        regexp.MustCompile(`loop`),
	"has a bulk operation that is not paid": regexp.MustCompile(`(memory|table)\.(fill|copy|init)`),
	"uses a helper that is not for it":      regexp.MustCompile(`REFILL|START`),
	"checks and does not charge":            regexp.MustCompile(`BARE_CHECK`),
}

func (w *witness) fail(f uint32, format string, args ...any) {
	w.errs = append(w.errs, fmt.Errorf("function %d (%s): %s", f, w.names[f], fmt.Sprintf(format, args...)))
}

// witnessed returns what is wrong with a metered module.
func witnessed(module []byte) []error {
	m, err := wasm.Decode(module)
	if err != nil {
		return []error{err}
	}
	m.Nesting = wasm.MaxNesting + 10
	w := &witness{m: m, ask: uint32(len(m.Imports) - 1), names: map[uint32]string{}, bare: map[uint32]bool{}}
	if err := w.outside(); err != nil {
		return []error{err}
	}
	w.name()
	for f := uint32(len(m.Imports)); f < uint32(m.NumFuncs()); f++ {
		if f >= w.firstHelp {
			w.helper(f)
		} else {
			w.function(f)
		}
	}
	w.references()
	return w.errs
}

// outside looks at imports, globals, exports and the memory.
func (w *witness) outside() error {
	m := w.m
	if len(m.Imports) == 0 || m.Imports[w.ask].Name != "refill" || m.FuncType(w.ask).String() != "(i64) → (i64)" {
		return fmt.Errorf("the last import is not refill")
	}
	n := len(m.Globals) - 2
	if n < 0 || !m.Globals[n].Mutable || !m.Globals[n+1].Mutable || !bytes.Equal(m.Globals[n].Init, []byte{0x42, 0, 0x0b}) {
		return fmt.Errorf("the last globals are not the counters")
	}
	if init := m.Globals[n+1].Init; m.Globals[n+1].Type != wasm.I32 || constant(init) != 224<<10 {
		return fmt.Errorf("the stack is not what it has to be: %x", init)
	}
	w.fuel = uint32(n)
	counters := map[string]uint32{"countersign_fuel": w.fuel, "countersign_stack": w.fuel + 1}
	for _, e := range m.Exports {
		if want, ok := counters[e.Name]; e.Kind == wasm.ExportGlobal && e.Index >= w.fuel && (!ok || e.Index != want) {
			return fmt.Errorf("%s is exported as %s", []string{"fuel", "stack"}[e.Index-w.fuel], e.Name)
		} else if ok {
			delete(counters, e.Name)
		}
	}
	if len(counters) > 0 || m.Memory != nil && m.Memory.Max < 0 {
		return fmt.Errorf("exports that are missing: %v, memory %+v", counters, m.Memory)
	}
	return nil
}

// known has the expressions for helperText.
var known = func() map[string]*regexp.Regexp {
	known := map[string]*regexp.Regexp{}
	for name, text := range helperText {
		known[name] = regexp.MustCompile("^" + strings.ReplaceAll(text, "MORE ", more) + "$")
	}
	return known
}()

// name finds out what the added functions are by their text: stubs, refill, and
// those behind it.
func (w *witness) name() {
	m := w.m
	pages := "none"
	if m.Memory != nil {
		pages = fmt.Sprintf("i64.const %d ", m.Memory.Max)
	}
	for f := range uint32(len(m.Imports)) {
		w.names[f] = "IMPORT"
	}
	w.names[w.ask] = "ASK"
	refill := uint32(0)
	for f := uint32(len(m.Imports)); f < uint32(m.NumFuncs()); f++ {
		text := strings.Replace(w.text(f, -1), "i64.add "+pages+"i64.gt_u", "i64.add i64.const PAGES i64.gt_u", 1)
		for name, re := range known {
			if name != "stub" && (refill > 0 || name == "REFILL") && re.MatchString(text) {
				w.names[f] = name
			}
		}
		if w.names[f] == "REFILL" {
			refill = f
		}
	}
	w.firstHelp = refill - min(refill, w.ask)
}

var stubText = regexp.MustCompile("^" + helperText["stub"] + "$")

// helper makes sure that an added function is one that is known.
func (w *witness) helper(f uint32) {
	if name := w.names[f]; name != "" {
		if name != "REFILL" && name != "REFILL_LOCAL" && strings.Contains(w.text(f, -1), "ASK") {
			w.fail(f, "asks for fuel")
		}
		return
	}
	text := w.reduced(f, -1)
	if !stubText.MatchString(text) {
		w.fail(f, "is not a function that metering adds: %s", text)
	}
}

var takesBalance = regexp.MustCompile(`global\.get FUEL local\.set (\d+) `)

// paidFor is what is as it has to be.
var paidFor = regexp.MustCompile(`BULK memory\.(fill|copy|init) |ELEMENTS table\.(fill|copy|init) |loop (LOCAL_)?CHECK `)

// function looks at a function of the source.
func (w *witness) function(f uint32) {
	balance := -1
	if found := takesBalance.FindStringSubmatch(w.text(f, -1)); found != nil {
		fmt.Sscan(found[1], &balance)
	}
	text := w.reduced(f, balance)
	text, w.bare[f] = strings.CutPrefix(text, "BARE_CHECK ")
	if !w.bare[f] && !strings.HasPrefix(text, "CHECK ") {
		w.fail(f, "does not begin with a check: %.200s", text)
	}
	text = w.quiet(f, text)
	if push, pop := strings.Count(text, "PUSH"), strings.Count(text, "POP"); push > 1 || pop > push || pop < push && w.ends {
		w.fail(f, "does not give back what it takes of the stack")
	}
	text = w.leaves(f, calling(text))
	text = paidFor.ReplaceAllString(text, "")
	for what, re := range forbidden {
		if at := re.FindStringIndex(text); at != nil {
			w.fail(f, "%s: %s", what, text[max(0, at[0]-40):min(len(text), at[1]+40)])
		}
	}
}

// countedLoop is a loop that is there twice, with what is computed before it.
var countedLoop = regexp.MustCompile(`i(?:32|64)\.sub (?:local\.tee (\d+) )?(?:i(?:32|64)\.const \d+ i(?:32|64)\.shr_u )?(?:i64\.extend_i32_u )?` +
	`i64\.const 1 i64\.add i64\.const (\d+) i64\.mul local\.set (\d+) local\.get BALANCE local\.get (\d+) i64\.sub local\.tee (\d+) i64\.const 0 i64\.ge_s ` +
	`(?:local\.get (\d+) i(?:32|64)\.const -?\d+ i(?:32|64)\.and i(?:32|64)\.eqz i32\.and )?` + alignedText + `if local\.get (\d+) local\.set BALANCE ` + beginText +
	`loop (.*?)br_if 0 end ` + endText + `else loop ` + strings.Replace(refuel, `\d+`, `(\d+)`, 1) + `(.*?)br_if 0 end end `)

var anyBranch = regexp.MustCompile(`(^| )(br|loop|call|return|BULK|GROW|ELEMENTS|FUEL|BALANCE)`)

// counted replaces counted loops by their name. Both halves have to be the same
// but for the check, without branches, and what is computed has to be of the cost
// that the check charges.
func (w *witness) counted(f uint32, text string, balance int) string {
	return countedLoop.ReplaceAllStringFunc(text, func(loop string) string {
		g := countedLoop.FindStringSubmatch(loop)
		turns, cost, whole, again, metered := g[1], g[2], g[3], g[14], g[15]
		bare := w.undeferred(f, balance, g[7], g[9:14], metered)
		switch n := 0; {
		case turns != g[6]:
			w.fail(f, "a counted loop computes its turns in local %s, and looks at %s", turns, g[6])
		case whole != g[4] || whole != g[5] || whole != g[8]:
			w.fail(f, "a counted loop computes what it pays in local %s, and takes others", whole)
		case cost != again:
			w.fail(f, "a counted loop pays %s a turn, or %s", cost, again)
		case slices.ContainsFunc(strings.Split(bare, "i32.eqz br_if 1 "), func(turn string) bool { return turn != metered }):
			w.fail(f, "a counted loop differs in its halves: %s; %s", bare, metered)
		case anyBranch.MatchString(metered):
			w.fail(f, "a counted loop has other branches: %s", bare)
		default:
			if fmt.Sscan(whole, &n); n <= balance {
				w.fail(f, "local %d of the source computes what a counted loop pays", n)
			}
		}
		return "COUNTED "
	})
}

var leaving = regexp.MustCompile(`(LEAVES|AGAIN|LOCAL_CHARGE|REFUND) (\d+) `)

// leaves makes sure that loops that are left for a refill are entered again, and
// charge again what they gave back; and that a branch out of one gives back no
// more than what a turn charges.
func (w *witness) leaves(f uint32, text string) string {
	var within bool
	var head string
	var turn, back int
	for _, m := range leaving.FindAllStringSubmatch(text, -1) {
		amount := 0
		fmt.Sscan(m[2], &amount)
		switch {
		case m[1] == "LEAVES" && !within:
			within, head, turn, back = true, m[2], amount, 0
		case m[1] == "AGAIN" && within && m[2] == head && back <= turn:
			within = false
		case m[1] == "LOCAL_CHARGE":
			turn += amount
		case m[1] == "REFUND" && within:
			back = max(back, amount)
		default:
			w.fail(f, "a loop that charges %s at its head, %d a turn and gives back up to %d: %s", head, turn, back, m[0])
		}
	}
	return leaving.ReplaceAllString(text, "")
}

// reduced is a function's text with the sequences replaced by their names.
func (w *witness) reduced(f uint32, balance int) string {
	text := w.counted(f, w.text(f, balance), balance)
	for _, s := range sequences {
		text = s.re.ReplaceAllString(text, s.name)
	}
	return text
}

// references looks at what tables, exports and globals can reach.
func (w *witness) references() {
	reach := func(f uint32, where string) {
		if name := w.names[f]; name != "" && !(where == "export _start" && name == "START") {
			w.fail(f, "is in reach of others by %s", where)
		}
		if w.bare[f] {
			w.fail(f, "is in reach of who does not pay for it, by %s", where)
		}
	}
	for f := range w.m.Referenced() {
		reach(f, "a table")
	}
	if w.m.Start != nil {
		reach(*w.m.Start, "a start section")
	}
	for _, e := range w.m.Exports {
		if e.Kind == wasm.ExportFunc {
			reach(e.Index, "export "+e.Name)
		}
	}
}

func TestWitness(t *testing.T) {
	modules := map[string][]byte{"factor": payloads.FactorModule, "loop": payloads.LoopModule}
	rewrite := func(name string, source []byte, opt Options) {
		module, _, err := Rewrite(source, &opt)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		modules[name] = module
	}
	for name, source := range goldenSources(t) {
		rewrite(name, source, Options{})
	}
	for name, source := range files(t, "../bench/meter/kernels/*.wasm", 10) {
		rewrite(name, source, Options{})
	}
	for seed := range uint64(300) {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
		rewrite(fmt.Sprint("random ", seed), g.module(), Options{})
		rewrite(fmt.Sprint("random floats ", seed), floatModule(rand.New(rand.NewPCG(seed, 2))), Options{Library: true})
	}
	eachSpecModule(t, func(name string, source []byte) {
		if module, _, err := Rewrite(source, &Options{Library: true, MemoryPages: wasm.MaxPages}); err == nil {
			modules[name] = module
		}
	})
	for name, module := range modules {
		for _, err := range witnessed(module) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Logf("%d modules", len(modules))
	if len(modules) < 2500 {
		t.Errorf("%d modules: too few", len(modules))
	}
}
