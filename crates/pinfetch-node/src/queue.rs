//! The completion queue: what the engine has finished, until JavaScript takes it. One wake a batch.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// A batch larger than this is handed over in several chunks: a response that is kept keeps no more alive, and none has to
/// copy its part out of a large one.
const CHUNK: usize = 16 * 1024;
/// Bodies up to this size travel inside their record; copying them costs less than a buffer of their own.
pub(crate) const INLINE_BODY: usize = 64 * 1024;

/// Finished records, and the bodies that travel apart.
#[derive(Default)]
pub(crate) struct Completions {
    state: Mutex<State>,
    /// Signalled when the queue has become non-empty.
    filled: Arc<Notify>,
}

#[derive(Default)]
struct State {
    full: VecDeque<Vec<u8>>,
    current: Vec<u8>,
    /// Whether JavaScript has been, or is about to be, told.
    announced: bool,
    bodies: HashMap<u32, Bytes>,
    next_token: u32,
    ended: bool,
}

impl Completions {
    /// Appends the record that `write` writes. One that panics leaves no part of it.
    pub(crate) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        append(&mut state.current, write);
        self.wrote(state);
    }

    /// Appends a record that nobody waits for: it rides along with the next that somebody does.
    pub(crate) fn push_quietly(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        if !state.ended {
            append(&mut state.current, write);
        }
    }

    /// Keeps `body` until JavaScript asks for it, and appends the record that `write` writes with its token.
    pub(crate) fn push_with_body(&self, body: Bytes, write: impl FnOnce(&mut Vec<u8>, u32)) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        let token = state.next_token;
        state.next_token = token.wrapping_add(1);
        state.bodies.insert(token, body);
        append(&mut state.current, |out| write(out, token));
        self.wrote(state);
    }

    fn wrote(&self, mut state: MutexGuard<'_, State>) {
        if state.current.len() >= CHUNK {
            let full = std::mem::take(&mut state.current);
            state.full.push_back(full);
        }
        if !std::mem::replace(&mut state.announced, true) {
            drop(state);
            self.filled.notify_one();
        }
    }

    /// The oldest records that JavaScript has not taken; none when it has them all, after which it is told anew.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        if let Some(full) = state.full.pop_front() {
            return Some(full);
        }
        if state.current.is_empty() {
            state.announced = false;
            return None;
        }
        let capacity = state.current.len().min(CHUNK);
        Some(std::mem::replace(
            &mut state.current,
            Vec::with_capacity(capacity),
        ))
    }

    /// The body behind `token`, once.
    pub(crate) fn take_body(&self, token: u32) -> Option<Bytes> {
        self.lock().bodies.remove(&token)
    }

    /// Resolves when the queue has become non-empty. Whoever waits here is polled after everything that was ready
    /// before, so that what finishes in the same turn rides along.
    pub(crate) fn filled(&self) -> Arc<Notify> {
        self.filled.clone()
    }

    /// Drops everything, from now on too: nobody is left to take it.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        *state = State {
            ended: true,
            ..State::default()
        };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Half a record would cost its reader all that follow.
fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    struct Whole<'q> {
        out: &'q mut Vec<u8>,
        length: usize,
    }
    impl Drop for Whole<'_> {
        fn drop(&mut self) {
            self.out.truncate(self.length);
        }
    }
    let length = out.len();
    let mut record = Whole { out, length };
    write(record.out);
    record.length = record.out.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_is_handed_over_in_chunks_in_order() {
        let queue = Completions::default();
        for round in 0..3_u8 {
            queue.push(|out| out.extend(std::iter::repeat_n(round, CHUNK)));
        }
        queue.push(|out| out.push(9));
        for round in 0..3_u8 {
            let chunk = queue.take().unwrap();
            assert_eq!((chunk.len(), chunk[0]), (CHUNK, round));
        }
        assert_eq!(queue.take(), Some(vec![9]));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn a_writer_that_panics_leaves_no_part_of_its_record() {
        let queue = Completions::default();
        queue.push(|out| out.push(1));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            queue.push(|out| {
                out.extend([2, 3]);
                panic!("in the middle of a record");
            });
        }));
        assert!(panicked.is_err());
        queue.push(|out| out.push(4));
        assert_eq!(queue.take(), Some(vec![1, 4]));
    }

    #[test]
    fn a_body_is_given_once() {
        let queue = Completions::default();
        let mut token = None;
        queue.push_with_body(Bytes::from_static(b"body"), |_, given| token = Some(given));
        assert_eq!(
            queue.take_body(token.unwrap()),
            Some(Bytes::from_static(b"body"))
        );
        assert_eq!(queue.take_body(token.unwrap()), None);
    }

    #[test]
    fn nothing_is_kept_after_the_end() {
        let queue = Completions::default();
        queue.push(|out| out.push(1));
        queue.end();
        queue.push(|out| out.push(2));
        assert_eq!(queue.take(), None);
    }
}
