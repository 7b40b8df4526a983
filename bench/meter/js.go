package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// js is a JavaScript engine that runs pairs of modules: a line of file names in,
// a line of their least seconds out.
type js struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	dir string
}

// startJS starts a script that runs modules on V8's optimising compiler: a kernel
// is one long call, which V8 would leave in its baseline compiler.
func startJS(script string, rounds int) (*js, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("node", "--no-liftoff", "--no-wasm-lazy-compilation", script, fmt.Sprint(rounds), fmt.Sprint(slice))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return nil, fmt.Errorf("%s: %w", script, err)
	}
	return &js{cmd, in, bufio.NewScanner(out), dir}, nil
}

func (j *js) compare(source, module []byte) (float64, error) {
	a, b := filepath.Join(j.dir, "a.wasm"), filepath.Join(j.dir, "b.wasm")
	if err := errors.Join(os.WriteFile(a, source, 0o600), os.WriteFile(b, module, 0o600)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintln(j.in, a, b); err != nil {
		return 0, err
	}
	if !j.out.Scan() {
		return 0, fmt.Errorf("no answer (%v)", j.out.Err())
	}
	var seconds [2]float64
	if err := json.Unmarshal(j.out.Bytes(), &seconds); err != nil {
		return 0, err
	}
	return seconds[1] / seconds[0], nil
}

func (j *js) close() {
	j.in.Close()
	j.cmd.Wait()
	os.RemoveAll(j.dir)
}
