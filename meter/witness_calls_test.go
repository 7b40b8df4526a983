package meter

import (
	"regexp"
	"strconv"
	"strings"
)

// calling takes away the starts of loops that are charged but not checked, where
// every turn that can be followed by another has called something.
func calling(text string) string {
	var out strings.Builder
	for {
		at := chargedLoop.FindStringIndex(text)
		if at == nil {
			return out.String() + text
		}
		from := at[1]
		if callsAlways(text[from:]) {
			at[1] = at[0]
		}
		out.WriteString(text[:at[1]])
		text = text[from:]
	}
}

var chargedLoop = regexp.MustCompile(`loop (LOCAL_CHARGE \d+|CHARGE) `)

var labels = regexp.MustCompile(`\d+`)

// callsAlways tells whether a loop's body, or what follows it, comes to a call
// before anything can branch to the loop's start, or past the call.
func callsAlways(body string) bool {
	type frame struct{ block, jumped, head bool }
	open := []frame{{block: true}, {block: true, head: true}} // what the loop stands in, and the loop
	words := strings.Fields(body)
	for i, word := range words {
		top := len(open) - 1
		switch name, _, _ := strings.Cut(word, "["); name {
		case "else":
			if top == 0 {
				return false
			}
		case "block", "loop", "if":
			open = append(open, frame{block: name == "block"})
		case "end":
			if open = open[:top]; top == 0 {
				return false
			}
		case "LEAVES":
			open = append(open, frame{block: true}, frame{}, frame{block: true}, frame{})
		case "AGAIN":
			open = open[:top+1-addedBlocks-1]
		case "br", "br_if", "br_table":
			targets := word
			if name != "br_table" {
				targets = words[i+1]
			}
			for _, l := range labels.FindAllString(targets, -1) {
				label, _ := strconv.Atoi(l)
				switch at := top - label; {
				case at > 0 && open[at].head:
					return false
				case at > 0 && open[at].block:
					open[at].jumped = true
				}
			}
		case "call", "call_indirect":
			sure := true
			for _, f := range open {
				sure = sure && f.block && !f.jumped
			}
			if sure {
				return true
			}
		}
	}
	return false
}
