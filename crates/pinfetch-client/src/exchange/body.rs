//! A response's body: a piece at a time, or whole within its limit.

use bytes::Bytes;

use super::fields::Fields;
use super::{Fault, http1, http2};

/// The body of a response that has begun. Dropped before its end, it gives the connection or stream up.
pub(crate) enum Body {
    /// All of it came with the header section; its connection serves others already.
    Whole(Bytes),
    Http1(Box<http1::Body>),
    Http2(Box<http2::Body>),
}

pub(crate) enum BodyError {
    TooLarge,
    Broken(Fault),
}

impl Body {
    /// How many bytes are still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Http1(body) => body.left(),
            Self::Http2(body) => body.left(),
        }
    }

    /// Reads on; none at the body's end, and never nothing.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => Ok(None),
            Self::Whole(bytes) => Ok(Some(std::mem::take(bytes))),
            Self::Http1(body) => body.data().await,
            Self::Http2(body) => body.data().await,
        }
    }

    /// Appends some of the body to `out`, hardly more than `room` bytes; whether the body has ended.
    ///
    /// A future dropped while it waits has taken nothing.
    pub(crate) async fn read(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, Fault> {
        match self {
            Self::Http1(body) => body.read(out, room).await,
            Self::Http2(body) => body.read(out, room).await,
            Self::Whole(_) => match self.data().await? {
                Some(data) => {
                    out.extend_from_slice(&data);
                    Ok(false)
                }
                None => Ok(true),
            },
        }
    }

    /// The trailer section (RFC 9110 §6.5), once the body has ended.
    pub(crate) fn trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Whole(_) => None,
            Self::Http1(body) => body.trailers(),
            Self::Http2(body) => body.trailers(),
        }
    }

    /// The whole body, of at most `limit` bytes: so many as may be set aside at once.
    pub(crate) async fn collect(&mut self, limit: u64) -> Result<Bytes, BodyError> {
        let left = self.left();
        if left.is_some_and(|left| left > limit) {
            return Err(BodyError::TooLarge);
        }
        match (&mut *self, left) {
            (Self::Whole(bytes), _) => return Ok(std::mem::take(bytes)),
            (Self::Http1(body), Some(left)) => {
                return body.whole(left).await.map_err(BodyError::Broken);
            }
            _ => {}
        }
        let Some(first) = self.next(0, limit).await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.next(first.len(), limit).await? else {
            return Ok(first); // one piece: no copy
        };
        let mut whole = [first, second].concat();
        while let Some(bytes) = self.next(whole.len(), limit).await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.into())
    }

    async fn next(&mut self, received: usize, limit: u64) -> Result<Option<Bytes>, BodyError> {
        let data = self.data().await.map_err(BodyError::Broken)?;
        match &data {
            Some(data) if (received + data.len()) as u64 > limit => Err(BodyError::TooLarge),
            _ => Ok(data),
        }
    }
}
