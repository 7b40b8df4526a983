package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/store"
)

func compactCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "compact",
		Short: "Give the disk back what removed facts took; no hub may use it",
		Long: `compact writes the facts into a new file and puts it in the place of the old one.
The file of a hub does not shrink by itself: what is removed is room for new facts.
It needs as much room as the facts take. A crash leaves the old file.`,
		Example: "  hub compact --data data",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVar(&data, "data", "", "the hub's data `directory`")
	must(c, "data")
	c.RunE = func(c *cobra.Command, _ []string) error {
		before, after, err := store.Compact(data)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "facts: %d bytes, now %d\n", before, after)
		return nil
	}
	return c
}
