package wasm

import (
	"strconv"
	"strings"
)

// plainSignatures has the types of the instructions of one byte: from opcode
// (decimal, or hexadecimal with 0x), what is taken, what is put, up to the next
// entry. i is i32, I i64, f f32, F f64, v v128; a dash has no fixed type.
const plainSignatures = `0x28:i:i 0x29:i:I 0x2a:i:f 0x2b:i:F 0x2c:i:i 0x30:i:I
	0x36:ii: 0x37:iI: 0x38:if: 0x39:iF: 0x3a:ii: 0x3c:iI:
	0x3f::i 0x40:i:i 0x41::i 0x42::I 0x43::f 0x44::F
	0x45:i:i 0x46:ii:i 0x50:I:i 0x51:II:i 0x5b:ff:i 0x61:FF:i
	0x67:i:i 0x6a:ii:i 0x79:I:I 0x7c:II:I 0x8b:f:f 0x92:ff:f 0x99:F:F 0xa0:FF:F
	0xa7:I:i 0xa8:f:i 0xaa:F:i 0xac:i:I 0xae:f:I 0xb0:F:I
	0xb2:i:f 0xb4:I:f 0xb6:F:f 0xb7:i:F 0xb9:I:F 0xbb:f:F
	0xbc:f:i 0xbd:F:I 0xbe:i:f 0xbf:I:F 0xc0:i:i 0xc2:I:I 0xc5:-`

// signatures fills in the types of the rows of a table.
func signatures(table []instruction, text string) {
	entries := strings.Fields(text)
	for n, entry := range entries {
		first, types, _ := strings.Cut(entry, ":")
		from, end := opcode(first), len(table)
		if n+1 < len(entries) {
			next, _, _ := strings.Cut(entries[n+1], ":")
			end = opcode(next)
		}
		in, out, fixed := strings.Cut(types, ":")
		for i := from; i < end && fixed; i++ {
			if table[i].imm != immRefused {
				table[i].typed, table[i].in, table[i].out = true, letters(in), letters(out)
			}
		}
	}
}

func opcode(text string) int {
	n, err := strconv.ParseUint(text, 0, 8)
	if err != nil {
		panic("table of signatures: " + err.Error())
	}
	return int(n)
}

func letters(text string) []ValType {
	types := make([]ValType, 0, len(text))
	for _, c := range text {
		types = append(types, map[rune]ValType{'i': I32, 'I': I64, 'f': F32, 'F': F64, 'v': V128}[c])
	}
	return types
}

// Signature returns what an instruction takes from the stack and puts there;
// ok is false where that depends on more than the opcode.
func (op Op) Signature() (in, out []ValType, ok bool) {
	row := op.row()
	return row.in, row.out, row.typed
}
