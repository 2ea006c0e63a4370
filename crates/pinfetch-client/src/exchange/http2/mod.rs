//! HTTP/2 (RFC 9113) on one stream of a connection.
//!
//! The task of a request opens its stream, writes into it and reads from it; the connection's own task
//! (`gate/streams.rs`) moves the bytes of all streams. Nothing stands between the two but h2 (docs/decisions/007).

pub(crate) mod connection;
pub(crate) mod keep_alive;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Response};

use super::body::Body as AnyBody;
use super::fields::Fields;
use super::http1::Malformed;
use super::interim::{MOST_INTERIM, OnInterim};
use super::upload::{RequestBody, Upload};
use super::{Fault, Head, NoResponse};
use crate::config::HeaderLimits;
use crate::gate::Http2Lease;

/// What RFC 9113 §6.5.2 adds to a field's name and value.
const FIELD_OVERHEAD: usize = 32;
/// What `:status` counts for: its name, its three digits and the overhead.
const STATUS_SIZE: usize = 7 + 3 + FIELD_OVERHEAD;

/// Opens a stream of `lease`'s connection for a request of `head` and `body`; gives the response's header section, and
/// its body, to be read.
pub(crate) async fn exchange(
    mut lease: Http2Lease,
    head: http::Request<()>,
    body: Option<RequestBody>,
    on_interim: Option<&OnInterim>,
) -> Result<(Head, AnyBody), NoResponse> {
    let body = body.filter(|body| !body.is_empty());
    let is_head_request = *head.method() == Method::HEAD;
    let limits = lease.header_limits();
    let (response, stream) = match lease.begin(head, body.is_none()) {
        Ok(begun) => begun,
        Err(error) => {
            return Err(NoResponse {
                fault: Fault::Http2(error),
                is_unsent: true,
                upload: body.and_then(RequestBody::into_upload),
            });
        }
    };
    let mut sending = body.and_then(|body| Sending::begin(stream, body));
    let mut receiving = Receiving {
        response,
        on_interim,
        limits,
        interim: 0,
    };
    let outcome = poll_fn(|cx| {
        Sending::poll_some(&mut sending, cx)?;
        receiving.poll(cx)
    })
    .await;
    lease.hear(outcome.is_ok());
    match outcome {
        Ok(response) => {
            let (head, incoming) = response.into_parts();
            // what Content-Length says in answer to HEAD is no length of this body (RFC 9110 §8.6)
            let length = head.headers.get(CONTENT_LENGTH);
            let length = length.filter(|_| !is_head_request);
            let body = Body::new(incoming, length, sending, lease);
            let head = Head {
                status: head.status,
                version: head.version,
                reason: None, // RFC 9113 §8.3.1: there is none
                fields: head.headers.into(),
            };
            Ok((head, AnyBody::Http2(Box::new(body))))
        }
        Err(fault) => Err(NoResponse {
            is_unsent: is_unprocessed(&fault),
            fault,
            upload: sending.and_then(|sending| Sending::into_untouched(*sending)),
        }),
    }
}

/// A request's body on its way.
struct Sending {
    stream: SendStream<Bytes>,
    upload: Upload,
    has_begun: bool,
}

impl Sending {
    /// Hands over what is there; gives what is still to come.
    fn begin(mut stream: SendStream<Bytes>, body: RequestBody) -> Option<Box<Self>> {
        match body {
            RequestBody::Bytes(bytes) => {
                // h2 keeps them until the windows let them go. If the stream is gone already, its response says why.
                let _ = stream.send_data(bytes, true);
                None
            }
            RequestBody::Stream(upload) => Some(Box::new(Self {
                stream,
                upload,
                has_begun: false,
            })),
        }
    }

    /// Sends on, if there is something to send. The body's own failure ends the exchange; that the server takes no more
    /// ends the sending alone.
    fn poll_some(sending: &mut Option<Box<Self>>, cx: &mut Context<'_>) -> Result<(), Fault> {
        if let Some(some) = sending
            && some.poll(cx)?.is_ready()
        {
            *sending = None;
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Fault> {
        loop {
            if self.stream.capacity() == 0 {
                self.stream.reserve_capacity(1);
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    // the server takes no more; a body of which nothing was taken is kept for another attempt
                    Poll::Ready(_) if self.has_begun => return Ok(Poll::Ready(())),
                    Poll::Ready(_) | Poll::Pending => return Ok(Poll::Pending),
                }
            }
            self.has_begun = true;
            let sent = match self.upload.poll_piece(cx) {
                Poll::Ready(Some(Ok(piece))) => self.stream.send_data(piece, false),
                Poll::Ready(Some(Err(error))) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Err(Fault::Upload(error));
                }
                Poll::Ready(None) => {
                    let _ = self.stream.send_data(Bytes::new(), true); // as above
                    return Ok(Poll::Ready(()));
                }
                Poll::Pending => {
                    // what the server says of the stream meanwhile wakes the response's side
                    return Ok(Poll::Pending);
                }
            };
            if sent.is_err() {
                return Ok(Poll::Ready(()));
            }
        }
    }

    /// The body, if nothing of it was taken.
    fn into_untouched(self) -> Option<Upload> {
        (!self.has_begun).then_some(self.upload)
    }
}

/// A response that is waited for.
struct Receiving<'r> {
    response: ResponseFuture,
    on_interim: Option<&'r OnInterim>,
    limits: HeaderLimits,
    interim: usize,
}

impl Receiving<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, Fault>> {
        // first of all: h2 throws away those that nobody has asked for when the response is
        while let Poll::Ready(Some(interim)) = self.response.poll_informational(cx) {
            let (head, ()) = interim.map_err(|error| self.name(error))?.into_parts();
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Poll::Ready(Err(Fault::Malformed(Malformed::TooManyInformational)));
            }
            check(&head.headers, STATUS_SIZE, self.limits)?;
            if let Some(on_interim) = self.on_interim {
                on_interim.tell(head.status, &head.headers.into());
            }
        }
        let response = ready!(Pin::new(&mut self.response).poll(cx));
        let response = response.map_err(|error| self.name(error))?;
        check(response.headers(), STATUS_SIZE, self.limits)?;
        Poll::Ready(Ok(response))
    }

    /// h2 refuses far too large a section by itself, and doesn't say for what.
    fn name(&self, error: h2::Error) -> Fault {
        if is_refused_section(&error) {
            Fault::Section(RefusedSection {
                source: error,
                limit: self.limits.bytes,
            })
        } else {
            Fault::Http2(error)
        }
    }
}

/// A response's body. Dropped before its end, it gives its stream up (RFC 9113 §5.4.2).
pub(crate) struct Body {
    incoming: RecvStream,
    /// How many bytes are still to come, where Content-Length tells; h2 holds the server to it.
    left: Option<u64>,
    has_ended: bool,
    trailers: Option<Fields>,
    limits: HeaderLimits,
    /// What of the request was not sent before the response began: a server may answer while it reads.
    sending: Option<Box<Sending>>,
    /// Counts the stream as under way until the body has ended. After `incoming`, which gives the stream up.
    lease: Option<Http2Lease>,
}

impl Body {
    fn new(
        incoming: RecvStream,
        length: Option<&HeaderValue>,
        sending: Option<Box<Sending>>,
        lease: Http2Lease,
    ) -> Self {
        let length = length.and_then(|length| length.to_str().ok());
        let mut body = Self {
            has_ended: false,
            left: length.and_then(|length| length.parse().ok()),
            trailers: None,
            limits: lease.header_limits(),
            sending,
            lease: Some(lease),
            incoming,
        };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    /// How many bytes are still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        if self.has_ended { Some(0) } else { self.left }
    }

    /// Reads on; none at the body's end, and never nothing.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, Fault> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Appends to `out` what has come of the body, hardly more than `room` bytes; whether the body has ended. Many a server
    /// sends it in frames of a few kilobytes.
    ///
    /// A future dropped while it waits has taken nothing.
    pub(crate) async fn read(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, Fault> {
        let before = out.len();
        poll_fn(|cx| {
            while out.len() - before < room {
                match self.poll_data(cx)? {
                    Poll::Ready(Some(data)) => out.extend_from_slice(&data),
                    Poll::Ready(None) => break,
                    Poll::Pending if out.len() > before => break,
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(self.has_ended))
        })
        .await
    }

    /// The trailer section, once the body has ended.
    pub(crate) fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        Sending::poll_some(&mut self.sending, cx)?;
        while !self.has_ended {
            let Some(data) = ready!(self.incoming.poll_data(cx)) else {
                let trailers = ready!(self.incoming.poll_trailers(cx));
                if let Some(trailers) = trailers.map_err(cut_or)? {
                    check(&trailers, 0, self.limits)?;
                    self.trailers = Some(trailers.into());
                } else if !self.incoming.is_end_stream() {
                    return Poll::Ready(Err(Fault::Cut));
                }
                self.end();
                break;
            };
            let data = data.map_err(cut_or)?;
            // what is handed over is its reader's to bound. It fails for more than has come only.
            let _ = self.incoming.flow_control().release_capacity(data.len());
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            if self.incoming.is_end_stream() {
                self.end();
            }
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(data)));
            }
        }
        Poll::Ready(Ok(None))
    }

    /// The response is whole: what the server has not read of the request, it doesn't want (RFC 9113 §8.1).
    fn end(&mut self) {
        self.has_ended = true;
        if let Some(mut sending) = self.sending.take() {
            sending.stream.send_reset(Reason::CANCEL);
        }
        self.lease = None;
    }
}

/// An HTTP/2 header section that h2 has refused.
#[derive(Debug, thiserror::Error)]
#[error("{source}; or its header section is larger than {limit} bytes (maxHeaderBytes)")]
pub(crate) struct RefusedSection {
    source: h2::Error,
    limit: u32,
}

/// Whether the server has refused the stream before it acted on the request (RFC 9113 §8.7).
pub(super) fn is_refused(fault: &Fault) -> bool {
    matches!(fault, Fault::Http2(error)
        if error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM))
}

/// Whether a server that goes away says that it has not acted on the request (RFC 9113 §6.8).
fn is_unprocessed(fault: &Fault) -> bool {
    matches!(fault, Fault::Http2(error)
        if error.is_remote() && error.is_go_away() && error.reason() == Some(Reason::NO_ERROR))
}

/// Whether a stream or connection was given up for what the server sent, as it is for far too large a header section.
fn is_refused_section(error: &h2::Error) -> bool {
    error.is_library()
        && matches!(
            error.reason(),
            Some(Reason::PROTOCOL_ERROR | Reason::COMPRESSION_ERROR | Reason::ENHANCE_YOUR_CALM)
        )
}

/// A stream or connection that ends without an error before `END_STREAM`, which alone says that a body is whole (RFC 9113
/// §8.1).
fn cut_or(error: h2::Error) -> Fault {
    if error.is_remote() && error.reason() == Some(Reason::NO_ERROR) {
        Fault::Cut
    } else {
        Fault::Http2(error)
    }
}

/// Holds a section of `fields`, and of pseudo-header fields of the size `pseudo`, to the limits.
fn check(fields: &HeaderMap, pseudo: usize, limits: HeaderLimits) -> Result<(), Fault> {
    if fields.len() as u64 > u64::from(limits.count) {
        return Err(Fault::Malformed(Malformed::TooManyFields(limits.count)));
    }
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum();
    if (size + pseudo) as u64 > u64::from(limits.bytes) {
        return Err(Fault::Malformed(Malformed::SectionTooLarge(limits.bytes)));
    }
    Ok(())
}
