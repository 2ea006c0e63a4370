//! What the engine asks JavaScript, and how it hears the answer: addresses of a lookup function, cookies of a jar that is
//! not the engine's own.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::HashMap;
use http::HeaderValue;
use pinfetch_client::{KeepCookies, Keeping, RequestError, Resolve, ResolveError, Resolving};
use pinfetch_pins::Host;
use tokio::sync::oneshot;

use crate::engine::Core;
use crate::wire;

/// Addresses, or why there are none.
pub(crate) type Addresses = Result<Vec<IpAddr>, ResolveError>;
/// A `Cookie` field, or none, or why nobody knows.
pub(crate) type CookieField = Result<Option<HeaderValue>, RequestError>;

/// Questions that wait for an answer of type `T`.
pub(crate) struct Questions<T>(Arc<Books<T>>);

struct Books<T> {
    asked: Mutex<HashMap<u32, oneshot::Sender<T>>>,
    next: AtomicU32,
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Self(Arc::new(Books {
            asked: Mutex::default(),
            next: AtomicU32::new(1),
        }))
    }
}

impl<T> Questions<T> {
    /// A question that waits for its answer from now on, to be put by whoever begins it.
    fn begin(&self) -> Question<T> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.0.lock().insert(id, sender);
        Question {
            books: self.0.clone(),
            id,
            answer,
        }
    }

    /// Answers question `id`, unless nobody waits any more.
    pub(crate) fn answer(&self, id: u32, answer: T) {
        if let Some(waiting) = self.0.lock().remove(&id) {
            let _ = waiting.send(answer); // the request may have been cancelled meanwhile
        }
    }

    /// Question `id` will not be answered.
    pub(crate) fn give_up(&self, id: u32) {
        self.0.lock().remove(&id);
    }
}

impl<T> Books<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<T>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question; dropped, it is out of the books.
struct Question<T> {
    books: Arc<Books<T>>,
    id: u32,
    answer: oneshot::Receiver<T>,
}

impl<T> Question<T> {
    /// The answer; none when there will be none.
    async fn answer(mut self) -> Option<T> {
        (&mut self.answer).await.ok()
    }
}

impl<T> Drop for Question<T> {
    fn drop(&mut self) {
        self.books.lock().remove(&self.id);
    }
}

/// Asks the lookup function of a client.
pub(crate) struct Resolver {
    pub(crate) core: Weak<Core>,
    pub(crate) client: u32,
}

impl Resolve for Resolver {
    fn resolve(&self, host: &Host) -> Resolving {
        let gone = || ResolveError {
            code: "ECANCELLED".into(),
            message: "the engine is shutting down".into(),
        };
        let Some(core) = self.core.upgrade() else {
            return Box::pin(async move { Err(gone()) });
        };
        let question = core.lookups.begin();
        core.completions
            .push(|out| wire::write_lookup(out, question.id, self.client, host.as_str()));
        Box::pin(async move { question.answer().await.unwrap_or_else(|| Err(gone())) })
    }
}

/// Asks the cookie jar of a client, which is JavaScript's.
pub(crate) struct Keeper {
    pub(crate) core: Weak<Core>,
    pub(crate) client: u32,
}

impl Keeper {
    fn ask(&self, url: &str, set_cookie: Option<&[Vec<u8>]>) -> Keeping<CookieField> {
        let Some(core) = self.core.upgrade() else {
            return Box::pin(async { Err(RequestError::ClientClosed) });
        };
        let question = core.cookies.begin();
        core.completions
            .push(|out| wire::write_cookies(out, question.id, self.client, url, set_cookie));
        Box::pin(async move {
            let answer = question.answer().await;
            answer.unwrap_or(Err(RequestError::ClientClosed))
        })
    }
}

impl KeepCookies for Keeper {
    fn header(&self, url: String) -> Keeping<CookieField> {
        self.ask(&url, None)
    }

    fn store(&self, url: String, set_cookie: Vec<Vec<u8>>) -> Keeping<()> {
        let asking = self.ask(&url, Some(&set_cookie));
        Box::pin(async move {
            // what a jar doesn't take is ignored, as the draft ignores bad cookies
            let _taken = asking.await;
        })
    }
}
