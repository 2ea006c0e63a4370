//! One handshake: from an origin that somebody waits for to a connection in the pool, or to an answer why not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;

use super::streams::{Driver, Http2};
use super::{Gate, Protocol, ProxyRecord, Reached, Slot, Waiter};
use crate::config::ConnectionKey;
use crate::connect::revocable::Revocable;
use crate::connect::tls::{OriginTls, Verdict};
use crate::connect::{Connected, ConnectionFacts, Live, Route, TlsFacts, connect};
use crate::deadline::{Phase, Progress};
use crate::error::RequestError;
use crate::exchange::http1::Http1;
use crate::exchange::http2::connection;
use crate::metrics::{Counters, Handshake};
use crate::reload::tick;

/// How often a handshake is begun again because a swap changed its host's pins meanwhile.
const RESTARTS: u32 = 16;
/// The bound of a handshake when requests have none.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(120);
/// One handshake under way, owned by its task: whatever ends it, those who wait for it are answered.
pub(super) struct Attempt {
    pub(super) gate: Arc<Gate>,
    pub(super) key: Arc<ConnectionKey>,
    pub(super) tls: Option<Arc<OriginTls>>,
    pub(super) proxy_tls: Option<Arc<OriginTls>>,
    pub(super) proxy_record: Option<Arc<ProxyRecord>>,
    pub(super) restarts: u32,
    /// The connection's, once there is one.
    pub(super) slot: Slot,
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
        let permits = |remote, path: Option<&_>| self.gate.permits(&self.key, remote, path);
        let route = Route {
            dialing: &self.gate.dialing,
            key: &self.key,
            proxy_tls: self.proxy_tls.as_deref(),
            proxy_record: self.proxy_record.as_ref(),
            progress: &progress,
            permits: &permits,
        };
        let connecting = connect(route, self.tls.as_deref());
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
            times,
            proxy_path,
        } = connected;
        let id = self.gate.next_connection.fetch_add(1, Ordering::Relaxed);
        let facts = ConnectionFacts {
            id,
            remote,
            http2,
            tls,
            times,
            proxy_path,
            reported: Mutex::default(),
        };
        let live = {
            let gate = self.gate.clone();
            let mut lock = gate.lock();
            let state = &mut *lock;
            let closed = state.closed;
            if let Err(error) = tick(&gate, state) {
                drop(lock);
                self.fail(&error);
                return;
            }
            let Some(origin) = state.origins.get_mut(&self.key) else {
                self.settled = true; // the client was closed: nobody waits
                return;
            };
            if let Some(refusal) = origin.refusal.clone() {
                drop(lock);
                self.fail(&refusal);
                return;
            }
            let (verdict, path) = origin.judge(&facts);
            let matched = match verdict {
                Verdict::Accept(matched) => {
                    if let (Some(path), Some(pin)) = (path, matched) {
                        origin.last_match = Some((path, pin));
                    }
                    matched
                }
                Verdict::Refuse(_) if origin.waiters.is_empty() => {
                    self.settle(origin); // nobody waits for it any more
                    return;
                }
                Verdict::Refuse(_) if self.restarts < RESTARTS && !closed => {
                    // The pins changed during the handshake. Another path might hold the new ones: shake hands again.
                    self.settle(origin);
                    self.gate
                        .begin_attempt(&self.key, origin, self.restarts + 1, self.slot.take());
                    return;
                }
                Verdict::Refuse(_) => {
                    drop(lock);
                    self.fail(&RequestError::Internal(
                        "the pins kept changing during the handshake".into(),
                    ));
                    return;
                }
            };
            let live = Live::new(
                facts,
                transport,
                self.slot.take(),
                self.gate.on_gone.clone(),
            );
            let report = origin.report(&live.facts);
            if let Some(report) = &report {
                state.counters.missed(&report.patterns, false);
            }
            live.accept(matched, report);
            origin.live.push(live.clone());
            origin.reached = Some(Reached {
                path: live.facts.tls.as_ref().and_then(|tls| tls.path.clone()),
                remote,
            });
            origin.count_handshake(&mut state.counters, &live.facts);
            if live.facts.tls.is_some() && gate.on_handshake.is_wanted() {
                gate.on_handshake
                    .tell(&origin.handshake(&self.key, &live.facts));
            }
            for rehearsal in &state.rehearsals {
                rehearsal.judge(&gate, &self.key, &origin.requirement, &live);
            }
            live
        };
        let stream = Revocable::new(live.clone());
        if !http2 {
            let limits = self.gate.config.header_limits;
            return self.join(
                &live.clone(),
                Ready::Http1(Http1::new(stream, live, limits)),
            );
        }
        self.begin_http2(live, stream).await;
    }

    async fn begin_http2(&mut self, live: Arc<Live>, stream: Revocable) {
        let config = &self.gate.config;
        let begun = connection::open(
            stream,
            self.gate.first_streams(&self.key),
            &config.http2_settings,
            config.look.as_ref(),
            config.header_limits,
        );
        let limit = self.limit();
        let host = self.key.host.clone();
        let error = match tokio::time::timeout(limit, begun).await {
            Ok(Ok((sender, connection))) => {
                let driver = Driver::new(connection, live.clone(), &self.gate, self.key.clone());
                tokio::spawn(driver);
                return self.join(&live, Ready::Http2(sender));
            }
            Ok(Err(source)) => RequestError::Protocol {
                host,
                source: Arc::new(source),
                http2: true,
            },
            Err(_elapsed) => RequestError::Timeout {
                phase: Phase::Tls,
                limit,
            },
        };
        live.end();
        self.fail(&live.refusal().unwrap_or(error));
    }

    /// The attempt is over; once, whatever became of it.
    fn settle(&mut self, origin: &mut super::Origin) {
        self.settled = true;
        origin.attempts -= 1;
        if origin.attempts == 0 {
            origin.progress.enter(Phase::Queue); // who still waits, waits for a connection to become free
        }
    }

    /// How long each half of the way may take.
    fn limit(&self) -> Duration {
        let config = &self.gate.config;
        config
            .connect_timeout
            .or(config.timeout)
            .unwrap_or(LONGEST_ATTEMPT)
    }

    /// The connection speaks HTTP: those who wait get it.
    fn join(&mut self, live: &Arc<Live>, ready: Ready) {
        let gate = self.gate.clone();
        let mut state = gate.lock();
        let Some(origin) = state.origins.get_mut(&self.key) else {
            self.settled = true;
            drop(state); // a connection is not dropped under the lock: it takes itself out of the books
            return;
        };
        self.settle(origin);
        if live.has_ended() {
            drop(state);
            drop(ready);
            self.gate.lost(&self.key);
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
                origin.http2.push(Http2 {
                    sender,
                    key: self.key.clone(),
                    live: live.clone(),
                });
                gate.serve_streams(origin);
                gate.open_more(&self.key, origin);
                gate.sweep_later();
                drop(state);
                if self.key.is_lone() && live.streams() == 0 {
                    live.end(); // nobody else may have it
                }
            }
        }
    }

    /// Answers those who waited for this handshake.
    fn fail(&mut self, error: &RequestError) {
        let answered: Vec<Waiter> = {
            let gate = self.gate.clone();
            let mut lock = gate.lock();
            let state = &mut *lock;
            let closed = state.closed;
            let Some(origin) = state.origins.get_mut(&self.key) else {
                self.settled = true;
                return;
            };
            self.settle(origin);
            origin.forget_closed();
            let is_other = |used: Option<&Arc<OriginTls>>, current: Option<&Arc<OriginTls>>| {
                // plain TCP has no verdict that could be stale
                matches!((used, current), (Some(used), Some(current)) if !Arc::ptr_eq(used, current))
            };
            let proxy_tls = origin.proxy.as_ref().and_then(|proxy| proxy.tls.as_ref());
            let is_outdated = is_other(self.tls.as_ref(), origin.tls.as_ref())
                || is_other(self.proxy_tls.as_ref(), proxy_tls);
            // what was verified up to something not trusted any more ends as if it had been closed
            let is_verdict = error.is_verdict() || matches!(error, RequestError::Closed { .. });
            if is_outdated && is_verdict && self.restarts < RESTARTS && !closed {
                // the verdict is that of pins, or of a trust, no longer in force
                self.gate
                    .begin_attempt(&self.key, origin, self.restarts + 1, self.slot.take());
                return;
            }
            if error.is_verdict() {
                origin.reached = None;
            }
            if let RequestError::BadPin { report, remote } = error {
                state.counters.missed(&report.patterns, true);
                if self.gate.on_handshake.is_wanted() {
                    self.gate.on_handshake.tell(&Handshake {
                        host: &report.host,
                        port: report.port,
                        remote: *remote,
                        connection: None,
                        tls13: false,
                        resumed: false,
                        matched: None,
                        patterns: report.patterns.iter().map(String::as_str).collect(),
                        found: report.path.pins(),
                    });
                }
            }
            if let (true, RequestError::BadPin { .. }, Some(proxy)) =
                (self.gate.config.quarantine, error, &self.proxy_record)
            {
                proxy.quarantine();
            }
            let answered = if origin.live.is_empty() && origin.attempts == 0 {
                origin.waiters.drain(..).collect()
            } else {
                // connections that work, or may yet, will serve the others
                origin.waiters.pop_front().into_iter().collect()
            };
            self.gate.open_more(&self.key, origin);
            if self.key.is_lone() && !origin.is_in_use() {
                state.origins.remove(&self.key);
            }
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

impl super::Origin {
    /// Counts the handshakes that `facts` tell of: with the server, and with the proxy.
    fn count_handshake(&self, counters: &mut Counters, facts: &ConnectionFacts) {
        if let Some(tls) = &facts.tls
            && let Some(path) = &tls.path
        {
            counters.accepted(&self.requirement, path, tls.resumed);
        }
        if let (Some(proxy), Some(path)) = (&self.proxy, &facts.proxy_path) {
            counters.accepted(&proxy.requirement, path, false);
        }
    }

    /// The handshake with the server, for whoever is told.
    fn handshake<'a>(
        &'a self,
        key: &'a ConnectionKey,
        facts: &'a ConnectionFacts,
    ) -> Handshake<'a> {
        let tls = facts.tls.as_ref();
        let path = tls.and_then(|tls| tls.path.as_ref());
        Handshake {
            host: &key.host,
            port: key.port,
            remote: facts.remote,
            connection: Some(facts.id),
            tls13: tls.is_some_and(|tls| tls.tls13),
            resumed: tls.is_some_and(|tls| tls.resumed),
            matched: tls.and_then(TlsFacts::matched),
            patterns: self.requirement.patterns().collect(),
            found: path.map(|path| path.pins()).unwrap_or_default(),
        }
    }
}

/// A connection that speaks HTTP.
enum Ready {
    Http1(Http1),
    Http2(SendRequest<Bytes>),
}
