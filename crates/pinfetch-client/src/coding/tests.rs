//! Every coding, however its bytes are cut, against encoders of its own library and vectors of others.

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;
use proptest::sample::Index;
use zstd_safe::{CCtx, CParameter};

use super::*;

/// A format that stands behind a coding's name: deflate is two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Gzip,
    Zlib,
    RawDeflate,
    Brotli,
    Zstd,
}

const FORMATS: [Format; 5] = [
    Format::Gzip,
    Format::Zlib,
    Format::RawDeflate,
    Format::Brotli,
    Format::Zstd,
];

impl Format {
    fn coding(self) -> Coding {
        match self {
            Self::Gzip => Coding::Gzip,
            Self::Zlib | Self::RawDeflate => Coding::Deflate,
            Self::Brotli => Coding::Brotli,
            Self::Zstd => Coding::Zstd,
        }
    }

    /// Whether every change to the body is noticed.
    fn has_checksum(self) -> bool {
        match self {
            Self::Gzip | Self::Zlib | Self::Zstd => true,
            Self::RawDeflate | Self::Brotli => false,
        }
    }

    fn encode(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            Self::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            Self::RawDeflate => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
                encoder.write_all(body).unwrap();
                encoder.finish().unwrap()
            }
            Self::Brotli => brotli(body, 22, false),
            Self::Zstd => zstd(body, 21),
        }
    }
}

fn brotli(body: &[u8], window: i32, large: bool) -> Vec<u8> {
    let parameters = ::brotli::enc::BrotliEncoderParams {
        quality: 5,
        lgwin: window,
        large_window: large,
        ..Default::default()
    };
    let mut encoded = Vec::new();
    ::brotli::BrotliCompress(&mut &body[..], &mut encoded, &parameters).unwrap();
    encoded
}

/// A frame with a checksum and without its length, so that it has the window that is asked for.
fn zstd(body: &[u8], window_log: u32) -> Vec<u8> {
    zstd_with(body, window_log, false)
}

fn zstd_with(body: &[u8], window_log: u32, with_length: bool) -> Vec<u8> {
    let mut context = CCtx::create();
    for parameter in [
        CParameter::ChecksumFlag(true),
        CParameter::WindowLog(window_log),
        CParameter::ContentSizeFlag(with_length),
    ] {
        context.set_parameter(parameter).unwrap();
    }
    let mut encoded = vec![0; zstd_safe::compress_bound(body.len())];
    let length = context.compress2(&mut encoded[..], body).unwrap();
    encoded.truncate(length);
    encoded
}

/// Applies `formats` in order; what a server would send with their codings listed in that order.
fn encode(body: &[u8], formats: &[Format]) -> Vec<u8> {
    formats
        .iter()
        .fold(body.to_vec(), |body, format| format.encode(&body))
}

fn known(formats: &[Format]) -> Codings {
    Codings::Known(formats.iter().map(|format| format.coding()).collect())
}

const GENEROUS: Limits = Limits {
    bytes: u64::MAX,
    ratio: u32::MAX,
};

fn decoder(codings: &Codings, limits: Limits) -> Decoder {
    Decoder::new(codings, limits).unwrap()
}

/// What `chunks` decode to with `room` bytes at a time; checks on the way what holds of every call.
fn decode<'a>(
    codings: &Codings,
    limits: Limits,
    chunks: impl IntoIterator<Item = &'a [u8]>,
    room: usize,
) -> Result<Vec<u8>, CodingError> {
    let mut decoder = decoder(codings, limits);
    let mut body = Vec::new();
    for chunk in chunks {
        let mut input = Bytes::copy_from_slice(chunk);
        loop {
            let (left, length) = (input.len(), body.len());
            let result = decoder.decode(&mut input, &mut body, room);
            let added = body.len() - length;
            assert!(
                added <= room,
                "{added} bytes where there is room for {room}"
            );
            match result {
                Ok(Progress::HasMore) => assert_eq!(added, room, "stopped although there is room"),
                Ok(Progress::NeedsInput | Progress::Done) => {
                    assert!(input.is_empty(), "{} bytes were left", input.len());
                    break;
                }
                Err(error) => {
                    assert_eq!(decoder.finish(), Err(error.clone()), "an error is final");
                    assert_eq!(
                        decoder.decode(&mut input, &mut body, room),
                        Err(error.clone())
                    );
                    return Err(error);
                }
            }
            assert!(added > 0 || input.len() < left, "no progress");
        }
    }
    decoder.finish()?;
    Ok(body)
}

fn decode_whole(formats: &[Format], encoded: &[u8]) -> Result<Vec<u8>, CodingError> {
    decode(&known(formats), GENEROUS, [encoded], usize::MAX)
}

/// Text that compresses about as well as text does, of `length` bytes.
fn text(length: usize) -> Vec<u8> {
    let mut state = 7_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        [
            "pin ", "policy ", "of ", "the ", "host ", "is ", "not ", "\n", "0x", "é",
        ][(state >> 24) as usize % 10]
            .as_bytes()
    })
    .flatten()
    .copied()
    .take(length)
    .collect()
}

/// Bytes that do not compress at all.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

fn corrupt(coding: Coding, result: &Result<Vec<u8>, CodingError>) -> bool {
    matches!(result, Err(CodingError::Corrupt { coding: found, .. }) if *found == coding)
}

#[test]
fn every_coding_decodes_whatever_the_size_of_chunks_and_room() {
    use Format::{Brotli, Gzip, RawDeflate, Zlib, Zstd};
    let chains: [&[Format]; 9] = [
        &[Gzip],
        &[Zlib],
        &[RawDeflate],
        &[Brotli],
        &[Zstd],
        &[Gzip, Brotli],
        &[Zstd, Gzip],
        &[RawDeflate, RawDeflate],
        &[Brotli, Zlib, Zstd, Gzip],
    ];
    for body in [
        vec![],
        vec![b'p'],
        text(20_000),
        noise(5000),
        vec![0; 40_000],
    ] {
        for formats in chains {
            let encoded = encode(&body, formats);
            for chunk in [1, 7, 4096, encoded.len()] {
                for room in [1, 13, 4096, 65_536, usize::MAX] {
                    let decoded = decode(&known(formats), GENEROUS, encoded.chunks(chunk), room);
                    assert!(
                        decoded.as_ref() == Ok(&body),
                        "{formats:?} of {} bytes, {chunk} at a time into {room}: {:?}",
                        body.len(),
                        decoded.map(|decoded| decoded.len())
                    );
                }
            }
        }
    }
}

#[test]
fn bodies_of_other_encoders_decode() {
    const BODY: &[u8] = b"pins, pins and more pins";
    for (coding, encoded) in [
        // zlib, as Node has it
        (
            Coding::Gzip,
            &b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x2b\xc8\xcc\x2b\xd6\x51\x28\xc8\xcc\x2b\x56\x48\xcc\x4b\x51\xc8\xcd\x2f\x4a\x05\xf3\x00\x54\x1f\xf3\x50\x18\x00\x00\x00"[..],
        ),
        (
            Coding::Deflate,
            b"\x78\x9c\x2b\xc8\xcc\x2b\xd6\x51\x28\xc8\xcc\x2b\x56\x48\xcc\x4b\x51\xc8\xcd\x2f\x4a\x05\xf3\x00\x6c\x44\x08\xc1",
        ),
        (
            Coding::Deflate,
            b"\x2b\xc8\xcc\x2b\xd6\x51\x28\xc8\xcc\x2b\x56\x48\xcc\x4b\x51\xc8\xcd\x2f\x4a\x05\xf3\x00",
        ),
        // Google's brotli, as Node has it
        (
            Coding::Brotli,
            b"\x1b\x17\x00\xf8\x8d\xd4\x4e\xf9\xc3\x4e\x95\x69\x6e\x70\x09\xc2\x32\x57\x82\x08\x55\x0f\x10\xb4\xd7\x59\x5b\x0b",
        ),
        // the command zstd
        (
            Coding::Zstd,
            b"\x28\xb5\x2f\xfd\x04\x58\xc1\x00\x00pins, pins and more pins\xb5\x35\x05\x48",
        ),
    ] {
        let decoded = decode(&Codings::Known(vec![coding]), GENEROUS, [encoded], 64);
        assert_eq!(decoded.as_deref(), Ok(BODY), "{coding}");
    }
}

#[test]
fn a_large_body_decodes_in_order() {
    let body: Vec<u8> = [text(3 << 20), noise(1 << 20), text(3 << 20)].concat();
    for format in FORMATS {
        let encoded = format.encode(&body);
        let decoded = decode(&known(&[format]), GENEROUS, encoded.chunks(16_384), 65_536);
        assert!(decoded.as_ref() == Ok(&body), "{format:?}");
    }
}

#[test]
fn members_and_frames_in_a_row_are_one_body() {
    for format in [Format::Gzip, Format::Zstd] {
        let parts = [text(10_000), vec![], noise(500), vec![], text(3)];
        let encoded: Vec<u8> = parts.iter().flat_map(|part| format.encode(part)).collect();
        for chunk in [1, 10, encoded.len()] {
            for room in [1, 1000, usize::MAX] {
                let decoded = decode(&known(&[format]), GENEROUS, encoded.chunks(chunk), room);
                assert!(
                    decoded.as_ref() == Ok(&parts.concat()),
                    "{format:?}, {chunk} at a time into {room}"
                );
            }
        }
    }
}

#[test]
fn every_field_of_a_gzip_header_is_passed_over() {
    let mut writer = GzBuilder::new()
        .extra(&b"AB\x02\x00xy"[..])
        .filename("body.html")
        .comment("no comment")
        .mtime(1_700_000_000)
        .write(Vec::new(), Compression::best());
    writer.write_all(b"pinned").unwrap();
    let encoded = writer.finish().unwrap();
    for chunk in [1, 5, encoded.len()] {
        let decoded = decode(&known(&[Format::Gzip]), GENEROUS, encoded.chunks(chunk), 64);
        assert_eq!(decoded.as_deref(), Ok(&b"pinned"[..]));
    }
}

#[test]
fn a_skippable_frame_adds_nothing() {
    let skippable: &[u8] = b"\x5a\x2a\x4d\x18\x05\x00\x00\x00extra"; // RFC 8878 §3.1.2
    let frame = Format::Zstd.encode(b"pinned");
    for (encoded, body) in [
        ([skippable, &frame].concat(), &b"pinned"[..]),
        ([&frame, skippable].concat(), b"pinned"),
        (
            [&frame[..], skippable, skippable, &frame].concat(),
            b"pinnedpinned",
        ),
        (skippable.to_vec(), b""),
    ] {
        for chunk in [1, 3, encoded.len()] {
            let decoded = decode(&known(&[Format::Zstd]), GENEROUS, encoded.chunks(chunk), 64);
            assert_eq!(decoded.as_deref(), Ok(body), "{chunk} at a time");
        }
    }
}

#[test]
fn deflate_is_told_from_its_first_two_bytes() {
    for (first, second, zlib) in [
        (0x78, 0x01, true),
        (0x78, 0x5e, true),
        (0x78, 0x9c, true),
        (0x78, 0xda, true),
        (0x08, 0x1d, true),  // a window of 256 bytes
        (0x78, 0xbb, true),  // with a preset dictionary
        (0x88, 0x1c, false), // a window of 64 KiB, which there isn't
        (0x78, 0x9d, false), // 31 does not divide it
        (0x79, 0x9c, false), // another method
        (0x03, 0x00, false), // an empty bare stream
        (0x00, 0x05, false), // a stored block
        (0x2b, 0xc8, false),
    ] {
        assert_eq!(
            inflate::is_zlib(first, second),
            zlib,
            "{first:#04x} {second:#04x}"
        );
    }
    // stored blocks begin like nothing else: all encoders write zeros before their length
    let stored = b"\x01\x06\x00\xf9\xffpinned";
    assert_eq!(
        decode_whole(&[Format::RawDeflate], stored).as_deref(),
        Ok(&b"pinned"[..])
    );
}

#[test]
fn a_stream_that_asks_for_a_dictionary_is_corrupt() {
    let error = decode_whole(&[Format::Zlib], b"\x78\xbb\x01\x02\x03\x04\x03\x00").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the response body is not sound deflate: it asks for a preset dictionary"
    );
}

#[test]
fn a_body_of_no_bytes_is_whole() {
    for formats in [&[][..], &[Format::Gzip], &[Format::Zstd, Format::Brotli]] {
        assert_eq!(decode_whole(formats, b""), Ok(vec![]), "{formats:?}");
    }
    // but a coding that yields none for the next is not
    assert_eq!(
        decode_whole(&[Format::Gzip, Format::Brotli], &Format::Brotli.encode(b"")),
        Err(CodingError::Truncated {
            coding: Coding::Gzip
        })
    );
}

#[test]
fn a_body_that_is_cut_anywhere_is_an_error() {
    let body = text(300);
    let chains = FORMATS
        .iter()
        .map(|format| vec![*format])
        .chain([vec![Format::Gzip, Format::Zstd], vec![Format::Brotli; 3]]);
    for formats in chains {
        let encoded = encode(&body, &formats);
        for cut in 1..encoded.len() {
            for chunk in [1, cut] {
                let decoded = decode(&known(&formats), GENEROUS, encoded[..cut].chunks(chunk), 64);
                assert!(
                    matches!(decoded, Err(CodingError::Truncated { .. })),
                    "{formats:?} cut at {cut} of {}: {decoded:?}",
                    encoded.len()
                );
            }
        }
        assert_eq!(decode_whole(&formats, &encoded).as_ref(), Ok(&body)); // the control
    }
}

#[test]
fn the_coding_that_was_cut_is_named() {
    let body = text(300);
    let mut inner = Format::Gzip.encode(&body);
    inner.truncate(inner.len() - 4);
    for (formats, encoded, coding) in [
        (
            [Format::Gzip, Format::Brotli],
            Format::Brotli.encode(&inner),
            Coding::Gzip,
        ),
        (
            [Format::Brotli, Format::Zlib],
            {
                let mut encoded = encode(&body, &[Format::Brotli, Format::Zlib]);
                encoded.pop();
                encoded
            },
            Coding::Deflate,
        ),
    ] {
        assert_eq!(
            decode_whole(&formats, &encoded),
            Err(CodingError::Truncated { coding })
        );
    }
}

#[test]
fn bytes_after_the_end_are_an_error() {
    for format in FORMATS {
        let encoded = format.encode(b"pinned");
        let whole = decode_whole(&[format], &encoded);
        assert_eq!(whole.as_deref(), Ok(&b"pinned"[..])); // the control
        for extra in [&b"\0"[..], b"\0\0\0\0\0\0\0\0\0\0\0\0", b"x", b"</html>\n"] {
            let sent = [&encoded, extra].concat();
            for chunk in [1, encoded.len(), sent.len()] {
                let decoded = decode(&known(&[format]), GENEROUS, sent.chunks(chunk), 64);
                // A lone zero could begin no member either, but it takes two bytes to tell.
                assert!(
                    corrupt(format.coding(), &decoded)
                        || (format == Format::Gzip
                            && extra.len() == 1
                            && decoded
                                == Err(CodingError::Truncated {
                                    coding: Coding::Gzip
                                })),
                    "{format:?} and {extra:?}, {chunk} at a time: {decoded:?}"
                );
            }
        }
    }
}

#[test]
fn a_changed_bit_is_never_a_different_body_where_there_is_a_checksum() {
    let body = text(400);
    for format in FORMATS {
        let encoded = format.encode(&body);
        let mut refused = 0;
        for bit in 0..encoded.len() * 8 {
            let mut changed = encoded.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            match decode_whole(&[format], &changed) {
                Ok(decoded) => assert!(
                    decoded == body || !format.has_checksum(), // some bits say nothing of the body, such as a file's date
                    "{format:?}, bit {bit}"
                ),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > encoded.len(), "{format:?}: {refused} refused");
    }
}

#[test]
fn a_body_in_another_coding_than_it_says_is_corrupt() {
    let html = b"<!doctype html><title>plain</title>";
    for format in FORMATS {
        assert!(
            corrupt(format.coding(), &decode_whole(&[format], html)),
            "{format:?}"
        );
    }
}

#[test]
fn codings_that_are_none_or_unknown_pass_the_body_on_as_it_is() {
    let body = text(5000);
    for codings in [Codings::None, Codings::Unknown] {
        for chunk in [1, 999, 5000] {
            for room in [1, 100, usize::MAX] {
                let decoded = decode(&codings, GENEROUS, body.chunks(chunk), room);
                assert_eq!(decoded.as_ref(), Ok(&body), "{codings:?}");
            }
        }
        let limit = |bytes| Limits { bytes, ratio: 1 };
        assert_eq!(
            decode(&codings, limit(5000), [&body[..]], 100).as_ref(),
            Ok(&body)
        );
        assert_eq!(
            decode(&codings, limit(4999), [&body[..]], 100),
            Err(CodingError::TooLarge { limit: 4999 })
        );
    }
}

#[test]
fn more_codings_than_four_are_refused() {
    let mut formats = vec![Format::Gzip; MAX_CODINGS];
    let body = text(1000);
    assert_eq!(
        decode_whole(&formats, &encode(&body, &formats)).as_ref(),
        Ok(&body)
    );
    formats.push(Format::Gzip);
    let field = vec!["gzip"; formats.len()].join(", ");
    let codings = Codings::of([field.as_bytes()].into_iter());
    assert_eq!(
        Decoder::new(&codings, GENEROUS).err(),
        Some(CodingError::TooMany { limit: 4 })
    );
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    for format in FORMATS {
        for body in [text(1), text(50_000), text(3 << 20)] {
            let encoded = format.encode(&body);
            let size = body.len() as u64;
            for room in [999, usize::MAX] {
                for (bytes, fits) in [(size, true), (size - 1, false)] {
                    let limits = Limits {
                        bytes,
                        ratio: u32::MAX,
                    };
                    let mut decoder = decoder(&known(&[format]), limits);
                    let (mut input, mut out) = (Bytes::from(encoded.clone()), Vec::new());
                    let result = loop {
                        match decoder.decode(&mut input, &mut out, room) {
                            Ok(Progress::HasMore) => {}
                            result => break result,
                        }
                    };
                    if fits {
                        assert_eq!(result, Ok(Progress::Done), "{format:?}");
                        assert!(out == body);
                    } else {
                        assert_eq!(result, Err(CodingError::TooLarge { limit: bytes }));
                        assert_eq!(out.len() as u64, bytes, "{format:?}"); // nothing beyond the limit comes out
                    }
                }
            }
        }
    }
}

#[test]
fn a_body_may_expand_as_much_as_the_limit_and_no_more() {
    // 1,000 for one: beyond what text does, within what deflate can
    let encoded = Format::Gzip.encode(&vec![0; 8 << 20]);
    let ratio = u32::try_from((8 << 20) / encoded.len()).unwrap();
    for (ratio, fits) in [(ratio + 1, true), (ratio - 1, false)] {
        let limits = Limits {
            bytes: u64::MAX,
            ratio,
        };
        let decoded = decode(&known(&[Format::Gzip]), limits, [&encoded[..]], 65_536);
        if fits {
            assert_eq!(decoded.map(|body| body.len()), Ok(8 << 20));
        } else {
            assert_eq!(decoded, Err(CodingError::TooExpanded { ratio }));
        }
    }
    // a mebibyte is free, whatever its ratio
    let strict = Limits {
        bytes: u64::MAX,
        ratio: 1,
    };
    for (size, fits) in [(FREE, true), (FREE + 1, false)] {
        for format in FORMATS {
            let body = vec![0; usize::try_from(size).unwrap()];
            let decoded = decode(&known(&[format]), strict, [&format.encode(&body)[..]], 4096);
            assert_eq!(
                decoded.is_ok(),
                fits,
                "{format:?} of {size}: {:?}",
                decoded.err()
            );
        }
    }
}

/// Encoded bytes that stand for many gibibytes, as few as the format can do with.
fn bombs() -> Vec<(&'static str, Vec<Format>, Vec<u8>)> {
    use Format::{Brotli, Gzip, RawDeflate, Zstd};
    let zeros = vec![0; 1 << 20];
    let gzip = Gzip.encode(&zeros).repeat(1024); // 1 GiB
    let zstd = Zstd.encode(&zeros).repeat(65_536); // 64 GiB
    let deep = [Gzip, Gzip, Gzip];
    vec![
        ("gzip", vec![Gzip], gzip.clone()),
        ("gzip of gzip", vec![Gzip; 2], Gzip.encode(&gzip)),
        (
            "gzip four deep",
            vec![Gzip; 4],
            encode(&Gzip.encode(&zeros).repeat(65_536), &deep),
        ),
        (
            "bare deflate",
            vec![RawDeflate],
            RawDeflate.encode(&vec![0; 64 << 20]),
        ),
        ("zstd", vec![Zstd], zstd.clone()),
        ("br", vec![Brotli], brotli(&vec![0; 64 << 20], 24, false)),
        ("zstd in br", vec![Zstd, Brotli], Brotli.encode(&zstd)),
        // these decode to nothing at all, at length
        (
            "empty members in br",
            vec![Gzip, Brotli],
            Brotli.encode(&Gzip.encode(b"").repeat(1 << 20)),
        ),
        (
            "empty frames in gzip",
            vec![Zstd, Gzip],
            Gzip.encode(&Zstd.encode(b"").repeat(1 << 20)),
        ),
    ]
}

#[test]
fn a_bomb_is_stopped_at_the_expansion_limit_with_little_memory() {
    const ROOM: usize = 16 << 10;
    let limits = Limits {
        bytes: u64::MAX,
        ratio: 100,
    };
    for (name, formats, bomb) in bombs() {
        let mut decoder = decoder(&known(&formats), limits);
        let mut out = Vec::with_capacity(ROOM);
        let (mut sent, mut yielded) = (0, 0);
        let failure = 'sent: loop {
            let chunk = bomb.get(sent..).unwrap().chunks(ROOM).next();
            let mut input = Bytes::copy_from_slice(chunk.expect("it is stopped before its end"));
            sent += input.len();
            loop {
                out.clear();
                let result = decoder.decode(&mut input, &mut out, ROOM);
                assert!(out.capacity() <= ROOM, "{name}: {}", out.capacity());
                yielded += out.len();
                match result {
                    Ok(Progress::HasMore) => {}
                    Ok(_) => break,
                    Err(failure) => break 'sent failure,
                }
            }
        };
        assert_eq!(failure, CodingError::TooExpanded { ratio: 100 }, "{name}");
        assert!(sent <= 3 * ROOM, "{name}: after {sent} bytes");
        let allowed = (sent * 100).max(usize::try_from(FREE).unwrap());
        assert!(yielded <= allowed, "{name}: {yielded} of {allowed}");
    }
}

#[test]
fn a_bomb_is_stopped_at_the_size_limit_too() {
    let limits = Limits {
        bytes: 10 << 20,
        ratio: u32::MAX,
    };
    for (name, formats, bomb) in bombs() {
        if name.starts_with("empty") {
            continue; // they are never large
        }
        assert_eq!(
            decode(&known(&formats), limits, [&bomb[..]], 65_536),
            Err(CodingError::TooLarge { limit: 10 << 20 }),
            "{name}"
        );
    }
}

#[test]
fn a_zstd_window_of_8_mib_is_the_largest_however_the_frame_is_cut() {
    for with_length in [false, true] {
        for (window_log, body, fits) in [
            (23, text(100), true),
            (23, vec![0; 9 << 20], true),
            (24, vec![0; 17 << 20], false),
        ] {
            let frame = zstd_with(&body, window_log, with_length);
            for chunk in [1, frame.len()] {
                for room in [4096, usize::MAX] {
                    let decoded =
                        decode(&known(&[Format::Zstd]), GENEROUS, frame.chunks(chunk), room);
                    let name = format!(
                        "2^{window_log}, {chunk} at a time into {room}: {:?}",
                        decoded.as_ref().err()
                    );
                    if fits {
                        assert!(decoded.as_ref() == Ok(&body), "{name}");
                    } else {
                        assert!(corrupt(Coding::Zstd, &decoded), "{name}");
                    }
                }
            }
        }
    }
    // A frame whose header asks for 128 MiB, and whose body is a single byte that would fit into any room: magic number,
    // descriptor (with a content size of two bytes: 256 + 0), window, size, and one RLE block of 256 bytes.
    let frame = b"\x28\xb5\x2f\xfd\x40\x88\x00\x00\x03\x08\x00x";
    let small = b"\x28\xb5\x2f\xfd\x40\x68\x00\x00\x03\x08\x00x"; // the control: the same with 8 MiB
    for chunk in [1, 12] {
        let decoded =
            |frame: &[u8]| decode(&known(&[Format::Zstd]), GENEROUS, frame.chunks(chunk), 4096);
        assert!(
            corrupt(Coding::Zstd, &decoded(frame)),
            "{:?}",
            decoded(frame)
        );
        assert_eq!(decoded(small), Ok(vec![b'x'; 256]));
    }
}

#[test]
fn a_brotli_window_beyond_the_rfc_is_corrupt() {
    let body = text(1000);
    assert_eq!(
        decode_whole(&[Format::Brotli], &brotli(&body, 24, false)).as_ref(),
        Ok(&body)
    );
    assert!(corrupt(
        Coding::Brotli,
        &decode_whole(&[Format::Brotli], &brotli(&body, 28, true))
    ));
}

#[test]
fn progress_tells_what_to_do_next() {
    let encoded = Format::Gzip.encode(b"pinned");
    let (start, rest) = encoded.split_at(5);
    let mut out = Vec::new();
    let mut decoder = decoder(&known(&[Format::Gzip]), GENEROUS);
    let mut input = Bytes::new();
    for (more, room, progress, length) in [
        (&b""[..], 9, Progress::NeedsInput, 0),
        (start, 0, Progress::HasMore, 0),
        (b"", 9, Progress::NeedsInput, 0),
        (rest, 4, Progress::HasMore, 4),
        (b"", 4, Progress::Done, 6),
    ] {
        input = [&input, more].concat().into();
        assert_eq!(decoder.decode(&mut input, &mut out, room), Ok(progress));
        assert_eq!(out.len(), length);
    }
    // the end of a member is not the end of the body
    let mut another = Bytes::from(Format::Gzip.encode(b", pinned"));
    let mut start = another.split_to(5);
    assert_eq!(
        decoder.decode(&mut start, &mut out, 99),
        Ok(Progress::NeedsInput)
    );
    assert_eq!(
        decoder.decode(&mut another, &mut out, 99),
        Ok(Progress::Done)
    );
    for _ in 0..50 {
        assert_eq!(
            decoder.decode(&mut Bytes::new(), &mut out, 99),
            Ok(Progress::Done)
        ); // as often as one likes
    }
    assert_eq!(decoder.finish(), Ok(()));
    assert_eq!(out, b"pinned, pinned");
}

#[test]
fn asking_again_without_input_changes_nothing() {
    for format in FORMATS {
        let encoded = format.encode(&text(1000));
        let mut decoder = decoder(&known(&[format]), GENEROUS);
        let mut out = Vec::new();
        for byte in encoded.chunks(1) {
            for mut input in [Bytes::copy_from_slice(byte), Bytes::new(), Bytes::new()] {
                decoder.decode(&mut input, &mut out, 2000).unwrap();
            }
        }
        for _ in 0..100 {
            let progress = decoder.decode(&mut Bytes::new(), &mut out, 2000);
            assert_eq!(progress, Ok(Progress::Done), "{format:?}");
        }
        assert_eq!(out, text(1000));
    }
}

#[test]
fn a_finish_before_all_was_taken_is_an_error() {
    for formats in [&[Format::Zstd][..], &[Format::Gzip, Format::Brotli]] {
        let mut input = Bytes::from(encode(&text(1000), formats));
        let mut decoder = decoder(&known(formats), GENEROUS);
        let progress = decoder.decode(&mut input, &mut Vec::new(), 999);
        assert_eq!(progress, Ok(Progress::HasMore));
        assert_eq!(
            decoder.finish(),
            Err(CodingError::Truncated {
                coding: formats[0].coding()
            })
        );
    }
}

#[test]
fn what_is_asked_for_is_what_is_read() {
    let asked = ACCEPT_ENCODING.as_bytes();
    assert_eq!(asked, b"gzip, deflate, br, zstd");
    assert_eq!(
        Codings::of([asked].into_iter()),
        Codings::Known(vec![
            Coding::Gzip,
            Coding::Deflate,
            Coding::Brotli,
            Coding::Zstd
        ])
    );
}

#[test]
fn an_error_tells_its_story() {
    for (error, text) in [
        (
            CodingError::Corrupt {
                coding: Coding::Brotli,
                reason: "format padding 1".into(),
            },
            "the response body is not sound br: format padding 1",
        ),
        (
            CodingError::Truncated {
                coding: Coding::Gzip,
            },
            "the response body ends before its gzip stream does",
        ),
        (
            CodingError::TooLarge { limit: 10 },
            "the decoded response body is larger than 10 bytes",
        ),
        (
            CodingError::TooExpanded { ratio: 100 },
            "the response body expands to more than 100 times its size",
        ),
        (
            CodingError::TooMany { limit: 4 },
            "the response body has more than 4 content codings",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_decoder_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Decoder>();
}

/// `bytes` cut at `cuts`.
fn split<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut start = 0;
    cuts.into_iter()
        .map(|cut| &bytes[std::mem::replace(&mut start, cut)..cut])
        .collect()
}

fn formats() -> impl Strategy<Value = Vec<Format>> {
    prop::collection::vec(prop::sample::select(&FORMATS[..]), 1..=MAX_CODINGS)
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3000),
        // runs, near and far
        prop::collection::vec((any::<u8>(), 1..4000_usize), 0..40).prop_map(|runs| {
            runs.into_iter()
                .flat_map(|(byte, length)| std::iter::repeat_n(byte, length))
                .collect()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn codings_round_trip_however_they_are_cut(
        body in body(),
        formats in formats(),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
        room in 1..5000_usize,
    ) {
        let encoded = encode(&body, &formats);
        let decoded = decode(&known(&formats), GENEROUS, split(&encoded, &cuts), room);
        prop_assert_eq!(decoded, Ok(body));
    }

    #[test]
    fn a_damaged_body_gives_one_answer_however_it_is_cut(
        body in body(),
        formats in formats(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
        room in 1..5000_usize,
    ) {
        let mut encoded = encode(&body, &formats);
        for (place, byte) in damage {
            let place = place.index(encoded.len());
            encoded[place] = byte;
        }
        let limits = Limits { bytes: 8 << 20, ratio: u32::MAX };
        let whole = decode(&known(&formats), limits, [&encoded[..]], usize::MAX);
        let in_pieces = decode(&known(&formats), limits, split(&encoded, &cuts), room);
        prop_assert_eq!(whole.is_ok(), in_pieces.is_ok(), "{:?}, {:?}", whole, in_pieces);
        if let (Ok(whole), Ok(in_pieces)) = (whole, in_pieces) {
            prop_assert_eq!(whole, in_pieces);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        prefix in prop::sample::select(vec![
            &b""[..],
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
            b"\x78\x9c",
            b"\x1b\x17",
            b"\x28\xb5\x2f\xfd",
            b"\x28\xb5\x2f\xfd\x00\x58",
        ]),
        formats in formats(),
        cuts in prop::collection::vec(any::<Index>(), 0..9),
        room in 1..5000_usize,
    ) {
        let limits = Limits { bytes: 1 << 20, ratio: 1000 };
        let encoded = [prefix, &bytes].concat();
        if let Ok(decoded) = decode(&known(&formats), limits, split(&encoded, &cuts), room) {
            prop_assert!(decoded.len() <= 1 << 20);
        }
    }

    #[test]
    fn any_field_value_is_read(values in prop::collection::vec("[ \t,a-zGZIP-]{0,20}", 0..4)) {
        let codings = Codings::of(values.iter().map(String::as_bytes));
        if let Codings::Known(known) = &codings {
            prop_assert!((1..=MAX_CODINGS).contains(&known.len()));
        }
        let joined = values.join(","); // several fields are one list
        prop_assert_eq!(Codings::of([joined.as_bytes()].into_iter()), codings);
    }
}
