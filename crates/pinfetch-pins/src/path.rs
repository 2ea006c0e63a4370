//! The proof that path building accepted a path; only `verifier.rs` can make one.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::{Pin, Trust};

/// End entity → intermediates → trust anchor as path building accepted it (RFC 5280 §6), the anchor included although
/// servers don't send it.
///
/// Names are read from the certificates when somebody asks, not during the handshake.
#[derive(Clone, Debug)]
pub struct VerifiedPath {
    pins: Box<[Pin]>,
    /// End entity first; the anchor's own only where it is known.
    certificates: Box<[CertificateDer<'static>]>,
    /// The anchor's DER `Name`.
    anchor_subject: Box<[u8]>,
    /// What it was verified up to.
    trust: Trust,
}

/// What a certificate does on a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The server's own.
    EndEntity,
    /// A CA's, sent by the server.
    Intermediate,
    /// A CA's, trusted beforehand.
    TrustAnchor,
}

impl Role {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndEntity => "end entity",
            Self::Intermediate => "intermediate",
            Self::TrustAnchor => "trust anchor",
        }
    }
}

/// A certificate of a path as it stands.
#[derive(Clone, Copy, Debug)]
pub struct PathEntry<'a> {
    /// Its pin.
    pub pin: Pin,
    /// What it does on the path.
    pub role: Role,
    /// The certificate; none for a trust anchor that is known by name and key only.
    pub der: Option<&'a [u8]>,
    /// The DER `Name` of such an anchor; empty where there is a certificate.
    pub subject: &'a [u8],
}

/// A certificate of a path as it describes itself.
#[derive(Clone, Debug)]
pub struct PathCertificate {
    /// Its pin.
    pub pin: Pin,
    /// What it does on the path.
    pub role: Role,
    /// Its subject (RFC 4514).
    pub subject: String,
    /// The end of its validity in Unix seconds; none for an anchor that is known by name and key only.
    pub not_after: Option<i64>,
    /// The certificate, likewise.
    pub der: Option<CertificateDer<'static>>,
}

impl VerifiedPath {
    pub(crate) fn new(
        pins: Vec<Pin>,
        certificates: Vec<CertificateDer<'static>>,
        anchor_subject: Vec<u8>,
        trust: Trust,
    ) -> Self {
        Self {
            pins: pins.into(),
            certificates: certificates.into(),
            anchor_subject: anchor_subject.into(),
            trust,
        }
    }

    /// No path at all, which meets no pin: where there was no TLS, nothing was verified.
    pub fn none() -> Self {
        Self::new(Vec::new(), Vec::new(), Vec::new(), Trust::Own)
    }

    /// What it was verified up to: it proves nothing to those who trust something else.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The certificate (DER) of its trust anchor, where that is known by more than name and key.
    pub(crate) fn anchor(&self) -> Option<&[u8]> {
        let is_known = self.certificates.len() == self.pins.len();
        self.certificates
            .last()
            .filter(|_| is_known)
            .map(AsRef::as_ref)
    }

    /// The pins, end entity first, trust anchor last.
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// Whether one of its keys has this pin.
    pub fn contains(&self, pin: &Pin) -> bool {
        self.pins.contains(pin)
    }

    /// Its certificates as they stand, end entity first.
    pub fn entries(&self) -> impl Iterator<Item = PathEntry<'_>> {
        let last = self.pins.len().saturating_sub(1);
        self.pins.iter().enumerate().map(move |(index, pin)| {
            let der = self.certificates.get(index).map(AsRef::as_ref);
            PathEntry {
                pin: *pin,
                role: match index {
                    0 => Role::EndEntity,
                    index if index == last => Role::TrustAnchor,
                    _ => Role::Intermediate,
                },
                der,
                subject: if der.is_some() {
                    &[]
                } else {
                    &self.anchor_subject
                },
            }
        })
    }

    /// Its certificates as they describe themselves, end entity first. Parses them: not for the hot path.
    pub fn certificates(&self) -> Vec<PathCertificate> {
        let describe = |entry: PathEntry<'_>| {
            let described = entry.der.map(describe_certificate);
            PathCertificate {
                pin: entry.pin,
                role: entry.role,
                subject: match &described {
                    Some(described) => described.subject.clone(),
                    None => describe_name(entry.subject),
                },
                not_after: described.and_then(|described| described.not_after),
                der: entry.der.map(|der| CertificateDer::from(der.to_vec())),
            }
        };
        self.entries().map(describe).collect()
    }

    /// When all its certificates are valid: from and to, in Unix seconds, both included. An anchor that is known by name
    /// and key only has no say. None when a certificate's validity cannot be told. Parses them: not for the hot path.
    pub fn validity(&self) -> Option<(i64, i64)> {
        let mut all = (i64::MIN, i64::MAX);
        for der in &self.certificates {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            let own = certificate.validity();
            all.0 = all.0.max(own.not_before.timestamp());
            all.1 = all.1.min(own.not_after.timestamp());
        }
        Some(all)
    }
}

/// What a certificate says of itself, unverified.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// Its subject (RFC 4514); empty when the certificate cannot be parsed.
    pub subject: String,
    /// The end of its validity in Unix seconds.
    pub not_after: Option<i64>,
}

/// Reads what the certificate `der` says of itself.
pub fn describe_certificate(der: &[u8]) -> Description {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Description {
            subject: describe_name(certificate.subject().as_raw()),
            not_after: Some(certificate.validity().not_after.timestamp()),
        },
        Err(_) => Description::default(),
    }
}

/// A DER `Name` as RFC 4514 writes it: most specific first, `CN=api.example.com,O=Example`. Empty when it cannot be parsed.
pub fn describe_name(der: &[u8]) -> String {
    let Ok((_, name)) = X509Name::from_der(der) else {
        return String::new();
    };
    let mut parts: Vec<String> = Vec::new();
    for relative in name.iter_rdn() {
        let attributes: Vec<String> = relative
            .iter()
            .map(|attribute| {
                let kind = x509_parser::objects::oid2abbrev(
                    attribute.attr_type(),
                    x509_parser::objects::oid_registry(),
                );
                let kind =
                    kind.map_or_else(|_| attribute.attr_type().to_string(), ToString::to_string);
                format!("{kind}={}", escaped(attribute.as_str().unwrap_or("?")))
            })
            .collect();
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

/// RFC 4514 §2.4; control characters too, which nobody wants in a terminal or a log.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (index, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            '#' | ' ' if index == 0 => text.extend(['\\', character]),
            control if control.is_control() => text.extend(control.escape_default()),
            other => text.push(other),
        }
    }
    text
}

/// The subject of a certificate in PEM or DER, as a policy remembers it for its hints.
pub(crate) fn subject_of(certificate: &[u8]) -> Option<String> {
    let described = crate::describe_file(certificate).ok()?.into_iter().next()?;
    (!described.subject.is_empty()).then_some(described.subject)
}
