// Package abi is the table of functions that a module may import:
// docs/spec/abi.md. Metering checks a module against it, the host implements it.
package abi

import "github.com/countersign/countersign/internal/wasm"

// Modules of imported functions.
const (
	WASI        = "wasi_snapshot_preview1"
	Countersign = "countersign"
)

// Refill is the function by which a metered module asks for fuel; the metering
// pass adds it, and a source must not import it.
const Refill = "refill"

// FuelGlobal is the name under which a metered module exports its fuel counter.
const FuelGlobal = "countersign_fuel"

// StackGlobal is the name under which a metered module exports what is left of
// its call stack.
const StackGlobal = "countersign_stack"

// ReservedPrefix starts the names of what the metering pass exports.
const ReservedPrefix = "countersign_"

// Func is a function of the ABI.
type Func struct {
	Module, Name string
	Type         wasm.FuncType
}

// Lookup returns the ABI's function of that name.
func Lookup(module, name string) (Func, bool) {
	f, ok := byName[[2]string{module, name}]
	return f, ok
}

// All returns every function, in the order of the table.
func All() []Func { return append([]Func(nil), table...) }

var (
	table  = build()
	byName = index(table)
)

func index(all []Func) map[[2]string]Func {
	m := make(map[[2]string]Func, len(all))
	for _, f := range all {
		m[[2]string{f.Module, f.Name}] = f
	}
	return m
}

// build reads types written one letter a value: i is i32, I is i64.
func build() []Func {
	var all []Func
	for _, w := range preview1 {
		results := "i" // an errno
		if w.name == "proc_exit" {
			results = ""
		}
		all = append(all, Func{WASI, w.name, wasm.FuncType{Params: values(w.params), Results: values(results)}})
	}
	for _, c := range own {
		all = append(all, Func{Countersign, c.name, wasm.FuncType{Params: values(c.params), Results: values(c.results)}})
	}
	return all
}

// own has the types of Countersign's own functions.
var own = []struct{ name, params, results string }{
	{Refill, "I", "I"},
	{"progress", "iii", ""},
	{"restore", "ii", "i"},
	{"checkpoint", "ii", ""},
	{"segment_due", "", "i"},
}

func values(letters string) []wasm.ValType {
	var v []wasm.ValType
	for _, c := range letters {
		if c == 'I' {
			v = append(v, wasm.I64)
		} else {
			v = append(v, wasm.I32)
		}
	}
	return v
}

// preview1 has the parameters of every function of WASI preview 1.
var preview1 = []struct{ name, params string }{
	{"args_get", "ii"},
	{"args_sizes_get", "ii"},
	{"clock_res_get", "ii"},
	{"clock_time_get", "iIi"},
	{"environ_get", "ii"},
	{"environ_sizes_get", "ii"},
	{"fd_advise", "iIIi"},
	{"fd_allocate", "iII"},
	{"fd_close", "i"},
	{"fd_datasync", "i"},
	{"fd_fdstat_get", "ii"},
	{"fd_fdstat_set_flags", "ii"},
	{"fd_fdstat_set_rights", "iII"},
	{"fd_filestat_get", "ii"},
	{"fd_filestat_set_size", "iI"},
	{"fd_filestat_set_times", "iIIi"},
	{"fd_pread", "iiiIi"},
	{"fd_prestat_dir_name", "iii"},
	{"fd_prestat_get", "ii"},
	{"fd_pwrite", "iiiIi"},
	{"fd_read", "iiii"},
	{"fd_readdir", "iiiIi"},
	{"fd_renumber", "ii"},
	{"fd_seek", "iIii"},
	{"fd_sync", "i"},
	{"fd_tell", "ii"},
	{"fd_write", "iiii"},
	{"path_create_directory", "iii"},
	{"path_filestat_get", "iiiii"},
	{"path_filestat_set_times", "iiiiIIi"},
	{"path_link", "iiiiiii"},
	{"path_open", "iiiiiIIii"},
	{"path_readlink", "iiiiii"},
	{"path_remove_directory", "iii"},
	{"path_rename", "iiiiii"},
	{"path_symlink", "iiiii"},
	{"path_unlink_file", "iii"},
	{"poll_oneoff", "iiii"},
	{"proc_exit", "i"},
	{"proc_raise", "i"},
	{"random_get", "ii"},
	{"sched_yield", ""},
	{"sock_accept", "iii"},
	{"sock_recv", "iiiiii"},
	{"sock_send", "iiiii"},
	{"sock_shutdown", "ii"},
}
