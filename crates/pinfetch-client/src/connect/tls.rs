//! TLS for one origin: its verifier, its sessions, and what its pins demand.
//!
//! rustls resumes a session only under the pointer-equal verifier and runs no verifier on resumption. So a verifier
//! belongs to one effective pin set and never changes; when a swap alters the pins, the origin gets a new
//! [`OriginTls`], and its old sessions die by themselves.

use std::sync::{Arc, LazyLock};

use pinfetch_pins::{
    Anchors, BadPin, EffectivePins, Ending, Host, Judgement, Moment, Pin, PinVerifier, Policy,
    RevocationLists, Trust, Unpinned, VerifiedPath, order,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, KeyLog, SignatureScheme, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate_compression::DECOMPRESSORS;
use super::identity::Identity;
use super::post_quantum::X25519MLKEM768;
use super::sessions::Sessions;
use crate::config::{ConnectionKey, Http2Choice, Look, MinVersion};

/// ring's algorithms, for all clients. AES-128 with SHA-256 comes first, as in browsers and Go: processors have
/// instructions for both, for SHA-384 seldom, and a handshake is full of hashes (30 µs of 500 in all).
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = rustls::crypto::ring::default_provider();
    let rank = |suite: &SupportedCipherSuite| {
        use rustls::CipherSuite as Suite;
        match suite.suite() {
            Suite::TLS13_AES_128_GCM_SHA256 => 0,
            Suite::TLS13_AES_256_GCM_SHA384 | Suite::TLS13_CHACHA20_POLY1305_SHA256 => 1,
            Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
            _ => 3, // the others of TLS 1.2, in rustls' own order
        }
    };
    order::sort_by(&mut provider.cipher_suites, |a, b| rank(a).cmp(&rank(b)));
    Arc::new(provider)
});

/// The same, with the hybrid key exchange before all others.
static POST_QUANTUM_PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = CryptoProvider::clone(&PROVIDER);
    provider.kx_groups.insert(0, X25519MLKEM768);
    Arc::new(provider)
});

/// Whose certificates a client accepts.
#[derive(Clone, Debug)]
pub(crate) enum Verification {
    /// Those on a path to these anchors, where no list names one of it.
    Anchors(Arc<Anchors>, Arc<RevocationLists>),
    Insecure,
}

impl Verification {
    /// A verifier for one effective pin set; none where nothing is verified.
    fn verifier(&self, requirement: &Requirement) -> Option<PinVerifier> {
        match self {
            Self::Anchors(anchors, revocations) => {
                let verifier = PinVerifier::new(
                    anchors.clone(),
                    requirement.pins.clone(),
                    PROVIDER.signature_verification_algorithms,
                );
                let verifier = verifier.with_blocked(requirement.blocked.clone());
                Some(verifier.with_revocations(revocations.clone()))
            }
            Self::Insecure => None,
        }
    }

    /// Whether both accept the same paths, as far as that can be told without looking.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anchors(ours, our_lists), Self::Anchors(theirs, their_lists)) => {
                Arc::ptr_eq(ours, theirs) && Arc::ptr_eq(our_lists, their_lists)
            }
            (Self::Insecure, Self::Insecure) => true,
            _ => false,
        }
    }
}

/// What all TLS of a client has in common.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings {
    pub(crate) min_version: MinVersion,
    /// Shown to servers that ask, and to no proxy.
    pub(crate) identity: Option<Identity>,
    pub(crate) key_log: Option<Arc<dyn KeyLog>>,
    /// The algorithms that are offered.
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) look: Option<Look>,
}

/// The algorithms of a client: as `look` has them, or our own choice; the hybrid key exchange first where it is asked for.
pub(crate) fn provider(look: Option<&Look>, post_quantum: bool) -> Arc<CryptoProvider> {
    let Some(look) = look else {
        let provider = if post_quantum {
            &POST_QUANTUM_PROVIDER
        } else {
            &PROVIDER
        };
        return Arc::clone(provider);
    };
    let mut provider = CryptoProvider::clone(&POST_QUANTUM_PROVIDER);
    keep_in_order(&mut provider.cipher_suites, &look.cipher_suites, |suite| {
        suite.suite().into()
    });
    keep_in_order(&mut provider.kx_groups, &look.groups, |group| {
        group.name().into()
    });
    if post_quantum && !look.groups.contains(&X25519MLKEM768.name().into()) {
        provider.kx_groups.insert(0, X25519MLKEM768);
    }
    Arc::new(provider)
}

/// Keeps of `all` what `wanted` has, in its order.
fn keep_in_order<T>(all: &mut Vec<T>, wanted: &[u16], number: impl Fn(&T) -> u16) {
    let mut place = 0;
    for wanted in wanted {
        let rest = all.get(place..).unwrap_or_default();
        if let Some(found) = rest.iter().position(|one| number(one) == *wanted) {
            all.swap(place, place + found);
            place += 1;
        }
    }
    all.truncate(place);
}

/// What the policy in force demands of the path to an origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requirement {
    /// Each must be met by the path: the URL's host's pins, and those of the server name where it differs.
    pins: Vec<Arc<EffectivePins>>,
    /// Pins that no path may hold, sorted.
    blocked: Option<Arc<[Pin]>>,
    /// What becomes of hosts without pins.
    unpinned: Unpinned,
}

/// How a path stands to a requirement.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Accepted; the pin of the URL's host that matched, if it has any.
    Accept(Option<Pin>),
    /// Refused.
    Refuse(Refusal),
}

/// Why a path is refused.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// For want of these pins.
    Pins(Arc<EffectivePins>),
    /// For a pin that no path may hold, whatever the pins in force.
    Blocked(Pin, Option<Arc<EffectivePins>>),
    /// It was verified up to what the policy in force does not trust.
    Trust,
}

impl Refusal {
    /// The report on `path`, to `key`'s host; none where nobody is to be told of pins.
    pub(crate) fn report(&self, key: &ConnectionKey, path: Arc<VerifiedPath>) -> Option<BadPin> {
        match self {
            Self::Pins(pins) => Some(BadPin::of_path(pins, path)),
            Self::Blocked(pin, pins) => Some(BadPin::of_blocked(
                key.proven_name(),
                key.port,
                pins.as_deref(),
                path,
                *pin,
            )),
            Self::Trust => None,
        }
    }
}

impl Requirement {
    /// What `policy` demands at `now`.
    pub(crate) fn of(policy: &Policy, key: &ConnectionKey, now: Moment) -> Self {
        let mut pins = Vec::new();
        for host in std::iter::once(&key.host)
            .chain(key.server_name.as_ref().filter(|name| **name != key.host))
        {
            pins.extend(
                policy
                    .lookup(host, key.port)
                    .at(now)
                    .to_effective(host, key.port)
                    .map(Arc::new),
            );
        }
        Self {
            pins,
            blocked: policy.blocked().cloned(),
            unpinned: policy.unpinned(),
        }
    }

    /// Whether a bad pin refuses the origin: not where every pin is in report mode.
    pub(crate) fn is_pinned(&self) -> bool {
        self.pins.iter().any(|pins| pins.is_enforced())
    }

    /// Whether the policy has pins for the origin, in whichever mode.
    pub(crate) fn has_pins(&self) -> bool {
        !self.pins.is_empty()
    }

    /// What is demanded: the URL's host's pins first.
    pub(crate) fn sets(&self) -> &[Arc<EffectivePins>] {
        &self.pins
    }

    /// The patterns that demand pins; one that does for both names comes twice.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        let patterns = self.pins.iter().flat_map(|pins| pins.patterns());
        patterns.map(AsRef::as_ref)
    }

    /// What becomes of hosts without pins.
    pub(crate) fn unpinned(&self) -> Unpinned {
        self.unpinned
    }

    /// The pin set whose end refuses the origin.
    pub(crate) fn refusal(&self) -> Option<&Ending> {
        self.pins.iter().find_map(|pins| pins.refusal())
    }

    /// The pin sets that end, or have ended.
    pub(crate) fn endings(&self) -> impl Iterator<Item = &Ending> {
        self.pins.iter().flat_map(|pins| pins.endings())
    }

    /// Whether the patterns of a host, or the URL's host and the server name, are to be trusted by different things, which no
    /// path can be.
    pub(crate) fn is_torn(&self) -> bool {
        if self.pins.iter().any(|pins| pins.is_torn()) {
            return true;
        }
        let mut trusts = self.pins.iter().map(|pins| pins.trust());
        let first = trusts.next();
        trusts.any(|trust| Some(trust) != first)
    }

    /// Whether the same is demanded of paths, whichever patterns it comes from.
    ///
    /// Every field is named here, so that a new one doesn't compile until somebody has decided whether verifiers, and the
    /// sessions made under them, depend on it.
    pub(crate) fn same_pins(&self, other: &Self) -> bool {
        let Self {
            pins,
            blocked,
            unpinned: _, // no path's to meet
        } = self;
        let same_blocked = match (blocked, &other.blocked) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours == theirs,
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        same_blocked
            && pins.len() == other.pins.len()
            && pins
                .iter()
                .zip(&other.pins)
                .all(|(ours, theirs)| ours.same_pins(theirs))
    }

    /// Judges a connection by its remembered path; without one (plain TCP, skipped verification) no pin can be met, nor
    /// is any blocked.
    pub(crate) fn judge(&self, path: Option<&VerifiedPath>) -> Verdict {
        if let (Some(path), Some(blocked)) = (path, &self.blocked)
            && let Some(pin) = path
                .pins()
                .iter()
                .find(|pin| blocked.binary_search(pin).is_ok())
        {
            return Verdict::Refuse(Refusal::Blocked(*pin, self.pins.first().cloned()));
        }
        let mut first = None;
        for (index, pins) in self.pins.iter().enumerate() {
            let judgement = match path {
                Some(path) if !pins.trusts(path) => return Verdict::Refuse(Refusal::Trust),
                Some(path) => pins.judge(path),
                None if pins.is_enforced() => Judgement::Refuse,
                None => Judgement::Accept(None),
            };
            match judgement {
                Judgement::Accept(matched) if index == 0 => first = matched,
                Judgement::Accept(_) => {}
                Judgement::Refuse => return Verdict::Refuse(Refusal::Pins(pins.clone())),
            }
        }
        // without pins, only the client's own trust counts
        if self.pins.is_empty() && path.is_some_and(|path| *path.trust() != Trust::Own) {
            return Verdict::Refuse(Refusal::Trust);
        }
        Verdict::Accept(first)
    }

    /// What pins in report mode have to say of a connection that is accepted.
    pub(crate) fn report(&self, path: Option<&Arc<VerifiedPath>>) -> Option<Arc<BadPin>> {
        let reported = |pins: &&Arc<EffectivePins>| !pins.reported().is_empty();
        for pins in self.pins.iter().filter(reported) {
            let path = path
                .cloned()
                .unwrap_or_else(|| Arc::new(VerifiedPath::none()));
            if pins.would_refuse(&path) {
                return Some(Arc::new(BadPin::of_reported(pins, path)));
            }
        }
        None
    }
}

/// TLS for one origin under one effective pin set.
#[derive(Debug)]
pub(crate) struct OriginTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
    /// None when verification is skipped.
    pub(crate) verifier: Option<Arc<PinVerifier>>,
}

impl OriginTls {
    pub(crate) fn new(
        verification: &Verification,
        requirement: &Requirement,
        key: &ConnectionKey,
        settings: &TlsSettings,
    ) -> Result<Arc<Self>, rustls::Error> {
        let schemes = settings.look.as_ref().map(schemes_of);
        let verifier = verification.verifier(requirement).map(|verifier| {
            Arc::new(match &schemes {
                Some(schemes) => verifier.with_schemes(schemes.clone()),
                None => verifier,
            })
        });
        let dangerous: Arc<dyn ServerCertVerifier> = match &verifier {
            Some(verifier) => verifier.clone(),
            None => Arc::new(NoVerification { schemes }),
        };
        let server_name = key.proven_name().server_name();
        let mut config = client_config(dangerous, settings, key.http2)?;
        config.resumption = Resumption::store(Arc::new(Sessions::new(server_name.clone())));
        Ok(Arc::new(Self {
            config: Arc::new(config),
            server_name,
            verifier,
        }))
    }

    /// TLS to a proxy: HTTP/1.1, and each handshake in full, so that its verified path is always known.
    pub(crate) fn of_proxy(
        verification: &Verification,
        requirement: &Requirement,
        key: &ConnectionKey,
        settings: &TlsSettings,
    ) -> Result<Arc<Self>, rustls::Error> {
        let settings = TlsSettings {
            identity: None, // who the client is, is not a proxy's to know
            ..settings.clone()
        };
        let tls = Self::new(verification, requirement, key, &settings)?;
        Ok(Arc::new(Self {
            config: tls.without_sessions(),
            server_name: tls.server_name.clone(),
            verifier: tls.verifier.clone(),
        }))
    }

    /// The verified path behind `end_entity`, where this verifier has accepted one.
    pub(crate) fn path_of(&self, end_entity: &CertificateDer<'_>) -> Option<Arc<VerifiedPath>> {
        self.verifier.as_ref()?.path_of(end_entity)
    }

    /// Whether a connection without HTTP/2 is of no use.
    pub(crate) fn is_http2_only(&self) -> bool {
        self.config.alpn_protocols == Http2Choice::Only.protocols()
    }

    /// The same without any session: a full handshake, verified anew.
    pub(crate) fn without_sessions(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    /// For looking at what a server presents, whoever it is. Never for requests.
    pub(crate) fn unverified(
        key: &ConnectionKey,
        settings: &TlsSettings,
    ) -> Result<Arc<Self>, rustls::Error> {
        let key = key.speaking(Http2Choice::Offer);
        Self::new(
            &Verification::Insecure,
            &Requirement::default(),
            &key,
            settings,
        )
    }
}

/// Whether a verifier of `requirement` would accept `chain` for `name`, now.
pub(crate) fn verifies(
    verification: &Verification,
    requirement: &Requirement,
    chain: &[CertificateDer<'_>],
    name: &Host,
) -> bool {
    let Some((end_entity, intermediates)) = chain.split_first() else {
        return false;
    };
    let Some(verifier) = verification.verifier(requirement) else {
        return false;
    };
    let now = UnixTime::now();
    verifier
        .verify_server_cert(end_entity, intermediates, &name.server_name(), &[], now)
        .is_ok()
}

fn client_config(
    verifier: Arc<dyn ServerCertVerifier>,
    settings: &TlsSettings,
    http2: Http2Choice,
) -> Result<ClientConfig, rustls::Error> {
    let versions: &[&rustls::SupportedProtocolVersion] = match settings.min_version {
        MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let config = ClientConfig::builder_with_provider(settings.provider.clone())
        .with_protocol_versions(versions)?
        .dangerous() // rustls' word for a verifier of one's own; ours is stricter than its default
        .with_custom_certificate_verifier(verifier);
    let mut config = match &settings.identity {
        None => config.with_no_client_auth(),
        Some(identity) => config.with_client_cert_resolver(identity.resolver()),
    };
    if let Some(key_log) = &settings.key_log {
        config.key_log = key_log.clone();
    }
    config.alpn_protocols = http2.protocols();
    config.cert_decompressors = DECOMPRESSORS.to_vec();
    if let Some(look) = &settings.look {
        let wanted = &look.certificate_compression;
        keep_in_order(&mut config.cert_decompressors, wanted, |one| {
            one.algorithm().into()
        });
    }
    config.enable_early_data = false; // RFC 8446 §2.3: early data may be replayed, and leaves before any verdict
    Ok(config)
}

/// The signature schemes that are offered, of those that we can verify.
fn schemes_of(look: &Look) -> Vec<SignatureScheme> {
    let mut schemes = PROVIDER
        .signature_verification_algorithms
        .supported_schemes();
    keep_in_order(&mut schemes, &look.signature_schemes, |scheme| {
        (*scheme).into()
    });
    schemes
}

/// `insecureSkipVerify`: accepts any certificate, but still checks that its key signed the handshake.
#[derive(Debug)]
struct NoVerification {
    /// Those that are offered, where not all are.
    schemes: Option<Vec<SignatureScheme>>,
}

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &PROVIDER.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &PROVIDER.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = || {
            PROVIDER
                .signature_verification_algorithms
                .supported_schemes()
        };
        self.schemes.clone().unwrap_or_else(all)
    }
}
