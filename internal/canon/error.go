package canon

import (
	"errors"
	"fmt"
)

// Error is a statement that was refused. Class is one of the failure classes
// of docs/spec/statement.md; logs, panels and test vectors name it.
type Error struct {
	Class string
	Msg   string
	Err   error // cause, may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

func (e *Error) Unwrap() error { return e.Err }

// Fail returns an *Error of the given class.
func Fail(class, format string, args ...any) error {
	return &Error{Class: class, Msg: fmt.Sprintf(format, args...)}
}

// ClassOf returns the failure class of the first *Error in err's chain, or "".
func ClassOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ""
}
