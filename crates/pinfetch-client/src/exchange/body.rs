//! A response's body, read whole within its limit.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

use super::ResponseBody;

/// How much is reserved on the word of a Content-Length alone: a server may promise what it never sends.
const TRUSTED_RESERVE: u64 = 1 << 20;

pub(crate) enum BodyError {
    TooLarge,
    Broken(hyper::Error),
}

/// The whole body, of at most `limit` bytes.
pub(crate) async fn collect(mut body: ResponseBody, limit: u64) -> Result<Bytes, BodyError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let promised = body.size_hint().lower();
    if promised > limit {
        return Err(BodyError::TooLarge);
    }
    let Some(first) = data(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() as u64 > limit {
        return Err(BodyError::TooLarge);
    }
    let Some(second) = data(&mut body).await? else {
        return Ok(first);
    }; // one frame: no copy
    let mut whole = Vec::with_capacity(reserve(promised, first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(bytes) = next {
        if (whole.len() + bytes.len()) as u64 > limit {
            return Err(BodyError::TooLarge);
        }
        if whole.len() as u64 >= TRUSTED_RESERVE && whole.capacity() < whole.len() + bytes.len() {
            // a mebibyte has come as promised: trust the rest, rather than copy at each doubling
            let rest = promised.saturating_sub(whole.len() as u64);
            whole.reserve_exact(
                usize::try_from(rest)
                    .unwrap_or(0)
                    .max(bytes.len())
                    .max(whole.len().min(1 << 26)),
            );
        }
        whole.extend_from_slice(&bytes);
        next = data(&mut body).await?;
    }
    Ok(whole.into())
}

async fn data(body: &mut ResponseBody) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(BodyError::Broken)?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            Ok(_) | Err(_) => {} // trailers, or nothing
        }
    }
    Ok(None)
}

fn reserve(promised: u64, received: usize) -> usize {
    usize::try_from(promised.min(TRUSTED_RESERVE))
        .unwrap_or(0)
        .max(received)
}
