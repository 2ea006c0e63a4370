//! Who the client is, for servers that ask: a certificate and its key.

use std::fmt;
use std::sync::Arc;

use p12_keystore::{Certificate, Pkcs12Archive};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

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
    /// A private key under a passphrase, which was not given.
    #[error("key is encrypted: give its passphrase")]
    EncryptedKey,
    /// A private key in a format that is not read, or under an algorithm that is not.
    #[error(
        "key is encrypted in a way that is not read: convert it (openssl pkcs8 -topk8 -v2 aes-256-cbc)"
    )]
    UnsupportedEncryption,
    /// The passphrase opens nothing.
    #[error("passphrase does not open {0}")]
    WrongPassphrase(&'static str),
    /// Something else than PKCS#12 (RFC 7292), or of a kind that is not read.
    #[error("pfx cannot be read as PKCS#12 in DER: {0}")]
    Pfx(Box<str>),
    /// PKCS#12 without a private key, or without its certificate.
    #[error("pfx holds no private key together with its certificate")]
    EmptyPfx,
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
    /// Reads a certificate, which its intermediates may follow, and its private key, both in PEM. `passphrase` is the
    /// key's, if it is encrypted (PKCS#8, RFC 5958 §3, with PBES2).
    ///
    /// # Errors
    /// [`IdentityError`], which names what was expected.
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        passphrase: Option<&str>,
    ) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| IdentityError::Pem("cert"))?;
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate);
        }
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => decrypted(key, passphrase)?,
            Err(_) if is_in_older_encryption(key) => {
                return Err(IdentityError::UnsupportedEncryption);
            }
            Err(_) => return Err(IdentityError::Pem("key")),
        };
        Self::new(chain, &key)
    }

    /// Reads PKCS#12 (RFC 7292) in DER: the first private key whose certificate is there, and what certifies that one.
    ///
    /// # Errors
    /// [`IdentityError`], which names what was expected.
    pub fn from_pkcs12(pfx: &[u8], passphrase: &str) -> Result<Self, IdentityError> {
        use p12_keystore::error::Error;
        let archive = Pkcs12Archive::from_pkcs12(pfx, passphrase).map_err(|error| match error {
            Error::MacError(_) => IdentityError::WrongPassphrase("pfx"),
            other => IdentityError::Pfx(other.to_string().into()),
        })?;
        let certificates: Vec<_> = archive.certs.into_iter().map(|bag| bag.cert).collect();
        let mut refusal = IdentityError::EmptyPfx;
        for bag in &archive.keys {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(bag.key.as_der()));
            for certificate in &certificates {
                match Self::new(chain_of(certificate, &certificates), &key) {
                    Ok(identity) => return Ok(identity),
                    Err(IdentityError::Mismatch) => {} // another key's
                    Err(error) => refusal = error,
                }
            }
        }
        Err(refusal)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Self, IdentityError> {
        let key = any_supported_type(key).map_err(|_| IdentityError::UnsupportedKey)?;
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

/// `certificate` and those of `all` that certify it, one after the other, as RFC 8446 §4.4.2 has them sent.
fn chain_of(certificate: &Certificate, all: &[Certificate]) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![certificate];
    while let Some(issuer) = chain.last().and_then(|last| {
        all.iter()
            .find(|other| other.subject() == last.issuer() && !chain.contains(other))
    }) {
        chain.push(issuer);
    }
    let der = |certificate: &Certificate| CertificateDer::from(certificate.as_der().to_vec());
    chain.into_iter().map(der).collect()
}

/// The key that the PEM `key` holds under `passphrase`.
fn decrypted(
    key: &[u8],
    passphrase: Option<&str>,
) -> Result<PrivateKeyDer<'static>, IdentityError> {
    const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let text = std::str::from_utf8(key).map_err(|_| IdentityError::NoKey)?;
    let Some((_, block)) = text.split_once(BEGIN) else {
        return Err(IdentityError::NoKey);
    };
    let (block, _) = block.split_once(END).ok_or(IdentityError::Pem("key"))?;
    let (_, document) = SecretDocument::from_pem(&format!("{BEGIN}{block}{END}"))
        .map_err(|_| IdentityError::Pem("key"))?;
    let passphrase = passphrase.ok_or(IdentityError::EncryptedKey)?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|_| IdentityError::UnsupportedEncryption)?;
    let plain = encrypted.decrypt(passphrase).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) => {
            IdentityError::WrongPassphrase("key")
        }
        _ => IdentityError::UnsupportedEncryption,
    })?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}

/// Whether PEM holds a key in OpenSSL's older format (RFC 1421 §4.6), which derives from the passphrase by MD5.
fn is_in_older_encryption(key: &[u8]) -> bool {
    const MARK: &[u8] = b"Proc-Type: 4,ENCRYPTED";
    key.windows(MARK.len()).any(|window| window == MARK)
}

#[cfg(test)]
mod tests {
    use p12_keystore::{EncryptionAlgorithm, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
    use pinfetch_testkit::{Authority, CertificateRequest};
    use rustls::sign::SingleCertAndKey;

    use super::*;

    /// The chain of a leaf in DER, the leaf first, and its key in PKCS#8.
    fn material() -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut authority = Authority::new();
        let mut chain = Vec::new();
        for (name, issuer) in [
            ("root", "root"),
            ("intermediate", "root"),
            ("leaf", "intermediate"),
        ] {
            let request = CertificateRequest {
                name: name.into(),
                issuer: (name != issuer).then(|| issuer.into()),
                ca: name != "leaf",
                ..CertificateRequest::default()
            };
            chain.insert(0, authority.issue(&request).unwrap().der().to_vec());
        }
        let key = authority.get("leaf").unwrap().key_pem();
        let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
        (chain, key.secret_pkcs8_der().to_vec())
    }

    fn pfx(certificates: &[Vec<u8>], key: &[u8], algorithm: EncryptionAlgorithm) -> Vec<u8> {
        let certificates = certificates
            .iter()
            .map(|der| Certificate::from_der(der).unwrap());
        let key = PrivateKey::from_der(key).unwrap();
        let mut store = KeyStore::new();
        let entry = PrivateKeyChain::new("1", key, certificates);
        store.add_entry("client", KeyStoreEntry::PrivateKeyChain(entry));
        let writer = store.writer("pass").encryption_algorithm(algorithm);
        writer.write().unwrap()
    }

    fn certificates_of(identity: &SingleCertAndKey) -> String {
        format!("{identity:?}")
    }

    #[test]
    fn pkcs12_is_read_in_the_encryptions_of_old_and_new() {
        let (chain, key) = material();
        let written: Vec<_> = chain
            .iter()
            .map(|der| CertificateDer::from(der.clone()))
            .collect();
        let key_der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
        let expected = Identity::new(written, &key_der).unwrap();
        for algorithm in [
            EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
            EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
            EncryptionAlgorithm::PbeWithShaAnd40BitRc4Cbc,
        ] {
            let identity = Identity::from_pkcs12(&pfx(&chain, &key, algorithm), "pass").unwrap();
            assert_eq!(certificates_of(&identity.0), certificates_of(&expected.0));
        }
    }

    #[test]
    fn pkcs12_that_is_none_or_closed_is_refused() {
        const NEW: EncryptionAlgorithm = EncryptionAlgorithm::PbeWithHmacSha256AndAes256;
        let (chain, key) = material();
        let good = pfx(&chain, &key, NEW);
        let (others, _) = material();
        let cut = good.get(..good.len() - 9).unwrap();
        for (what, pfx, passphrase, expected) in [
            (
                "closed",
                good.clone(),
                "Pass",
                "passphrase does not open pfx",
            ),
            (
                "no passphrase",
                good.clone(),
                "",
                "passphrase does not open pfx",
            ),
            ("cut", cut.to_vec(), "pass", "pfx cannot be read"),
            ("empty", Vec::new(), "pass", "pfx cannot be read"),
            (
                "without the key's certificate",
                pfx(&others, &key, NEW),
                "pass",
                "pfx holds no private key",
            ),
        ] {
            let error = Identity::from_pkcs12(&pfx, passphrase).unwrap_err();
            assert!(error.to_string().contains(expected), "{what}: {error}");
        }
    }

    #[test]
    fn no_corruption_of_pkcs12_panics() {
        let (chain, key) = material();
        let good = pfx(&chain, &key, EncryptionAlgorithm::PbeWithShaAnd40BitRc4Cbc);
        for at in 0..good.len().min(120) {
            let mut bad = good.clone();
            bad[at] ^= 0x41;
            let _ = Identity::from_pkcs12(&bad, "pass");
        }
    }
}
