//! Request bodies that JavaScript gives a piece at a time, no further ahead than [`WINDOW`] of what was sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use foldhash::HashMap;
use futures_util::Stream;
use pinfetch_client::{Upload, UploadError};
use tokio::sync::mpsc;

use crate::engine::{Core, lock};
use crate::wire;

/// How far ahead JavaScript may give, in bytes. `src/upload.ts` has the same number.
const WINDOW: u32 = 512 * 1024;
/// JavaScript hears that there is room when so much has been sent since it last did.
const WORTH_TELLING: u32 = WINDOW / 4;
/// Told instead of room: nobody wants more.
pub(crate) const STOP: u32 = u32::MAX;

/// Where the pieces of the bodies under way go, by request.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<HashMap<u32, mpsc::UnboundedSender<Given>>>);

enum Given {
    Piece(Bytes),
    End,
}

impl Uploads {
    /// The body of request `id`, whose pieces will be given.
    pub(crate) fn begin(&self, core: &Arc<Core>, id: u32, length: Option<u64>) -> Upload {
        let (sender, given) = mpsc::unbounded_channel();
        lock(&self.0).insert(id, sender);
        let pieces = Pieces {
            core: Arc::downgrade(core),
            id,
            given,
            untold: 0,
            has_ended: false,
        };
        Upload::new(pieces, length)
    }

    /// The next piece for request `id`, or none at its end. Nothing, if nobody wants it any more.
    pub(crate) fn give(&self, id: u32, piece: Option<Bytes>) {
        let mut uploads = lock(&self.0);
        let given = match piece {
            Some(piece) => uploads
                .get(&id)
                .map(|sender| sender.send(Given::Piece(piece))),
            None => uploads.remove(&id).map(|sender| sender.send(Given::End)),
        };
        drop(given); // a body that was given up meanwhile wants nothing
    }

    /// The request is over: what is missing of its body will not come.
    pub(crate) fn end(&self, id: u32) {
        lock(&self.0).remove(&id);
    }
}

struct Pieces {
    core: Weak<Core>,
    id: u32,
    given: mpsc::UnboundedReceiver<Given>,
    /// How much was taken since JavaScript last heard of room.
    untold: u32,
    has_ended: bool,
}

impl Pieces {
    fn tell(&self, room: u32) {
        if let Some(core) = self.core.upgrade() {
            core.completions
                .push(|out| wire::write_upload(out, self.id, room));
        }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, UploadError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UploadError>>> {
        Poll::Ready(match ready!(self.given.poll_recv(cx)) {
            Some(Given::Piece(piece)) => {
                self.untold += u32::try_from(piece.len()).unwrap_or(WINDOW);
                if self.untold >= WORTH_TELLING {
                    self.tell(self.untold);
                    self.untold = 0;
                }
                Some(Ok(piece))
            }
            Some(Given::End) => {
                self.has_ended = true;
                None
            }
            None if self.has_ended => None,
            None => Some(Err(UploadError::Source("the request was given up".into()))),
        })
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if !self.has_ended {
            self.tell(STOP);
        }
        if let Some(core) = self.core.upgrade() {
            core.uploads.end(self.id);
        }
    }
}
