//! What a verifier remembers of the paths that it accepted.
//!
//! Two things ask for it. A resumed session runs no verifier, so its path comes from here. And a server that presents the
//! same certificates again gets the same verdict without path building: the verdict depends on nothing but those bytes,
//! the name, the verifier's own anchors and pins, which never change, and the time, which is looked at again. A client
//! that makes a connection for each request saves a quarter of its handshake that way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::VerifiedPath;

/// Paths that are remembered; the oldest goes first.
const PATHS: usize = 256;
/// How long a verdict on the same certificates stands, in seconds.
const STANDS_FOR: i64 = 600;

#[derive(Default)]
pub(crate) struct Memory(Mutex<Paths>);

#[derive(Default)]
struct Paths {
    by_end_entity: HashMap<[u8; 32], Accepted>,
    oldest_first: VecDeque<[u8; 32]>,
}

struct Accepted {
    path: Arc<VerifiedPath>,
    presented: Presented,
    /// When the verdict stands, in Unix seconds, both ends included; none when the validity cannot be told.
    stands: Option<(i64, i64)>,
}

/// What a verdict depends on besides the verifier and the time: the digest of the name and every certificate presented.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Presented([u8; 32]);

impl Presented {
    pub(crate) fn new(
        name: &ServerName<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Self {
        let name = name.to_str();
        let parts = [name.as_bytes(), end_entity.as_ref()].into_iter();
        let parts = parts.chain(intermediates.iter().map(AsRef::as_ref));
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in parts {
            // with its length, so that no bytes can move from one part to another
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        Self(bytes_of(&context.finish()))
    }
}

impl Memory {
    /// The path last accepted for `end_entity`.
    pub(crate) fn path_of(&self, end_entity: &[u8]) -> Option<Arc<VerifiedPath>> {
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paths
            .by_end_entity
            .get(&digest(end_entity))
            .map(|accepted| accepted.path.clone())
    }

    /// Whether exactly these certificates were accepted a short while ago, and would be at `at`.
    pub(crate) fn stands(&self, end_entity: &[u8], presented: &Presented, at: UnixTime) -> bool {
        let at = seconds(at);
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paths
            .by_end_entity
            .get(&digest(end_entity))
            .is_some_and(|accepted| {
                accepted.presented == *presented
                    && accepted
                        .stands
                        .is_some_and(|(from, to)| from <= at && at <= to)
            })
    }

    /// Remembers that `path` was accepted at `at`.
    pub(crate) fn remember(
        &self,
        end_entity: &[u8],
        presented: Presented,
        at: UnixTime,
        path: VerifiedPath,
    ) {
        let at = seconds(at);
        let stands = path
            .validity()
            .map(|(_, to)| (at, to.min(at.saturating_add(STANDS_FOR))));
        let key = digest(end_entity);
        let accepted = Accepted {
            path: Arc::new(path),
            presented,
            stands,
        };
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.by_end_entity.insert(key, accepted).is_none() {
            paths.oldest_first.push_back(key);
            if paths.oldest_first.len() > PATHS
                && let Some(oldest) = paths.oldest_first.pop_front()
            {
                paths.by_end_entity.remove(&oldest);
            }
        }
    }
}

fn seconds(at: UnixTime) -> i64 {
    i64::try_from(at.as_secs()).unwrap_or(i64::MAX)
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    bytes_of(&ring::digest::digest(&ring::digest::SHA256, bytes))
}

fn bytes_of(digest: &ring::digest::Digest) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}
