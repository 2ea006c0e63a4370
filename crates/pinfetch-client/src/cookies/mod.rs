//! Cookies by draft-ietf-httpbis-rfc6265bis, the successor of RFC 6265; section numbers are the draft's.
//!
//! [`CookieJar`] is the whole of it: what servers set goes in, what a request carries comes out. The host is read in the
//! one canonical form that pins, pool and `Host` use, so that no second reading can hand a cookie to somebody else.
//!
//! Built here rather than on the `cookie` and `cookie_store` crates, whose rules are those of RFC 6265 and earlier. They
//! read fields as text, drop nameless cookies and know three spellings of a date; the store keeps no creation and access
//! times, hence no order, limits or eviction, takes the system's clock only and looks through every domain for each
//! request. Prefixes, `Secure` cookies left alone, sizes and lifetimes would be checked around them, on fields taken
//! apart a second time. What is left over, the public suffix list (`psl2`), hosts (`url`) and the calendar (`time`), comes
//! from crates.
//!
//! **`SameSite`** is read, kept and shown, and `SameSite=None` needs `Secure` (§5.7 step 19), but nothing is withheld by
//! it: it is about requests that one site's page causes at another, and here there are no pages. Each request is its
//! caller's own.

mod cookie;
mod date;
mod error;
mod json;
mod keeper;
mod origin;
mod parse;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use url::Url;

pub use cookie::{Cookie, SameSite};
pub use error::{CookieError, CookieJarError};
pub use keeper::{Cookies, KeepCookies, Keeping};

use crate::config::Scheme;
use crate::target::Target;
use origin::Origin;
use store::Store;

/// Cookies that clients and threads share: a clone is another handle of the same jar.
///
/// Holds at most 180 cookies a domain and 3000 in all. Past that go, in this order, what has expired, cookies that are not
/// `Secure` and then others of domains that have more than 50, and any; the one unused for longest first (§5.7). A cookie
/// lasts 400 days at most (§5.5). Session cookies last as long as the jar.
///
/// `Debug` shows how many cookies and domains there are, never a name or a value.
///
/// ```
/// use pinfetch_client::CookieJar;
///
/// let jar = CookieJar::new();
/// let url = "https://shop.example.com/login".parse()?;
/// jar.store(&url, [&b"session=4711; Path=/; Secure; HttpOnly"[..], b"theme=dark; Domain=example.com"]);
///
/// let other = "https://www.example.com/".parse()?;
/// assert_eq!(jar.header(&url).unwrap(), "session=4711; theme=dark");
/// assert_eq!(jar.header(&other).unwrap(), "theme=dark");
/// # Ok::<(), url::ParseError>(())
/// ```
#[derive(Clone)]
pub struct CookieJar(Arc<Shared>);

struct Shared {
    /// How many cookies the store holds, so that an empty jar costs a request one load. A request that runs beside the
    /// response which brings the first cookie may go without it; one that comes after it cannot.
    count: AtomicUsize,
    store: RwLock<Store>,
    clock: Clock,
}

/// Where the jar's Unix milliseconds come from.
enum Clock {
    System,
    Given(Box<dyn Fn() -> i64 + Send + Sync>),
}

impl CookieJar {
    /// An empty jar by the system's clock.
    pub fn new() -> Self {
        Self::of(Store::default(), Clock::System)
    }

    /// An empty jar by a clock of the caller's, which gives Unix milliseconds.
    pub fn with_clock(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self::of(Store::default(), Clock::Given(Box::new(clock)))
    }

    /// A jar from what [`to_json`](Self::to_json) or tough-cookie's `JSON.stringify(jar)` wrote, by the system's clock.
    ///
    /// Of the text's object only `cookies` is looked at; in each cookie, fields that are not named here are passed over.
    ///
    /// | field | type | absent or null |
    /// | --- | --- | --- |
    /// | `key`, `value` | string | empty |
    /// | `domain` | string | an error |
    /// | `path` | string | `/` |
    /// | `secure`, `httpOnly` | boolean | false |
    /// | `hostOnly` | boolean | false, as tough-cookie reads it |
    /// | `expires` | ISO 8601 string, milliseconds, or `"Infinity"` | a session's cookie |
    /// | `maxAge` | seconds, `"Infinity"` or `"-Infinity"`; goes before `expires`, counts from `lastAccessed` | `expires` counts |
    /// | `creation` | ISO 8601 string, milliseconds, or `"Infinity"` (now) | now |
    /// | `lastAccessed` | likewise | `creation` |
    /// | `sameSite` | `"strict"`, `"lax"` or `"none"` | none given |
    ///
    /// A character up to U+00FF stands for one octet, as in Node's header strings; a string with others is taken as UTF-8.
    /// Cookies that have expired are left out; lifetimes and numbers are cut to the limits; a cookie for all hosts below a
    /// public suffix becomes one for that host only.
    ///
    /// # Errors
    /// [`CookieJarError`] with the place in the list and the field: a type that is not the table's, or a cookie that no
    /// server could have set. One such cookie refuses the whole: half a session is worse to find than none.
    pub fn from_json(text: &str) -> Result<Self, CookieJarError> {
        Self::read(text, Clock::System)
    }

    /// [`from_json`](Self::from_json) by a clock of the caller's, which gives Unix milliseconds.
    ///
    /// # Errors
    /// Those of `from_json`.
    pub fn from_json_with_clock(
        text: &str,
        clock: impl Fn() -> i64 + Send + Sync + 'static,
    ) -> Result<Self, CookieJarError> {
        Self::read(text, Clock::Given(Box::new(clock)))
    }

    /// Takes in the `Set-Cookie` fields of a response that `url` gave, one value each. Those that break a rule are ignored
    /// one by one (§5.7).
    pub fn store<'t>(&self, url: &Url, set_cookie: impl IntoIterator<Item = &'t [u8]>) {
        let mut fields = set_cookie.into_iter().peekable();
        if fields.peek().is_none() {
            return; // most responses
        }
        if let Some(origin) = Origin::of(url) {
            self.store_of(&origin, fields);
        }
    }

    /// [`store`](Self::store) for a request that was sent to `target`.
    pub(crate) fn store_from<'t>(
        &self,
        target: &Target,
        set_cookie: impl IntoIterator<Item = &'t [u8]>,
    ) {
        let mut fields = set_cookie.into_iter().peekable();
        if fields.peek().is_some() {
            self.store_of(&origin_of(target), fields);
        }
    }

    fn store_of<'t>(&self, origin: &Origin<'_>, fields: impl Iterator<Item = &'t [u8]>) {
        let now = self.0.clock.now();
        for field in fields {
            // the draft: "ignore the cookie entirely"; whoever wants to know why calls `set`
            let _refusal = self.receive(field, origin, now);
        }
    }

    /// Sets a cookie of the caller's own, written like a `Set-Cookie` field's value, as if `url` had sent it. One that has
    /// expired takes its predecessor out. `HttpOnly` is as good as any: the caller is no page's script.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn set(&self, text: impl AsRef<[u8]>, url: &Url) -> Result<(), CookieError> {
        self.set_at(text, url, self.0.clock.now())
    }

    /// [`set`](Self::set) as if it were `now` (Unix milliseconds).
    ///
    /// # Errors
    /// Those of `set`.
    pub fn set_at(&self, text: impl AsRef<[u8]>, url: &Url, now: i64) -> Result<(), CookieError> {
        let origin = Origin::of(url).ok_or(CookieError::Url)?;
        self.receive(text.as_ref(), &origin, now)
    }

    /// The `Cookie` field of a request to `url` (§5.8.3): longer paths first, then older cookies. None for no cookies; from
    /// an empty jar at the cost of one load.
    ///
    /// Octets that are not ASCII go out as they came in.
    pub fn header(&self, url: &Url) -> Option<HeaderValue> {
        if self.is_empty() {
            return None;
        }
        self.header_at(url, self.0.clock.now())
    }

    /// [`header`](Self::header) as if it were `now` (Unix milliseconds). What has expired by then is gone for good.
    pub fn header_at(&self, url: &Url, now: i64) -> Option<HeaderValue> {
        if self.is_empty() {
            return None;
        }
        self.header_of(&Origin::of(url)?, now)
    }

    /// [`header`](Self::header) for a request to `target`.
    pub(crate) fn header_to(&self, target: &Target) -> Option<HeaderValue> {
        if self.is_empty() {
            return None;
        }
        self.header_of(&origin_of(target), self.0.clock.now())
    }

    fn header_of(&self, origin: &Origin<'_>, now: i64) -> Option<HeaderValue> {
        let (header, met_expired) = {
            let store = self.read_store();
            let (entries, met_expired) = store.matching(origin, now);
            store::touch(&entries, now);
            (store::cookie_string(&entries), met_expired)
        };
        if met_expired {
            self.change(|store| store.remove_expired(now));
        }
        header
    }

    /// The cookies that a request to `url` would carry, in that order; without a URL all there are, oldest first. Not a use
    /// of them: `last_access` stays.
    pub fn cookies(&self, url: Option<&Url>) -> Vec<Cookie> {
        if self.is_empty() {
            return Vec::new();
        }
        let now = self.0.clock.now();
        let store = self.read_store();
        let entries = match url {
            None => store.all(now),
            Some(url) => match Origin::of(url) {
                None => return Vec::new(),
                Some(origin) => store.matching(&origin, now).0,
            },
        };
        entries.into_iter().map(store::Entry::snapshot).collect()
    }

    /// Takes out the cookie of that name, path and domain, each spelt as [`cookies`](Self::cookies) has it, whether or not
    /// it is host-only. Says whether there was one.
    pub fn remove(&self, domain: &str, path: &str, name: impl AsRef<[u8]>) -> bool {
        self.change(|store| store.remove(domain, path, name.as_ref()))
    }

    /// Takes out all cookies.
    pub fn clear(&self) {
        self.change(|store| *store = Store::default());
    }

    /// [`to_json`](Self::to_json) of the cookies that a request to `url` would carry only, in that order.
    pub fn to_json_for(&self, url: &Url) -> String {
        json::write(&self.cookies(Some(url)))
    }

    /// The jar as JSON in the shape of tough-cookie's `jar.serializeSync()`, which tough-cookie's `CookieJar.fromJSON` and
    /// [`from_json`](Self::from_json) read; session cookies included, oldest cookie first.
    ///
    /// Octets are written as the characters U+0000 to U+00FF, like Node's header strings. **The text holds secrets**:
    /// whoever reads it has the sessions.
    pub fn to_json(&self) -> String {
        json::write(&self.cookies(None))
    }

    fn of(store: Store, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            count: AtomicUsize::new(store.count()),
            store: RwLock::new(store),
            clock,
        }))
    }

    fn read(text: &str, clock: Clock) -> Result<Self, CookieJarError> {
        let store = json::read(text, clock.now())?;
        Ok(Self::of(store, clock))
    }

    fn receive(&self, field: &[u8], origin: &Origin<'_>, now: i64) -> Result<(), CookieError> {
        let set = parse::parse(field, now)?;
        let cookie = Cookie::received(&set, origin, now)?;
        self.change(|store| store.receive(cookie, origin.is_secure, now))
    }

    /// Relaxed: whoever learnt of a cookie by way of another thread sees its count too.
    fn is_empty(&self) -> bool {
        self.0.count.load(Ordering::Relaxed) == 0
    }

    /// The one way to change the store, so that the count follows.
    fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.write_store();
        let result = change(&mut store);
        self.0.count.store(store.count(), Ordering::Relaxed);
        result
    }

    // A thread that panicked leaves no half-made cookie behind: entries come and go whole.

    fn read_store(&self) -> RwLockReadGuard<'_, Store> {
        self.0.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_store(&self) -> RwLockWriteGuard<'_, Store> {
        self.0.store.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn origin_of(target: &Target) -> Origin<'_> {
    let key = &target.destination.key;
    Origin::of_request(&key.host, key.scheme == Scheme::Https, target.path())
}

impl Default for CookieJar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.read_store();
        f.debug_struct("CookieJar")
            .field("cookies", &store.count())
            .field("domains", &store.domain_count())
            .finish()
    }
}

impl Clock {
    fn now(&self) -> i64 {
        match self {
            Self::Given(clock) => clock(),
            // before 1970 the clock is wrong; nothing expires then
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .ok()
                .and_then(|since| i64::try_from(since.as_millis()).ok())
                .unwrap_or(0),
        }
    }
}
