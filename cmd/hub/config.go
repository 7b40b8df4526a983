package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
)

const (
	envPrefix = "COUNTERSIGN_HUB_"
	maxConfig = 1 << 20
)

// configure fills in flags that were not given: from the environment, else
// from the config file, whose keys are the flags' names with _ for -.
func configure(flags *pflag.FlagSet, env func(string) (string, bool), file string) error {
	values, err := readConfig(file)
	if err != nil {
		return err
	}
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		value, inFile := values[key]
		delete(values, key)
		if f.Changed || f.Name == "config" || f.Name == "help" || failed != nil {
			return
		}
		if text, ok := env(envPrefix + strings.ToUpper(key)); ok && text != "" {
			if err := flags.Set(f.Name, text); err != nil {
				failed = fmt.Errorf("environment variable %s%s: %w", envPrefix, strings.ToUpper(key), err)
			}
			return
		}
		if inFile {
			if err := setFlag(flags, f.Name, value); err != nil {
				failed = fmt.Errorf("config file %s: %s: %w", file, key, err)
			}
		}
	})
	if failed != nil {
		return failed
	}
	unknown := make([]string, 0, len(values))
	for key := range values {
		unknown = append(unknown, key)
	}
	if slices.Sort(unknown); len(unknown) > 0 {
		return fmt.Errorf("config file %s: no such setting: %s", file, strings.Join(unknown, ", "))
	}
	return nil
}

func readConfig(file string) (map[string]any, error) {
	values := map[string]any{}
	if file == "" {
		return values, nil
	}
	data, err := readCapped(file, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("reading the config file: %w", err)
	}
	if err := toml.NewDecoder(bytes.NewReader(data)).Decode(&values); err != nil {
		return nil, fmt.Errorf("reading the config file %s: %w", file, err)
	}
	return values, nil
}

func setFlag(flags *pflag.FlagSet, name string, value any) error {
	switch v := value.(type) {
	case string, int64, bool:
		return flags.Set(name, fmt.Sprint(v))
	case []any:
		for _, element := range v {
			text, ok := element.(string)
			if !ok {
				return fmt.Errorf("%v is no text", element)
			}
			if err := flags.Set(name, text); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%v: want a text, a number, true, false, or a list of texts", value)
}

func readCapped(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, at most %d allowed", file, info.Size(), limit)
	}
	return os.ReadFile(file)
}
