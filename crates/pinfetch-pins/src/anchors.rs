//! Trust anchors, with what webpki's own type leaves out: pins, certificates and validity.

use std::fmt;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use crate::Pin;
use crate::error::AnchorsError;

/// Trust anchors (RFC 5280 §6.1.1 (d)) to build paths to.
#[derive(Clone, Default)]
pub struct Anchors {
    trusted: Vec<TrustAnchor<'static>>,
    /// In the order of `trusted`.
    facts: Vec<Facts>,
    /// Whether more is known of one than webpki looks at, so that paths have to be checked against it.
    some_are_limited: bool,
}

#[derive(Clone)]
struct Facts {
    pin: Pin,
    certificate: Option<CertificateDer<'static>>,
    limits: Option<Limits>,
}

/// What an anchor's own certificate says of its use, which webpki does not look at.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// In Unix seconds, both ends included.
    validity: (i64, i64),
    /// Why it may not issue certificates; it may still be a server's own, trusted as it stands.
    cannot_issue: Option<&'static str>,
}

/// An anchor of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor<'a> {
    pub(crate) pin: Pin,
    pub(crate) certificate: Option<&'a CertificateDer<'static>>,
    limits: Option<Limits>,
}

/// Why no path may end in an anchor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unfit {
    Expired(i64),
    NotYetValid,
    CannotIssue(&'static str),
}

impl Anchors {
    /// Anchors that are known by name and key only, such as those of the webpki-roots crate.
    pub fn from_trust_anchors(anchors: &[TrustAnchor<'static>]) -> Self {
        let facts = anchors.iter().map(|anchor| Facts {
            pin: pin_of(anchor),
            certificate: None,
            limits: None,
        });
        Self {
            facts: facts.collect(),
            trusted: anchors.to_vec(),
            some_are_limited: false,
        }
    }

    /// Anchors from certificates. One that cannot be parsed is skipped, as every store has some.
    ///
    /// # Errors
    /// [`AnchorsError`], when none is left.
    pub fn from_certificates(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, AnchorsError> {
        let mut anchors = Self::default();
        let mut given = 0;
        for certificate in certificates {
            given += 1;
            let Ok(anchor) = webpki::anchor_from_trusted_cert(&certificate) else {
                continue;
            };
            let anchor = anchor.to_owned();
            let limits = limits_of(&certificate);
            anchors.some_are_limited |= limits.is_some();
            anchors.facts.push(Facts {
                pin: pin_of(&anchor),
                certificate: Some(certificate),
                limits,
            });
            anchors.trusted.push(anchor);
        }
        match (anchors.trusted.is_empty(), given) {
            (false, _) => Ok(anchors),
            (true, 0) => Err(AnchorsError::Empty),
            (true, given) => Err(AnchorsError::NoneUsable(given)),
        }
    }

    /// These and `others`.
    #[must_use]
    pub fn join(&self, others: &Self) -> Self {
        Self {
            trusted: [&self.trusted[..], &others.trusted].concat(),
            facts: [&self.facts[..], &others.facts].concat(),
            some_are_limited: self.some_are_limited || others.some_are_limited,
        }
    }

    /// Their pins and subjects (RFC 4514), in their order.
    pub fn described(&self) -> impl Iterator<Item = (Pin, String)> + '_ {
        let pins = self.facts.iter().map(|facts| facts.pin);
        let subjects = self.trusted.iter().map(subject_name);
        pins.zip(subjects.map(|name| crate::describe_name(&name)))
    }

    /// Whether the two are the same anchors, in whichever order.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.holds_all_of(other) && other.holds_all_of(self)
    }

    fn holds_all_of(&self, other: &Self) -> bool {
        let own = || self.facts.iter().zip(&self.trusted);
        other
            .facts
            .iter()
            .zip(&other.trusted)
            .enumerate()
            .all(|(index, (facts, anchor))| {
                let is_it = |(own_facts, own_anchor): (&Facts, &TrustAnchor<'_>)| {
                    own_facts.pin == facts.pin
                        && own_facts.certificate == facts.certificate
                        && own_anchor == anchor
                };
                own().nth(index).is_some_and(is_it) || own().any(is_it) // most sets are in order
            })
    }

    /// Whether the anchor with this certificate (DER) is one of them.
    pub(crate) fn holds(&self, certificate: &[u8]) -> bool {
        let mut own = self
            .facts
            .iter()
            .filter_map(|facts| facts.certificate.as_ref());
        own.any(|own| own.as_ref() == certificate)
    }

    pub(crate) fn trusted(&self) -> &[TrustAnchor<'static>] {
        &self.trusted
    }

    /// Whether [`Anchor::unfit`] has to be asked: an anchor known by name and key only has no limits.
    pub(crate) fn some_are_limited(&self) -> bool {
        self.some_are_limited
    }

    /// What is known of `anchor`, a reference into [`trusted`](Self::trusted).
    pub(crate) fn facts_of(&self, anchor: &TrustAnchor<'_>) -> Option<Anchor<'_>> {
        let address = std::ptr::from_ref(anchor).cast::<()>();
        let index = self
            .trusted
            .iter()
            .position(|own| std::ptr::from_ref(own).cast::<()>() == address)?;
        let facts = self.facts.get(index)?;
        Some(Anchor {
            pin: facts.pin,
            certificate: facts.certificate.as_ref(),
            limits: facts.limits,
        })
    }

    /// The subject of the anchor that has `pin`, as RFC 4514 writes it.
    pub(crate) fn subject_with(&self, pin: &Pin) -> Option<String> {
        let index = self.facts.iter().position(|facts| facts.pin == *pin)?;
        Some(crate::describe_name(&subject_name(
            self.trusted.get(index)?,
        )))
    }
}

impl Anchor<'_> {
    /// Why a path from `end_entity` (DER) may not end here at `at`, as far as the anchor's certificate is known.
    pub(crate) fn unfit(&self, end_entity: &[u8], at: UnixTime) -> Option<Unfit> {
        let limits = self.limits?;
        let at = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        let (from, to) = limits.validity;
        if at > to {
            return Some(Unfit::Expired(to));
        }
        if at < from {
            return Some(Unfit::NotYetValid);
        }
        // a self-signed certificate that is trusted as it stands issues nothing but itself
        let is_itself = self
            .certificate
            .is_some_and(|own| own.as_ref() == end_entity);
        limits
            .cannot_issue
            .filter(|_| !is_itself)
            .map(Unfit::CannotIssue)
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchors({})", self.trusted.len())
    }
}

fn limits_of(certificate: &[u8]) -> Option<Limits> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some(Limits {
        validity: (
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ),
        cannot_issue: cannot_issue(&certificate),
    })
}

/// RFC 5280 §4.2: what forbids a certificate to issue others, of a trust anchor too.
fn cannot_issue(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    if certificate.subject().iter().next().is_none() {
        return Some("it has no name"); // §4.1.2.6
    }
    let mut is_authority = certificate.version() != X509Version::V3; // before extensions existed nothing said so
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => is_authority = constraints.ca,
            ParsedExtension::KeyUsage(usage) if !usage.key_cert_sign() => {
                return Some("its key usage does not include signing certificates"); // §4.2.1.3
            }
            ParsedExtension::UnsupportedExtension { .. } | ParsedExtension::Unparsed
                if extension.critical =>
            {
                return Some("it has a critical extension that is not understood"); // §4.2
            }
            ParsedExtension::ParseError { .. } if extension.critical => {
                return Some("it has a critical extension that cannot be parsed");
            }
            _ => {} // what a CA may have
        }
    }
    (!is_authority).then_some("it is no certificate authority's") // §4.2.1.9
}

fn pin_of(anchor: &TrustAnchor<'_>) -> Pin {
    // the anchor keeps only the contents of its SubjectPublicKeyInfo; this puts the SEQUENCE back around them
    Pin::of_spki(&webpki::spki_for_anchor(anchor))
}

/// The anchor's DER `Name`: it keeps only the contents.
pub(crate) fn subject_name(anchor: &TrustAnchor<'_>) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    let contents: &[u8] = anchor.subject.as_ref();
    let mut name = vec![SEQUENCE];
    // X.690 §8.1.3
    match contents.len() {
        length @ 0..=127 => name.push(u8::try_from(length).unwrap_or(0)),
        length => {
            let bytes = length.to_be_bytes();
            let significant = bytes
                .iter()
                .position(|byte| *byte != 0)
                .map_or(&bytes[..0], |first| bytes.split_at(first).1);
            name.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
            name.extend_from_slice(significant);
        }
    }
    name.extend_from_slice(contents);
    name
}
