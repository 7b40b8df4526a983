package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/countersign/countersign/keys"
)

const passwordEnv = "COUNTERSIGN_PASSWORD"

// keyFlags are the flags of commands that sign.
type keyFlags struct{ key, passwordFile string }

func addKeyFlags(c *cobra.Command) *keyFlags {
	f := &keyFlags{}
	c.Flags().StringVarP(&f.key, "key", "k", "", "your secret key `file` (minisign format)")
	c.Flags().StringVar(&f.passwordFile, "password-file", "", "read the key's password from the first line of this `file` (- is standard input)")
	must(c, "key")
	return f
}

// load reads and decrypts the secret key.
func (f *keyFlags) load(c *cobra.Command) (keys.SecretKey, error) {
	data, err := readCapped(f.key, 4096)
	if err != nil {
		return keys.SecretKey{}, fmt.Errorf("secret key: %w", err)
	}
	pw, err := readPassword(c, f.passwordFile, "Password for "+f.key+": ")
	if err != nil {
		return keys.SecretKey{}, err
	}
	s, err := keys.Decrypt(pw, data)
	if err != nil {
		return keys.SecretKey{}, fmt.Errorf("%s: %w", f.key, err)
	}
	return s, nil
}

// readPassword takes the password from file, else from the environment, else
// from the terminal.
func readPassword(c *cobra.Command, file, prompt string) (string, error) {
	switch {
	case file == "-":
		return firstLine(c.InOrStdin())
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("password file: %w", err)
		}
		defer f.Close()
		return firstLine(f)
	}
	if pw, ok := os.LookupEnv(passwordEnv); ok {
		return pw, nil
	}
	return askPassword(c, prompt)
}

func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func askPassword(c *cobra.Command, prompt string) (string, error) {
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", fmt.Errorf("no terminal to ask for the password: use --password-file or %s", passwordEnv)
	}
	fmt.Fprint(c.ErrOrStderr(), prompt)
	pw, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(c.ErrOrStderr())
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(pw), nil
}

// newPassword asks twice on a terminal.
func newPassword(c *cobra.Command, file, what string) (string, error) {
	pw, err := readPassword(c, file, "New password for "+what+": ")
	if err != nil {
		return "", err
	}
	if pw == "" {
		return "", errors.New("the password is empty: a secret key on disk needs one")
	}
	if _, fromEnv := os.LookupEnv(passwordEnv); file == "" && !fromEnv {
		again, err := askPassword(c, "The same again: ")
		if err != nil {
			return "", err
		}
		if again != pw {
			return "", errors.New("the two passwords differ")
		}
	}
	return pw, nil
}
