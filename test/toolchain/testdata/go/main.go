// A program that tries what programs try: os.Args[1] says what.
package main

import (
	"bufio"
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	what := "hello"
	if len(os.Args) > 1 {
		what = os.Args[1]
	}
	programs[what]()
}

var programs = map[string]func(){
	"hello":  func() { fmt.Println("hello") },
	"input":  input,
	"files":  files,
	"clocks": clocks,
	"sleep":  sleep,
	"random": random,
	"args":   func() { fmt.Println(os.Args[0], len(os.Args), strings.Join(os.Args[2:], " "), len(os.Environ()) == 0) },
	"exit":   func() { os.Exit(7) },
	"panic":  func() { panic("ouch") },
	"nil":    func() { fmt.Println(*new(*int) == nil, **new(*int)) },
	"recover": func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var m map[string]int
		m["a"] = 1
	},
	"recurse":    func() { fmt.Println(deep(1 << 24)) },
	"goroutines": goroutines,
	"maps":       maps,
	"deadlock":   func() { fmt.Println("waiting"); <-make(chan int) },
	"garbage":    garbage,
}

func input() {
	var n int
	var sum uint32
	in := bufio.NewReader(os.Stdin)
	for {
		c, err := in.ReadByte()
		if err != nil {
			_, again := os.Stdin.Read(make([]byte, 1))
			fmt.Printf("%d bytes, sum %d, then %v %v\n", n, sum, err, again)
			return
		}
		sum, n = sum*31+uint32(c), n+1
	}
}

func files() {
	_, err := os.Open("x")
	fmt.Println("open", errors.Is(err, syscall.EBADF))
	fmt.Println("create", os.WriteFile("x", nil, 0o600) != nil)
	_, err = os.ReadDir(".")
	fmt.Println("list", err != nil)
	_, err = os.Stat("x")
	fmt.Println("stat", err != nil)
	_, err = os.Stdin.Stat()
	fmt.Println("stat of stdin", err)
	_, err = os.MkdirTemp("", "")
	fmt.Println("mkdir", err != nil)
	fmt.Println("remove", os.Remove("x") != nil)
	fmt.Println("rename", os.Rename("x", "y") != nil)
	_, err = os.Stdin.Seek(0, io.SeekStart)
	fmt.Println("seek", errors.Is(err, syscall.ESPIPE))
	_, err = os.Getwd()
	fmt.Println("cwd", err)
	fmt.Println("sync", os.Stdout.Sync())
	fmt.Println("close", os.Stdin.Close())
}

func clocks() {
	a, b := time.Now(), time.Now()
	fmt.Println(a.Unix(), b.After(a), a.Location())
}

func sleep() {
	start := time.Now()
	since := func() time.Duration { return time.Since(start).Truncate(time.Millisecond) }
	time.Sleep(10 * time.Millisecond)
	fmt.Println("slept", since())
	<-time.After(time.Hour)
	fmt.Println("after", since())
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	<-ctx.Done()
	fmt.Println("deadline", since(), ctx.Err())
	tick := time.NewTicker(time.Second)
	for range 3 {
		<-tick.C
	}
	fmt.Println("ticked", since())
	select {
	case <-make(chan int):
	case <-time.After(time.Second):
		fmt.Println("select", since())
	}
}

func random() {
	b := make([]byte, 8)
	_, err := cryptorand.Read(b)
	fmt.Printf("%x %v %d\n", b, err, rand.Uint64())
}

func goroutines() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	results, total := make(chan int), 0
	for i := range 100 {
		wg.Go(func() {
			runtime.Gosched()
			mu.Lock()
			total += i
			mu.Unlock()
			results <- i
		})
	}
	go func() { wg.Wait(); close(results) }()
	var order []int
	for i := range results {
		order = append(order, i)
	}
	fmt.Println(total, len(order), order[:5], runtime.NumCPU())
}

func maps() {
	m := map[int]bool{}
	for i := range 50 {
		m[i] = true
	}
	var order []int
	for i := range m {
		order = append(order, i)
	}
	fmt.Println(order[:5], slices.Max(order), len(m))
}

func garbage() {
	kept := make([][]byte, 64)
	for i := range 20_000 {
		kept[i%len(kept)] = make([]byte, 4096)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Println(len(kept), m.NumGC > 2)
}

func deep(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + deep(n-1)
}
