package sandbox

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/countersign/countersign/internal/canon"
)

// link is what a transcript says of one segment: abi.md, "Segments".
type link struct {
	end    End
	code   uint32
	fuel   uint64
	output []byte // of this segment
	state  []byte // that it left
}

// how has the ends of segments as transcripts number them.
var how = map[End]byte{checkpointed: 0, Exit: 1, Trap: 2, Fuel: 3, Output: 4, State: 5}

// follow returns the link behind others.
func (l link) follow(links []canon.Digest) canon.Digest {
	var last canon.Digest
	if len(links) > 0 {
		last = links[len(links)-1]
	}
	b := append(last[:], how[l.end])
	b = binary.LittleEndian.AppendUint32(b, l.code)
	b = binary.LittleEndian.AppendUint64(b, l.fuel)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(l.output)))
	output, state := sha256.Sum256(l.output), sha256.Sum256(l.state)
	return sha256.Sum256(append(append(b, output[:]...), state[:]...))
}
