package hub

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/countersign/countersign/internal/job"
)

// metrics are what /metrics shows. The registry is the hub's own, so that two
// hubs in one process do not mix.
type metrics struct {
	registry  *prometheus.Registry
	lent      prometheus.Counter
	accepted  prometheus.Counter
	undecided prometheus.Counter
	resumed   prometheus.Counter
	ended     *prometheus.CounterVec // by reason
	votes     *prometheus.CounterVec // by verdict
	refused   *prometheus.CounterVec // by code
	errors    *prometheus.CounterVec // by code
	admitted  *prometheus.CounterVec // by kind
	kills     *prometheus.CounterVec // by scope

	checkpoints *prometheus.CounterVec // by what became of them
}

func newMetrics(h *Hub) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "countersign", Subsystem: "hub", Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "countersign", Subsystem: "hub", Name: name, Help: help}, []string{label})
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "countersign", Subsystem: "hub", Name: name, Help: help}, value))
	}
	m.lent = counter("leases_lent_total", "Leases given to workers.")
	m.accepted = counter("tasks_accepted_total", "Tasks whose outcome was accepted.")
	m.undecided = counter("tasks_undecided_total", "Tasks given up because votes disagree.")
	m.resumed = counter("leases_resumed_total", "Leases that go on from a checkpoint.")
	m.checkpoints = vector("checkpoints_total", "Checkpoints offered by workers.", "outcome")
	m.ended = vector("leases_ended_total", "Leases that ended without a vote.", "reason")
	m.votes = vector("votes_total", "Votes on disk, by how they stood when they came.", "verdict")
	m.refused = vector("votes_refused_total", "Votes that were not taken.", "code")
	m.errors = vector("refusals_total", "Requests and connections refused.", "code")
	m.admitted = vector("statements_admitted_total", "Statements admitted.", "kind")
	m.kills = vector("kills_total", "Kills by operators.", "scope")
	gauge("workers", "Workers that have joined.", func() float64 { return float64(h.Status().Workers) })
	gauge("leases", "Leases lent now.", func() float64 { return float64(h.Status().Leases) })
	gauge("halted", "1 while the hub is halted.", func() float64 {
		if h.Status().Halted {
			return 1
		}
		return 0
	})
	gauge("policy_expires_seconds", "Seconds until the policy expires.", func() float64 {
		return h.Policy().Expires.Time().Sub(h.now()).Seconds()
	})
	gauge("index_expires_seconds", "Seconds until the index goes stale; negative: it is; 0: there is none.", func() float64 {
		if x := h.trust.Load().Index; x != nil {
			return x.Expires.Time().Sub(h.now()).Seconds()
		}
		return 0
	})
	gauge("trust_warning", "1 while policy or index need care, see /v1/status.", func() float64 {
		if h.trustInfo(h.trust.Load(), h.now()).Warning != "" {
			return 1
		}
		return 0
	})
	gauge("checkpoint_bytes", "Bytes of checkpoints on disk.", func() float64 {
		now, _ := h.store.CheckpointBytes()
		return float64(now)
	})
	gauge("disk_free_bytes", "Bytes that the disk has left; 0: not known.", func() float64 { return float64(h.diskInfo().Free) })
	gauge("disk_short", "1 while there is no room to lend or admit anything.", func() float64 {
		if h.diskInfo().State != diskOK {
			return 1
		}
		return 0
	})
	gauge("visit_seconds", "How long a visit lasts in the mean; 0: not known yet.", func() float64 {
		h.mu.Lock()
		defer h.mu.Unlock()
		return float64(h.visits.seconds())
	})
	gauge("verdicts_pending", "Verdicts on their way to the disk.", func() float64 { return float64(h.pending.Load()) })
	gauge("log_size", "Entries under the published checkpoint of the transparency log.", func() float64 {
		c, _ := h.notary.current()
		return float64(c.Size)
	})
	gauge("log_cosignatures", "Witnesses that cosigned that checkpoint.", func() float64 {
		c, _ := h.notary.current()
		return float64(len(c.Signatures) - 1)
	})
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) decided(d job.Decide) {
	switch {
	case d.Stopped: // kills_total and admitted_total have it
	case d.Undecided:
		m.undecided.Inc()
	default:
		m.accepted.Inc()
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
