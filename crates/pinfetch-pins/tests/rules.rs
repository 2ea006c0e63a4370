//! Who answers with which path where a policy says more than pins: each refusal with its control.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::sync::Arc;
use std::time::Duration;

use pinfetch_pins::{
    Anchors, BadPin, Demand, Host, Judgement, Mode, Pin, PinSetSource, PinSource, PinVerifier,
    Places, PolicyBuilder, Rules, Trust, VerifiedPath, VerifyCode, VerifyError,
};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::client::danger::ServerCertVerifier;
use rustls::{DigitallySignedStruct, SignatureScheme};
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

    fn server() -> Self {
        let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        Self::with(params)
    }

    fn with(mut params: CertificateParams) -> Self {
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let key = KeyPair::generate().unwrap();
        Self { params, key }
    }

    /// The same key under a certificate with other contents.
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

    fn self_signed(&self) -> Certificate {
        self.params.self_signed(&self.key).unwrap()
    }

    fn pin(&self) -> Pin {
        Pin::of_public_key(self.key.public_key_pem().as_bytes()).unwrap()
    }
}

struct World {
    root: Party,
    second: Party,
    intermediate: Party,
    server: Party,
}

impl World {
    fn new() -> Self {
        Self {
            root: Party::authority("root"),
            second: Party::authority("second root"),
            intermediate: Party::authority("intermediate"),
            server: Party::server(),
        }
    }

    /// With a second path, to the second root.
    fn cross_signed(&self) -> Vec<Certificate> {
        vec![
            self.server.signed_by(&self.intermediate),
            self.intermediate.signed_by(&self.root),
            self.intermediate.signed_by(&self.second),
        ]
    }

    fn chain(&self) -> Vec<Certificate> {
        self.cross_signed().into_iter().take(2).collect()
    }

    fn anchors(&self) -> Arc<Anchors> {
        anchors(&[&self.root, &self.second])
    }
}

fn anchors(parties: &[&Party]) -> Arc<Anchors> {
    let certificates = parties
        .iter()
        .map(|party| party.self_signed().der().clone());
    Arc::new(Anchors::from_certificates(certificates).unwrap())
}

/// Pin sets by pattern, all of which match [`HOST`], and pins that are blocked.
struct Said {
    sets: Vec<PinSetSource>,
    blocked: Vec<Pin>,
}

fn set(pattern: &str, pins: &[(Pin, Places)], rules: Rules) -> PinSetSource {
    PinSetSource {
        pattern: pattern.into(),
        pins: pins
            .iter()
            .map(|(pin, _)| PinSource::Text(pin.to_string()))
            .collect(),
        places: pins.iter().map(|(_, places)| *places).collect(),
        rules,
        ..PinSetSource::default()
    }
}

fn said(sets: Vec<PinSetSource>) -> Said {
    Said {
        sets,
        blocked: Vec::new(),
    }
}

fn demanding(demand: Demand) -> Rules {
    Rules {
        demand,
        ..Rules::default()
    }
}

fn trusting(trust: Trust) -> Rules {
    Rules {
        trust,
        ..Rules::default()
    }
}

fn reporting() -> Rules {
    Rules {
        mode: Mode::Report,
        ..Rules::default()
    }
}

fn verifier(said: &Said, anchors: Arc<Anchors>) -> PinVerifier {
    let mut builder = PolicyBuilder::default();
    for set in &said.sets {
        builder.add(set.clone()).unwrap();
    }
    for pin in &said.blocked {
        builder.block(&PinSource::Text(pin.to_string())).unwrap();
    }
    let policy = builder.finish().unwrap();
    let host: Host = HOST.parse().unwrap();
    let effective = policy.lookup(&host, 443).to_effective(&host, 443);
    PinVerifier::new(
        anchors,
        effective.map(Arc::new).into_iter().collect(),
        rustls::crypto::ring::default_provider().signature_verification_algorithms,
    )
    .with_blocked(policy.blocked().cloned())
}

/// What a handshake with `chain` comes to, and the path.
fn shake(
    verifier: &PinVerifier,
    chain: &[Certificate],
) -> Result<Arc<VerifiedPath>, Arc<VerifyError>> {
    let chain: Vec<CertificateDer<'_>> = chain.iter().map(|one| one.der().clone()).collect();
    let name = HOST.parse::<Host>().unwrap().server_name();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(IN_2025));
    let (end_entity, others) = chain.split_first().unwrap();
    verifier
        .verify_server_cert(end_entity, others, &name, &[], at)
        .map(|_| verifier.path_of(end_entity).unwrap())
        .map_err(|error| VerifyError::in_rustls(&error).unwrap())
}

fn verdict(said: &Said, world: &World, chain: &[Certificate]) -> Result<Vec<Pin>, VerifyCode> {
    let path = shake(&verifier(said, world.anchors()), chain);
    path.map(|path| path.pins().to_vec())
        .map_err(|error| error.code())
}

fn bad_pin(said: &Said, world: &World, chain: &[Certificate]) -> BadPin {
    let error = shake(&verifier(said, world.anchors()), chain).unwrap_err();
    let report = match &*error {
        VerifyError::BadPin(report) => Some((**report).clone()),
        _ => None,
    };
    report.unwrap()
}

#[test]
fn a_pin_counts_at_its_place_alone() {
    let world = World::new();
    let parties = [&world.server, &world.intermediate, &world.root];
    let places = [Places::LEAF, Places::INTERMEDIATE, Places::ROOT];
    for (stands, party) in parties.iter().enumerate() {
        for (wanted, place) in places.iter().enumerate() {
            let said = said(vec![set(HOST, &[(party.pin(), *place)], Rules::default())]);
            let outcome = verdict(&said, &world, &world.chain());
            let expected = stands == wanted;
            assert_eq!(outcome.is_ok(), expected, "{stands} {place:?} {outcome:?}");
            if !expected {
                let hint = bad_pin(&said, &world, &world.chain()).hint;
                assert!(hint.contains("counts as"), "{hint}");
            }
        }
        let anywhere = said(vec![set(
            HOST,
            &[(party.pin(), Places::ANY)],
            Rules::default(),
        )]);
        verdict(&anywhere, &world, &world.chain()).unwrap();
    }
}

#[test]
fn a_path_is_looked_for_that_has_what_is_demanded() {
    let world = World::new();
    let both = [
        (world.server.pin(), Places::ANY),
        (world.second.pin(), Places::ANY),
    ];
    let each = demanding(Demand::at_each([Places::LEAF, Places::ROOT]));
    let demands = [
        ("two keys", demanding(Demand::keys(2))),
        ("leaf and root", each),
        (
            "leaf and ca",
            demanding(Demand::at_each([Places::LEAF, Places::CA])),
        ),
    ];
    for (name, rules) in demands {
        let said = said(vec![set(HOST, &both, rules)]);
        let path = verdict(&said, &world, &world.cross_signed()).unwrap();
        assert_eq!(path.last(), Some(&world.second.pin()), "{name}");
        // without the second path there is only one of the keys
        let report = bad_pin(&said, &world, &world.chain());
        assert!(
            report.hint.contains("The policy demands"),
            "{name}: {}",
            report.hint
        );
    }
    let one = said(vec![set(HOST, &both, Rules::default())]);
    verdict(&one, &world, &world.chain()).unwrap();
}

#[test]
fn a_wider_pattern_weakens_nothing() {
    let world = World::new();
    let strict = set(
        HOST,
        &[
            (world.server.pin(), Places::LEAF),
            (world.second.pin(), Places::ROOT),
        ],
        demanding(Demand::at_each([Places::LEAF, Places::ROOT])),
    );
    let wide = set(
        "**.example.com",
        &[(world.server.pin(), Places::ANY)],
        Rules::default(),
    );
    let refused = Err(VerifyCode::BadPin);
    assert_eq!(
        verdict(
            &said(vec![strict.clone(), wide.clone()]),
            &world,
            &world.chain()
        ),
        refused
    );
    verdict(&said(vec![wide.clone()]), &world, &world.chain()).unwrap();
    verdict(&said(vec![wide, strict]), &world, &world.cross_signed()).unwrap();
}

#[test]
fn a_blocked_pin_refuses_its_path_and_no_other() {
    let world = World::new();
    let pinned = set(HOST, &[(world.server.pin(), Places::ANY)], Rules::default());
    let blocking = |sets: Vec<PinSetSource>, pin| Said {
        sets,
        blocked: vec![pin, Pin::from_bytes([7; 32])],
    };
    for sets in [vec![pinned], vec![]] {
        let blocks_root = blocking(sets.clone(), world.root.pin());
        // another path leads to the second root
        let path = verdict(&blocks_root, &world, &world.cross_signed()).unwrap();
        assert_eq!(path.last(), Some(&world.second.pin()));
        for party in [&world.server, &world.intermediate, &world.root] {
            let report = bad_pin(&blocking(sets.clone(), party.pin()), &world, &world.chain());
            assert_eq!(report.blocked, Some(party.pin()));
            assert_eq!((report.host.as_str(), report.port), (HOST, 443));
            let message = report.to_string();
            assert!(
                message.starts_with("bad ssl pin detected, found pins: ["),
                "{message}"
            );
            assert!(message.ends_with(&party.pin().to_base64()), "{message}");
        }
        let elsewhere = blocking(sets, Party::server().pin());
        verdict(&elsewhere, &world, &world.chain()).unwrap();
    }
}

#[test]
fn a_set_in_report_mode_lets_pass_and_widens_nothing() {
    let world = World::new();
    let enforced = set(HOST, &[(world.server.pin(), Places::ANY)], Rules::default());
    let reported =
        |party: &Party| set("**.example.com", &[(party.pin(), Places::ANY)], reporting());
    let stranger = Party::server();
    let alone = said(vec![reported(&stranger)]);
    let path = shake(&verifier(&alone, world.anchors()), &world.chain()).unwrap();
    let host: Host = HOST.parse().unwrap();
    let policy = pinfetch_pins::Policy::compile(alone.sets).unwrap();
    let effective = policy.lookup(&host, 443).to_effective(&host, 443).unwrap();
    assert_eq!(effective.judge(&path), Judgement::Accept(None));
    assert!(effective.would_refuse(&path) && !effective.is_enforced());
    // beside an enforced set whose pin is missing, the reported one helps nobody
    let other = set(HOST, &[(stranger.pin(), Places::ANY)], Rules::default());
    let beside = said(vec![other, reported(&world.server)]);
    assert_eq!(
        verdict(&beside, &world, &world.chain()),
        Err(VerifyCode::BadPin)
    );
    let rules = Rules {
        demand: Demand::at_each([Places::ROOT]),
        ..reporting()
    };
    let second = [(world.second.pin(), Places::ROOT)];
    let both = said(vec![enforced, set("**.example.com", &second, rules)]);
    verdict(&both, &world, &world.chain()).unwrap();
    // the path that holds the reported pin is the better one
    let path = verdict(&both, &world, &world.cross_signed()).unwrap();
    assert_eq!(path.last(), Some(&world.second.pin()));
}

#[test]
fn anchors_of_a_policy_stand_in_place_of_the_clients() {
    let world = World::new();
    let of = |party: &Party| {
        let pins = [(world.server.pin(), Places::ANY)];
        said(vec![set(
            HOST,
            &pins,
            trusting(Trust::Anchors(anchors(&[party]))),
        )])
    };
    let stranger = Party::authority("stranger");
    let unknown = Err(VerifyCode::UnknownIssuer);
    assert_eq!(verdict(&of(&stranger), &world, &world.chain()), unknown);
    let path = verdict(&of(&world.second), &world, &world.cross_signed()).unwrap();
    assert_eq!(path.last(), Some(&world.second.pin()));
    // the client's own are none
    let own = verifier(&of(&world.root), anchors(&[&stranger]));
    let path = shake(&own, &world.chain()).unwrap();
    assert_eq!(path.pins().last(), Some(&world.root.pin()));
}

#[test]
fn a_path_proves_nothing_to_who_trusts_something_else() {
    let world = World::new();
    let pins = [(world.server.pin(), Places::ANY)];
    let plain = said(vec![set(HOST, &pins, Rules::default())]);
    let path = shake(&verifier(&plain, world.anchors()), &world.chain()).unwrap();
    let host: Host = HOST.parse().unwrap();
    let judged_by = |trust| {
        let policy = pinfetch_pins::Policy::compile([set(HOST, &pins, trusting(trust))]).unwrap();
        policy
            .lookup(&host, 443)
            .to_effective(&host, 443)
            .unwrap()
            .judge(&path)
    };
    assert_eq!(
        judged_by(Trust::Own),
        Judgement::Accept(Some(world.server.pin()))
    );
    assert_eq!(judged_by(Trust::PinnedKey), Judgement::Refuse);
    assert_eq!(
        judged_by(Trust::Anchors(anchors(&[&world.root]))),
        Judgement::Refuse
    );
}

#[test]
fn a_pinned_key_is_trusted_and_everything_else_is_verified() {
    use VerifyCode as Code;

    let world = World::new();
    let pins = [(world.server.pin(), Places::ANY)];
    let said = said(vec![set(HOST, &pins, trusting(Trust::PinnedKey))]);
    let server = &world.server;
    let stranger = Party::server();
    let expired = server.reissued(|params| params.not_after = date_time_ymd(2021, 1, 1));
    let early = server.reissued(|params| params.not_before = date_time_ymd(2029, 1, 1));
    let of_another = server.reissued(|params| {
        params.subject_alt_names = CertificateParams::new(["other.example.com".to_owned()])
            .unwrap()
            .subject_alt_names;
    });
    let for_clients = server
        .reissued(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let for_servers = server
        .reissued(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let as_authority =
        server.reissued(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let accepted = Ok(vec![server.pin()]);
    for (name, chain, expected) in [
        ("self-signed", vec![server.self_signed()], accepted.clone()),
        ("of an authority", world.chain(), accepted.clone()),
        (
            "an authority's own",
            vec![as_authority.self_signed()],
            accepted.clone(),
        ),
        ("for servers", vec![for_servers.self_signed()], accepted),
        (
            "another key",
            vec![stranger.self_signed()],
            Err(Code::BadPin),
        ),
        (
            "another key, and the pinned one presented besides",
            vec![stranger.self_signed(), server.self_signed()],
            Err(Code::BadPin),
        ),
        (
            "another key that the pinned one has signed",
            vec![stranger.signed_by(server)],
            Err(Code::BadPin),
        ),
        ("expired", vec![expired.self_signed()], Err(Code::Expired)),
        (
            "not valid yet",
            vec![early.self_signed()],
            Err(Code::NotYetValid),
        ),
        (
            "another name",
            vec![of_another.self_signed()],
            Err(Code::NameMismatch),
        ),
        (
            "for clients",
            vec![for_clients.self_signed()],
            Err(Code::InvalidPurpose),
        ),
    ] {
        assert_eq!(verdict(&said, &world, &chain), expected, "{name}");
    }
    let blocked = Said {
        blocked: vec![server.pin()],
        ..said
    };
    assert_eq!(
        verdict(&blocked, &world, &[server.self_signed()]),
        Err(Code::BadPin)
    );
}

#[test]
fn a_handshake_by_another_key_is_refused_where_the_pinned_one_is_trusted() {
    let world = World::new();
    let pins = [(world.server.pin(), Places::ANY)];
    let verifier = verifier(
        &said(vec![set(HOST, &pins, trusting(Trust::PinnedKey))]),
        world.anchors(),
    );
    let message = b"what the handshake signs";
    let signed = |party: &Party| {
        use rcgen::SigningKey;
        let signature = party.key.sign(message).unwrap();
        let mut bytes = u16::from(SignatureScheme::ECDSA_NISTP256_SHA256)
            .to_be_bytes()
            .to_vec();
        bytes.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
        bytes.extend(signature);
        bytes
    };
    let certificate = world.server.self_signed();
    let check = |bytes: &[u8]| {
        use rustls::internal::msgs::codec::Codec;
        let signed = DigitallySignedStruct::read_bytes(bytes).unwrap();
        verifier.verify_tls13_signature(message, certificate.der(), &signed)
    };
    check(&signed(&world.server)).unwrap();
    check(&signed(&Party::server())).unwrap_err();
}
