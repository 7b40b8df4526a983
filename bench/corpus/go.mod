module github.com/countersign/countersign/bench/corpus

go 1.26.8

require (
	github.com/countersign/countersign v0.0.0-00010101000000-000000000000
	github.com/tetratelabs/wazero v1.12.0
)

require golang.org/x/sys v0.49.0 // indirect

replace github.com/countersign/countersign => ../..
