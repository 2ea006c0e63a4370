//! Interim responses: what a server says before its response (RFC 9110 §15.2).

use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use super::fields::Fields;

/// How many may come before the final response.
pub(super) const MOST_INTERIM: usize = 32;

/// Told of each interim response as it comes, such as 100 (Continue) and 103 (Early Hints, RFC 8297).
///
/// Those of each attempt and of each redirect are told.
#[derive(Clone)]
pub struct OnInterim(Arc<Tell>);

type Tell = dyn Fn(StatusCode, &Fields) + Send + Sync;

impl OnInterim {
    /// Calls `tell`, which must not block: the connection's bytes wait for it.
    pub fn new(tell: impl Fn(StatusCode, &Fields) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn tell(&self, status: StatusCode, fields: &Fields) {
        (self.0)(status, fields);
    }
}

impl fmt::Debug for OnInterim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnInterim").finish_non_exhaustive()
    }
}
