//! The TLS sessions of one origin, to be resumed (RFC 8446 §2.2, RFC 5077).
//!
//! rustls' own store is made for many servers, and of two kibibytes for the one that a verifier has; it is this store that
//! an idle connection pays for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls_pki_types::ServerName;

/// Tickets that are kept; the oldest goes first.
const TICKETS: usize = 8;

/// What is kept of a server; of any other, nothing.
pub(crate) struct Sessions {
    server: ServerName<'static>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    /// Each is used once (RFC 8446, appendix C.4), the newest first.
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    pub(crate) fn new(server: ServerName<'static>) -> Self {
        Self {
            server,
            kept: Mutex::default(),
        }
    }

    fn of(&self, server: &ServerName<'_>) -> Option<MutexGuard<'_, Kept>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (self.server == *server).then(kept)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        if let Some(mut kept) = self.of(&server) {
            kept.group = Some(group);
        }
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.of(server)?.group
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        if let Some(mut kept) = self.of(&server) {
            kept.tls12 = Some(session);
        }
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.of(server)?.tls12.clone()
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        if let Some(mut kept) = self.of(server) {
            kept.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        if let Some(mut kept) = self.of(&server) {
            if kept.tickets.len() == TICKETS {
                kept.tickets.pop_front();
            }
            kept.tickets.push_back(ticket);
        }
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.of(server)?.tickets.pop_back()
    }
}

impl fmt::Debug for Sessions {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
