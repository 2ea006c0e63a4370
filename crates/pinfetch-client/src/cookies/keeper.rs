//! Where a client's cookies are: in a jar of its own kind, or with somebody who is asked.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderValue;

use super::CookieJar;
use crate::error::RequestError;

/// Where cookies come from and go to.
#[derive(Clone, Debug)]
pub enum Cookies {
    /// Nowhere: what servers set is left alone.
    None,
    /// A jar.
    Jar(CookieJar),
    /// Somebody who keeps them in a way of their own.
    Keeper(Arc<dyn KeepCookies>),
}

impl Default for Cookies {
    /// A new jar.
    fn default() -> Self {
        Self::Jar(CookieJar::new())
    }
}

/// What a keeper promises.
pub type Keeping<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Keeps cookies, for each hop of each request. URLs are in their canonical form.
pub trait KeepCookies: Send + Sync {
    /// The `Cookie` field for a request to `url`; none for no cookies.
    fn header(&self, url: String) -> Keeping<Result<Option<HeaderValue>, RequestError>>;

    /// Takes in the values of the `Set-Cookie` fields of a response from `url`; at least one. The request goes on when it
    /// is done.
    fn store(&self, url: String, set_cookie: Vec<Vec<u8>>) -> Keeping<()>;
}

impl fmt::Debug for dyn KeepCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeepCookies")
    }
}
