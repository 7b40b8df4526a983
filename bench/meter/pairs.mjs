// Runs modules in turn on this engine and gives the least seconds that each took.

/** One run: seconds and what the module printed. */
function once(module, slice) {
  let memory;
  const output = [];
  const zero = () => 0;
  const wasi = new Proxy({}, {
    get: (_, name) => {
      if (name !== "fd_write") return zero;
      return (fd, iovs, n, written) => {
        const view = new DataView(memory.buffer);
        let total = 0;
        for (let i = 0; i < n; i++) {
          const at = view.getUint32(iovs + 8 * i, true), len = view.getUint32(iovs + 8 * i + 4, true);
          output.push(...new Uint8Array(memory.buffer, at, len));
          total += len;
        }
        view.setUint32(written, total, true);
        return 0;
      };
    },
  });
  const grant = BigInt(slice);
  const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi, countersign: { refill: (b) => grant - b } });
  memory = instance.exports.memory;
  const start = performance.now();
  instance.exports._start();
  return [(performance.now() - start) / 1000, String.fromCharCode(...output)];
}

/** The module with a custom section of a number, which makes the engine compile it again. */
function again(source, number) {
  const section = [0, 4, 1, 0x72, number & 0xff, number >> 8];
  const out = new Uint8Array(source.length + section.length);
  out.set(source);
  out.set(section, source.length);
  return new WebAssembly.Module(out);
}

/**
 * Least seconds of each module over the rounds, which take turns. Each round compiles
 * anew: where an engine puts its code moves a loop's time by up to a sixth.
 */
export function pairs(sources, rounds, slice) {
  const least = sources.map(() => Infinity);
  let printed;
  for (let i = 0; i <= rounds; i++) {
    sources.forEach((s, k) => {
      const [seconds, output] = once(again(s, i), slice);
      if (i > 0) least[k] = Math.min(least[k], seconds); // the first warms up
      printed ??= output;
      if (output !== printed || output === "") throw new Error(`module ${k} prints ${output}, another ${printed}`);
    });
  }
  return least;
}
