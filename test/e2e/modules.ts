// Modules that no compiler and no metering pass makes.

const bytes = (...parts: (number | string)[]): number[] => parts.flatMap((p) => (typeof p === "string" ? [p.length, ...Buffer.from(p)] : [p]));
const section = (id: number, content: number[]): number[] => [id, content.length, ...content];

/** Exports what a metered module does, and loops without ever asking for fuel. */
export const endless = Buffer.from([
  0, 97, 115, 109, 1, 0, 0, 0,
  ...section(1, [1, 0x60, 0, 0]),
  ...section(3, [1, 0]),
  ...section(5, [1, 1, 1, 16]),
  ...section(6, [2, 0x7e, 1, 0x42, 0, 0x0b, 0x7f, 1, 0x41, 0, 0x0b]),
  ...section(7, bytes(4, "memory", 2, 0, "_start", 0, 0, "countersign_fuel", 3, 0, "countersign_stack", 3, 1)),
  ...section(10, [1, 7, 0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b]), // (loop (br 0))
]);
