//! {{name}} reads numbers from 1 to 10,000,000,000, one a line. For each it
//! writes which start up to that number has the longest Collatz sequence, and
//! how many steps that takes to 1.
//!
//! It may take long, so it runs in segments: when one is due to end it gives its
//! state away, and the next, in a fresh instance, goes on from there.

mod countersign;

use std::convert::TryInto;
use std::io::{self, BufRead};
use std::process::exit;

/// Up to where sequences stay below 2^64.
const LIMIT: u64 = 10_000_000_000;

/// What a later segment needs to go on.
struct State {
    lines: u64, // finished
    next: u64,  // start to try
    best: u64,
    steps: u64,
}

impl State {
    fn new(lines: u64) -> State {
        State { lines, next: 1, best: 1, steps: 0 }
    }

    fn restore() -> State {
        let saved = countersign::restore();
        if saved.is_empty() {
            return State::new(0);
        }
        let number = |i: usize| u64::from_le_bytes(saved[8 * i..8 * i + 8].try_into().unwrap());
        State { lines: number(0), next: number(1), best: number(2), steps: number(3) }
    }

    fn bytes(&self) -> Vec<u8> {
        [self.lines, self.next, self.best, self.steps].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn longest(&mut self, last: u64) {
        while self.next <= last {
            if self.next % 4096 == 0 {
                self.breathe(last);
            }
            let steps = collatz(self.next);
            if steps > self.steps {
                self.best = self.next;
                self.steps = steps;
            }
            self.next += 1;
        }
    }

    /// Reports, and ends the segment if that is due.
    fn breathe(&self, last: u64) {
        countersign::progress((1000 * self.next / last) as u32, &format!("{} of {}", self.next, last));
        if countersign::segment_due() {
            countersign::checkpoint(&self.bytes());
        }
    }
}

fn collatz(mut n: u64) -> u64 {
    let mut steps = 0;
    while n != 1 {
        n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}

fn main() {
    let mut state = State::restore();
    for (i, line) in (0..).zip(io::stdin().lock().lines()) {
        let last = match line.ok().and_then(|l| l.parse().ok()) {
            Some(n) if (1..=LIMIT).contains(&n) => n,
            _ => {
                eprintln!("{{name}}: line {}: want a number from 1 to {}", i + 1, LIMIT);
                exit(2)
            }
        };
        if i < state.lines {
            continue; // of an earlier segment
        }
        state.longest(last);
        println!("{} -> {}, {} steps", last, state.best, state.steps);
        state = State::new(i + 1);
    }
}
