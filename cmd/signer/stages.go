package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/internal/client"
	"github.com/countersign/countersign/internal/wire"
	"github.com/countersign/countersign/release"
)

// job is what a job file says beside flags: docs/guide-orders.md.
type job struct {
	stages []map[string]any // flags of signer order, one order each
	rest   []map[string]any // flags for all stages but the first, complete
}

const maxStages = 64

// stagesOf takes the [[stage]] tables of a job file. Each follows the one before.
func stagesOf(root *cobra.Command, file map[string]any) ([]map[string]any, error) {
	list, is := file["stage"].([]any)
	if !is {
		if file["stage"] != nil {
			return nil, errors.New("stage: want [[stage]] tables")
		}
		return nil, nil
	}
	if len(list) > maxStages {
		return nil, fmt.Errorf("%d stages, at most %d allowed", len(list), maxStages)
	}
	order, _, err := root.Find([]string{"order"})
	if err != nil {
		return nil, err
	}
	var stages []map[string]any
	for i, v := range list {
		table, is := v.(map[string]any)
		if !is {
			return nil, errors.New("stage: want [[stage]] tables")
		}
		for _, key := range slices.Sorted(maps.Keys(table)) {
			if jobFlag(order, key) == nil {
				return nil, fmt.Errorf("stage %d: %s: signer order has no such flag", i+1, key)
			}
		}
		if _, named := table["output"].(string); !named {
			return nil, fmt.Errorf("stage %d: which file is its order? Give output", i+1)
		}
		if i > 0 && table["after"] == nil {
			table["after"] = stages[i-1]["output"]
		}
		stages = append(stages, table)
	}
	return stages, nil
}

// restOf gives each stage but the first what the command line, the stage, and
// the file for all orders say, in this order.
func restOf(c *cobra.Command, file map[string]any, stages []map[string]any) (rest []map[string]any) {
	common := map[string]any{}
	for key, v := range file {
		if _, isTable := v.(map[string]any); !isTable && jobFlag(c, key) != nil {
			common[key] = v
		}
	}
	if section, is := file["order"].(map[string]any); is {
		maps.Copy(common, section)
	}
	given := map[string]any{}
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Name != "job" && f.Value.Type() != stringArray {
			given[f.Name] = f.Value.String()
		}
	})
	for _, stage := range stages[1:] {
		all := maps.Clone(common)
		maps.Copy(all, stage)
		maps.Copy(all, given)
		rest = append(rest, all)
	}
	return rest
}

// signRest signs the orders of the stages after the first, as signer order would.
func (j *job) signRest(c *cobra.Command) error {
	for i, flags := range j.rest {
		next := orderCommand()
		next.SetIn(c.InOrStdin())
		next.SetOut(c.OutOrStdout())
		next.SetErr(c.ErrOrStderr())
		err := setFlags(next, flags)
		if err == nil {
			err = errors.Join(next.ValidateRequiredFlags(), next.ValidateFlagGroups())
		}
		if err == nil {
			err = next.RunE(next, nil)
		}
		if err != nil {
			return fmt.Errorf("stage %d: %w", i+2, err)
		}
	}
	return nil
}

// submission is an order's file, with its input file if it has one.
type submission struct{ order, input string }

// submissions are the orders that were named, or those of the job's stages. An
// input file goes with the order that takes one.
func submissions(named []string, j *job, input string) (all []submission, err error) {
	for _, path := range named {
		all = append(all, submission{order: path})
	}
	if len(named) == 0 {
		for _, s := range j.stages {
			file, _ := cmp.Or(s["lines"], s["chunks"]).(string)
			all = append(all, submission{s["output"].(string), file})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("which order? Name its file, or give a job file with [[stage]] tables")
	}
	if input == "" {
		return all, nil
	}
	for i := range all {
		if takes, err := takesFile(all[i].order); err != nil {
			return nil, err
		} else if takes || len(all) == 1 {
			all[i].input = input
		}
	}
	return all, nil
}

func takesFile(path string) (bool, error) {
	st, err := readCapped(path, release.MaxStatement)
	if err != nil {
		return false, err
	}
	o, err := release.ParseOrder(st)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return o.Input.IsFile(), nil
}

func submitAll(c *cobra.Command, cl *client.Client, all []submission, tell bool) (made []wire.OrderAdmitted, err error) {
	for _, s := range all {
		m, err := s.submit(c, cl)
		if err != nil {
			return nil, fmt.Errorf("submitting %s: %w", s.order, err)
		}
		made = append(made, m)
		if tell {
			fmt.Fprintf(c.OutOrStdout(), "submitted: order %s, %d tasks\n", m.Order, m.Tasks)
		}
	}
	return made, nil
}

func (s submission) submit(c *cobra.Command, cl *client.Client) (made wire.OrderAdmitted, err error) {
	_, parts, err := statementParts(s.order)
	if err != nil {
		return made, err
	}
	if s.input != "" {
		f, err := os.Open(s.input)
		if err != nil {
			return made, err
		}
		defer f.Close()
		parts = append(parts, client.Part{Name: "input", Content: f})
	}
	return made, cl.Post(c.Context(), "/v1/orders", &made, parts...)
}
