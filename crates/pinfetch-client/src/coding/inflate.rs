//! gzip (RFC 1952) and deflate (RFC 1950 and RFC 1951), which are one compression in three envelopes.
//!
//! Undone by flate2 over zlib-rs, which is memory-safe Rust and, of the backends without C, by far the fastest.

use flate2::{Decompress, DecompressError, FlushDecompress, Status};

use super::{Decompressor, Reason, Step, TRAILING};

/// The gzip format: one member after another, each with its checksum and length (RFC 1952 §2.2).
pub(super) struct Gzip {
    member: Decompress,
    /// Whether the member is whole.
    ended: bool,
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self {
            member: Decompress::new_gzip(WINDOW_BITS),
            ended: false,
        }
    }
}

impl Decompressor for Gzip {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Reason> {
        if self.ended {
            if input.is_empty() {
                return Ok(Step::default());
            }
            *self = Self::new(); // what follows a member is a member: anything else lacks its magic number
        }
        inflate(&mut self.member, input, out, &mut self.ended)
    }

    fn may_end(&self) -> bool {
        self.ended
    }
}

/// What is sent as deflate: the zlib format (RFC 1950), or the compressed stream without it (RFC 1951).
///
/// The first two bytes tell which. Those of the zlib format name the method (8, of 16), the window (at most 32 KiB) and
/// make a number that 31 divides (RFC 1950 §2.2). A bare stream whose first byte names method 8 would begin with a stored
/// block and have a bit set in the padding after its header (RFC 1951 §3.2.3 and §3.2.4), where compressors write zeros.
pub(super) struct Deflate {
    envelope: Envelope,
    ended: bool,
}

enum Envelope {
    /// Nothing has come yet, or a first byte that does not tell.
    Unknown(Option<u8>),
    Known(Decompress),
}

impl Deflate {
    pub(super) fn new() -> Self {
        Self {
            envelope: Envelope::Unknown(None),
            ended: false,
        }
    }
}

impl Decompressor for Deflate {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Reason> {
        if self.ended {
            return if input.is_empty() {
                Ok(Step::default())
            } else {
                Err(TRAILING.into())
            };
        }
        let stream = match &mut self.envelope {
            Envelope::Known(stream) => stream,
            Envelope::Unknown(held) => {
                let (first, second) = match (*held, input) {
                    (_, []) => return Ok(Step::default()),
                    (None, &[first]) => {
                        *held = Some(first);
                        return Ok(Step {
                            read: 1,
                            written: 0,
                        });
                    }
                    (None, &[first, second, ..]) | (Some(first), &[second, ..]) => (first, second),
                };
                let mut stream = Decompress::new(is_zlib(first, second));
                if let Some(first) = *held {
                    // a byte is too short for a symbol after the header of its block: nothing is written
                    inflate(&mut stream, &[first], out, &mut self.ended)?;
                }
                self.envelope = Envelope::Known(stream);
                return self.step(input, out);
            }
        };
        inflate(stream, input, out, &mut self.ended)
    }

    fn may_end(&self) -> bool {
        self.ended
    }
}

/// Whether these are a CMF and a FLG byte (RFC 1950 §2.2). A preset dictionary is not excluded: that is an error to tell
/// of, and no bare stream.
pub(super) fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}

fn inflate(
    stream: &mut Decompress,
    input: &[u8],
    out: &mut [u8],
    ended: &mut bool,
) -> Result<Step, Reason> {
    let (before_in, before_out) = (stream.total_in(), stream.total_out());
    let status = stream
        .decompress(input, out, FlushDecompress::None)
        .map_err(|error| reason(&error))?;
    *ended = status == Status::StreamEnd;
    Ok(Step {
        read: within(stream.total_in() - before_in),
        written: within(stream.total_out() - before_out),
    })
}

fn within(count: u64) -> usize {
    usize::try_from(count).expect("no more than the slice has bytes")
}

fn reason(error: &DecompressError) -> Reason {
    if error.needs_dictionary().is_some() {
        return "it asks for a preset dictionary".into();
    }
    error.message().unwrap_or("invalid data").into()
}

/// 32 KiB, the largest window there is (RFC 1951 §2).
const WINDOW_BITS: u8 = 15;
