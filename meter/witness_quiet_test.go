package meter

import (
	"fmt"
	"regexp"
	"strings"
)

// quiet makes sure that the balance is in its local from before a loop to behind
// it, on every way out, and that nothing is called meanwhile. It takes away what
// moves the balance.
func (w *witness) quiet(f uint32, text string) string {
	q := quietReader{open: 1, from: -1}
	words := strings.Fields(text)
	kept := words[:0:0]
	for i, word := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		if wrong := q.step(word, next); wrong != "" {
			w.fail(f, "%s: %s", wrong, strings.Join(words[max(0, i-8):min(len(words), i+8)], " "))
		}
		if word != "SPILL" && word != "RELOAD" {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ") + " "
}

// argument is what belongs to the word before it, turns what computes how often a
// counted loop runs.
var (
	argument = regexp.MustCompile(`^-?\d+$`)
	turns    = regexp.MustCompile(`^(local\.get|i(32|64)\.(const|sub))$`)
)

type quietReader struct {
	open    int    // blocks, that of the function included
	from    int    // how many of them stand around the loop, or -1 outside of one
	entered bool   // the loop is what comes next
	ended   bool   // it has ended
	last    string // word
}

// step reads a word, and says what is wrong with it.
func (q *quietReader) step(word, next string) (wrong string) {
	name, _, _ := strings.Cut(word, "[")
	switch {
	case argument.MatchString(word) || q.entered && turns.MatchString(word):
		return ""
	case q.entered && name != "loop" && name != "LEAVES" && name != "COUNTED":
		wrong = "takes the balance and has no loop"
	case q.ended && name != "SPILL" && name != "DEAD":
		wrong = "leaves a loop and keeps the balance"
	}
	local, alone := q.from >= 0, q.entered && name == "COUNTED"
	if q.ended {
		q.from, local = -1, name == "SPILL"
	}
	q.entered, q.ended = false, false
	switch name {
	case "RELOAD":
		if local {
			return "takes the balance twice"
		}
		q.entered, q.from = true, q.open
	case "SPILL", "LOCAL_CHARGE", "LOCAL_CHECK", "REFUND", "LEAVES", "COUNTED":
		if !local {
			wrong = "uses the balance that it has not taken"
		}
	case "CHARGE", "CHECK", "call", "call_indirect", "BULK", "ELEMENTS", "GROW", "GROW_TABLE", "PUSH", "POP":
		if local {
			wrong = "uses the counter while it has the balance"
		}
	}
	if local && q.from >= 0 && q.branch(name, word, next) < q.from && q.last != "SPILL" {
		wrong = "branches out of a loop and keeps the balance"
	}
	switch name {
	case "block", "loop", "if":
		q.open++
	case "LEAVES":
		q.open += addedBlocks + 1
	case "AGAIN":
		q.open -= addedBlocks + 1
	case "end":
		q.open--
	}
	q.ended = q.from == q.open && (name == "end" || name == "AGAIN" || alone)
	q.last = name
	return wrong
}

// branch returns the outermost block that a word leads to the end of, or all.
func (q *quietReader) branch(name, word, next string) int {
	switch name {
	case "return":
		return 0
	case "br", "br_if":
		word = next
	case "br_table":
	default:
		return q.open
	}
	to := q.open
	for _, l := range labels.FindAllString(word, -1) {
		label := 0
		fmt.Sscan(l, &label)
		to = min(to, q.open-1-label)
	}
	return to
}
