//! What a Rust payload may ask of its host: docs/spec/abi.md of Countersign. A
//! program that only reads standard input and writes standard output needs
//! nothing of it.
//!
//! A task runs in segments. A program that can go on from a small state asks
//! [`segment_due`] now and then, and calls [`checkpoint`] when it says so; it is
//! then started again, in a fresh instance, and [`restore`] gives it that state.
//!
//! Outside of a host (a native build, tests) the task is one segment.

use std::io::Write;

/// The longest state, in bytes.
#[allow(dead_code)]
pub const MAX_STATE: usize = 1 << 20;

/// Reports permille (0 to 1000) of the task done, and a short text for people:
/// up to 256 bytes of printable ASCII.
pub fn progress(permille: u32, text: &str) {
    // Of a text, the host reads the length that it is given here.
    unsafe { host::progress(permille, text.as_ptr(), text.len()) }
}

/// The state that the segment began with: empty in the first.
pub fn restore() -> Vec<u8> {
    // A null pointer with no room is inside of every memory: this asks for the length.
    let mut state = vec![0; unsafe { host::restore(std::ptr::null_mut(), 0) }];
    // The host writes at most the length that it is given here.
    unsafe { host::restore(state.as_mut_ptr(), state.len()) };
    state
}

/// Ends the segment; the program is started again, and [`restore`] gives it this
/// state, of at most [`MAX_STATE`] bytes. What was printed is flushed.
pub fn checkpoint(state: &[u8]) -> ! {
    let _ = std::io::stdout().flush();
    unsafe { host::checkpoint(state.as_ptr(), state.len()) }
}

/// Whether it is time for a [`checkpoint`]. That follows from the fuel used, so
/// all runs of a task checkpoint at the same places.
pub fn segment_due() -> bool {
    unsafe { host::segment_due() != 0 }
}

#[cfg(target_arch = "wasm32")]
mod host {
    #[link(wasm_import_module = "countersign")]
    extern "C" {
        pub fn progress(permille: u32, text: *const u8, length: usize);
        pub fn restore(state: *mut u8, size: usize) -> usize;
        pub fn checkpoint(state: *const u8, size: usize) -> !;
        pub fn segment_due() -> u32;
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub unsafe fn progress(_: u32, _: *const u8, _: usize) {}
    pub unsafe fn restore(_: *mut u8, _: usize) -> usize {
        0
    }
    pub unsafe fn checkpoint(_: *const u8, _: usize) -> ! {
        panic!("checkpoint outside of a host")
    }
    pub unsafe fn segment_due() -> u32 {
        0
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_segment_without_a_host() {
        super::progress(1001, "text");
        assert!(super::restore().is_empty());
        assert!(!super::segment_due());
    }

    #[test]
    #[should_panic(expected = "outside of a host")]
    fn checkpoint_does_not_return() {
        super::checkpoint(&[])
    }
}
