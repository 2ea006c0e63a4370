//! How long a request may take, and what it was doing when the time ran out.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};

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

/// How long a request has taken, in microseconds from its beginning; what is longer than 71 minutes saturates.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timings {
    /// Until it had a connection, the last one if it was sent again.
    pub queue: u32,
    /// Until the response's header section had come.
    pub first_byte: u32,
    /// Until the response was handed over: its body is in it, or still being received.
    pub handed_over: u32,
}

/// The phase that something is in, for whoever must say later what took so long.
#[derive(Debug)]
pub(crate) struct Progress {
    phase: AtomicU8,
    begun: Instant,
    queue: AtomicU32,
    first_byte: AtomicU32,
}

impl Progress {
    pub(crate) fn new(phase: Phase) -> Self {
        Self {
            phase: AtomicU8::new(phase as u8),
            begun: Instant::now(),
            queue: AtomicU32::new(0),
            first_byte: AtomicU32::new(0),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        let time = match phase {
            Phase::Headers => &self.queue,
            Phase::Body => &self.first_byte,
            Phase::Queue | Phase::Dns | Phase::Connect | Phase::Tls => return,
        };
        time.store(micros(self.begun.elapsed()), Ordering::Relaxed);
    }

    /// Of a response that is handed over now.
    pub(crate) fn timings(&self) -> Timings {
        Timings {
            queue: self.queue.load(Ordering::Relaxed),
            first_byte: self.first_byte.load(Ordering::Relaxed),
            handed_over: micros(self.begun.elapsed()),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Queue,
            1 => Phase::Dns,
            2 => Phase::Connect,
            3 => Phase::Tls,
            4 => Phase::Headers,
            _ => Phase::Body, // only `enter` writes, so only Body is left
        }
    }
}

/// Whole microseconds.
pub(crate) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
