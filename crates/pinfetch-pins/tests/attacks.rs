//! Who holds which certificates and tries what, each refusal with its control.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::time::Duration;

use pinfetch_pins::{
    Anchors, ChainRequest, EffectivePins, Host, Pin, PinSetSource, PinSource, PinVerifier, Policy,
    Role, Verified, VerifyCode, VerifyError, verify_chain,
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

const HOST: &str = "api.example.com";
const IN_2025: u64 = 1_750_000_000;

/// A key with the name that it issues under.
struct Party {
    params: CertificateParams,
    key: KeyPair,
}

impl Party {
    fn authority(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self::with(params)
    }

    fn server(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Self::with(params)
    }

    fn with(mut params: CertificateParams) -> Self {
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        Self {
            params,
            key: KeyPair::generate().unwrap(),
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// The same key under a certificate with other contents.
    fn reissued(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::try_from(self.key.serialize_der()).unwrap();
        Self {
            params: self.params.clone(),
            key,
        }
        .changed(change)
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn signed_by(&self, issuer: &Self) -> Certificate {
        self.params.signed_by(&self.key, &issuer.issuer()).unwrap()
    }

    fn self_signed(&self) -> Certificate {
        self.params.self_signed(&self.key).unwrap()
    }

    fn pin(&self) -> Pin {
        Pin::of_public_key(self.key.public_key_pem().as_bytes()).unwrap()
    }
}

/// Root, intermediate and server, as anybody has them who is genuine.
struct Genuine {
    root: Party,
    intermediate: Party,
    server: Party,
}

impl Genuine {
    fn new() -> Self {
        Self::named("genuine")
    }

    fn named(name: &str) -> Self {
        Self {
            root: Party::authority(&format!("{name} root")),
            intermediate: Party::authority(&format!("{name} intermediate")),
            server: Party::server(HOST),
        }
    }

    fn chain(&self) -> Vec<Certificate> {
        vec![
            self.server.signed_by(&self.intermediate),
            self.intermediate.signed_by(&self.root),
        ]
    }

    fn path_pins(&self) -> [Pin; 3] {
        [self.server.pin(), self.intermediate.pin(), self.root.pin()]
    }
}

fn anchors(parties: &[&Party]) -> Anchors {
    Anchors::from_certificates(
        parties
            .iter()
            .map(|party| party.self_signed().der().clone()),
    )
    .unwrap()
}

fn ders(chain: &[Certificate]) -> Vec<CertificateDer<'static>> {
    chain
        .iter()
        .map(|certificate| certificate.der().clone())
        .collect()
}

fn at() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(IN_2025))
}

fn verify(chain: &[Certificate], anchors: &Anchors, pins: &[Pin]) -> Result<Verified, VerifyError> {
    verify_as(HOST, chain, anchors, pins)
}

fn verify_as(
    host: &str,
    chain: &[Certificate],
    anchors: &Anchors,
    pins: &[Pin],
) -> Result<Verified, VerifyError> {
    verify_chain(&ChainRequest {
        chain: &ders(chain),
        anchors,
        host: &host.parse().unwrap(),
        at: at(),
        pins,
    })
}

fn code(result: Result<Verified, VerifyError>) -> VerifyCode {
    result.expect_err("refused").code()
}

#[test]
fn a_pin_of_any_key_on_the_path_is_enough_and_the_root_need_not_be_sent() {
    let genuine = Genuine::new();
    for pin in genuine.path_pins() {
        let verified = verify(&genuine.chain(), &anchors(&[&genuine.root]), &[pin]).unwrap();
        assert_eq!(verified.matched, Some(pin));
        assert_eq!(verified.path.pins(), genuine.path_pins());
    }
    let certificates = verify(&genuine.chain(), &anchors(&[&genuine.root]), &[])
        .unwrap()
        .path
        .certificates();
    let described: Vec<_> = certificates
        .iter()
        .map(|one| (one.role, one.subject.as_str(), one.not_after))
        .collect();
    let end = Some(1_893_456_000);
    assert_eq!(
        described,
        [
            (Role::EndEntity, "CN=server", end),
            (Role::Intermediate, "CN=genuine intermediate", end),
            (Role::TrustAnchor, "CN=genuine root", end),
        ]
    );
}

#[test]
fn genuine_certificates_that_an_interceptor_appends_never_match() {
    let (genuine, rogue) = (Genuine::new(), Genuine::named("rogue"));
    let anchors = anchors(&[&genuine.root, &rogue.root]);
    let [server, intermediate] = genuine.chain().try_into().unwrap();
    let extras = [server, intermediate, genuine.root.self_signed()];
    for order in [&[0][..], &[1], &[2], &[0, 1, 2], &[2, 1, 0], &[0, 0, 1]] {
        let appended: Vec<Certificate> = order.iter().map(|index| extras[*index].clone()).collect();
        for chain in [
            [rogue.chain(), appended.clone()].concat(),
            [&rogue.chain()[..1], &appended[..], &rogue.chain()[1..]].concat(),
        ] {
            let error = verify(&chain, &anchors, &genuine.path_pins()).unwrap_err();
            let VerifyError::BadPin(bad) = &error else {
                panic!("{error:?}")
            };
            assert_eq!(bad.path.pins(), rogue.path_pins());
            assert_eq!(bad.presented, ders(&chain));
            assert!(
                bad.hint.contains("not part of the verified path"),
                "{}",
                bad.hint
            );
            let found = rogue.path_pins().map(|pin| pin.to_base64()).join(" ");
            assert_eq!(
                error.to_string(),
                format!("bad ssl pin detected, found pins: [{found}]")
            );
        }
    }
    verify(&genuine.chain(), &anchors, &genuine.path_pins()).unwrap();
}

#[test]
fn superfluous_and_repeated_certificates_do_not_disturb_the_genuine_path() {
    let (genuine, other) = (Genuine::new(), Genuine::named("other"));
    let chain = [
        &genuine.chain()[..1],
        &other.chain(),
        &genuine.chain()[1..],
        &genuine.chain()[1..],
    ]
    .concat();
    let verified = verify(
        &chain,
        &anchors(&[&genuine.root, &other.root]),
        &[genuine.root.pin()],
    )
    .unwrap();
    assert_eq!(verified.path.pins(), genuine.path_pins());
}

#[test]
fn a_cross_signed_host_is_accepted_by_whichever_path_is_pinned() {
    let (genuine, second) = (Genuine::new(), Party::authority("second root"));
    let crossed = genuine.intermediate.signed_by(&second);
    let [server, intermediate] = genuine.chain().try_into().unwrap();
    for roots in [[&genuine.root, &second], [&second, &genuine.root]] {
        let anchors = anchors(&roots);
        for chain in [
            [server.clone(), intermediate.clone(), crossed.clone()],
            [server.clone(), crossed.clone(), intermediate.clone()],
        ] {
            for root in roots {
                let verified = verify(&chain, &anchors, &[root.pin()]).unwrap();
                assert_eq!(
                    (verified.matched, verified.path.pins().last()),
                    (Some(root.pin()), Some(&root.pin()))
                );
            }
        }
        let neither = verify(
            &[server.clone(), intermediate.clone(), crossed.clone()],
            &anchors,
            &[Pin::from_bytes([0; 32])],
        );
        assert_eq!(code(neither), VerifyCode::BadPin);
    }
}

#[test]
fn a_twin_of_the_same_name_is_told_by_its_key() {
    let (genuine, twin) = (Genuine::new(), Genuine::new());
    let anchors = anchors(&[&twin.root, &genuine.root]);
    for extras in [vec![], vec![genuine.intermediate.signed_by(&genuine.root)]] {
        let chain = [twin.chain(), extras].concat();
        let VerifyError::BadPin(bad) = verify(&chain, &anchors, &genuine.path_pins()).unwrap_err()
        else {
            panic!()
        };
        assert_eq!(bad.path.pins(), twin.path_pins());
    }
    let both = [
        &genuine.chain()[..1],
        &twin.chain()[1..],
        &genuine.chain()[1..],
    ]
    .concat();
    assert_eq!(
        verify(&both, &anchors, &genuine.path_pins())
            .unwrap()
            .path
            .pins(),
        genuine.path_pins()
    );
}

#[test]
fn pins_replace_no_part_of_ordinary_verification() {
    let genuine = Genuine::new();
    let trusted = anchors(&[&genuine.root]);
    let pins = genuine.path_pins();
    let expired = genuine
        .server
        .reissued(|params| params.not_after = date_time_ymd(2021, 1, 1));
    let early = genuine
        .server
        .reissued(|params| params.not_before = date_time_ymd(2029, 1, 1));
    let for_clients = genuine
        .server
        .reissued(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let below = |server: &Party| {
        vec![
            server.signed_by(&genuine.intermediate),
            genuine.intermediate.signed_by(&genuine.root),
        ]
    };
    let impostor = Party::authority("genuine intermediate");
    for (what, chain, trusted, expected) in [
        (
            "the root is not trusted",
            genuine.chain(),
            &anchors(&[&Party::authority("other")]),
            VerifyCode::UnknownIssuer,
        ),
        (
            "self-signed with the pinned key",
            vec![genuine.server.self_signed()],
            &trusted,
            VerifyCode::UnknownIssuer,
        ),
        (
            "the intermediate is missing",
            genuine.chain()[..1].to_vec(),
            &trusted,
            VerifyCode::UnknownIssuer,
        ),
        ("expired", below(&expired), &trusted, VerifyCode::Expired),
        (
            "not valid yet",
            below(&early),
            &trusted,
            VerifyCode::NotYetValid,
        ),
        (
            "not for servers",
            below(&for_clients),
            &trusted,
            VerifyCode::InvalidPurpose,
        ),
        (
            "signed by a key of the intermediate's name only",
            vec![
                genuine.server.signed_by(&impostor),
                genuine.intermediate.signed_by(&genuine.root),
            ],
            &trusted,
            VerifyCode::BadSignature,
        ),
    ] {
        assert_eq!(code(verify(&chain, trusted, &pins)), expected, "{what}");
        assert_eq!(
            code(verify(&chain, trusted, &[])),
            expected,
            "{what}, without pins"
        );
    }
    assert_eq!(
        code(verify_as(
            "www.example.com",
            &genuine.chain(),
            &trusted,
            &pins
        )),
        VerifyCode::NameMismatch
    );
    // the name comes before the pin
    let other = [Pin::from_bytes([0; 32])];
    assert_eq!(
        code(verify_as(
            "www.example.com",
            &genuine.chain(),
            &trusted,
            &other
        )),
        VerifyCode::NameMismatch
    );
    verify(&genuine.chain(), &trusted, &pins).unwrap();
}

#[test]
fn a_pinned_key_in_a_place_where_it_may_not_issue_gives_no_path() {
    let genuine = Genuine::new();
    let trusted = anchors(&[&genuine.root]);
    let below_server = Party::server(HOST);
    let chain = [
        vec![below_server.signed_by(&genuine.server)],
        genuine.chain(),
    ]
    .concat();
    assert_eq!(
        code(verify(&chain, &trusted, &genuine.path_pins())),
        VerifyCode::InvalidPurpose
    );

    let lowest = Party::authority("lowest");
    let limited = genuine
        .intermediate
        .reissued(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let through = |limited: &Party| {
        [
            below_server.signed_by(&lowest),
            lowest.signed_by(limited),
            limited.signed_by(&genuine.root),
        ]
    };
    assert_eq!(
        code(verify(&through(&limited), &trusted, &genuine.path_pins())),
        VerifyCode::Constraint
    );
    verify(
        &through(&genuine.intermediate),
        &trusted,
        &genuine.path_pins(),
    )
    .unwrap();
}

#[test]
fn an_anchor_ends_a_path_only_within_its_validity_and_another_of_the_same_key_may() {
    let genuine = Genuine::new();
    let expired = genuine
        .root
        .reissued(|params| params.not_after = date_time_ymd(2021, 1, 1));
    let early = genuine
        .root
        .reissued(|params| params.not_before = date_time_ymd(2029, 1, 1));
    for pins in [&genuine.path_pins()[..], &[]] {
        assert_eq!(
            code(verify(&genuine.chain(), &anchors(&[&expired]), pins)),
            VerifyCode::Expired
        );
        assert_eq!(
            code(verify(&genuine.chain(), &anchors(&[&early]), pins)),
            VerifyCode::NotYetValid
        );
        verify(
            &genuine.chain(),
            &anchors(&[&expired, &early, &genuine.root]),
            pins,
        )
        .unwrap();
    }
}

#[test]
fn an_anchor_that_is_no_authority_is_trusted_as_it_stands_and_issues_nothing() {
    let own = Party::server(HOST)
        .changed(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    let trusted = anchors(&[&own]);
    let itself = own.self_signed();
    let trusts_itself = Anchors::from_certificates([itself.der().clone()]).unwrap();
    verify(&[itself], &trusts_itself, &[own.pin()]).unwrap();
    let issued = Party::server(HOST).signed_by(&own);
    assert_eq!(
        code(verify(&[issued], &trusted, &[own.pin()])),
        VerifyCode::Constraint
    );
}

#[test]
fn an_anchor_known_by_name_and_key_has_the_pin_of_its_certificate() {
    for name in ["r".to_owned(), "r".repeat(200), "r".repeat(300)] {
        let genuine = Genuine::named(&name);
        let certificate = genuine.root.self_signed().der().clone();
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .unwrap()
            .to_owned();
        let bare = Anchors::from_trust_anchors(&[anchor]);
        let verified = verify(&genuine.chain(), &bare, &[genuine.root.pin()]).unwrap();
        assert_eq!(verified.path.pins(), genuine.path_pins());
        let last = verified.path.certificates().pop().unwrap();
        assert_eq!(
            (last.subject, last.der, last.not_after),
            (format!("CN={name} root"), None, None)
        );
    }
}

#[test]
fn a_hundred_authorities_that_sign_each_other_are_refused_in_bounded_time() {
    let (genuine, root) = (Genuine::new(), Party::authority("mesh"));
    let mesh: Vec<Party> = (0..10).map(|_| Party::authority("mesh")).collect();
    let mut chain = vec![genuine.server.signed_by(&mesh[0])];
    chain.extend(
        mesh.iter()
            .flat_map(|one| mesh.iter().map(|other| one.signed_by(other))),
    );
    chain.extend(mesh.iter().map(|one| one.signed_by(&root)));
    let start = std::time::Instant::now();
    let pins = [Pin::from_bytes([0; 32])];
    let refused = code(verify(&chain, &anchors(&[&root]), &pins));
    assert!(
        matches!(
            refused,
            VerifyCode::BadPin | VerifyCode::TooComplex | VerifyCode::BadSignature
        ),
        "{refused:?}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn what_is_no_chain_is_refused() {
    let genuine = Genuine::new();
    let (anchors, host): (_, Host) = (anchors(&[&genuine.root]), HOST.parse().unwrap());
    let good = ders(&genuine.chain());
    let request = |chain: &[CertificateDer<'_>]| {
        let chain: Vec<CertificateDer<'_>> = chain
            .iter()
            .map(|der| CertificateDer::from(der.as_ref()))
            .collect();
        verify_chain(&ChainRequest {
            chain: &chain,
            anchors: &anchors,
            host: &host,
            at: at(),
            pins: &genuine.path_pins(),
        })
    };
    for garbage in [
        &[][..],
        b"\x30",
        b"\x30\x82\xff\xff",
        b"not a certificate",
        &good[0][..good[0].len() - 1],
    ] {
        assert_eq!(
            code(request(&[CertificateDer::from(garbage)])),
            VerifyCode::BadEncoding
        );
        // elsewhere it is superfluous
        request(&[
            good[0].clone(),
            CertificateDer::from(garbage),
            good[1].clone(),
        ])
        .unwrap();
    }
    assert_eq!(code(request(&[])), VerifyCode::BadEncoding);
}

#[test]
fn a_wildcard_over_a_registrys_suffix_names_nobody() {
    let genuine = Genuine::new();
    let trusted = anchors(&[&genuine.root]);
    let chain = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let server = Party::with(params);
        [
            server.signed_by(&genuine.intermediate),
            genuine.intermediate.signed_by(&genuine.root),
        ]
    };
    for (names, host, accepted) in [
        (&["*.co.uk"][..], "example.co.uk", false),
        (&["*.co.uk", "EXAMPLE.co.uk"], "example.co.uk", true),
        (&["*.example.co.uk"], "www.example.co.uk", true),
        (&["example.com"], "example.com", true),
        (&["*.github.io"], "someone.github.io", true), // all of it is its owner's
        (&["*.example.test"], "www.example.test", true),
    ] {
        let result = verify_as(host, &chain(names), &trusted, &[]);
        if accepted {
            assert!(result.is_ok(), "{names:?} {host} {result:?}");
        } else {
            assert_eq!(code(result), VerifyCode::NameMismatch, "{names:?} {host}");
        }
    }
}

fn required(host: &str, pin: Pin) -> Arc<EffectivePins> {
    let pins = vec![PinSource::Text(pin.to_string())];
    let policy = Policy::compile([PinSetSource {
        pattern: host.into(),
        exclude: false,
        pins,
        ..PinSetSource::default()
    }])
    .unwrap();
    let host = host.parse().unwrap();
    Arc::new(policy.lookup(&host, 443).to_effective(&host, 443).unwrap())
}

fn shake_hands(verifier: &PinVerifier, chain: &[Certificate]) -> Result<(), rustls::Error> {
    shake_hands_as(verifier, HOST, chain, IN_2025)
}

fn shake_hands_as(
    verifier: &PinVerifier,
    host: &str,
    chain: &[Certificate],
    at: u64,
) -> Result<(), rustls::Error> {
    let (chain, host) = (ders(chain), host.parse::<Host>().unwrap());
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    verifier
        .verify_server_cert(&chain[0], &chain[1..], &host.server_name(), &[], at)
        .map(|_| ())
}

#[test]
fn a_remembered_verdict_stands_for_the_same_certificates_name_and_time_only() {
    let genuine = Genuine::new();
    let verifier = PinVerifier::new(
        Arc::new(anchors(&[&genuine.root])),
        vec![required(HOST, genuine.root.pin())],
        rustls::crypto::ring::default_provider().signature_verification_algorithms,
    );
    let end = IN_2025 + 300;
    let chain = [
        genuine.server.reissued(|params| {
            params.not_after =
                time::OffsetDateTime::from_unix_timestamp(i64::try_from(end).unwrap()).unwrap();
        }),
        genuine.intermediate.reissued(|_| {}),
    ];
    let chain = [
        chain[0].signed_by(&genuine.intermediate),
        chain[1].signed_by(&genuine.root),
    ];
    let code = |host: &str, chain: &[Certificate], at: u64| {
        let result = shake_hands_as(&verifier, host, chain, at);
        result.map_err(|error| VerifyError::in_rustls(&error).unwrap().code())
    };
    let stranger = Party::authority("stranger").self_signed();
    for (host, chain, at, expected) in [
        (HOST, &chain[..], IN_2025, Ok(())),
        (HOST, &chain[..], IN_2025 + 1, Ok(())), // remembered
        (
            "other.example.com",
            &chain[..],
            IN_2025,
            Err(VerifyCode::NameMismatch),
        ),
        (HOST, &chain[..1], IN_2025, Err(VerifyCode::UnknownIssuer)), // the same leaf, without its issuer
        (
            HOST,
            &[chain[0].clone(), stranger][..],
            IN_2025,
            Err(VerifyCode::UnknownIssuer),
        ),
        (HOST, &chain[..], end, Ok(())),
        (HOST, &chain[..], end + 1, Err(VerifyCode::Expired)), // within ten minutes, but expired
        (
            HOST,
            &chain[..],
            1_500_000_000,
            Err(VerifyCode::NotYetValid),
        ), // a clock set back to 2017
        (HOST, &chain[..], IN_2025, Ok(())),
    ] {
        assert_eq!(
            code(host, chain, at),
            expected,
            "{host} {} {at}",
            chain.len()
        );
    }
}

#[test]
fn a_verifier_remembers_what_it_accepted_and_nothing_else() {
    let (genuine, rogue) = (Genuine::new(), Genuine::named("rogue"));
    let trusted = Arc::new(anchors(&[&genuine.root, &rogue.root]));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let verifier = PinVerifier::new(
        trusted.clone(),
        vec![required(HOST, genuine.root.pin())],
        algorithms,
    );
    let (good, bad) = (genuine.chain(), rogue.chain());

    let error = VerifyError::in_rustls(&shake_hands(&verifier, &bad).unwrap_err()).unwrap();
    let VerifyError::BadPin(report) = &*error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (report.host.as_str(), report.patterns.as_slice()),
        (HOST, &[HOST.to_owned()][..])
    );
    assert_eq!(report.path.pins(), rogue.path_pins());
    assert!(verifier.path_of(bad[0].der()).is_none());

    shake_hands(&verifier, &good).unwrap();
    assert_eq!(
        verifier.path_of(good[0].der()).unwrap().pins(),
        genuine.path_pins()
    );

    let unpinned = PinVerifier::new(trusted, Vec::new(), algorithms);
    shake_hands(&unpinned, &bad).unwrap();
    assert_eq!(
        unpinned.path_of(bad[0].der()).unwrap().pins(),
        rogue.path_pins()
    );
    assert!(unpinned.path_of(good[0].der()).is_none());
}

#[test]
fn one_path_must_meet_every_set_that_is_required() {
    let (genuine, second) = (Genuine::new(), Party::authority("second root"));
    let trusted = Arc::new(anchors(&[&genuine.root, &second]));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let chain = [
        genuine.chain(),
        vec![genuine.intermediate.signed_by(&second)],
    ]
    .concat();
    let result = |pins: [Pin; 2]| {
        let sets = vec![
            required(HOST, pins[0]),
            required("front.example.com", pins[1]),
        ];
        shake_hands(&PinVerifier::new(trusted.clone(), sets, algorithms), &chain)
    };
    // each root is on some path, but no path has both
    for pins in [
        [genuine.root.pin(), second.pin()],
        [second.pin(), genuine.root.pin()],
    ] {
        let error = VerifyError::in_rustls(&result(pins).unwrap_err()).unwrap();
        assert_eq!(error.code(), VerifyCode::BadPin);
    }
    for pins in [
        [second.pin(), genuine.server.pin()],
        [genuine.root.pin(), genuine.root.pin()],
    ] {
        result(pins).unwrap();
    }
}

#[test]
fn the_hint_names_what_replaced_the_pinned_authority() {
    let before = Genuine::new();
    let renewed = Party::authority("genuine intermediate 2");
    let chain = [
        before.server.signed_by(&renewed),
        renewed.signed_by(&before.root),
    ];
    let trusted = anchors(&[&before.root]);
    let pin = before.intermediate.pin();
    let earlier = verify(&before.chain(), &trusted, &[pin]).unwrap();
    let VerifyError::BadPin(bad) = verify(&chain, &trusted, &[pin]).unwrap_err() else {
        panic!()
    };
    let hint = bad.with_last_match(&earlier.path, &pin).hint;
    for part in [
        &*format!("your pin {pin} matched the intermediate CN=genuine intermediate."),
        &*format!("now has CN=genuine intermediate 2 ({})", renewed.pin()),
        &*format!(
            "under the trust anchor CN=genuine root, whose pin is {}",
            before.root.pin()
        ),
        "pinfetch pins api.example.com",
    ] {
        assert!(hint.contains(part), "{part}\n{hint}");
    }
    let rogue = Genuine::named("rogue");
    let both = anchors(&[&before.root, &rogue.root]);
    let VerifyError::BadPin(bad) = verify(&rogue.chain(), &both, &[before.root.pin()]).unwrap_err()
    else {
        panic!()
    };
    assert!(
        bad.hint
            .contains("You pinned the trust anchor CN=genuine root"),
        "{}",
        bad.hint
    );
    assert!(
        bad.hint.contains(&rogue.root.pin().to_string()),
        "{}",
        bad.hint
    );
}

mod mutated {
    use std::sync::LazyLock;

    use pinfetch_pins::describe_file;
    use proptest::prelude::*;

    use super::*;

    struct Scene {
        chain: Vec<Vec<u8>>,
        root: Vec<u8>,
        pins: Vec<Pin>,
    }

    static SCENE: LazyLock<Scene> = LazyLock::new(|| {
        let genuine = Genuine::new();
        Scene {
            chain: genuine
                .chain()
                .iter()
                .map(|certificate| certificate.der().to_vec())
                .collect(),
            root: genuine.root.self_signed().der().to_vec(),
            pins: vec![
                genuine.server.pin(),
                genuine.intermediate.pin(),
                genuine.root.pin(),
            ],
        }
    });

    /// What an attacker may do to bytes: (which certificate, where, what, how).
    type Change = (usize, prop::sample::Index, u8, u8);

    fn change(der: &mut Vec<u8>, (_, at, byte, how): &Change) {
        if der.is_empty() {
            return;
        }
        let at = at.index(der.len());
        match how % 4 {
            0 => der[at] ^= byte,
            1 => der.insert(at, *byte),
            2 => {
                der.remove(at);
            }
            _ => der.truncate(at),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Nothing panics, and what is accepted holds a pin that was asked for on a path that verifies without pins.
        #[test]
        fn chains_are_refused_or_hold_a_pin(
            changes in prop::collection::vec(any::<Change>(), 0..4),
            order in Just(vec![0_usize, 1, 0, 1]).prop_shuffle(),
            length in 0..5_usize,
            wanted in 0..3_usize,
        ) {
            let scene = &*SCENE;
            let mut parts = scene.chain.clone();
            parts.push(scene.root.clone());
            for mutation in &changes {
                let index = mutation.0 % parts.len();
                change(&mut parts[index], mutation);
            }
            let root = parts.pop().unwrap();
            // in its own order, or repeated and shuffled
            let chain: Vec<CertificateDer<'_>> = if length == 0 {
                parts.iter().map(|der| der.clone().into()).collect()
            } else {
                order.iter().take(length).map(|index| parts[*index % parts.len()].clone().into()).collect()
            };
            let Ok(trusted) = Anchors::from_certificates([CertificateDer::from(root)]) else {
                return Ok(());
            };
            let host: Host = HOST.parse().unwrap();
            let request = |pins| ChainRequest {
                chain: &chain,
                anchors: &trusted,
                host: &host,
                at: UnixTime::since_unix_epoch(Duration::from_secs(IN_2025)),
                pins,
            };
            let pins = [scene.pins[wanted]];
            if let Ok(verified) = verify_chain(&request(&pins)) {
                prop_assert_eq!(verified.matched, Some(pins[0]));
                prop_assert!(verified.path.contains(&pins[0]));
                prop_assert!(verify_chain(&request(&[])).is_ok());
            } else if changes.is_empty() && length == 0 {
                prop_assert!(false, "the genuine chain was refused");
            }
        }

        #[test]
        fn no_file_makes_describing_it_panic(changes in prop::collection::vec(any::<Change>(), 0..6), is_pem in any::<bool>()) {
            let der = &SCENE.chain[0];
            let mut file = if is_pem {
                Genuine::new().server.key.serialize_pem().into_bytes()
            } else {
                der.clone()
            };
            for mutation in &changes {
                change(&mut file, mutation);
            }
            let described = describe_file(&file);
            if changes.is_empty() {
                prop_assert_eq!(described.unwrap().len(), 1);
            }
        }

        #[test]
        fn a_pin_is_read_in_every_spelling(bytes in any::<[u8; 32]>(), text in "\\PC{0,80}") {
            let pin = Pin::from_bytes(bytes);
            let shown = pin.to_string();
            let bare = shown.strip_prefix("sha256/").unwrap();
            let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            for spelling in [
                shown.clone(),
                bare.to_owned(),
                format!("sha256//{bare}"),
                format!("pin-sha256=\"{bare}\""),
                hex.to_uppercase(),
                hex,
            ] {
                prop_assert_eq!(spelling.parse::<Pin>().unwrap(), pin, "{}", spelling);
            }
            if let Ok(pin) = text.parse::<Pin>() {
                prop_assert_eq!(pin.to_string().parse::<Pin>().unwrap(), pin);
            }
        }
    }
}
