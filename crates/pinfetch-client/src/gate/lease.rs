//! The right to send one request on a connection, and what becomes of the connection afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::client::conn::{http1, http2};

use super::{Gate, RequestBody};
use crate::config::ConnectionKey;
use crate::connect::Live;

/// An HTTP/1.1 connection that no request uses.
pub(crate) struct Http1 {
    pub(super) sender: http1::SendRequest<RequestBody>,
    pub(crate) live: Arc<Live>,
    pub(super) used: bool,
}

/// An HTTP/2 connection, shared.
#[derive(Clone)]
pub(crate) struct Http2 {
    pub(super) sender: http2::SendRequest<RequestBody>,
    pub(crate) live: Arc<Live>,
}

/// The right to send one request. Dropped unused or after [`Lease::give_back`], the connection goes to the next.
pub(crate) enum Lease {
    Http1(Http1Lease),
    Http2(Http2Lease),
}

pub(crate) struct Http1Lease {
    pub(super) connection: Option<Http1>,
    pub(super) gate: Arc<Gate>,
    pub(super) key: Arc<ConnectionKey>,
    pub(super) pristine: bool,
}

pub(crate) struct Http2Lease {
    pub(super) connection: Http2,
    pub(super) gate: Arc<Gate>,
}

impl Lease {
    pub(crate) fn live(&self) -> &Arc<Live> {
        match self {
            Self::Http1(lease) => &lease.connection().live,
            Self::Http2(lease) => &lease.connection.live,
        }
    }

    /// Whether a request was sent on this connection before: only then can it have gone stale unnoticed.
    pub(crate) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(lease) => lease.connection().used,
            Self::Http2(_) => true, // shared: another request may always have been first
        }
    }

    /// Sends `request`; the error holds it again if no byte of it left.
    pub(crate) async fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> Result<
        http::Response<hyper::body::Incoming>,
        hyper::client::conn::TrySendError<http::Request<RequestBody>>,
    > {
        match self {
            Self::Http1(lease) => {
                lease.pristine = false;
                lease
                    .connection_mut()
                    .sender
                    .try_send_request(request)
                    .await
            }
            Self::Http2(lease) => lease.connection.sender.try_send_request(request).await,
        }
    }

    /// The exchange is over and the connection fit for another: it goes to the next request as soon as hyper agrees.
    pub(crate) fn give_back(self) {
        if let Self::Http1(mut lease) = self
            && let Some(mut connection) = lease.connection.take()
        {
            connection.used = true;
            if connection.sender.is_ready() {
                lease.gate.free(&lease.key, connection);
            } else {
                let (gate, key) = (lease.gate.clone(), lease.key.clone());
                tokio::spawn(async move {
                    if connection.sender.ready().await.is_ok() {
                        gate.free(&key, connection);
                    }
                });
            }
        }
    }
}

impl Http1Lease {
    fn connection(&self) -> &Http1 {
        self.connection
            .as_ref()
            .expect("taken only by give_back and drop, which end the lease")
    }

    fn connection_mut(&mut self) -> &mut Http1 {
        self.connection
            .as_mut()
            .expect("taken only by give_back and drop, which end the lease")
    }
}

impl Drop for Http1Lease {
    fn drop(&mut self) {
        // a connection in the middle of an exchange is of no use to anybody: dropping its sender ends it
        if let Some(connection) = self.connection.take()
            && self.pristine
        {
            self.gate.free(&self.key, connection);
        }
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        let live = &self.connection.live;
        live.idle_since.store(self.gate.now(), Ordering::Relaxed);
        live.active.fetch_sub(1, Ordering::Relaxed);
    }
}
