package wasm

import (
	"fmt"
	"strconv"
	"strings"
)

// Feature names a part of WebAssembly that not every module uses.
type Feature string

// The features that are refused, by the names of their proposals.
const (
	Exceptions  Feature = "exceptions"
	FuncRefs    Feature = "typed function references"
	GC          Feature = "GC"
	Memory64    Feature = "memory64"
	MultiMemory Feature = "multiple memories"
	RelaxedSIMD Feature = "relaxed SIMD"
	TailCalls   Feature = "tail calls"
	Threads     Feature = "threads"
)

// Refusals of what every WebAssembly has.
const (
	OtherImports Feature = "imports other than functions"
	UnknownInstr Feature = "unknown instructions"
)

// Error says what is wrong with a module, and where.
type Error struct {
	Feature Feature // that is refused, or "" where the module is malformed
	Offset  int     // in bytes of the file
	Func    int     // function index, or -1
	Name    string  // of the function, where the module has one; not trusted
	Msg     string
}

func (e *Error) Error() string {
	at := fmt.Sprintf("at offset 0x%x", e.Offset)
	switch {
	case e.Func >= 0 && e.Name != "":
		return fmt.Sprintf("%s, in function %d (%s) %s", e.Msg, e.Func, Printable(e.Name), at)
	case e.Func >= 0:
		return fmt.Sprintf("%s, in function %d %s", e.Msg, e.Func, at)
	}
	return e.Msg + ", " + at
}

const maxPrinted = 80

// Printable makes a name of a stranger's module fit for terminals and logs.
func Printable(name string) string {
	if len(name) > maxPrinted {
		name = strings.ToValidUTF8(name[:maxPrinted], "") + "..."
	}
	for _, c := range name {
		if c < ' ' || c > '~' {
			return strconv.QuoteToASCII(name)
		}
	}
	return name
}
