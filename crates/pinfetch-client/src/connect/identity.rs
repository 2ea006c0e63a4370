//! Who the client is, for servers that ask: a certificate and its key.

use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A client certificate (RFC 8446 §4.4.2) and its private key. `Debug` shows neither.
#[derive(Clone)]
pub struct Identity(Arc<SingleCertAndKey>);

/// Why there is no identity in what was given. Never holds any of it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// No certificate in PEM.
    #[error("cert holds no certificate in PEM")]
    NoCertificate,
    /// PEM that is cut or corrupt.
    #[error("{0} is no well-formed PEM")]
    Pem(&'static str),
    /// No private key in PEM.
    #[error("key holds no private key in PEM (PKCS#8, PKCS#1 or SEC1)")]
    NoKey,
    /// A private key under a passphrase.
    #[error(
        "key is encrypted: decrypt it (openssl pkey -in key.pem -out plain.pem) and keep it from others"
    )]
    EncryptedKey,
    /// A private key of a kind that is not supported, or none at all.
    #[error("key cannot be used: give an RSA, ECDSA (P-256, P-384) or Ed25519 key")]
    UnsupportedKey,
    /// The key is another's.
    #[error("key is not the key of the first certificate in cert")]
    Mismatch,
    /// A certificate that cannot be parsed.
    #[error("the first certificate in cert cannot be parsed")]
    BadCertificate,
}

impl Identity {
    /// Reads a certificate, which its intermediates may follow, and its private key, both in PEM.
    ///
    /// # Errors
    /// [`IdentityError`], which names what was expected.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| IdentityError::Pem("cert"))?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) if is_encrypted(key) => {
                return Err(IdentityError::EncryptedKey);
            }
            Err(pem::Error::NoItemsFound) => return Err(IdentityError::NoKey),
            Err(_) => return Err(IdentityError::Pem("key")),
        };
        let key = any_supported_type(&key).map_err(|_| IdentityError::UnsupportedKey)?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(IdentityError::Mismatch),
            Err(_) => return Err(IdentityError::BadCertificate),
        }
        Ok(Self(Arc::new(certified.into())))
    }

    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        self.0.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Whether PEM holds an encrypted key: PKCS#8's own kind (RFC 5958 §3), or OpenSSL's older one.
fn is_encrypted(key: &[u8]) -> bool {
    let is_kind = |kind: &[u8]| key.windows(kind.len()).any(|window| window == kind);
    is_kind(b"BEGIN ENCRYPTED PRIVATE KEY") || is_kind(b"Proc-Type: 4,ENCRYPTED")
}
