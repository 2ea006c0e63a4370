//! Which keys of servers are accepted: those under which the handshake's signature can be verified.

use rustls_pki_types::{SignatureVerificationAlgorithm, alg_id};

/// What ring and common sense demand of an RSA key, in bits rounded up to bytes.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 2048 / 8..=8192 / 8;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// Whether one of `algorithms` verifies under the key `spki`, a DER `SubjectPublicKeyInfo`. Allocates nothing.
pub(crate) fn is_accepted(spki: &[u8], algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
    let Some((algorithm, key)) = split(spki) else {
        return false;
    };
    if !algorithms
        .iter()
        .any(|known| known.public_key_alg_id().as_ref() == algorithm)
    {
        return false;
    }
    algorithm != alg_id::RSA_ENCRYPTION.as_ref()
        || modulus_bytes(key).is_some_and(|bytes| RSA_MODULUS_BYTES.contains(&bytes))
}

/// The contents of the `AlgorithmIdentifier`, and the key (RFC 5280 §4.1.2.7).
fn split(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, _) = value(SEQUENCE, spki)?;
    let (algorithm, rest) = value(SEQUENCE, info)?;
    let (key, _) = value(BIT_STRING, rest)?;
    Some((algorithm, key.strip_prefix(&[0])?)) // no unused bits
}

/// The length of an `RSAPublicKey`'s modulus (RFC 8017 §A.1.1), without the zero that keeps it positive.
fn modulus_bytes(key: &[u8]) -> Option<usize> {
    let (key, _) = value(SEQUENCE, key)?;
    let (modulus, _) = value(INTEGER, key)?;
    let digits = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    // more zeros than that are not DER, and would make a short key look long (X.690 §8.3.2)
    (digits.first() != Some(&0)).then_some(digits.len())
}

/// The contents of the value with `tag` that `der` begins with, and what comes after it (X.690 §8.1).
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (own, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        0x81 => rest
            .split_first()
            .map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => rest
            .split_first_chunk()
            .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        _ => return None, // no key is so long
    };
    (*own == tag)
        .then(|| rest.split_at_checked(length))
        .flatten()
}
