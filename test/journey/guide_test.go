package journey

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestGuide runs the commands of docs/guide-payload.md as they stand there, but
// for the port and where mktemp makes folders.
func TestGuide(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	guide, err := os.ReadFile(filepath.Join(root, "docs/guide-payload.md"))
	if err != nil {
		t.Fatal(err)
	}
	const port = "127.0.0.1:8080"
	script := shell(string(guide))
	if strings.Count(script, port) != 2 {
		t.Fatalf("the guide names %s %d times, want 2", port, strings.Count(script, port))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	script = strings.ReplaceAll(script, port, l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", script)
	c.Dir = root
	c.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	// Its hub and volunteers end with it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	defer func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }()
	c.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	start := time.Now()
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	for _, want := range []string{
		"ok: the expected output, in one segment and in many\n",
		"300000 -> 230631, 442 steps\n",
		"verified: 3 of 3 tasks re-run, all equal\n",
		"var a = map[int]int{1: 2}\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the guide's commands do not print %q:\n%s", want, out.Bytes())
		}
	}
	t.Logf("%d lines of commands took %v", strings.Count(script, "\n"), time.Since(start).Round(time.Second))
}

// shell has the lines of all blocks that begin with ```sh.
func shell(markdown string) string {
	var lines strings.Builder
	in := false
	for line := range strings.Lines(markdown) {
		switch {
		case strings.HasPrefix(line, "```"):
			in = line == "```sh\n"
		case in:
			lines.WriteString(line)
		}
	}
	return lines.String()
}
