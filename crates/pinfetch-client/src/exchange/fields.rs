//! Header fields: a request's as the caller gave them, a response's as the connection did.

use bytes::Bytes;
use http::header::{InvalidHeaderName, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A header field of a request. HTTP/1.1 sends its name as it was spelt, HTTP/2 in lower case (RFC 9113 §8.2.1).
#[derive(Clone, Debug)]
pub struct Field {
    name: HeaderName,
    /// The name as it was given, where that is not in lower case.
    spelling: Option<Box<[u8]>>,
    value: HeaderValue,
}

/// Why a field cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// The name is not a token (RFC 9110 §5.1).
    #[error("a header name is not a token (RFC 9110 §5.1)")]
    Name(#[source] InvalidHeaderName),
    /// The value has a character that no field may hold (RFC 9110 §5.5).
    #[error(
        "the value of the header {name} has a character that no field may hold (RFC 9110 §5.5)"
    )]
    Value {
        /// Whose value.
        name: HeaderName,
        /// What http says.
        source: InvalidHeaderValue,
    },
}

impl Field {
    /// A field of `name`, in any spelling, and `value`.
    ///
    /// # Errors
    /// [`FieldError`] for what RFC 9110 §5 does not allow; it never holds the value, nor a name that is none.
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self, FieldError> {
        let canonical = HeaderName::from_bytes(name).map_err(FieldError::Name)?;
        let value = match HeaderValue::from_bytes(value) {
            Ok(value) => value,
            Err(source) => {
                return Err(FieldError::Value {
                    name: canonical,
                    source,
                });
            }
        };
        let is_as_spelt = canonical.as_str().as_bytes() == name;
        Ok(Self {
            name: canonical,
            spelling: (!is_as_spelt).then(|| name.into()),
            value,
        })
    }

    /// A field whose parts are known to be well-formed.
    pub(crate) fn of(name: HeaderName, value: HeaderValue) -> Self {
        Self {
            name,
            spelling: None,
            value,
        }
    }

    /// The name.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }

    /// Writes the field line for HTTP/1.1 (RFC 9112 §5).
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let spelling = self.spelling.as_deref();
        write_line(
            out,
            spelling.unwrap_or(self.name.as_str().as_bytes()),
            self.value.as_bytes(),
        );
    }
}

/// Writes a field line (RFC 9112 §5).
pub(crate) fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `fields` as HTTP/2 takes them.
pub(crate) fn to_map(fields: &[Field]) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        map.append(field.name.clone(), field.value.clone());
    }
    map
}

/// The header fields of a response, in the order in which they came; over HTTP/2 repeats stand beside the first of their
/// name. Nothing is copied from what was read.
#[derive(Clone, Debug)]
pub struct Fields(Repr);

#[derive(Clone, Debug)]
enum Repr {
    /// Boxed: a response is moved more often than its fields are looked at.
    Map(Box<HeaderMap>),
    Lines {
        block: Bytes,
        lines: Vec<Line>,
    },
}

/// Where a field line's name and value stand in the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// A part of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    /// Where `part` stands in `block`, of which it is a slice; header sections are bounded far below 4 GiB.
    pub(crate) fn of(part: &[u8], block: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(block.as_ptr().addr());
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            length: u32::try_from(part.len()).unwrap_or(u32::MAX),
        }
    }

    pub(crate) fn within(self, block: &[u8]) -> &[u8] {
        let start = self.start as usize;
        block
            .get(start..start.saturating_add(self.length as usize))
            .unwrap_or_default()
    }
}

impl Fields {
    pub(crate) fn of_lines(block: Bytes, lines: Vec<Line>) -> Self {
        Self(Repr::Lines { block, lines })
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Map(map) => map.len(),
            Repr::Lines { lines, .. } => lines.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names, in the spelling in which they came, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (map, rest) = match &self.0 {
            Repr::Map(map) => (Some(map), None),
            Repr::Lines { block, lines } => (None, Some((block, lines))),
        };
        let of_map = map.into_iter().flat_map(|map| map.iter());
        let of_lines = rest
            .into_iter()
            .flat_map(|(block, lines)| lines.iter().map(move |line| (block, line)));
        of_map
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
            .chain(
                of_lines.map(|(block, line)| (line.name.within(block), line.value.within(block))),
            )
    }

    /// Every value of `name`, without regard to case.
    pub fn get_all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f [u8]> {
        self.iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The first value of `name`, without regard to case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        Self(Repr::Map(Box::new(map)))
    }
}
