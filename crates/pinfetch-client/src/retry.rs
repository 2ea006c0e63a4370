//! Requests that are sent again after a failure that may pass, where the caller asked for it. A verdict on who answered
//! never passes: bad pins and refused certificates are final.

use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};

use crate::connect::proxy::ProxyError;
use crate::error::RequestError;
use crate::exchange::{Head, is_reset_by_peer};

/// When a request is sent again, and how long that waits. The request's time limit covers all of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retry {
    /// How often it is sent again at most; 0 for never.
    pub attempts: u32,
    /// The methods of requests that are.
    pub methods: Vec<Method>,
    /// The statuses after which it is.
    pub statuses: Vec<StatusCode>,
    /// Up to which the first wait is drawn; it doubles with each further one.
    pub backoff: Duration,
    /// The longest wait, and the longest that a server may ask for: one that asks for more gets no further request.
    pub max_delay: Duration,
}

impl Default for Retry {
    /// Never; with attempts, for idempotent methods (RFC 9110 §9.2.2) and the statuses that say that they may pass.
    fn default() -> Self {
        Self {
            attempts: 0,
            methods: vec![
                Method::GET,
                Method::HEAD,
                Method::OPTIONS,
                Method::PUT,
                Method::DELETE,
            ],
            statuses: vec![
                StatusCode::REQUEST_TIMEOUT,
                StatusCode::TOO_EARLY,
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::INTERNAL_SERVER_ERROR,
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ],
            backoff: Duration::from_millis(250),
            max_delay: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// How long to wait before a request of `method` is sent again for the `attempt`th time (from 0) after `head`.
    pub(crate) fn after_response(
        &self,
        method: &Method,
        head: &Head,
        attempt: u32,
    ) -> Option<Duration> {
        if !self.covers(method, attempt) || !self.statuses.contains(&head.status) {
            return None;
        }
        match head.fields.get("retry-after") {
            None => Some(self.delay(attempt)),
            Some(value) => retry_after(value, SystemTime::now())
                .map_or_else(|| Some(self.delay(attempt)), Some)
                .filter(|delay| *delay <= self.max_delay),
        }
    }

    /// The same after `error`.
    pub(crate) fn after_error(
        &self,
        method: &Method,
        error: &RequestError,
        attempt: u32,
    ) -> Option<Duration> {
        (self.covers(method, attempt) && may_pass(error)).then(|| self.delay(attempt))
    }

    fn covers(&self, method: &Method, attempt: u32) -> bool {
        attempt < self.attempts && self.methods.contains(method)
    }

    /// Drawn between nothing and what has doubled each time: clients that failed together don't come back together.
    fn delay(&self, attempt: u32) -> Duration {
        let longest = self
            .backoff
            .saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX))
            .min(self.max_delay);
        let mut bytes = [0; 4];
        if SystemRandom::new().fill(&mut bytes).is_err() {
            return longest; // without chance: the whole of it
        }
        longest.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
    }
}

/// Whether a failure may be another's fault than the request's, and over by the next attempt.
fn may_pass(error: &RequestError) -> bool {
    match error {
        RequestError::Dns { .. }
        | RequestError::Connect { .. }
        | RequestError::Closed { .. }
        | RequestError::Socket { .. }
        | RequestError::Timeout { .. } => true,
        // a server or what stands in front of it has given up on one request
        RequestError::Protocol { source, .. } => is_reset_by_peer(&**source),
        RequestError::Proxy { source, .. } => !matches!(
            source,
            ProxyError::Quarantined | ProxyError::Authentication { .. } | ProxyError::Field(_)
        ),
        _ => false,
    }
}

/// A `Retry-After` field (RFC 9110 §10.2.3): seconds, or a date.
fn retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default()) // what is past is now
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, HeaderValue, Version};
    use pinfetch_pins::Host;

    use super::*;

    fn head(status: u16, retry_after: Option<&'static str>) -> Head {
        let mut fields = HeaderMap::new();
        if let Some(value) = retry_after {
            fields.insert("retry-after", HeaderValue::from_static(value));
        }
        Head {
            status: StatusCode::from_u16(status).unwrap(),
            version: Version::HTTP_11,
            reason: None,
            fields: fields.into(),
        }
    }

    fn twice() -> Retry {
        Retry {
            attempts: 2,
            ..Retry::default()
        }
    }

    #[test]
    fn a_response_is_asked_for_again_by_method_status_and_count() {
        for (method, status, attempt, again) in [
            (Method::GET, 503, 0, true),
            (Method::GET, 429, 1, true),
            (Method::GET, 503, 2, false),
            (Method::GET, 404, 0, false),
            (Method::GET, 200, 0, false),
            (Method::POST, 503, 0, false),
            (Method::PUT, 502, 0, true),
        ] {
            let delay = twice().after_response(&method, &head(status, None), attempt);
            assert_eq!(delay.is_some(), again, "{method} {status} {attempt}");
        }
        assert_eq!(
            Retry::default().after_response(&Method::GET, &head(503, None), 0),
            None
        );
    }

    #[test]
    fn a_server_says_how_long_to_wait_up_to_the_limit() {
        let after = |value| twice().after_response(&Method::GET, &head(503, Some(value)), 0);
        assert_eq!(after("0"), Some(Duration::ZERO));
        assert_eq!(after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(after("30"), Some(Duration::from_secs(30)));
        assert_eq!(after("31"), None);
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(after("Fri, 31 Dec 9999 23:59:59 GMT"), None);
        for odd in ["-1", "soon", "1.5", "99999999999"] {
            assert!(after(odd).unwrap() <= Duration::from_millis(250), "{odd}");
        }
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:07 GMT").unwrap();
        let in_half_a_minute = retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", now);
        assert_eq!(in_half_a_minute, Some(Duration::from_secs(30)));
    }

    #[test]
    fn waits_double_and_are_drawn() {
        let retry = Retry {
            attempts: 100,
            ..Retry::default()
        };
        for attempt in 0..100 {
            let longest = Duration::from_millis(250).saturating_mul(1 << attempt.min(20));
            assert!(retry.delay(attempt) <= longest.min(retry.max_delay));
        }
        let drawn: Vec<_> = (0..8).map(|_| retry.delay(6)).collect();
        assert!(drawn.iter().any(|delay| *delay != drawn[0]));
    }

    #[test]
    fn a_verdict_never_passes() {
        let host: Host = "a.test".parse().unwrap();
        let closed = RequestError::Closed { host, remote: None };
        let quarantined = RequestError::Proxy {
            proxy: "http://a.test:80".into(),
            source: ProxyError::Quarantined,
        };
        for (error, again) in [
            (closed, true),
            (quarantined, false),
            (RequestError::ClientClosed, false),
            (RequestError::Argument("x".into()), false),
            (RequestError::Internal(Arc::from("x")), false),
        ] {
            let delay = twice().after_error(&Method::GET, &error, 0);
            assert_eq!(delay.is_some(), again, "{error}");
            assert_eq!(twice().after_error(&Method::POST, &error, 0), None);
        }
    }
}
