//! One handshake: from an origin that somebody waits for to a connection in the pool, or to an answer why not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::oneshot;

use super::lease::Http2;
use super::{Gate, Protocol, RequestBody, Waiter};
use crate::config::ConnectionKey;
use crate::connect::revocable::Revocable;
use crate::connect::tls::{OriginTls, Verdict};
use crate::connect::{Connected, ConnectionFacts, Live, connect};
use crate::deadline::{Phase, Progress};
use crate::error::RequestError;
use crate::exchange::http1::Http1;
use crate::reload;

/// How often a handshake is begun again because a swap changed its host's pins meanwhile.
const RESTARTS: u32 = 16;
/// The bound of a handshake when requests have none.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(120);
/// HTTP/2 windows (RFC 9113 §6.9): the default of 64 KiB would stall a fast transfer on every round trip.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// One handshake under way, owned by its task: whatever ends it, those who wait for it are answered.
pub(super) struct Attempt {
    pub(super) gate: Arc<Gate>,
    pub(super) key: Arc<ConnectionKey>,
    pub(super) tls: Option<Arc<OriginTls>>,
    pub(super) restarts: u32,
    /// Nothing is owed before it runs: a runtime that is shutting down drops it at once, under the lock of its maker.
    pub(super) settled: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.settled {
            self.fail(&RequestError::Internal(
                "a handshake's task ended early".into(),
            ));
        }
    }
}

impl Attempt {
    pub(super) async fn run(mut self, progress: Arc<Progress>) {
        self.settled = false;
        let limit = self.limit();
        let connecting = connect(
            &self.gate.config.lookup,
            &self.key,
            self.tls.as_deref(),
            &progress,
        );
        let outcome = match tokio::time::timeout(limit, connecting).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(RequestError::Timeout {
                phase: progress.phase(),
                limit,
            }),
        };
        match outcome {
            Ok(connected) => self.succeed(connected).await,
            Err(error) => self.fail(&error),
        }
    }

    /// Judges the connection under the policy in force now, registers it, and only then lets HTTP begin.
    async fn succeed(&mut self, connected: Connected) {
        let Connected {
            transport,
            remote,
            http2,
            tls,
        } = connected;
        let live = {
            let mut state = self.gate.lock();
            let closed = state.closed;
            let Some(origin) = state.origins.get_mut(&self.key) else {
                self.settled = true; // the client was closed: nobody waits
                return;
            };
            let path = tls.as_ref().and_then(|facts| facts.path.as_ref());
            let matched = match origin.requirement.judge(path.map(|path| &**path)) {
                Verdict::Accept(matched) => {
                    if let (Some(path), Some(pin)) = (path, matched) {
                        origin.last_match = Some((path.clone(), pin));
                    }
                    matched
                }
                Verdict::Refuse(_) if origin.waiters.is_empty() => {
                    origin.attempts -= 1; // nobody waits for it any more
                    self.settled = true;
                    return;
                }
                Verdict::Refuse(_) if self.restarts < RESTARTS && !closed => {
                    // The pins changed during the handshake. Another path might hold the new ones: shake hands again.
                    origin.attempts -= 1;
                    self.settled = true;
                    self.gate
                        .begin_attempt(&self.key, origin, self.restarts + 1);
                    return;
                }
                Verdict::Refuse(_) => {
                    drop(state);
                    self.fail(&RequestError::Internal(
                        "the pins kept changing during the handshake".into(),
                    ));
                    return;
                }
            };
            let id = self.gate.next_connection.fetch_add(1, Ordering::Relaxed);
            let live = Live::new(
                ConnectionFacts {
                    id,
                    remote,
                    http2,
                    tls,
                },
                self.gate.on_gone.clone(),
            );
            live.accept(matched);
            origin.live.push(live.clone());
            live
        };
        let stream = Revocable::new(transport, live.clone());
        if !http2 {
            return self.join(live.clone(), Ready::Http1(Http1::new(stream, live)));
        }
        let stream = TokioIo::new(stream);
        let driver = Driver {
            gate: Arc::downgrade(&self.gate),
            key: self.key.clone(),
            live: live.clone(),
        };
        let (ready, begun) = oneshot::channel();
        let task = tokio::spawn(drive(stream, driver, ready));
        live.driven_by(task.abort_handle());
        let limit = self.limit();
        let host = self.key.host.clone();
        let error = match tokio::time::timeout(limit, begun).await {
            Ok(Ok(Ok(sender))) => return self.join(live, Ready::Http2(sender)),
            Ok(Ok(Err(source))) => RequestError::Protocol {
                host,
                source: Arc::new(source),
                http2,
            },
            // the driver was ended before HTTP began
            Ok(Err(_)) => RequestError::Closed {
                host,
                remote: Some(remote),
            },
            Err(_elapsed) => RequestError::Timeout {
                phase: Phase::Tls,
                limit,
            },
        };
        live.end();
        self.fail(&live.refusal().unwrap_or(error));
    }

    /// How long each half of the way may take.
    fn limit(&self) -> Duration {
        self.gate.config.timeout.unwrap_or(LONGEST_ATTEMPT)
    }

    /// The connection speaks HTTP: those who wait get it.
    fn join(&mut self, live: Arc<Live>, ready: Ready) {
        self.settled = true;
        let mut state = self.gate.lock();
        let Some(origin) = state.origins.get_mut(&self.key) else {
            return;
        };
        origin.attempts -= 1;
        if live.is_ended() {
            drop(ready);
            origin.forget_closed();
            self.gate.open_more(&self.key, origin);
            return;
        }
        match ready {
            Ready::Http1(connection) => {
                origin.protocol = Some(Protocol::Http1);
                self.gate.hand_out(&self.key, origin, connection);
                self.gate.open_more(&self.key, origin);
            }
            Ready::Http2(sender) => {
                origin.protocol = Some(Protocol::Http2);
                live.idle_since.store(self.gate.now(), Ordering::Relaxed);
                let connection = Http2 { sender, live };
                origin.http2 = Some(connection.clone());
                let mut unclaimed = Vec::new();
                for waiter in std::mem::take(&mut origin.waiters) {
                    if let Err(lease) = waiter.send(Ok(self.gate.http2_lease(connection.clone()))) {
                        unclaimed.push(lease);
                    }
                }
                self.gate.sweep_later();
                drop(state);
                drop(unclaimed);
            }
        }
    }

    /// Answers those who waited for this handshake.
    fn fail(&mut self, error: &RequestError) {
        self.settled = true;
        let answered: Vec<Waiter> = {
            let mut state = self.gate.lock();
            let closed = state.closed;
            let Some(origin) = state.origins.get_mut(&self.key) else {
                return;
            };
            origin.attempts -= 1;
            let is_outdated = match (&self.tls, &origin.tls) {
                (Some(used), Some(current)) => !Arc::ptr_eq(used, current),
                _ => false, // plain TCP has no verdict that could be stale
            };
            if is_outdated && error.is_verdict() && self.restarts < RESTARTS && !closed {
                // the verdict is that of pins no longer in force
                self.gate
                    .begin_attempt(&self.key, origin, self.restarts + 1);
                return;
            }
            let answered = if origin.live.is_empty() {
                origin.waiters.drain(..).collect()
            } else {
                // connections that work will serve the others
                origin.waiters.pop_front().into_iter().collect()
            };
            self.gate.open_more(&self.key, origin);
            answered
        };
        let error = self.explain(error);
        for waiter in answered {
            let _ = waiter.send(Err(error.clone())); // who gave up needs no answer
        }
    }

    /// A bad pin says more when an earlier connection is remembered: which pin matched where.
    fn explain(&self, error: &RequestError) -> RequestError {
        if let RequestError::BadPin { report, remote } = error
            && let Some((path, pin)) = self
                .gate
                .lock()
                .origins
                .get(&self.key)
                .and_then(|origin| origin.last_match.clone())
        {
            let report = (**report).clone().with_last_match(&path, &pin);
            return RequestError::BadPin {
                report: Arc::new(report),
                remote: *remote,
            };
        }
        error.clone()
    }
}

/// A connection that speaks HTTP.
enum Ready {
    Http1(Http1),
    Http2(http2::SendRequest<RequestBody>),
}

/// Begins HTTP/2 on `stream` and moves its bytes until the connection ends. Its errors reach the requests they concern.
async fn drive(
    stream: TokioIo<Revocable>,
    driver: Driver,
    ready: oneshot::Sender<hyper::Result<http2::SendRequest<RequestBody>>>,
) {
    let _driver = driver; // declared first, so dropped last: the socket is closed by then
    let begun = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(stream)
        .await;
    // an attempt that has given up drops the sender, which ends the connection
    match begun {
        Ok((sender, connection)) => {
            let _ = ready.send(Ok(sender));
            let _ = connection.await;
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// Takes a connection out of the books when its driver ends, however it ends.
struct Driver {
    gate: Weak<Gate>,
    key: Arc<ConnectionKey>,
    live: Arc<Live>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.live.mark_closed();
        let Some(gate) = self.gate.upgrade() else {
            return;
        };
        let mut state = gate.lock();
        let Some(origin) = state.origins.get_mut(&self.key) else {
            return;
        };
        reload::forget(origin, &self.live);
        gate.open_more(&self.key, origin);
    }
}
