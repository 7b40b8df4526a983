// What an AssemblyScript payload may ask of its host: docs/spec/abi.md of
// Countersign. A program that only reads standard input and writes standard
// output needs nothing of it.
//
// A task runs in segments. A program that can go on from a small state asks
// segmentDue now and then, and calls checkpoint when it says so; it is then
// started again, in a fresh instance, and restore gives it that state.

// @ts-ignore: decorator
@external("countersign", "progress")
declare function host_progress(permille: u32, text: usize, length: u32): void;

// @ts-ignore: decorator
@external("countersign", "restore")
declare function host_restore(state: usize, size: u32): u32;

// @ts-ignore: decorator
@external("countersign", "checkpoint")
declare function host_checkpoint(state: usize, size: u32): void;

// @ts-ignore: decorator
@external("countersign", "segment_due")
declare function host_segment_due(): u32;

/** Reports permille (0 to 1000) of the task done, and a short text for people: up to 256 bytes of printable ASCII. */
export function progress(permille: u32, text: string): void {
  const bytes = String.UTF8.encode(text);
  host_progress(permille, changetype<usize>(bytes), bytes.byteLength);
}

/** The state that the segment began with: empty in the first. */
export function restore(): ArrayBuffer {
  const state = new ArrayBuffer(<i32>host_restore(0, 0));
  host_restore(changetype<usize>(state), state.byteLength);
  return state;
}

/**
 * Ends the segment; the program is started again, and restore gives it this
 * state, of at most 1,048,576 bytes. It does not return.
 */
export function checkpoint(state: ArrayBuffer): void {
  host_checkpoint(changetype<usize>(state), state.byteLength);
}

/**
 * Whether it is time for a checkpoint. That follows from the fuel used, so all
 * runs of a task checkpoint at the same places.
 */
export function segmentDue(): bool {
  return host_segment_due() != 0;
}
