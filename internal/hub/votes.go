package hub

import (
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/wire"
)

// Votes calls each for every vote in a data directory that no hub has open.
func Votes(dir string, each func(worker wire.Key, v *wire.Vote) error) error {
	s, err := store.Open(dir, &store.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Votes(func(v store.Vote) error { return each(v.Worker, &v.Vote) })
}
