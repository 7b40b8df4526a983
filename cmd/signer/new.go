package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/payloads/sdk"
	"github.com/countersign/countersign/policy"
)

func newCommand() *cobra.Command {
	var lang, dir string
	var languages []string
	for _, l := range sdk.Languages() {
		languages = append(languages, l.Name)
	}
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Start a payload: a project that builds, runs and can be released",
		Long: `Writes a folder with a small program that runs in segments, the host's four calls for its language, a Makefile, a test that runs it with verifysim, and job.toml, from which the other commands take limits and input.
Nothing else of Countersign's sources is needed to build it.

NAME is that of its releases, like ada/count: the hub's policy says which prefix your key may sign. The folder has the last part of it.`,
		Example: "  signer new --lang c ada/count && make -C count test",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(c)
	c.Flags().StringVar(&lang, "lang", "", "language: "+strings.Join(languages, ", "))
	c.Flags().StringVarP(&dir, "dir", "d", "", "write the project into this `folder`, which must not exist (default: the last part of NAME)")
	must(c, "lang")
	c.RunE = func(c *cobra.Command, args []string) error {
		l, err := sdk.ByName(lang)
		if err != nil {
			return err
		}
		if !policy.ValidName(args[0]) {
			return fmt.Errorf("name %.80q: want up to %d of a-z, 0-9 and -, in parts joined by /", args[0], policy.MaxName)
		}
		if dir == "" {
			dir = path.Base(args[0])
		}
		files, err := l.Project(args[0], releaseFile(args[0], 1))
		if err != nil {
			return err
		}
		if err := writeProject(dir, files); err != nil {
			return fmt.Errorf("starting %s: %w", args[0], err)
		}
		paths := slices.Sorted(maps.Keys(files))
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]any{"project": dir, "language": l.Name, "release": args[0], "files": paths})
		}
		nextSteps(c.OutOrStdout(), l, dir, paths)
		return nil
	}
	return c
}

// writeProject writes the files into a folder that it makes.
func writeProject(dir string, files map[string][]byte) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s exists already: choose another name, or --dir", dir)
	}
	for name, data := range files {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := writeNew(to, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func nextSteps(w io.Writer, l sdk.Language, dir string, paths []string) {
	fields(w, "project", dir, "language", l.Title, "files", strings.Join(paths, ", "))
	fmt.Fprintf(w, `
Next:
  cd %s
  make test        builds, meters and runs it; needs %s
                   (Debian: %s)
  signer key new YOU
  signer release --job job.toml -k YOU.key

README.md has the way from there to a result.
`, dir, l.Needs, l.Install)
}
