//! Redirects, followed as the fetch standard's HTTP-redirect fetch does; each hop is a request of its own, pinned by its
//! own host's pins.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION,
};
use http::{HeaderName, Method, StatusCode};
use url::Url;

use crate::client::{Prepared, key_of};
use crate::config::RedirectMode;
use crate::error::{RedirectProblem, RequestError};
use crate::exchange::Head;
use crate::gate::Gate;
use crate::target::without_userinfo;

/// Fields that say something of a body, and go with it (fetch standard, request-body-header name).
const OF_BODY: [HeaderName; 5] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
];
/// Fields that another origin has no business to see.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// The request that `head`, a response to `request`, asks for; none if it is no redirect, or one to be handed over.
pub(crate) fn follow(
    gate: &Gate,
    request: &Prepared,
    head: &Head,
    hops: u32,
) -> Result<Option<Box<Prepared>>, RequestError> {
    let status = head.status;
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let fail = |location: &str, problem| RequestError::Redirect {
        host: request.key().host.clone(),
        location: without_userinfo(location).into(),
        problem,
    };
    let location = head.fields.get("location").map(text_of);
    match (request.redirect, location) {
        // the standard: a redirect status without Location is a response like any other
        (RedirectMode::Manual, _) | (RedirectMode::Follow, None) => Ok(None),
        (RedirectMode::Error, location) => Err(fail(
            &location.unwrap_or_default(),
            RedirectProblem::Refused,
        )),
        (RedirectMode::Follow, Some(location)) => {
            if hops >= request.max_redirects {
                let limit = request.max_redirects;
                return Err(fail(&location, RedirectProblem::TooMany { limit }));
            }
            let base = Url::parse(&request.target.to_text());
            let url = base.and_then(|base| base.join(&location));
            let url = url.map_err(|_| fail(&location, RedirectProblem::Location))?;
            let target = gate
                .destinations
                .read(&gate.config, &gate.fields, url.as_str())
                .map_err(|_| fail(&location, RedirectProblem::Location))?;
            let next = next(gate, request, status, target, &url);
            // the standard: a body without a source cannot follow
            if next.has_its_body() {
                Ok(Some(Box::new(next)))
            } else {
                Err(fail(&location, RedirectProblem::Body))
            }
        }
    }
}

fn next(
    gate: &Gate,
    request: &Prepared,
    status: StatusCode,
    mut target: crate::target::Target,
    url: &Url,
) -> Prepared {
    target.url.get_or_insert_with(|| url.as_str().into());
    // steps 12 and 13 of the standard: what is asked for is a page to look at
    let becomes_get = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        StatusCode::SEE_OTHER => !matches!(request.method, Method::GET | Method::HEAD),
        _ => false,
    };
    let is_same_origin = target.destination.key == request.target.destination.key;
    let mut headers = request.headers.clone();
    let mut remove = |names: &[HeaderName]| {
        let fields = headers.get_or_insert_with(|| gate.fields.clone());
        fields.retain(|field| !names.contains(field.name()));
    };
    if becomes_get {
        remove(&OF_BODY);
    }
    if !is_same_origin {
        remove(&CREDENTIALS);
    }
    Prepared {
        key: key_of(&target, &request.via, request.http2, request.reuse),
        via: request.via.clone(),
        target,
        method: if becomes_get {
            Method::GET
        } else {
            request.method.clone()
        },
        headers,
        body: if becomes_get {
            None
        } else {
            request.body.clone()
        },
        redirect: request.redirect,
        reuse: request.reuse,
        http2: request.http2,
        connect_timeout: request.connect_timeout,
        headers_timeout: request.headers_timeout,
        body_timeout: request.body_timeout,
        max_redirects: request.max_redirects,
        decompress: request.decompress,
        max_expansion: request.max_expansion,
        cookies: request.cookies.clone(),
        cookie: None,
        number: request.number,
        is_redirected: true,
        on_interim: request.on_interim.clone(),
    }
}

/// A field's value as text: UTF-8 where it is, else byte by byte.
fn text_of(value: &[u8]) -> String {
    std::str::from_utf8(value).map_or_else(
        |_| value.iter().copied().map(char::from).collect(),
        str::to_owned,
    )
}
