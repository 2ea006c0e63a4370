//! The pins of what a file holds, so that a backup key has a pin before it has a certificate.

use rustls::crypto::ring::sign::any_supported_type;
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use crate::Pin;

/// A pin and where it comes from.
#[derive(Clone, Debug)]
pub struct FilePin {
    /// The pin.
    pub pin: Pin,
    /// What it was taken from.
    pub kind: FileKind,
    /// The subject (RFC 4514) of a certificate or request; empty for a bare key.
    pub subject: String,
    /// The end of a certificate's validity, in Unix seconds.
    pub not_after: Option<i64>,
}

/// What a pin was taken from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileKind {
    /// An X.509 certificate (RFC 5280).
    Certificate,
    /// A `SubjectPublicKeyInfo`.
    PublicKey,
    /// A private key (PKCS #8, PKCS #1 or SEC 1); only its public half is looked at.
    PrivateKey,
    /// A certificate signing request (PKCS #10, RFC 2986).
    CertificateRequest,
}

impl FileKind {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::PublicKey => "public key",
            Self::PrivateKey => "private key",
            Self::CertificateRequest => "certificate request",
        }
    }
}

/// Why a file has no pin.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It holds nothing of what has a pin.
    #[error("holds no certificate, public key, private key or certificate request, in PEM or DER")]
    Nothing,
    /// Its PEM is broken.
    #[error("is not valid PEM: {0}")]
    Pem(String),
    /// One of its PEM sections is not what it says.
    #[error("section {section} is not a valid {kind}{mend}", kind = .kind.as_str(), mend = mend(*.kind))]
    Section {
        /// Which section, from 1.
        section: usize,
        /// What it says it is.
        kind: FileKind,
    },
    /// A private key is encrypted.
    #[error(
        "holds an encrypted private key: give the public key (openssl pkey -in KEY -pubout), or a certificate request"
    )]
    Encrypted,
}

/// Some private keys are valid and all the same not to be read: ring knows RSA, P-256, P-384 and Ed25519.
fn mend(kind: FileKind) -> &'static str {
    match kind {
        FileKind::PrivateKey => {
            " of a type that can be read (RSA, P-256, P-384, Ed25519): give its public key (openssl pkey -in KEY -pubout)"
        }
        FileKind::Certificate | FileKind::PublicKey | FileKind::CertificateRequest => "",
    }
}

/// The pins of every certificate, key and request in `file`, PEM (any number, in order) or DER (one).
///
/// A private key's bytes are not kept.
///
/// # Errors
/// [`FileError`], when nothing in the file has a pin or one of its sections is broken.
pub fn describe_file(file: &[u8]) -> Result<Vec<FilePin>, FileError> {
    if !contains(file, b"-----BEGIN ") {
        return der(file).map(|pin| vec![pin]).ok_or(FileError::Nothing);
    }
    let mut pins = Vec::new();
    for (index, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(file).enumerate() {
        let (kind, bytes) = section.map_err(|error| FileError::Pem(error.to_string()))?;
        let (kind, pin) = match kind {
            SectionKind::Certificate => (FileKind::Certificate, certificate(&bytes)),
            SectionKind::PublicKey => (FileKind::PublicKey, public_key(&bytes)),
            SectionKind::Csr => (FileKind::CertificateRequest, request(&bytes)),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                (FileKind::PrivateKey, private_key(&bytes))
            }
            _ => continue, // parameters, revocation lists: nothing that has a pin
        };
        pins.push(pin.ok_or(FileError::Section {
            section: index + 1,
            kind,
        })?);
    }
    if pins.is_empty() {
        let encrypted =
            contains(file, b"ENCRYPTED PRIVATE KEY") || contains(file, b"Proc-Type: 4,ENCRYPTED");
        return Err(if encrypted {
            FileError::Encrypted
        } else {
            FileError::Nothing
        });
    }
    Ok(pins)
}

fn contains(file: &[u8], text: &[u8]) -> bool {
    file.windows(text.len()).any(|window| window == text)
}

fn der(bytes: &[u8]) -> Option<FilePin> {
    certificate(bytes)
        .or_else(|| request(bytes))
        .or_else(|| public_key(bytes))
        .or_else(|| private_key(bytes))
}

fn certificate(bytes: &[u8]) -> Option<FilePin> {
    let (rest, certificate) = X509Certificate::from_der(bytes).ok()?;
    rest.is_empty().then(|| FilePin {
        pin: pin_of(certificate.public_key().raw),
        kind: FileKind::Certificate,
        subject: name(certificate.subject()),
        not_after: Some(certificate.validity().not_after.timestamp()),
    })
}

fn request(bytes: &[u8]) -> Option<FilePin> {
    let (rest, request) = X509CertificationRequest::from_der(bytes).ok()?;
    let info = request.certification_request_info;
    rest.is_empty().then(|| FilePin {
        pin: pin_of(info.subject_pki.raw),
        kind: FileKind::CertificateRequest,
        subject: name(&info.subject),
        not_after: None,
    })
}

fn public_key(bytes: &[u8]) -> Option<FilePin> {
    let (rest, key) = SubjectPublicKeyInfo::from_der(bytes).ok()?;
    rest.is_empty().then(|| bare(key.raw, FileKind::PublicKey))
}

fn private_key(bytes: &[u8]) -> Option<FilePin> {
    let key = PrivateKeyDer::try_from(bytes).ok()?;
    let key = any_supported_type(&key).ok()?;
    let public = key.public_key()?;
    Some(bare(public.as_ref(), FileKind::PrivateKey))
}

fn bare(spki: &[u8], kind: FileKind) -> FilePin {
    FilePin {
        pin: pin_of(spki),
        kind,
        subject: String::new(),
        not_after: None,
    }
}

fn pin_of(spki: &[u8]) -> Pin {
    Pin::of_spki(&SubjectPublicKeyInfoDer::from(spki))
}

fn name(name: &X509Name<'_>) -> String {
    crate::describe_name(name.as_raw())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    use super::*;

    #[test]
    fn one_key_has_one_pin_in_every_form() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["api.example.com".into()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let request = params.serialize_request(&key).unwrap();
        let expected = Pin::of_spki(&SubjectPublicKeyInfoDer::from(
            key.subject_public_key_info(),
        ));
        for (file, kind) in [
            (certificate.der().to_vec(), FileKind::Certificate),
            (certificate.pem().into_bytes(), FileKind::Certificate),
            (request.der().to_vec(), FileKind::CertificateRequest),
            (
                request.pem().unwrap().into_bytes(),
                FileKind::CertificateRequest,
            ),
            (key.subject_public_key_info(), FileKind::PublicKey),
            (key.public_key_pem().into_bytes(), FileKind::PublicKey),
            (key.serialize_der(), FileKind::PrivateKey),
            (key.serialize_pem().into_bytes(), FileKind::PrivateKey),
        ] {
            let pins = describe_file(&file).unwrap();
            assert_eq!(pins.len(), 1, "{kind:?}");
            assert_eq!((pins[0].pin, pins[0].kind), (expected, kind));
        }
    }

    #[test]
    fn a_bundle_gives_its_pins_in_order() {
        let mut bundle = String::new();
        let mut expected = Vec::new();
        for name in ["leaf", "intermediate", "root"] {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec![name.into()])
                .unwrap()
                .self_signed(&key)
                .unwrap();
            expected.push(Pin::of_spki(&SubjectPublicKeyInfoDer::from(
                key.subject_public_key_info(),
            )));
            bundle.push_str(&certificate.pem());
        }
        let pins: Vec<Pin> = describe_file(bundle.as_bytes())
            .unwrap()
            .into_iter()
            .map(|file| file.pin)
            .collect();
        assert_eq!(pins, expected);
    }

    #[test]
    fn what_has_no_pin_is_refused_with_the_reason() {
        for (file, expected) in [
            (&b""[..], FileError::Nothing),
            (b"hello", FileError::Nothing),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", FileError::Encrypted),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                FileError::Section { section: 1, kind: FileKind::Certificate },
            ),
        ] {
            assert_eq!(describe_file(file).unwrap_err(), expected);
        }
    }
}
