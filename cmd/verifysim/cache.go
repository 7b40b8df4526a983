package main

import (
	"os"
	"path/filepath"
)

// modulesDir is where compiled modules are kept from run to run, or "" where
// this user has no place for such things.
func modulesDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "countersign", "modules")
}
