//! Streams of HTTP/2 connections: how many requests may be under way on one, and who gets the next stream.
//!
//! A connection has as many as the server allows (RFC 9113 §5.1.2), and no more than the client's own limit. When all are
//! taken, requests wait in the order in which they came, and further connections are made up to the limit of these.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};

use super::{Gate, Http2Lease, Lease, Origin};
use crate::config::ConnectionKey;
use crate::connect::Live;
use crate::connect::revocable::Revocable;
use crate::exchange::http2::connection::FIRST_STREAMS;
use crate::exchange::http2::keep_alive::{Verdict, Watch};
use crate::reload::tick;

/// An HTTP/2 connection, shared.
#[derive(Clone)]
pub(crate) struct Http2 {
    pub(super) sender: SendRequest<Bytes>,
    pub(super) key: Arc<ConnectionKey>,
    pub(crate) live: Arc<Live>,
}

impl Http2 {
    /// Whether it takes requests: neither end has ended it or said goodbye (RFC 9113 §6.8).
    fn is_usable(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        !self.live.has_ended()
            && !self.live.is_retired()
            && matches!(self.sender.poll_ready(&mut context), Poll::Ready(Ok(())))
    }
}

impl Gate {
    /// A stream of the least busy of the origin's connections, if one has room.
    pub(super) fn stream(self: &Arc<Self>, origin: &mut Origin) -> Option<Http2Lease> {
        let own = self.config.http2_settings.max_streams;
        let own = own.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
        loop {
            origin.forget_unusable();
            let connection = origin
                .http2
                .iter()
                .filter(|http2| {
                    let most = http2.sender.current_max_send_streams().min(own);
                    http2.live.streams() < most
                })
                .min_by_key(|http2| http2.live.streams())?;
            if !self.has_had_its_turn(&connection.live, origin.starves) {
                return Some(Http2Lease::new(connection.clone(), self.clone()));
            }
            connection.live.retire(); // its slot goes to another host when the requests under way are over
        }
    }

    /// How many streams a new connection is taken to allow: what the origin's others do, for it is the same server, which
    /// would refuse each one more (RFC 9113 §5.1.2).
    pub(super) fn first_streams(&self, key: &ConnectionKey) -> usize {
        let state = self.lock();
        let others = state
            .origins
            .get(key)
            .map_or(&[][..], |origin| &origin.http2);
        let allowed = others
            .iter()
            .map(|http2| http2.sender.current_max_send_streams())
            .min();
        allowed.map_or(FIRST_STREAMS, |allowed| allowed.clamp(1, FIRST_STREAMS))
    }

    /// Gives streams to those who wait, and has it noticed when more become free if some still do.
    pub(super) fn serve_streams(self: &Arc<Self>, origin: &mut Origin) {
        self.hand_streams_out(origin);
        if origin.waiters.is_empty() {
            for http2 in &origin.http2 {
                http2.live.forget_awaited();
            }
            return;
        }
        for http2 in &origin.http2 {
            http2.live.await_stream();
        }
        self.hand_streams_out(origin); // one may have become free before that was said
    }

    fn hand_streams_out(self: &Arc<Self>, origin: &mut Origin) {
        loop {
            origin.forget_abandoned();
            if origin.waiters.is_empty() {
                return;
            }
            let Some(lease) = self.stream(origin) else {
                return;
            };
            let Some(waiter) = origin.waiters.pop_front() else {
                return lease.undo();
            };
            // who gave up meanwhile doesn't want it; a lease is not dropped under the lock
            if let Err(Ok(Lease::Http2(lease))) = waiter.send(Ok(Lease::Http2(lease))) {
                lease.undo();
            }
        }
    }

    /// A stream of `key`'s origin may be free, or one of its connections takes no more requests.
    pub(super) fn streams_changed(self: &Arc<Self>, key: &Arc<ConnectionKey>) {
        let mut state = self.lock();
        if tick(self, &mut state).is_err() {
            return; // which fails for the next request, too, and tells
        }
        if let Some(origin) = state.origins.get_mut(key) {
            self.serve_streams(origin);
            self.open_more(key, origin);
        }
    }
}

impl Origin {
    /// Gives no further request to connections that take none.
    pub(super) fn forget_unusable(&mut self) {
        self.http2.retain_mut(Http2::is_usable);
    }
}

/// Moves the bytes of one connection, as a task of its own, until it ends.
///
/// The connection is in its origin's books until its socket is closed: not until it takes no more requests, for those
/// under way go on, and a swap must find them.
pub(super) struct Driver {
    connection: Connection<Revocable, Bytes>,
    watch: Option<Watch>,
    live: Arc<Live>,
    /// After the connection, so that the socket is closed by then.
    registration: Registration,
}

struct Registration {
    gate: Weak<Gate>,
    key: Arc<ConnectionKey>,
}

impl Driver {
    pub(super) fn new(
        mut connection: Connection<Revocable, Bytes>,
        live: Arc<Live>,
        gate: &Arc<Gate>,
        key: Arc<ConnectionKey>,
    ) -> Self {
        let keep_alive = gate.config.http2_settings.keep_alive;
        let watch = keep_alive.and_then(|keep_alive| {
            let pings = connection.ping_pong()?;
            Some(Watch::new(pings, keep_alive))
        });
        Self {
            connection,
            watch,
            live,
            registration: Registration {
                gate: Arc::downgrade(gate),
                key,
            },
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        loop {
            // why it ends, h2 tells the streams that it concerns
            if Pin::new(&mut driver.connection).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let watch = driver.watch.as_mut();
            match watch.map_or(Verdict::Wait, |watch| watch.poll(&driver.live, cx)) {
                Verdict::Wait => break,
                Verdict::Drive => {}
                Verdict::Dead => {
                    driver.live.end();
                    return Poll::Ready(());
                }
            }
        }
        if driver.live.is_awaited()
            && let Some(gate) = driver.registration.gate.upgrade()
        {
            gate.streams_changed(&driver.registration.key);
        }
        Poll::Pending
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.upgrade() {
            gate.lost(&self.key);
        }
    }
}
