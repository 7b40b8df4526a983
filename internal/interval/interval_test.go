package interval

import (
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestVectors compares with values of 80 digits.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("../../testdata/vectors/interval.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Lambert []struct {
			X float64
			W string
		}
		Optimum []struct {
			Delta, Tau float64
			Seconds    string
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Lambert) != 14 || len(v.Optimum) != 60 {
		t.Fatalf("%d and %d vectors", len(v.Lambert), len(v.Optimum))
	}
	close := func(got float64, want string) bool {
		w, err := strconv.ParseFloat(want, 64)
		return err == nil && math.Abs(got-w) <= 1e-11*math.Abs(w)
	}
	for _, c := range v.Lambert {
		if got := Lambert(c.X); !close(got, c.W) {
			t.Errorf("W(%v) = %.17g, want %s", c.X, got, c.W)
		}
	}
	for _, c := range v.Optimum {
		if got := Optimum(c.Delta, c.Tau); !close(got, c.Seconds) {
			t.Errorf("delta %v, tau %v: %.17g, want %s", c.Delta, c.Tau, got, c.Seconds)
		}
	}
}

// TestOptimum: at what it returns, the share of time kept is highest.
func TestOptimum(t *testing.T) {
	for _, delta := range []float64{1e-4, 0.01, 0.3, 2, 40} {
		for _, tau := range []float64{5, 60, 1800} {
			kept := func(t float64) float64 { return t / (tau * math.Expm1((t+delta)/tau)) }
			best := Optimum(delta, tau)
			if kept(best) <= kept(best*1.01) || kept(best) <= kept(best/1.01) {
				t.Errorf("delta %v, tau %v: %v is not best", delta, tau, best)
			}
		}
	}
}

func TestEdges(t *testing.T) {
	if Lambert(-1/math.E) != -1 || !math.IsNaN(Lambert(-0.4)) || !math.IsInf(Lambert(math.Inf(1)), 1) || Lambert(0) != 0 {
		t.Error("edges")
	}
	if Every(0, time.Minute) != Least || Every(time.Second, 0) != Least || Every(time.Second, time.Minute) < 10*time.Second {
		t.Error(Every(time.Second, time.Minute))
	}
	if got := Every(24*time.Hour, time.Minute); got > time.Minute {
		t.Error(got)
	}
}
