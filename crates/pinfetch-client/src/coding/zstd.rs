//! zstd (RFC 8878), undone by the reference library: it is three times as fast as the crates that are Rust throughout.

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::{Decompressor, Reason, Step};

/// One frame after another, skippable ones among them (RFC 8878 §3.1).
pub(super) struct Zstd {
    context: DCtx<'static>,
    place: Place,
    /// Whether the last call filled its room: there may be more without more input.
    full: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    /// No frame has begun.
    Start,
    /// In a frame.
    Frame,
    /// Behind a whole frame.
    Between,
}

impl Zstd {
    pub(super) fn new() -> Self {
        let mut context = DCtx::create();
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG))
            .expect("zstd knows this window");
        Self {
            context,
            place: Place::Start,
            full: false,
        }
    }
}

impl Decompressor for Zstd {
    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Reason> {
        if input.is_empty() && !self.full {
            return Ok(Step::default()); // the library takes repeated calls without progress for an error
        }
        // The library decodes a frame that it has whole, and has room for, without asking about its window. So that the
        // same body is judged the same however it is cut, it never has one whole: the first byte comes alone.
        let input = match self.place {
            Place::Start | Place::Between => input.get(..1).unwrap_or(input),
            Place::Frame => input,
        };
        let mut source = InBuffer::around(input);
        let mut sink = OutBuffer::around(out);
        let hint = self
            .context
            .decompress_stream(&mut sink, &mut source)
            .map_err(|code| Reason::from(get_error_name(code)))?;
        let step = Step {
            read: source.pos(),
            written: sink.pos(),
        };
        self.full = hint > 0 && step.written == sink.capacity();
        self.place = if hint == 0 {
            Place::Between
        } else {
            Place::Frame
        };
        Ok(step)
    }

    fn may_end(&self) -> bool {
        self.place == Place::Between
    }
}

/// 8 MiB, the most that a decoder has to support, and an encoder may ask for (RFC 9659 §3).
const WINDOW_LOG: u32 = 23;
