package wire

import (
	"crypto/ed25519"
	"encoding/hex"

	"github.com/countersign/countersign/internal/canon"
)

// joinMessage is what a joining worker signs. It names the hub, so that one
// hub cannot use a worker's answer at another.
func joinMessage(hub Key, nonce Nonce) []byte {
	return []byte("countersign.join/v1\n" + hub.String() + "\n" + hex.EncodeToString(nonce[:]) + "\n")
}

// SignJoin answers a hello.
func SignJoin(hello *Hello, worker ed25519.PrivateKey, agent string) *Join {
	return &Join{
		Worker:    KeyOf(worker.Public().(ed25519.PublicKey)),
		Signature: Signature(ed25519.Sign(worker, joinMessage(hello.Hub, hello.Nonce))),
		Agent:     agent,
	}
}

// VerifyJoin checks the answer to a hello.
func VerifyJoin(hello *Hello, join *Join) error {
	if !ed25519.Verify(join.Worker[:], joinMessage(hello.Hub, hello.Nonce), join.Signature[:]) {
		return canon.Fail(CodeJoinSignature, "join: the signature is not worker %s's, or answers another hello", join.Worker)
	}
	return nil
}
