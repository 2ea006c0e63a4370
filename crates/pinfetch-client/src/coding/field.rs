//! The Content-Encoding field: which codings were applied to a body, in which order (RFC 9110 §8.4).

use std::fmt;

/// A content coding that is undone here (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Coding {
    /// `gzip`, or `x-gzip`, which is to be taken for the same (RFC 9110 §8.4.1.3): RFC 1952.
    Gzip,
    /// `deflate`: the zlib format (RFC 9110 §8.4.1.2), or the bare stream inside it, as many servers send.
    Deflate,
    /// `br`: RFC 7932.
    Brotli,
    /// `zstd`: RFC 8878, with the window of RFC 9659.
    Zstd,
}

impl fmt::Display for Coding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        })
    }
}

/// What the Content-Encoding of a response says of its body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Codings {
    /// No coding; `identity`, which a server should not say (RFC 9110 §8.4), counts as none.
    None,
    /// Codings that can all be undone, at least one and at most [`MAX_CODINGS`], in the order in which they were applied.
    Known(Vec<Coding>),
    /// One of the codings is unknown. The body is left exactly as it is, the known ones of its codings too: this is
    /// what the fetch standard's "handle content codings" does.
    Unknown,
    /// More than [`MAX_CODINGS`], all known: each costs a window and a pass, and nobody needs a third.
    TooMany,
}

impl Codings {
    /// Reads the values of all Content-Encoding fields of a response, in their order.
    ///
    /// Several fields are one list (RFC 9110 §5.3); names have no case (§8.4.1); there may be spaces and tabs around
    /// a name, and empty elements between commas (§5.6.1.2).
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut known = Vec::new();
        let mut too_many = false;
        for name in values.flat_map(|value| value.split(|&byte| byte == b',')) {
            let name = without_whitespace(name);
            if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            let Some(&(_, coding)) = NAMES
                .iter()
                .find(|(known, _)| name.eq_ignore_ascii_case(known))
            else {
                return Self::Unknown;
            };
            if known.len() < MAX_CODINGS {
                known.push(coding);
            } else {
                too_many = true;
            }
        }
        match known.is_empty() {
            _ if too_many => Self::TooMany,
            true => Self::None,
            false => Self::Known(known),
        }
    }

    /// Whether the body has to go through a [`Decoder`](super::Decoder); otherwise it is what was received.
    pub(crate) fn is_applied(&self) -> bool {
        match self {
            Self::None | Self::Unknown => false,
            Self::Known(_) | Self::TooMany => true,
        }
    }
}

/// `value` without the optional whitespace around it (RFC 9110 §5.6.3).
fn without_whitespace(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// How many codings of one body are undone.
pub(crate) const MAX_CODINGS: usize = 4;

const NAMES: [(&[u8], Coding); 5] = [
    (b"gzip", Coding::Gzip),
    (b"br", Coding::Brotli),
    (b"deflate", Coding::Deflate),
    (b"zstd", Coding::Zstd),
    (b"x-gzip", Coding::Gzip),
];

#[cfg(test)]
mod tests {
    use super::Coding::{Brotli, Deflate, Gzip, Zstd};
    use super::*;

    #[test]
    fn a_content_encoding_is_read_in_every_spelling() {
        use Codings::{Known, None, TooMany, Unknown};
        for (values, codings) in [
            (&[] as &[&str], None),
            (&[""], None),
            (&[" ,\t, "], None),
            (&["identity"], None),
            (&["Identity", "IDENTITY"], None),
            (&["gzip"], Known(vec![Gzip])),
            (&["x-gzip"], Known(vec![Gzip])),
            (&["X-GZip"], Known(vec![Gzip])),
            (&["GZIP"], Known(vec![Gzip])),
            (&["deflate"], Known(vec![Deflate])),
            (&["br"], Known(vec![Brotli])),
            (&["Zstd"], Known(vec![Zstd])),
            (&["\t gzip \t"], Known(vec![Gzip])),
            (&["gzip,br"], Known(vec![Gzip, Brotli])),
            (&["gzip , \tbr"], Known(vec![Gzip, Brotli])),
            (&[",gzip,,br,"], Known(vec![Gzip, Brotli])),
            (&["gzip", "br"], Known(vec![Gzip, Brotli])), // several fields are one list
            (&["gzip, identity"], Known(vec![Gzip])),
            (
                &["gzip, gzip, gzip", "gzip"],
                Known(vec![Gzip, Gzip, Gzip, Gzip]),
            ),
            (&["gzip, gzip, gzip, gzip, gzip"], TooMany),
            (&["gzip, gzip, gzip, gzip, gzip, identity"], TooMany),
            (&["gzip, gzip, gzip, gzip, gzip, compress"], Unknown), // left as it is, so not worth an error
            (&["compress"], Unknown),
            (&["x-compress"], Unknown),
            (&["none"], Unknown),
            (&["utf-8"], Unknown),
            (&["gzip, aes128gcm"], Unknown),
            (&["dcb"], Unknown),
            (&["gzip;q=1"], Unknown), // no parameters in this field
            (&["\"gzip\""], Unknown),
            (&["gzip br"], Unknown),
            (&["gz\0ip"], Unknown),
            (&["\u{a0}gzip"], Unknown), // other spaces are none
        ] {
            assert_eq!(
                Codings::of(values.iter().map(|value| value.as_bytes())),
                codings,
                "{values:?}"
            );
        }
    }

    #[test]
    fn only_codings_that_are_undone_take_a_decoder() {
        for (codings, applied) in [
            (Codings::None, false),
            (Codings::Unknown, false),
            (Codings::Known(vec![Gzip]), true),
            (Codings::TooMany, true),
        ] {
            assert_eq!(codings.is_applied(), applied, "{codings:?}");
        }
    }
}
