//! One enum for each thing that can fail.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use crate::{EffectivePins, Host, Pin, Places, VerifiedPath};

/// Why a text or file is no pin.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// Nothing at all.
    #[error("is empty; a pin is sha256/ and 44 characters of base64")]
    Empty,
    /// White space around it.
    #[error("has white space around it; did you mean {0:?}?")]
    Whitespace(String),
    /// A SHA-1 digest.
    #[error(
        "is a SHA-1 digest: SHA-1 can be forged and is refused; take the SHA-256 digest of the same key (pinfetch pins HOST)"
    )]
    Sha1,
    /// PEM where a pin's text is expected.
    #[error("is PEM, not a pin; give it as {{ certificate }} or {{ publicKey }}")]
    Pem,
    /// `pin-sha256=` without quotes.
    #[error("lacks the quotes of RFC 7469: pin-sha256=\"…\"")]
    Unquoted,
    /// A prefix that no pin has.
    #[error("has a prefix that no pin has; did you mean {0}?")]
    Prefix(Pin),
    /// base64url (RFC 4648 §5).
    #[error("is not standard base64: - and _ are base64url's{}", mend(*.0))]
    UrlAlphabet(Option<Pin>),
    /// A character that base64 does not have.
    #[error("holds a character that base64 does not have{}", mend(*.0))]
    Alphabet(Option<Pin>),
    /// Padding or trailing bits that are not canonical (RFC 4648 §3.5).
    #[error("is not canonical base64: a pin has 43 characters and one ={}", mend(*.0))]
    Padding(Option<Pin>),
    /// Not 32 bytes.
    #[error("is {0} bytes long; a SHA-256 digest has 32 (44 characters of base64)")]
    Length(usize),
    /// A fingerprint of a whole certificate.
    #[error(
        "is the fingerprint of a whole certificate, which changes with each renewal; a pin is the digest of its public key alone \
         (pinfetch pins --file CERTIFICATE)"
    )]
    CertificateFingerprint,
    /// A file that holds no certificate.
    #[error("is no certificate, in PEM or DER")]
    NotACertificate,
    /// A file that holds no public key.
    #[error("is no public key (SubjectPublicKeyInfo), in PEM or DER")]
    NotAPublicKey,
}

fn mend(pin: Option<Pin>) -> String {
    pin.map_or_else(String::new, |pin| format!("; did you mean {pin}?"))
}

/// Why a text is no host or host pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Nothing at all.
    #[error("a host name is expected")]
    Empty,
    /// A URL, or a part of one that no host has.
    #[error("a host is expected, not a URL: without scheme, path, query and user information")]
    Url,
    /// Two dots in a row, or one in front.
    #[error("it has an empty label")]
    EmptyLabel,
    /// A label of more than 63 or a name of more than 253 characters (RFC 1035 §2.3.4).
    #[error("it is longer than DNS allows: 63 characters a label, 253 in all")]
    TooLong,
    /// A character that no host has.
    #[error("it holds a character or form that no host name or IP address has")]
    Invalid,
    /// A star elsewhere than in front.
    #[error(
        "* stands only in front: *.example.com (exactly one more label) or **.example.com (the apex and any depth)"
    )]
    Star,
    /// A star before an address.
    #[error("an IP address has no names below it: leave the * out")]
    StarOverAddress,
    /// A star right below a public suffix.
    #[error(
        "{0} is a public suffix: anybody may register names below it, so no pins can hold for all of them"
    )]
    PublicSuffix(Host),
    /// A port that is none.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

/// Why a policy cannot be compiled: one exact place, what is wrong there, and the mend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A pin cannot be read.
    #[error("pins[{pattern:?}][{index}]: {input:?} {source}")]
    InvalidPin {
        /// The host pattern, as it was given.
        pattern: String,
        /// Which of its pins, from 0.
        index: usize,
        /// What was given, shortened.
        input: String,
        /// What is wrong.
        source: PinError,
    },
    /// A host pattern cannot be read.
    #[error("pins[{pattern:?}]: {source}")]
    InvalidHost {
        /// The host pattern, as it was given.
        pattern: String,
        /// What is wrong.
        source: HostError,
    },
    /// Two patterns are the same in canonical form.
    #[error("pins[{pattern:?}]: the same pattern as {other:?}; put all its pins in one place")]
    DuplicateHost {
        /// The later one, as it was given.
        pattern: String,
        /// The earlier one, as it was given.
        other: String,
    },
    /// A pattern without pins.
    #[error(
        "pins[{pattern:?}]: the pin list is empty; leave the host out, or take it out of its parents with {{ exclude: true }}"
    )]
    EmptyPinSet {
        /// The host pattern, as it was given.
        pattern: String,
    },
    /// A blocked pin cannot be read.
    #[error("blocked[{index}]: {input:?} {source}")]
    BlockedPin {
        /// Which of the blocked pins, from 0.
        index: usize,
        /// What was given, shortened.
        input: String,
        /// What is wrong.
        source: PinError,
    },
    /// What a pattern says besides its pins cannot hold.
    #[error("pins[{pattern:?}]: {problem}")]
    Rule {
        /// The host pattern.
        pattern: String,
        /// What is wrong.
        problem: RuleProblem,
    },
}

/// Why what a pattern says besides its pins cannot hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// More keys are demanded than there are pins.
    #[error("it asks for {wanted} pins of {given}: no path could hold them")]
    TooManyKeys {
        /// How many are demanded.
        wanted: u32,
        /// How many different pins it has.
        given: usize,
    },
    /// A place is demanded at which none of the pins counts.
    #[error("none of the pins may stand at {}: no path could hold one", .0.describe())]
    NoPinAt(Places),
    /// Trust in the pinned key, and a mode in which pins are not enforced.
    #[error(
        "trust in the pinned key stands beside report mode: the pin is all that such a server is verified by, so it has to be enforced"
    )]
    NothingVerified,
    /// Trust in the pinned key, and pins or a demand of other keys.
    #[error(
        "trust in the pinned key looks at the leaf alone: leave out `at` and `require`, or give \"leaf\""
    )]
    BeyondTheLeaf,
    /// Another pattern that speaks of the same hosts has other trust.
    #[error(
        "{other:?} speaks of the same hosts and differs in its trust: say the same in both, or take the hosts out of one of them"
    )]
    TrustDiffers {
        /// The other pattern, in canonical form.
        other: String,
    },
}

impl PolicyError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidPin { .. } | Self::BlockedPin { .. } => "ERR_POLICY_INVALID_PIN",
            Self::InvalidHost {
                source: HostError::PublicSuffix(_),
                ..
            } => "ERR_POLICY_PUBLIC_SUFFIX",
            Self::InvalidHost { .. } => "ERR_POLICY_INVALID_HOST",
            Self::DuplicateHost { .. } => "ERR_POLICY_DUPLICATE_HOST",
            Self::EmptyPinSet { .. } => "ERR_POLICY_EMPTY_PIN_SET",
            Self::Rule { .. } => "ERR_POLICY_INVALID_OPTION",
        }
    }

    /// The host pattern concerned, as it was given; none for a blocked pin.
    pub fn pattern(&self) -> Option<&str> {
        match self {
            Self::InvalidPin { pattern, .. }
            | Self::InvalidHost { pattern, .. }
            | Self::DuplicateHost { pattern, .. }
            | Self::EmptyPinSet { pattern }
            | Self::Rule { pattern, .. } => Some(pattern),
            Self::BlockedPin { .. } => None,
        }
    }

    /// Which of the pattern's pins, from 0.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::InvalidPin { index, .. } | Self::BlockedPin { index, .. } => Some(*index),
            Self::InvalidHost { .. }
            | Self::DuplicateHost { .. }
            | Self::EmptyPinSet { .. }
            | Self::Rule { .. } => None,
        }
    }

    /// What was given for the pin, shortened.
    pub fn input(&self) -> Option<&str> {
        match self {
            Self::InvalidPin { input, .. } | Self::BlockedPin { input, .. } => Some(input),
            Self::InvalidHost { .. }
            | Self::DuplicateHost { .. }
            | Self::EmptyPinSet { .. }
            | Self::Rule { .. } => None,
        }
    }
}

/// Why certificates are no trust anchors.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorsError {
    /// None was given.
    #[error("no trust anchor was given")]
    Empty,
    /// None of those given can be read.
    #[error("none of the {0} certificates given can be read as a trust anchor")]
    NoneUsable(usize),
}

/// Why something is no certificate revocation list to go by.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationListError {
    /// Not the DER of one, or one that breaks the profile of RFC 5280 §5.
    #[error("cannot be read as a certificate revocation list (RFC 5280): {0}")]
    Unreadable(String),
    /// It tells only what changed since another one (RFC 5280 §5.2.4).
    #[error("is a delta revocation list: give the complete one")]
    Delta,
    /// It may name certificates of other issuers (RFC 5280 §5.2.5).
    #[error("is an indirect revocation list: give those of the issuers themselves")]
    Indirect,
    /// It is of version 1 (RFC 5280 §5.1.2.1).
    #[error("is a revocation list of version 1: give one of version 2")]
    Version,
}

/// Why a server's certificate was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The verified path holds none of the pins.
    #[error(transparent)]
    BadPin(Box<BadPin>),
    /// A certificate of every path has expired.
    #[error("a certificate has expired{}", since(*.not_after))]
    Expired {
        /// When, in Unix seconds, where it is known.
        not_after: Option<i64>,
    },
    /// A certificate of every path is not valid yet.
    #[error("a certificate is not valid yet")]
    NotYetValid,
    /// The certificate is for other names.
    #[error("the certificate is not for {expected} but for {}", listed(.names))]
    NameMismatch {
        /// The name that was expected.
        expected: String,
        /// The names in the certificate.
        names: Vec<String>,
    },
    /// No path leads to a trust anchor.
    #[error("no path leads from the certificate to a trust anchor")]
    UnknownIssuer,
    /// A certificate was revoked.
    #[error("a certificate was revoked")]
    Revoked,
    /// A certificate is not for this use.
    #[error("a certificate is not for this use: {0}")]
    InvalidPurpose(String),
    /// A signature is wrong or of an algorithm that is not accepted.
    #[error("a signature does not verify: {0}")]
    BadSignature(String),
    /// A certificate cannot be parsed.
    #[error("a certificate cannot be parsed: {0}")]
    BadEncoding(String),
    /// Path building gave up within its budget.
    #[error("the certificates offer more paths than can be tried")]
    TooComplex,
    /// A constraint of a CA forbids the certificate.
    #[error("a CA's constraint forbids the certificate: {0}")]
    Constraint(String),
    /// Another rule of RFC 5280 is broken.
    #[error("the certificate does not verify: {0}")]
    Invalid(String),
}

fn since(not_after: Option<i64>) -> String {
    not_after.map_or_else(String::new, |seconds| {
        x509_parser::time::ASN1Time::from_timestamp(seconds)
            .map_or_else(|_| String::new(), |time| format!(" ({time})"))
    })
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "no name".into(),
        [first, second, third, _, ..] => {
            format!("{first}, {second}, {third} and {} more", names.len() - 3)
        }
        some => some.join(", "),
    }
}

impl VerifyError {
    /// The stable code.
    pub fn code(&self) -> VerifyCode {
        match self {
            Self::BadPin(_) => VerifyCode::BadPin,
            Self::Expired { .. } => VerifyCode::Expired,
            Self::NotYetValid => VerifyCode::NotYetValid,
            Self::NameMismatch { .. } => VerifyCode::NameMismatch,
            Self::UnknownIssuer => VerifyCode::UnknownIssuer,
            Self::Revoked => VerifyCode::Revoked,
            Self::InvalidPurpose(_) => VerifyCode::InvalidPurpose,
            Self::BadSignature(_) => VerifyCode::BadSignature,
            Self::BadEncoding(_) => VerifyCode::BadEncoding,
            Self::TooComplex => VerifyCode::TooComplex,
            Self::Constraint(_) => VerifyCode::Constraint,
            Self::Invalid(_) => VerifyCode::Invalid,
        }
    }

    /// The refusal that this crate's verifier put into an error of rustls.
    pub fn in_rustls(error: &rustls::Error) -> Option<Arc<Self>> {
        match error {
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => other
                .0
                .downcast_ref::<Refusal>()
                .map(|refusal| refusal.0.clone()),
            _ => None,
        }
    }

    pub(crate) fn into_rustls(self) -> rustls::Error {
        let other = rustls::OtherError(Arc::new(Refusal(Arc::new(self))));
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))
    }
}

/// A [`VerifyError`] on its way through rustls, shared rather than copied.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Refusal(Arc<VerifyError>);

macro_rules! verify_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        /// The stable code of a [`VerifyError`].
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum VerifyCode {
            $($(#[doc = $doc])* $name,)*
        }

        impl VerifyCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as users see it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

verify_codes! {
    /// The verified path holds none of the pins.
    BadPin = "ERR_BAD_PIN";
    /// Expired.
    Expired = "ERR_CERT_EXPIRED";
    /// Not valid yet.
    NotYetValid = "ERR_CERT_NOT_YET_VALID";
    /// For other names.
    NameMismatch = "ERR_CERT_NAME_MISMATCH";
    /// No path to an anchor.
    UnknownIssuer = "ERR_CERT_UNKNOWN_ISSUER";
    /// Revoked.
    Revoked = "ERR_CERT_REVOKED";
    /// Not for servers.
    InvalidPurpose = "ERR_CERT_INVALID_PURPOSE";
    /// A wrong signature.
    BadSignature = "ERR_CERT_BAD_SIGNATURE";
    /// Not to be parsed.
    BadEncoding = "ERR_CERT_BAD_ENCODING";
    /// Too many paths.
    TooComplex = "ERR_CERT_TOO_COMPLEX";
    /// Forbidden by a constraint.
    Constraint = "ERR_CERT_CONSTRAINT";
    /// Anything else.
    Invalid = "ERR_CERT_INVALID";
}

/// The verified path holds none of the host's pins: someone else answers, or the pins are out of date.
///
/// Displayed as `bad ssl pin detected, found pins: [AAA= BBB= CCC=]`, end entity first, trust anchor last.
#[derive(Clone, Debug)]
pub struct BadPin {
    /// The host whose pins were looked up.
    pub host: Host,
    /// The port with which they were looked up.
    pub port: u16,
    /// The patterns that contributed pins.
    pub patterns: Vec<String>,
    /// The pins of which one was expected.
    pub expected: Vec<Pin>,
    /// What was found instead.
    pub path: Arc<VerifiedPath>,
    /// What the server sent: untrusted, for reports only. Empty where a remembered path was judged.
    pub presented: Vec<CertificateDer<'static>>,
    /// When the first of the pin sets that contributed ends, in Unix seconds; none for never.
    pub expires: Option<i64>,
    /// The pin on the path that no path may hold, if that is what it was refused for.
    pub blocked: Option<Pin>,
    /// What has probably happened and how to see it, for people. Never a reason to go on.
    pub hint: String,
}

impl BadPin {
    /// The report on a remembered path that pins which came into force later refuse.
    pub fn of_path(pins: &EffectivePins, path: Arc<VerifiedPath>) -> Self {
        let hint = format!(
            "The pins of {host} changed, and the connection that was open was made over a path that the new ones refuse.",
            host = pins.host(),
        );
        Self {
            host: pins.host().clone(),
            port: pins.port(),
            patterns: pins.patterns().iter().map(ToString::to_string).collect(),
            expected: pins.pins().to_vec(),
            path,
            presented: Vec::new(),
            expires: first_ending(pins),
            blocked: None,
            hint,
        }
    }

    /// The report on a path over which a server was accepted, since the pins that refuse it are in report mode.
    pub fn of_reported(pins: &EffectivePins, path: Arc<VerifiedPath>) -> Self {
        let hint = if path.pins().is_empty() {
            format!(
                "{} was asked over http:, where nothing proves who answers.",
                pins.host()
            )
        } else {
            format!(
                "The pins of {} are in report mode: enforced, they would have refused the server.",
                pins.host()
            )
        };
        Self {
            patterns: pins.reported().iter().map(ToString::to_string).collect(),
            hint,
            ..Self::of_path(pins, path)
        }
    }

    /// The report on a path to `host` at `port` that holds a blocked pin; `pins` are those in force, if there are any.
    pub fn of_blocked(
        host: &Host,
        port: u16,
        pins: Option<&EffectivePins>,
        path: Arc<VerifiedPath>,
        blocked: Pin,
    ) -> Self {
        let patterns = pins.map_or(&[][..], EffectivePins::patterns);
        let hint = format!(
            "The policy blocks the pin {blocked}, which is on the verified path: no host is accepted over it."
        );
        Self {
            host: host.clone(),
            port,
            patterns: patterns.iter().map(ToString::to_string).collect(),
            expected: pins.map_or_else(Vec::new, |pins| pins.pins().to_vec()),
            path,
            presented: Vec::new(),
            expires: pins.and_then(first_ending),
            blocked: Some(blocked),
            hint,
        }
    }
}

fn first_ending(pins: &EffectivePins) -> Option<i64> {
    pins.endings().iter().map(|ending| ending.expiry.at).min()
}

impl fmt::Display for BadPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bad ssl pin detected, found pins: [")?;
        for (index, pin) in self.path.pins().iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&pin.to_base64())?;
        }
        f.write_str("]")?;
        match &self.blocked {
            Some(pin) => write!(f, ", blocked pin: {}", pin.to_base64()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BadPin {}
