package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/keys"
)

func keyCommand() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Make and look after minisign keys"}
	c.AddCommand(keyNew(), keyShow(), keyPasswd())
	return c
}

func keyNew() *cobra.Command {
	var passwordFile string
	c := &cobra.Command{
		Use:     "new NAME",
		Short:   "Make a key pair: NAME.key (secret, encrypted) and NAME.pub",
		Args:    cobra.ExactArgs(1),
		Example: "  signer key new ada",
	}
	asJSON := jsonFlag(c)
	c.Flags().StringVar(&passwordFile, "password-file", "", "read the new password from the first line of this `file` (- is standard input)")
	c.RunE = func(c *cobra.Command, args []string) error {
		secretPath, publicPath := args[0]+".key", args[0]+".pub"
		for _, p := range []string{secretPath, publicPath} {
			if _, err := os.Lstat(p); err == nil {
				return fmt.Errorf("%s exists already: a key is never overwritten", p)
			}
		}
		pw, err := newPassword(c, passwordFile, secretPath)
		if err != nil {
			return err
		}
		s, err := keys.Generate(nil)
		if err != nil {
			return err
		}
		secret, err := s.Encrypt(pw)
		if err != nil {
			return err
		}
		if err := writeNew(secretPath, secret, 0o600); err != nil {
			return err
		}
		if err := writeNew(publicPath, s.Public().File(), 0o644); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]string{"public_key": s.Public().String(), "secret_file": secretPath, "public_file": publicPath})
		}
		fields(c.OutOrStdout(), "public key", s.Public(), "public file", publicPath, "secret file", secretPath+" (keep it offline, and a copy elsewhere)")
		return nil
	}
	return c
}

func keyShow() *cobra.Command {
	c := &cobra.Command{Use: "show FILE", Short: "Print the public key of a .pub or a .key file", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	passwordFile := c.Flags().String("password-file", "", "for a .key file: read its password from the first line of this `file`")
	c.RunE = func(c *cobra.Command, args []string) error {
		data, err := readCapped(args[0], 4096)
		if err != nil {
			return err
		}
		k, err := keys.ParsePublicKey(data)
		if err != nil {
			s, serr := (&keyFlags{key: args[0], passwordFile: *passwordFile}).load(c)
			if serr != nil {
				return serr
			}
			k = s.Public()
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]string{"public_key": k.String(), "id": k.ID()})
		}
		fields(c.OutOrStdout(), "public key", k, "key id", k.ID())
		return nil
	}
	return c
}

func keyPasswd() *cobra.Command {
	var oldFile, newFile string
	c := &cobra.Command{Use: "passwd FILE.key", Short: "Change the password of a secret key", Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&oldFile, "password-file", "", "the old password: first line of this `file`")
	c.Flags().StringVar(&newFile, "new-password-file", "", "the new password: first line of this `file`")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := (&keyFlags{key: args[0], passwordFile: oldFile}).load(c)
		if err != nil {
			return err
		}
		if _, fromEnv := os.LookupEnv(passwordEnv); fromEnv && newFile == "" {
			return fmt.Errorf("%s is set, so the new password must come from --new-password-file", passwordEnv)
		}
		pw, err := newPassword(c, newFile, args[0])
		if err != nil {
			return err
		}
		data, err := s.Encrypt(pw)
		if err != nil {
			return err
		}
		if err := replace(args[0], data); err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%s: password changed\n", args[0])
		return nil
	}
	return c
}

// replace swaps in new content so that at every moment the path names a whole
// file: losing a secret key to a full disk would be a poor trade.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".signer-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path) // CreateTemp made it 0600
}
