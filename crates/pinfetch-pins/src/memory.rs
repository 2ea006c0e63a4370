//! What a verifier remembers of the paths that it accepted.
//!
//! Two things ask for it. A resumed session runs no verifier, so its path comes from here. And a server that presents the
//! same certificates again gets the same verdict without path building: the verdict depends on nothing but those bytes,
//! the name, the verifier's own anchors and pins, which never change, and the time, which is looked at again. A client
//! that makes a connection for each request saves a quarter of its handshake that way.

use std::sync::{Arc, Mutex, PoisonError};

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::VerifiedPath;

/// Paths that are remembered.
const PATHS: usize = 256;
/// How long a verdict on the same certificates stands, in seconds.
const STANDS_FOR: i64 = 600;

/// The oldest first. A server has a certificate or two, so that looking through all of them is quick, and takes no room.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<Accepted>>);

struct Accepted {
    /// The digest of the end entity.
    end_entity: [u8; 32],
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
        self.of(end_entity, |accepted| accepted.path.clone())
    }

    /// Whether exactly these certificates were accepted a short while ago, and would be at `at`.
    pub(crate) fn stands(&self, end_entity: &[u8], presented: &Presented, at: UnixTime) -> bool {
        let at = seconds(at);
        let stands = self.of(end_entity, |accepted| {
            accepted.presented == *presented
                && accepted
                    .stands
                    .is_some_and(|(from, to)| from <= at && at <= to)
        });
        stands == Some(true)
    }

    fn of<T>(&self, end_entity: &[u8], read: impl FnOnce(&Accepted) -> T) -> Option<T> {
        let digest = digest(end_entity);
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = paths.iter().find(|known| known.end_entity == digest);
        found.map(read)
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
        let accepted = Accepted {
            end_entity: digest(end_entity),
            path: Arc::new(path),
            presented,
            stands,
        };
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &&mut Accepted| known.end_entity == accepted.end_entity;
        if let Some(known) = paths.iter_mut().find(is_it) {
            *known = accepted;
            return;
        }
        if paths.is_empty() {
            paths.reserve_exact(1);
        } else if paths.len() == PATHS {
            paths.remove(0);
        }
        paths.push(accepted);
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
