//! The header section of a response: its limits, its fields, and where its body ends (RFC 9112 §2–6).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, Version};

use super::Malformed;
use crate::config::HeaderLimits;
use crate::exchange::Head;
use crate::exchange::fields::{Fields, Line, Span};

/// Field lines that are parsed without an allocation.
const FIELDS_AT_HAND: usize = 48;

/// Whether a section of `length` bytes is past `limits`.
pub(super) fn is_too_large(length: usize, limits: HeaderLimits) -> bool {
    u32::try_from(length).map_or(true, |length| length > limits.bytes)
}

/// Room for as many field lines as `section` can hold, an `a:` and a line end each, and `limits` allow.
pub(super) fn room_for_fields(section: &[u8], limits: HeaderLimits) -> Vec<httparse::Header<'_>> {
    const SHORTEST_LINE: usize = 3;
    let most = usize::try_from(limits.count).unwrap_or(usize::MAX);
    vec![httparse::EMPTY_HEADER; most.min(section.len() / SHORTEST_LINE)]
}

/// How a body's end is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// So many bytes, none included.
    Length(u64),
    /// Chunks.
    Chunked,
    /// The connection's end.
    UntilClosed,
}

/// A header section that was read.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) head: Head,
    pub(super) framing: Framing,
    /// Whether the server lets the connection serve another request (RFC 9112 §9.3).
    pub(super) persists: bool,
}

/// Reads header sections from what a connection has sent.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// How much of the buffer is known to hold no whole section: it is not parsed again for every byte that comes.
    searched: usize,
}

impl Reader {
    /// Takes a whole header section off `buffer`; none if its end has not come yet.
    pub(super) fn read(
        &mut self,
        buffer: &mut BytesMut,
        is_head_request: bool,
        limits: HeaderLimits,
    ) -> Result<Option<Section>, Malformed> {
        if self.searched > 0 && !has_end(buffer, self.searched) {
            return self.wait_for_more(buffer, limits);
        }
        let mut at_hand = [const { MaybeUninit::uninit() }; FIELDS_AT_HAND];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            buffer,
            &mut at_hand,
        );
        let (length, mut section) = match parsed {
            Ok(httparse::Status::Complete(length)) => (length, Draft::of(&response, buffer)?),
            Ok(httparse::Status::Partial) => return self.wait_for_more(buffer, limits),
            Err(httparse::Error::TooManyHeaders) => {
                let mut many = room_for_fields(buffer, limits);
                let mut response = httparse::Response::new(&mut many);
                match response.parse(buffer) {
                    Ok(httparse::Status::Complete(length)) => {
                        (length, Draft::of(&response, buffer)?)
                    }
                    Ok(httparse::Status::Partial) => return self.wait_for_more(buffer, limits),
                    Err(httparse::Error::TooManyHeaders) => {
                        return Err(Malformed::TooManyFields(limits.count));
                    }
                    Err(error) => return Err(Malformed::Head(error)),
                }
            }
            Err(error) => return Err(Malformed::Head(error)),
        };
        if is_too_large(length, limits) {
            return Err(Malformed::SectionTooLarge(limits.bytes));
        }
        if section.lines.len() as u64 > u64::from(limits.count) {
            return Err(Malformed::TooManyFields(limits.count));
        }
        self.searched = 0;
        let (framing, persists) = section.framing(buffer, is_head_request)?;
        let block = buffer.split_to(length).freeze();
        Ok(Some(Section {
            head: Head {
                status: section.status,
                version: section.version,
                reason: section.reason.take(),
                fields: Fields::of_lines(block, section.lines),
            },
            framing,
            persists,
        }))
    }

    fn wait_for_more(
        &mut self,
        buffer: &BytesMut,
        limits: HeaderLimits,
    ) -> Result<Option<Section>, Malformed> {
        if is_too_large(buffer.len(), limits) {
            return Err(Malformed::SectionTooLarge(limits.bytes));
        }
        self.searched = buffer.len();
        Ok(None)
    }
}

/// Whether an empty line ends in what came after `searched`.
fn has_end(buffer: &[u8], searched: usize) -> bool {
    let from = searched.saturating_sub(3);
    let news = buffer.get(from..).unwrap_or_default();
    news.windows(2).any(|pair| pair == b"\n\n") || news.windows(3).any(|three| three == b"\n\r\n")
}

/// A section whose block has not been taken off the buffer.
struct Draft {
    status: StatusCode,
    version: Version,
    reason: Option<Bytes>,
    lines: Vec<Line>,
}

/// The place of `field` in `buffer`. A name that fills more than 16 bits is one that no `HeaderName` holds either.
pub(super) fn line_of(field: &httparse::Header<'_>, buffer: &[u8]) -> Result<Line, Malformed> {
    if field.name.len() > usize::from(u16::MAX) {
        return Err(Malformed::Head(httparse::Error::HeaderName));
    }
    Ok(Line {
        name: Span::of(field.name.as_bytes(), buffer),
        value: Span::of(field.value, buffer),
    })
}

impl Draft {
    fn of(response: &httparse::Response<'_, '_>, buffer: &[u8]) -> Result<Self, Malformed> {
        let status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or(Malformed::Status)?;
        let reason = response.reason.unwrap_or_default();
        Ok(Self {
            status,
            version: if response.version == Some(1) {
                Version::HTTP_11
            } else {
                Version::HTTP_10
            },
            // the standard phrase needs no copy
            reason: (status.canonical_reason() != Some(reason))
                .then(|| Bytes::copy_from_slice(reason.as_bytes())),
            lines: response
                .headers
                .iter()
                .map(|field| line_of(field, buffer))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Where the body ends, and whether the connection outlives it. Whatever two readers could understand differently is
    /// an error: a body's end is not a matter of opinion.
    fn framing(&self, block: &[u8], is_head_request: bool) -> Result<(Framing, bool), Malformed> {
        let mut length = None;
        let mut chunked = false;
        let mut persists = self.version == Version::HTTP_11;
        for line in &self.lines {
            let (name, value) = (line.name.within(block), line.value.within(block));
            match name.len() {
                10 if name.eq_ignore_ascii_case(b"connection") => {
                    let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                    persists &= !options.any(|option| option.eq_ignore_ascii_case(b"close"));
                }
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    let before = length.replace(content_length(value)?);
                    if before.is_some() {
                        return Err(Malformed::RepeatedContentLength);
                    }
                }
                17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                    // no coding but chunked was asked for (RFC 9112 §7.4), and it comes once (§6.1)
                    if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(Malformed::TransferCoding);
                    }
                    chunked = true;
                }
                _ => {}
            }
        }
        if chunked && (length.is_some() || self.version != Version::HTTP_11) {
            return Err(Malformed::LengthAndTransferCoding);
        }
        let has_no_body = is_head_request
            || self.status.is_informational()
            || self.status == StatusCode::NO_CONTENT
            || self.status == StatusCode::NOT_MODIFIED;
        Ok(match (has_no_body, chunked, length) {
            (true, ..) => (Framing::Length(0), persists),
            (false, true, _) => (Framing::Chunked, persists),
            (false, false, Some(length)) => (Framing::Length(length), persists),
            (false, false, None) => (Framing::UntilClosed, false),
        })
    }
}

/// RFC 9110 §8.6: digits, and nothing else.
fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::ContentLength);
    }
    std::str::from_utf8(value)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(Malformed::ContentLength)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULT: HeaderLimits = HeaderLimits {
        bytes: 256 * 1024,
        count: 512,
    };

    fn read(text: &[u8], is_head_request: bool) -> Result<Option<Section>, Malformed> {
        Reader::default().read(&mut BytesMut::from(text), is_head_request, DEFAULT)
    }

    #[test]
    fn the_end_of_a_body_is_known_from_the_section() {
        for (section, is_head, framing, persists) in [
            (
                "200 OK\r\nContent-Length: 5\r\n",
                false,
                Framing::Length(5),
                true,
            ),
            (
                "200 OK\r\ncontent-length: 5\r\n",
                true,
                Framing::Length(0),
                true,
            ),
            (
                "200 OK\r\nTransfer-Encoding: Chunked\r\n",
                false,
                Framing::Chunked,
                true,
            ),
            (
                "200 OK\r\nTransfer-Encoding: chunked\r\n",
                true,
                Framing::Length(0),
                true,
            ),
            ("200 OK\r\n", false, Framing::UntilClosed, false),
            ("204 No Content\r\n", false, Framing::Length(0), true),
            (
                "304 Not Modified\r\nContent-Length: 9\r\n",
                false,
                Framing::Length(0),
                true,
            ),
            (
                "200 OK\r\nContent-Length: 0\r\nConnection: close\r\n",
                false,
                Framing::Length(0),
                false,
            ),
            (
                "200 OK\r\nContent-Length: 0\r\nConnection: x, CLOSE ,y\r\n",
                false,
                Framing::Length(0),
                false,
            ),
            (
                "200 OK\r\nContent-Length: 0\r\nConnection: closed\r\n",
                false,
                Framing::Length(0),
                true,
            ),
        ] {
            let text = format!("HTTP/1.1 {section}\r\n");
            let section = read(text.as_bytes(), is_head).unwrap().unwrap();
            assert_eq!(
                (section.framing, section.persists),
                (framing, persists),
                "{text}"
            );
        }
        let old = read(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false)
            .unwrap()
            .unwrap();
        assert!(!old.persists, "HTTP/1.0 closes");
    }

    #[test]
    fn a_section_that_two_readers_could_understand_differently_is_refused() {
        for (fields, error) in [
            (
                "Content-Length: 5\r\nContent-Length: 5\r\n",
                Malformed::RepeatedContentLength,
            ),
            (
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                Malformed::RepeatedContentLength,
            ),
            ("Content-Length: 5, 5\r\n", Malformed::ContentLength),
            ("Content-Length: +5\r\n", Malformed::ContentLength),
            ("Content-Length: -1\r\n", Malformed::ContentLength),
            ("Content-Length: 0x5\r\n", Malformed::ContentLength),
            ("Content-Length:\r\n", Malformed::ContentLength),
            (
                "Content-Length: 99999999999999999999\r\n",
                Malformed::ContentLength,
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Malformed::LengthAndTransferCoding,
            ),
            (
                "Transfer-Encoding: gzip, chunked\r\n",
                Malformed::TransferCoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Malformed::TransferCoding,
            ),
            ("Transfer-Encoding: identity\r\n", Malformed::TransferCoding),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(read(text.as_bytes(), false).unwrap_err(), error, "{text}");
        }
        let old = b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            read(old, false).unwrap_err(),
            Malformed::LengthAndTransferCoding
        );
    }

    #[test]
    fn a_malformed_section_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", // obs-fold (RFC 9112 §5.2)
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",    // bare CR (§2.2)
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",    // NUL (RFC 9110 §5.5)
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",      // white space before the colon (§5.1)
            "HTTP/1.1 200 OK\r\nA b\r\n\r\n",        // no colon
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",        // no name
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH_9.7\r\n",
        ] {
            assert!(read(text.as_bytes(), false).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_may_be_as_long_as_header_names_are() {
        for (length, is_read) in [(65_535, true), (65_536, false)] {
            let text = format!("HTTP/1.1 200 OK\r\n{}: b\r\n\r\n", "a".repeat(length));
            assert_eq!(read(text.as_bytes(), false).is_ok(), is_read, "{length}");
        }
    }

    #[test]
    fn limits_hold() {
        let section = |fields: usize, last: &str| {
            let lines = "a: b\r\n".repeat(fields);
            format!("HTTP/1.1 200 OK\r\n{lines}{last}\r\n").into_bytes()
        };
        let read = |text: &[u8], limits| {
            let read = Reader::default().read(&mut BytesMut::from(text), false, limits);
            read.map(|section| section.map(|section| section.head.fields.len()))
        };
        for count in [0, 1, 47, 48, 49, 512, 600] {
            let limits = HeaderLimits { count, ..DEFAULT };
            let most = count as usize;
            assert_eq!(read(&section(most, ""), limits), Ok(Some(most)));
            let more = read(&section(most + 1, ""), limits);
            assert_eq!(more, Err(Malformed::TooManyFields(count)));
        }
        for bytes in [100, 9000, DEFAULT.bytes] {
            let limits = HeaderLimits { bytes, ..DEFAULT };
            let rest = bytes as usize - section(0, "x: \r\n").len();
            let just = section(0, &format!("x: {}\r\n", "y".repeat(rest)));
            assert_eq!(read(&just, limits), Ok(Some(1)));
            let large = section(0, &format!("x: {}\r\n", "y".repeat(rest + 1)));
            assert_eq!(read(&large, limits), Err(Malformed::SectionTooLarge(bytes)));
            let endless = &large[..large.len() - 2];
            assert_eq!(
                read(endless, limits),
                Ok(None),
                "no more than the limit yet"
            );
            let endless = section(0, &"y".repeat(bytes as usize));
            assert!(read(&endless[..endless.len() - 2], limits).is_err());
        }
    }

    #[test]
    fn fields_keep_order_spelling_and_repeats() {
        let text =
            b"HTTP/1.1 299 Odd\r\nB: 1\r\nset-Cookie: a\r\nb:  2 \r\nSet-Cookie: c\r\n\r\nrest";
        let mut buffer = BytesMut::from(&text[..]);
        let section = Reader::default()
            .read(&mut buffer, false, DEFAULT)
            .unwrap()
            .unwrap();
        let fields: Vec<_> = section.head.fields.iter().collect();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"B", b"1"),
            (b"set-Cookie", b"a"),
            (b"b", b"2"),
            (b"Set-Cookie", b"c"),
        ];
        assert_eq!(fields, expected);
        assert_eq!(section.head.fields.get_all("SET-COOKIE").count(), 2);
        assert_eq!(section.head.reason.as_deref(), Some(&b"Odd"[..]));
        assert_eq!(&buffer[..], b"rest");
    }

    proptest! {
        /// However the bytes are cut, the section and what follows it are the same.
        #[test]
        fn a_section_may_come_in_pieces(cuts in proptest::collection::vec(0..90_usize, 0..8)) {
            let text = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 4\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\nbody";
            let mut cuts = cuts;
            cuts.push(text.len());
            cuts.sort_unstable();
            let (mut reader, mut buffer, mut from, mut found) = (Reader::default(), BytesMut::new(), 0, None);
            for to in cuts {
                let to = to.min(text.len());
                buffer.extend_from_slice(&text[from..to]);
                from = to;
                if found.is_none() {
                    found = reader.read(&mut buffer, false, DEFAULT).unwrap();
                }
            }
            let section = found.expect("the whole text was given");
            prop_assert_eq!(section.framing, Framing::Length(4));
            prop_assert_eq!(section.head.fields.len(), 3);
            prop_assert_eq!(&buffer[..], b"body");
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
            text.extend(&bytes);
            let _ = read(&text, false);
            let _ = read(&bytes, true);
        }
    }
}
