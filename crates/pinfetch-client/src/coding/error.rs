//! What can be wrong with an encoded body.

use std::sync::Arc;

use super::field::Coding;

/// Why a body could not be decoded. The peer's fault each time; the limits are the caller's.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodingError {
    /// The body breaks the rules of its coding, or goes on after its end.
    #[error("the response body is not sound {coding}: {reason}")]
    Corrupt {
        /// The coding whose rules are broken.
        coding: Coding,
        /// The decompressor's words, for people; never any of the body.
        reason: Arc<str>,
    },
    /// The body ended before its coding did.
    #[error("the response body ends before its {coding} stream does")]
    Truncated {
        /// The coding that has no end.
        coding: Coding,
    },
    /// The decoded body is larger than the limit.
    #[error("the decoded response body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in force, in bytes.
        limit: u64,
    },
    /// The body grows too much in decoding.
    #[error("the response body expands to more than {ratio} times its size")]
    TooExpanded {
        /// The limit in force: decoded bytes for an encoded one.
        ratio: u32,
    },
    /// The body has more codings than anybody applies in good faith.
    #[error("the response body has more than {limit} content codings")]
    TooMany {
        /// How many are undone at most.
        limit: usize,
    },
}
