//! Servers that do what no honest one does: they speak out of turn, stall, cut off, or talk nonsense.
//!
//! HTTP is written byte by byte here, since no library lets a server misbehave. Only as much of a request is
//! understood as is needed to know that it is complete.

use std::io;
use std::sync::atomic::Ordering;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::server::Shared;

/// What a server does once a peer connects.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Answers each request, see the paths in `genuine.rs`. An interceptor that holds somebody else's certificate
    /// behaves like this, too.
    #[default]
    Normal,
    /// The same without TLS.
    Plain,
    /// Answers, and a moment later writes a second response that nobody asked for on the idle connection.
    EarlyWriter,
    /// Writes a response right after the handshake, before any request.
    SpeaksFirst,
    /// Reads requests and never answers.
    StallResponse,
    /// Sends the head and half of the body, and then nothing more.
    StallBody,
    /// Sends the head and half of the body, and closes without the end of the TLS session.
    CutResponse,
    /// Answers with bytes that are no HTTP.
    Garbage,
    /// Closes as soon as a request is complete.
    CloseAfterRequest,
    /// Answers and closes, without having announced it.
    CloseAfterResponse,
    /// Claims other origins by ORIGIN and ALTSVC frames (HTTP/2) or an `alt-svc` field (HTTP/1.1), and answers.
    OriginFrame,
    /// Reads the `ClientHello` and says nothing.
    StallHandshake,
    /// Answers the `ClientHello` with bytes that are no TLS.
    GarbageHandshake,
    /// Closes after the `ClientHello`.
    CloseHandshake,
}

impl Behaviour {
    pub(crate) fn completes_handshakes(self) -> bool {
        !matches!(
            self,
            Self::Plain | Self::StallHandshake | Self::GarbageHandshake | Self::CloseHandshake
        )
    }
}

/// Treats a peer that has sent its `ClientHello` as `behaviour` says.
pub(crate) async fn break_handshake(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Behaviour,
) -> io::Result<()> {
    match behaviour {
        Behaviour::StallHandshake => drain(&mut stream).await,
        Behaviour::GarbageHandshake => {
            stream.write_all(&GARBAGE).await?;
            drain(&mut stream).await
        }
        _ => Ok(()), // dropping the stream closes it
    }
}

/// Treats a peer that has completed its handshake as the server's behaviour says.
pub(crate) async fn misbehave(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    shared: &Shared,
    h2: bool,
) -> io::Result<()> {
    let mut peer = Peer {
        stream,
        shared,
        h2,
        received: Vec::new(),
    };
    peer.greet().await?;
    let hello = format!("hello from {}", shared.settings.name).into_bytes();
    if shared.settings.behaviour == Behaviour::SpeaksFirst {
        peer.write_unsolicited(1).await?;
    }
    while let Some(id) = peer.request().await? {
        match shared.settings.behaviour {
            Behaviour::EarlyWriter => {
                peer.respond(id, hello.len(), &hello).await?;
                tokio::time::sleep(shared.settings.delay).await;
                peer.write_unsolicited(id + 2).await?;
            }
            Behaviour::StallResponse => {}
            Behaviour::StallBody => peer.respond(id, 2 * hello.len(), &hello).await?,
            Behaviour::CutResponse => return peer.respond(id, 2 * hello.len(), &hello).await,
            Behaviour::Garbage => {
                peer.write(&GARBAGE).await?;
                return drain(&mut peer.stream).await;
            }
            Behaviour::CloseAfterRequest => return Ok(()),
            Behaviour::CloseAfterResponse => return peer.respond(id, hello.len(), &hello).await,
            _ => peer.respond(id, hello.len(), &hello).await?,
        }
    }
    Ok(())
}

/// The peer of one connection, read as far as the end of its requests.
struct Peer<'a, S> {
    stream: S,
    shared: &'a Shared,
    h2: bool,
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<'_, S> {
    /// Opens an HTTP/2 connection from the server's side (RFC 9113 §3.4); HTTP/1.1 has nothing to say yet.
    async fn greet(&mut self) -> io::Result<()> {
        if !self.h2 {
            return Ok(());
        }
        let mut greeting = frame(SETTINGS, 0, 0, &[]);
        if self.shared.settings.behaviour == Behaviour::OriginFrame {
            let mut origins = Vec::new(); // RFC 8336 §2.1
            let mut alternatives = vec![0, 0]; // no origin follows: the authority is the frame's stream's (RFC 7838 §4)
            for origin in &self.shared.settings.origins {
                origins.extend_from_slice(
                    &u16::try_from(origin.len())
                        .unwrap_or(u16::MAX)
                        .to_be_bytes(),
                );
                origins.extend_from_slice(origin.as_bytes());
            }
            alternatives.extend_from_slice(self.alternative_services().as_bytes());
            greeting.extend(frame(ORIGIN, 0, 0, &origins));
            greeting.extend(frame(ALTSVC, 0, 1, &alternatives));
        }
        self.write(&greeting).await
    }

    /// Waits for the end of the next request: its stream, for HTTP/1.1 zero. `None` when the peer has left.
    async fn request(&mut self) -> io::Result<Option<u32>> {
        let id = if self.h2 {
            self.request_h2().await?
        } else {
            self.request_h1().await?
        };
        if id.is_some() {
            self.shared
                .counters
                .requests
                .fetch_add(1, Ordering::Release);
        }
        Ok(id)
    }

    async fn request_h1(&mut self) -> io::Result<Option<u32>> {
        loop {
            if let Some(end) = self
                .received
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(self.received.get(..end).unwrap_or_default())
                    .to_lowercase();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
                let whole = (end + 4).saturating_add(length.unwrap_or(0_usize));
                if self.received.len() >= whole {
                    self.received.drain(..whole);
                    return Ok(Some(0));
                }
            }
            if !self.receive().await? {
                return Ok(None);
            }
        }
    }

    async fn request_h2(&mut self) -> io::Result<Option<u32>> {
        loop {
            if self.received.starts_with(PREFACE) {
                self.received.drain(..PREFACE.len());
            }
            if let Some(Frame {
                kind,
                flags,
                stream,
                payload,
            }) = self.frame()
            {
                match kind {
                    SETTINGS if flags & ACK == 0 => {
                        self.write(&frame(SETTINGS, ACK, 0, &[])).await?;
                    }
                    PING if flags & ACK == 0 => self.write(&frame(PING, ACK, 0, &payload)).await?,
                    HEADERS | DATA if flags & END_STREAM != 0 => return Ok(Some(stream)),
                    _ => {}
                }
            } else if !self.receive().await? {
                return Ok(None);
            }
        }
    }

    /// Takes the next frame from what was received, if it is whole.
    fn frame(&mut self) -> Option<Frame> {
        let &[high, middle, low, kind, flags, a, b, c, d] = self.received.first_chunk::<9>()?;
        let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
        if self.received.starts_with(b"PRI ") || self.received.len() < 9 + length {
            return None; // half a preface looks like a frame
        }
        let payload = self.received.drain(..9 + length).skip(9).collect();
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff,
            payload,
        })
    }

    async fn receive(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.received).await? > 0)
    }

    /// Sends a response that promises `length` bytes and brings `body`.
    async fn respond(&mut self, id: u32, length: usize, body: &[u8]) -> io::Result<()> {
        let mut bytes;
        if self.h2 {
            let digits = length.to_string();
            // RFC 7541: `:status: 200` is entry 8; `content-length` is entry 28, its value a plain literal.
            let mut fields = vec![0x88, 0x0f, 0x0d, u8::try_from(digits.len()).unwrap_or(0)];
            fields.extend_from_slice(digits.as_bytes());
            bytes = frame(HEADERS, END_HEADERS, id, &fields);
            bytes.extend(frame(
                DATA,
                if length == body.len() { END_STREAM } else { 0 },
                id,
                body,
            ));
        } else {
            let alternatives = match self.shared.settings.behaviour {
                Behaviour::OriginFrame => format!("alt-svc: {}\r\n", self.alternative_services()),
                _ => String::new(),
            };
            bytes = format!("HTTP/1.1 200 OK\r\n{alternatives}content-length: {length}\r\n\r\n")
                .into_bytes();
            bytes.extend_from_slice(body);
        }
        self.write(&bytes).await
    }

    async fn write_unsolicited(&mut self, id: u32) -> io::Result<()> {
        self.respond(id, UNSOLICITED.len(), UNSOLICITED).await?;
        self.shared
            .counters
            .unsolicited
            .fetch_add(1, Ordering::Release);
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    fn alternative_services(&self) -> String {
        let services = self.shared.settings.origins.iter().map(|origin| {
            let authority = origin
                .split_once("://")
                .map_or(origin.as_str(), |(_, authority)| authority);
            format!("h2=\"{authority}\", h3=\"{authority}\"")
        });
        services.collect::<Vec<_>>().join(", ")
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads until the peer leaves, so that what it sends is counted.
pub(crate) async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const UNSOLICITED: &[u8] = b"nobody asked for this";
const GARBAGE: [u8; 512] = [0xa5; 512];

// Frame types and flags of RFC 9113 §6, RFC 8336 (ORIGIN) and RFC 7838 (ALTSVC).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const ALTSVC: u8 = 0xa;
const ORIGIN: u8 = 0xc;
const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
