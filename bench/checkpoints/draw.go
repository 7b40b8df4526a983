package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/countersign/countersign/internal/interval"
)

const width, height, left, bottom = 640.0, 320.0, 40.0, 30.0

// draw plots the shares over the logarithm of T; a ring marks the formula's T.
func draw(curves [][]float64, best []float64) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="11">`+"\n", width+125, height+bottom+20)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	x := func(t float64) float64 { return left + width*math.Log(t)/math.Log(240) }
	y := func(share float64) float64 { return 10 + height*(1-share) }
	for p := 0; p <= 100; p += 20 {
		fmt.Fprintf(&b, `<path d="M%g %.1fH%g" stroke="#ddd"/><text x="4" y="%.1f">%d %%</text>`+"\n", left, y(float64(p)/100), left+width, y(float64(p)/100)+4, p)
	}
	for _, t := range intervals {
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%d</text>`+"\n", x(float64(t)), height+bottom-4, t)
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">seconds between checkpoints; ring: the interval of the formula</text>`+"\n", left+width/2, height+bottom+12)
	colors := []string{"#0b6", "#07a", "#35c", "#83b", "#c36", "#d70"}
	for i, curve := range curves {
		var path strings.Builder
		for k, share := range curve {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(k, 1)], x(float64(intervals[k])), y(share))
		}
		last := y(curve[len(curve)-1]) + 11*float64(i) - 28
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", path.String(), colors[i])
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="5" fill="none" stroke="%s" stroke-width="2"/>`+"\n", x(interval.Every(costs[i], *tau).Seconds()), y(best[i]), colors[i])
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" fill="%s">cost %v</text>`+"\n", left+width+8, last, colors[i], costs[i])
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}
