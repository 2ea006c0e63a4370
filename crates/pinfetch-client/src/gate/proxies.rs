//! What became of what went through each proxy, and which ones nothing may go through any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use pinfetch_pins::order;

use crate::connect::proxy::{Proxy, ProxyError};
use crate::error::RequestError;

/// What a client's requests through one proxy, with its credentials, have come to so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyStats {
    /// The proxy.
    pub proxy: Proxy,
    /// How often a request was sent on its way, or sent again.
    pub requests: u64,
    /// Bytes written to the proxy's socket, handshakes included.
    pub sent: u64,
    /// Bytes read from it.
    pub received: u64,
    /// Requests that ended with a bad pin.
    pub bad_pins: u64,
    /// Requests that ended with any other error.
    pub errors: u64,
    /// Whether nothing may go through it any more.
    pub is_quarantined: bool,
}

/// One proxy's entry.
#[derive(Debug)]
pub(crate) struct Record {
    proxy: Proxy,
    /// How many were used before it.
    place: usize,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    bad_pins: AtomicU64,
    errors: AtomicU64,
    is_quarantined: AtomicBool,
}

/// Every proxy that a client has used.
#[derive(Debug, Default)]
pub(crate) struct Proxies(Mutex<HashMap<Proxy, Arc<Record>>>);

impl Record {
    fn new(proxy: Proxy, place: usize) -> Self {
        Self {
            proxy,
            place,
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            bad_pins: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            is_quarantined: AtomicBool::new(false),
        }
    }

    /// Counts a request that is about to go through the proxy.
    pub(crate) fn enter(&self) -> Result<(), RequestError> {
        if self.is_quarantined.load(Ordering::Acquire) {
            return Err(RequestError::Proxy {
                proxy: self.proxy.to_string().into(),
                source: ProxyError::Quarantined,
            });
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a request that has failed.
    pub(crate) fn count_failure(&self, error: &RequestError) {
        let counter = match error {
            RequestError::BadPin { .. } => &self.bad_pins,
            _ => &self.errors,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing goes through the proxy from now on.
    pub(crate) fn quarantine(&self) {
        self.is_quarantined.store(true, Ordering::Release);
    }

    fn stats(&self) -> ProxyStats {
        ProxyStats {
            proxy: self.proxy.clone(),
            requests: self.requests.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            bad_pins: self.bad_pins.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            is_quarantined: self.is_quarantined.load(Ordering::Acquire),
        }
    }
}

impl Proxies {
    /// The entry of `proxy`, made on first use.
    pub(crate) fn record(&self, proxy: &Proxy) -> Arc<Record> {
        let mut records = self.lock();
        if let Some(record) = records.get(proxy) {
            return record.clone();
        }
        let record = Arc::new(Record::new(proxy.clone(), records.len()));
        records.insert(proxy.clone(), record.clone());
        record
    }

    /// What each has come to, in the order of their first use.
    pub(crate) fn stats(&self) -> Vec<ProxyStats> {
        let mut records: Vec<_> = self.lock().values().cloned().collect();
        order::sort_by(&mut records, |a, b| a.place.cmp(&b.place));
        records.iter().map(|record| record.stats()).collect()
    }

    /// Lifts the quarantine of `proxy`; says whether it was in one.
    pub(crate) fn release(&self, proxy: &Proxy) -> bool {
        self.lock()
            .get(proxy)
            .is_some_and(|record| record.is_quarantined.swap(false, Ordering::AcqRel))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Proxy, Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
