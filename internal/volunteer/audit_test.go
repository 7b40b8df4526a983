package volunteer

import (
	"testing"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/sandbox"
	"github.com/countersign/countersign/internal/wire"
)

// TestAccuse: a dispute names the first segment that differs, and whose it was.
func TestAccuse(t *testing.T) {
	link := func(s string) canon.Digest { return canon.Sum([]byte(s)) }
	o := sandbox.Outcome{End: sandbox.Exit, Fuel: 7, Links: []canon.Digest{link("1"), link("2"), link("3")}}
	found := wire.Audit{End: wire.EndExit, Fuel: 7, Segments: 3, Transcript: o.Transcript()}
	line := func(from uint32, fuel uint64, links ...string) *wire.VoteLine {
		l := &wire.VoteLine{Vote: wire.Vote{End: wire.EndExit, Fuel: fuel, Segments: uint32(len(links)), From: from}}
		for _, s := range links {
			l.Vote.Transcript = link(s)
			l.Links = append(l.Links, l.Vote.Transcript[:]...)
		}
		return l
	}
	cut := line(0, 7, "1", "x", "y")
	cut.Links = cut.Links[1:]
	for want, l := range map[string]*wire.VoteLine{
		"": line(0, 7, "1", "2", "3"),
		"the transcript is right, but not what the vote says of it":              line(0, 8, "1", "2", "3"),
		"wrong from segment 2 of 3 on, which was its own; here there are 3":      line(0, 7, "1", "x", "y"),
		"wrong from segment 2 of 4 on, which was handed to it; here there are 3": line(3, 7, "1", "x", "y", "z"),
		"wrong from segment 2 of 2 on, which was its own; here there are 3":      line(0, 7, "1", "2"),
		"wrong from segment 4 of 4 on, which was its own; here there are 3":      line(0, 7, "1", "2", "3", "4"),
		"transcript " + link("y").Short() + ", here " + link("3").Short():        cut,
	} {
		if got := accuse(l, &found, o); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
