//! What JavaScript asks for at once rather than through the queues: a client from its options, a verdict on a chain, a
//! look at a policy or a file. Records in, Reply records out: u8 0 and the answer, or u8 1, a code and fields.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pinfetch_client::{
    BUILT_IN_ROOTS, Client, Code, Config, Cookies, Family, Field, HeaderLimits, Http2Settings,
    Identity, KeepAlive, Look, Lookup, MinVersion, PolicyChoice, ProxyChoice, RequestError, Roots,
    Trust, TrustAnchors, from_environment,
};
use pinfetch_pins::{
    Anchors, ChainRequest, Host, Pin, PinSource, describe_certificate, describe_file,
    verify_chain as verify,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::engine::{Core, http2_choice, proxy, redirect_mode, retry};
use crate::policies;
use crate::wire::{self, Malformed, Reader, Write};

/// An HTTP/2 setting that is as the protocol has it, and is not said.
const UNSAID: u32 = u32::MAX;
const OK: u8 = 0;
const FAILED: u8 = 1;

/// A Reply: `answer`'s bytes, or the failure.
pub(crate) fn reply(answer: Result<Vec<u8>, RequestError>) -> Vec<u8> {
    let mut out = Vec::new();
    match answer {
        Ok(payload) => {
            out.u8(OK);
            out.extend_from_slice(&payload);
        }
        Err(error) => {
            out.u8(FAILED);
            wire::write_failure(&mut out, &error);
        }
    }
    out
}

fn failed(code: Code, problem: impl Into<Arc<str>>) -> RequestError {
    RequestError::Option {
        code,
        problem: problem.into(),
    }
}

impl From<Malformed> for RequestError {
    fn from(malformed: Malformed) -> Self {
        Self::Internal(malformed.to_string().into())
    }
}

pub(crate) fn create_client(core: &Arc<Core>, config: &[u8]) -> Vec<u8> {
    reply(try_create_client(core, config))
}

fn try_create_client(core: &Arc<Core>, config: &[u8]) -> Result<Vec<u8>, RequestError> {
    let handle = core.reserve_client();
    let config = read_config(core, handle, &mut Reader::new(config))?;
    core.add_client(handle, Client::new(config, core.environment())?);
    Ok(handle.to_le_bytes().into())
}

fn read_config(
    core: &Arc<Core>,
    handle: u32,
    record: &mut Reader<'_>,
) -> Result<Config, RequestError> {
    let own = policies::next(record)?;
    let unpinned = record.unpinned()?;
    let blobs = |record: &mut Reader<'_>| record.list(|record| record.bytes().map(<[u8]>::to_vec));
    let ca = record.opt(blobs)?;
    let extra = blobs(record)?;
    let system = record.flag()?;
    let insecure = record.flag()?;
    let server_name = record
        .opt(Reader::str)?
        .map(|name| host("serverName", name))
        .transpose()?;
    let http2 = http2_choice(record)?;
    let connections = record.size()?;
    let timeout = limit(record)?;
    let max_response_bytes = u64::try_from(record.i64()?).map_err(|_| Malformed)?;
    let idle_timeout = Duration::from_millis(record.u32()?.into());
    let lookup = lookup_choice(core, handle, record)?;
    let headers = headers(record)?;
    let min_version = match record.u8()? {
        12 => MinVersion::Tls12,
        13 => MinVersion::Tls13,
        _ => return Err(Malformed.into()),
    };
    let decompress = record.flag()?;
    let max_expansion = record.u32()?;
    let redirect = redirect_mode(record)?;
    let max_redirects = record.u32()?;
    let proxy = proxy_choice(record)?;
    let cookies = match record.u8()? {
        0 => Cookies::None,
        1 => Cookies::default(),
        2 => Cookies::Jar(core.jars.get(record.u32()?).ok_or(Malformed)?),
        3 => core.keeper(handle),
        _ => return Err(Malformed.into()),
    };
    let quarantine = record.flag()?;
    let reuse = record.flag()?;
    let connect_timeout = limit(record)?;
    let headers_timeout = limit(record)?;
    let body_timeout = limit(record)?;
    let retry = retry(record)??;
    let dns_ttl = Duration::from_millis(record.u32()?.into());
    let family = family(record)?;
    let local_address = record.opt(Reader::str)?.map(local_address).transpose()?;
    let identity = identity(record)?;
    let key_log = record.opt(Reader::str)?.map(Into::into);
    let crl = blobs(record)?;
    let wanted = TrustAnchors {
        ca,
        extra,
        system,
        crl,
    };
    let header_limits = header_limits(record)?;
    let post_quantum = record.flag()?;
    let total_connections = Some(record.size()?).filter(|limit| *limit != 0);
    let trust = trust(insecure, wanted)?;
    let policy = match record.opt(Reader::u32)? {
        None => own.into(),
        Some(live) => PolicyChoice::Live(core.live_policies.get(live).ok_or(Malformed)?),
    };
    let http2_settings = http2_settings(record)?;
    let look = record.opt(look)?;
    Ok(Config {
        policy,
        unpinned,
        number: handle,
        trust,
        server_name,
        min_version,
        http2,
        http2_settings,
        look,
        connections,
        total_connections,
        timeout,
        idle_timeout,
        max_response_bytes,
        decompress,
        max_expansion,
        redirect,
        max_redirects,
        cookies,
        quarantine,
        reuse,
        connect_timeout,
        headers_timeout,
        body_timeout,
        retry,
        dns_ttl,
        family,
        local_address,
        identity,
        key_log,
        proxy,
        lookup,
        headers,
        header_limits,
        post_quantum,
    })
}

fn identity(record: &mut Reader<'_>) -> Result<Option<Identity>, RequestError> {
    let identity = match record.u8()? {
        0 => return Ok(None),
        1 => {
            let (cert, key) = (record.bytes()?, record.bytes()?);
            Identity::from_pem(cert, key, record.opt(Reader::str)?)
        }
        2 => Identity::from_pkcs12(record.bytes()?, record.str()?),
        _ => return Err(Malformed.into()),
    };
    identity
        .map(Some)
        .map_err(|error| failed(Code::PolicyInvalidOption, error.to_string()))
}

fn trust(insecure: bool, wanted: TrustAnchors) -> Result<Trust, RequestError> {
    if !insecure {
        return Ok(Trust::Anchors(wanted));
    }
    if wanted.ca.is_some() || !wanted.extra.is_empty() || wanted.system || !wanted.crl.is_empty() {
        return Err(failed(
            Code::PolicyInvalidOption,
            "insecureSkipVerify makes ca, extraCa, systemCa and crl meaningless: give one or the other",
        ));
    }
    Ok(Trust::Insecure)
}

fn lookup_choice(
    core: &Arc<Core>,
    handle: u32,
    record: &mut Reader<'_>,
) -> Result<Lookup, RequestError> {
    let lookup_kind = record.u8()?;
    let answers = record.list(|record| Ok((record.str()?, record.list(Reader::str)?)))?;
    Ok(match lookup_kind {
        0 => Lookup::System,
        1 => Lookup::Map(Arc::new(read_answers(answers)?)),
        2 => core.resolver(handle),
        _ => return Err(Malformed.into()),
    })
}

fn header_limits(record: &mut Reader<'_>) -> Result<HeaderLimits, Malformed> {
    Ok(HeaderLimits {
        bytes: record.u32()?,
        count: record.u32()?,
    })
}

fn http2_settings(record: &mut Reader<'_>) -> Result<Http2Settings, Malformed> {
    Ok(Http2Settings {
        stream_window: record.u32()?,
        connection_window: record.u32()?,
        max_streams: Some(record.u32()?).filter(|most| *most != 0),
        connections: record.size()?,
        max_frame_size: Some(record.u32()?).filter(|size| *size != UNSAID),
        header_table_size: Some(record.u32()?).filter(|size| *size != UNSAID),
        keep_alive: match (limit(record)?, limit(record)?) {
            (Some(interval), Some(timeout)) => Some(KeepAlive { interval, timeout }),
            _ => None,
        },
    })
}

fn look(record: &mut Reader<'_>) -> Result<Look, Malformed> {
    Ok(Look {
        cipher_suites: record.list(Reader::u16)?,
        groups: record.list(Reader::u16)?,
        signature_schemes: record.list(Reader::u16)?,
        certificate_compression: record.list(Reader::u16)?,
        max_pushed_streams: record.opt(Reader::u32)?,
        max_header_list_size: record.opt(Reader::u32)?,
    })
}

fn family(record: &mut Reader<'_>) -> Result<Family, Malformed> {
    Ok(match record.u8()? {
        0 => Family::Any,
        4 => Family::V4,
        6 => Family::V6,
        _ => return Err(Malformed),
    })
}

fn local_address(text: &str) -> Result<IpAddr, RequestError> {
    text.parse().map_err(|_| {
        let problem = format!("localAddress {text:?} is no IP address");
        failed(Code::PolicyInvalidOption, problem)
    })
}

/// Milliseconds; 0 for no limit.
fn limit(record: &mut Reader<'_>) -> Result<Option<Duration>, Malformed> {
    let limit = record.u32()?;
    Ok((limit != 0).then(|| Duration::from_millis(limit.into())))
}

fn proxy_choice(record: &mut Reader<'_>) -> Result<ProxyChoice, RequestError> {
    let invalid = |problem: String| failed(Code::PolicyInvalidOption, problem);
    Ok(match record.u8()? {
        0 => match proxy(record.str()?).map_err(invalid)? {
            Some(proxy) => ProxyChoice::Always(proxy),
            None => ProxyChoice::Direct,
        },
        1 => {
            let variables = record.list(|record| Ok((record.str()?, record.str()?)))?;
            let get = |name: &str| {
                let found = variables.iter().find(|(given, _)| *given == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let proxies = from_environment(get);
            ProxyChoice::Environment(proxies.map_err(|error| invalid(format!("proxy: {error}")))?)
        }
        _ => return Err(Malformed.into()),
    })
}

fn host(option: &str, text: &str) -> Result<Host, RequestError> {
    text.parse().map_err(|error| {
        failed(
            Code::PolicyInvalidOption,
            format!("{option} {text:?}: {error}"),
        )
    })
}

fn read_answers(
    answers: Vec<(&str, Vec<&str>)>,
) -> Result<HashMap<Host, Vec<IpAddr>>, RequestError> {
    let mut map = HashMap::with_capacity(answers.len());
    for (name, addresses) in answers {
        let parsed = addresses.iter().map(|address| {
            address.parse().map_err(|_| {
                let problem = format!("lookup[{name:?}]: {address:?} is no IP address");
                failed(Code::PolicyInvalidOption, problem)
            })
        });
        let parsed: Vec<IpAddr> = parsed.collect::<Result<_, _>>()?;
        if map.insert(host("lookup", name)?, parsed).is_some() {
            return Err(failed(
                Code::PolicyInvalidOption,
                format!("lookup names {name:?} twice"),
            ));
        }
    }
    Ok(map)
}

fn headers(record: &mut Reader<'_>) -> Result<Vec<Field>, RequestError> {
    let given = record.list(|record| Ok((record.str()?, record.bytes()?)))?;
    let read = given.into_iter().map(|(name, value)| {
        Field::new(name.as_bytes(), value)
            .map_err(|error| failed(Code::PolicyInvalidOption, format!("headers: {error}")))
    });
    read.collect()
}

/// What a client's requests through each proxy have come to.
pub(crate) fn proxy_stats(core: &Core, client: u32) -> Vec<u8> {
    let stats = core.with_client(client, Client::proxy_stats);
    let mut out = Vec::new();
    let stats = stats.unwrap_or_default(); // of a client that is gone: nobody has used a proxy
    out.size(stats.len());
    for entry in stats {
        out.str(&entry.proxy.to_string());
        out.opt(entry.proxy.user_name(), |out, name| out.str(&name));
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        out.i64(count(entry.requests));
        out.i64(count(entry.sent));
        out.i64(count(entry.received));
        out.i64(count(entry.bad_pins));
        out.i64(count(entry.errors));
        out.u8(entry.is_quarantined.into());
    }
    out
}

/// Lets requests of a client go through a proxy again; a Reply with a flag: whether none could.
pub(crate) fn release_proxy(core: &Core, client: u32, url: &str) -> Vec<u8> {
    let proxy = proxy(url).map_err(|problem| RequestError::Argument(problem.into()));
    reply(proxy.map(|proxy| {
        let release = |client: &Client| proxy.is_some_and(|proxy| client.release_proxy(&proxy));
        vec![core.with_client(client, release).unwrap_or(false).into()]
    }))
}

pub(crate) fn verify_chain(request: &[u8]) -> Vec<u8> {
    match try_verify_chain(request) {
        Ok(answer) => answer,
        Err(error) => reply(Err(error)),
    }
}

fn try_verify_chain(request: &[u8]) -> Result<Vec<u8>, RequestError> {
    let mut record = Reader::new(request);
    let certificates = |record: &mut Reader<'_>| {
        record.list(|record| record.bytes().map(|der| CertificateDer::from(der.to_vec())))
    };
    let chain = certificates(&mut record)?;
    let anchors = certificates(&mut record)?;
    let name = record.str()?;
    let at = record.opt(Reader::i64)?;
    let pins = record.list(Reader::pin_source)?;
    let anchors = Anchors::from_certificates(anchors)
        .map_err(|error| failed(Code::PolicyInvalidCa, format!("trustAnchors: {error}")))?;
    let host: Host = name
        .parse()
        .map_err(|error| RequestError::Argument(format!("hostname {name:?}: {error}").into()))?;
    let pins = pins_of(name, &pins)?;
    let at = match at {
        Some(seconds) => UnixTime::since_unix_epoch(Duration::from_secs(
            u64::try_from(seconds)
                .map_err(|_| RequestError::Argument("time is before 1970".into()))?,
        )),
        None => UnixTime::now(),
    };
    let mut out = Vec::new();
    match verify(&ChainRequest {
        chain: &chain,
        anchors: &anchors,
        host: &host,
        at,
        pins: &pins,
    }) {
        Ok(verified) => {
            out.u8(OK);
            out.pins(verified.path.pins().iter());
            out.opt(verified.matched.as_ref(), super::wire::Write::pin);
        }
        Err(error) => {
            out.u8(FAILED);
            wire::write_verify_failure(&mut out, &error);
        }
    }
    Ok(out)
}

/// Pins are read by the policy's own reader, so that one spelling means one thing everywhere.
fn pins_of(host: &str, sources: &[PinSource]) -> Result<Vec<Pin>, RequestError> {
    sources
        .iter()
        .enumerate()
        .map(|(index, source)| source.read(host, index).map_err(RequestError::from))
        .collect()
}

pub(crate) fn policy_lookup(policy: &[u8], authority: &str) -> Vec<u8> {
    reply(try_policy_lookup(policy, authority))
}

fn try_policy_lookup(policy: &[u8], authority: &str) -> Result<Vec<u8>, RequestError> {
    let policy = policies::read(policy)?;
    let (host, port) = pinfetch_client::parse_authority(authority)?;
    let mut out = Vec::new();
    match policy.lookup(&host, port).to_effective(&host, port) {
        None => {
            out.u32(0);
            out.u32(0);
        }
        Some(effective) => {
            out.strs(effective.patterns());
            out.pins(effective.pins().iter());
        }
    }
    Ok(out)
}

pub(crate) fn describe_path(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if try_describe_path(path, &mut out).is_err() {
        // a path block is of our own making: one that can't be read describes nothing
        out.clear();
        out.u32(0);
    }
    out
}

fn try_describe_path(path: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut record = Reader::new(path);
    let count = record.u32()?;
    out.u32(count);
    for _ in 0..count {
        out.extend_from_slice(record.take(32)?);
        out.u8(record.u8()?);
        let is_name = record.flag()?;
        let der = record.bytes()?;
        if is_name {
            out.str(&pinfetch_pins::describe_name(der));
            out.u8(0);
            out.u8(0);
        } else {
            let described = describe_certificate(der);
            out.str(&described.subject);
            out.opt(described.not_after, Write::i64);
            out.opt(Some(der), Write::bytes);
        }
    }
    Ok(())
}

pub(crate) fn describe_inputs(file: &[u8], name: &str) -> Vec<u8> {
    let inputs = describe_file(file)
        .map_err(|error| RequestError::Argument(format!("{name}: {error}").into()));
    reply(inputs.map(|inputs| {
        let mut out = Vec::new();
        out.size(inputs.len());
        for input in inputs {
            out.pin(&input.pin);
            out.str(input.kind.as_str());
            out.str(&input.subject);
            out.opt(input.not_after, Write::i64);
        }
        out
    }))
}

/// The built-in trust anchors: str their version, list of pin and subject.
pub(crate) fn built_in_anchors() -> Vec<u8> {
    let anchors: Vec<_> = Roots::built_in().described().collect();
    let mut out = Vec::new();
    out.str(BUILT_IN_ROOTS);
    out.size(anchors.len());
    for (pin, subject) in anchors {
        out.pin(&pin);
        out.str(&subject);
    }
    out
}

pub(crate) fn versions() -> String {
    format!(
        r#"{{"pinfetch":"{}","interface":"{}","target":"{}","tls":"rustls {}","paths":"rustls-webpki {}","crypto":"ring {}","roots":"{BUILT_IN_ROOTS}","http":"h2 {}"}}"#,
        env!("CARGO_PKG_VERSION"),
        env!("INTERFACE"),
        env!("TARGET_TRIPLE"),
        env!("VERSION_OF_rustls"),
        env!("VERSION_OF_rustls_webpki"),
        env!("VERSION_OF_ring"),
        env!("VERSION_OF_h2"),
    )
}
