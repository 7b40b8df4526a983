package countersign

import "testing"

// TestNative is what a payload's own tests see.
func TestNative(t *testing.T) {
	Progress(-1, "text")
	if s := Restore(); s != nil {
		t.Errorf("state %q", s)
	}
	if SegmentDue() {
		t.Error("due")
	}
	defer func() {
		if recover() == nil {
			t.Error("Checkpoint returned")
		}
	}()
	Checkpoint(nil)
}
