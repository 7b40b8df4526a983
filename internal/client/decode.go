package client

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// decode reads a JSON value that a hub sent. What is in it is shown on terminals,
// which obey control characters, so texts have printable ASCII or are refused:
// a hub sends no other.
func decode(data []byte, into any) error {
	if err := printable(data); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// decodeAll reads a whole body of at most limit bytes.
func decodeAll(body io.Reader, limit int64, into any) error {
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("more than %d bytes", limit)
	}
	return decode(data, into)
}

// printable reports the first character in a JSON text, escaped or not, that is
// neither printable ASCII nor the space between values.
func printable(text []byte) error {
	for i := 0; i < len(text); i++ {
		b := text[i]
		switch {
		case b == '\\' && i+1 < len(text):
			i++
			switch text[i] {
			case '"', '\\', '/':
			case 'u':
				if i+4 >= len(text) {
					return nil // not JSON, as will be found
				}
				if c, err := strconv.ParseUint(string(text[i+1:i+5]), 16, 16); err == nil && (c < 0x20 || c > 0x7e) {
					return notPrintable(i - 1)
				}
			default:
				return notPrintable(i - 1)
			}
		case b == '\n' || b == '\t' || b == '\r': // in a string they are not JSON
		case b < 0x20 || b > 0x7e:
			return notPrintable(i)
		}
	}
	return nil
}

func notPrintable(at int) error {
	return fmt.Errorf("at byte %d is a character that is not printable ASCII", at)
}
