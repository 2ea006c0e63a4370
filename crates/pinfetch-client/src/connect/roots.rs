//! Trust anchors: built in, given, or the system's; parsed once and shared by all clients.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use pinfetch_pins::Anchors;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::config::TrustAnchors;
use crate::error::{Code, RequestError};

/// The trust anchors of all clients of an engine. Ten thousand clients with the same `ca` hold it once.
#[derive(Debug, Default)]
pub struct Roots {
    /// By the SHA-256 of what was given: content can't be swapped under a client that shares it.
    given: Mutex<HashMap<[u8; 32], Weak<Anchors>>>,
}

/// Mozilla's roots, as the webpki-roots crate ships them.
static BUILT_IN: LazyLock<Arc<Anchors>> =
    LazyLock::new(|| Arc::new(Anchors::from_trust_anchors(webpki_roots::TLS_SERVER_ROOTS)));

impl Roots {
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
            (None, false) => BUILT_IN.clone(),
        };
        if wanted.extra.is_empty() {
            return Ok(base);
        }
        let extra = self.given("extraCa", &wanted.extra)?;
        Ok(Arc::new(base.join(&extra)))
    }

    fn given(&self, option: &str, blobs: &[Vec<u8>]) -> Result<Arc<Anchors>, RequestError> {
        let mut content = ring::digest::Context::new(&ring::digest::SHA256);
        for blob in blobs {
            content.update(&(blob.len() as u64).to_le_bytes());
            content.update(blob);
        }
        let mut key = [0; 32];
        key.copy_from_slice(content.finish().as_ref());
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(anchors) = given.get(&key).and_then(Weak::upgrade) {
            return Ok(anchors);
        }
        let anchors = Arc::new(parse(option, blobs)?);
        given.retain(|_, anchors| anchors.strong_count() > 0);
        given.insert(key, Arc::downgrade(&anchors));
        Ok(anchors)
    }
}

fn parse(option: &str, blobs: &[Vec<u8>]) -> Result<Anchors, RequestError> {
    let mut certificates = Vec::new();
    for (index, blob) in blobs.iter().enumerate() {
        if blob.windows(11).any(|window| window == b"-----BEGIN ") {
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
    use super::*;

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
}
