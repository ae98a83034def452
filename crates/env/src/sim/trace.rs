//! What happened in a simulation, as a number to compare and as lines to read.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::Arc;

/// A record of everything that a simulated world did. Clones write to the same one.
///
/// Two runs with the same seed must end with the same [`Trace::hash`]; where they do not,
/// [`Trace::keep_lines`] shows where they part.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hash: Hash,
    count: u64,
    panics: u64,
    lines: VecDeque<String>,
    lines_max: usize,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the last `count` events as text, from now on.
    pub fn keep_lines(&self, count: usize) {
        self.0.lock().lines_max = count;
    }

    /// Adds an event.
    pub fn note(&self, event: fmt::Arguments<'_>) {
        let mut state = self.0.lock();
        // Writing to a hash cannot fail; the zero byte keeps two events apart.
        let _ = state.hash.write_fmt(event);
        let _ = state.hash.write_str("\0");
        state.count += 1;
        if state.lines_max > 0 {
            if state.lines.len() == state.lines_max {
                state.lines.pop_front();
            }
            state.lines.push_back(event.to_string());
        }
    }

    /// A number that all events so far, in their order, went into.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0.lock().hash.0
    }

    /// How many events there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.lock().count
    }

    /// Notes that a task panicked, whose message was printed.
    pub(crate) fn note_panic(&self) {
        self.note(format_args!("a task panicked"));
        self.0.lock().panics += 1;
    }

    /// How many tasks panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0.lock().panics
    }

    /// The last events, oldest first, as many as were to be kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().lines.iter().cloned().collect()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} events, {:016x})", self.count(), self.hash())
    }
}

/// FNV-1a, 64 bits: the same on every machine and in every version of the compiler.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}
