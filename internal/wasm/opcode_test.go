package wasm

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// sample is an instruction with immediates that are in bounds of sampleModule.
func sample(op Op) []byte {
	code := []byte{byte(op)}
	if op > 0xff {
		code = AppendUnsigned([]byte{byte(op >> 16)}, uint64(op&0xffff))
	}
	switch op.row().imm {
	case immBlock:
		code = append(code, 0x40, byte(OpEnd))
		if op == OpIf { // else is met here, and needs its if
			code = append(code[:2], byte(OpElse), byte(OpEnd))
		}
	case immLabel, immFunc, immLocal, immGlobal, immMemory, immI32, immI64, immSegment:
		code = append(code, 0)
	case immLabels, immIndirect, immAccess, immInit, immCopy, immTableInit, immTableCopy:
		code = append(code, 0, 0)
	case immTable, immElem, immLane:
		code = append(code, 0)
	case immSelect:
		code = append(code, 1, byte(I64))
	case immRefType:
		code = append(code, byte(ExternRef))
	case immVector, immShuffle:
		code = append(code, make([]byte, 16)...)
	case immLaneMove:
		code = append(code, 0, 0, 0)
	case immF32:
		code = append(code, 0, 0, 0, 0)
	case immF64:
		code = append(code, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return code
}

// accepted lists every accepted opcode.
func accepted() (all []Op) {
	for op := Op(0); op < 0x100; op++ {
		if op.Accepted() {
			all = append(all, op)
		}
	}
	for n := Op(0); n < 0x20; n++ {
		if op := prefixMisc<<16 | n; op.Accepted() {
			all = append(all, op)
		}
	}
	for n := Op(0); n < 0x200; n++ {
		if op := prefixVector<<16 | n; op.Accepted() {
			all = append(all, op)
		}
	}
	return all
}

// sampleModule has every accepted instruction once.
func sampleModule(t *testing.T) *Module {
	t.Helper()
	m := everything()
	m.Globals[0].Mutable = true
	m.Code[1].Code = nil
	for _, op := range accepted() {
		if op != OpElse && op != OpEnd { // they come with if
			m.Code[1].Code = append(m.Code[1].Code, sample(op)...)
		}
	}
	m.Code[1].Code = append(m.Code[1].Code, byte(OpEnd))
	m, err := Decode(m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestOpcodesAsWabt compares where every instruction starts and what it is
// called with what wabt's disassembler says.
func TestOpcodesAsWabt(t *testing.T) {
	m := sampleModule(t)
	wabt := disassemble(t, m.Data)
	in, n := m.Instrs(1), 0
	for v := (Instr{}); in.Next(&v); n++ {
		if got := wabt[v.Start]; got != v.Op.Name() {
			t.Errorf("at 0x%x stands %s, wabt says %q", v.Start, v.Op, got)
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	if all := len(accepted()); all != 172+5+8+4+12+236 || n < all {
		t.Errorf("%d instructions are accepted, 437 (MVP, sign extension, saturating, bulk, references, SIMD) are expected; %d are in the sample", all, n)
	}
}

// disassemble returns the name of the instruction at every offset.
func disassemble(t *testing.T, module []byte) map[int]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("wasm-objdump"); err != nil {
		t.Fatal("wasm-objdump is needed: apt-get install wabt")
	}
	out, err := exec.Command("wasm-objdump", "-d", path).CombinedOutput()
	if err != nil {
		t.Fatalf("wasm-objdump: %v\n%s", err, out)
	}
	names := map[int]string{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		place, text, ok := strings.Cut(s.Text(), " | ")
		hex, _, _ := strings.Cut(strings.TrimSpace(place), ":")
		at, err := strconv.ParseInt(hex, 16, 64)
		if words := strings.Fields(text); ok && err == nil && len(words) > 0 {
			names[int(at)] = words[0]
		}
	}
	return names
}

// TestTruncatedInstructions cuts every instruction short: none may be taken for
// whole.
func TestTruncatedInstructions(t *testing.T) {
	for _, op := range accepted() {
		code := sample(op)
		for n := 1; n < len(code); n++ {
			m := everything()
			m.Code[0].Code = code[:n]
			m.Data, m.Code[0].Offset = code, 0
			in := m.Instrs(0)
			for v := (Instr{}); in.Next(&v); {
			}
			if in.Err() == nil {
				t.Errorf("%s: %x is taken for whole", op, code[:n])
			}
		}
	}
}
