package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func filesIn(t *testing.T, dir string) (n int) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

func TestCacheDir(t *testing.T) {
	tk := busyTask(t)
	want := mustRun(t, newEngine(t, nil), tk)
	dir := filepath.Join(t.TempDir(), "modules")
	for range 2 { // written, then read
		if got := mustRun(t, newEngine(t, &Options{CacheDir: dir}), tk); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
		if filesIn(t, dir) == 0 {
			t.Error("nothing is kept")
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestCacheDirOfOthers: machine code is not taken from where others can write.
func TestCacheDirOfOthers(t *testing.T) {
	tk := busyTask(t)
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{open, file, filepath.Join(file, "below")} {
		if o := mustRun(t, newEngine(t, &Options{CacheDir: dir}), tk); o.End != Exit {
			t.Errorf("%s: %+v", dir, o)
		}
		if filesIn(t, open) > 0 {
			t.Errorf("%s is used", dir)
		}
	}
}
