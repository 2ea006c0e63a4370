//! One request on one connection: head, body, and what became of it when it failed.

pub(crate) mod body;

use std::error::Error;
use std::io;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Incoming;

use crate::client::Prepared;
use crate::connect::Live;
use crate::deadline::{Phase, Progress};
use crate::error::RequestError;
use crate::gate::{Gate, Lease, RequestBody};

/// What became of an exchange.
pub(crate) enum Outcome {
    /// The whole response.
    Whole(http::response::Parts, bytes::Bytes, Arc<Live>),
    /// Nothing that the server may have acted on was sent: any request may be sent again.
    Unsent(RequestError),
    /// The connection ended before a response began, as one does that the server has just closed.
    Stale(RequestError),
    /// The policy in force refuses the connection since the request was sent.
    Revoked(RequestError),
    /// Final.
    Failed(RequestError),
}

/// Sends `request` on `lease`'s connection and reads the whole response.
pub(crate) async fn exchange(
    mut lease: Lease,
    gate: &Gate,
    request: &Prepared,
    progress: &Progress,
) -> Outcome {
    let limit = gate.config.max_response_bytes;
    progress.enter(Phase::Headers);
    let live = lease.live().clone();
    let reused = lease.is_reused();
    let http2 = live.facts.http2;
    let response = match lease.send(request.message(gate, http2)).await {
        Ok(response) => response,
        Err(mut error) => {
            let unsent = error.take_message().is_some();
            let failure = Failure {
                request,
                live: &live,
            };
            return failure.before_response(error.into_error(), unsent, reused);
        }
    };
    progress.enter(Phase::Body);
    let (head, body) = response.into_parts();
    match body::collect(body, limit).await {
        Ok(bytes) => {
            if live.is_revoked() {
                return Failure {
                    request,
                    live: &live,
                }
                .revoked();
            }
            lease.give_back();
            Outcome::Whole(head, bytes, live)
        }
        Err(body::BodyError::TooLarge) => Outcome::Failed(RequestError::BodyTooLarge { limit }),
        Err(body::BodyError::Broken(error)) => Failure {
            request,
            live: &live,
        }
        .within_response(error),
    }
}

struct Failure<'a> {
    request: &'a Prepared,
    live: &'a Live,
}

impl Failure<'_> {
    fn before_response(&self, error: hyper::Error, unsent: bool, reused: bool) -> Outcome {
        // over HTTP/2 hyper drops a request with its dispatcher only while the stream waits to be opened
        let unopened = self.live.facts.http2 && error.is_user();
        if unsent || unopened || refused_by_peer(&error) {
            return Outcome::Unsent(self.named(error));
        }
        if self.live.is_revoked() {
            return self.revoked();
        }
        let stale = reused && Self::is_disconnect(&error);
        let named = self.named(error);
        if stale {
            Outcome::Stale(named)
        } else {
            Outcome::Failed(named)
        }
    }

    fn within_response(&self, error: hyper::Error) -> Outcome {
        if self.live.is_revoked() {
            self.revoked()
        } else {
            Outcome::Failed(self.named(error))
        }
    }

    fn revoked(&self) -> Outcome {
        let refusal = self.live.refusal();
        Outcome::Revoked(
            refusal.unwrap_or_else(|| RequestError::Internal("revoked without a refusal".into())),
        )
    }

    fn is_disconnect(error: &hyper::Error) -> bool {
        matches!(Self::classify(error), Kind::Disconnect)
    }

    fn classify(error: &hyper::Error) -> Kind {
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Kind::Disconnect;
        }
        // h2 keeps what the socket said to itself
        let in_http2 = || cause::<h2::Error>(error).and_then(h2::Error::get_io);
        let Some(io) = cause::<io::Error>(error).or_else(in_http2) else {
            return Kind::Protocol;
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

    fn named(&self, error: hyper::Error) -> RequestError {
        let host = self.request.key().host.clone();
        let remote = self.live.facts.remote;
        match Self::classify(&error) {
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
                http2: self.live.facts.http2,
                source: Arc::new(error),
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

/// Whether an HTTP/2 server says that it has not acted on the request (RFC 9113 §6.8 `GOAWAY`, §8.7 `REFUSED_STREAM`).
fn refused_by_peer(error: &hyper::Error) -> bool {
    cause::<h2::Error>(error).is_some_and(|error| {
        error.is_remote()
            && ((error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
                || (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)))
    })
}

/// The first error of type `E` down the chain of sources.
fn cause<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The body of a request; empty when there is none.
pub(crate) fn request_body(body: Option<&bytes::Bytes>) -> RequestBody {
    body.map_or_else(Full::default, |bytes| Full::new(bytes.clone()))
}

/// hyper's body of a response.
pub(crate) type ResponseBody = Incoming;
