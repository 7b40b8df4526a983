package sandbox

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/countersign/countersign/internal/abi"
	"github.com/countersign/countersign/internal/wasm"
)

// instantiateHost makes the functions of the ABI importable. They find their
// segment in the context of the call.
func instantiateHost(ctx context.Context, r wazero.Runtime) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range abi.All() {
		b := builders[f.Module]
		if b == nil {
			b = r.NewHostModuleBuilder(f.Module)
			builders[f.Module] = b
		}
		b.NewFunctionBuilder().WithGoFunction(hostFunc(f), values(f.Type.Params), values(f.Type.Results)).Export(f.Name)
	}
	for name, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("instantiating the host functions of %s: %w", name, err)
		}
	}
	return nil
}

func values(types []wasm.ValType) []api.ValueType {
	v := make([]api.ValueType, len(types))
	for i, t := range types {
		v[i] = api.ValueType(t)
	}
	return v
}

func hostFunc(f abi.Func) api.GoFunc {
	if f.Name == abi.Refill {
		return func(ctx context.Context, stack []uint64) {
			stack[0] = uint64(ctx.Value(segmentKey{}).(*segment).refill(int64(stack[0])))
		}
	}
	return func(ctx context.Context, stack []uint64) {
		s := ctx.Value(segmentKey{}).(*segment)
		err := s.call(f, stack)
		if s.end != "" {
			panic(sys.NewExitError(0)) // the engine's way to leave a module; s.end says why
		}
		if len(f.Type.Results) > 0 {
			stack[0] = uint64(err)
		}
	}
}
