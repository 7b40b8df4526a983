// Package wasm decodes and encodes WebAssembly modules as the metering pass
// needs them (WebAssembly core specification 2.0, chapter 5), for the subset of
// docs/spec/meter.md.
//
// Decoding is strict: every count is checked against what is left of the file
// and against a limit before anything is allocated, so a hostile module costs
// time and memory in proportion to its size. Instructions are read one by one
// and never kept. Types of instructions are not checked; engines do that.
package wasm
