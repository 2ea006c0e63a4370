//! What a pin is: read it, write it, hash a `SubjectPublicKeyInfo`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::error::PinError;

/// The SHA-256 digest of a certificate's DER `SubjectPublicKeyInfo` (RFC 7469 §2.4).
///
/// Certificates that carry the same key have the same pin, whoever issued them and however long they last. Written
/// `sha256/` and 44 characters of base64; [`FromStr`] also reads bare base64, curl's `sha256//…`, RFC 7469's
/// `pin-sha256="…"` and 64 hexadecimal digits.
///
/// ```
/// use pinfetch_pins::Pin;
///
/// let pin: Pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse()?;
/// assert_eq!(pin, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".parse()?);
/// assert_eq!(pin.to_string(), "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
/// # Ok::<(), pinfetch_pins::PinError>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pin([u8; 32]);

impl Pin {
    /// The pin whose digest is `digest`.
    pub fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Hashes `spki`, tag and length included, as the bytes stand in the certificate; no key type is refused.
    pub fn of_spki(spki: &SubjectPublicKeyInfoDer<'_>) -> Self {
        Self::of_spki_der(spki.as_ref())
    }

    /// The pin of the key in a certificate, PEM (the first one) or DER.
    ///
    /// # Errors
    /// [`PinError::NotACertificate`].
    pub fn of_certificate(certificate: &[u8]) -> Result<Self, PinError> {
        let der = first_section(certificate, &[SectionKind::Certificate])
            .ok_or(PinError::NotACertificate)?;
        match X509Certificate::from_der(&der) {
            Ok(([], certificate)) => Ok(Self::of_spki_der(certificate.public_key().raw)),
            _ => Err(PinError::NotACertificate),
        }
    }

    /// The pin of a public key (`SubjectPublicKeyInfo`), PEM or DER.
    ///
    /// # Errors
    /// [`PinError::NotAPublicKey`].
    pub fn of_public_key(key: &[u8]) -> Result<Self, PinError> {
        let der = first_section(key, &[SectionKind::PublicKey]).ok_or(PinError::NotAPublicKey)?;
        match SubjectPublicKeyInfo::from_der(&der) {
            Ok(([], key)) => Ok(Self::of_spki_der(key.raw)),
            _ => Err(PinError::NotAPublicKey),
        }
    }

    /// The digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest in base64, 44 characters, without `sha256/`.
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    fn of_spki_der(spki: &[u8]) -> Self {
        let mut pin = [0; 32];
        pin.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, spki).as_ref());
        Self(pin)
    }
}

/// DER as it stands, or the first PEM section of one of `kinds`.
fn first_section(bytes: &[u8], kinds: &[SectionKind]) -> Option<Vec<u8>> {
    if !bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        return Some(bytes.to_vec());
    }
    <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes)
        .filter_map(Result::ok)
        .find(|(kind, _)| kinds.contains(kind))
        .map(|(_, der)| der)
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", self.to_base64())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        if text.is_empty() {
            return Err(PinError::Empty);
        }
        let trimmed = text.trim();
        if trimmed.starts_with("-----BEGIN ") {
            return Err(PinError::Pem); // first of all: it may be a private key, which no error repeats
        }
        if trimmed != text {
            return Err(trimmed
                .parse::<Self>()
                .map_or_else(|error| error, |_| PinError::Whitespace(trimmed.into())));
        }
        if starts_with_ignoring_case(text, "sha1/") || starts_with_ignoring_case(text, "pin-sha1=")
        {
            return Err(PinError::Sha1);
        }
        if let Some(rest) = text.strip_prefix("pin-sha256=") {
            let quoted = rest
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            return base64(quoted.ok_or(PinError::Unquoted)?);
        }
        if let Some(rest) = text.strip_prefix("sha256/") {
            // base64 may itself begin with a slash: only what is one too long has curl's second one
            return match (base64(rest), rest.strip_prefix('/')) {
                (Err(_), Some(after_second)) => base64(after_second),
                (read, _) => read,
            };
        }
        for prefix in [
            "sha256/",
            "sha256:",
            "sha256=",
            "sha256-",
            "pin-sha256=",
            "spki-sha256:",
        ] {
            if starts_with_ignoring_case(text, prefix)
                && let Some(Ok(pin)) = text
                    .get(prefix.len()..)
                    .map(|rest| base64(rest.trim_matches('"')))
            {
                return Err(PinError::Prefix(pin));
            }
        }
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return hex(text).ok_or(PinError::Alphabet(None));
        }
        if is_colon_hex(text) {
            return Err(PinError::CertificateFingerprint);
        }
        base64(text)
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn hex(text: &str) -> Option<Pin> {
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(Pin(digest))
}

/// `AB:CD:…`, as fingerprints of whole certificates are printed.
fn is_colon_hex(text: &str) -> bool {
    text.contains(':')
        && text
            .split(':')
            .all(|pair| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn base64(text: &str) -> Result<Pin, PinError> {
    let found = |digest: Vec<u8>| match <[u8; 32]>::try_from(digest) {
        Ok(digest) => Ok(Pin(digest)),
        Err(digest) => Err(match digest.len() {
            20 => PinError::Sha1,
            length => PinError::Length(length),
        }),
    };
    if let Ok(digest) = BASE64_STANDARD.decode(text) {
        return found(digest);
    }
    // what it would have meant, read generously, makes the mend
    let mend = lenient(text)
        .and_then(|digest| <[u8; 32]>::try_from(digest).ok())
        .map(Pin);
    if text.contains(['-', '_']) {
        return Err(PinError::UrlAlphabet(mend));
    }
    if text
        .bytes()
        .any(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/' | b'='))
    {
        return Err(PinError::Alphabet(mend));
    }
    Err(PinError::Padding(mend))
}

fn lenient(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let text: String = text
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '=')
        .map(|character| match character {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    LENIENT.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn every_spelling_of_a_pin_is_the_same_pin() {
        for text in [
            EMPTY.to_owned(),
            format!("sha256/{EMPTY}"),
            format!("sha256//{EMPTY}"),
            format!("pin-sha256=\"{EMPTY}\""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
            "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855".to_owned(),
        ] {
            let pin: Pin = text
                .parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(pin.to_string(), format!("sha256/{EMPTY}"));
            assert_eq!(pin.to_string().parse::<Pin>().unwrap(), pin);
        }
    }

    #[test]
    fn a_pin_whose_base64_begins_with_a_slash_is_read_in_every_spelling() {
        let pin = Pin::from_bytes([0xff; 32]); // "/////…8="
        let base64 = pin.to_base64();
        for text in [
            base64.clone(),
            format!("sha256/{base64}"),
            format!("sha256//{base64}"),
            format!("pin-sha256=\"{base64}\""),
        ] {
            assert_eq!(
                text.parse::<Pin>()
                    .unwrap_or_else(|error| panic!("{text}: {error}")),
                pin
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn printing_and_reading_a_pin_are_inverse(digest: [u8; 32]) {
            let pin = Pin::from_bytes(digest);
            for text in [pin.to_string(), pin.to_base64(), format!("sha256//{}", pin.to_base64())] {
                proptest::prop_assert_eq!(text.parse::<Pin>(), Ok(pin));
            }
        }

        #[test]
        fn no_text_makes_reading_a_pin_panic(text in "(sha256/{0,2}|pin-sha256=|sha1/|)\\PC{0,70}") {
            if let Ok(pin) = text.parse::<Pin>() {
                proptest::prop_assert_eq!(pin.to_string().parse::<Pin>(), Ok(pin));
            }
        }
    }

    #[test]
    fn what_is_no_pin_is_refused_with_its_mend() {
        let mend = Some(EMPTY.parse().unwrap());
        let pin = EMPTY.parse().unwrap();
        for (text, expected) in [
            ("", PinError::Empty),
            (
                " 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                PinError::Whitespace(EMPTY.into()),
            ),
            (
                "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
                PinError::Padding(mend),
            ),
            (
                "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU==",
                PinError::Padding(mend),
            ),
            (
                "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
                PinError::Padding(mend),
            ), // bits that must be zero
            (
                "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=",
                PinError::UrlAlphabet(mend),
            ),
            (
                "47DEQpj8HBSa+/TImW+5 JCeuQeRkm5NMpJWZG3hSuFU=",
                PinError::Alphabet(mend),
            ),
            (
                "SHA256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                PinError::Prefix(pin),
            ),
            (
                "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                PinError::Prefix(pin),
            ),
            ("sha1/2jmj7l5rSw0yVb/vlWAYkK/YBwk=", PinError::Sha1),
            ("2jmj7l5rSw0yVb/vlWAYkK/YBwk=", PinError::Sha1), // twenty bytes
            ("sha256/AAAA", PinError::Length(3)),
            ("wrong-pin...", PinError::UrlAlphabet(None)),
            (
                "pin-sha256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                PinError::Unquoted,
            ),
            ("-----BEGIN CERTIFICATE-----", PinError::Pem),
            (
                "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55",
                PinError::CertificateFingerprint,
            ),
        ] {
            assert_eq!(text.parse::<Pin>().unwrap_err(), expected, "{text}");
        }
    }
}
