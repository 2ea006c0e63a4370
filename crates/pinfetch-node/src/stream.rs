//! A body that JavaScript reads a piece at a time: the engine reads ahead, and no further than it may.
//!
//! A stalled reader stalls the socket, since nothing is read ahead past [`AHEAD`]; a fast one finds the next piece there,
//! since reading goes on while JavaScript is at the last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pinfetch_client::{RequestError, ResponseBody, Streaming};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::Core;
use crate::memory::prefer_huge_pages;
use crate::queue::INLINE_BODY;
use crate::wire::{self, BodyPlace};

/// How much is read ahead of JavaScript, and so how much a stalled stream holds.
const AHEAD: usize = 512 * 1024;
/// How much is read ahead once a body was taken as fast as it came for [`LONG`] pieces: JavaScript's part is dearer than
/// the engine's, and the same for a piece of any size.
const FAR_AHEAD: usize = 1024 * 1024;
const LONG: u32 = 4;
/// How long a piece of less waits for more, in a body that comes fast: each piece costs a wake.
const PATIENCE: Duration = Duration::from_millis(2);
/// Pieces of at least this size are those of a body that comes fast.
const FAST: usize = 16 * 1024;

/// What JavaScript wants of a body. Dropped unanswered, it is answered with the client's end.
pub(crate) struct Demand {
    core: Arc<Core>,
    id: u32,
    what: Option<Want>,
}

pub(crate) enum Want {
    /// The next piece.
    Piece,
    /// The rest, in memory.
    Rest,
    /// The rest, in a file.
    File(PathBuf),
}

impl Demand {
    pub(crate) fn new(core: Arc<Core>, id: u32, what: Want) -> Self {
        Self {
            core,
            id,
            what: Some(what),
        }
    }

    fn take(mut self) -> (Arc<Core>, u32, Option<Want>) {
        let what = self.what.take();
        (self.core.clone(), self.id, what)
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        if self.what.is_some() {
            self.core.fail(self.id, &RequestError::ClientClosed);
        }
    }
}

/// Serves what JavaScript wants of `body` until the body has ended, or nobody can want more. At most `limit` bytes of it
/// are held in memory at once.
pub(crate) async fn pump(
    mut body: Box<Streaming>,
    mut demands: UnboundedReceiver<Demand>,
    limit: u64,
) {
    let mut ahead = Vec::new();
    let mut state = Ok(false);
    let mut pace = Pace::default();
    loop {
        let demand = loop {
            let may_read = matches!(state, Ok(false)) && ahead.len() < pace.most();
            tokio::select! {
                biased;
                demand = demands.recv() => match demand {
                    Some(demand) => break demand,
                    None => return,
                },
                read = read_ahead(&mut body, &mut ahead, &pace), if may_read => state = read,
            }
        };
        let (core, id, what) = demand.take();
        match what {
            Some(Want::Piece) => {
                while matches!(state, Ok(false)) && ahead.is_empty() {
                    state = read_ahead(&mut body, &mut ahead, &pace).await;
                }
                if pace.is_fast {
                    let filling = async {
                        while matches!(state, Ok(false)) && ahead.len() < pace.most() {
                            state = read_ahead(&mut body, &mut ahead, &pace).await;
                        }
                    };
                    // late or not, what has come is handed over
                    let _ = tokio::time::timeout(PATIENCE, filling).await;
                }
                let mut piece = std::mem::take(&mut ahead);
                pace.took(piece.len());
                if piece.len() < piece.capacity() / 2 {
                    piece.shrink_to_fit(); // its reader may keep it
                }
                if let (Err(error), true) = (&state, piece.is_empty()) {
                    core.fail(id, error);
                    return;
                }
                let has_ended = matches!(state, Ok(true));
                answer(&core, id, piece.into(), has_ended.then_some(&mut *body));
                if has_ended {
                    return;
                }
            }
            Some(Want::Rest) => {
                match rest(&mut body, ahead, state, limit).await {
                    Ok(bytes) => answer(&core, id, bytes, Some(&mut *body)),
                    Err(error) => core.fail(id, &error),
                }
                return;
            }
            Some(Want::File(path)) => {
                match save(&mut body, ahead, state, path).await {
                    Ok(length) => core
                        .completions
                        .push(|out| wire::write_saved(out, id, length)),
                    Err(error) => core.fail(id, &error),
                }
                return;
            }
            None => {}
        }
    }
}

/// How a body comes, and is taken.
#[derive(Default)]
struct Pace {
    is_fast: bool,
    /// How many pieces in a row had [`AHEAD`].
    full: u32,
}

impl Pace {
    const FAST: Self = Self {
        is_fast: true,
        full: 0,
    };

    fn took(&mut self, piece: usize) {
        self.full = if piece >= AHEAD {
            self.full.saturating_add(1)
        } else {
            0
        };
        self.is_fast = piece >= FAST;
    }

    /// How much may be read ahead.
    fn most(&self) -> usize {
        if self.full < LONG { AHEAD } else { FAR_AHEAD }
    }
}

/// Appends some of the body to `ahead`, hardly more than it may have; whether the body has ended.
async fn read_ahead(
    body: &mut Streaming,
    ahead: &mut Vec<u8>,
    pace: &Pace,
) -> Result<bool, RequestError> {
    let most = pace.most();
    if pace.is_fast && ahead.is_empty() {
        ahead.reserve_exact(most); // growing by and by would copy nearly every byte once more
    }
    body.read(ahead, most.saturating_sub(ahead.len())).await
}

/// Hands a piece to whoever wanted it; `ended` is the body that it was the last of.
fn answer(core: &Core, id: u32, piece: Bytes, ended: Option<&mut Streaming>) {
    let has_ended = ended.is_some();
    let trailers = ended.and_then(Streaming::trailers);
    let trailers = trailers.as_ref();
    if piece.len() <= INLINE_BODY {
        core.completions
            .push(|out| wire::write_body(out, id, &BodyPlace::Inline(&piece), trailers, has_ended));
    } else {
        let length = piece.len();
        core.completions.push_with_body(piece, |out, token| {
            wire::write_body(
                out,
                id,
                &BodyPlace::Token(token, length),
                trailers,
                has_ended,
            );
        });
    }
}

async fn rest(
    body: &mut Streaming,
    ahead: Vec<u8>,
    state: Result<bool, RequestError>,
    limit: u64,
) -> Result<Bytes, RequestError> {
    let has_ended = state?;
    if has_ended {
        return ResponseBody::Whole(ahead.into()).collect(limit).await;
    }
    body.collect_after(ahead, limit, prefer_huge_pages).await
}

/// Writes the rest into a file of its own beside `path`, which then takes its place: nobody ever sees half a file.
async fn save(
    body: &mut Streaming,
    ahead: Vec<u8>,
    state: Result<bool, RequestError>,
    path: PathBuf,
) -> Result<u64, RequestError> {
    let mut has_ended = state?;
    let mut file = crate::file::Replacement::create(path).await?;
    let mut buffer = ahead;
    loop {
        while !has_ended && buffer.len() < AHEAD {
            has_ended = read_ahead(body, &mut buffer, &Pace::FAST).await?;
        }
        buffer = file.write(buffer).await?;
        if has_ended {
            return file.finish().await;
        }
    }
}
