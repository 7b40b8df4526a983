package hub

import (
	"math/rand/v2"

	"github.com/countersign/countersign/internal/wire"
)

// rejoins is how many workers a second a hub that starts again should expect.
const rejoins = 200

// comeAgain is in how many seconds whoever is turned away for now should try
// again: at random, so that those who left together do not come together. 0:
// waiting changes nothing.
func (l *limits) comeAgain(code string) uint32 {
	switch code {
	case wire.CodeClosing:
		return min(1+rand.N(2+uint32(l.connections.count()/rejoins)), wire.MaxRetry)
	case wire.CodeConnections:
		return 30 + rand.N(uint32(31))
	case wire.CodeRate, wire.CodeBusy, wire.CodeFull, wire.CodeSlow:
		return requestBurst + rand.N(uint32(requestBurst+1))
	}
	return 0
}
