package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/wire"
)

//go:embed echo.py
var echoServer string

const (
	echoClients = 100
	echoAhead   = 16 // messages that a client sends before it waits
)

// sample is a vote's message.
func sample() ([]byte, error) {
	w := &worker{key: make([]byte, 64)}
	return wire.ResultFrame([]*wire.Result{w.vote(&wire.Lease{})}, w.key)
}

// echo measures how many votes a second the lab's server sends back.
func echo(ctx context.Context, python string, d time.Duration) (float64, error) {
	message, err := sample()
	if err != nil {
		return 0, err
	}
	server := exec.CommandContext(ctx, python, "-c", echoServer)
	server.Stderr = os.Stderr
	said, err := server.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := server.Start(); err != nil {
		return 0, err
	}
	defer server.Wait()
	defer server.Process.Kill()
	port, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return 0, errors.New("it does not start: is python3-websockets there?")
	}
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	var echoed atomic.Int64
	for range echoClients {
		conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:"+strings.TrimSpace(port), nil)
		if err != nil {
			return 0, err
		}
		all.Go(func() { chat(ctx, conn, message, &echoed) })
	}
	time.Sleep(warmUp / 2)
	before := echoed.Load()
	time.Sleep(d)
	return float64(echoed.Load()-before) / d.Seconds(), nil
}

// chat keeps some messages on their way until ctx ends.
func chat(ctx context.Context, conn *websocket.Conn, message []byte, echoed *atomic.Int64) {
	defer conn.CloseNow()
	for sent := 0; ; {
		for ; sent < echoAhead; sent++ {
			if conn.Write(ctx, websocket.MessageText, message) != nil {
				return
			}
		}
		if _, _, err := conn.Read(ctx); err != nil {
			return
		}
		echoed.Add(1)
		sent--
	}
}

// singles measures how many votes a second bbolt takes, each in its own transaction.
func singles(d time.Duration) (float64, error) {
	dir, err := os.MkdirTemp("", "bench-hub-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	db, err := bolt.Open(filepath.Join(dir, "single.db"), 0o600, nil)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	message, err := sample()
	if err != nil {
		return 0, err
	}
	n, begin := 0, time.Now()
	for ; time.Since(begin) < d; n++ {
		err := db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("votes"))
			if err != nil {
				return err
			}
			return b.Put([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, message)
		})
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}
