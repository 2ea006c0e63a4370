//! The well-behaved server: HTTP/1.1 and HTTP/2 by hyper, a few paths that tests and benchmarks ask for.
//!
//! | path | answer |
//! | --- | --- |
//! | `/bytes/N` | N bytes with a `content-length`; the byte at offset i is the (i mod 26)th letter |
//! | `/chunked/N` | the same bytes in pieces of at most 1000, without a `content-length` |
//! | `/echo` | the request as JSON: `method`, `path`, `authority`, `version`, `headers`, `body` (base64) |
//! | `/status/N` | that status |
//! | `/slow/MS` | after so many milliseconds |
//! | `/headers?a=1&a=2` | with those fields, repeated ones included |
//! | `/close` | and ends the connection |
//! | any other | `hello from NAME` |
//!
//! Every answer has a `server-name` field, and in `server-connection` the number of the connection that it came on.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use crate::server::{Open, Shared};

/// Serves one connection until either side ends it.
pub(crate) async fn serve<S>(stream: S, open: &Open, h2: bool) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let responder = Arc::new(Responder::new(open));
    let leave = Arc::clone(&responder);
    let service = service_fn(move |request| {
        let responder = Arc::clone(&responder);
        async move { Ok::<_, Infallible>(responder.respond(request).await) }
    });
    let stream = TokioIo::new(stream);
    if !h2 {
        return hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None) // an idle connection stays until the client, `kick` or `stop` closes it
            .serve_connection(stream, service)
            .await
            .map_err(io::Error::other);
    }
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(open.shared.settings.streams)
        .serve_connection(stream, service);
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        () = leave.leave.notified() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(io::Error::other)
}

struct Responder {
    shared: Arc<Shared>,
    server_name: HeaderValue,
    connection: HeaderValue,
    /// Told when an HTTP/2 connection shall say goodbye; HTTP/1.1 has a field for that.
    leave: Notify,
}

impl Responder {
    fn new(open: &Open) -> Self {
        let name = open.shared.settings.name.as_str();
        Self {
            shared: Arc::clone(&open.shared),
            server_name: HeaderValue::from_str(name)
                .unwrap_or(HeaderValue::from_static("unprintable")),
            connection: open.number.into(),
            leave: Notify::new(),
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Answer> {
        self.shared
            .counters
            .requests
            .fetch_add(1, Ordering::Release);
        let head = request.method() == Method::HEAD;
        let mut response = self.answer(request).await;
        let fields = response.headers_mut();
        fields.insert(SERVER_NAME, self.server_name.clone());
        fields.insert(SERVER_CONNECTION, self.connection.clone());
        if head {
            if let Some(length) = response.body().size_hint().exact() {
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
            }
            *response.body_mut() = Answer::text(Bytes::new());
        }
        response
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let path = request.uri().path();
        let (kind, argument) = path
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or((path, ""));
        match (kind, argument.parse::<u64>()) {
            ("bytes", Ok(length)) => Response::new(Answer::letters(length, LETTERS.len(), true)),
            ("chunked", Ok(length)) => Response::new(Answer::letters(length, 1000, false)),
            ("slow", Ok(milliseconds)) => {
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                Response::new(Answer::text(format!("{milliseconds} ms later").into()))
            }
            ("status", Ok(code)) => status(code),
            ("/close", _) => {
                let mut response = Response::new(Answer::text("goodbye".into()));
                if request.version() == Version::HTTP_2 {
                    self.leave.notify_one();
                } else {
                    response
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
            ("/headers", _) => {
                let mut response = Response::new(Answer::text("these headers".into()));
                *response.headers_mut() = fields_of(request.uri().query().unwrap_or_default());
                response
            }
            ("/echo", _) => echo(request).await,
            _ => Response::new(Answer::text(
                format!("hello from {}", self.shared.settings.name).into(),
            )),
        }
    }
}

fn status(code: u64) -> Response<Answer> {
    let status = u16::try_from(code)
        .ok()
        .filter(|code| *code >= 200)
        .map(StatusCode::from_u16);
    let mut response = Response::new(Answer::text(format!("status {code}").into()));
    *response.status_mut() = status
        .and_then(Result::ok)
        .unwrap_or(StatusCode::BAD_REQUEST);
    if matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        *response.body_mut() = Answer::text(Bytes::new());
    }
    response
}

async fn echo(request: Request<Incoming>) -> Response<Answer> {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let mut response = Response::new(Answer::text(error.to_string().into()));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        }
    };
    let latin1 = |value: &HeaderValue| {
        value
            .as_bytes()
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()
    };
    let host = parts.headers.get(HOST).map(latin1);
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), latin1(value)))
        .collect();
    let echo = json!({
        "method": parts.method.as_str(),
        "path": parts.uri.path_and_query().map_or("", |path| path.as_str()),
        "authority": parts.uri.authority().map(ToString::to_string).or(host),
        "version": if parts.version == Version::HTTP_2 { "2" } else { "1.1" },
        "headers": headers,
        "body": BASE64_STANDARD.encode(body),
    });
    let mut response = Response::new(Answer::text(echo.to_string().into()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The fields that a query asks for; pairs that cannot be fields are left out.
fn fields_of(query: &str) -> HeaderMap {
    query
        .split('&')
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = HeaderName::from_bytes(&percent_decoded(name)).ok()?;
            Some((name, HeaderValue::from_bytes(&percent_decoded(value)).ok()?))
        })
        .fold(HeaderMap::new(), |mut fields, (name, value)| {
            fields.append(name, value);
            fields
        })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().iter();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let pair = bytes
            .as_slice()
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) if *byte == b'%' => {
                decoded.push(value);
                bytes.nth(1);
            }
            _ => decoded.push(*byte),
        }
    }
    decoded
}

/// A body: a text in one piece, or letters that are never in memory at once.
enum Answer {
    Text(Bytes),
    Letters {
        left: u64,
        piece: usize,
        announced: bool,
    },
}

impl Answer {
    fn text(text: Bytes) -> Self {
        Self::Text(text)
    }

    fn letters(length: u64, piece: usize, announced: bool) -> Self {
        match usize::try_from(length) {
            Ok(short) if announced && short <= LETTERS.len() => Self::Text(LETTERS.slice(..short)),
            _ => Self::Letters {
                left: length,
                piece: piece - piece % 26,
                announced,
            },
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Self::Text(text) => std::mem::take(text),
            Self::Letters { left, piece, .. } => {
                let length = usize::try_from(*left).map_or(*piece, |left| left.min(*piece));
                *left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
                LETTERS.slice(..length)
            }
        };
        Poll::Ready(if data.is_empty() {
            None
        } else {
            Some(Ok(Frame::data(data)))
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Letters { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(u64::try_from(text.len()).unwrap_or(u64::MAX)),
            Self::Letters {
                left,
                announced: true,
                ..
            } => SizeHint::with_exact(*left),
            Self::Letters { .. } => SizeHint::default(),
        }
    }
}

const SERVER_NAME: HeaderName = HeaderName::from_static("server-name");
const SERVER_CONNECTION: HeaderName = HeaderName::from_static("server-connection");

/// The alphabet ten thousand times: whole alphabets, so that consecutive pieces continue each other.
static LETTERS: LazyLock<Bytes> = LazyLock::new(|| (b'a'..=b'z').cycle().take(260_000).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_repeated() {
        let fields =
            fields_of("set-cookie=a%3D1&set-cookie=b%3D2%3B%20Path%3D%2F&x=100%&no%20name=1&bare");
        let cookies: Vec<_> = fields.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=1", "b=2; Path=/"]);
        assert_eq!(fields.get("x").unwrap(), "100%");
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn long_bodies_continue_the_alphabet_across_pieces() {
        for (piece, announced) in [(1000, false), (LETTERS.len(), true)] {
            let mut answer = Answer::letters(600_001, piece, announced);
            let mut bytes = Vec::new();
            while let Poll::Ready(Some(Ok(frame))) =
                Pin::new(&mut answer).poll_frame(&mut Context::from_waker(std::task::Waker::noop()))
            {
                bytes.extend_from_slice(frame.data_ref().unwrap());
            }
            assert_eq!(bytes.len(), 600_001);
            assert!(
                bytes
                    .iter()
                    .enumerate()
                    .all(|(offset, byte)| usize::from(byte - b'a') == offset % 26)
            );
        }
    }
}
