//! br (RFC 7932), undone by brotli-decompressor: it has no unsafe code and is as fast as the C library.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Decompressor, Reason, Step, TRAILING};

pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        Self {
            // strict: without the large windows of a gigabyte that RFC 7932 does not have
            state: BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ),
            ended: false,
        }
    }
}

impl Decompressor for Brotli {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Reason> {
        if self.ended {
            return if input.is_empty() {
                Ok(Step::default())
            } else {
                Err(TRAILING.into())
            };
        }
        let input = input.get(..MAX_INPUT).unwrap_or(input);
        let mut step = Step::default();
        let (mut left, mut room, mut total) = (input.len(), out.len(), 0);
        match BrotliDecompressStream(
            &mut left,
            &mut step.read,
            input,
            &mut room,
            &mut step.written,
            out,
            &mut total,
            &mut self.state,
        ) {
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultFailure => {
                let code = format!("{:?}", self.state.error_code);
                return Err(code
                    .trim_start_matches("BROTLI_DECODER_ERROR_")
                    .to_ascii_lowercase()
                    .replace('_', " ")
                    .into());
            }
        }
        Ok(step)
    }

    fn may_end(&self) -> bool {
        self.ended
    }
}

/// The library counts a call's input in 32 bits.
const MAX_INPUT: usize = 1 << 30;
