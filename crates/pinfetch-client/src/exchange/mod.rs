//! One request on one connection: head, body, and what became of it when it failed.

pub(crate) mod body;
pub(crate) mod fields;
pub(crate) mod http1;
pub(crate) mod interim;
pub(crate) mod upload;

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};

use self::body::Body;
use self::fields::Fields;
use self::http1::Malformed;
use self::upload::UploadError;
use crate::client::Prepared;
use crate::coding::CodingError;
use crate::config::HeaderLimits;
use crate::connect::Live;
use crate::content::Broken;
use crate::deadline::{Phase, Progress};
use crate::error::RequestError;
use crate::gate::{Gate, Http2Lease, Lease};

/// What a response says before its body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    /// The reason phrase, where it is not the standard one.
    pub(crate) reason: Option<Bytes>,
    pub(crate) fields: Fields,
}

/// What can go wrong on a connection.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The peer ended it where more was due.
    Ended,
    Io(io::Error),
    /// The peer broke the rules of HTTP/1.1.
    Malformed(Malformed),
    /// What hyper says of HTTP/2.
    Hyper(hyper::Error),
    /// An HTTP/2 header section that was refused.
    Section(RefusedSection),
    /// An HTTP/2 peer gave the stream up without an error before the response's end.
    Cut,
    /// The request's own body.
    Upload(UploadError),
}

/// An HTTP/2 header section that was refused. hyper doesn't say for what, so both are named.
#[derive(Debug, thiserror::Error)]
#[error("{source}; or its header section is larger than {limit} bytes (maxHeaderBytes)")]
pub(crate) struct RefusedSection {
    source: hyper::Error,
    limit: u32,
}

/// Why an exchange gave no whole response.
pub(crate) enum Failed {
    /// Nothing that the server may have acted on was sent: any request may be sent again.
    Unsent(RequestError),
    /// The server says that it has not acted on the request and would rather not now (RFC 9113 §8.7): any request may be
    /// sent again, after a pause.
    Refused(RequestError),
    /// The connection ended before a response began, as one does that the server has just closed.
    Stale(RequestError),
    /// The policy in force refuses the connection since the request was sent.
    Revoked(RequestError),
    /// Whatever is tried.
    Finally(RequestError),
}

/// A response that has begun.
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Body,
    pub(crate) live: Arc<Live>,
}

/// Sends `request` on `lease`'s connection and reads the response's header section.
pub(crate) async fn exchange(
    lease: Lease,
    gate: &Gate,
    request: &Prepared,
    progress: &Progress,
) -> Result<Answer, Failed> {
    progress.enter(Phase::Headers);
    let live = lease.live().clone();
    let failure = Failure {
        request,
        live: &live,
    };
    let (head, body) = match lease {
        Lease::Http1(lease) => {
            let is_reused = lease.is_reused();
            let message = request.http1_message().into();
            let body = request.take_body();
            let on_interim = request.on_interim.as_ref();
            match http1::exchange(lease, message, body, request.is_head(), on_interim).await {
                Ok(answer) => answer,
                Err(error) => {
                    if let (true, Some(upload)) = (error.is_unsent, error.upload) {
                        request.put_back(upload);
                    }
                    return Err(failure.before_response(error.fault, error.is_unsent, is_reused));
                }
            }
        }
        Lease::Http2(lease) => match Box::pin(http2(lease, gate, request)).await {
            Ok(answer) => answer,
            Err((fault, _)) if is_refused(&fault) => {
                return Err(Failed::Refused(failure.named(fault)));
            }
            Err((fault, is_unsent)) => {
                return Err(failure.before_response(fault, is_unsent, true));
            }
        },
    };
    progress.enter(Phase::Body);
    Ok(Answer { head, body, live })
}

async fn http2(
    mut lease: Http2Lease,
    gate: &Gate,
    request: &Prepared,
) -> Result<(Head, Body), (Fault, bool)> {
    let response = match lease.send(request.http2_message(gate)).await {
        Ok(response) => response,
        Err(mut error) => {
            let message = error.take_message();
            let is_unsent = message.is_some();
            if let Some(upload) = message.and_then(|message| message.into_body().into_upload()) {
                request.put_back(upload);
            }
            let error = error.into_error();
            if let Some(error) = cause::<UploadError>(&error) {
                return Err((Fault::Upload(error.clone()), false));
            }
            // hyper drops a request with its dispatcher while it thinks that the stream waits to be opened; the connection
            // may have opened it since, so that only a request that may be carried out twice is sent again
            let is_unopened = error.is_user() && request.is_idempotent();
            let is_unsent = is_unsent || is_unopened || is_unprocessed(&error);
            let fault = if is_refused_section(&error) {
                Fault::Section(RefusedSection {
                    source: error,
                    limit: gate.config.header_limits.bytes,
                })
            } else {
                Fault::Hyper(error)
            };
            return Err((fault, is_unsent));
        }
    };
    let (head, incoming) = response.into_parts();
    check_count(&head.headers, gate.config.header_limits).map_err(|fault| (fault, false))?;
    let head = Head {
        status: head.status,
        version: head.version,
        reason: None, // RFC 9113 §8.3.1: there is none
        fields: head.headers.into(),
    };
    Ok((head, Body::http2(incoming, lease)))
}

/// Names what went wrong for whoever sent the request.
pub(crate) struct Failure<'a> {
    pub(crate) request: &'a Prepared,
    pub(crate) live: &'a Live,
}

impl Failure<'_> {
    fn before_response(&self, fault: Fault, is_unsent: bool, is_reused: bool) -> Failed {
        if is_unsent {
            return Failed::Unsent(self.named(fault));
        }
        if let Some(refusal) = self.refusal() {
            return Failed::Revoked(refusal);
        }
        let is_stale = is_reused && matches!(classify(&fault), Kind::Disconnect);
        let named = self.named(fault);
        if is_stale {
            Failed::Stale(named)
        } else {
            Failed::Finally(named)
        }
    }

    /// Why the policy in force refuses the connection, if it does.
    pub(crate) fn refusal(&self) -> Option<RequestError> {
        self.live.is_revoked().then(|| {
            let refusal = self.live.refusal();
            refusal.unwrap_or_else(|| RequestError::Internal("revoked without a refusal".into()))
        })
    }

    pub(crate) fn broken(&self, broken: Broken) -> RequestError {
        match broken {
            Broken::Connection(fault) => self.named(fault),
            Broken::Coding(CodingError::TooLarge { limit }) => RequestError::BodyTooLarge { limit },
            Broken::Coding(source) => RequestError::Coding {
                host: self.request.key().host.clone(),
                source,
            },
        }
    }

    pub(crate) fn named(&self, fault: Fault) -> RequestError {
        let host = self.request.key().host.clone();
        let remote = self.live.facts.remote;
        let http2 = self.live.facts.http2;
        if let Fault::Upload(source) = fault {
            return RequestError::Upload { host, source };
        }
        match classify(&fault) {
            Kind::Disconnect => RequestError::Closed {
                host,
                remote: Some(remote),
            },
            Kind::Io(source) => RequestError::Socket {
                host,
                remote,
                source: Arc::new(source),
            },
            Kind::Tls(source) => RequestError::Tls {
                host,
                remote,
                source: Arc::new(source),
            },
            Kind::Protocol => RequestError::Protocol {
                host,
                http2,
                source: match fault {
                    Fault::Malformed(source) => Arc::new(source),
                    Fault::Hyper(source) => Arc::new(source),
                    Fault::Section(source) => Arc::new(source),
                    Fault::Io(source) => Arc::new(source),
                    Fault::Upload(source) => Arc::new(source),
                    Fault::Ended => Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    Fault::Cut => Arc::new(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server gave the stream up before the response's end",
                    )),
                },
            },
        }
    }
}

enum Kind {
    Disconnect,
    Io(io::Error),
    Tls(rustls::Error),
    Protocol,
}

fn classify(fault: &Fault) -> Kind {
    let io = match fault {
        Fault::Ended => return Kind::Disconnect,
        Fault::Malformed(_) | Fault::Upload(_) | Fault::Section(_) | Fault::Cut => {
            return Kind::Protocol;
        }
        Fault::Io(error) => error,
        Fault::Hyper(error) => {
            if error.is_incomplete_message()
                || error.is_canceled()
                || error.is_closed()
                || error.is_user()
            {
                return Kind::Disconnect;
            }
            // h2 keeps what the socket said to itself
            let in_http2 = || cause::<h2::Error>(error).and_then(h2::Error::get_io);
            match cause::<io::Error>(error).or_else(in_http2) {
                Some(io) => io,
                None => return Kind::Protocol,
            }
        }
    };
    match io.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Kind::Disconnect,
        kind => match io
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(tls) => Kind::Tls(tls.clone()),
            None => Kind::Io(io::Error::new(kind, io.to_string())),
        },
    }
}

/// Whether an HTTP/2 server that goes away says that it has not acted on the request (RFC 9113 §6.8).
fn is_unprocessed(error: &hyper::Error) -> bool {
    cause::<h2::Error>(error).is_some_and(|error| {
        error.is_remote() && error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}

/// Whether an HTTP/2 server has refused the stream before it acted on the request (RFC 9113 §8.7).
fn is_refused(fault: &Fault) -> bool {
    let Fault::Hyper(error) = fault else {
        return false;
    };
    cause::<h2::Error>(error).is_some_and(|error| {
        error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
    })
}

/// Whether a stream or connection was given up for what the server sent, as it is for a header section past its limit.
fn is_refused_section(error: &hyper::Error) -> bool {
    cause::<h2::Error>(error).is_some_and(|error| {
        error.is_library()
            && matches!(
                error.reason(),
                Some(
                    h2::Reason::PROTOCOL_ERROR
                        | h2::Reason::COMPRESSION_ERROR
                        | h2::Reason::ENHANCE_YOUR_CALM
                )
            )
    })
}

/// hyper counts the bytes of a section, and not its fields.
pub(crate) fn check_count(fields: &HeaderMap, limits: HeaderLimits) -> Result<(), Fault> {
    if fields.len() as u64 > u64::from(limits.count) {
        return Err(Fault::Malformed(Malformed::TooManyFields(limits.count)));
    }
    Ok(())
}

/// Whether an HTTP/2 server has reset the stream of the request (RFC 9113 §6.4).
pub(crate) fn is_reset_by_peer(error: &(dyn Error + 'static)) -> bool {
    cause::<h2::Error>(error).is_some_and(|error| error.is_remote() && error.is_reset())
}

/// The first error of type `E` down the chain of sources.
fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
