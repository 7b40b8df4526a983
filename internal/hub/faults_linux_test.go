package hub

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// limitedDisk is a disk of so many bytes. It can be filled.
type limitedDisk struct {
	t    *testing.T
	path string
}

// newDisk mounts one. Without the right to, the test runs again in a user
// namespace, where everybody may mount, and newDisk does not return.
func newDisk(t *testing.T, bytes string) *limitedDisk {
	t.Helper()
	d := &limitedDisk{t, filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", d.path, "tmpfs", 0, "mode=700,size="+bytes)
	if errors.Is(err, syscall.EPERM) && os.Getenv(namespaced) == "" {
		rerun(t)
	}
	if err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.path, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return d
}

const namespaced = "COUNTERSIGN_TEST_NAMESPACED"

// rerun runs this test alone in a user namespace, and passes its end on.
func rerun(t *testing.T) {
	args := append([]string{"-Urm", os.Args[0]}, os.Args[1:]...)
	cmd := exec.Command("unshare", append(args, "-test.run=^"+t.Name()+"$")...)
	cmd.Env = append(os.Environ(), namespaced+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("in a user namespace:\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
	t.SkipNow() // it has run there, and passed
}

func (d *limitedDisk) ballast() string { return filepath.Join(d.path, "ballast") }

// fill leaves no room on the disk.
func (d *limitedDisk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.ballast(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

func (d *limitedDisk) empty() {
	if err := os.Remove(d.ballast()); err != nil && !os.IsNotExist(err) {
		d.t.Error(err)
	}
}

// injected has strace do something to the syncs of a program.
func injected(args []string, what string) []string {
	return append([]string{"strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=" + what}, args...)
}

// canInject reports whether strace is there and may trace.
func canInject() bool {
	return exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "true").Run() == nil
}
