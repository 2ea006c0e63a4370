//! What a response carries, as its reader gets it: whole, when it is small or there already, or a piece at a time.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_immediate;
use tokio::time::Instant;

use crate::client::Prepared;
use crate::coding::{CodingError, Decoder, Progress};
use crate::connect::Live;
use crate::deadline::Phase;
use crate::error::RequestError;
use crate::exchange::body::{Body, BodyError};
use crate::exchange::fields::Fields;
use crate::exchange::{Failure, Fault};
use crate::gate::InFlight;

/// Bodies that are known to be no larger are waited for before the response is handed over.
pub(crate) const SMALL: usize = 64 * 1024;
/// How much is reserved at first for a body whose size is unknown.
const FIRST_RESERVE: usize = 64 * 1024;
/// How much more is reserved at once than has come.
const MOST_RESERVE: usize = 64 << 20;
/// How much is reserved at once since the server has promised it: it may promise more than there is memory.
const MOST_TRUSTED: usize = 512 << 20;

/// The body of a response.
#[derive(Debug)]
pub enum ResponseBody {
    /// All of it.
    Whole(Bytes),
    /// To be read. Dropped before its end, it gives the connection or stream up.
    Streaming(Box<Streaming>),
}

impl ResponseBody {
    /// The whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`RequestError::BodyTooLarge`], or whatever ends the body early.
    pub async fn collect(self, limit: u64) -> Result<Bytes, RequestError> {
        match self {
            Self::Whole(bytes) if bytes.len() as u64 > limit => {
                Err(RequestError::BodyTooLarge { limit })
            }
            Self::Whole(bytes) => Ok(bytes),
            Self::Streaming(mut streaming) => streaming.collect(limit).await,
        }
    }
}

/// A body that is still being received.
pub struct Streaming {
    /// What came together with the header section.
    first: Vec<u8>,
    content: Content,
    has_ended: bool,
    request: Box<Prepared>,
    live: Arc<Live>,
    deadline: Option<(Instant, Duration)>,
    /// Counts the request as under way until the body has ended, whether or not anybody has read it by then.
    in_flight: Option<InFlight>,
}

impl std::fmt::Debug for Streaming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streaming")
            .field("left", &self.content.left())
            .finish_non_exhaustive()
    }
}

/// What is there of a body when its response is handed over.
pub(crate) enum Begun {
    Whole(Bytes),
    Open { first: Vec<u8>, content: Content },
}

/// What can go wrong with a body.
#[derive(Debug)]
pub(crate) enum Broken {
    Connection(Fault),
    Coding(CodingError),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Connection(fault)
    }
}

impl From<CodingError> for Broken {
    fn from(error: CodingError) -> Self {
        Self::Coding(error)
    }
}

/// A body on its way, its content codings undone.
pub(crate) struct Content {
    body: Body,
    decoding: Option<Box<Decoding>>,
}

struct Decoding {
    decoder: Decoder,
    /// What was received and not yet decoded.
    input: Bytes,
    /// Whether the decoder holds more than there was room for.
    has_more: bool,
}

impl Content {
    /// A body that passes through `decoder`, if there is one.
    pub(crate) fn new(body: Body, decoder: Option<Decoder>) -> Self {
        Self {
            body,
            decoding: decoder.map(|decoder| {
                Box::new(Decoding {
                    decoder,
                    input: Bytes::new(),
                    has_more: false,
                })
            }),
        }
    }

    /// How many bytes are still to come, where that is known.
    fn left(&self) -> Option<u64> {
        match self.decoding {
            None => self.body.left(),
            Some(_) => None,
        }
    }

    /// Appends some of the body to `out`, hardly more than `room` bytes; whether the body has ended.
    ///
    /// A future dropped while it waits has taken nothing.
    async fn read(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, Broken> {
        let Some(decoding) = &mut self.decoding else {
            return Ok(self.body.read(out, room).await?);
        };
        let before = out.len();
        loop {
            if decoding.has_more || !decoding.input.is_empty() {
                let progress = decoding.decoder.decode(&mut decoding.input, out, room)?;
                decoding.has_more = progress == Progress::HasMore;
                if out.len() > before {
                    return Ok(false);
                }
            } else if let Some(data) = self.body.data().await? {
                decoding.input = data;
            } else {
                decoding.decoder.finish()?;
                return Ok(true);
            }
        }
    }
}

/// Waits for a small body, and takes of any other what has come with the header section.
pub(crate) async fn begin(
    mut body: Body,
    decoder: Option<Decoder>,
    trailers: &mut Option<Fields>,
) -> Result<Begun, Broken> {
    if let (Body::Whole(bytes), None) = (&mut body, &decoder) {
        return Ok(Begun::Whole(std::mem::take(bytes)));
    }
    let is_small = body.left().is_some_and(|left| left <= SMALL as u64);
    if is_small && decoder.is_none() {
        let bytes = whole(&mut body).await?;
        *trailers = body.trailers();
        return Ok(Begun::Whole(bytes));
    }
    let input = if is_small {
        whole(&mut body).await?
    } else {
        Bytes::new()
    };
    let mut content = Content::new(body, decoder);
    if let Some(decoding) = &mut content.decoding {
        decoding.input = input;
    }
    let mut first = Vec::new();
    while content.left().is_none() && first.len() < SMALL {
        let room = SMALL - first.len();
        match poll_immediate(content.read(&mut first, room)).await {
            None => break,
            Some(Ok(false)) => {}
            Some(Ok(true)) => {
                *trailers = content.body.trailers();
                return Ok(Begun::Whole(first.into()));
            }
            Some(Err(broken)) => return Err(broken),
        }
    }
    Ok(Begun::Open { first, content })
}

async fn whole(body: &mut Body) -> Result<Bytes, Fault> {
    match body.collect(SMALL as u64).await {
        Ok(bytes) => Ok(bytes),
        Err(BodyError::Broken(fault)) => Err(fault),
        Err(BodyError::TooLarge) => Err(Fault::Ended), // it was promised to be small
    }
}

impl Streaming {
    pub(crate) fn new(
        first: Vec<u8>,
        content: Content,
        request: Box<Prepared>,
        live: Arc<Live>,
        deadline: Option<(Instant, Duration)>,
        in_flight: InFlight,
    ) -> Self {
        Self {
            first,
            content,
            has_ended: false,
            request,
            live,
            deadline,
            in_flight: Some(in_flight),
        }
    }

    /// Appends some of the body to `out`, hardly more than `room` bytes; whether the body has ended.
    ///
    /// A future dropped while it waits has taken nothing.
    ///
    /// # Errors
    /// Whatever ends the body early, the request's time limit included.
    pub async fn read(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, RequestError> {
        if !self.first.is_empty() {
            if out.is_empty() {
                std::mem::swap(out, &mut self.first);
            } else {
                out.append(&mut self.first);
            }
            return Ok(false);
        }
        if self.has_ended {
            return Ok(true);
        }
        let read = self.receive(out, room).await;
        if !matches!(read, Ok(false)) {
            self.in_flight = None;
        }
        read
    }

    async fn receive(&mut self, out: &mut Vec<u8>, room: usize) -> Result<bool, RequestError> {
        let pause = self.request.body_timeout.map(|limit| {
            // a limit past the end of time is none
            (Instant::now().checked_add(limit), limit)
        });
        let soonest = match (self.deadline, pause) {
            (Some(total), Some((Some(pause), limit))) if pause < total.0 => Some((pause, limit)),
            (None, Some((Some(pause), limit))) => Some((pause, limit)),
            (total, _) => total,
        };
        let reading = self.content.read(out, room);
        let read = match soonest {
            None => reading.await,
            Some((deadline, limit)) => {
                let late = RequestError::Timeout {
                    phase: Phase::Body,
                    limit,
                };
                // a body that is always ready would never let the timer have its say
                if Instant::now() >= deadline {
                    return Err(late);
                }
                match tokio::time::timeout_at(deadline, reading).await {
                    Ok(read) => read,
                    Err(_elapsed) => return Err(late),
                }
            }
        };
        let failure = Failure {
            request: &self.request,
            live: &self.live,
        };
        if let Some(refusal) = failure.refusal() {
            return Err(refusal);
        }
        self.has_ended = read.map_err(|broken| failure.broken(broken))?;
        Ok(self.has_ended)
    }

    /// The rest of the body, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`RequestError::BodyTooLarge`], or whatever ends the body early.
    pub async fn collect(&mut self, limit: u64) -> Result<Bytes, RequestError> {
        self.collect_after(Vec::new(), limit, |_room| {}).await
    }

    /// `whole`, which was read before, and the rest of the body: together at most `limit` bytes. `prepare` is given the
    /// room of `whole` whenever it has become larger, before anything is written there.
    ///
    /// # Errors
    /// As [`collect`](Self::collect); [`RequestError::BodyTooLarge`] where memory has no room for more, too.
    pub async fn collect_after(
        &mut self,
        mut whole: Vec<u8>,
        limit: u64,
        prepare: impl Fn(&mut [MaybeUninit<u8>]),
    ) -> Result<Bytes, RequestError> {
        let read = whole.len().saturating_add(self.first.len());
        let left = self.content.left();
        if left.is_some_and(|left| left.saturating_add(read as u64) > limit) {
            return Err(RequestError::BodyTooLarge { limit });
        }
        let left = left
            .and_then(|left| usize::try_from(left).ok())
            .unwrap_or(0);
        let promised = left.saturating_add(read);
        whole.reserve(promised.clamp(FIRST_RESERVE, 1 << 20));
        loop {
            let room = whole.capacity() - whole.len();
            if room == 0 {
                // a mebibyte has come as promised: trust the rest, rather than copy at each doubling
                let rest = promised.saturating_sub(whole.len()).min(MOST_TRUSTED);
                whole
                    .try_reserve_exact(rest.max(whole.len().min(MOST_RESERVE)))
                    .map_err(|_| RequestError::BodyTooLarge {
                        limit: whole.len() as u64,
                    })?;
                prepare(whole.spare_capacity_mut());
                continue;
            }
            let has_ended = self.read(&mut whole, room).await?;
            if whole.len() as u64 > limit {
                return Err(RequestError::BodyTooLarge { limit });
            }
            if has_ended {
                return Ok(whole.into());
            }
        }
    }

    /// The trailer section (RFC 9110 §6.5), once the body has ended.
    pub fn trailers(&mut self) -> Option<Fields> {
        self.content.body.trailers()
    }
}
