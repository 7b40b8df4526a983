package sandbox

import (
	"os"

	"github.com/tetratelabs/wazero"
)

// openCache returns the compilation cache in a directory, or nil if there is to
// be none or it cannot be trusted: modules are then compiled as ever.
func openCache(dir string) wazero.CompilationCache {
	if dir == "" || os.MkdirAll(dir, 0o700) != nil {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return nil
	}
	c, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil
	}
	return c
}
