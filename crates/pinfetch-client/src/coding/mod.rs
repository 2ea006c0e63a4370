//! Content codings of response bodies, undone (RFC 9110 §8.4).
//!
//! A server is trusted with nothing here: a body may be cut, corrupt, or a few kilobytes that stand for gigabytes. So
//! the decoder is pushed encoded bytes and pulled decoded ones, never more of them than there is room for, and three
//! things always hold.
//!
//! - Memory is bounded by `room`, the windows of the codings (32 KiB for gzip and deflate, 16 MiB for br, 8 MiB for
//!   zstd; allocated as the body fills them) and 16 KiB between two codings, whatever the body claims or becomes.
//! - A body that is not whole and sound is an error, and never a short body: each coding says itself where it ends.
//!   What follows that end is an error too, zeros included; padding is a habit of tapes, and RFC 1952 §2.2 has nothing
//!   "before, between, or after" members.
//! - [`Limits`] end a body that grows beyond what is asked for, at whichever of its codings it grows.
//!
//! An error is final: the decoder answers every later call with it.

mod brotli;
mod error;
mod field;
mod inflate;
#[cfg(test)]
mod tests;
mod zstd;

use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::HeaderValue;

pub use error::CodingError;
pub use field::Coding;
pub(crate) use field::{Codings, MAX_CODINGS};

/// The value of `Accept-Encoding` that asks for what a [`Decoder`] reads (RFC 9110 §12.5.3).
///
/// A `static`, for a `const` of this type would be a new one at each use.
pub(crate) static ACCEPT_ENCODING: HeaderValue =
    HeaderValue::from_static("gzip, deflate, br, zstd");

/// How much a body may become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// Bytes of the decoded body, at most. Counted without codings too.
    pub(crate) bytes: u64,
    /// Bytes decoded for each encoded byte that was received, at most, once [`FREE`] bytes are out. At least 1;
    /// deflate reaches 1,032, br and zstd far more on bodies that repeat themselves.
    pub(crate) ratio: u32,
}

/// What a body may become at whatever ratio: a small one is no danger, and often a well-packed one.
pub(crate) const FREE: u64 = 1 << 20;

/// What [`Decoder::decode`] waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// All input was consumed and all that it stands for is out: push more, or [`finish`](Decoder::finish).
    NeedsInput,
    /// The room is used up, and there may be more: call again, with what is left of the input.
    HasMore,
    /// As [`NeedsInput`](Self::NeedsInput), and the body may end here. That is no reason to stop reading: another
    /// member (gzip) or frame (zstd) may follow, and anything else that follows is an error that nobody else finds.
    Done,
}

/// Undoes the codings of one body.
///
/// Bodies without a coding, or with one that is unknown, pass through as they are and cost no allocation of the
/// decoder's own; a caller that can hand on the received bytes themselves skips it (see [`Codings::is_applied`]).
pub(crate) struct Decoder {
    /// Codings that were applied last, and are undone first. Empty but for bodies with several.
    outer: Vec<Relay>,
    /// The coding that was applied first: what it yields is the body.
    inner: Option<Stage>,
    limits: Limits,
    /// Encoded bytes that were taken from the caller.
    consumed: u64,
    failure: Option<CodingError>,
}

impl Decoder {
    /// A decoder for a body with these codings.
    ///
    /// # Errors
    ///
    /// [`CodingError::TooMany`]: the peer's fault.
    pub(crate) fn new(codings: &Codings, limits: Limits) -> Result<Self, CodingError> {
        let (inner, outer): (Option<Coding>, &[Coding]) = match codings {
            Codings::None | Codings::Unknown => (None, &[]),
            Codings::Known(listed) => match listed.split_first() {
                Some((first, rest)) => (Some(*first), rest),
                None => (None, &[]),
            },
            Codings::TooMany => {
                return Err(CodingError::TooMany { limit: MAX_CODINGS });
            }
        };
        Ok(Self {
            // listed in the order in which they were applied (RFC 9110 §8.4): the last is the first to be undone
            outer: outer.iter().rev().copied().map(Relay::new).collect(),
            inner: inner.map(Stage::new),
            limits,
            consumed: 0,
            failure: None,
        })
    }

    /// Appends at most `room` decoded bytes to `out`, and advances `input` by what they took.
    ///
    /// `room` should not be 0: nothing happens then, and the answer is [`Progress::HasMore`]. A large `room` reserves
    /// no memory before there are bytes for it.
    ///
    /// # Errors
    ///
    /// The body is corrupt or grows beyond the limits. `out` may have been appended to, within limits and `room`.
    pub(crate) fn decode(
        &mut self,
        input: &mut Bytes,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<Progress, CodingError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.advance(input, out, room)
            .inspect_err(|failure| self.failure = Some(failure.clone()))
    }

    /// Says whether the encoded body, which ends here, was whole. To be called after [`decode`](Self::decode) has
    /// answered other than [`Progress::HasMore`] to the last of the input.
    ///
    /// A body of no bytes at all is whole whatever its codings: that is how servers answer when there is nothing to
    /// encode.
    ///
    /// # Errors
    ///
    /// [`CodingError::Truncated`], or the error that `decode` gave.
    pub(crate) fn finish(&mut self) -> Result<(), CodingError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.consumed == 0 {
            return Ok(());
        }
        match self.unfinished() {
            Some(coding) => {
                let failure = CodingError::Truncated { coding };
                self.failure = Some(failure.clone());
                Err(failure)
            }
            None => Ok(()),
        }
    }

    fn advance(
        &mut self,
        input: &mut Bytes,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<Progress, CodingError> {
        let end = out.len().saturating_add(room);
        let received = self.consumed.saturating_add(input.len() as u64);
        let mut span = input.len().saturating_mul(4).clamp(MIN_SPAN, MAX_SPAN);
        loop {
            if input.is_empty() && self.consumed > 0 && self.unfinished().is_none() {
                return Ok(Progress::Done);
            }
            let start = out.len();
            if start == end {
                return Ok(Progress::HasMore);
            }
            let before = input.len();
            let mut moved = self.relay(input, received)?;
            let step = span.min(end - start);
            moved |= self.yield_into(out, step, input, received)?;
            moved |= input.len() < before;
            if !moved {
                return Ok(Progress::NeedsInput);
            }
            // What filled its span has more; after the end of a member or of the input, there may be next to nothing.
            span = if out.len() - start == step {
                (span * 2).min(MAX_SPAN)
            } else {
                MIN_SPAN
            };
        }
    }

    /// Moves bytes through the outer codings as far as there is room between them; whether any were moved.
    fn relay(&mut self, input: &mut Bytes, received: u64) -> Result<bool, CodingError> {
        let allowance = expanded(received, self.limits.ratio);
        let mut moved = false;
        let mut source: Source<'_> = Source::Received(input, &mut self.consumed);
        for relay in &mut self.outer {
            if relay.held.is_empty() {
                let step = relay.stage.step(source.bytes(), &mut relay.held.space)?;
                source.advance(step.read);
                relay.held.fill(step.written);
                // Here too, and not of the last coding's yield alone: an endless run of empty members decodes to
                // nothing at all, but not in no time.
                if relay.stage.produced > allowance {
                    return Err(CodingError::TooExpanded {
                        ratio: self.limits.ratio,
                    });
                }
                moved |= step.read > 0 || step.written > 0;
            }
            source = Source::Held(&mut relay.held);
        }
        Ok(moved)
    }

    /// Appends up to `step` bytes of the body itself; whether anything was moved.
    fn yield_into(
        &mut self,
        out: &mut Vec<u8>,
        step: usize,
        input: &mut Bytes,
        received: u64,
    ) -> Result<bool, CodingError> {
        let Self {
            outer,
            inner,
            limits,
            consumed,
            ..
        } = self;
        let Some(stage) = inner else {
            let length = step.min(input.len());
            if *consumed + length as u64 > limits.bytes {
                return Err(CodingError::TooLarge {
                    limit: limits.bytes,
                });
            }
            out.extend_from_slice(&input.split_to(length));
            *consumed += length as u64;
            return Ok(length > 0);
        };
        let by_ratio = expanded(received, limits.ratio);
        let allowance = by_ratio.min(limits.bytes).saturating_sub(stage.produced);
        let mut source = match outer.last_mut() {
            Some(relay) => Source::Held(&mut relay.held),
            None => Source::Received(input, consumed),
        };
        // Room for one byte beyond the limit tells a body that just fits from one that does not.
        let span = step.min(usize::try_from(allowance.saturating_add(1)).unwrap_or(usize::MAX));
        let start = out.len();
        out.resize(start + span, 0); // filling costs a hundredth of decoding; uninitialised memory would be unsafe
        let moved = stage.step(source.bytes(), out.get_mut(start..).unwrap_or_default());
        let written = moved.as_ref().map_or(0, |moved| moved.written);
        let kept = written.min(usize::try_from(allowance).unwrap_or(usize::MAX));
        out.truncate(start + kept);
        let moved = moved?;
        if written > kept {
            return Err(if limits.bytes <= by_ratio {
                CodingError::TooLarge {
                    limit: limits.bytes,
                }
            } else {
                CodingError::TooExpanded {
                    ratio: limits.ratio,
                }
            });
        }
        source.advance(moved.read);
        Ok(moved.read > 0 || moved.written > 0)
    }

    /// The first coding, in the order of decoding, whose stream is not at an end.
    fn unfinished(&self) -> Option<Coding> {
        let held = self.outer.iter().any(|relay| !relay.held.is_empty());
        self.outer
            .iter()
            .map(|relay| &relay.stage)
            .find(|stage| !stage.decompressor.may_end())
            .or_else(|| {
                self.inner
                    .as_ref()
                    .filter(|stage| held || !stage.decompressor.may_end())
            })
            .map(|stage| stage.coding)
    }
}

/// What undoing one coding takes; each format's file has one.
trait Decompressor: Send {
    /// Decodes from `input` into `out`, which is not empty.
    ///
    /// Stands still (nothing read, nothing written) only when all of `input` is read and all that it stands for is
    /// written. Bytes after the stream's end are an error.
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Reason>;

    /// Whether the encoded stream may end after what was read, with all of it written.
    fn may_end(&self) -> bool;
}

/// How far a decompressor came.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    read: usize,
    written: usize,
}

/// What is wrong with a stream, in the words of the library that reads it. They never quote the stream.
type Reason = Arc<str>;

/// What is said of bytes after the end of a stream that has one end only.
const TRAILING: &str = "bytes follow the end of the stream";

/// One coding at work.
struct Stage {
    coding: Coding,
    decompressor: Box<dyn Decompressor>,
    /// Bytes that came out so far.
    produced: u64,
}

impl Stage {
    fn new(coding: Coding) -> Self {
        Self {
            coding,
            decompressor: match coding {
                Coding::Gzip => Box::new(inflate::Gzip::new()),
                Coding::Deflate => Box::new(inflate::Deflate::new()),
                Coding::Brotli => Box::new(brotli::Brotli::new()),
                Coding::Zstd => Box::new(zstd::Zstd::new()),
            },
            produced: 0,
        }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, CodingError> {
        let step = self
            .decompressor
            .step(input, out)
            .map_err(|reason| CodingError::Corrupt {
                coding: self.coding,
                reason,
            })?;
        self.produced = self.produced.saturating_add(step.written as u64);
        Ok(step)
    }
}

/// A coding whose yield is another's input.
struct Relay {
    stage: Stage,
    held: Held,
}

impl Relay {
    fn new(coding: Coding) -> Self {
        Self {
            stage: Stage::new(coding),
            held: Held {
                space: vec![0; RELAYED].into_boxed_slice(),
                start: 0,
                end: 0,
            },
        }
    }
}

/// Bytes between two codings.
struct Held {
    space: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Held {
    fn fill(&mut self, length: usize) {
        (self.start, self.end) = (0, length);
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Where a coding's input comes from.
enum Source<'a> {
    /// The caller, with the count of what was taken.
    Received(&'a mut Bytes, &'a mut u64),
    /// The coding that is undone before it.
    Held(&'a mut Held),
}

impl Source<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Received(bytes, _) => bytes,
            Self::Held(held) => held.space.get(held.start..held.end).unwrap_or_default(),
        }
    }

    fn advance(&mut self, read: usize) {
        match self {
            Self::Received(bytes, consumed) => {
                bytes.advance(read);
                **consumed += read as u64;
            }
            Self::Held(held) => held.start += read,
        }
    }
}

/// What `received` encoded bytes may become.
fn expanded(received: u64, ratio: u32) -> u64 {
    received.saturating_mul(u64::from(ratio)).max(FREE)
}

/// Bytes that are kept between two codings.
const RELAYED: usize = 16 << 10;

/// Bytes that are decoded in one go: a small body shouldn't reserve much, a large one be no burden to the caches.
const MIN_SPAN: usize = 1 << 10;
const MAX_SPAN: usize = 32 << 10;
