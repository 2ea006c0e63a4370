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
use crate::queue::INLINE_BODY;
use crate::wire::{self, BodyPlace};

/// How much is read ahead of JavaScript, and so how much a stalled stream holds.
const AHEAD: usize = 512 * 1024;
/// A piece of less waits a moment for more, in a body that comes fast: each piece costs a wake.
const WORTHWHILE: usize = 128 * 1024;
/// That moment.
const PATIENCE: Duration = Duration::from_millis(1);
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
    let mut is_fast = false;
    loop {
        let demand = loop {
            let may_read = matches!(state, Ok(false)) && ahead.len() < AHEAD;
            tokio::select! {
                biased;
                demand = demands.recv() => match demand {
                    Some(demand) => break demand,
                    None => return,
                },
                read = body.read(&mut ahead, AHEAD), if may_read => state = read,
            }
        };
        let (core, id, what) = demand.take();
        match what {
            Some(Want::Piece) => {
                while matches!(state, Ok(false)) && ahead.len() < WORTHWHILE {
                    if ahead.is_empty() {
                        state = body.read(&mut ahead, AHEAD).await;
                        continue;
                    }
                    if !is_fast {
                        break;
                    }
                    match tokio::time::timeout(PATIENCE, body.read(&mut ahead, AHEAD)).await {
                        Ok(read) => state = read,
                        Err(_elapsed) => break,
                    }
                }
                let piece = std::mem::take(&mut ahead);
                is_fast = piece.len() >= FAST;
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
    body.collect_after(ahead, limit).await
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
            has_ended = body.read(&mut buffer, AHEAD).await?;
        }
        buffer = file.write(buffer).await?;
        if has_ended {
            return file.finish().await;
        }
    }
}
