//! SOCKS version 5 (RFC 1928), with user name and password (RFC 1929).
//!
//! Written here rather than on a crate: it is four short messages, of which the empty password, every reply code, silence
//! about the user name and not one byte read too many matter, and it brings no other crate along.

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::error::ProxyError;
use super::{Credentials, TargetHost, TunnelTarget};

/// Asks for a connection to `target`. Reads not one byte past the reply.
pub(super) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    credentials: Option<&Credentials>,
    target: &TunnelTarget,
) -> Result<(), ProxyError> {
    agree_on_method(stream, credentials).await?;
    send(stream, &request(target)).await?;
    read_reply(stream).await
}

/// RFC 1928 §3. Credentials don't oblige the proxy to ask for them: some know their clients by address.
async fn agree_on_method(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    credentials: Option<&Credentials>,
) -> Result<(), ProxyError> {
    let greeting: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, PASSWORD, NO_AUTHENTICATION],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    send(stream, greeting).await?;
    let [version, method] = receive(stream).await?;
    check_version(version)?;
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => Ok(()),
        (PASSWORD, Some(credentials)) => authenticate(stream, credentials).await,
        // 0xff is the rule; a method that wasn't offered says no less clearly that the proxy wants credentials
        (NONE_ACCEPTABLE, _) | (PASSWORD, None) => Err(ProxyError::Authentication {
            given: credentials.is_some(),
            status: None,
        }),
        _ => Err(ProxyError::malformed(
            "it chose an authentication method that was not offered",
        )),
    }
}

/// RFC 1929 §2, which has no empty user names and passwords; proxies do, and a length can be 0.
async fn authenticate(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    credentials: &Credentials,
) -> Result<(), ProxyError> {
    let mut message = vec![PASSWORD_VERSION];
    for part in [&credentials.user_name, &credentials.password] {
        push_counted(&mut message, part);
    }
    send(stream, &message).await?;
    let [version, status] = receive(stream).await?;
    if version != PASSWORD_VERSION {
        return Err(ProxyError::malformed(
            "it answers user name and password in another version than 1",
        ));
    }
    if status != 0 {
        return Err(ProxyError::Authentication {
            given: true,
            status: Some(status),
        });
    }
    Ok(())
}

/// RFC 1928 §4 and §5.
fn request(target: &TunnelTarget) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match &target.host {
        TargetHost::Address(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        TargetHost::Address(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        TargetHost::Name(host) => {
            request.push(DOMAIN_NAME);
            push_counted(&mut request, host.as_str().as_bytes());
        }
    }
    request.extend(target.port.to_be_bytes());
    request
}

/// RFC 1928 §6. The address that the proxy connects from is passed over: nothing depends on it, and it proves nothing.
async fn read_reply(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), ProxyError> {
    let [version, code] = receive(stream).await?;
    check_version(version)?;
    if code != 0 {
        // told at once: many a proxy leaves the rest out when it refuses
        return Err(ProxyError::Socks {
            code,
            meaning: meaning_of(code),
        });
    }
    let [reserved, address_type] = receive(stream).await?;
    if reserved != 0 {
        return Err(ProxyError::malformed("its reply's reserved byte is not 0"));
    }
    let length = match address_type {
        IPV4 => 4,
        IPV6 => 16,
        DOMAIN_NAME => usize::from(stream.read_u8().await?),
        _ => {
            return Err(ProxyError::malformed(
                "its reply has an address of an unknown type",
            ));
        }
    };
    let mut rest = [0; u8::MAX as usize + 2];
    let rest = rest.get_mut(..length + 2).unwrap_or_default(); // the port, too
    stream.read_exact(rest).await?;
    Ok(())
}

/// What RFC 1928 §6 says of a reply code.
fn meaning_of(code: u8) -> &'static str {
    match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unassigned",
    }
}

fn check_version(version: u8) -> Result<(), ProxyError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(ProxyError::malformed("it does not speak SOCKS version 5"))
    }
}

/// Its length in one byte, and it. 255 bytes at most: checked where credentials and hosts are read.
fn push_counted(message: &mut Vec<u8>, bytes: &[u8]) {
    message.push(u8::try_from(bytes.len()).expect("neither credentials nor a host are longer"));
    message.extend_from_slice(bytes);
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), ProxyError> {
    stream.write_all(message).await?;
    stream.flush().await?;
    Ok(())
}

async fn receive<const LENGTH: usize>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<[u8; LENGTH], ProxyError> {
    let mut bytes = [0; LENGTH];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;

// Methods of authentication (RFC 1928 §3).
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;

const CONNECT: u8 = 1;

// Types of addresses (RFC 1928 §5).
const IPV4: u8 = 1;
const DOMAIN_NAME: u8 = 3;
const IPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{Ending, block_on, exchange, name};
    use super::*;

    const NO_PASSWORD_ASKED: &[u8] = &[5, 0];
    const PASSWORD_TAKEN: &[u8] = &[5, 2, 1, 0];
    const CONNECTED: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

    #[tokio::test]
    async fn names_and_addresses_are_asked_for_as_what_they_are() {
        for (target, expected) in [
            (
                name("api.example.com", 443),
                [&[3, 15], &b"api.example.com"[..], &[1, 187]].concat(),
            ),
            (name("127.0.0.1", 80), vec![1, 127, 0, 0, 1, 0, 80]),
            (
                name("2001:db8::1", 8443),
                [&[4, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1, 0x20, 0xfb]].concat(),
            ),
            (
                TunnelTarget::of_address("[::ffff:10.0.0.1]:65535".parse().unwrap()),
                vec![1, 10, 0, 0, 1, 255, 255],
            ),
        ] {
            for scheme in ["socks5", "socks5h"] {
                let exchange = exchange(&format!("{scheme}://proxy.example"))
                    .to(target.clone())
                    .answer(&[NO_PASSWORD_ASKED, CONNECTED].concat());
                let (outcome, sent) = exchange.run().await;
                outcome.unwrap();
                assert_eq!(
                    sent,
                    [&[5, 1, 0, 5, 1, 0], &expected[..]].concat(),
                    "{target}"
                );
            }
        }
    }

    #[tokio::test]
    async fn credentials_are_given_to_a_proxy_that_asks_for_them() {
        let long = "x".repeat(255);
        for (user_information, user_name, password) in [
            ("user:pass".to_owned(), "user", "pass"),
            ("user:".to_owned(), "user", ""),
            (":pass".to_owned(), "", "pass"),
            ("a%3Ab:c".to_owned(), "a:b", "c"),
            (format!("{long}:{long}"), &long, &long),
        ] {
            let url = format!("socks5h://{user_information}@proxy.example");
            let asked = exchange(&url).answer(&[PASSWORD_TAKEN, CONNECTED].concat());
            let (outcome, sent) = asked.run().await;
            outcome.unwrap();
            let mut expected = vec![5, 2, 2, 0, 1];
            for part in [user_name, password] {
                expected.push(u8::try_from(part.len()).unwrap());
                expected.extend_from_slice(part.as_bytes());
            }
            assert!(sent.starts_with(&expected), "{sent:?}");
            assert_eq!(sent[expected.len()..expected.len() + 3], [5, 1, 0]);

            let not_asked = exchange(&url).answer(&[NO_PASSWORD_ASKED, CONNECTED].concat());
            let (outcome, sent) = not_asked.run().await;
            outcome.unwrap();
            assert!(sent.starts_with(&[5, 2, 2, 0, 5, 1, 0]), "{sent:?}");
        }
    }

    #[tokio::test]
    async fn every_answer_opens_the_tunnel_however_it_arrives() {
        for bound in [
            &[1, 1, 2, 3, 4][..],
            &[4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
            &[3, 3, b'a', 0, 0xff], // nobody reads it
            &[3, 0],
            &[&[3, 255][..], &[b'x'; 255]].concat(),
        ] {
            let answer = [PASSWORD_TAKEN, &[5, 0, 0], bound, &[0, 80]].concat();
            for capacity in [1, 3, 1 << 16] {
                let exchange = exchange("socks5://user:pass@proxy.example")
                    .answer(&answer)
                    .capacity(capacity);
                let (outcome, _) = exchange.run().await;
                assert!(outcome.is_ok(), "{bound:?} {capacity}: {outcome:?}");
            }
        }
    }

    #[tokio::test]
    async fn every_reply_code_is_told_and_named() {
        for (refusal, words) in [
            (1, "general SOCKS server failure"),
            (2, "connection not allowed by ruleset"),
            (3, "network unreachable"),
            (4, "host unreachable"),
            (5, "connection refused"),
            (6, "TTL expired"),
            (7, "command not supported"),
            (8, "address type not supported"),
            (9, "unassigned"),
            (255, "unassigned"),
        ] {
            for rest in [&[][..], &[0, 1, 0, 0, 0, 0, 0, 0]] {
                let exchange = exchange("socks5://proxy.example")
                    .answer(&[NO_PASSWORD_ASKED, &[5, refusal], rest].concat())
                    .ending(Ending::Close);
                match exchange.run().await.0 {
                    Err(ProxyError::Socks { code, meaning }) => {
                        assert_eq!((code, meaning), (refusal, words));
                    }
                    outcome => panic!("{refusal}: {outcome:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn a_proxy_that_lets_nobody_in_is_told_apart() {
        for (url, answer, expected) in [
            ("socks5://p.example", &[5, 0xff][..], (false, None)),
            ("socks5://p.example", &[5, 2], (false, None)),
            ("socks5://u:p@p.example", &[5, 0xff], (true, None)),
            ("socks5://u:p@p.example", &[5, 2, 1, 1], (true, Some(1))),
            ("socks5://u:p@p.example", &[5, 2, 1, 255], (true, Some(255))),
        ] {
            let error = exchange(url).answer(answer).run().await.0.unwrap_err();
            assert!(error.is_authentication());
            match error {
                ProxyError::Authentication { given, status } => {
                    assert_eq!((given, status), expected, "{url} {answer:?}");
                }
                error => panic!("{url} {answer:?}: {error:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_malformed() {
        for answer in [
            &[4, 0][..],
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &[5, 1],    // GSSAPI, which was not offered
            &[5, 0x80], // private
            &[5, 2, 5, 0],
            &[5, 0, 4, 0, 0, 1],
            &[5, 0, 5, 0, 1, 1], // the reserved byte
            &[5, 0, 5, 0, 0, 2],
            &[5, 0, 5, 0, 0, 0],
        ] {
            let exchange = exchange("socks5://user:pass@proxy.example").answer(answer);
            let outcome = exchange.run().await.0;
            assert!(
                matches!(outcome, Err(ProxyError::Malformed { .. })),
                "{answer:?}: {outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn bytes_after_the_reply_are_refused_and_without_them_the_tunnel_opens() {
        for (extra, opens) in [(&[][..], true), (&[0], false), (&[0x16, 3, 3], false)] {
            let exchange = exchange("socks5://proxy.example")
                .answer(&[NO_PASSWORD_ASKED, CONNECTED, extra].concat());
            match exchange.run().await.0 {
                Ok(()) => assert!(opens),
                Err(ProxyError::Malformed { .. }) => assert!(!opens),
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_close_at_any_byte_is_told() {
        let answer = [PASSWORD_TAKEN, &[5, 0, 0, 3, 2, b'a', b'b', 0, 80]].concat();
        for length in 0..=answer.len() {
            let exchange = exchange("socks5://user:pass@proxy.example")
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
        fn no_answer_brings_the_credentials_into_an_error_or_makes_it_panic(
            answer in proptest::collection::vec(prop_oneof![0..6_u8, any::<u8>()], 0..32),
        ) {
            let exchange = exchange("socks5://QXuser:XQpass@proxy.example")
                .answer(&answer)
                .ending(Ending::Close);
            let error = block_on(exchange.run()).0.unwrap_err(); // closed, if nothing else
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains("QX") && !shown.contains("XQ"), "{shown}");
        }
    }
}
