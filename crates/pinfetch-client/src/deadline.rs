//! How long a request may take, and what it was doing when the time ran out.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a request is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a connection of a host that has as many as it may.
    Queue = 0,
    /// Resolving the host's name.
    Dns = 1,
    /// Opening a TCP connection.
    Connect = 2,
    /// Shaking hands and verifying the server's certificate.
    Tls = 3,
    /// Sending the request and waiting for the response's header section.
    Headers = 4,
    /// Reading the response's body.
    Body = 5,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "waiting for a free connection",
            Self::Dns => "resolving the host's name",
            Self::Connect => "opening the connection",
            Self::Tls => "the TLS handshake",
            Self::Headers => "waiting for the response's headers",
            Self::Body => "reading the response's body",
        })
    }
}

/// The phase that something is in, for whoever must say later what took so long.
#[derive(Debug)]
pub(crate) struct Progress(AtomicU8);

impl Progress {
    pub(crate) fn new(phase: Phase) -> Self {
        Self(AtomicU8::new(phase as u8))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Queue,
            1 => Phase::Dns,
            2 => Phase::Connect,
            3 => Phase::Tls,
            4 => Phase::Headers,
            _ => Phase::Body, // only `enter` writes, so only Body is left
        }
    }
}
