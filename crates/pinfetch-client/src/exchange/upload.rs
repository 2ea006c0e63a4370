//! Request bodies that come a piece at a time.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

/// What a request carries.
#[derive(Debug)]
pub enum RequestBody {
    /// Bytes that are there, and can be sent again.
    Bytes(Bytes),
    /// Bytes that come while they are sent, once: where they would have to be sent again, the request fails.
    Stream(Upload),
}

impl RequestBody {
    /// Whether it is known to have no bytes.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Stream(upload) => upload.length == Some(0),
        }
    }

    /// The stream, of a body that was not sent.
    pub(crate) fn into_upload(self) -> Option<Upload> {
        match self {
            Self::Bytes(_) => None,
            Self::Stream(upload) => Some(upload),
        }
    }
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// A request body that comes a piece at a time.
pub struct Upload {
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, UploadError>> + Send>>,
    length: Option<u64>,
    sent: u64,
}

/// Why a request body could not be sent to its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// Its source failed.
    #[error("its source failed: {0}")]
    Source(Arc<str>),
    /// It has another length than was promised.
    #[error("it has {} {promised} bytes, its promised length", if *.is_longer { "more than" } else { "fewer than" })]
    Length {
        /// The length that was promised, in bytes.
        promised: u64,
        /// Whether there were more.
        is_longer: bool,
    },
}

impl Upload {
    /// A body of `pieces`. With a `length` in bytes, that is promised to the server, and a stream of any other length is
    /// an error; without one, HTTP/1.1 sends it in chunks (RFC 9112 §7.1).
    pub fn new(
        pieces: impl Stream<Item = Result<Bytes, UploadError>> + Send + 'static,
        length: Option<u64>,
    ) -> Self {
        Self {
            pieces: Box::pin(pieces),
            length,
            sent: 0,
        }
    }

    /// The length that was promised, in bytes.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece, which is not empty; none after the last.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UploadError>>> {
        loop {
            let piece = match ready!(self.pieces.as_mut().poll_next(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(self.missing().map(Err)),
            };
            if piece.is_empty() {
                continue;
            }
            self.sent += piece.len() as u64;
            return Poll::Ready(Some(match self.length {
                Some(promised) if self.sent > promised => Err(UploadError::Length {
                    promised,
                    is_longer: true,
                }),
                _ => Ok(piece),
            }));
        }
    }

    fn missing(&self) -> Option<UploadError> {
        let promised = self.length.filter(|length| self.sent < *length)?;
        Some(UploadError::Length {
            promised,
            is_longer: false,
        })
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("length", &self.length)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// A request's body between attempts to send it.
pub(crate) enum Payload {
    Bytes(Bytes),
    Upload(Mutex<Option<Upload>>),
}

impl Payload {
    /// The body, to be sent: a stream only if it was not taken before.
    pub(crate) fn take(&self) -> Option<RequestBody> {
        match self {
            Self::Bytes(bytes) => Some(RequestBody::Bytes(bytes.clone())),
            Self::Upload(slot) => {
                let upload = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                upload.map(RequestBody::Stream)
            }
        }
    }

    /// The body is here again: nothing of it was sent.
    pub(crate) fn put_back(&self, upload: Upload) {
        if let Self::Upload(slot) = self {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(upload);
        }
    }

    /// Whether the body is there to be sent.
    pub(crate) fn is_there(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::Upload(slot) => slot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some(),
        }
    }

    /// The length in bytes, where it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Upload(slot) => slot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .as_ref()
                .and_then(Upload::length),
        }
    }
}

impl From<RequestBody> for Payload {
    fn from(body: RequestBody) -> Self {
        match body {
            RequestBody::Bytes(bytes) => Self::Bytes(bytes),
            RequestBody::Stream(upload) => Self::Upload(Mutex::new(Some(upload))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures_util::stream;

    use super::*;

    /// What `pieces` become under a promised `length`: the pieces that go out, and why it ends early.
    fn sent(pieces: &[&'static str], length: Option<u64>) -> (Vec<Bytes>, Option<String>) {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
            .collect();
        let mut upload = Upload::new(stream::iter(pieces), length);
        let mut cx = Context::from_waker(Waker::noop());
        let mut sent = Vec::new();
        loop {
            match upload.poll_piece(&mut cx) {
                Poll::Ready(Some(Ok(piece))) => sent.push(piece),
                Poll::Ready(Some(Err(error))) => return (sent, Some(error.to_string())),
                Poll::Ready(None) => return (sent, None),
                Poll::Pending => panic!("a stream that is there never waits"),
            }
        }
    }

    #[test]
    fn a_promised_length_is_kept_or_an_error() {
        let fewer = Some("it has fewer than 4 bytes, its promised length".to_owned());
        let more = Some("it has more than 4 bytes, its promised length".to_owned());
        for (pieces, length, count, error) in [
            (&["ab", "cd"][..], Some(4), 2, None),
            (&["ab", "", "cd", ""], Some(4), 2, None),
            (&["ab", "cd"], None, 2, None),
            (&[], None, 0, None),
            (&[], Some(0), 0, None),
            (&["ab", "c"], Some(4), 2, fewer.clone()),
            (&[], Some(4), 0, fewer),
            (&["ab", "cde"], Some(4), 1, more),
        ] {
            let (sent, why) = sent(pieces, length);
            assert_eq!((sent.len(), why), (count, error), "{pieces:?} {length:?}");
        }
    }
}
