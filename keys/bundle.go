package keys

import "bytes"

// MaxSignatures is the largest number of signatures in a bundle.
const MaxSignatures = 32

// MaxBundle is the largest bundle, in bytes.
const MaxBundle = MaxSignatures * MaxSignature

// Split cuts a bundle, several signature files one after the other, into its
// signatures and checks the form of each. Nothing is verified.
func Split(bundle []byte) ([][]byte, error) {
	if len(bundle) > MaxBundle {
		return nil, fail("too_large", "signatures: %d bytes, at most %d allowed", len(bundle), MaxBundle)
	}
	var all [][]byte
	for rest := bundle; len(rest) > 0; {
		end := 0
		for range 4 {
			n := bytes.IndexByte(rest[end:], '\n') + 1
			if n == 0 {
				return nil, fail("signature_malformed", "signature %d of the file has no four lines", len(all)+1)
			}
			end += n
		}
		if len(all) == MaxSignatures {
			return nil, fail("too_large", "more than %d signatures", MaxSignatures)
		}
		if _, err := parseSignature(rest[:end]); err != nil {
			return nil, err
		}
		all = append(all, rest[:end:end])
		rest = rest[end:]
	}
	return all, nil
}

// Join is the bundle of signature files. A last newline that is missing is
// added.
func Join(signatures ...[]byte) []byte {
	var bundle []byte
	for _, s := range signatures {
		bundle = append(append(bundle, bytes.TrimSuffix(s, []byte("\n"))...), '\n')
	}
	return bundle
}

// Repeated returns a key that stands twice in the list, also under another
// key id.
func Repeated(all []PublicKey) (PublicKey, bool) {
	seen := map[[32]byte]bool{}
	for _, k := range all {
		if seen[k.ed25519()] {
			return k, true
		}
		seen[k.ed25519()] = true
	}
	return PublicKey{}, false
}
