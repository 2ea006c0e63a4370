//! The opening of an HTTP/2 connection: the preface and what the client says of itself (RFC 9113 §3.4, §6.5).

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};

use crate::config::{HeaderLimits, Http2Settings, Look};
use crate::connect::revocable::Revocable;

/// How many streams are opened on a server's first connection before it says how many it allows: RFC 9113 §6.5.2 has it
/// allow no fewer than 100.
pub(crate) const FIRST_STREAMS: usize = 100;
/// How much larger a section h2 is to take than the limit. h2 refuses a header section without saying for what, and cuts
/// a trailer section off without a word: up to so much, the limit is held to by who reads the section whole.
const SECTION_MARGIN: u32 = 4;

/// Sends the preface; the connection then has to be driven.
///
/// Until the server's settings come, it is taken to allow `streams`.
pub(crate) async fn open(
    stream: Revocable,
    streams: usize,
    settings: &Http2Settings,
    look: Option<&Look>,
    limits: HeaderLimits,
) -> Result<(SendRequest<Bytes>, Connection<Revocable, Bytes>), h2::Error> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(streams)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window);
    let own_limit = || Some(limits.bytes.saturating_mul(SECTION_MARGIN));
    if let Some(size) = look.map_or_else(own_limit, |look| look.max_header_list_size) {
        builder.max_header_list_size(size);
    }
    if let Some(most) = look.and_then(|look| look.max_pushed_streams) {
        builder.max_concurrent_streams(most);
    }
    if let Some(size) = settings.max_frame_size {
        builder.max_frame_size(size);
    }
    if let Some(size) = settings.header_table_size {
        builder.header_table_size(size);
    }
    builder.handshake(stream).await
}
