// Package store keeps a hub's facts on disk: statements admitted, operators'
// kills, checkpoints, votes and verdicts in one bbolt file, modules, inputs and
// what checkpoints hold as files beside it. It decides nothing; what facts mean is docs/spec/job.md.
//
//	DIR/          0700
//	  facts.db    the facts; locked while a hub runs
//	  hub.key     0600, the seed of the hub's Ed25519 key, hex
//	  token.keys  0600, the keys that sign tokens: docs/spec/token.md
//	  tokens/     what tokens were minted, without the tokens
//	  log.key     0600, the key of the transparency log: docs/spec/log.md
//	  checkpoints/ files that workers can go on from, named likewise
//	  blobs/      modules, sources and inputs, each named by its SHA-256
//
// Facts are written in groups: whatever is waiting goes into one transaction,
// and every writer is told after the one fsync that made its fact durable.
// Facts become durable in the order in which they were submitted, so a fact
// that follows from another is never on disk without it.
//
// A full disk is waited for, a failing one ends the store. Backups are snapshots
// of the directory, archived as tar files.
//
// Nothing that is read back is believed because it was written: a blob is
// hashed when it is first used, and a reader verifies signatures itself.
package store
