package sdk

import (
	"bytes"
	"strings"
	"testing"
)

func TestProject(t *testing.T) {
	for _, l := range Languages() {
		files, err := l.Project("ada/deep/count", "ada-deep-count-1.release.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Makefile", "README.md", "job.toml", "input.txt", "expected.txt", ".gitignore", l.main, l.sdk} {
			if len(files[name]) == 0 {
				t.Errorf("%s: no %s", l.Name, name)
			}
		}
		for name, text := range files {
			if bytes.Contains(text, []byte("{{")) || bytes.Contains(text, []byte("payloads/sdk")) {
				t.Errorf("%s: %s has a placeholder", l.Name, name)
			}
		}
		if job := string(files["job.toml"]); !strings.Contains(job, `name = "ada/deep/count"`) || !strings.Contains(job, `source = "count.wasm"`) {
			t.Errorf("%s: job.toml is\n%s", l.Name, job)
		}
	}
	if _, err := ByName("go"); err != nil {
		t.Error(err)
	}
	if _, err := ByName("perl"); err == nil {
		t.Error("there is Perl")
	}
}
