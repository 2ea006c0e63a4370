//! One request on one connection: head, body, and what became of it when it failed.

pub(crate) mod body;
pub(crate) mod fields;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod interim;
pub(crate) mod upload;

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, Version};

use self::body::Body;
use self::fields::Fields;
use self::http1::Malformed;
use self::http2::RefusedSection;
use self::upload::{Upload, UploadError};
use crate::client::Prepared;
use crate::coding::CodingError;
use crate::connect::Live;
use crate::content::Broken;
use crate::deadline::{Phase, Progress};
use crate::error::RequestError;
use crate::gate::{Gate, Lease};

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
    /// What h2 says of HTTP/2.
    Http2(h2::Error),
    /// An HTTP/2 header section that was refused.
    Section(RefusedSection),
    /// An HTTP/2 peer gave the stream up without an error before the response's end.
    Cut,
    /// The request's own body.
    Upload(UploadError),
}

/// Why no response came.
pub(crate) struct NoResponse {
    pub(crate) fault: Fault,
    /// Whether no byte of the request left.
    pub(crate) is_unsent: bool,
    /// The body, where it is a stream; whole, if nothing left.
    pub(crate) upload: Option<Upload>,
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
    let on_interim = request.on_interim.as_ref();
    let (outcome, is_reused) = match lease {
        Lease::Http1(lease) => {
            let is_reused = lease.is_reused();
            let message = request.http1_message().into(); // tells the body's length: before that is taken
            let body = request.take_body();
            let exchange = http1::exchange(lease, message, body, request.is_head(), on_interim);
            (exchange.await, is_reused)
        }
        Lease::Http2(lease) => {
            let message = request.http2_message(gate);
            let body = request.take_body();
            // on the heap: HTTP/1.1 needs no room for it
            let exchange = Box::pin(http2::exchange(lease, message, body, on_interim));
            (exchange.await, true)
        }
    };
    let (head, body) = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            let may_pass = http2::is_refused(&error.fault);
            if let (true, Some(upload)) = (error.is_unsent || may_pass, error.upload) {
                request.put_back(upload);
            }
            if may_pass {
                return Err(Failed::Refused(failure.named(error.fault)));
            }
            return Err(failure.before_response(error.fault, error.is_unsent, is_reused));
        }
    };
    progress.enter(Phase::Body);
    Ok(Answer { head, body, live })
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
                    Fault::Http2(source) => Arc::new(source),
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
        Fault::Http2(error) => match error.get_io() {
            Some(io) => io,
            None => return Kind::Protocol,
        },
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

/// Whether an HTTP/2 server has reset the stream of the request (RFC 9113 §6.4).
pub(crate) fn is_reset_by_peer(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<h2::Error>()
        .is_some_and(|error| error.is_remote() && error.is_reset())
}
