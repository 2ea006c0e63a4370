//! Certificates of any shape, under names that later ones refer to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CidrSubnet,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, RevokedCertParams, SanType,
    SerialNumber,
};
use ring::rand::SecureRandom as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::KitError;

/// What a certificate shall say. Nothing is checked for sense: a leaf may sign, an authority may be long expired.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRequest {
    /// What later requests and servers call it. A name given again means the newer certificate from then on.
    pub name: String,
    /// Its subject's common name; `name` by default. Two with the same subject are same-name twins.
    pub subject: Option<String>,
    /// The certificate whose subject it names as its issuer; by default itself.
    pub issuer: Option<String>,
    /// The certificate whose key signs it; by default the issuer's, as it should be.
    pub signer: Option<String>,
    /// Whether basic constraints make it an authority.
    #[serde(default)]
    pub ca: bool,
    /// How many intermediates an authority allows below itself; no limit by default.
    pub path_length: Option<u8>,
    /// Subject alternative names: DNS names or IP addresses.
    #[serde(default)]
    pub names: Vec<String>,
    /// Start of validity in Unix seconds; yesterday by default.
    pub not_before: Option<i64>,
    /// End of validity in Unix seconds; by default in 90 days, for an authority in ten years.
    pub not_after: Option<i64>,
    /// The certificate whose key it shares; by default it gets a key of its own.
    pub key: Option<String>,
    /// The type of its own key.
    #[serde(default)]
    pub key_type: KeyType,
    /// Name constraints: the only DNS subtrees (or `address/prefix`) allowed below it.
    #[serde(default)]
    pub permitted: Vec<String>,
    /// Name constraints: DNS subtrees (or `address/prefix`) that are refused below it.
    #[serde(default)]
    pub excluded: Vec<String>,
    /// Its subject key identifier in hex; by default derived from its key. Its children name it as their authority's.
    pub key_identifier: Option<String>,
    /// Extended key usages; by default `serverAuth`, for an authority none.
    pub eku: Option<Vec<Usage>>,
}

/// What a certificate revocation list shall say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationRequest {
    /// The certificate whose subject it names as its issuer.
    pub issuer: String,
    /// The certificate whose key signs it; by default the issuer's, as it should be.
    pub signer: Option<String>,
    /// The certificates that it revokes. Nothing checks that the issuer issued them.
    pub certificates: Vec<String>,
    /// Unix seconds; yesterday by default.
    pub this_update: Option<i64>,
    /// Unix seconds; in a week by default.
    pub next_update: Option<i64>,
}

/// A certificate revocation list.
#[derive(Clone, Debug)]
pub struct RevocationList(Vec<u8>);

impl RevocationList {
    /// The list.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The list in PEM.
    pub fn pem(&self) -> String {
        pem("X509 CRL", &self.0)
    }
}

/// The type of a key pair.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on NIST P-256.
    #[default]
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA with 2048 bits: one of the embedded test keys, each given out once.
    Rsa2048,
}

/// An extended key usage (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub enum Usage {
    /// Authenticates a TLS server.
    ServerAuth,
    /// Authenticates a TLS client.
    ClientAuth,
    /// Signs code.
    CodeSigning,
    /// Anything.
    Any,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    subject: String,
    der: CertificateDer<'static>,
    params: CertificateParams,
    key: Arc<KeyPair>,
}

impl Issued {
    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The subject's common name.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// `sha256/` and the base64 of its `SubjectPublicKeyInfo`'s SHA-256 digest.
    pub fn pin(&self) -> String {
        let digest =
            ring::digest::digest(&ring::digest::SHA256, &self.key.subject_public_key_info());
        format!("sha256/{}", BASE64_STANDARD.encode(digest))
    }

    /// The private key in PEM (PKCS #8).
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.serialized_der())
    }

    /// The public key in PEM (`SubjectPublicKeyInfo`).
    pub fn spki_pem(&self) -> String {
        pem("PUBLIC KEY", &self.key.subject_public_key_info())
    }

    /// The key as rustls signs handshakes with it.
    ///
    /// # Errors
    ///
    /// [`KitError::Tls`] when rustls cannot use a key of this type.
    pub fn signing_key(&self) -> Result<Arc<dyn SigningKey>, KitError> {
        let der = PrivatePkcs8KeyDer::from(self.key.serialized_der().to_vec());
        Ok(rustls::crypto::ring::sign::any_supported_type(
            &PrivateKeyDer::Pkcs8(der),
        )?)
    }
}

/// All certificates issued so far, by name.
#[derive(Debug, Default)]
pub struct Authority {
    issued: HashMap<String, Issued>,
    rsa_keys_given: usize,
}

impl Authority {
    /// An authority that has issued nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Issues a certificate and remembers it under its name.
    ///
    /// # Errors
    ///
    /// [`KitError::UnknownCertificate`] when `issuer`, `signer` or `key` names one that does not exist yet, and
    /// [`KitError::InvalidField`] when a name, date or constraint cannot be written into a certificate.
    pub fn issue(&mut self, request: &CertificateRequest) -> Result<&Issued, KitError> {
        let key = match &request.key {
            Some(name) => Arc::clone(&self.get(name)?.key),
            None => Arc::new(self.make_key(request.key_type)?),
        };
        let params = params_of(request)?;
        let issuer = request
            .issuer
            .as_ref()
            .map(|name| self.get(name))
            .transpose()?;
        let signer = request
            .signer
            .as_ref()
            .map(|name| self.get(name))
            .transpose()?;
        let signing_key = signer.or(issuer).map_or(&key, |other| &other.key);
        let issuer_params = issuer.map_or(&params, |other| &other.params);
        let certificate =
            params.signed_by(&*key, &Issuer::from_params(issuer_params, &**signing_key))?;
        let made = Issued {
            subject: request.subject.as_ref().unwrap_or(&request.name).clone(),
            der: certificate.into(),
            params,
            key,
        };
        Ok(self
            .issued
            .entry(request.name.clone())
            .insert_entry(made)
            .into_mut())
    }

    /// Makes a certificate revocation list.
    ///
    /// # Errors
    ///
    /// [`KitError::UnknownCertificate`] when one is named that does not exist, [`KitError::InvalidField`] for a date that
    /// cannot be written, and [`KitError::Issue`] when the list ends before it begins, or its issuer may not sign any.
    pub fn revoke(&self, request: &RevocationRequest) -> Result<RevocationList, KitError> {
        let now = seconds_now();
        let this_update = date("thisUpdate", request.this_update.unwrap_or(now - DAY))?;
        let next_update = date("nextUpdate", request.next_update.unwrap_or(now + 7 * DAY))?;
        let revoked = request.certificates.iter().map(|name| {
            let params = &self.get(name)?.params;
            Ok(RevokedCertParams {
                serial_number: params.serial_number.clone().unwrap_or_else(random_serial), // each has one
                revocation_time: this_update,
                reason_code: None,
                invalidity_date: None,
            })
        });
        let params = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect::<Result<_, KitError>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let issuer = self.get(&request.issuer)?;
        let signer = match &request.signer {
            Some(name) => self.get(name)?,
            None => issuer,
        };
        let list = params.signed_by(&Issuer::from_params(&issuer.params, &*signer.key))?;
        Ok(RevocationList(list.der().to_vec()))
    }

    /// The certificate of that name.
    ///
    /// # Errors
    ///
    /// [`KitError::UnknownCertificate`] when there is none.
    pub fn get(&self, name: &str) -> Result<&Issued, KitError> {
        self.issued
            .get(name)
            .ok_or_else(|| KitError::UnknownCertificate(name.to_owned()))
    }

    fn make_key(&mut self, key_type: KeyType) -> Result<KeyPair, KitError> {
        Ok(match key_type {
            KeyType::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
            KeyType::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?,
            KeyType::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519)?,
            KeyType::Rsa2048 => {
                let keys: Vec<_> = PrivatePkcs8KeyDer::pem_slice_iter(RSA_KEYS)
                    .flatten()
                    .collect();
                let key = keys
                    .get(self.rsa_keys_given)
                    .ok_or(KitError::OutOfKeys(keys.len()))?;
                self.rsa_keys_given += 1;
                KeyPair::from_pkcs8_der_and_sign_algo(key, &rcgen::PKCS_RSA_SHA256)?
            }
        })
    }
}

fn params_of(request: &CertificateRequest) -> Result<CertificateParams, KitError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        request.subject.as_ref().unwrap_or(&request.name),
    );
    params.serial_number = Some(random_serial());
    params.subject_alt_names = request
        .names
        .iter()
        .map(|name| alternative_name(name))
        .collect::<Result<_, _>>()?;
    let now = seconds_now();
    let days = if request.ca { 3650 } else { 90 };
    params.not_before = date("notBefore", request.not_before.unwrap_or(now - DAY))?;
    params.not_after = date("notAfter", request.not_after.unwrap_or(now + days * DAY))?;
    params.use_authority_key_identifier_extension = true;
    if let Some(text) = &request.key_identifier {
        params.key_identifier_method = KeyIdMethod::PreSpecified(hex(text)?);
    }
    if request.ca {
        params.is_ca = IsCa::Ca(request.path_length.map_or(
            BasicConstraints::Unconstrained,
            BasicConstraints::Constrained,
        ));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    let usages = request.eku.as_deref().unwrap_or(if request.ca {
        &[]
    } else {
        &[Usage::ServerAuth]
    });
    params.extended_key_usages = usages.iter().map(|usage| (*usage).into()).collect();
    if !request.permitted.is_empty() || !request.excluded.is_empty() {
        let subtrees = |texts: &[String]| {
            texts
                .iter()
                .map(|text| subtree(text))
                .collect::<Result<_, _>>()
        };
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: subtrees(&request.permitted)?,
            excluded_subtrees: subtrees(&request.excluded)?,
        });
    }
    Ok(params)
}

impl From<Usage> for ExtendedKeyUsagePurpose {
    fn from(usage: Usage) -> Self {
        match usage {
            Usage::ServerAuth => Self::ServerAuth,
            Usage::ClientAuth => Self::ClientAuth,
            Usage::CodeSigning => Self::CodeSigning,
            Usage::Any => Self::Any,
        }
    }
}

fn alternative_name(text: &str) -> Result<SanType, KitError> {
    Ok(match text.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(text.try_into()?),
    })
}

fn subtree(text: &str) -> Result<GeneralSubtree, KitError> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Ok(GeneralSubtree::DnsName(text.to_owned()));
    };
    let invalid = || {
        invalid(
            "permitted",
            format!("{text:?} is not an address and a prefix length"),
        )
    };
    let address = address.parse().map_err(|_| invalid())?;
    let prefix = prefix.parse().map_err(|_| invalid())?;
    Ok(GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
        address, prefix,
    )))
}

fn seconds_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |past| past.as_secs().cast_signed())
}

fn date(field: &'static str, unix_seconds: i64) -> Result<OffsetDateTime, KitError> {
    OffsetDateTime::from_unix_timestamp(unix_seconds)
        .map_err(|error| invalid(field, error.to_string()))
}

fn hex(text: &str) -> Result<Vec<u8>, KitError> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| invalid("keyIdentifier", format!("{text:?} is not hex")))
}

fn invalid(field: &'static str, problem: String) -> KitError {
    KitError::InvalidField { field, problem }
}

/// Sixteen random bytes: certificates of one key, or of one subject and issuer, must not share a serial number.
fn random_serial() -> SerialNumber {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random bytes");
    let [first, ..] = &mut bytes;
    *first = *first & 0x3f | 0x40; // positive, and never shortened by a leading zero
    SerialNumber::from_slice(&bytes)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines + "-----END " + label + "-----\n"
}

const DAY: i64 = 86_400;

/// Public on purpose, and trusted by nothing but tests.
const RSA_KEYS: &[u8] = include_bytes!("../keys/rsa2048-test-keys.pem");

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> CertificateRequest {
        CertificateRequest {
            name: name.into(),
            names: vec!["api.example.test".into()],
            ..Default::default()
        }
    }

    #[test]
    fn certificates_that_share_a_key_have_one_pin_and_different_bytes() {
        let mut authority = Authority::new();
        let first = authority.issue(&request("first")).unwrap().clone();
        let renewed = CertificateRequest {
            key: Some("first".into()),
            ..request("renewed")
        };
        let renewed = authority.issue(&renewed).unwrap().clone();
        let other = authority.issue(&request("other")).unwrap();
        assert_eq!(first.pin(), renewed.pin());
        assert_ne!(first.der(), renewed.der());
        assert_ne!(first.pin(), other.pin());
    }

    #[test]
    fn every_key_type_issues_and_signs() {
        let mut authority = Authority::new();
        for key_type in [
            KeyType::P256,
            KeyType::P384,
            KeyType::Ed25519,
            KeyType::Rsa2048,
        ] {
            let issued = authority
                .issue(&CertificateRequest {
                    key_type,
                    ..request("leaf")
                })
                .unwrap();
            issued.signing_key().unwrap();
            assert!(
                issued
                    .key_pem()
                    .starts_with("-----BEGIN PRIVATE KEY-----\n"),
                "{key_type:?}"
            );
        }
    }

    #[test]
    fn rsa_test_keys_are_given_out_once_each() {
        let mut authority = Authority::new();
        let rsa = CertificateRequest {
            key_type: KeyType::Rsa2048,
            ..request("leaf")
        };
        let pins: Vec<_> = (0..4)
            .map(|_| authority.issue(&rsa).unwrap().pin())
            .collect();
        assert!(
            pins.iter()
                .all(|pin| pins.iter().filter(|other| *other == pin).count() == 1)
        );
        assert!(matches!(authority.issue(&rsa), Err(KitError::OutOfKeys(4))));
    }

    #[test]
    fn a_mistake_in_a_request_is_named() {
        let mut authority = Authority::new();
        for (wrong, words) in [
            (
                CertificateRequest {
                    issuer: Some("nobody".into()),
                    ..request("a")
                },
                "\"nobody\"",
            ),
            (
                CertificateRequest {
                    key_identifier: Some("abc".into()),
                    ..request("a")
                },
                "keyIdentifier",
            ),
            (
                CertificateRequest {
                    permitted: vec!["10.0.0.0/x".into()],
                    ..request("a")
                },
                "10.0.0.0/x",
            ),
            (
                CertificateRequest {
                    not_after: Some(i64::MAX),
                    ..request("a")
                },
                "notAfter",
            ),
        ] {
            let error = authority.issue(&wrong).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
