package main

import (
	"errors"

	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/translog"
)

// logFlags say in which transparency log releases must be: docs/spec/log.md.
type logFlags struct {
	key       string
	witnesses []string
	quorum    int
}

func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.key, "log", "", "the `key` of a transparency log that must have every release, as hub log-key prints it")
	flags.StringArrayVar(&f.witnesses, "witness", nil, "the `key` of a witness of that log; may be given several times")
	flags.IntVar(&f.quorum, "witness-quorum", -1, "how many of them must have cosigned (default: all)")
}

// load returns nil if no log is named.
func (f *logFlags) load() (*translog.Verifier, error) {
	if f.key == "" {
		if len(f.witnesses) > 0 || f.quorum > 0 {
			return nil, errors.New("witnesses of which log? Give --log KEY")
		}
		return nil, nil
	}
	if f.quorum < 0 {
		f.quorum = len(f.witnesses)
	}
	return translog.NewVerifier(f.key, f.witnesses, f.quorum)
}
