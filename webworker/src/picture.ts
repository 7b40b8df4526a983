// Outputs that are a picture: a binary PGM file whose header and first rows are
// task 0's output, and whose other rows are those of the tasks after it, the
// same number in each but the last. Parts that are not there yet stay empty.

import { decode, type Line } from "./resultlines.ts";

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly parts: readonly { readonly from: number; readonly grey: Uint8Array }[]; // from: index of the first pixel
}

const maxPixels = 1 << 26;
const header = /^P5\s(?:#[^\n]*\n)*(\d{1,5})\s+(\d{1,5})\s+255\s/;

/** The picture that outputs are, or null where they are none. The lines are in the order of tasks. */
export function drawable(lines: readonly Line[]): Picture | null {
  const first = lines[0];
  if (first?.task !== 0) return null;
  const bytes = decode(first.output);
  const m = header.exec(String.fromCharCode(...bytes.subarray(0, 200)));
  if (m === null) return null;
  const [width, height, rows] = [Number(m[1]), Number(m[2]), bytes.subarray(m[0].length)];
  if (width * height === 0 || width * height > maxPixels) return null;
  const parts = lines.slice(1).map((l) => ({ from: l.task * rows.length, grey: decode(l.output) }));
  parts.unshift({ from: 0, grey: rows });
  return { width, height, parts };
}

/** Writes the picture's pixels, four bytes each: red, green, blue, opacity. */
export function fill(data: Uint8ClampedArray, { width, height, parts }: Picture): void {
  const pixels = width * height;
  for (const { from, grey } of parts) {
    for (let i = 0; i < grey.length && from + i < pixels; i++) {
      const at = 4 * (from + i);
      data[at] = data[at + 1] = data[at + 2] = grey[i]!;
      data[at + 3] = 255;
    }
  }
}
