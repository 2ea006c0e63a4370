//! Trust anchors, with what webpki's own type leaves out: pins, certificates and validity.

use std::fmt;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::Pin;
use crate::error::AnchorsError;

/// Trust anchors (RFC 5280 §6.1.1 (d)) to build paths to.
#[derive(Clone, Default)]
pub struct Anchors {
    trusted: Vec<TrustAnchor<'static>>,
    /// In the order of `trusted`.
    facts: Vec<Facts>,
    some_expire: bool,
}

#[derive(Clone)]
struct Facts {
    pin: Pin,
    certificate: Option<CertificateDer<'static>>,
    /// In Unix seconds, both ends included.
    validity: Option<(i64, i64)>,
}

/// An anchor of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor<'a> {
    pub(crate) pin: Pin,
    pub(crate) certificate: Option<&'a CertificateDer<'static>>,
    pub(crate) validity: Option<(i64, i64)>,
}

impl Anchors {
    /// Anchors that are known by name and key only, such as those of the webpki-roots crate.
    pub fn from_trust_anchors(anchors: &[TrustAnchor<'static>]) -> Self {
        let facts = anchors.iter().map(|anchor| Facts { pin: pin_of(anchor), certificate: None, validity: None });
        Self { facts: facts.collect(), trusted: anchors.to_vec(), some_expire: false }
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
            let Ok(anchor) = webpki::anchor_from_trusted_cert(&certificate) else { continue };
            let anchor = anchor.to_owned();
            let validity = validity_of(&certificate);
            anchors.some_expire |= validity.is_some();
            anchors.facts.push(Facts { pin: pin_of(&anchor), certificate: Some(certificate), validity });
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
            some_expire: self.some_expire || others.some_expire,
        }
    }

    pub(crate) fn trusted(&self) -> &[TrustAnchor<'static>] {
        &self.trusted
    }

    /// Whether an anchor's validity is known, so that it has to be looked at.
    pub(crate) fn some_expire(&self) -> bool {
        self.some_expire
    }

    /// What is known of `anchor`, a reference into [`trusted`](Self::trusted).
    pub(crate) fn facts_of(&self, anchor: &TrustAnchor<'_>) -> Option<Anchor<'_>> {
        let address = std::ptr::from_ref(anchor).cast::<()>();
        let index = self.trusted.iter().position(|own| std::ptr::from_ref(own).cast::<()>() == address)?;
        let facts = self.facts.get(index)?;
        Some(Anchor { pin: facts.pin, certificate: facts.certificate.as_ref(), validity: facts.validity })
    }

    /// The subject of the anchor that has `pin`, as RFC 4514 writes it.
    pub(crate) fn subject_with(&self, pin: &Pin) -> Option<String> {
        let index = self.facts.iter().position(|facts| facts.pin == *pin)?;
        Some(crate::describe_name(&subject_name(self.trusted.get(index)?)))
    }
}

impl Anchor<'_> {
    /// Whether `at` is outside its validity, as far as that is known.
    pub(crate) fn is_outside_validity(&self, at: UnixTime) -> bool {
        let at = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        self.validity.is_some_and(|(from, to)| at < from || at > to)
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Anchors({})", self.trusted.len())
    }
}

fn validity_of(certificate: &[u8]) -> Option<(i64, i64)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
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
            let significant = bytes.iter().position(|byte| *byte != 0).map_or(&bytes[..0], |first| bytes.split_at(first).1);
            name.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
            name.extend_from_slice(significant);
        }
    }
    name.extend_from_slice(contents);
    name
}
