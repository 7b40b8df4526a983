package release

import "fmt"

func label(kind, name string, version int64) string {
	return fmt.Sprintf("%s %q version %d", kind, name, version)
}

// comment is the trusted comment: for people, read by no program.
func comment(typ, name string, version int64) string {
	return fmt.Sprintf("%s %s version %d", typ, name, version)
}

func validText(s string) bool { return len(s) >= 1 && len(s) <= maxText }
