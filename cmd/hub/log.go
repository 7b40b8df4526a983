package main

import (
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/hub"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/translog"
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

// tagLog is what an embedding tag says of the log that it trusts.
type tagLog struct {
	key       string
	witnesses []string
	quorum    int
}

func (l *tagLog) add(flags *pflag.FlagSet) {
	flags.StringVar(&l.key, "log", "", "in the tag: the `key` of the log that must have every release, as hub log-key prints it")
	flags.StringArrayVar(&l.witnesses, "witness", nil, "in the tag: the `key` of a witness of that log; may be given several times")
	flags.IntVar(&l.quorum, "witness-quorum", -1, "in the tag: how many of them must have cosigned (default: all)")
}

func (l *tagLog) attributes() (string, error) {
	if l.key == "" {
		if len(l.witnesses) > 0 {
			return "", errors.New("witnesses of which log? Give --log KEY")
		}
		return "", nil
	}
	if l.quorum < 0 {
		l.quorum = len(l.witnesses)
	}
	if _, err := translog.NewVerifier(l.key, l.witnesses, l.quorum); err != nil {
		return "", err
	}
	text := fmt.Sprintf("\n  data-log=\"%s\"", html.EscapeString(l.key))
	if len(l.witnesses) > 0 {
		text += fmt.Sprintf("\n  data-witnesses=\"%s\" data-witness-quorum=\"%d\"", html.EscapeString(strings.Join(l.witnesses, " ")), l.quorum)
	}
	return text, nil
}
