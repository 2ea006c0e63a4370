//! Why a cookie is refused, and why a serialised jar is.

/// Why [`CookieJar::set`](super::CookieJar::set) refused a cookie. Section and step numbers are those of
/// draft-ietf-httpbis-rfc6265bis.
///
/// No variant holds a cookie's name or value: both may be secrets.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The URL is not one of HTTP's, or no request can go to its host.
    #[error("cookies belong to http: and https: URLs with a host")]
    Url,
    /// A control character other than a tab (§5.6, §5.7 step 3).
    #[error("the cookie holds a control character")]
    ControlCharacter,
    /// Name and value have more than 4096 octets together (§5.6, §5.7 step 4).
    #[error("the cookie's name and value have {octets} octets together, more than 4096")]
    TooLong {
        /// How many they have.
        octets: usize,
    },
    /// Neither a name nor a value (§5.7 step 2).
    #[error("the cookie has neither a name nor a value")]
    Empty,
    /// The `Domain` attribute is not in ASCII (§5.7 step 8): names are written as A-labels there.
    #[error("the cookie's domain is not ASCII: write it as A-labels (xn--…)")]
    DomainNotAscii,
    /// The `Domain` attribute is a suffix below which anybody may register names (§5.7 step 9, publicsuffix.org).
    #[error("the cookie's domain {domain} is a public suffix")]
    PublicSuffix {
        /// The attribute, in lower case.
        domain: String,
    },
    /// The request's host is neither the `Domain` attribute nor below it (§5.7 step 10).
    #[error("the cookie's domain {domain} does not cover the host {host}")]
    DomainMismatch {
        /// The attribute, in lower case.
        domain: String,
        /// The host of the URL.
        host: String,
    },
    /// The path is not in ASCII. No URL's path holds such octets, so the cookie could never be sent (§5.7 step 1 lets a
    /// user agent ignore it).
    #[error("the cookie's path is not ASCII: percent-encode it")]
    PathNotAscii,
    /// `Secure` from an origin that is not (§5.7 step 13).
    #[error("a Secure cookie cannot be set over plain http")]
    InsecureOrigin,
    /// It would overlay a `Secure` cookie from an origin that is not secure (§5.7 step 16).
    #[error("a Secure cookie of the same name cannot be overlaid over plain http")]
    OverlaysSecure,
    /// `SameSite=None` without `Secure` (§5.7 step 19).
    #[error("SameSite=None needs Secure")]
    SameSiteNoneInsecure,
    /// A name that begins with `__Secure-`, without `Secure` (§5.7 step 20).
    #[error("a name that begins with __Secure- needs Secure")]
    SecurePrefix,
    /// A name that begins with `__Host-` on a cookie that is not `Secure`, not host-only or not of `Path=/` (§5.7 step 21).
    #[error("a name that begins with __Host- needs Secure, Path=/ and no Domain")]
    HostPrefix,
    /// No name, and a value that a server would read as a prefixed name (§5.7 step 22).
    #[error("a cookie without a name cannot have a value that begins with __Secure- or __Host-")]
    NamelessPrefix,
    /// What would end a name or a value in the `Cookie` field: `;`, or `=` in a name. Only a serialised jar can hold it.
    #[error("a cookie's name holds no `;` and no `=`, its value no `;`")]
    Delimiter,
    /// The path does not begin with a slash. Only a serialised jar can hold it: the parser puts the default path there.
    #[error("a cookie's path begins with a slash")]
    PathNotAbsolute,
    /// The domain is not a host's name. Only a serialised jar can hold it.
    #[error("a cookie's domain is a host's name or address")]
    Domain,
    /// The jar is full, and all that it holds outranks this cookie: `Secure` ones outrank others in a domain that has many
    /// (§5.7, "remove excess cookies").
    #[error("the jar is full of cookies that outrank one of {domain} without Secure")]
    Crowded {
        /// The domain.
        domain: String,
    },
}

/// Why [`CookieJar::from_json`](super::CookieJar::from_json) refused a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieJarError {
    /// Not JSON.
    #[error("line {line}, column {column}: not JSON")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What serde says.
        source: serde_json::Error,
    },
    /// JSON, but not an object with a list `cookies`.
    #[error("a cookie jar is an object with a list `cookies`")]
    Shape,
    /// An element of the list that is not an object.
    #[error("cookies[{index}]: expected an object")]
    Element {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A field of another type, or none where one is needed.
    #[error("cookies[{index}].{field}: expected {expected}")]
    Field {
        /// The cookie's place in the list, from 0.
        index: usize,
        /// The field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A cookie that this jar would not hold.
    #[error("cookies[{index}].{field}: {source}")]
    Refused {
        /// The cookie's place in the list, from 0.
        index: usize,
        /// The field that breaks the rule.
        field: &'static str,
        /// The rule.
        source: CookieError,
    },
}
