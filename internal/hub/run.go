package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 10 * time.Second
	maxHeader     = 16 << 10
)

// Run serves on l until ctx ends, then lets requests finish, and returns. It
// returns an error when it cannot serve, or when the store has failed. Close
// is still to be called.
func (h *Hub) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           h.handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(h.endStreams)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-h.failed:
		return errors.Join(h.failure, server.Close())
	case <-ctx.Done():
	}
	h.log.Info("shutting down")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("waiting for requests to end: %w", err), server.Close())
	}
	return nil
}
