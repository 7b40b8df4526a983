package hub

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/store"
)

// TestKillMigrating kills the real hub while it brings the data directory of an
// older schema up to date, and starts it again: nothing is lost.
func TestKillMigrating(t *testing.T) {
	t.Parallel()
	bin := buildHub(t, t.TempDir())
	for _, schema := range []int{2, 3, 4} {
		t.Run(fmt.Sprint(schema), func(t *testing.T) {
			before, after := 0, 0
			for range max(4, *kills/4) {
				dir := unpackSchema(t, schema)
				hub := &process{t: t, args: []string{bin, "serve", "--data", dir, "--root", rootOf(t).Keys[0].String(), "--listen", "127.0.0.1:0", "--unsafe-one-network", "--log-level", "error"}}
				hub.launch(hub.args)
				time.Sleep(time.Duration(rand.Int64N(int64(400 * time.Millisecond))))
				hub.kill()
				if s, err := store.Open(dir, &store.Options{ReadOnly: true}); err != nil {
					before++ // it is of the old schema still
				} else {
					after++
					s.Close()
				}
				hub.start()
				hub.kill()
				wholeSchema(t, dir)
			}
			t.Logf("killed %d times before the new schema was on disk, %d times after", before, after)
		})
	}
}
