//! HTTP/1.1 (RFC 9112) on one connection.
//!
//! The task of a request moves the bytes itself: no other task, channel or header map stands between the socket and the
//! record that JavaScript gets, which is a fifth of what a small request costs (docs/decisions/005). httparse reads what
//! the server writes; what two readers could understand differently is an error, and ends the connection.

mod chunked;
mod head;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use self::chunked::{Chunked, Piece};
use self::head::{Framing, Reader, Section};
use super::body::Body as AnyBody;
use super::fields::Fields;
use super::interim::{MOST_INTERIM, OnInterim};
use super::upload::{RequestBody, Upload, UploadError};
use super::{Fault, Head, NoResponse};
use crate::config::HeaderLimits;
use crate::connect::Live;
use crate::connect::revocable::Revocable;
use crate::gate::Http1Lease;

/// How much is read at once where nothing tells how much will come.
const READ: usize = 8 * 1024;
/// How much is read at once of a body that goes on.
const READ_BODY: usize = 64 * 1024;

/// What is wrong with what a server sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The header section is none.
    #[error("the header section is malformed: {0}")]
    Head(httparse::Error),
    /// The status code is none.
    #[error("the status code is malformed")]
    Status,
    /// The header or trailer section is larger than the limit.
    #[error("the header section is larger than {0} bytes (maxHeaderBytes)")]
    SectionTooLarge(u32),
    /// The header or trailer section has more field lines than the limit.
    #[error("the header section has more than {0} field lines (maxHeaderCount)")]
    TooManyFields(u32),
    /// Content-Length is not a number.
    #[error("Content-Length is not a number")]
    ContentLength,
    /// Content-Length comes twice.
    #[error("Content-Length is repeated")]
    RepeatedContentLength,
    /// A transfer coding other than one `chunked`.
    #[error("Transfer-Encoding is another than chunked")]
    TransferCoding,
    /// Transfer-Encoding where it has no place.
    #[error("Transfer-Encoding comes with Content-Length or HTTP/1.0")]
    LengthAndTransferCoding,
    /// The size of a chunk is none.
    #[error("the size of a chunk is malformed")]
    ChunkSize,
    /// A chunk is longer than it says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// 101, which nobody asked for.
    #[error("the server switches protocols without being asked")]
    SwitchedProtocols,
    /// More interim responses than anybody needs.
    #[error("more than {MOST_INTERIM} interim responses")]
    TooManyInformational,
}

/// An HTTP/1.1 connection. Dropping it closes it.
pub(crate) struct Http1 {
    stream: Revocable,
    limits: HeaderLimits,
    /// What was read and belongs to nobody yet.
    buffer: BytesMut,
    pub(crate) live: Arc<Live>,
    /// Whether a request was sent on it before: only then can it have gone stale unnoticed.
    pub(crate) is_used: bool,
}

impl Drop for Http1 {
    fn drop(&mut self) {
        // RFC 8446 §6.1: close_notify first; if the socket can't take it now, it is closed without
        let _ = Pin::new(&mut self.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

impl Http1 {
    pub(crate) fn new(stream: Revocable, live: Arc<Live>, limits: HeaderLimits) -> Self {
        Self {
            stream,
            limits,
            buffer: BytesMut::new(),
            live,
            is_used: false,
        }
    }

    /// Whether the server has neither closed the idle connection nor sent what nobody asked for. No system call unless
    /// something has come.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        self.buffer.is_empty()
            && !self.live.has_ended()
            && Pin::new(&mut self.stream)
                .poll_read(&mut context, &mut ReadBuf::new(&mut byte))
                .is_pending()
    }

    /// Gives back the room that nothing is read into while it idles: a third of what an idle connection would take.
    pub(crate) fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Sends a message (its header section, then `body`) and reads the response's header section.
    async fn exchange(
        &mut self,
        message: Bytes,
        body: Option<RequestBody>,
        is_head_request: bool,
        on_interim: Option<&OnInterim>,
    ) -> Result<(Section, Sending), NoResponse> {
        let (body, upload) = match body {
            None => (Bytes::new(), None),
            Some(RequestBody::Bytes(bytes)) => (bytes, None),
            Some(RequestBody::Stream(upload)) => (Bytes::new(), Some(Box::new(upload.into()))),
        };
        let mut sending = Sending {
            parts: [message, body],
            upload,
            has_sent: false,
            is_done: false,
            failure: None,
        };
        let mut receiving = Receiving {
            reader: Reader::default(),
            is_head_request,
            on_interim,
            informational: 0,
        };
        let outcome = poll_fn(|cx| {
            // a server may answer before it has read all, and close: its answer counts, not that it stopped reading
            sending.poll(&mut self.stream, cx);
            receiving.poll(self, &mut sending, cx)
        })
        .await;
        match outcome {
            Ok(section) => Ok((section, sending)),
            Err(fault) => Err(NoResponse {
                fault,
                is_unsent: !sending.has_sent,
                upload: sending.upload.map(|uploading| uploading.upload),
            }),
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, reserve: usize) -> Poll<io::Result<usize>> {
        self.buffer.reserve(reserve);
        pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)
    }
}

/// What is still to be sent.
struct Sending {
    parts: [Bytes; 2],
    /// What comes after the parts, a piece at a time.
    upload: Option<Box<Uploading>>,
    has_sent: bool,
    is_done: bool,
    failure: Option<Fault>,
}

/// A body that is sent as it comes.
struct Uploading {
    upload: Upload,
    /// Whether it is sent in chunks (RFC 9112 §7.1), since nobody knows its length.
    is_chunked: bool,
    has_begun: bool,
}

impl From<Upload> for Uploading {
    fn from(upload: Upload) -> Self {
        Self {
            is_chunked: upload.length().is_none(),
            upload,
            has_begun: false,
        }
    }
}

impl Uploading {
    /// What is to be sent next: a chunk's frame and its data, or what ends the last; none after that.
    fn poll_parts(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<[Bytes; 2]>, UploadError>> {
        let piece = ready!(self.upload.poll_piece(cx)).transpose()?;
        // the line end of a chunk's data goes out with the frame of the next
        let end = if self.has_begun { "\r\n" } else { "" };
        self.has_begun = true;
        Poll::Ready(Ok(match piece {
            Some(piece) if self.is_chunked => {
                Some([format!("{end}{:x}\r\n", piece.len()).into(), piece])
            }
            Some(piece) => Some([piece, Bytes::new()]),
            None if self.is_chunked => {
                self.is_chunked = false; // said once
                Some([format!("{end}0\r\n\r\n").into(), Bytes::new()])
            }
            None => None,
        }))
    }
}

impl Sending {
    fn poll(&mut self, stream: &mut Revocable, cx: &mut Context<'_>) {
        if self.is_done || self.failure.is_some() {
            return;
        }
        match self.poll_send(stream, cx) {
            Poll::Ready(Ok(())) => self.is_done = true,
            Poll::Ready(Err(error)) => self.failure = Some(error),
            Poll::Pending => {}
        }
    }

    fn poll_send(
        &mut self,
        stream: &mut Revocable,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            for part in &mut self.parts {
                while !part.is_empty() {
                    let sent = ready!(Pin::new(&mut *stream).poll_write(cx, part));
                    let sent = sent.map_err(Fault::Io)?;
                    if sent == 0 {
                        return Poll::Ready(Err(Fault::Io(io::ErrorKind::WriteZero.into())));
                    }
                    self.has_sent = true;
                    part.advance(sent.min(part.len()));
                }
            }
            let Some(uploading) = &mut self.upload else {
                break;
            };
            match uploading.poll_parts(cx).map_err(Fault::Upload)? {
                Poll::Ready(Some(parts)) => self.parts = parts,
                Poll::Ready(None) => self.upload = None,
                Poll::Pending => {
                    // what has been said is not to wait for what will be
                    ready!(Pin::new(&mut *stream).poll_flush(cx)).map_err(Fault::Io)?;
                    return Poll::Pending;
                }
            }
        }
        Pin::new(stream).poll_flush(cx).map_err(Fault::Io)
    }

    /// Why the request cannot be sent, where that ends the exchange whatever the server says.
    fn take_upload_failure(&mut self) -> Option<Fault> {
        self.failure
            .take_if(|failure| matches!(failure, Fault::Upload(_)))
    }
}

/// The response's header section, as far as it has come.
struct Receiving<'r> {
    reader: Reader,
    is_head_request: bool,
    on_interim: Option<&'r OnInterim>,
    informational: usize,
}

impl Receiving<'_> {
    fn poll(
        &mut self,
        connection: &mut Http1,
        sending: &mut Sending,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Section, Fault>> {
        if let Some(fault) = sending.take_upload_failure() {
            return Poll::Ready(Err(fault));
        }
        loop {
            if !connection.buffer.is_empty() {
                let section = self
                    .reader
                    .read(
                        &mut connection.buffer,
                        self.is_head_request,
                        connection.limits,
                    )
                    .map_err(Fault::Malformed)?;
                match section {
                    Some(section)
                        if section.head.status == http::StatusCode::SWITCHING_PROTOCOLS =>
                    {
                        return Poll::Ready(Err(Fault::Malformed(Malformed::SwitchedProtocols)));
                    }
                    Some(section) if section.head.status.is_informational() => {
                        self.informational += 1;
                        if self.informational > MOST_INTERIM {
                            return Poll::Ready(Err(Fault::Malformed(
                                Malformed::TooManyInformational,
                            )));
                        }
                        if let Some(on_interim) = self.on_interim {
                            on_interim.tell(section.head.status, &section.head.fields);
                        }
                        continue;
                    }
                    Some(section) => return Poll::Ready(Ok(section)),
                    None => {}
                }
            }
            let read = ready!(connection.poll_fill(cx, READ));
            if !matches!(read, Ok(1..)) {
                // that the request could not be sent says more than that no response came
                let fault = sending.failure.take();
                return Poll::Ready(Err(
                    fault.unwrap_or_else(|| read.map_or_else(Fault::Io, |_| Fault::Ended))
                ));
            }
        }
    }
}

/// Sends a message on `lease`'s connection; gives the response's header section, and its body, to be read unless it came
/// along.
pub(crate) async fn exchange(
    mut lease: Http1Lease,
    message: Bytes,
    body: Option<RequestBody>,
    is_head_request: bool,
    on_interim: Option<&OnInterim>,
) -> Result<(Head, AnyBody), NoResponse> {
    let connection = lease.connection_mut();
    let (section, sending) = connection
        .exchange(message, body, is_head_request, on_interim)
        .await?;
    let mut body = Body {
        state: match section.framing {
            Framing::Length(left) => State::Length(left),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::UntilClosed => State::UntilClosed,
        },
        trailers: None,
        persists: section.persists,
        sending: (!sending.is_done).then(|| Box::new(sending)),
        lease: Some(lease),
    };
    // a small response is here in one piece: its connection need not wait until somebody reads
    let body = match body.take_whole() {
        Some(bytes) => AnyBody::Whole(bytes),
        None => AnyBody::Http1(Box::new(body)),
    };
    Ok((section.head, body))
}

/// A response's body, to be read; then its connection goes to the next request, if it may. Dropped before its end, the
/// connection is closed.
pub(crate) struct Body {
    state: State,
    trailers: Option<Fields>,
    persists: bool,
    /// What of the request was not sent before the response began: a server may answer while it reads.
    sending: Option<Box<Sending>>,
    lease: Option<Http1Lease>,
}

enum State {
    /// So many bytes are left.
    Length(u64),
    Chunked(Chunked),
    UntilClosed,
    Ended,
}

impl Body {
    /// How many bytes the rest has, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Ended => Some(0),
            State::Chunked(_) | State::UntilClosed => None,
        }
    }

    /// Reads on; none at the body's end.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, Fault> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Appends at most `room` bytes of the body to `out`, as many as one reading gives; whether the body has ended.
    ///
    /// A future dropped while it waits has taken nothing.
    pub(crate) async fn read(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, Fault> {
        let direct = match self.state {
            _ if self.sending.is_some() => 0,
            State::Length(left) => left,
            State::UntilClosed => u64::MAX,
            State::Chunked(_) | State::Ended => 0,
        };
        if direct > 0
            && let Some(connection) = self.connection()
            && connection.buffer.is_empty()
        {
            // from the TLS session into its place, with no buffer in between
            let most = direct.min(room as u64);
            let mut stream = (&mut connection.stream).take(most);
            out.reserve(room.min(READ_BODY));
            let read = stream.read_buf(out).await.map_err(Fault::Io)?;
            match &mut self.state {
                State::Length(left) if read > 0 => *left -= read as u64,
                State::Length(_) => return Err(Fault::Ended),
                _ if read > 0 => return Ok(false),
                _ => self.state = State::Ended,
            }
        } else if let Some(data) = self.data().await? {
            out.extend_from_slice(&data);
        }
        if self.left() == Some(0) {
            self.end();
        }
        Ok(matches!(self.state, State::Ended))
    }

    /// The rest of the body, which has `left` bytes, as many as may be set aside at once.
    pub(crate) async fn whole(&mut self, left: u64) -> Result<Bytes, Fault> {
        if self.sending.is_some() {
            let mut whole = Vec::new();
            while !self.read(&mut whole, READ_BODY).await? {}
            return Ok(whole.into());
        }
        if let Some(whole) = self.take_whole() {
            return Ok(whole);
        }
        let Some(connection) = self.connection() else {
            return Ok(Bytes::new());
        };
        let left = usize::try_from(left).map_err(|_| Fault::Malformed(Malformed::ContentLength))?;
        let mut whole = Vec::with_capacity(left);
        whole.extend_from_slice(&connection.buffer);
        connection.buffer.clear();
        while whole.len() < left {
            let rest = (left - whole.len()) as u64;
            let mut rest = (&mut connection.stream).take(rest);
            if rest.read_buf(&mut whole).await.map_err(Fault::Io)? == 0 {
                return Err(Fault::Ended);
            }
        }
        self.end();
        Ok(whole.into())
    }

    /// The whole body, if it is in the buffer.
    fn take_whole(&mut self) -> Option<Bytes> {
        let State::Length(left) = self.state else {
            return None;
        };
        if self.sending.is_some() {
            return None;
        }
        let left = usize::try_from(left).ok()?;
        let connection = self.connection()?;
        if connection.buffer.len() < left {
            return None;
        }
        let whole = connection.buffer.split_to(left).freeze();
        self.end();
        Some(whole)
    }

    /// The trailer section, once the body has ended.
    pub(crate) fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        loop {
            let Some(connection) = self.lease.as_mut().map(Http1Lease::connection_mut) else {
                return Poll::Ready(Ok(None));
            };
            if let Some(sending) = &mut self.sending {
                sending.poll(&mut connection.stream, cx);
                if let Some(fault) = sending.take_upload_failure() {
                    return Poll::Ready(Err(fault));
                }
                if sending.is_done {
                    self.sending = None;
                }
            }
            let (buffer, limits) = (&mut connection.buffer, connection.limits);
            match &mut self.state {
                State::Length(0) | State::Ended => {
                    self.end();
                    return Poll::Ready(Ok(None));
                }
                State::Length(left) if !buffer.is_empty() => {
                    let here =
                        usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                    *left -= here as u64;
                    let data = buffer.split_to(here).freeze();
                    if *left == 0 {
                        self.end();
                    }
                    return Poll::Ready(Ok(Some(data)));
                }
                State::UntilClosed if !buffer.is_empty() => {
                    return Poll::Ready(Ok(Some(buffer.split().freeze())));
                }
                State::Chunked(chunked) => {
                    match chunked.next(buffer, limits).map_err(Fault::Malformed)? {
                        Piece::Data(data) => return Poll::Ready(Ok(Some(data))),
                        Piece::End => {
                            self.trailers = chunked.trailers();
                            self.end();
                            return Poll::Ready(Ok(None));
                        }
                        Piece::Incomplete => {}
                    }
                }
                State::Length(_) | State::UntilClosed => {}
            }
            let read = ready!(connection.poll_fill(cx, READ_BODY)).map_err(Fault::Io)?;
            if read == 0 {
                if matches!(self.state, State::UntilClosed) {
                    self.state = State::Ended;
                    continue;
                }
                return Poll::Ready(Err(Fault::Ended));
            }
        }
    }

    fn connection(&mut self) -> Option<&mut Http1> {
        self.lease.as_mut().map(Http1Lease::connection_mut)
    }

    /// The body is whole: the connection is free, unless it is not to be used again or says more than it was asked.
    fn end(&mut self) {
        self.state = State::Ended;
        if let Some(mut lease) = self.lease.take()
            && self.persists
            && self.sending.is_none()
            && lease.connection_mut().buffer.is_empty()
        {
            lease.give_back();
        }
    }
}
