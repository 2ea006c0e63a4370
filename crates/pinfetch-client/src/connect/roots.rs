//! Trust anchors: built in, given, or the system's, and revocation lists; parsed once and shared by all clients.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use pinfetch_pins::{Anchors, RevocationLists};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::config::TrustAnchors;
use crate::error::{Code, RequestError};

/// The trust anchors and revocation lists of all clients of an engine. Ten thousand clients with the same `ca` hold it
/// once.
#[derive(Debug, Default)]
pub struct Roots {
    given: Shared<Anchors>,
    revocations: Shared<RevocationLists>,
}

/// What was parsed, by the SHA-256 of what was given: content can't be swapped under a client that shares it.
#[derive(Debug)]
struct Shared<T>(Mutex<HashMap<[u8; 32], Weak<T>>>);

/// Mozilla's roots, as the webpki-roots crate ships them.
static BUILT_IN: LazyLock<Arc<Anchors>> =
    LazyLock::new(|| Arc::new(Anchors::from_trust_anchors(webpki_roots::TLS_SERVER_ROOTS)));

/// What the built-in trust anchors are, with the version of their data.
pub const BUILT_IN_ROOTS: &str = "webpki-roots 1.0.10";

impl Roots {
    /// The trust anchors that hold for whoever names no others.
    pub fn built_in() -> Arc<Anchors> {
        BUILT_IN.clone()
    }

    /// The anchors that `wanted` describes.
    ///
    /// # Errors
    /// [`RequestError::Option`] with [`Code::PolicyInvalidCa`] when nothing usable was given, naming the place.
    pub(crate) fn load(&self, wanted: &TrustAnchors) -> Result<Arc<Anchors>, RequestError> {
        let base = match (&wanted.ca, wanted.system) {
            (Some(_), true) => {
                return Err(invalid(
                    "ca replaces the trust anchors and systemCa chooses others: give one of them, or extraCa to add",
                ));
            }
            (Some(ca), false) => self.given("ca", ca)?,
            (None, true) => system()?,
            (None, false) => Self::built_in(),
        };
        if wanted.extra.is_empty() {
            return Ok(base);
        }
        let extra = self.given("extraCa", &wanted.extra)?;
        Ok(Arc::new(base.join(&extra)))
    }

    /// The revocation lists in `blobs`.
    ///
    /// # Errors
    /// [`RequestError::Option`] with [`Code::PolicyInvalidOption`], naming the one that cannot be used: a list that is
    /// passed over would let pass what it revokes.
    pub(crate) fn load_revocations(
        &self,
        blobs: &[Vec<u8>],
    ) -> Result<Arc<RevocationLists>, RequestError> {
        self.revocations.get(blobs, || parse_revocations(blobs))
    }

    fn given(&self, option: &str, blobs: &[Vec<u8>]) -> Result<Arc<Anchors>, RequestError> {
        self.given.get(blobs, || read_anchors(option, blobs))
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Shared<T> {
    fn get(
        &self,
        blobs: &[Vec<u8>],
        parse: impl FnOnce() -> Result<T, RequestError>,
    ) -> Result<Arc<T>, RequestError> {
        let mut content = ring::digest::Context::new(&ring::digest::SHA256);
        for blob in blobs {
            content.update(&(blob.len() as u64).to_le_bytes());
            content.update(blob);
        }
        let mut key = [0; 32];
        key.copy_from_slice(content.finish().as_ref());
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parsed) = shared.get(&key).and_then(Weak::upgrade) {
            return Ok(parsed);
        }
        let parsed = Arc::new(parse()?);
        shared.retain(|_, parsed| parsed.strong_count() > 0);
        shared.insert(key, Arc::downgrade(&parsed));
        Ok(parsed)
    }
}

/// The trust anchors in `blobs`, PEM or DER; `option` names them in the error.
///
/// # Errors
/// [`RequestError::Option`] with [`Code::PolicyInvalidCa`] when nothing usable was given, naming the place.
pub fn read_anchors(option: &str, blobs: &[Vec<u8>]) -> Result<Anchors, RequestError> {
    let mut certificates = Vec::new();
    for (index, blob) in blobs.iter().enumerate() {
        if is_pem(blob) {
            let before = certificates.len();
            for certificate in CertificateDer::pem_slice_iter(blob) {
                let certificate = certificate.map_err(|error| {
                    invalid(&format!("{option}[{index}] is not valid PEM: {error}"))
                })?;
                certificates.push(certificate);
            }
            if certificates.len() == before {
                return Err(invalid(&format!(
                    "{option}[{index}] is PEM without a CERTIFICATE"
                )));
            }
        } else {
            certificates.push(CertificateDer::from(blob.clone()));
        }
    }
    Anchors::from_certificates(certificates).map_err(|error| invalid(&format!("{option}: {error}")))
}

fn parse_revocations(blobs: &[Vec<u8>]) -> Result<RevocationLists, RequestError> {
    let mut lists = RevocationLists::default();
    for (index, blob) in blobs.iter().enumerate() {
        let fault = |problem: String| RequestError::Option {
            code: Code::PolicyInvalidOption,
            problem: format!("crl[{index}] {problem}").into(),
        };
        if !is_pem(blob) {
            lists.add(blob).map_err(|error| fault(error.to_string()))?;
            continue;
        }
        let mut is_empty = true;
        for list in CertificateRevocationListDer::pem_slice_iter(blob) {
            let list = list.map_err(|error| fault(format!("is not valid PEM: {error}")))?;
            lists.add(&list).map_err(|error| fault(error.to_string()))?;
            is_empty = false;
        }
        if is_empty {
            return Err(fault("is PEM without an X509 CRL".into()));
        }
    }
    Ok(lists)
}

fn is_pem(blob: &[u8]) -> bool {
    blob.windows(11).any(|window| window == b"-----BEGIN ")
}

fn system() -> Result<Arc<Anchors>, RequestError> {
    static SYSTEM: LazyLock<Result<Arc<Anchors>, String>> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        let faults: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        Anchors::from_certificates(found.certs)
            .map(Arc::new)
            .map_err(|error| format!("systemCa: {error} ({})", faults.join("; ")))
    });
    SYSTEM.clone().map_err(|problem| invalid(&problem))
}

fn invalid(problem: &str) -> RequestError {
    RequestError::Option {
        code: Code::PolicyInvalidCa,
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use pinfetch_testkit::{Authority, CertificateRequest, RevocationRequest};

    use super::*;

    #[test]
    fn the_version_of_the_built_in_roots_is_the_one_that_is_linked() {
        let lock = include_str!("../../../../Cargo.lock");
        let (name, version) = BUILT_IN_ROOTS.split_once(' ').unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(
            lock.replace('\r', "").contains(&entry),
            "Cargo.lock has another version of {name}: name it in BUILT_IN_ROOTS and look at the CA sets' changes"
        );
    }

    #[test]
    fn anchors_that_cannot_be_used_are_refused_with_their_place() {
        let roots = Roots::default();
        for (wanted, problem) in [
            (
                TrustAnchors {
                    ca: Some(vec![]),
                    ..TrustAnchors::default()
                },
                "ca:",
            ),
            (
                TrustAnchors {
                    ca: Some(vec![b"rubbish".to_vec()]),
                    ..TrustAnchors::default()
                },
                "ca:",
            ),
            (
                TrustAnchors {
                    extra: vec![b"-----BEGIN NOTHING-----".to_vec()],
                    ..TrustAnchors::default()
                },
                "extraCa[0]",
            ),
            (
                TrustAnchors {
                    ca: Some(vec![]),
                    system: true,
                    ..TrustAnchors::default()
                },
                "systemCa",
            ),
        ] {
            let error = roots.load(&wanted).expect_err(problem);
            assert_eq!(error.code(), Code::PolicyInvalidCa);
            assert!(error.to_string().contains(problem), "{error}");
        }
    }

    #[test]
    fn mozillas_roots_are_one_for_all() {
        let roots = Roots::default();
        let wanted = TrustAnchors::default();
        assert!(Arc::ptr_eq(
            &roots.load(&wanted).unwrap(),
            &roots.load(&wanted).unwrap()
        ));
    }

    fn authority() -> Authority {
        let mut authority = Authority::new();
        let root = CertificateRequest {
            name: "root".into(),
            ca: true,
            ..CertificateRequest::default()
        };
        authority.issue(&root).unwrap();
        authority
    }

    #[test]
    fn revocation_lists_are_read_from_pem_and_der_and_held_once() {
        let request = RevocationRequest {
            issuer: "root".into(),
            certificates: vec!["root".into()],
            ..RevocationRequest::default()
        };
        let list = authority().revoke(&request).unwrap();
        let two = format!("two lists:\n{}{}", list.pem(), list.pem()).into_bytes();
        let roots = Roots::default();
        let load = |blobs: &[Vec<u8>]| roots.load_revocations(blobs).unwrap();
        for (blobs, count) in [
            (vec![], 0),
            (vec![list.der().to_vec()], 1),
            (vec![two.clone()], 2),
            (vec![list.der().to_vec(), two], 3),
        ] {
            let loaded = load(&blobs);
            assert_eq!(format!("{loaded:?}"), format!("RevocationLists({count})"));
            assert!(Arc::ptr_eq(&loaded, &load(&blobs)));
            assert!(!Arc::ptr_eq(&loaded, &load(&[list.pem().into_bytes()])));
        }
    }

    #[test]
    fn revocation_lists_that_cannot_be_used_are_refused_with_their_place() {
        let authority = authority();
        let request = RevocationRequest {
            issuer: "root".into(),
            ..RevocationRequest::default()
        };
        let list = authority.revoke(&request).unwrap();
        let certificate = authority.get("root").unwrap();
        let cut: String = list.pem().chars().take(100).collect();
        for (blob, problem) in [
            (vec![], "cannot be read"),
            (b"rubbish".to_vec(), "cannot be read"),
            (certificate.der().to_vec(), "cannot be read"),
            (certificate.pem().into_bytes(), "is PEM without an X509 CRL"),
            (cut.into_bytes(), "is not valid PEM"),
        ] {
            let blobs = [list.der().to_vec(), blob];
            let error = Roots::default()
                .load_revocations(&blobs)
                .expect_err(problem);
            assert_eq!(error.code(), Code::PolicyInvalidOption);
            let text = error.to_string();
            assert!(text.contains(&format!("crl[1] {problem}")), "{text}");
        }
    }
}
