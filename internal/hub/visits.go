package hub

import (
	"time"

	"github.com/countersign/countersign/internal/wire"
)

const (
	// fewVisits say nothing yet about their mean.
	fewVisits = 10
	// visitWeight is what a new visit counts against all before it.
	visitWeight = 1.0 / 64
)

// visits is how long workers stay in the mean: those that held a lease, newer
// ones counting more. It is guarded by the hub's mutex.
type visits struct {
	n    int
	mean float64 // seconds
}

func (v *visits) observe(d time.Duration) {
	v.n++
	weight := max(visitWeight, 1/float64(v.n))
	v.mean += weight * (d.Seconds() - v.mean)
}

// seconds is what a worker is told: 0 if it is not known yet.
func (v *visits) seconds() uint32 {
	if v.n < fewVisits {
		return 0
	}
	return uint32(min(max(v.mean+0.5, 1), wire.MaxSeconds))
}
