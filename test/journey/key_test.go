package journey

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

// quickKeys makes key files whose password is "test" and takes little to try:
// quick-keys NAME... A drill signs thirty times, and minisign's own cost for
// each is seconds and a gigabyte.
func quickKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: quick-keys NAME...")
	}
	for _, name := range args {
		secret, public := quickKey()
		ts.Check(os.WriteFile(ts.MkAbs(name+".key"), secret, 0o600))
		ts.Check(os.WriteFile(ts.MkAbs(name+".pub"), public, 0o600))
	}
}

// quickKey is a pair in minisign's own format, with the least of scrypt.
func quickKey() (secret, public []byte) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // there is no randomness
	}
	var id [8]byte
	rand.Read(id[:])
	open := append(id[:], private...)
	sum := blake2b.Sum256(append([]byte("Ed"), open...))

	b := []byte("EdScB2")
	salt := make([]byte, 32)
	rand.Read(salt)
	b = append(b, salt...)
	b = binary.LittleEndian.AppendUint64(b, 1<<15) // operations
	b = binary.LittleEndian.AppendUint64(b, 1<<21) // memory
	stream, err := scrypt.Key([]byte("test"), salt, 1024, 8, 1, len(open)+len(sum))
	if err != nil {
		panic(err) // the cost is a constant
	}
	for i, c := range append(open, sum[:]...) {
		b = append(b, c^stream[i])
	}
	return file("encrypted secret key", b), file("public key", append(append([]byte("Ed"), id[:]...), private[32:]...))
}

func file(comment string, b []byte) []byte {
	return []byte("untrusted comment: minisign " + comment + "\n" + base64.StdEncoding.EncodeToString(b) + "\n")
}
