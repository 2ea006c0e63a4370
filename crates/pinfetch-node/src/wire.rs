//! Every record that crosses the boundary, and its bytes. Twin of `src/wire.ts`; both pass `wire-vectors.json`.
//!
//! Little endian. `bytes` is a u32 length and that many bytes, `str` the same in UTF-8, `list` a u32 count and its
//! items, `opt` a u8 (0 or 1) and the value if 1; a pin is its 32 bytes. In a queue each record is preceded by its
//! length (u32) and begins with its kind (u8).

use std::borrow::Cow;
use std::sync::Arc;

use pinfetch_client::{
    Code, CodingError, ConnectionFacts, CutOff, ExpiryPhase, Fields, Notice, Phase, ProxyError,
    RedirectProblem, RequestError, Response, Swap, TlsFacts,
};
use pinfetch_pins::{
    Afterwards, BadPin, Demand, Expiry, Mode, Pin, PinSetSource, PinSource, Places, Policy,
    PolicyBuilder, Role, Rules, Trust, Unpinned, VerifiedPath, VerifyError,
};
use rustls_pki_types::CertificateDer;

/// Kinds of submission (JavaScript → engine).
pub(crate) mod submission {
    pub(crate) const REQUEST: u8 = 1;
    pub(crate) const CANCEL: u8 = 2;
    pub(crate) const SET_POLICY: u8 = 3;
    pub(crate) const CLOSE: u8 = 4;
    pub(crate) const LOOKUP_REPLY: u8 = 5;
    pub(crate) const RELEASE: u8 = 6;
    pub(crate) const PINS: u8 = 7;
    pub(crate) const READ: u8 = 8;
    pub(crate) const SAVE: u8 = 9;
    pub(crate) const COOKIES_REPLY: u8 = 10;
    pub(crate) const RELEASE_JAR: u8 = 11;
    pub(crate) const UPLOAD: u8 = 12;
    pub(crate) const SET_LIVE_POLICY: u8 = 20;
    pub(crate) const RELEASE_LIVE_POLICY: u8 = 21;
    pub(crate) const RELEASE_REHEARSAL: u8 = 22;
    pub(crate) const TELL_HANDSHAKES: u8 = 23;
}

/// Kinds of completion (engine → JavaScript).
pub(crate) mod completion {
    pub(crate) const RESPONSE: u8 = 1;
    pub(crate) const CONNECTION: u8 = 2;
    pub(crate) const GONE: u8 = 3;
    pub(crate) const ERROR: u8 = 4;
    pub(crate) const DONE: u8 = 5;
    pub(crate) const LOOKUP: u8 = 6;
    pub(crate) const SERVER_PINS: u8 = 7;
    pub(crate) const BODY: u8 = 8;
    pub(crate) const SAVED: u8 = 9;
    pub(crate) const COOKIES: u8 = 10;
    pub(crate) const UPLOAD: u8 = 11;
    pub(crate) const INFORMATION: u8 = 12;
    pub(crate) const REPORTED: u8 = 13;
    pub(crate) const UNPINNED: u8 = 14;
    pub(crate) const ENDING: u8 = 15;
    pub(crate) const SWAPPED: u8 = 20;
    pub(crate) const HANDSHAKE: u8 = 21;
}

/// Tags of what a REQUEST says besides, up to its end.
pub(crate) mod extra {
    pub(crate) const REDIRECT: u8 = 1;
    pub(crate) const MAX_REDIRECTS: u8 = 2;
    pub(crate) const DECOMPRESS: u8 = 3;
    pub(crate) const PROXY: u8 = 4;
    pub(crate) const COOKIES: u8 = 5;
    pub(crate) const MAX_RESPONSE_BYTES: u8 = 6;
    pub(crate) const MAX_EXPANSION: u8 = 7;
    pub(crate) const REUSE: u8 = 8;
    pub(crate) const HEADERS_TIMEOUT: u8 = 9;
    pub(crate) const BODY_TIMEOUT: u8 = 10;
    pub(crate) const RETRY: u8 = 11;
    pub(crate) const ON_INFORMATION: u8 = 12;
    pub(crate) const CONNECT_TIMEOUT: u8 = 13;
    pub(crate) const HTTP2: u8 = 14;
}

/// What is asked of a cookie jar.
pub(crate) mod jar {
    pub(crate) const NEW: u8 = 1;
    pub(crate) const FROM_JSON: u8 = 2;
    pub(crate) const OF_CLIENT: u8 = 3;
    pub(crate) const SET: u8 = 4;
    pub(crate) const HEADER: u8 = 5;
    pub(crate) const COOKIES: u8 = 6;
    pub(crate) const REMOVE: u8 = 7;
    pub(crate) const CLEAR: u8 = 8;
}

/// Flags of a RESPONSE.
const BODY_IS_TOKEN: u8 = 1;
const HAS_URL: u8 = 2;
const HAS_REASON: u8 = 4;
const BODY_STREAMS: u8 = 8;
const HAS_TRAILERS: u8 = 16;
const IS_REDIRECTED: u8 = 32;
const IS_REUSED: u8 = 64;

/// Flags of a pin set.
const EXCLUDES: u8 = 1;
const HAS_PLACES: u8 = 2;
const HAS_RULES: u8 = 4;
/// Bytes of the shortest pin set: the lengths of its pattern and its pins, and the flags.
const LEAST_PIN_SET: usize = 9;

/// Flags of a BODY.
const HAS_ENDED: u8 = 2;

/// Tags of an error's fields.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Tag {
    Message = 1,
    Hostname = 2,
    Port = 3,
    Patterns = 4,
    Expected = 5,
    Found = 6,
    Presented = 7,
    RemoteAddress = 8,
    Phase = 9,
    Limit = 10,
    Hint = 11,
    SystemCode = 12,
    Alert = 13,
    Index = 14,
    Input = 15,
    Pattern = 16,
    Cause = 17,
    Names = 18,
    NotAfter = 19,
    Url = 20,
    Proxy = 21,
    Status = 22,
    Reason = 23,
    SocksCode = 24,
    Blocked = 25,
    CutOffs = 40,
}

/// How a record has a policy.
pub(crate) enum PolicyRecord {
    /// By the handle of one that JavaScript holds.
    Compiled(u32),
    Written(Result<Arc<Policy>, RequestError>),
}

/// A record that does not hold what its kind promises: the two halves of the package differ.
#[derive(Debug, thiserror::Error)]
#[error("a record ends early or holds a value out of range")]
pub(crate) struct Malformed;

/// Reads values off the front of a record.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn size(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.u32()?).map_err(|_| Malformed)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.size()?;
        self.take(length)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.size()?;
        // an item takes a byte at least: no count reserves more than the record could hold
        let mut items = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(crate) fn opt<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag()? {
            value(self).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn pin_source(&mut self) -> Result<PinSource, Malformed> {
        let kind = self.u8()?;
        let bytes = self.bytes()?;
        match kind {
            0 => Ok(PinSource::Text(
                std::str::from_utf8(bytes).map_err(|_| Malformed)?.into(),
            )),
            1 => Ok(PinSource::Certificate(bytes.into())),
            2 => Ok(PinSource::PublicKey(bytes.into())),
            _ => Err(Malformed),
        }
    }

    /// A policy: one that was compiled before, or one that is written out and compiled now.
    pub(crate) fn policy(&mut self) -> Result<PolicyRecord, Malformed> {
        match self.u8()? {
            0 => Ok(PolicyRecord::Written(self.written_policy()?.map(Arc::new))),
            1 => self.u32().map(PolicyRecord::Compiled),
            _ => Err(Malformed),
        }
    }

    /// A policy that is written out: its sets, the trust anchors that they name by number, what becomes of hosts without
    /// pins, and the blocked pins.
    fn written_policy(&mut self) -> Result<Result<Policy, RequestError>, Malformed> {
        let mut sets = Self::new(self.bytes()?);
        let anchors =
            self.list(|reader| reader.list(|reader| reader.bytes().map(<[u8]>::to_vec)))?;
        let unpinned = self.unpinned()?;
        let blocked = self.list(Self::pin_source)?;
        let mut trusts = Vec::with_capacity(anchors.len());
        for blobs in &anchors {
            match pinfetch_client::read_anchors("trust", blobs) {
                Ok(anchors) => trusts.push(Trust::Anchors(Arc::new(anchors))),
                Err(error) => return Ok(Err(error)),
            }
        }
        let count = sets.size()?;
        let mut builder = PolicyBuilder::with_capacity(count.min(sets.0.len() / LEAST_PIN_SET));
        builder.set_unpinned(unpinned);
        for pin in &blocked {
            if let Err(error) = builder.block(pin) {
                return Ok(Err(error.into()));
            }
        }
        // one after the other: a large policy's are never in memory together
        for _ in 0..count {
            if let Err(error) = builder.add(sets.pin_set(&trusts)?) {
                return Ok(Err(error.into()));
            }
        }
        if !sets.is_empty() {
            return Err(Malformed);
        }
        Ok(builder.finish().map_err(RequestError::from))
    }

    fn pin_set(&mut self, trusts: &[Trust]) -> Result<PinSetSource, Malformed> {
        let pattern = self.str()?.into();
        let flags = self.u8()?;
        if flags & !(EXCLUDES | HAS_PLACES | HAS_RULES) != 0 {
            return Err(Malformed);
        }
        let pins = self.list(Self::pin_source)?;
        let places = if flags & HAS_PLACES == 0 {
            Vec::new()
        } else {
            let place = |_| self.place();
            (0..pins.len()).map(place).collect::<Result<_, _>>()?
        };
        let rules = if flags & HAS_RULES == 0 {
            Rules::default()
        } else {
            self.rules(trusts)?
        };
        Ok(PinSetSource {
            pattern,
            exclude: flags & EXCLUDES != 0,
            pins,
            places,
            rules,
        })
    }

    fn rules(&mut self, trusts: &[Trust]) -> Result<Rules, Malformed> {
        let mode = match self.u8()? {
            0 => Mode::Enforce,
            1 => Mode::Report,
            _ => return Err(Malformed),
        };
        let demand = match self.u8()? {
            0 => Demand::keys(self.u32()?),
            1 => Demand::at_each(self.list(Self::place)?),
            _ => return Err(Malformed),
        };
        let expires = self.opt(|reader| {
            let at = reader.i64()?;
            let then = match reader.u8()? {
                0 => Afterwards::Enforce,
                1 => Afterwards::Report,
                2 => Afterwards::Refuse,
                _ => return Err(Malformed),
            };
            Ok(Expiry { at, then })
        })?;
        let trust = match self.u8()? {
            0 => Trust::Own,
            1 => Trust::PinnedKey,
            2 => {
                let index = self.size()?;
                trusts.get(index).cloned().ok_or(Malformed)?
            }
            _ => return Err(Malformed),
        };
        Ok(Rules {
            mode,
            demand,
            expires,
            trust,
        })
    }

    fn place(&mut self) -> Result<Places, Malformed> {
        Ok(match self.u8()? {
            0 => Places::ANY,
            1 => Places::LEAF,
            2 => Places::INTERMEDIATE,
            3 => Places::ROOT,
            4 => Places::CA,
            _ => return Err(Malformed),
        })
    }

    pub(crate) fn unpinned(&mut self) -> Result<Unpinned, Malformed> {
        Ok(match self.u8()? {
            0 => Unpinned::Allow,
            1 => Unpinned::Warn,
            2 => Unpinned::Refuse,
            _ => return Err(Malformed),
        })
    }
}

/// Appends values to a record.
pub(crate) trait Write {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn i64(&mut self, value: i64);
    /// A length or count; no record comes near 4 GiB, and one that did would be cut at its reader's bound.
    fn size(&mut self, value: usize);
    fn bytes(&mut self, value: &[u8]);
    fn str(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }
    fn pin(&mut self, pin: &Pin);
    fn opt<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }
    fn pins<'p>(&mut self, pins: impl ExactSizeIterator<Item = &'p Pin>) {
        self.size(pins.len());
        for pin in pins {
            self.pin(pin);
        }
    }
    fn strs<S: AsRef<str>>(&mut self, texts: &[S]) {
        self.size(texts.len());
        for text in texts {
            self.str(text.as_ref());
        }
    }
    /// A `bytes` whose content `write` appends.
    fn nested(&mut self, write: impl FnOnce(&mut Self));
}

impl Write for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn size(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    fn bytes(&mut self, value: &[u8]) {
        self.size(value.len());
        self.extend_from_slice(value);
    }

    fn pin(&mut self, pin: &Pin) {
        self.extend_from_slice(pin.as_bytes());
    }

    fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.u32(0);
        write(self);
        let length = u32::try_from(self.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = self.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Where a body travels.
pub(crate) enum BodyPlace<'b> {
    /// In the record.
    Inline(&'b [u8]),
    /// Apart, under a token, of a length in bytes.
    Token(u32, usize),
    /// A piece at a time, when it is asked for.
    Stream,
}

pub(crate) fn write_response(
    out: &mut Vec<u8>,
    id: u32,
    response: &Response,
    place: &BodyPlace<'_>,
) {
    out.nested(|out| {
        out.u8(completion::RESPONSE);
        out.u32(id);
        out.u16(response.status.as_u16());
        out.u8(match response.version {
            http::Version::HTTP_2 => 2,
            http::Version::HTTP_11 => 1,
            _ => 0, // HTTP/1.0: there is no other
        });
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.u8(flag(matches!(place, BodyPlace::Token(..)), BODY_IS_TOKEN)
            | flag(response.url.is_some(), HAS_URL)
            | flag(response.reason.is_some(), HAS_REASON)
            | flag(matches!(place, BodyPlace::Stream), BODY_STREAMS)
            | flag(response.trailers.is_some(), HAS_TRAILERS)
            | flag(response.redirected, IS_REDIRECTED)
            | flag(response.is_reused, IS_REUSED));
        out.u32(response.connection.facts().id);
        let timings = &response.timings;
        out.u32(timings.queue);
        out.u32(timings.first_byte);
        out.u32(timings.handed_over);
        if let Some(url) = &response.url {
            out.str(url);
        }
        if let Some(reason) = &response.reason {
            // latin1 on the wire of HTTP/1.1; anything else is shown as it can be
            out.str(&latin1(reason));
        }
        write_fields(out, &response.headers);
        match place {
            BodyPlace::Inline(body) => out.bytes(body),
            BodyPlace::Token(token, length) => {
                out.u32(*token);
                out.size(*length);
            }
            BodyPlace::Stream => {}
        }
        if let Some(trailers) = &response.trailers {
            write_fields(out, trailers);
        }
    });
}

/// An interim response (RFC 9110 §15.2) to a request that asked to hear of them.
pub(crate) fn write_information(
    out: &mut Vec<u8>,
    id: u32,
    status: http::StatusCode,
    fields: &Fields,
) {
    out.nested(|out| {
        out.u8(completion::INFORMATION);
        out.u32(id);
        out.u16(status.as_u16());
        write_fields(out, fields);
    });
}

/// A count of field lines, and a block of names (lower case) and values.
fn write_fields(out: &mut Vec<u8>, fields: &Fields) {
    out.size(fields.len());
    out.nested(|out| {
        for (name, value) in fields.iter() {
            out.u16(u16::try_from(name.len()).unwrap_or(u16::MAX)); // a header section is bounded; a name is its part
            let from = out.len();
            out.extend_from_slice(name);
            if let Some(name) = out.get_mut(from..) {
                name.make_ascii_lowercase();
            }
            out.bytes(value);
        }
    });
}

/// Part of a streamed body, the answer to a READ.
pub(crate) fn write_body(
    out: &mut Vec<u8>,
    id: u32,
    place: &BodyPlace<'_>,
    end: Option<&Fields>,
    has_ended: bool,
) {
    out.nested(|out| {
        out.u8(completion::BODY);
        out.u32(id);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.u8(flag(matches!(place, BodyPlace::Token(..)), BODY_IS_TOKEN)
            | flag(has_ended, HAS_ENDED)
            | flag(end.is_some(), HAS_TRAILERS));
        match place {
            BodyPlace::Inline(body) => out.bytes(body),
            BodyPlace::Token(token, length) => {
                out.u32(*token);
                out.size(*length);
            }
            BodyPlace::Stream => out.bytes(&[]),
        }
        if let Some(trailers) = end {
            write_fields(out, trailers);
        }
    });
}

fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(
        |_| bytes.iter().copied().map(char::from).collect(),
        Cow::Borrowed,
    )
}

pub(crate) fn write_connection(out: &mut Vec<u8>, facts: &ConnectionFacts) {
    out.nested(|out| {
        out.u8(completion::CONNECTION);
        out.u32(facts.id);
        match &facts.tls {
            None => {
                out.u8(0);
                out.u16(0);
                out.u8(0);
            }
            Some(tls) => {
                out.u8(if tls.tls13 { 13 } else { 12 });
                out.u16(tls.cipher_suite);
                out.u8(tls.resumed.into());
            }
        }
        out.str(if facts.http2 { "h2" } else { "http/1.1" });
        out.str(&facts.remote.to_string());
        out.u32(facts.times.dns);
        out.u32(facts.times.connect);
        out.u32(facts.times.tls);
        out.opt(
            facts.tls.as_ref().and_then(TlsFacts::matched),
            |out, pin| out.pin(&pin),
        );
        out.nested(|out| write_path(out, facts.tls.as_ref().and_then(|tls| tls.path.as_deref())));
        let reported = facts.reported();
        out.strs(reported.as_ref().map_or(&[], |report| &report.patterns));
    });
}

/// A path block: for each certificate, end entity first, its pin, its role, and its DER (or its subject's, for an anchor
/// that is known without a certificate).
pub(crate) fn write_path(out: &mut Vec<u8>, path: Option<&VerifiedPath>) {
    let Some(path) = path else { return out.u32(0) };
    out.size(path.pins().len());
    for entry in path.entries() {
        out.pin(&entry.pin);
        out.u8(role(entry.role));
        if let Some(der) = entry.der {
            out.u8(0);
            out.bytes(der);
        } else {
            out.u8(1);
            out.bytes(entry.subject);
        }
    }
}

/// What a server presented, in its order, as a path block: the first is the end entity, the rest are said to be
/// intermediates, since nothing was verified.
pub(crate) fn write_presented(out: &mut Vec<u8>, chain: &[CertificateDer<'_>]) {
    let readable: Vec<_> = chain
        .iter()
        .filter_map(|der| Some((Pin::of_certificate(der).ok()?, der)))
        .collect();
    out.size(readable.len());
    for (index, (pin, der)) in readable.into_iter().enumerate() {
        out.pin(&pin);
        out.u8(role(if index == 0 {
            Role::EndEntity
        } else {
            Role::Intermediate
        }));
        out.u8(0);
        out.bytes(der);
    }
}

fn role(role: Role) -> u8 {
    match role {
        Role::EndEntity => 0,
        Role::Intermediate => 1,
        Role::TrustAnchor => 2,
    }
}

pub(crate) fn write_gone(out: &mut Vec<u8>, connection: u32) {
    out.nested(|out| {
        out.u8(completion::GONE);
        out.u32(connection);
    });
}

pub(crate) fn write_done(out: &mut Vec<u8>, id: u32, count: usize) {
    out.nested(|out| {
        out.u8(completion::DONE);
        out.u32(id);
        out.size(count);
    });
}

/// What a swap of the policy has done.
pub(crate) fn write_swapped(out: &mut Vec<u8>, id: u32, swap: &Swap) {
    out.nested(|out| {
        out.u8(completion::SWAPPED);
        out.u32(id);
        out.size(swap.closed);
        out.strs(&swap.diff.gained);
        out.strs(&swap.diff.lost);
        out.strs(&swap.diff.changed);
    });
}

/// The answer to a SAVE: how many bytes the file has.
pub(crate) fn write_saved(out: &mut Vec<u8>, id: u32, length: u64) {
    out.nested(|out| {
        out.u8(completion::SAVED);
        out.u32(id);
        out.i64(i64::try_from(length).unwrap_or(i64::MAX));
    });
}

pub(crate) fn write_lookup(out: &mut Vec<u8>, lookup: u32, client: u32, host: &str) {
    out.nested(|out| {
        out.u8(completion::LOOKUP);
        out.u32(lookup);
        out.u32(client);
        out.str(host);
    });
}

/// How many bytes more of the body of request `id` may be given.
pub(crate) fn write_upload(out: &mut Vec<u8>, id: u32, room: u32) {
    out.nested(|out| {
        out.u8(completion::UPLOAD);
        out.u32(id);
        out.u32(room);
    });
}

/// Asks for the cookies of a request to `url`, or tells what its response sets.
pub(crate) fn write_cookies(
    out: &mut Vec<u8>,
    id: u32,
    client: u32,
    url: &str,
    set_cookie: Option<&[Vec<u8>]>,
) {
    out.nested(|out| {
        out.u8(completion::COOKIES);
        out.u32(id);
        out.u32(client);
        out.str(url);
        out.opt(set_cookie, |out, fields| {
            out.size(fields.len());
            for field in fields {
                out.bytes(field);
            }
        });
    });
}

pub(crate) fn write_notice(out: &mut Vec<u8>, notice: &Notice) {
    out.nested(|out| match notice {
        Notice::Reported {
            request,
            report,
            remote,
        } => {
            out.u8(completion::REPORTED);
            out.u32(*request);
            let error = RequestError::BadPin {
                report: report.clone(),
                remote: *remote,
            };
            write_failure(out, &error);
        }
        Notice::Unpinned { client, host, port } => {
            out.u8(completion::UNPINNED);
            out.u32(*client);
            out.str(host.as_str());
            out.u16(*port);
        }
        Notice::Ending {
            client,
            host,
            port,
            ending,
            phase,
        } => {
            out.u8(completion::ENDING);
            out.u32(*client);
            out.str(host.as_str());
            out.u16(*port);
            out.str(&ending.pattern);
            out.i64(ending.expiry.at);
            out.u8(match ending.expiry.then {
                Afterwards::Enforce => 0,
                Afterwards::Report => 1,
                Afterwards::Refuse => 2,
            });
            out.u8((*phase == ExpiryPhase::Ended).into());
        }
        // of a newer engine than this binding: there is none
        _ => out.u8(0),
    });
}

pub(crate) fn write_error(out: &mut Vec<u8>, id: u32, error: &RequestError) {
    out.nested(|out| {
        out.u8(completion::ERROR);
        out.u32(id);
        write_failure(out, error);
    });
}

/// An error's code and fields.
pub(crate) fn write_failure(out: &mut Vec<u8>, error: &RequestError) {
    write_failure_with(out, error, &error.to_string());
}

fn write_failure_with(out: &mut Vec<u8>, error: &RequestError, message: &str) {
    out.u16(error.code() as u16);
    let mut fields = Details::new(out);
    fields.text(Tag::Message, message);
    match error {
        RequestError::BadPin { report, remote } => {
            fields.bad_pin(report);
            fields.text(Tag::RemoteAddress, &remote.to_string());
        }
        RequestError::Certificate {
            source,
            host,
            remote,
        } => {
            fields.text(Tag::Hostname, host.as_str());
            fields.text(Tag::RemoteAddress, &remote.to_string());
            fields.verify(source);
        }
        RequestError::Tls {
            source,
            host,
            remote,
        } => {
            fields.text(Tag::Hostname, host.as_str());
            fields.text(Tag::RemoteAddress, &remote.to_string());
            if let rustls::Error::AlertReceived(alert) = &**source {
                fields.text(Tag::Alert, alert.as_str().unwrap_or("unknown"));
            }
        }
        RequestError::Dns {
            host,
            system_code,
            reason,
        } => {
            fields.text(Tag::Hostname, host.as_str());
            fields.text(Tag::SystemCode, system_code);
            fields.text(Tag::Cause, reason);
        }
        RequestError::Connect {
            host,
            remote,
            source,
        }
        | RequestError::Socket {
            host,
            remote,
            source,
        } => {
            fields.text(Tag::Hostname, host.as_str());
            fields.text(Tag::RemoteAddress, &remote.to_string());
            fields.text(Tag::SystemCode, system_code(source));
            fields.text(Tag::Cause, &source.to_string());
        }
        RequestError::Closed { host, remote } => {
            fields.text(Tag::Hostname, host.as_str());
            if let Some(remote) = remote {
                fields.text(Tag::RemoteAddress, &remote.to_string());
            }
        }
        RequestError::Timeout { phase, limit } => {
            fields.value(Tag::Phase, |out| out.u8(phase_number(*phase)));
            fields.value(Tag::Limit, |out| {
                out.u32(u32::try_from(limit.as_millis()).unwrap_or(u32::MAX));
            });
        }
        RequestError::Upload { host, source } => {
            fields.text(Tag::Hostname, host.as_str());
            fields.text(Tag::Cause, &source.to_string());
        }
        RequestError::Protocol {
            host,
            source,
            http2: _,
        } => {
            fields.text(Tag::Hostname, host.as_str());
            fields.text(Tag::Cause, &deepest(&**source));
        }
        RequestError::BodyTooLarge { limit } => {
            fields.value(Tag::Limit, |out| {
                out.i64(i64::try_from(*limit).unwrap_or(i64::MAX));
            });
        }
        RequestError::Coding { .. } | RequestError::Redirect { .. } => fields.answer(error),
        RequestError::Proxy { proxy, source } => fields.proxy(proxy, source),
        RequestError::Policy(_)
        | RequestError::CutsOff(_)
        | RequestError::Unpinned { .. }
        | RequestError::Plaintext { .. }
        | RequestError::Expired { .. } => fields.policy(error),
        RequestError::Url { url, problem: _ } => fields.text(Tag::Url, url),
        // message and code say it all; and the enum, of another crate, may grow
        _ => {}
    }
    fields.end();
}

fn write_cut_offs(out: &mut Vec<u8>, hosts: &[CutOff]) {
    out.size(hosts.len());
    for cut in hosts {
        out.str(cut.host.as_str());
        out.u16(cut.port);
        out.size(cut.connections);
        out.strs(&cut.patterns);
        out.pins(cut.found.iter());
        out.u16(cut.code as u16);
    }
}

/// A certificate's failure outside a connection, as `verifyChain` answers it.
pub(crate) fn write_verify_failure(out: &mut Vec<u8>, error: &VerifyError) {
    out.u16(Code::of_verify(error.code()) as u16);
    let mut fields = Details::new(out);
    fields.text(Tag::Message, &error.to_string());
    fields.verify(error);
    fields.end();
}

/// The fields of one error; their count is filled in at the end.
struct Details<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    count: u32,
}

impl<'a> Details<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.u32(0);
        Self {
            out,
            start,
            count: 0,
        }
    }

    fn value(&mut self, tag: Tag, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.u8(tag as u8);
        self.out.nested(write);
        self.count += 1;
    }

    fn text(&mut self, tag: Tag, text: &str) {
        self.value(tag, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn proxy(&mut self, proxy: &str, source: &ProxyError) {
        self.text(Tag::Proxy, proxy);
        match source {
            ProxyError::Refused { status, reason, .. } => {
                self.value(Tag::Status, |out| out.u16(status.as_u16()));
                self.text(Tag::Reason, reason);
            }
            ProxyError::Socks { code, .. } => self.value(Tag::SocksCode, |out| out.u8(*code)),
            ProxyError::Io(source) => {
                self.text(Tag::SystemCode, system_code(source));
            }
            _ => {} // the message says it
        }
    }

    /// What is wrong with a policy, or what it forbids.
    fn policy(&mut self, error: &RequestError) {
        match error {
            RequestError::Policy(error) => {
                if let Some(pattern) = error.pattern() {
                    self.text(Tag::Pattern, pattern);
                }
                if let Some(index) = error.index() {
                    self.value(Tag::Index, |out| out.size(index));
                }
                if let Some(input) = error.input() {
                    self.text(Tag::Input, input);
                }
            }
            RequestError::CutsOff(cut_offs) => {
                self.value(Tag::CutOffs, |out| write_cut_offs(out, cut_offs.hosts()));
            }
            RequestError::Unpinned { host, port } | RequestError::Plaintext { host, port } => {
                self.text(Tag::Hostname, host.as_str());
                self.value(Tag::Port, |out| out.u16(*port));
            }
            RequestError::Expired {
                host,
                port,
                pattern,
                at,
            } => {
                self.text(Tag::Hostname, host.as_str());
                self.value(Tag::Port, |out| out.u16(*port));
                self.text(Tag::Pattern, pattern);
                self.value(Tag::NotAfter, |out| out.i64(*at));
            }
            _ => {}
        }
    }

    /// What is wrong with an answer that keeps to HTTP's rules.
    fn answer(&mut self, error: &RequestError) {
        match error {
            RequestError::Coding { host, source } => {
                self.text(Tag::Hostname, host.as_str());
                if let CodingError::TooExpanded { ratio } = source {
                    self.value(Tag::Limit, |out| out.i64((*ratio).into()));
                }
            }
            RequestError::Redirect {
                host,
                location,
                problem,
            } => {
                self.text(Tag::Hostname, host.as_str());
                self.text(Tag::Url, location);
                if let RedirectProblem::TooMany { limit } = problem {
                    self.value(Tag::Limit, |out| out.i64((*limit).into()));
                }
            }
            _ => {}
        }
    }

    fn bad_pin(&mut self, report: &BadPin) {
        self.text(Tag::Hostname, report.host.as_str());
        self.value(Tag::Port, |out| out.u16(report.port));
        self.value(Tag::Patterns, |out| out.strs(&report.patterns));
        self.value(Tag::Expected, |out| out.pins(report.expected.iter()));
        self.value(Tag::Found, |out| write_path(out, Some(&report.path)));
        self.value(Tag::Presented, |out| {
            out.size(report.presented.len());
            for certificate in &report.presented {
                out.bytes(certificate);
            }
        });
        self.text(Tag::Hint, &report.hint);
        if let Some(pin) = &report.blocked {
            self.value(Tag::Blocked, |out| out.pin(pin));
        }
        if let Some(expires) = report.expires {
            self.value(Tag::NotAfter, |out| out.i64(expires));
        }
    }

    fn verify(&mut self, error: &VerifyError) {
        match error {
            VerifyError::BadPin(report) => self.bad_pin(report),
            VerifyError::NameMismatch { names, .. } => {
                self.value(Tag::Names, |out| out.strs(names));
            }
            VerifyError::Expired {
                not_after: Some(not_after),
                ..
            } => {
                self.value(Tag::NotAfter, |out| out.i64(*not_after));
            }
            _ => {} // the others have no field beyond their message
        }
    }

    fn end(self) {
        if let Some(place) = self.out.get_mut(self.start..self.start + 4) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
    }
}

fn phase_number(phase: Phase) -> u8 {
    phase as u8
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// The name that Node gives the failure.
fn system_code(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => "ECONNREFUSED",
        Kind::ConnectionReset => "ECONNRESET",
        Kind::ConnectionAborted => "ECONNABORTED",
        Kind::NotConnected => "ENOTCONN",
        Kind::AddrInUse => "EADDRINUSE",
        Kind::AddrNotAvailable => "EADDRNOTAVAIL",
        Kind::NetworkUnreachable => "ENETUNREACH",
        Kind::HostUnreachable => "EHOSTUNREACH",
        Kind::NetworkDown => "ENETDOWN",
        Kind::BrokenPipe => "EPIPE",
        Kind::TimedOut => "ETIMEDOUT",
        Kind::PermissionDenied => "EACCES",
        Kind::UnexpectedEof => "EOF",
        _ => "EIO", // what Node has no name for either
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pinfetch_client::RequestBody;
    use pinfetch_pins::PolicyDiff;
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../wire-vectors.json")).unwrap()
    }

    fn bytes_of(vector: &Value) -> Vec<u8> {
        unhex(vector["hex"].as_str().unwrap())
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
            .collect()
    }

    fn number(vector: &Value, field: &str) -> u32 {
        u32::try_from(vector[field].as_u64().unwrap()).unwrap()
    }

    fn vectors_of(group: &str, kind: &str) -> Vec<Value> {
        let all = vectors()[group].as_array().unwrap().clone();
        let chosen: Vec<Value> = all
            .into_iter()
            .filter(|vector| vector["kind"] == kind)
            .collect();
        assert!(!chosen.is_empty(), "no vector is a {kind}");
        chosen
    }

    #[test]
    fn requests_are_read_as_javascript_writes_them() {
        for vector in vectors_of("submissions", "REQUEST") {
            let batch = Bytes::from(bytes_of(&vector));
            let mut record = Reader::new(Reader::new(&batch).bytes().unwrap());
            assert_eq!(record.u8().unwrap(), submission::REQUEST);
            assert_eq!(record.u32().unwrap(), number(&vector, "id"));
            assert_eq!(record.u32().unwrap(), number(&vector, "client"));
            let core = crate::engine::Core::new();
            let request = crate::engine::read_request(&core, 7, &batch, &mut record)
                .unwrap()
                .unwrap();
            assert!(record.is_empty());
            assert_eq!(request.method.as_str(), vector["method"]);
            assert_eq!(request.url, vector["url"].as_str().unwrap());
            let fields: Vec<(String, String)> = request
                .headers
                .iter()
                .map(|field| {
                    let value = field.value().as_bytes();
                    (
                        field.name().to_string(),
                        value.iter().copied().map(char::from).collect(),
                    )
                })
                .collect();
            let expected: Vec<(String, String)> = vector["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| {
                    (
                        pair[0].as_str().unwrap().to_lowercase(),
                        pair[1].as_str().unwrap().to_owned(),
                    )
                })
                .collect();
            assert_eq!(fields, expected);
            let (body, upload) = match request.body {
                None => (None, None),
                Some(RequestBody::Bytes(bytes)) => (Some(bytes.to_vec()), None),
                Some(RequestBody::Stream(upload)) => (None, Some(upload.length())),
            };
            assert_eq!(body, vector["body"].as_str().map(unhex));
            let length = |length| u64::try_from(length).ok();
            assert_eq!(upload, vector["upload"].as_i64().map(length));
        }
    }

    #[test]
    fn policies_are_read_as_javascript_writes_them() {
        for vector in vectors_of("submissions", "SET_POLICY") {
            let batch = bytes_of(&vector);
            let mut record = Reader::new(Reader::new(&batch).bytes().unwrap());
            assert_eq!(record.u8().unwrap(), submission::SET_POLICY);
            assert_eq!(record.u32().unwrap(), number(&vector, "id"));
            assert_eq!(record.u32().unwrap(), number(&vector, "client"));
            assert_eq!(record.flag().unwrap(), vector["force"]);
            if let Some(handle) = vector["handle"].as_u64() {
                let read = record.policy().unwrap();
                assert!(
                    matches!(read, PolicyRecord::Compiled(found) if u64::from(found) == handle)
                );
                assert!(record.is_empty());
                continue;
            }
            let mut sets = record;
            assert_eq!(sets.u8().unwrap(), 0);
            let mut sets = Reader::new(sets.bytes().unwrap());
            let trusts = [Trust::Own];
            let sets = sets.list(|sets| sets.pin_set(&trusts)).unwrap();
            let expected = vector["policy"].as_array().unwrap();
            assert_eq!(sets.len(), expected.len());
            for (set, expected) in sets.iter().zip(expected) {
                assert_eq!(set.pattern, expected["pattern"].as_str().unwrap());
                assert_eq!(set.exclude, expected["exclude"] == true);
                assert_eq!(set.pins.len(), expected["pins"].as_array().unwrap().len());
                let at = expected["pins"][0]["at"].as_str().unwrap_or_default();
                let place = set.places.first().copied().unwrap_or_default();
                let expected_place = match at {
                    "leaf" => Places::LEAF,
                    "intermediate" => Places::INTERMEDIATE,
                    "root" => Places::ROOT,
                    _ => Places::ANY,
                };
                assert_eq!(place, expected_place);
                assert_eq!(set.rules.mode == Mode::Report, expected["mode"] == "report");
                let expires = set.rules.expires.map(|expiry| expiry.at);
                assert_eq!(expires, expected["expires"]["unix"].as_i64());
                let is_of_key = expected["trust"] == "pinned-key";
                assert_eq!(set.rules.trust == Trust::PinnedKey, is_of_key);
            }
            let PolicyRecord::Written(compiled) = record.policy().unwrap() else {
                panic!("it is written out")
            };
            assert!(record.is_empty());
            if vector["compiles"] != false {
                let policy = compiled.unwrap();
                let blocked = policy.blocked().map_or(0, |pins| pins.len());
                assert_eq!(blocked, vector["blocked"].as_array().map_or(0, Vec::len));
                let unpinned = vector["unpinned"].as_str().unwrap_or("allow");
                assert_eq!(format!("{:?}", policy.unpinned()).to_lowercase(), unpinned);
            }
        }
    }

    fn fields_of(pairs: &[Value]) -> Fields {
        let mut map = http::HeaderMap::new();
        for pair in pairs {
            let name = pair[0].as_str().unwrap();
            map.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                pair[1].as_str().unwrap().parse().unwrap(),
            );
        }
        Fields::from(map)
    }

    #[test]
    fn small_records_are_written_as_javascript_reads_them() {
        type Writer = fn(&mut Vec<u8>, &Value);
        let table: [(&str, Writer); 9] = [
            ("BODY", |out, vector| {
                let bytes = vector["body"].as_str().map(unhex).unwrap_or_default();
                let place = if vector["token"].is_null() {
                    BodyPlace::Inline(&bytes)
                } else {
                    BodyPlace::Token(number(vector, "token"), number(vector, "length") as usize)
                };
                let trailers = vector["trailers"].as_array().map(|pairs| fields_of(pairs));
                let has_ended = vector["ended"].as_bool().unwrap();
                write_body(
                    out,
                    number(vector, "id"),
                    &place,
                    trailers.as_ref(),
                    has_ended,
                );
            }),
            ("INFORMATION", |out, vector| {
                let status = u16::try_from(number(vector, "status")).unwrap();
                let fields = fields_of(vector["headers"].as_array().unwrap());
                let status = http::StatusCode::from_u16(status).unwrap();
                write_information(out, number(vector, "id"), status, &fields);
            }),
            ("SAVED", |out, vector| {
                let length = vector["length"].as_u64().unwrap();
                write_saved(out, number(vector, "id"), length);
            }),
            ("COOKIES", |out, vector| {
                let fields = vector["setCookie"].as_array().map(|fields| {
                    let octets = |field: &Value| {
                        let text = field.as_str().unwrap();
                        text.chars().map(|it| u8::try_from(it).unwrap()).collect()
                    };
                    fields.iter().map(octets).collect::<Vec<_>>()
                });
                let (question, client) = (number(vector, "question"), number(vector, "client"));
                let url = vector["url"].as_str().unwrap();
                write_cookies(out, question, client, url, fields.as_deref());
            }),
            ("UPLOAD", |out, vector| {
                write_upload(out, number(vector, "id"), number(vector, "room"));
            }),
            ("GONE", |out, vector| {
                write_gone(out, number(vector, "connection"));
            }),
            ("DONE", |out, vector| {
                write_done(out, number(vector, "id"), number(vector, "count") as usize);
            }),
            ("SWAPPED", |out, vector| {
                let list = |field: &str| {
                    let list = vector[field].as_array().unwrap().iter();
                    list.map(|text| text.as_str().unwrap().into()).collect()
                };
                let diff = PolicyDiff {
                    gained: list("gained"),
                    lost: list("lost"),
                    changed: list("changed"),
                };
                let closed = number(vector, "closed") as usize;
                write_swapped(out, number(vector, "id"), &Swap { closed, diff });
            }),
            ("LOOKUP", |out, vector| {
                let host = vector["host"].as_str().unwrap();
                write_lookup(
                    out,
                    number(vector, "lookup"),
                    number(vector, "client"),
                    host,
                );
            }),
        ];
        for (kind, write) in table {
            for vector in vectors_of("completions", kind) {
                let mut out = Vec::new();
                write(&mut out, &vector);
                assert_eq!(out, bytes_of(&vector), "{}", vector["name"]);
            }
        }
    }

    #[test]
    fn errors_are_written_as_javascript_reads_them() {
        let host = "api.example.test".parse::<pinfetch_pins::Host>().unwrap();
        let mut walked = 0;
        for vector in vectors_of("completions", "ERROR") {
            let message = vector["fields"]["message"].as_str().unwrap();
            let error = match vector["code"].as_str().unwrap() {
                "ERR_CLIENT_CLOSED" => RequestError::ClientClosed,
                "ERR_INTERNAL" => RequestError::Internal("x".into()),
                "ERR_HTTP_BODY_TOO_LARGE" => RequestError::BodyTooLarge {
                    limit: 8_589_934_592,
                },
                "ERR_POLICY_PLAINTEXT" => RequestError::Plaintext {
                    host: host.clone(),
                    port: 80,
                },
                "ERR_INVALID_URL" => RequestError::Url {
                    url: "ftp://x".into(),
                    problem: "".into(),
                },
                _ => continue, // their messages are made of errors of other crates
            };
            let mut out = Vec::new();
            write_error(&mut out, number(&vector, "id"), &error);
            // the vector's message stands for any: its own is put in the place of ours
            let mut expected = Vec::new();
            write_error_with(&mut expected, number(&vector, "id"), &error, message);
            assert_eq!(expected, bytes_of(&vector), "{}", vector["name"]);
            walked += 1;
        }
        assert_eq!(walked, 5);
    }

    fn write_error_with(out: &mut Vec<u8>, id: u32, error: &RequestError, message: &str) {
        out.nested(|out| {
            out.u8(completion::ERROR);
            out.u32(id);
            write_failure_with(out, error, message);
        });
    }
}
