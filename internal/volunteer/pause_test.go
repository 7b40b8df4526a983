package volunteer

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/internal/wire"
)

// TestPauseSpreads: volunteers that lose the hub at once do not come back in the
// same second.
func TestPauseSpreads(t *testing.T) {
	seconds := map[int]int{}
	for range 10_000 {
		seconds[int(pause(defaultRetry, errors.New("gone")).Seconds())]++
	}
	for second, n := range seconds {
		if n > 3000 {
			t.Errorf("%d of 10000 come back in second %d", n, second)
		}
	}
	if len(seconds) < 5 {
		t.Errorf("they come back in seconds %v", seconds)
	}
}

// TestPauseHint: the hub says when to come again, and can neither hold a
// volunteer off for ever nor have it come sooner than it would by itself.
func TestPauseHint(t *testing.T) {
	late := func(seconds string) error {
		return fmt.Errorf("connecting: %w", hinted(errors.New("429"), &http.Response{Header: http.Header{"Retry-After": {seconds}}}))
	}
	for name, c := range map[string]struct {
		err         error
		least, most time.Duration
	}{
		"message":        {closedBy(&wire.Error{Code: wire.CodeClosing, Retry: 40}), 40 * time.Second, 50 * time.Second},
		"longest":        {closedBy(&wire.Error{Code: wire.CodeClosing, Retry: wire.MaxRetry}), maxHint, maxHint * 5 / 4},
		"sooner":         {closedBy(&wire.Error{Code: wire.CodeClosing, Retry: 0}), time.Second / 10, time.Second},
		"header":         {late("40"), 40 * time.Second, 50 * time.Second},
		"header longest": {late("4294967295"), maxHint, maxHint * 5 / 4},
		"header date":    {late("Wed, 21 Oct 2026 07:28:00 GMT"), time.Second / 10, time.Second},
	} {
		for range 100 {
			if d := pause(time.Second, c.err); d < c.least || d > c.most {
				t.Fatalf("%s: %s, want %s to %s", name, d, c.least, c.most)
			}
		}
	}
	if canon.ClassOf(closedBy(&wire.Error{Code: wire.CodeOrigin})) != wire.CodeOrigin {
		t.Error("the code is lost")
	}
}
