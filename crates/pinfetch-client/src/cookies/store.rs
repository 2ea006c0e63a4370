//! What a jar holds and in which order it lets go of it (draft-ietf-httpbis-rfc6265bis §5.7, §5.8.3 and §6.1).
//!
//! Cookies lie by domain, and a domain is looked up by each name that a host ends with: what a request costs depends on
//! its host's cookies, not on the jar's. No two cookies of a domain have the same name, path and host-only flag.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use pinfetch_pins::order;

use super::Cookie;
use super::error::CookieError;
use super::origin::{Origin, is_below, path_matches};

/// How many cookies a domain may have. The draft wants 50 at the least; this is what browsers allow.
pub(super) const PER_DOMAIN: usize = 180;
/// How many cookies there may be. The draft's number.
pub(super) const TOTAL: usize = 3000;
/// A domain with more cookies than these loses some before others do: the draft's "predetermined number".
const CROWDED: usize = 50;

/// The cookies of a jar.
#[derive(Debug, Default)]
pub(super) struct Store {
    domains: HashMap<String, Vec<Entry>>,
    count: usize,
    next_sequence: u64,
}

/// A cookie in its place.
#[derive(Debug)]
pub(super) struct Entry {
    cookie: Cookie,
    /// Orders cookies of the same millisecond. Kept, like the creation time, when the cookie is set anew.
    sequence: u64,
    /// Instead of the cookie's own field: sending needs no more than a shared lock.
    last_access: AtomicI64,
}

impl Entry {
    /// The cookie as it is now.
    pub(super) fn snapshot(&self) -> Cookie {
        Cookie {
            last_access: self.last_access(),
            ..self.cookie.clone()
        }
    }

    fn last_access(&self) -> i64 {
        self.last_access.load(Ordering::Relaxed)
    }

    fn is_same_as(&self, other: &Cookie) -> bool {
        self.cookie.name == other.name
            && self.cookie.path == other.path
            && self.cookie.host_only == other.host_only
    }
}

impl Store {
    /// Takes in a cookie that a server sent (§5.7 steps 16, 23 and 24); an expired one takes its predecessor out.
    pub(super) fn receive(
        &mut self,
        cookie: Cookie,
        from_secure: bool,
        now: i64,
    ) -> Result<(), CookieError> {
        if !from_secure && !cookie.secure && self.overlays_secure(&cookie) {
            return Err(CookieError::OverlaysSecure);
        }
        let domain = cookie.domain.clone();
        if self.insert(cookie, now) {
            Ok(())
        } else {
            Err(CookieError::Crowded { domain })
        }
    }

    /// Puts a cookie in its place, and the jar back within its limits: false if that cost the cookie its own place.
    pub(super) fn insert(&mut self, mut cookie: Cookie, now: i64) -> bool {
        let is_expired = cookie.is_expired(now);
        let domain = cookie.domain.clone();
        let entries = self.domains.entry(domain.clone()).or_default();
        let before = entries.len();
        entries.retain(|entry| !entry.cookie.is_expired(now));
        let mut sequence = self.next_sequence;
        if let Some(place) = entries.iter().position(|entry| entry.is_same_as(&cookie)) {
            let predecessor = entries.swap_remove(place);
            cookie.created = predecessor.cookie.created;
            sequence = predecessor.sequence;
        } else {
            self.next_sequence += 1;
        }
        if !is_expired {
            entries.push(Entry {
                last_access: AtomicI64::new(cookie.last_access),
                cookie,
                sequence,
            });
        }
        self.count = self.count - before + entries.len();
        if entries.is_empty() {
            self.domains.remove(&domain);
        }
        self.remove_excess(&domain, sequence, now)
    }

    /// Takes out the cookies of that identity, host-only or not; says whether there was one.
    pub(super) fn remove(&mut self, domain: &str, path: &str, name: &[u8]) -> bool {
        self.retain(|entry_domain, entry| {
            entry_domain != domain || entry.cookie.path != path || entry.cookie.name != name
        })
    }

    /// Takes out what has expired ("MUST evict", §5.7).
    pub(super) fn remove_expired(&mut self, now: i64) {
        self.retain(|_, entry| !entry.cookie.is_expired(now));
    }

    /// How many cookies there are, expired ones that nobody has come across included.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many domains have cookies.
    pub(super) fn domain_count(&self) -> usize {
        self.domains.len()
    }

    /// All that has not expired, oldest first.
    pub(super) fn all(&self, now: i64) -> Vec<&Entry> {
        let mut entries: Vec<_> = self
            .domains
            .values()
            .flatten()
            .filter(|entry| !entry.cookie.is_expired(now))
            .collect();
        order::sort_by(&mut entries, |a, b| {
            (a.cookie.created, a.sequence).cmp(&(b.cookie.created, b.sequence))
        });
        entries
    }

    /// What goes to `origin`, in the order in which it is sent (§5.8.3 steps 3 and 4); and whether something expired was
    /// come across. That no cookie of the jar has a public suffix for its domain was seen to when it came in.
    pub(super) fn matching(&self, origin: &Origin<'_>, now: i64) -> (Vec<&Entry>, bool) {
        let mut met_expired = false;
        let mut entries = Vec::new();
        for (depth, domain) in origin.domains().enumerate() {
            for entry in self.domains.get(domain).into_iter().flatten() {
                let cookie = &entry.cookie;
                if cookie.is_expired(now) {
                    met_expired = true;
                } else if (depth == 0 || !cookie.host_only)
                    && (origin.is_secure || !cookie.secure)
                    && path_matches(origin.path, &cookie.path)
                {
                    entries.push(entry);
                }
            }
        }
        let place = |entry: &Entry| {
            let cookie = &entry.cookie;
            (Reverse(cookie.path.len()), cookie.created, entry.sequence)
        };
        order::sort_by(&mut entries, |a, b| place(a).cmp(&place(b)));
        (entries, met_expired)
    }

    /// Whether a cookie from an origin that is not secure would be sent in the place of a `Secure` one, or next to it
    /// (§5.7 step 16).
    fn overlays_secure(&self, new: &Cookie) -> bool {
        self.domains
            .iter()
            .filter(|(domain, _)| {
                **domain == new.domain
                    || is_below(domain, &new.domain)
                    || is_below(&new.domain, domain)
            })
            .flat_map(|(_, entries)| entries)
            .any(|entry| {
                entry.cookie.secure
                    && entry.cookie.name == new.name
                    && path_matches(&new.path, &entry.cookie.path)
            })
    }

    /// Back within the limits after `sequence` came into `domain` ("remove excess cookies", §5.7); whether it stayed.
    fn remove_excess(&mut self, domain: &str, sequence: u64, now: i64) -> bool {
        let mut is_kept = true;
        // those of the domain that had expired went when `sequence` came
        while self.domains.get(domain).map_or(0, Vec::len) > PER_DOMAIN {
            let least = self
                .domains
                .get(domain)
                .and_then(|entries| least_of(entries));
            let Some((_, _, least)) = least else { break };
            is_kept &= least != sequence;
            self.take(domain, least);
        }
        if self.count > TOTAL {
            self.remove_expired(now);
        }
        while self.count > TOTAL {
            let least = self
                .domains
                .iter()
                .filter_map(|(domain, entries)| Some((least_of(entries)?, domain)))
                .min();
            let Some(((_, _, least), domain)) = least else {
                break;
            };
            is_kept &= least != sequence;
            let domain = domain.clone();
            self.take(&domain, least);
        }
        is_kept
    }

    fn take(&mut self, domain: &str, sequence: u64) {
        let Some(entries) = self.domains.get_mut(domain) else {
            return;
        };
        let before = entries.len();
        entries.retain(|entry| entry.sequence != sequence);
        self.count -= before - entries.len();
        if entries.is_empty() {
            self.domains.remove(domain);
        }
    }

    /// Whether anything went.
    fn retain(&mut self, mut keep: impl FnMut(&str, &Entry) -> bool) -> bool {
        let before = self.count;
        self.count = 0;
        self.domains.retain(|domain, entries| {
            entries.retain(|entry| keep(domain, entry));
            self.count += entries.len();
            !entries.is_empty()
        });
        self.count != before
    }
}

/// Notes that `entries` were sent (§5.8.3 step 5).
pub(super) fn touch(entries: &[&Entry], now: i64) {
    for entry in entries {
        if entry.last_access() != now {
            entry.last_access.store(now, Ordering::Relaxed);
        }
    }
}

/// The cookie-string (§5.8.3 step 6); none for no cookies.
pub(super) fn cookie_string(entries: &[&Entry]) -> Option<http::HeaderValue> {
    if entries.is_empty() {
        return None;
    }
    let length = entries
        .iter()
        .map(|entry| entry.cookie.name.len() + entry.cookie.value.len() + "=; ".len())
        .sum();
    let mut text = Vec::with_capacity(length);
    for entry in entries {
        if !text.is_empty() {
            text.extend_from_slice(b"; ");
        }
        if !entry.cookie.name.is_empty() {
            text.extend_from_slice(&entry.cookie.name);
            text.push(b'=');
        }
        text.extend_from_slice(&entry.cookie.value);
    }
    let value = http::HeaderValue::from_maybe_shared(bytes::Bytes::from(text));
    Some(value.expect("no control characters came into the jar"))
}

/// Which cookie of a domain goes first: one that is not `Secure` in a crowded domain, then any in a crowded domain, then
/// any; the one that was not used for longest; the oldest.
fn least_of(entries: &[Entry]) -> Option<(u8, i64, u64)> {
    let is_crowded = entries.len() > CROWDED;
    entries
        .iter()
        .map(|entry| {
            let class = match (is_crowded, entry.cookie.secure) {
                (true, false) => 0,
                (true, true) => 1,
                (false, _) => 2,
            };
            (class, entry.last_access(), entry.sequence)
        })
        .min()
}
