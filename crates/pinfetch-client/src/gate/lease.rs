//! The right to send one request on a connection, and what becomes of the connection afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::client::conn::{TrySendError, http2};

use super::Gate;
use crate::config::{ConnectionKey, HeaderLimits};
use crate::connect::Live;
use crate::exchange::http1::Http1;
use crate::exchange::upload::MessageBody;

/// Milliseconds for which an HTTP/2 connection may answer nothing before a request that gives up takes it for dead.
const DEAF: u64 = 1000;

/// An HTTP/2 connection, shared.
#[derive(Clone)]
pub(crate) struct Http2 {
    pub(super) sender: http2::SendRequest<MessageBody>,
    /// Whether it is one request's alone.
    pub(super) is_lone: bool,
    pub(crate) live: Arc<Live>,
}

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

pub(crate) struct Http2Lease {
    connection: Http2,
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
        connection.live.active.fetch_add(1, Ordering::Relaxed);
        Self {
            connection,
            gate,
            waiting: None,
        }
    }

    /// What a trailer section may have.
    pub(crate) fn header_limits(&self) -> HeaderLimits {
        self.gate.config.header_limits
    }

    /// Sends `request`; the error holds it again if no byte of it left.
    pub(crate) async fn send(
        &mut self,
        request: http::Request<MessageBody>,
    ) -> Result<http::Response<hyper::body::Incoming>, TrySendError<http::Request<MessageBody>>>
    {
        let live = &self.connection.live;
        self.waiting = Some((self.gate.now(), live.answers()));
        let response = self.connection.sender.try_send_request(request).await;
        self.waiting = None;
        if response.is_ok() {
            self.connection.live.answer();
        }
        response
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
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
        let is_last = live.active.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_last && self.gate.is_short_of_slots() {
            live.retire();
        }
        if self.connection.is_lone || (is_last && live.is_retired()) {
            live.end();
        }
    }
}
