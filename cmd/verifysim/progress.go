package main

import (
	"os"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// progressBar draws a bar on standard error if that is a terminal. A bar that
// cannot be drawn is not worth failing for.
func progressBar(c *cobra.Command, what string) (show func(at, most uint64, text string), done func()) {
	f, ok := c.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(uint64, uint64, string) {}, func() {}
	}
	bar := progressbar.NewOptions64(1, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(what),
		progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	return func(at, most uint64, text string) {
		bar.ChangeMax64(int64(max(most, 1)))
		bar.Describe(text)
		_ = bar.Set64(int64(at))
	}, func() { _ = bar.Finish() }
}
