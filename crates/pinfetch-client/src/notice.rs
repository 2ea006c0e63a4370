//! What a client has to tell besides the outcome of its requests.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use pinfetch_pins::{BadPin, Ending, Host};

/// How many hosts and pin sets a client remembers to have told of; those past that are told of again.
const REMEMBERED: usize = 16 * 1024;

/// What a client has to tell besides the outcome of its requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A request is about to be sent, or goes on, over a path that pins in report mode would refuse. Once for each request
    /// and connection.
    Reported {
        /// The request's own number.
        request: u32,
        /// What would have been its error.
        report: Arc<BadPin>,
        /// Who answers.
        remote: SocketAddr,
    },
    /// A host without pins was asked for the first time, and hosts without pins are to be told of.
    Unpinned {
        /// The client's number.
        client: u32,
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
    /// A host was asked, of whose pin sets one ends soon, or has ended.
    Ending {
        /// The client's number.
        client: u32,
        /// The host.
        host: Host,
        /// The port.
        port: u16,
        /// The set.
        ending: Ending,
        /// Whether it has.
        phase: Phase,
    },
}

/// Whether a pin set has ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// Within 30 days.
    Soon,
    /// It has.
    Ended,
}

/// Who hears of notices.
#[derive(Clone)]
pub(crate) struct OnNotice(Arc<dyn Fn(Notice) + Send + Sync>);

impl OnNotice {
    pub(crate) fn new(tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, notice: Notice) {
        (self.0)(notice);
    }
}

impl Default for OnNotice {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for OnNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnNotice")
    }
}

/// What was told before, so that it is told once.
#[derive(Debug, Default)]
pub(crate) struct Told {
    unpinned: HashSet<(Host, u16)>,
    endings: HashSet<(Ending, Phase)>,
}

impl Told {
    /// Whether this is the first time that the host has no pins.
    pub(crate) fn is_new(&mut self, host: &Host, port: u16) -> bool {
        if self.unpinned.len() >= REMEMBERED {
            self.unpinned.clear();
        }
        self.unpinned.insert((host.clone(), port))
    }

    /// Whether this is the first time that the set ends, or has ended.
    pub(crate) fn is_new_ending(&mut self, ending: &Ending, phase: Phase) -> bool {
        if self.endings.len() >= REMEMBERED {
            self.endings.clear();
        }
        self.endings.insert((ending.clone(), phase))
    }
}
