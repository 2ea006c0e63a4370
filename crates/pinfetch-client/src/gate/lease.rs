//! The right to send one request on a connection, and what becomes of the connection afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;

use super::Gate;
use super::streams::Http2;
use crate::config::{ConnectionKey, HeaderLimits};
use crate::connect::Live;
use crate::exchange::http1::Http1;

/// Milliseconds for which an HTTP/2 connection may answer nothing before a request that gives up takes it for dead.
const DEAF: u64 = 1000;

/// The right to send one request.
pub(crate) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

/// Dropped before its connection has begun an exchange or after [`give_back`](Self::give_back), the connection goes to
/// the next; dropped in the middle of one, it is closed.
pub(crate) struct Http1Lease {
    connection: Option<Http1>,
    gate: Arc<Gate>,
    key: Arc<ConnectionKey>,
    is_pristine: bool,
}

/// A stream of a connection. Dropped, it goes to the next who waits for one.
pub(crate) struct Http2Lease {
    connection: Http2,
    /// Whether dropping it ends nothing.
    is_undone: bool,
    gate: Arc<Gate>,
    /// While its request waits for a response: since when, and how many the connection had answered by then.
    waiting: Option<(u64, u32)>,
}

impl Lease {
    pub(crate) fn live(&self) -> &Arc<Live> {
        match self {
            Self::Http1(lease) => &lease.connection().live,
            Self::Http2(lease) => &lease.connection.live,
        }
    }
}

impl Http1Lease {
    pub(super) fn new(connection: Http1, gate: Arc<Gate>, key: Arc<ConnectionKey>) -> Self {
        Self {
            connection: Some(connection),
            gate,
            key,
            is_pristine: true,
        }
    }

    /// Whether a request was sent on this connection before: only then can it have gone stale unnoticed.
    pub(crate) fn is_reused(&self) -> bool {
        self.connection().is_used
    }

    /// The connection, for an exchange that begins or goes on.
    pub(crate) fn connection_mut(&mut self) -> &mut Http1 {
        self.is_pristine = false;
        self.connection
            .as_mut()
            .expect("taken only by what ends the lease")
    }

    /// The exchange is over and the connection fit for another: it goes to the next request.
    pub(crate) fn give_back(mut self) {
        if let Some(mut connection) = self.connection.take() {
            if self.key.is_lone() {
                drop(connection);
                return self.gate.lost(&self.key);
            }
            connection.is_used = true;
            self.gate.free(&self.key, connection);
        }
    }

    /// Takes the connection back from one who did not want it.
    pub(super) fn into_connection(mut self) -> Option<Http1> {
        self.connection.take()
    }

    fn connection(&self) -> &Http1 {
        self.connection
            .as_ref()
            .expect("taken only by what ends the lease")
    }
}

impl Drop for Http1Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.is_pristine {
            self.gate.free(&self.key, connection);
        } else {
            // in the middle of an exchange it is of no use to anybody
            drop(connection);
            self.gate.lost(&self.key);
        }
    }
}

impl Http2Lease {
    pub(super) fn new(connection: Http2, gate: Arc<Gate>) -> Self {
        connection.live.begin_stream();
        Self {
            connection,
            is_undone: false,
            gate,
            waiting: None,
        }
    }

    /// Takes the stream back from one who did not want it.
    pub(super) fn undo(mut self) {
        self.is_undone = true;
        self.connection.live.end_stream();
    }

    /// What a header or trailer section may have.
    pub(crate) fn header_limits(&self) -> HeaderLimits {
        self.gate.config.header_limits
    }

    /// Opens the stream. An error means that nothing was sent.
    pub(crate) fn begin(
        &mut self,
        head: http::Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let begun = self.connection.sender.send_request(head, is_whole)?;
        self.waiting = Some((self.gate.now(), self.connection.live.answers()));
        Ok(begun)
    }

    /// The wait for a response is over, whether or not one has come.
    pub(crate) fn hear(&mut self, is_answer: bool) {
        self.waiting = None;
        if is_answer {
            self.connection.live.answer();
        }
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        if self.is_undone {
            return;
        }
        let live = &self.connection.live;
        let now = self.gate.now();
        // given up without a response, like every other request of the time: nobody may be there any more, or only somebody
        // who keeps the socket busy
        if let Some((since, answers)) = self.waiting
            && now.saturating_sub(since) >= DEAF
            && live.answers() == answers
        {
            live.retire();
        }
        live.idle_since.store(now, Ordering::Relaxed);
        let is_last = live.end_stream();
        if is_last && self.gate.is_short_of_slots() {
            live.retire();
        }
        if self.connection.key.is_lone() || (is_last && live.is_retired()) {
            live.end();
        }
        if live.is_awaited() {
            self.gate.streams_changed(&self.connection.key);
        }
    }
}
