//! CONNECT: an HTTP proxy is asked for a tunnel (RFC 9110 §9.3.6).
//!
//! The one response is read here: a refusal's fields are kept, 1xx are counted, and bytes after the head
//! are an error, all before the stream is anybody else's. httparse decides what a head is, in its strict mode: no folded
//! lines, no space before a colon, no bare CR, no NUL.

use std::io::Write as _;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::error::{ConnectFieldError, ProxyError};
use super::{EARLY, Proxy, TunnelTarget};

/// How long a head may be, in bytes.
const HEAD_LIMIT: usize = 64 << 10;
/// How many fields a head may have.
const FIELD_LIMIT: usize = 100;
/// How many 1xx responses may come before the final one.
const INTERIM_LIMIT: usize = 16;
/// How much of a reason phrase is kept, in characters.
const REASON_LIMIT: usize = 256;

impl Proxy {
    /// Whether `fields` may go with a CONNECT request to this proxy; for a caller that wants to know before it connects.
    ///
    /// # Errors
    /// [`ConnectFieldError`] for what is made here, what speaks of content, and a second `Proxy-Authorization`.
    pub(crate) fn check_connect_fields(&self, fields: &HeaderMap) -> Result<(), ConnectFieldError> {
        let reserved = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
        if let Some(name) = reserved.into_iter().find(|name| fields.contains_key(name)) {
            return Err(ConnectFieldError::Reserved(name));
        }
        let given = fields.get_all(PROXY_AUTHORIZATION).iter().count();
        if given + usize::from(self.has_credentials()) > 1 {
            return Err(ConnectFieldError::TwoAuthorizations);
        }
        Ok(())
    }
}

/// Sends the request, credentials included: a proxy that wants them is spared a refusal.
pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    proxy: &Proxy,
    target: &TunnelTarget,
    fields: &HeaderMap,
) -> Result<(), ProxyError> {
    proxy.check_connect_fields(fields)?;
    let authorization = proxy.authorization().or(fields.get(PROXY_AUTHORIZATION));
    stream
        .write_all(&request(proxy.authorization(), target, fields))
        .await?;
    stream.flush().await?;
    let head = final_head(stream).await?;
    if !head.status.is_success() {
        return Err(head.refusal(&Secrets::of(proxy, authorization)));
    }
    if head.followed {
        return Err(ProxyError::malformed(EARLY));
    }
    // No content: Content-Length and Transfer-Encoding mean nothing here (RFC 9110 §9.3.6), the tunnel begins at once.
    Ok(())
}

/// The target in authority form, port included, and the same in `Host` (RFC 9112 §3.2.3, §3.2).
fn request(
    authorization: Option<&HeaderValue>,
    target: &TunnelTarget,
    fields: &HeaderMap,
) -> Vec<u8> {
    let mut request = Vec::with_capacity(512);
    write!(request, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n")
        .expect("a vector takes all that is written");
    let mut field = |name: &str, value: &HeaderValue| {
        for bytes in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            request.extend_from_slice(bytes);
        }
    };
    if let Some(authorization) = authorization {
        field("Proxy-Authorization", authorization);
    }
    for (name, value) in fields {
        field(name.as_str(), value);
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// A response's head.
struct Head {
    status: StatusCode,
    reason: String,
    fields: HeaderMap,
    /// Whether bytes after it arrived with it.
    followed: bool,
}

impl Head {
    fn refusal(&self, secrets: &Secrets<'_>) -> ProxyError {
        let kept = self.fields.iter().filter(|(name, value)| {
            !secrets.are_in(name.as_str().as_bytes()) && !secrets.are_in(value.as_bytes())
        });
        let reason = if secrets.are_in(self.reason.as_bytes()) {
            ""
        } else {
            &self.reason
        };
        ProxyError::Refused {
            status: self.status,
            reason: reason.into(),
            fields: Arc::new(
                kept.map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            ),
        }
    }
}

/// Reads up to the end of the first head that isn't 1xx (RFC 9110 §15.2).
async fn final_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Head, ProxyError> {
    let mut received = Vec::with_capacity(1024);
    let mut interim = 0;
    loop {
        let (length, mut head) = next_head(stream, &mut received).await?;
        if !head.status.is_informational() {
            head.followed = received.len() > length;
            return Ok(head);
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ProxyError::malformed("it switches protocols unasked (101)"));
        }
        interim += 1;
        if interim > INTERIM_LIMIT {
            return Err(ProxyError::malformed("it sends no end of 1xx responses"));
        }
        received.drain(..length);
    }
}

/// Reads until `received` begins with a whole head; returns how long that is.
async fn next_head(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut Vec<u8>,
) -> Result<(usize, Head), ProxyError> {
    let mut parsed = 0;
    loop {
        // A proxy of another protocol, or TLS in place of HTTP, is told by its first bytes and not by a time limit.
        if received
            .iter()
            .zip(b"HTTP/1.")
            .any(|(byte, expected)| byte != expected)
        {
            return Err(ProxyError::malformed("it does not speak HTTP/1"));
        }
        // Only a new line can end a head, and FIELD_LIMIT bounds how many there are: so many times is it parsed, not once
        // for each byte that trickles in.
        let fresh = received.get(parsed..).unwrap_or_default();
        if fresh.contains(&b'\n')
            && let Some(whole) = parse(received)?
        {
            return Ok(whole);
        }
        parsed = received.len();
        let room = HEAD_LIMIT.saturating_sub(parsed);
        if room == 0 {
            return Err(ProxyError::malformed(
                "its response's head is larger than 64 KiB",
            ));
        }
        let mut limited = (&mut *stream).take(room as u64);
        if limited.read_buf(received).await? == 0 {
            return Err(ProxyError::Closed);
        }
    }
}

/// The head that `bytes` begin with, and its length; `None` if there is more to come.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Head)>, ProxyError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    let status = StatusCode::from_u16(response.code.unwrap_or_default())
        .map_err(|error| unreadable(&error))?;
    let fields = response.headers.iter().map(|field| {
        Ok((
            HeaderName::from_bytes(field.name.as_bytes())?,
            HeaderValue::from_bytes(field.value)?,
        ))
    });
    let fields: Result<_, http::Error> = fields.collect();
    let reason = response.reason.unwrap_or_default();
    let head = Head {
        status,
        reason: reason.chars().take(REASON_LIMIT).collect(),
        fields: fields.map_err(|error| unreadable(&error))?,
        followed: false,
    };
    Ok(Some((length, head)))
}

fn unreadable(error: &dyn std::error::Error) -> ProxyError {
    ProxyError::malformed(&format!("its response cannot be read: {error}"))
}

/// What was sent to the proxy and must not come back in an error.
struct Secrets<'a>(Vec<&'a [u8]>);

impl<'a> Secrets<'a> {
    /// User name, password, and what follows the scheme in `Proxy-Authorization`, whoever gave it.
    fn of(proxy: &'a Proxy, authorization: Option<&'a HeaderValue>) -> Self {
        let mut secrets = Vec::new();
        if let Some(credentials) = &proxy.0.credentials {
            secrets.extend([&*credentials.user_name, &*credentials.password]);
        }
        secrets.extend(
            authorization.and_then(|value| value.as_bytes().splitn(2, |byte| *byte == b' ').last()),
        );
        secrets.retain(|secret| !secret.is_empty());
        Self(secrets)
    }

    /// In any case, as a proxy may change it. A short user name is found in innocent text, too: that text is lost.
    fn are_in(&self, text: &[u8]) -> bool {
        self.0.iter().any(|secret| {
            text.windows(secret.len())
                .any(|bytes| bytes.eq_ignore_ascii_case(secret))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{Ending, block_on, exchange, name};
    use super::*;

    const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

    /// What becomes of an answer that arrives in one piece and leaves the connection open.
    async fn answered(answer: impl AsRef<[u8]>) -> Result<(), ProxyError> {
        let exchange = exchange("http://proxy.example").answer(answer.as_ref());
        exchange.run().await.0
    }

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[tokio::test]
    async fn the_request_is_in_authority_form_and_brings_the_credentials() {
        for (proxy, target, given, expected) in [
            (
                "http://proxy.example",
                name("api.example.com", 443),
                fields(&[]),
                "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n",
            ),
            (
                "https://proxy.example",
                name("API.example.com.", 8443),
                fields(&[
                    ("user-agent", "pinfetch"),
                    ("x-session", "a"),
                    ("x-session", "b"),
                ]),
                "CONNECT api.example.com:8443 HTTP/1.1\r\nHost: api.example.com:8443\r\n\
                 user-agent: pinfetch\r\nx-session: a\r\nx-session: b\r\n\r\n",
            ),
            (
                "http://Aladdin:open%20sesame@proxy.example",
                name("127.0.0.1", 80),
                fields(&[]),
                "CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\
                 Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
            ),
            (
                "http://user:@proxy.example", // an empty password is one
                name("::1", 443),
                fields(&[]),
                "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\
                 Proxy-Authorization: Basic dXNlcjo=\r\n\r\n",
            ),
            (
                "http://proxy.example",
                TunnelTarget::of_address("[::ffff:127.0.0.1]:443".parse().unwrap()),
                fields(&[("proxy-authorization", "Bearer token")]),
                "CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1:443\r\n\
                 proxy-authorization: Bearer token\r\n\r\n",
            ),
        ] {
            let exchange = exchange(proxy).to(target).fields(given).answer(ESTABLISHED);
            let (outcome, sent) = exchange.run().await;
            outcome.unwrap();
            assert_eq!(String::from_utf8(sent).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn fields_that_would_change_the_request_are_refused_before_a_byte_is_sent() {
        let two = ConnectFieldError::TwoAuthorizations;
        for (proxy, given, expected) in [
            (
                "http://p.example",
                fields(&[("host", "x")]),
                ConnectFieldError::Reserved(HOST),
            ),
            (
                "http://p.example",
                fields(&[("content-length", "0")]),
                ConnectFieldError::Reserved(CONTENT_LENGTH),
            ),
            (
                "http://p.example",
                fields(&[("transfer-encoding", "chunked")]),
                ConnectFieldError::Reserved(TRANSFER_ENCODING),
            ),
            (
                "http://u:p@p.example",
                fields(&[("proxy-authorization", "Bearer t")]),
                two.clone(),
            ),
            (
                "http://p.example",
                fields(&[
                    ("proxy-authorization", "Bearer t"),
                    ("proxy-authorization", "Bearer u"),
                ]),
                two,
            ),
        ] {
            let exchange = exchange(proxy).fields(given).answer(ESTABLISHED);
            let (outcome, sent) = exchange.run().await;
            assert!(
                matches!(&outcome, Err(ProxyError::Field(error)) if *error == expected),
                "{outcome:?}"
            );
            assert!(sent.is_empty());
        }
    }

    #[tokio::test]
    async fn every_2xx_opens_the_tunnel_whatever_its_fields_say_of_content() {
        for answer in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 299 Odd\r\nVia: 1.1 proxy\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\n\n", // RFC 9112 §2.2 lets a line end without CR
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 102 Wait\r\nx: y\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 204 OK\r\n\r\n",
        ] {
            for capacity in [1, 7, 1 << 16] {
                let exchange = exchange("http://proxy.example")
                    .answer(answer.as_bytes())
                    .capacity(capacity);
                let (outcome, _) = exchange.run().await;
                assert!(outcome.is_ok(), "{answer:?} {capacity}: {outcome:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_refusal_has_status_reason_and_fields() {
        for (answer, expected_status, expected_reason, challenge) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                   Content-Length: 6\r\n\r\nDenied"[..],
                407,
                "Proxy Authentication Required",
                Some("Basic realm=\"x\""),
            ),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", 502, "Bad Gateway", None),
            (b"HTTP/1.0 403\r\n\r\n", 403, "", None),
            (b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\n\r\n", 302, "Found", None),
            (b"HTTP/1.1 999 Odd\r\n\r\n", 999, "Odd", None),
            (b"HTTP/1.1 503 \xff\r\n\r\n", 503, "", None), // of no known character set
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 No\r\n\r\n", 502, "No", None),
        ] {
            for capacity in [1, 1 << 16] {
                let exchange = exchange("http://proxy.example").answer(answer).capacity(capacity);
                let error = exchange.run().await.0.unwrap_err();
                assert_eq!(error.is_authentication(), expected_status == 407);
                let ProxyError::Refused { status, reason, fields } = error else {
                    panic!("{error:?}");
                };
                assert_eq!((status.as_u16(), &*reason), (expected_status, expected_reason));
                let field = fields.get("proxy-authenticate");
                assert_eq!(field.map(|value| value.to_str().unwrap()), challenge);
            }
        }
    }

    #[tokio::test]
    async fn repeated_fields_of_a_refusal_are_all_kept() {
        let answer = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nVia: x\r\nProxy-Authenticate: Digest\r\n\r\n";
        let Err(ProxyError::Refused { fields, .. }) = answered(answer).await else {
            panic!("not refused");
        };
        let challenges: Vec<_> = fields.get_all("proxy-authenticate").iter().collect();
        assert_eq!(challenges, ["Basic", "Digest"]);
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_malformed() {
        for (answer, words) in [
            (&b"SSH-2.0-OpenSSH_9.9\r\n"[..], "HTTP/1"),
            (b"\x15\x03\x01\x00\x02", "HTTP/1"), // a TLS alert: the proxy wants TLS
            (b"\x05\xff", "HTTP/1"),
            (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1"),
            (b"HTTP/2 200\r\n\r\n", "HTTP/1"),
            (b"http/1.1 200 OK\r\n\r\n", "HTTP/1"),
            (b"HTTP/1.2 200 OK\r\n\r\n", "version"),
            (b"HTTP/1.1 2xx OK\r\n\r\n", "status"),
            (b"HTTP/1.1 20 OK\r\n\r\n", "status"),
            (b"HTTP/1.1 2000 OK\r\n\r\n", "status"),
            (b"HTTP/1.1 099 OK\r\n\r\n", "status"),
            (b"HTTP/1.1 200 O\0K\r\n\r\n", "status"),
            (b"HTTP/1.1 200 O\rK\r\n\r\n", "status"),
            (b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n", "header name"),
            (b"HTTP/1.1 200 OK\r\n x: y\r\n\r\n", "header name"),
            (b"HTTP/1.1 200 OK\r\nx: y\r\n folded\r\n\r\n", "header name"),
            (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "header name"),
            (b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n", "header value"),
            (b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", "header value"),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101"),
        ] {
            let shown = String::from_utf8_lossy(answer);
            match answered(answer).await {
                Err(ProxyError::Malformed { problem }) => {
                    assert!(problem.contains(words), "{shown:?}: {problem}");
                }
                outcome => panic!("{shown:?}: {outcome:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_head_has_64_kib_at_most_and_100_fields() {
        let padded = |length: usize| {
            let (front, back) = ("HTTP/1.1 200 OK\r\nx: ", "\r\n\r\n");
            let value = "y".repeat(length - front.len() - back.len());
            format!("{front}{value}{back}")
        };
        let lines = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(count));
        for (answer, opens) in [
            (padded(HEAD_LIMIT), true),
            (padded(HEAD_LIMIT + 1), false),
            (format!("HTTP/1.1 200 {}", "y".repeat(HEAD_LIMIT)), false), // a line without an end
            (lines(FIELD_LIMIT), true),
            (lines(FIELD_LIMIT + 1), false),
        ] {
            let outcome = answered(&answer).await;
            match outcome {
                Ok(()) => assert!(opens),
                Err(ProxyError::Malformed { .. }) => assert!(!opens),
                Err(error) => panic!("{error:?}"),
            }
        }
        // each head on its own: what comes before doesn't count
        let two = padded(HEAD_LIMIT).replacen("200 OK", "103 OK", 1) + &padded(HEAD_LIMIT);
        answered(two).await.unwrap();
    }

    #[tokio::test]
    async fn interim_responses_have_a_limit() {
        for (count, opens) in [(INTERIM_LIMIT, true), (INTERIM_LIMIT + 1, false)] {
            let answer = "HTTP/1.1 100 Continue\r\n\r\n".repeat(count);
            let outcome = answered(answer + "HTTP/1.1 200 OK\r\n\r\n").await;
            assert_eq!(outcome.is_ok(), opens, "{count}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn bytes_after_the_head_are_refused_and_without_them_the_tunnel_opens() {
        for extra in [
            &b"x"[..],
            b"\r\n",
            b"\x16\x03\x03",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ] {
            let answer = [ESTABLISHED, extra].concat();
            match answered(answer).await {
                Err(ProxyError::Malformed { problem }) => assert_eq!(&*problem, EARLY),
                outcome => panic!("{extra:?}: {outcome:?}"),
            }
        }
        answered(ESTABLISHED).await.unwrap();
    }

    #[tokio::test]
    async fn bytes_that_follow_the_head_in_a_piece_of_their_own_are_refused_too() {
        let limit_long = {
            let (front, back) = ("HTTP/1.1 200 OK\r\nx: ", "\r\n\r\n");
            format!(
                "{front}{}{back}",
                "y".repeat(HEAD_LIMIT - front.len() - back.len())
            )
        };
        match answered(limit_long + "x").await {
            Err(ProxyError::Malformed { problem }) => assert_eq!(&*problem, EARLY),
            outcome => panic!("{outcome:?}"),
        }
    }

    #[tokio::test]
    async fn a_close_at_any_byte_is_told() {
        let answer = b"HTTP/1.1 103 Hints\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n\r\n";
        for length in 0..=answer.len() {
            let exchange = exchange("http://proxy.example")
                .answer(&answer[..length])
                .ending(Ending::Close);
            let outcome = exchange.run().await.0; // at the last one it is the tunnel that closed before any use
            assert!(
                matches!(outcome, Err(ProxyError::Closed)),
                "{length}: {outcome:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_echo_of_the_credentials_enters_no_error(
            user in "QX[a-zA-Z0-9]{6,12}",
            password in "XQ[a-zA-Z0-9]{6,12}",
            status in prop_oneof![Just(407_u16), Just(502), Just(200)],
            place in 0..5,
            as_basic in any::<bool>(),
        ) {
            let proxy: Proxy = format!("http://{user}:{password}@proxy.example").parse().unwrap();
            let basic = proxy.authorization().unwrap().to_str().unwrap().to_owned();
            let token = basic.strip_prefix("Basic ").unwrap();
            let echo = if as_basic { basic.clone() } else { format!("no {password} of {user}") };
            let answer = match place {
                0 => format!("HTTP/1.1 {status} {echo}\r\n\r\n"),
                1 => format!("HTTP/1.1 {status} No\r\nx-echo: {echo}\r\nvia: x\r\n\r\n"),
                2 => format!("HTTP/1.1 {status} No\r\n{user}: x\r\n{password}: x\r\n\r\n"),
                3 => format!("HTTP/1.1 {status} No\r\n{echo}\r\n\r\n"),
                _ => format!("{echo}\r\n\r\n"),
            };
            let exchange = exchange(&format!("http://{user}:{password}@proxy.example")).answer(answer.as_bytes());
            if let (Err(error), _) = block_on(exchange.run()) {
                let shown = format!("{error} {error:?}").to_lowercase();
                for secret in [&user, &password, token] {
                    prop_assert!(!shown.contains(&secret.to_lowercase()), "{shown}");
                }
                prop_assert!(place != 1 || shown.contains("\"via\""), "the innocent field is kept: {shown}");
            }
        }

        #[test]
        fn no_answer_makes_it_panic(answer in proptest::collection::vec(any::<u8>(), 0..64)) {
            let answer = [b"HTTP/1.1 ", &answer[..]].concat();
            let exchange = exchange("http://proxy.example").answer(&answer).ending(Ending::Close);
            prop_assert!(block_on(exchange.run()).0.is_err()); // closed, if nothing else
        }
    }
}
