//! Certificate path building with pins inside it, for handshakes and for chains alike.
//!
//! Every candidate path that is valid up to a trust anchor is shown to a closure, which accepts it only if it holds a pin
//! of each set that is demanded; otherwise path building goes on to the next. What the server presented but the path does
//! not use is never looked at. The closure keeps the first valid path that it refused, since the error that path building
//! returns may be another path's.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::anchors::{Anchor, Unfit, subject_name};
use crate::error::{BadPin, VerifyError};
use crate::memory::{Memory, Presented};
use crate::suffix::is_registry_suffix;
use crate::{
    Anchors, EffectivePins, Host, Judgement, Pin, RevocationLists, Trust, VerifiedPath, hint, key,
    revocation,
};

/// The end entity, the six intermediates that webpki allows, and the trust anchor.
const LONGEST_PATH: usize = 8;

/// A rustls verifier for one effective pin set, which it never changes: rustls resumes a session only under the verifier
/// that accepted it, so a session made under other pins can't be resumed under these.
pub struct PinVerifier {
    /// Where paths end, unless `trust` says otherwise.
    anchors: Arc<Anchors>,
    trust: Trust,
    required: Vec<Arc<EffectivePins>>,
    blocked: Option<Arc<[Pin]>>,
    revocations: Arc<RevocationLists>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Those that are offered.
    schemes: Vec<SignatureScheme>,
    memory: Memory,
}

impl PinVerifier {
    /// A verifier of paths to `anchors` that meet *each* of `required`. With none required it verifies as webpki does, and
    /// only remembers the path. Where one of `required` has [`Trust`] of its own, that stands in the place of `anchors`;
    /// no two may differ in it.
    pub fn new(
        anchors: Arc<Anchors>,
        required: Vec<Arc<EffectivePins>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let mut trusts = required.iter().map(|pins| pins.trust());
        let trust = trusts.find(|trust| **trust != Trust::Own);
        Self {
            anchors,
            trust: trust.cloned().unwrap_or_default(),
            required,
            blocked: None,
            revocations: Arc::default(),
            schemes: algorithms.supported_schemes(),
            algorithms,
            memory: Memory::default(),
        }
    }

    /// The same verifier, but that it refuses paths that hold one of `pins`, which are sorted.
    #[must_use]
    pub fn with_blocked(self, pins: Option<Arc<[Pin]>>) -> Self {
        Self {
            blocked: pins,
            memory: Memory::default(),
            ..self
        }
    }

    /// The same verifier, but that it refuses what `lists` revoke.
    #[must_use]
    pub fn with_revocations(self, lists: Arc<RevocationLists>) -> Self {
        Self {
            revocations: lists,
            memory: Memory::default(), // what was accepted without them may be revoked
            ..self
        }
    }

    /// The same verifier, but that servers are offered these signature schemes (RFC 8446 §4.2.3), in this order. It changes
    /// nothing about what is verified: what the algorithms cannot verify is refused whether it was offered or not.
    #[must_use]
    pub fn with_schemes(self, schemes: Vec<SignatureScheme>) -> Self {
        Self { schemes, ..self }
    }

    /// The path that this verifier last accepted for the certificate `end_entity` (DER). rustls runs no verifier when it
    /// resumes a session and restores what was presented, not what was verified: this is where the rest comes from.
    pub fn path_of(&self, end_entity: &[u8]) -> Option<Arc<VerifiedPath>> {
        self.memory.path_of(end_entity)
    }
}

impl fmt::Debug for PinVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinVerifier")
            .field("anchors", &self.anchors)
            .field("required", &self.required)
            .field("blocked", &self.blocked)
            .field("revocations", &self.revocations)
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = Presented::new(server_name, end_entity, intermediates);
        if self.memory.stands(end_entity, &presented, now) {
            return Ok(ServerCertVerified::assertion());
        }
        let building = Building {
            end_entity,
            intermediates,
            anchors: &self.anchors,
            trust: &self.trust,
            name: server_name,
            at: now,
            required: &self.required,
            blocked: self.blocked.as_deref().unwrap_or_default(),
            revocations: &self.revocations,
            algorithms: self.algorithms.all,
        };
        let path = building.verify().map_err(VerifyError::into_rustls)?;
        self.memory.remember(end_entity, presented, now, path);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// A chain to verify outside a handshake.
#[derive(Clone, Copy, Debug)]
pub struct ChainRequest<'a> {
    /// The end entity first, then what the server sent, in its order.
    pub chain: &'a [CertificateDer<'a>],
    /// Where a path may end.
    pub anchors: &'a Anchors,
    /// The name that the end entity must hold.
    pub host: &'a Host,
    /// When.
    pub at: UnixTime,
    /// Pins of which the path must hold one; none pins nothing.
    pub pins: &'a [Pin],
}

/// A chain that was accepted.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The path.
    pub path: VerifiedPath,
    /// The first pin on it that was asked for.
    pub matched: Option<Pin>,
}

/// Verifies a chain by the code path of the handshake, without the proof that the server holds the key.
///
/// # Errors
/// [`VerifyError`]: the path's fault before the name's, the name's before the pins'. A path that only the pins refuse is
/// [`VerifyError::BadPin`], whatever became of other candidates.
pub fn verify_chain(request: &ChainRequest<'_>) -> Result<Verified, VerifyError> {
    let Some((end_entity, intermediates)) = request.chain.split_first() else {
        return Err(VerifyError::BadEncoding("the chain is empty".into()));
    };
    let pins = (!request.pins.is_empty())
        .then(|| Arc::new(EffectivePins::bare(request.host, request.pins)));
    let required: Vec<_> = pins.into_iter().collect();
    let building = Building {
        end_entity,
        intermediates,
        anchors: request.anchors,
        trust: &Trust::Own,
        name: &request.host.server_name(),
        at: request.at,
        required: &required,
        blocked: &[],
        revocations: &RevocationLists::default(),
        algorithms: rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .all,
    };
    let path = building.verify()?;
    let matched = match required.first().map(|pins| pins.judge(&path)) {
        Some(Judgement::Accept(matched)) => matched,
        Some(Judgement::Refuse) | None => None,
    };
    Ok(Verified { path, matched })
}

/// One path building.
struct Building<'a> {
    end_entity: &'a CertificateDer<'a>,
    intermediates: &'a [CertificateDer<'a>],
    /// Where paths end, unless `trust` says otherwise.
    anchors: &'a Anchors,
    trust: &'a Trust,
    name: &'a ServerName<'a>,
    at: UnixTime,
    required: &'a [Arc<EffectivePins>],
    /// Sorted.
    blocked: &'a [Pin],
    revocations: &'a RevocationLists,
    algorithms: &'a [&'a dyn rustls_pki_types::SignatureVerificationAlgorithm],
}

/// How far pins in report mode count.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Reach {
    /// As if they were enforced.
    Reported,
    /// Not at all.
    Enforced,
}

/// Why a path that verifies is not accepted.
#[derive(Clone, Copy)]
enum Want {
    /// It lacks pins: those at this index of what is required.
    Pins(usize),
    /// It holds a pin that no path may hold.
    Blocked(Pin),
}

impl Building<'_> {
    fn verify(&self) -> Result<VerifiedPath, VerifyError> {
        let Some(anchors) = self.trusted() else {
            return self.verify_key();
        };
        // a path that holds the pins in report mode, too, is the better one: it would be taken if they were enforced
        if self.required.iter().any(|pins| !pins.reported().is_empty()) {
            match self.build(anchors, Reach::Reported) {
                Err(VerifyError::BadPin(_)) => {}
                outcome => return outcome,
            }
        }
        self.build(anchors, Reach::Enforced)
    }

    /// Verifies a server whose own key is trusted where it is pinned, whoever issued the certificate (RFC 7250 has bare
    /// keys in this way). Its names and dates count as ever; the handshake's signature is rustls' to have verified.
    fn verify_key(&self) -> Result<VerifiedPath, VerifyError> {
        let end_entity =
            EndEntityCert::try_from(self.end_entity).map_err(|error| refusal(&error))?;
        let (_, certificate) = X509Certificate::from_der(self.end_entity)
            .map_err(|error| VerifyError::BadEncoding(error.to_string()))?;
        let validity = certificate.validity();
        let at = i64::try_from(self.at.as_secs()).unwrap_or(i64::MAX);
        if at > validity.not_after.timestamp() {
            return Err(VerifyError::Expired {
                not_after: Some(validity.not_after.timestamp()),
            });
        }
        if at < validity.not_before.timestamp() {
            return Err(VerifyError::NotYetValid);
        }
        let usage = certificate
            .extended_key_usage()
            .map_err(|error| VerifyError::BadEncoding(error.to_string()))?;
        if usage.is_some_and(|usage| !usage.value.any && !usage.value.server_auth) {
            return Err(VerifyError::InvalidPurpose(
                "its extended key usage lacks server authentication".into(),
            ));
        }
        self.check_end_entity(&end_entity)?;
        let pin = Pin::of_spki(&end_entity.subject_public_key_info());
        let certificates = vec![self.end_entity.clone().into_owned()];
        let path = VerifiedPath::new(vec![pin], certificates, Vec::new(), Trust::PinnedKey);
        match self.want(path.pins(), Reach::Enforced) {
            None => Ok(path),
            Some(want) => Err(self.bad_pin(path, want)),
        }
    }

    /// The anchors that paths end in; none where the pinned key itself is trusted.
    fn trusted(&self) -> Option<&Anchors> {
        match self.trust {
            Trust::Own => Some(self.anchors),
            Trust::Anchors(own) => Some(own),
            Trust::PinnedKey => None,
        }
    }

    /// What the pins want of a path that they don't accept.
    fn want(&self, path: &[Pin], reach: Reach) -> Option<Want> {
        let is_blocked = |pin: &&Pin| self.blocked.binary_search(pin).is_ok();
        if let Some(pin) = path.iter().find(is_blocked) {
            return Some(Want::Blocked(*pin));
        }
        let is_refused = |pins: &Arc<EffectivePins>| {
            pins.judge_pins(path) == Judgement::Refuse
                || reach == Reach::Reported && !pins.passes_report(path)
        };
        self.required.iter().position(is_refused).map(Want::Pins)
    }

    fn build(&self, anchors: &Anchors, reach: Reach) -> Result<VerifiedPath, VerifyError> {
        let end_entity =
            EndEntityCert::try_from(self.end_entity).map_err(|error| refusal(&error))?;
        let accepted: RefCell<Option<VerifiedPath>> = RefCell::new(None);
        let unpinned: RefCell<Option<(VerifiedPath, Want)>> = RefCell::new(None);
        let is_free = self.required.is_empty() && self.blocked.is_empty();
        let unfit: Cell<Option<Unfit>> = Cell::new(None);
        let mut layers = self.revocations.layers();
        let first = layers.next().unwrap_or_default();
        let others: Vec<_> = layers.collect();
        let accept = |candidate: &webpki::VerifiedPath<'_>| {
            // an anchor that this set doesn't know can't be: webpki has it from there
            let anchor = anchors
                .facts_of(candidate.anchor())
                .ok_or(webpki::Error::UnknownIssuer)?;
            if let Some(why) = anchor.unfit(self.end_entity, self.at) {
                unfit.set(Some(why));
                return Err(webpki::Error::UnknownIssuer); // to go on with: `unfit` tells what was wrong
            }
            for layer in &others {
                self.pass(candidate, layer)?;
            }
            if is_free {
                return Ok(());
            }
            let pins = pins_of(candidate, anchor.pin);
            match self.want(&pins, reach) {
                None => {
                    accepted.replace(Some(path_of(candidate, pins, &anchor, self.trust)));
                    Ok(())
                }
                Some(want) => {
                    unpinned.borrow_mut().get_or_insert_with(|| {
                        (path_of(candidate, pins, &anchor, self.trust), want)
                    });
                    Err(webpki::Error::UnknownIssuer) // to go on with: `unpinned` tells what was wrong
                }
            }
        };
        let looks = !is_free || anchors.some_are_limited() || !others.is_empty();
        let built = end_entity.verify_for_usage(
            self.algorithms,
            anchors.trusted(),
            self.intermediates,
            self.at,
            KeyUsage::server_auth(),
            revocation::options(&first),
            if looks { Some(&accept) } else { None },
        );
        let candidate = match built {
            Ok(candidate) => candidate,
            Err(error) => {
                if let Some((path, want)) = unpinned.take() {
                    self.check_end_entity(&end_entity)?;
                    return Err(self.bad_pin(path, want));
                }
                return Err(match (error, unfit.get()) {
                    (webpki::Error::UnknownIssuer, Some(Unfit::Expired(at))) => {
                        VerifyError::Expired {
                            not_after: Some(at),
                        }
                    }
                    (webpki::Error::UnknownIssuer, Some(Unfit::NotYetValid)) => {
                        VerifyError::NotYetValid
                    }
                    (webpki::Error::UnknownIssuer, Some(Unfit::CannotIssue(why))) => {
                        VerifyError::Constraint(format!(
                            "the trust anchor may not issue certificates: {why}"
                        ))
                    }
                    (error, _) => refusal(&error),
                });
            }
        };
        self.check_end_entity(&end_entity)?;
        match accepted.take() {
            Some(path) => Ok(path),
            // reached with nothing required only: whatever is pinned was accepted above or not at all
            None if is_free => {
                let anchor = anchors
                    .facts_of(candidate.anchor())
                    .ok_or(VerifyError::UnknownIssuer)?;
                Ok(path_of(
                    &candidate,
                    pins_of(&candidate, anchor.pin),
                    &anchor,
                    self.trust,
                ))
            }
            None => Err(VerifyError::UnknownIssuer),
        }
    }

    /// Asks `lists` of every certificate of `candidate`: path building does that itself for the first layer only.
    fn pass(
        &self,
        candidate: &webpki::VerifiedPath<'_>,
        lists: &[&webpki::CertRevocationList<'_>],
    ) -> Result<(), webpki::Error> {
        let intermediates: Vec<_> = candidate
            .intermediate_certificates()
            .map(|issuer| issuer.der().into_owned())
            .collect();
        let is_candidate = |path: &webpki::VerifiedPath<'_>| {
            let issuers = path.intermediate_certificates().map(webpki::Cert::der);
            if issuers.eq(intermediates.iter().cloned()) {
                Ok(())
            } else {
                Err(webpki::Error::UnknownIssuer) // a short cut, on which some of them weren't asked of
            }
        };
        candidate
            .end_entity()
            .verify_for_usage(
                self.algorithms,
                std::slice::from_ref(candidate.anchor()),
                &intermediates,
                self.at,
                KeyUsage::server_auth(),
                revocation::options(lists),
                Some(&is_candidate),
            )
            .map(|_| ())
    }

    /// What is the end entity's alone: its key, then its names.
    fn check_end_entity(&self, end_entity: &EndEntityCert<'_>) -> Result<(), VerifyError> {
        // the handshake's signature could not be verified under such a key; this says so before it is tried
        if !key::is_accepted(
            end_entity.subject_public_key_info().as_ref(),
            self.algorithms,
        ) {
            return Err(VerifyError::Invalid(
                "the server's key is too weak, or of a kind that is not accepted".into(),
            ));
        }
        match end_entity.verify_is_valid_for_subject_name(self.name) {
            Ok(()) if self.is_named_by_registry_wildcard(end_entity) => {
                Err(VerifyError::NameMismatch {
                    expected: self.name.to_str().into_owned(),
                    names: end_entity.valid_dns_names().map(Into::into).collect(),
                })
            }
            Ok(()) => Ok(()),
            Err(webpki::Error::CertNotValidForName(context)) => Err(VerifyError::NameMismatch {
                expected: self.name.to_str().into_owned(),
                names: context.presented,
            }),
            Err(error) => Err(refusal(&error)),
        }
    }

    /// Whether only a wildcard right below a registry's suffix (`*.co.uk`) names the server, which would speak for all of
    /// its customers. Suffixes of private owners are their own affair: `*.github.io` is GitHub's.
    fn is_named_by_registry_wildcard(&self, end_entity: &EndEntityCert<'_>) -> bool {
        let ServerName::DnsName(name) = self.name else {
            return false;
        };
        let name = name.as_ref();
        let Some((_, parent)) = name.split_once('.') else {
            return false;
        };
        is_registry_suffix(parent)
            && !end_entity
                .valid_dns_names()
                .any(|own| own.eq_ignore_ascii_case(name))
    }

    fn bad_pin(&self, path: VerifiedPath, want: Want) -> VerifyError {
        let presented: Vec<CertificateDer<'static>> = std::iter::once(self.end_entity)
            .chain(self.intermediates)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let path = Arc::new(path);
        let wanted = match want {
            Want::Pins(missing) => self.required.get(missing),
            Want::Blocked(_) => self.required.first(),
        };
        let report = match (want, wanted) {
            (Want::Blocked(pin), Some(pins)) => {
                BadPin::of_blocked(pins.host(), pins.port(), Some(pins), path, pin)
            }
            (Want::Blocked(pin), None) => match self.name.to_str().parse() {
                // without pins nobody has said which port it is: the one of https, until the client knows better
                Ok(host) => BadPin::of_blocked(&host, 443, None, path, pin),
                Err(_) => return VerifyError::Invalid("the server's name is no host".into()),
            },
            (Want::Pins(_), Some(pins)) => BadPin {
                hint: hint::of(pins, &path, &presented, self.trusted()),
                ..BadPin::of_path(pins, path)
            },
            (Want::Pins(_), None) => {
                return VerifyError::Invalid("the pins that are missing are unknown".into());
            }
        };
        VerifyError::BadPin(Box::new(BadPin {
            presented,
            ..report
        }))
    }
}

/// The pins of a path, end entity first, trust anchor last.
fn pins_of(candidate: &webpki::VerifiedPath<'_>, anchor: Pin) -> Vec<Pin> {
    let mut pins = Vec::with_capacity(LONGEST_PATH);
    pins.push(Pin::of_spki(
        &candidate.end_entity().subject_public_key_info(),
    ));
    pins.extend(
        candidate
            .intermediate_certificates()
            .map(|issuer| Pin::of_spki(&issuer.subject_public_key_info())),
    );
    pins.push(anchor);
    pins
}

/// The proof, from a path that webpki has verified: this is the only place that makes one.
fn path_of(
    candidate: &webpki::VerifiedPath<'_>,
    pins: Vec<Pin>,
    anchor: &Anchor<'_>,
    trust: &Trust,
) -> VerifiedPath {
    let issuers = candidate
        .intermediate_certificates()
        .map(|issuer| issuer.der().into_owned());
    let certificates = std::iter::once(candidate.end_entity().der().into_owned())
        .chain(issuers)
        .chain(anchor.certificate.cloned())
        .collect();
    VerifiedPath::new(
        pins,
        certificates,
        subject_name(candidate.anchor()),
        trust.clone(),
    )
}

/// webpki's own error, in the terms of users.
fn refusal(error: &webpki::Error) -> VerifyError {
    use webpki::Error as E;
    match error {
        E::CertExpired { not_after, .. } => VerifyError::Expired {
            not_after: i64::try_from(not_after.as_secs()).ok(),
        },
        E::CertNotValidYet { .. } => VerifyError::NotYetValid,
        E::CertRevoked => VerifyError::Revoked,
        E::InvalidCrlSignatureForPublicKey => VerifyError::Invalid(
            "a revocation list in the name of its issuer is not signed with the issuer's key"
                .into(),
        ),
        E::IssuerNotCrlSigner => VerifyError::Invalid(
            "its issuer, of whom there is a revocation list, may not sign any (key usage)".into(),
        ),
        E::UnsupportedCrlSignatureAlgorithmContext(_)
        | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => VerifyError::Invalid(
            "its issuer's revocation list is signed with an algorithm that is not accepted".into(),
        ),
        E::UnknownIssuer => VerifyError::UnknownIssuer,
        E::CaUsedAsEndEntity
        | E::EndEntityUsedAsCa
        | E::RequiredEkuNotFoundContext(_)
        | E::EmptyEkuExtension => VerifyError::InvalidPurpose(words(error)),
        E::InvalidSignatureForPublicKey
        | E::SignatureAlgorithmMismatch
        | E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            VerifyError::BadSignature(words(error))
        }
        E::BadDer
        | E::BadDerTime
        | E::TrailingData(_)
        | E::MalformedExtensions
        | E::ExtensionValueInvalid
        | E::MalformedDnsIdentifier
        | E::UnsupportedCertVersion
        | E::InvalidSerialNumber
        | E::InvalidCertValidity => VerifyError::BadEncoding(words(error)),
        E::MaximumNameConstraintComparisonsExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded => VerifyError::TooComplex,
        E::NameConstraintViolation
        | E::PathLenConstraintViolated
        | E::MalformedNameConstraint
        | E::InvalidNetworkMaskConstraint
        | E::UnsupportedNameType => VerifyError::Constraint(words(error)),
        _ => VerifyError::Invalid(words(error)), // webpki's enum is open-ended
    }
}

/// What an error of webpki says, which itself has names only.
fn words(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let words = match error {
        E::CaUsedAsEndEntity => {
            "the server's own is a certificate authority's (CA:TRUE), as self-signed ones often are"
        }
        E::EndEntityUsedAsCa => "one that is not a certificate authority's has issued another",
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            "its extended key usage does not name server authentication"
        }
        E::InvalidSignatureForPublicKey => "it was not made by the key of the issuer",
        E::SignatureAlgorithmMismatch => "the certificate names two algorithms for it",
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            "its algorithm is not accepted, or not with a key of this kind"
        }
        E::BadDer => "it is not DER",
        E::BadDerTime => "a time in it is malformed",
        E::TrailingData(_) => "bytes follow the end of a field",
        E::MalformedExtensions => "its extensions are malformed",
        E::ExtensionValueInvalid => "an extension of it is malformed",
        E::MalformedDnsIdentifier => "a DNS name in it is malformed",
        E::UnsupportedCertVersion => "it is not of version 3",
        E::InvalidSerialNumber => "its serial number is malformed",
        E::InvalidCertValidity => "it ends before it begins",
        E::NameConstraintViolation => "a name is not among those that the CA may certify",
        E::PathLenConstraintViolated => "more CAs are below it than it allows",
        E::MalformedNameConstraint | E::InvalidNetworkMaskConstraint => "it is malformed",
        E::UnsupportedNameType => "it is about names of an unknown kind",
        E::UnsupportedCriticalExtension => "it has a critical extension that is not known",
        _ => return error.to_string(),
    };
    words.to_owned()
}
