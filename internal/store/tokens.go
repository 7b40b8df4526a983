package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/countersign/countersign/internal/canon"
)

const (
	recordDir  = "tokens"
	recordEnd  = ".json"
	maxRecord  = 4096
	maxRecords = 4096 // of minted tokens
	sweepSpent = 16   // old ones that go when one comes
)

// TokenID is a token's jti.
type TokenID [16]byte

// TokenRecord says that a token was minted. It does not have the token.
type TokenRecord struct {
	ID      string     `json:"jti"`
	Role    string     `json:"role"`
	Subject string     `json:"subject"`
	Origin  string     `json:"origin"`
	Rate    int        `json:"rate"`
	Expires canon.Time `json:"expires"`
}

// PutTokenRecord notes a token in a data directory that a running hub may have
// open. Its ID is a file name.
func PutTokenRecord(dir string, r TokenRecord) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, recordDir)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("noting the token: %w", err)
	}
	if err := writeFile(filepath.Join(folder, r.ID+recordEnd), func(f *os.File) error {
		_, err := f.Write(data)
		return err
	}); err != nil {
		return fmt.Errorf("noting the token: %w", err)
	}
	return nil
}

// TokenRecords returns the minted tokens, and forgets those that are over.
func (s *Store) TokenRecords(now time.Time) (all []TokenRecord, err error) {
	folder := filepath.Join(s.dir, recordDir)
	files, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the tokens: %w", err)
	}
	for _, f := range files {
		name := filepath.Join(folder, f.Name())
		if !strings.HasSuffix(name, recordEnd) || len(all) == maxRecords {
			continue
		}
		r, err := readRecord(name)
		switch {
		case err != nil:
			return nil, fmt.Errorf("reading the tokens: %s: %w", f.Name(), err)
		case now.Before(r.Expires.Time()):
			all = append(all, r)
		default:
			_ = os.Remove(name) // or at the next look
		}
	}
	return all, nil
}

func readRecord(path string) (r TokenRecord, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	return r, err
}

// Revocation says that a token counts no more.
type Revocation struct {
	ID       string    `json:"jti"`
	Reason   string    `json:"reason"`
	Operator string    `json:"operator"` // the revoking token's id
	At       time.Time `json:"at"`
}

// PutRevocation makes a revocation durable. One that is there stays.
func (s *Store) PutRevocation(r Revocation) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.group.wait(write{size: len(value), apply: func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRevoked)
		if b.Get([]byte(r.ID)) != nil {
			return nil
		}
		return b.Put([]byte(r.ID), value)
	}})
}

// Revocations calls each for every revocation.
func (s *Store) Revocations(each func(Revocation) error) error {
	return s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketRevoked).ForEach(func(k, v []byte) error {
			var r Revocation
			if err := json.Unmarshal(v, &r); err != nil {
				return fmt.Errorf("revocation %q: %w", k, err)
			}
			return each(r)
		})
	})
}

// Spend makes it durable that a token was used, and reports whether that was
// the first time. It is remembered until the token expires.
func (s *Store) Spend(id TokenID, expires, now time.Time) (first bool, err error) {
	key := append(binary.BigEndian.AppendUint64(nil, uint64(expires.Unix())), id[:]...)
	err = s.group.wait(write{size: len(key), apply: func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketSpent)
		if err := sweep(b, now); err != nil {
			return err
		}
		if first = b.Get(key) == nil; !first {
			return nil
		}
		return b.Put(key, []byte{1})
	}})
	return first, err
}

// sweep forgets some of what has expired, which comes first.
func sweep(b *bolt.Bucket, now time.Time) error {
	end := binary.BigEndian.AppendUint64(nil, uint64(now.Unix()))
	for range sweepSpent {
		k, _ := b.Cursor().First()
		if k == nil || bytes.Compare(k[:8], end) >= 0 {
			return nil
		}
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
