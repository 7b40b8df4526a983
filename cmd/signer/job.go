package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const maxJob = 64 << 10

// addJobFlag lets a command take flags that it is not given from a job file:
// docs/guide-payload.md.
//
// The job is complete when the command runs.
func addJobFlag(c *cobra.Command) *job {
	j := &job{}
	path := c.Flags().String("job", "", "take what is not given here from this TOML `file`: keys are flags, for all commands or under [COMMAND]")
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if *path == "" {
			return nil
		}
		data, err := readCapped(*path, maxJob)
		if err != nil {
			return err
		}
		var file map[string]any
		if err := toml.Unmarshal(data, &file); err != nil {
			return fmt.Errorf("%s: %w", *path, err)
		}
		if err := j.read(c, file); err != nil {
			return fmt.Errorf("%s: %w", *path, err)
		}
		return nil
	}
	return j
}

func (j *job) read(c *cobra.Command, file map[string]any) (err error) {
	if j.stages, err = stagesOf(c.Root(), file); err != nil {
		return err
	}
	delete(file, "stage")
	if c.Name() == "order" && len(j.stages) > 0 {
		j.rest = restOf(c, file, j.stages)
		if err := setFlags(c, j.stages[0]); err != nil {
			return fmt.Errorf("stage 1: %w", err)
		}
	}
	return fillFlags(c, file)
}

// fillFlags sets the flags that a job file has, and that were not given. Every
// key has to be the flag of some command, so that none is overlooked.
func fillFlags(c *cobra.Command, job map[string]any) error {
	users := map[string]*cobra.Command{}
	for _, u := range c.Root().Commands() {
		if u.Flags().Lookup("job") != nil {
			users[u.Name()] = u
		}
	}
	values, own := map[string]any{}, map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(job)) {
		section, isTable := job[key].(map[string]any)
		switch {
		case isTable:
			if err := checkSection(users[key], key, section); err != nil {
				return err
			}
			if key == c.Name() {
				own = section
			}
		case !anyHas(users, key):
			return fmt.Errorf("%s: no command has a flag of that name", key)
		case jobFlag(c, key) != nil:
			values[key] = job[key]
		}
	}
	maps.Copy(values, own)
	return setFlags(c, values)
}

// checkSection makes sure that a section is for a command, and has flags of it.
func checkSection(user *cobra.Command, name string, section map[string]any) error {
	if user == nil {
		return fmt.Errorf("[%s]: there is no such command that takes a job file", name)
	}
	for _, key := range slices.Sorted(maps.Keys(section)) {
		if jobFlag(user, key) == nil {
			return fmt.Errorf("[%s] %s: signer %s has no such flag", name, key, name)
		}
	}
	return nil
}

func setFlags(c *cobra.Command, values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if c.Flags().Changed(name) {
			continue
		}
		if err := setFlag(c, name, values[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// setFlag takes a list for a flag that may be given several times.
func setFlag(c *cobra.Command, name string, v any) error {
	all, isList := v.([]any)
	if !isList {
		all = []any{v}
	} else if flag := jobFlag(c, name); flag == nil || flag.Value.Type() != stringArray {
		return errors.New("a list, but the flag is given once")
	}
	for _, one := range all {
		text, err := flagText(one)
		if err == nil {
			err = c.Flags().Set(name, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stringArray is the type of flags that may be given several times.
const stringArray = "stringArray"

func flagText(v any) (string, error) {
	switch v.(type) {
	case string, int64, bool:
		return fmt.Sprint(v), nil
	}
	return "", errors.New("want a text, a whole number, true or false")
}

// jobFlag is a flag that may stand in a job file.
func jobFlag(c *cobra.Command, name string) *pflag.Flag {
	if name == "job" || name == "help" {
		return nil
	}
	return c.Flags().Lookup(name)
}

func anyHas(users map[string]*cobra.Command, name string) bool {
	for _, u := range users {
		if jobFlag(u, name) != nil {
			return true
		}
	}
	return false
}
