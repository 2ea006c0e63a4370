//! Which certificates a verifier refuses for revocation lists, and which not.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::time::Duration;

use pinfetch_pins::{
    Anchors, EffectivePins, Host, Pin, PinSetSource, PinSource, PinVerifier, Policy,
    RevocationListError, RevocationLists, VerifyCode, VerifyError,
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::UnixTime;

const HOST: &str = "api.example.com";
const IN_2025: u64 = 1_750_000_000;

const ROOT: u64 = 1;
const INTERMEDIATE: u64 = 2;
const SERVER: u64 = 3;
const CROSS_SIGN: u64 = 4;

/// A key with the name and serial number of its certificate.
struct Party {
    params: CertificateParams,
    key: KeyPair,
}

impl Party {
    fn authority(name: &str, serial: u64) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self::with(params, serial)
    }

    fn server() -> Self {
        let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "the server");
        Self::with(params, SERVER)
    }

    fn with(mut params: CertificateParams, serial: u64) -> Self {
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        Self { params, key }
    }

    /// The same key and name under a certificate with other contents.
    fn reissued(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = self.params.clone();
        change(&mut params);
        let key = KeyPair::try_from(self.key.serialize_der()).unwrap();
        Self { params, key }
    }

    fn signed_by(&self, issuer: &Self) -> Certificate {
        let issuer = Issuer::from_params(&issuer.params, &issuer.key);
        self.params.signed_by(&self.key, &issuer).unwrap()
    }

    /// A list in its name, in force in 2025.
    fn list(&self, revoked: &[u64]) -> Vec<u8> {
        self.list_with(revoked, |_| {})
    }

    fn expired_list(&self, revoked: &[u64]) -> Vec<u8> {
        self.list_with(revoked, |params| {
            params.next_update = date_time_ymd(2022, 1, 1);
        })
    }

    fn list_with(
        &self,
        revoked: &[u64],
        change: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> Vec<u8> {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let mut params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2026, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(&issuer).unwrap().der().to_vec()
    }

    fn pin(&self) -> Pin {
        Pin::of_public_key(self.key.public_key_pem().as_bytes()).unwrap()
    }
}

struct World {
    root: Party,
    intermediate: Party,
    server: Party,
}

impl World {
    fn new() -> Self {
        Self {
            root: Party::authority("root", ROOT),
            intermediate: Party::authority("intermediate", INTERMEDIATE),
            server: Party::server(),
        }
    }

    fn chain(&self) -> Vec<Certificate> {
        vec![
            self.server.signed_by(&self.intermediate),
            self.intermediate.signed_by(&self.root),
        ]
    }
}

fn lists(lists: &[Vec<u8>]) -> Arc<RevocationLists> {
    let mut all = RevocationLists::default();
    for list in lists {
        all.add(list).unwrap();
    }
    Arc::new(all)
}

fn required(pin: Pin) -> Arc<EffectivePins> {
    let policy = Policy::compile([PinSetSource {
        pattern: HOST.into(),
        exclude: false,
        pins: vec![PinSource::Text(pin.to_string())],
        ..PinSetSource::default()
    }])
    .unwrap();
    let host = HOST.parse().unwrap();
    Arc::new(policy.lookup(&host, 443).to_effective(&host, 443).unwrap())
}

/// What a handshake with `chain` comes to for a client that trusts `roots`, pins `pin` and has `lists`.
fn verdict(
    roots: &[&Party],
    pin: Option<Pin>,
    given: &[Vec<u8>],
    chain: &[Certificate],
) -> Result<(), VerifyCode> {
    let roots = roots
        .iter()
        .map(|root| root.params.self_signed(&root.key).unwrap().der().clone());
    let verifier = PinVerifier::new(
        Arc::new(Anchors::from_certificates(roots).unwrap()),
        pin.map(required).into_iter().collect(),
        rustls::crypto::ring::default_provider().signature_verification_algorithms,
    )
    .with_revocations(lists(given));
    let chain: Vec<_> = chain
        .iter()
        .map(|certificate| certificate.der().clone())
        .collect();
    let name = HOST.parse::<Host>().unwrap().server_name();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(IN_2025));
    let handshake = || verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], at);
    let outcome = handshake()
        .map(drop)
        .map_err(|error| VerifyError::in_rustls(&error).unwrap().code());
    assert_eq!(handshake().is_ok(), outcome.is_ok()); // remembered or not
    outcome
}

#[test]
fn a_path_is_refused_when_a_list_names_one_of_its_certificates_and_only_then() {
    let world = World::new();
    let (root, intermediate) = (&world.root, &world.intermediate);
    let foreign = Party::authority("foreign", 9);
    // of the same names with other keys
    let imposter = Party::authority("intermediate", INTERMEDIATE);
    let root_imposter = Party::authority("root", ROOT);
    let refused = Err(VerifyCode::Revoked);
    let forged = Err(VerifyCode::Invalid);
    for (name, lists, expected) in [
        ("no list", vec![], Ok(())),
        ("the server", vec![intermediate.list(&[SERVER])], refused),
        (
            "the intermediate",
            vec![root.list(&[INTERMEDIATE])],
            refused,
        ),
        (
            "the server, among others",
            vec![root.list(&[]), intermediate.list(&[77, SERVER, 78])],
            refused,
        ),
        (
            "nobody here",
            vec![root.list(&[77]), intermediate.list(&[77])],
            Ok(()),
        ),
        (
            "serial numbers of another issuer's",
            vec![
                foreign.list(&[SERVER, INTERMEDIATE]),
                root.list(&[SERVER]),
                intermediate.list(&[INTERMEDIATE]),
            ],
            Ok(()),
        ),
        ("the trust anchor", vec![root.list(&[ROOT])], Ok(())),
        (
            "the server, in an expired list",
            vec![intermediate.expired_list(&[SERVER])],
            refused,
        ),
        (
            "nobody, in an expired list",
            vec![intermediate.expired_list(&[])],
            Ok(()),
        ),
        (
            "the server, in the second list",
            vec![intermediate.list(&[]), intermediate.list(&[SERVER])],
            refused,
        ),
        (
            "the intermediate, in the third list",
            vec![root.list(&[77]), root.list(&[]), root.list(&[INTERMEDIATE])],
            refused,
        ),
        (
            "nobody, in many lists",
            vec![
                root.list(&[]),
                intermediate.list(&[]),
                root.list(&[77]),
                intermediate.list(&[77]),
            ],
            Ok(()),
        ),
        ("nobody, forged", vec![imposter.list(&[])], forged),
        ("the server, forged", vec![imposter.list(&[SERVER])], forged),
        (
            "nobody, forged in the second list",
            vec![root.list(&[]), root_imposter.list(&[])],
            forged,
        ),
    ] {
        for pin in [None, Some(world.root.pin())] {
            let outcome = verdict(&[root], pin, &lists, &world.chain());
            assert_eq!(outcome, expected, "{name}, {pin:?}");
        }
    }
}

#[test]
fn a_list_of_an_issuer_that_may_not_sign_lists_is_not_believed() {
    let world = World::new();
    let limited = world
        .intermediate
        .reissued(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    let chain = [
        world.server.signed_by(&limited),
        limited.signed_by(&world.root),
    ];
    let list = world.intermediate.list(&[]);
    let outcome = |lists: &[Vec<u8>]| verdict(&[&world.root], None, lists, &chain);
    assert_eq!(outcome(&[list]), Err(VerifyCode::Invalid));
    assert_eq!(outcome(&[world.root.list(&[])]), Ok(()));
}

#[test]
fn another_path_is_taken_where_there_is_one_and_pins_hold_on_it() {
    let world = World::new();
    let second = Party::authority("second root", 5);
    let cross = world
        .intermediate
        .reissued(|params| params.serial_number = Some(SerialNumber::from(CROSS_SIGN)))
        .signed_by(&second);
    let chain = [world.chain(), vec![cross]].concat();
    let roots = [&world.root, &second];
    let (first_revoked, second_revoked) =
        (world.root.list(&[INTERMEDIATE]), second.list(&[CROSS_SIGN]));
    let harmless = world.root.list(&[]);
    for (pin, lists, expected) in [
        (None, vec![first_revoked.clone()], Ok(())),
        (None, vec![harmless.clone(), first_revoked.clone()], Ok(())),
        (Some(second.pin()), vec![first_revoked.clone()], Ok(())),
        (
            Some(world.root.pin()),
            vec![first_revoked.clone()],
            Err(VerifyCode::BadPin),
        ),
        (
            Some(world.root.pin()),
            vec![harmless, first_revoked.clone()],
            Err(VerifyCode::BadPin),
        ),
        (Some(world.root.pin()), vec![second_revoked.clone()], Ok(())),
        (
            None,
            vec![first_revoked, second_revoked],
            Err(VerifyCode::Revoked),
        ),
    ] {
        assert_eq!(verdict(&roots, pin, &lists, &chain), expected, "{pin:?}");
    }
}

#[test]
fn what_is_no_list_to_rely_upon_is_refused() {
    use RevocationListError as E;

    let world = World::new();
    let list = world.root.list(&[77]);
    let certificate = world.server.signed_by(&world.root);
    let trailing = [&list[..], b"x"].concat();
    let scoped = world.root.list_with(&[77], |params| {
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec!["http://example.com/crl".into()],
            },
            scope: Some(CrlScope::UserCertsOnly),
        });
    });
    let kind = |error: E| match error {
        E::Unreadable(_) => "unreadable",
        E::Delta => "delta",
        E::Indirect => "indirect",
        E::Version => "version",
        _ => "unknown",
    };
    for (name, bytes, expected) in [
        ("nothing", vec![], "unreadable"),
        ("rubbish", b"rubbish".to_vec(), "unreadable"),
        ("a certificate", certificate.der().to_vec(), "unreadable"),
        ("half", list[..list.len() / 2].to_vec(), "unreadable"),
        ("a list and more", trailing, "unreadable"),
        // v2 to v1; the list's number to a delta's base; onlyContainsUserCerts to indirectCRL
        ("version 1", edited(&list, &[2, 1, 1], 2, 0), "version"),
        ("a delta", edited(&list, &[0x55, 0x1d, 20], 2, 27), "delta"),
        (
            "an indirect list",
            edited(&scoped, &[0x81, 1, 0xff], 0, 0x84),
            "indirect",
        ),
    ] {
        let mut lists = RevocationLists::default();
        assert_eq!(kind(lists.add(&bytes).expect_err(name)), expected, "{name}");
        lists.add(&list).unwrap();
        lists.add(&scoped).unwrap();
        assert_eq!(format!("{lists:?}"), "RevocationLists(2)");
    }
}

/// `bytes` with another byte at `offset` into the first `place`.
fn edited(bytes: &[u8], place: &[u8], offset: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let start = bytes
        .windows(place.len())
        .position(|window| window == place)
        .unwrap();
    bytes[start + offset] = byte;
    bytes
}
