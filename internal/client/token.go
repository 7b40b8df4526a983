package client

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/countersign/countersign/internal/wire"
)

// ReadToken reads a file with a token, as hub token mint prints it; "" for no
// file.
func ReadToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 2*wire.MaxToken))
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if strings.Count(token, ".") != 2 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("reading the token: %s has no token, as hub token mint prints it", file)
	}
	return token, nil
}
