//! The chunked transfer coding (RFC 9112 §7.1), taken off what a connection has sent.

use bytes::{Buf, Bytes, BytesMut};

use super::Malformed;
use super::head::{is_too_large, line_of, room_for_fields};
use crate::config::HeaderLimits;
use crate::exchange::fields::Fields;

/// How long the line of a chunk's size may be, extensions (which nobody uses, and everybody must ignore) included.
const LONGEST_SIZE_LINE: usize = 4096;

/// Where in the coding a body stands.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    trailers: Option<Fields>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Ended,
}

/// What the buffer holds.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// Part of the body.
    Data(Bytes),
    /// Not enough: read more.
    Incomplete,
    /// The body's end.
    End,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self {
            state: State::Size,
            trailers: None,
        }
    }

    /// Takes the next piece off `buffer`; `limits` are those of the trailer section.
    pub(super) fn next(
        &mut self,
        buffer: &mut BytesMut,
        limits: HeaderLimits,
    ) -> Result<Piece, Malformed> {
        loop {
            match self.state {
                State::Size => {
                    let Some(first) = buffer.first() else {
                        return Ok(Piece::Incomplete);
                    };
                    // httparse takes a line without digits for a size of none
                    if !first.is_ascii_hexdigit() {
                        return Err(Malformed::ChunkSize);
                    }
                    match httparse::parse_chunk_size(buffer) {
                        Ok(httparse::Status::Complete((length, _)))
                            if length > LONGEST_SIZE_LINE =>
                        {
                            return Err(Malformed::ChunkSize);
                        }
                        Ok(httparse::Status::Complete((length, size))) => {
                            buffer.advance(length);
                            self.state = if size == 0 {
                                State::Trailers
                            } else {
                                State::Data(size)
                            };
                        }
                        Ok(httparse::Status::Partial) if buffer.len() <= LONGEST_SIZE_LINE => {
                            return Ok(Piece::Incomplete);
                        }
                        Ok(httparse::Status::Partial) | Err(httparse::InvalidChunkSize) => {
                            return Err(Malformed::ChunkSize);
                        }
                    }
                }
                State::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(Piece::Incomplete);
                    }
                    let here =
                        usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
                    let left = left - here as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Piece::Data(buffer.split_to(here).freeze()));
                }
                State::DataEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    Some(_) => return Err(Malformed::ChunkEnd),
                    None if buffer.first().is_some_and(|byte| *byte != b'\r') => {
                        return Err(Malformed::ChunkEnd);
                    }
                    None => return Ok(Piece::Incomplete),
                },
                State::Trailers => {
                    let mut fields = room_for_fields(buffer, limits);
                    let (length, lines) = match httparse::parse_headers(buffer, &mut fields) {
                        Ok(httparse::Status::Complete((length, fields))) => {
                            if is_too_large(length, limits) {
                                return Err(Malformed::SectionTooLarge(limits.bytes));
                            }
                            let lines = fields.iter().map(|field| line_of(field, buffer));
                            (length, lines.collect::<Result<Vec<_>, _>>()?)
                        }
                        Ok(httparse::Status::Partial) if is_too_large(buffer.len(), limits) => {
                            return Err(Malformed::SectionTooLarge(limits.bytes));
                        }
                        Ok(httparse::Status::Partial) => return Ok(Piece::Incomplete),
                        Err(httparse::Error::TooManyHeaders) => {
                            return Err(Malformed::TooManyFields(limits.count));
                        }
                        Err(error) => return Err(Malformed::Head(error)),
                    };
                    let block = buffer.split_to(length).freeze();
                    if !lines.is_empty() {
                        self.trailers = Some(Fields::of_lines(block, lines));
                    }
                    self.state = State::Ended;
                }
                State::Ended => return Ok(Piece::End),
            }
        }
    }

    /// The trailer section (RFC 9110 §6.5), once the body has ended.
    pub(super) fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body, and what came after it.
    type Decoded = (Vec<u8>, Vec<u8>);

    /// The body in `text`, given in pieces that end at `cuts`; none if it has not ended.
    fn decode(text: &[u8], cuts: &[usize]) -> Result<Option<Decoded>, Malformed> {
        let (mut chunked, mut buffer, mut body, mut from) =
            (Chunked::new(), BytesMut::new(), Vec::new(), 0);
        for to in cuts.iter().copied().chain([text.len()]) {
            let to = to.clamp(from, text.len());
            buffer.extend_from_slice(&text[from..to]);
            from = to;
            loop {
                match chunked.next(&mut buffer, HeaderLimits::default())? {
                    Piece::Data(data) => body.extend(&data),
                    Piece::Incomplete => break,
                    Piece::End => {
                        buffer.extend_from_slice(&text[from..]);
                        return Ok(Some((body, buffer.to_vec())));
                    }
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_make_a_body() {
        for (text, body, rest) in [
            ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
            ("5;a=b;c=\"d\"\r\nhello\r\n00\r\n\r\nHTTP", "hello", "HTTP"),
            (
                "1\r\nh\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
                "h0123456789",
                "",
            ),
            ("0\r\n\r\n", "", ""),
        ] {
            let (found, left) = decode(text.as_bytes(), &[]).unwrap().unwrap();
            assert_eq!(
                (&*found, &*left),
                (body.as_bytes(), rest.as_bytes()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for (text, error) in [
            ("\r\nhello", Malformed::ChunkSize),
            ("g\r\n", Malformed::ChunkSize),
            ("-1\r\n", Malformed::ChunkSize),
            ("+5\r\nhello\r\n", Malformed::ChunkSize),
            (" 5\r\nhello\r\n", Malformed::ChunkSize),
            ("0x5\r\nhello\r\n", Malformed::ChunkSize),
            ("5\nhello\r\n", Malformed::ChunkSize),
            ("11111111111111111\r\n", Malformed::ChunkSize), // 17 digits: past 64 bits
            ("5\r\nhelloo\r\n", Malformed::ChunkEnd),
            ("5\r\nhello\n0\r\n\r\n", Malformed::ChunkEnd),
            ("5\r\nhelloX", Malformed::ChunkEnd),
        ] {
            assert_eq!(decode(text.as_bytes(), &[]).unwrap_err(), error, "{text:?}");
        }
        let mut long = b"5;".to_vec();
        long.resize(LONGEST_SIZE_LINE + 3, b'x');
        assert_eq!(decode(&long, &[]).unwrap_err(), Malformed::ChunkSize);
        assert!(
            decode(b"0\r\nA\0: b\r\n\r\n", &[]).is_err(),
            "a malformed trailer section"
        );
    }

    #[test]
    fn a_body_that_breaks_off_has_not_ended() {
        let text = b"5\r\nhello\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(decode(&text[..end], &[]).unwrap(), None, "{end}");
        }
    }

    #[test]
    fn trailers_are_kept() {
        let mut chunked = Chunked::new();
        let mut buffer = BytesMut::from(&b"0\r\nDigest: a\r\nX-B: c\r\n\r\n"[..]);
        assert_eq!(
            chunked.next(&mut buffer, HeaderLimits::default()).unwrap(),
            Piece::End
        );
        assert_eq!(chunked.trailers().unwrap().get("x-b"), Some(&b"c"[..]));
    }

    #[test]
    fn a_trailer_section_has_the_limits_of_a_header_section() {
        let limits = HeaderLimits {
            bytes: 20,
            count: 2,
        };
        for (trailers, outcome) in [
            ("a: b\r\nc: d\r\n\r\n", Ok(Piece::End)),
            (
                "a: b\r\nc: d\r\ne: f\r\n\r\n",
                Err(Malformed::TooManyFields(2)),
            ),
            (
                "a: 12345678901234\r\n\r\n",
                Err(Malformed::SectionTooLarge(20)),
            ),
            ("a: 123456789012345678", Err(Malformed::SectionTooLarge(20))),
            ("a: 1234567890", Ok(Piece::Incomplete)),
        ] {
            let mut buffer = BytesMut::from(format!("0\r\n{trailers}").as_bytes());
            assert_eq!(
                Chunked::new().next(&mut buffer, limits),
                outcome,
                "{trailers}"
            );
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(0..400_usize, 0..12),
        ) {
            let mut text = Vec::new();
            for part in &parts {
                text.extend(format!("{:x}\r\n", part.len()).bytes());
                text.extend(part);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\nnext");
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (body, rest) = decode(&text, &cuts).unwrap().unwrap();
            prop_assert_eq!(body, parts.concat());
            prop_assert_eq!(&rest[..], b"next");
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, &[]);
        }
    }
}
