package keys

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
	"golang.org/x/crypto/blake2b"

	"github.com/countersign/countersign/internal/canon"
)

var message = []byte("a statement\n")

func generate(t testing.TB) SecretKey {
	t.Helper()
	s, err := Generate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignVerify(t *testing.T) {
	a, b := generate(t), generate(t)
	sig := Sign(a, message, "countersign.release/v1 demo 1")
	if !bytes.HasPrefix(sigAlgorithm(t, sig), []byte("ED")) {
		t.Fatalf("algorithm is %q, want ED", sigAlgorithm(t, sig)[:2])
	}
	got, err := Verify([]PublicKey{b.Public(), a.Public()}, message, sig)
	if err != nil || got != a.Public() {
		t.Fatalf("got %v, %v", got, err)
	}
}

func sigAlgorithm(t testing.TB, sig []byte) []byte {
	raw, err := base64.StdEncoding.DecodeString(strings.Split(string(sig), "\n")[1])
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVerifyRefuses(t *testing.T) {
	a, b := generate(t), generate(t)
	sig := string(Sign(a, message, "comment"))
	digest := blake2b.Sum512(message)
	legacyOverDigest, err := a.m.Sign(nil, digest[:], crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(sig, "\n")
	sameID := impostor(t, b, a.Public())
	cases := []struct {
		name, class string
		trusted     PublicKey
		message     string
		sig         string
	}{
		{"changed message", "signature_invalid", a.Public(), "b statement\n", sig},
		{"changed comment", "signature_invalid", a.Public(), "", strings.Replace(sig, "trusted comment: comment", "trusted comment: cOmment", 1)},
		{"other key", "signature_unknown_key", b.Public(), "", sig},
		{"other key, same id", "signature_invalid", sameID, "", sig},
		{"legacy", "signature_legacy", a.Public(), "", string(minisign.Sign(a.m, message))},
		{"legacy over the digest", "signature_legacy", a.Public(), "", string(legacyOverDigest)},
		{"empty", "signature_malformed", a.Public(), "", ""},
		{"carriage returns", "signature_malformed", a.Public(), "", strings.ReplaceAll(sig, "\n", "\r\n")},
		{"trailing line", "signature_malformed", a.Public(), "", sig + "x\n"},
		{"two newlines at the end", "signature_malformed", a.Public(), "", sig + "\n"},
		{"no comment", "signature_malformed", a.Public(), "", strings.Join(lines[1:], "\n")},
		{"base64 split", "signature_malformed", a.Public(), "", strings.Replace(sig, lines[1], lines[1][:8]+"\r"+lines[1][8:], 1)},
		{"short", "signature_malformed", a.Public(), "", strings.Replace(sig, lines[1], lines[1][:92], 1)},
		{"too large", "too_large", a.Public(), "", sig + strings.Repeat(" ", MaxSignature)},
	}
	for _, c := range cases {
		msg := message
		if c.message != "" {
			msg = []byte(c.message)
		}
		_, err := Verify([]PublicKey{c.trusted}, msg, []byte(c.sig))
		if canon.ClassOf(err) != c.class {
			t.Errorf("%s: got %v, want class %s", c.name, err, c.class)
		}
	}
	if _, err := Verify([]PublicKey{a.Public()}, message, []byte(strings.TrimSuffix(sig, "\n"))); err != nil {
		t.Errorf("a missing last newline: %v", err)
	}
}

// impostor is of's key under victim's key id.
func impostor(t testing.TB, of SecretKey, victim PublicKey) PublicKey {
	raw := of.Public().raw
	copy(raw[2:10], victim.raw[2:10])
	k, err := ParsePublicKey([]byte(base64.StdEncoding.EncodeToString(raw[:])))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestThreshold(t *testing.T) {
	a, b, c := generate(t), generate(t), generate(t)
	aAgain := impostor(t, a, c.Public()) // a's key, trusted a second time under another id
	trusted := []PublicKey{a.Public(), b.Public(), aAgain}
	sigA, sigB := Sign(a, message, ""), Sign(b, message, "")
	raw := sigAlgorithm(t, sigA)
	binary.LittleEndian.PutUint64(raw[2:], aAgain.minisign().ID())
	lines := strings.Split(string(sigA), "\n")
	lines[1] = base64.StdEncoding.EncodeToString(raw)
	sigAgain := []byte(strings.Join(lines, "\n"))

	if got, err := Threshold(trusted, 2, message, [][]byte{sigA, sigB}); err != nil || len(got) != 2 {
		t.Errorf("two of two: %v, %v", got, err)
	}
	if _, err := Verify([]PublicKey{aAgain}, message, sigAgain); err != nil {
		t.Fatalf("the relabelled signature must verify by itself: %v", err)
	}
	for name, sigs := range map[string][][]byte{
		"none": nil, "one": {sigA}, "same twice": {sigA, sigA}, "same key under two ids": {sigA, sigAgain},
		"one and a stranger": {sigA, Sign(c, message, "")},
	} {
		if got, err := Threshold(trusted, 2, message, sigs); err == nil {
			t.Errorf("%s: accepted as %v", name, got)
		}
	}
}

func TestParsePublicKey(t *testing.T) {
	k := generate(t).Public()
	for _, text := range []string{k.String(), k.String() + "\n", string(k.File())} {
		if got, err := ParsePublicKey([]byte(text)); err != nil || got != k {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "RW", k.String()[:55], k.String() + "x", "R" + k.String(), "untrusted comment: x", " " + k.String()} {
		if _, err := ParsePublicKey([]byte(text)); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}

// TestMinisignProgram goes both ways with the minisign program itself.
func TestMinisignProgram(t *testing.T) {
	if _, err := exec.LookPath("minisign"); err != nil {
		t.Fatal("the minisign program is needed: apt-get install minisign")
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	program := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.Command("minisign", args...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("minisign %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// Ours to theirs: an encrypted secret key, a public key, a signature.
	ours := generate(t)
	secret, err := ours.Encrypt("pass one")
	if err != nil {
		t.Fatal(err)
	}
	key, pub, msg := file("ours.key", secret), file("ours.pub", ours.Public().File()), file("m", message)
	file("m.minisig", Sign(ours, message, "to the program"))
	program("", "-Vm", msg, "-p", pub)
	program("", "-Vm", msg, "-P", ours.Public().String())
	program("pass one\n", "-Sm", msg, "-s", key, "-x", filepath.Join(dir, "theirs.minisig"))
	sig, err := os.ReadFile(filepath.Join(dir, "theirs.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify([]PublicKey{ours.Public()}, message, sig); err != nil {
		t.Errorf("signature by the program with our key: %v", err)
	}
	// Theirs to ours.
	program("pass two\npass two\n", "-G", "-p", filepath.Join(dir, "t.pub"), "-s", filepath.Join(dir, "t.key"))
	data, err := os.ReadFile(filepath.Join(dir, "t.key"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Decrypt("pass two", data)
	if err != nil {
		t.Fatal(err)
	}
	pubFile, err := os.ReadFile(filepath.Join(dir, "t.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if k, err := ParsePublicKey(pubFile); err != nil || k != theirs.Public() {
		t.Errorf("public key file of the program: %v, %v", k, err)
	}
	if _, err := Decrypt("wrong", data); err == nil {
		t.Error("a wrong password was accepted")
	}
	// Legacy signatures of the program are refused by name.
	program("pass two\n", "-S", "-l", "-m", msg, "-s", filepath.Join(dir, "t.key"), "-x", filepath.Join(dir, "legacy.minisig"))
	legacy, err := os.ReadFile(filepath.Join(dir, "legacy.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify([]PublicKey{theirs.Public()}, message, legacy); canon.ClassOf(err) != "signature_legacy" {
		t.Errorf("legacy signature: %v", err)
	}
}

func TestDecryptRefuses(t *testing.T) {
	s := generate(t)
	open, err := s.m.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decrypt("x", open); err == nil || !strings.Contains(err.Error(), "not encrypted") {
		t.Errorf("unencrypted key: %v", err)
	}
	for _, text := range []string{"", "untrusted comment: x\n", "RWQ=", strings.Repeat("a", 5000)} {
		if _, err := Decrypt("x", []byte(text)); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
	if _, err := s.Encrypt(""); err == nil {
		t.Error("an empty password was accepted")
	}
}

func FuzzVerify(f *testing.F) {
	s := generate(f)
	f.Add(Sign(s, message, "comment"))
	f.Add(minisign.Sign(s.m, message))
	f.Fuzz(func(t *testing.T, sig []byte) {
		if _, err := Verify([]PublicKey{s.Public()}, message, sig); err != nil && canon.ClassOf(err) == "" {
			t.Fatalf("an error without a class: %v", err)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(generate(f).Public().File())
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParsePublicKey(text)
		if err != nil {
			return
		}
		if again, err := ParsePublicKey([]byte(k.String())); err != nil || again != k {
			t.Fatalf("%q is read as %s, which is read as %s (%v)", text, k, again, err)
		}
	})
}
