package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signer": main})
}

// TestScripts runs the real command; see testdata/script.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("COUNTERSIGN_HUB", "")
			env.Setenv("ROOT", root)
			for _, name := range []string{"alice.key", "alice.pub", "bob.key", "bob.pub"} {
				if err := copyFile(filepath.Join(root, "testdata/keys", name), filepath.Join(env.WorkDir, name)); err != nil {
					return err
				}
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "pw"), []byte("test\n"), 0o600)
		},
	})
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}
