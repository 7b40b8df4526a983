package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/store"
)

// logFlags are those of the transparency log: docs/spec/log.md.
type logFlags struct {
	origin    string
	witnesses []string
	quorum    int
}

func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.origin, "log-origin", "", "`name` of a new transparency log, like hub.example.org/log (default: one that follows from its key)")
	flags.StringArrayVar(&f.witnesses, "witness", nil, "`URL,VKEY` of a witness that is asked to cosign the log; may be given several times")
	flags.IntVar(&f.quorum, "witness-quorum", 0, "how many witnesses a checkpoint waits for (0: more than half)")
}

func (f *logFlags) set(opt *hub.Options) {
	opt.LogOrigin, opt.Witnesses, opt.WitnessQuorum = f.origin, f.witnesses, f.quorum
}

// greet says what the log is called, and what it is worth.
func (f *logFlags) greet(w io.Writer, h *hub.Hub) {
	fmt.Fprintf(w, "log key    %s\n", h.LogKey())
	if n := len(f.witnesses); n > 0 {
		fmt.Fprintf(w, "log        %d witnesses are asked to cosign it\n", n)
	} else {
		fmt.Fprintln(w, "log        unwitnessed: nobody but this hub vouches for it (--witness)")
	}
}

func logKeyCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "log-key",
		Short: "Print the public key of a hub's transparency log",
		Long: `log-key prints the key by which others know the log of this data directory:
volunteers, who check that releases are in it, monitors and witnesses. The first
serve made it, or makes it.`,
		Example: "  hub log-key --data data",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&data, "data", "", "the hub's data `directory`")
	must(c, "data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		k, err := store.LoadLogKey(data)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s has no log key yet: hub serve makes it", data)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), k.VKey)
		return nil
	}
	return c
}
