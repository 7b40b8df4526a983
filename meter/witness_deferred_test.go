package meter

import (
	"fmt"
	"regexp"
	"strings"
)

// Text around the unmetered half of a counted loop that makes what it stores
// canonical behind it: that addresses are aligned, the sum's and the counter's
// start, and the loop that looks at what was stored.
const (
	alignedText = `((?:local\.get \d+ (?:i32\.or )?)+i32\.const [37] i32\.and i32\.eqz i32\.and )?`
	beginText   = `(f(?:32|64)\.const local\.set (\d+) local\.get \d+ local\.set (\d+) )?`
	endText     = `(local\.get \d+ local\.get \d+ f(?:32|64)\.ne if loop .*?br_if 0 end end )?`
)

var (
	canonicalStore = regexp.MustCompile(`local\.tee (\d+) local\.get \d+ (f32|f64)\.ge i32\.eqz if f(?:32|64)\.const local\.set \d+ end local\.get \d+ f(?:32|64)\.store `)
	fixedStore     = regexp.MustCompile(`local\.get FROM (?:local\.get \d+ i32\.add )?(?:i32\.const -?\d+ i32\.add )?TYPE\.load local\.tee X local\.get X TYPE\.ne if ` +
		`local\.get FROM (?:local\.get \d+ i32\.add )?(?:i32\.const -?\d+ i32\.add )?TYPE\.const TYPE\.store end `)
	restOfFix = regexp.MustCompile(`^local\.get FROM i32\.const -?\d+ i32\.add local\.tee FROM local\.get \d+ i32\.ne br_if 0 end end $`)
	turnSum   = regexp.MustCompile(`local\.tee (\d+) f(?:32|64)\.store `)
)

// undeferred returns the unmetered half as it would be if each store had been
// made canonical by itself. It makes sure that every one of the metered half's
// canonical stores is added up, and looked at behind the loop.
func (w *witness) undeferred(f uint32, balance int, aligned string, g []string, metered string) string {
	begin, all, from, bare, end := g[0], g[1], g[2], g[3], g[4]
	if begin == "" {
		if aligned+end != "" {
			w.fail(f, "a counted loop has a piece of what makes stores canonical behind it: %s%s", aligned, end)
		}
		return bare
	}
	stores := canonicalStore.FindAllStringSubmatch(metered, -1)
	if aligned == "" || end == "" || len(stores) == 0 {
		w.fail(f, "a counted loop adds up what it stores, and lacks a piece")
		return bare
	}
	x, typ, turn := stores[0][1], stores[0][2], ""
	if len(stores) > 1 {
		if found := turnSum.FindStringSubmatch(bare); found != nil {
			turn = found[1]
		}
	}
	for _, l := range []string{all, from, x, turn} {
		if n := balance + 1; l != "" {
			if fmt.Sscan(l, &n); n <= balance {
				w.fail(f, "local %s of the source adds up what a loop stores", l)
			}
		}
	}
	n := 0
	want := canonicalStore.ReplaceAllStringFunc(metered, func(string) string {
		n++
		return sumText(n, len(stores), x, turn, all, typ) + typ + ".store "
	})
	if bare != want {
		w.fail(f, "a counted loop stores %s, where it should %s", bare, want)
	}
	fix := strings.NewReplacer("local.get "+from+" ", "local.get FROM ", "local.tee "+from+" ", "local.tee FROM ",
		"local.get "+x+" ", "local.get X ", "local.tee "+x+" ", "local.tee X ", typ+".", "TYPE.").Replace(end)
	fix, looks := strings.CutPrefix(fix, fmt.Sprintf("local.get %s local.get %s TYPE.ne if loop ", all, all))
	if !looks || len(fixedStore.FindAllString(fix, -1)) != len(stores) || !restOfFix.MatchString(fixedStore.ReplaceAllString(fix, "")) {
		w.fail(f, "what makes %d stores canonical behind a loop: %s", len(stores), end)
	}
	return metered
}

// sumText is how store n of some adds up what is stored.
func sumText(n, of int, x, turn, all, typ string) string {
	if n == 1 && of > 1 {
		return "local.tee " + turn + " "
	}
	sum := "local.get " + x + " "
	if of > 1 {
		sum = "local.get " + turn + " " + sum + typ + ".add "
	}
	if n < of {
		return "local.tee " + x + " " + sum + "local.set " + turn + " "
	}
	return "local.tee " + x + " local.get " + all + " " + sum + typ + ".add local.set " + all + " "
}
