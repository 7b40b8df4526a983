package abi

import "testing"

func TestTable(t *testing.T) {
	all := All()
	if len(all) != 46+5 { // every function of preview 1, and our own
		t.Fatalf("%d functions", len(all))
	}
	for _, f := range all {
		if g, ok := Lookup(f.Module, f.Name); !ok || !g.Type.Equal(f.Type) {
			t.Errorf("%s.%s: %v", f.Module, f.Name, g)
		}
	}
	if f, _ := Lookup(WASI, "fd_seek"); f.Type.String() != "(i32, i64, i32, i32) → (i32)" {
		t.Error(f.Type)
	}
	if f, _ := Lookup(WASI, "proc_exit"); f.Type.String() != "(i32) → ()" {
		t.Error(f.Type)
	}
	if _, ok := Lookup("env", "fd_seek"); ok {
		t.Error("a function of another module")
	}
}
