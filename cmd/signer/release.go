package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/canon"
	"github.com/countersign/countersign/release"
)

type releaseFlags struct {
	name, purpose, source, module, dir string
	version                            int64
	limits                             release.Limits
	expiresIn                          time.Duration
}

func releaseCommand() *cobra.Command {
	var f releaseFlags
	c := &cobra.Command{
		Use:   "release",
		Short: "Sign a release: which module may run, under which limits",
		Long: `Writes NAME-VERSION.release.json and its signature beside it (slashes of the name become dashes).
The release says what a browser will show the visitor and what it will hold the module to; read it before you publish it.
Anybody can check it: minisign -Vm FILE.release.json -P YOUR_PUBLIC_KEY`,
		Example: `  signer release -k ada.key --name ada/factor --version 1 --purpose "Factors integers by trial division." \
      --source factor.wasm --module factor.metered.wasm --memory-pages 16 --task-fuel 50000000000 --seconds 300`,
		Args: cobra.NoArgs,
	}
	key := addKeyFlags(c)
	asJSON := jsonFlag(c)
	addJobFlag(c)
	fl := c.Flags()
	fl.StringVar(&f.name, "name", "", "name, like ada/factor; your key's prefix in the policy must cover it")
	fl.Int64Var(&f.version, "version", 1, "version; raise it for every release of the name")
	fl.StringVar(&f.purpose, "purpose", "", "one line for the visitor: what the computation is for")
	fl.StringVar(&f.source, "source", "", "the module before metering (`file`)")
	fl.StringVar(&f.module, "module", "", "the metered module that signer build wrote (`file`)")
	fl.StringVarP(&f.dir, "dir", "d", ".", "write the statement into this `folder`")
	fl.Uint64Var(&f.limits.TaskFuel, "task-fuel", 10_000_000_000, "fuel for one task")
	fl.Uint64Var(&f.limits.SegmentFuel, "segment-fuel", 0, "fuel for one segment (default: as for the task)")
	fl.Uint64Var(&f.limits.MemoryPages, "memory-pages", 256, "linear memory in pages of 64 KiB, as given to signer build")
	fl.Uint64Var(&f.limits.Seconds, "seconds", 300, "time for one task on a slow machine")
	fl.Uint64Var(&f.limits.OutputBytes, "output-bytes", 65536, "largest standard output of one task")
	fl.DurationVar(&f.expiresIn, "expires-in", 30*24*time.Hour, "how long the release may be run (at most 2160h, 90 days)")
	must(c, "name", "purpose", "source", "module")
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := f.release(c)
		if err != nil {
			return err
		}
		secret, err := key.load(c)
		if err != nil {
			return err
		}
		st, sig, err := r.Sign(secret)
		if err != nil {
			return err
		}
		path := filepath.Join(f.dir, releaseFile(r.Name, r.Version))
		if err := writeStatement(path, st, sig); err != nil {
			return err
		}
		return signed(c, *asJSON, "release", path, canon.Sum(st), st)
	}
	return c
}

// release builds the statement, after making sure that source and module
// belong together: what a hub would refuse is better refused here.
func (f *releaseFlags) release(c *cobra.Command) (*release.Release, error) {
	source, err := readCapped(f.source, release.MaxModule)
	if err != nil {
		return nil, err
	}
	module, err := readCapped(f.module, release.MaxModule)
	if err != nil {
		return nil, err
	}
	if f.limits.SegmentFuel == 0 {
		f.limits.SegmentFuel = f.limits.TaskFuel
	}
	now := time.Now()
	r := &release.Release{Type: release.Type, Name: f.name, Version: f.version,
		ModuleSHA256: canon.Sum(module), ModuleLength: int64(len(module)), SourceSHA256: canon.Sum(source),
		ABI: release.ABI, CostTable: release.CostTable, Limits: f.limits, Purpose: f.purpose, Expires: canon.TimeOf(now.Add(f.expiresIn))}
	if _, err := r.Encode(); err != nil {
		return nil, err
	}
	if err := canon.CheckExpiry("the release", r.Expires, now, release.MaxAge); err != nil {
		return nil, err
	}
	again, err := build(c.Context(), source, uint32(f.limits.MemoryPages))
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", f.source, err)
	}
	if !bytes.Equal(again.module, module) {
		return nil, fmt.Errorf("%s is not what metering %s with --memory-pages %d gives: run signer build again", f.module, f.source, f.limits.MemoryPages)
	}
	return r, nil
}

// releaseFile is where a release's statement goes.
func releaseFile(name string, version int64) string {
	return fmt.Sprintf("%s-%d.release.json", strings.ReplaceAll(name, "/", "-"), version)
}

func writeStatement(path string, statement, signature []byte) error {
	return writeAll(map[string][]byte{path: statement, signatureOf(path): signature}, 0o644)
}

// signed reports a statement that was written.
func signed(c *cobra.Command, asJSON bool, kind, path string, digest canon.Digest, statement []byte) error {
	if asJSON {
		return printJSON(c.OutOrStdout(), map[string]string{"statement": path, "signature": signatureOf(path), "digest": digest.String()})
	}
	fmt.Fprintf(c.OutOrStdout(), "%s", statement)
	fields(c.OutOrStdout(), kind, path, "signature", signatureOf(path), "digest", digest)
	return nil
}
