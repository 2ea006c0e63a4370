//! The hybrid key exchange X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem, RFC 8446 §4.2.8): X25519, and ML-KEM-768 (FIPS 203)
//! against whoever records traffic today for a quantum computer of tomorrow. Its secret is as hard to find as the harder of
//! the two, so an error in the younger one costs no more than X25519 alone would have.
//!
//! X25519 is ring's, as ever; ML-KEM, which ring lacks, the crate ml-kem's.

use ml_kem::ml_kem_768::DecapsulationKey;
use ml_kem::{Decapsulate, KeyExport, Seed};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use zeroize::{Zeroize, Zeroizing};

/// The client's side. A server's would have to encapsulate, and no client does.
pub(super) static X25519MLKEM768: &dyn SupportedKxGroup = &Hybrid;

/// Bytes of what a client sends: an encapsulation key (FIPS 203 §8, table 3), then X25519's share.
const CLIENT_SHARE: usize = 1184 + X25519_SHARE;
/// Bytes of a ciphertext (FIPS 203 §8, table 3), which begins what a server sends; X25519's share follows.
const CIPHERTEXT: usize = 1088;
/// RFC 7748 §6.1.
const X25519_SHARE: usize = 32;

#[derive(Debug)]
struct Hybrid;

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        let mut seed = Seed::default();
        let filled = SystemRandom::new().fill(&mut seed);
        filled.map_err(|_| GetRandomFailed)?;
        let decapsulation = DecapsulationKey::from_seed(seed);
        seed.as_mut_slice().zeroize();
        let mut share = Vec::with_capacity(CLIENT_SHARE);
        share.extend_from_slice(&decapsulation.encapsulation_key().to_bytes());
        share.extend_from_slice(classical.pub_key());
        Ok(Box::new(Started {
            decapsulation,
            classical,
            share,
        }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    /// TLS 1.2 has no key shares that a server answers with a ciphertext.
    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// An exchange whose answer is to come. Not `Debug`: it is made of secrets.
struct Started {
    /// Zeroed when dropped.
    decapsulation: DecapsulationKey,
    classical: Box<dyn ActiveKeyExchange>,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    /// The secret is ML-KEM's, then X25519's, in the order of the shares.
    fn complete(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let (ciphertext, classical_share) = server_share
            .split_at_checked(CIPHERTEXT)
            .filter(|(_, classical_share)| classical_share.len() == X25519_SHARE)
            .ok_or_else(invalid)?;
        let classical = self.classical.complete(classical_share)?;
        // a ciphertext that is not for this key gives a secret that nobody has (FIPS 203 §6.3), and a failed handshake
        let mut post_quantum = self
            .decapsulation
            .decapsulate_slice(ciphertext)
            .map_err(|_| invalid())?;
        let secret = Zeroizing::new([&*post_quantum, classical.secret_bytes()].concat());
        post_quantum.as_mut_slice().zeroize();
        Ok(SharedSecret::from(secret.as_slice()))
    }

    /// X25519's share goes along by itself, so that a server without the hybrid needs no second round trip.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(
        self: Box<Self>,
        server_share: &[u8],
    ) -> Result<SharedSecret, Error> {
        self.classical.complete(server_share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ml_kem::ml_kem_768::EncapsulationKey;
    use pinfetch_testkit::{Authority, CertificateRequest};
    use rustls::crypto::CompletedKeyExchange;
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

    use super::*;
    use crate::Config;
    use crate::config::{ConnectionKey, Http2Choice, MinVersion, Scheme};
    use crate::connect::tls::{self, OriginTls, TlsSettings};

    /// A server's side, for what the client's is measured by.
    #[derive(Debug)]
    struct Server;

    impl SupportedKxGroup for Server {
        fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
            panic!("a server answers")
        }

        fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
            assert_eq!(client_share.len(), 1216);
            let (encapsulation, classical_share) = client_share.split_at(1184);
            let key = EncapsulationKey::new(&encapsulation.try_into().unwrap()).unwrap();
            let mut random = ml_kem::B32::default();
            SystemRandom::new().fill(&mut random).unwrap();
            let (ciphertext, post_quantum) = key.encapsulate_deterministic(&random);
            let classical = X25519.start_and_complete(classical_share)?;
            Ok(CompletedKeyExchange {
                group: self.name(),
                pub_key: [&*ciphertext, &*classical.pub_key].concat(),
                secret: [&*post_quantum, classical.secret.secret_bytes()]
                    .concat()
                    .into(),
            })
        }

        fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
            None
        }

        fn name(&self) -> NamedGroup {
            NamedGroup::X25519MLKEM768
        }

        fn usable_for_version(&self, version: ProtocolVersion) -> bool {
            version == ProtocolVersion::TLSv1_3
        }
    }

    /// What both sides of a handshake in memory agreed on; the client's first flight in bytes.
    fn handshake(
        post_quantum: bool,
        groups: Vec<&'static dyn SupportedKxGroup>,
    ) -> Result<(NamedGroup, HandshakeKind, usize), Error> {
        let mut authority = Authority::new();
        let leaf = authority
            .issue(&CertificateRequest {
                name: "leaf".into(),
                names: vec!["api.example.test".into()],
                ..CertificateRequest::default()
            })
            .unwrap();
        let mut provider = rustls::crypto::ring::default_provider();
        provider.kx_groups = groups;
        let identity = CertifiedKey::new(vec![leaf.der().clone()], leaf.signing_key().unwrap());
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        let mut server = ServerConnection::new(Arc::new(config))?;
        let key = ConnectionKey::new(
            &Config::default(),
            Scheme::Https,
            "api.example.test".parse().unwrap(),
            443,
        )
        .speaking(Http2Choice::Never);
        let tls = OriginTls::unverified(
            &key,
            &TlsSettings {
                min_version: MinVersion::Tls12,
                identity: None,
                key_log: None,
                provider: tls::provider(None, post_quantum),
                look: None,
            },
        )?;
        let mut client = ClientConnection::new(tls.config.clone(), tls.server_name.clone())?;
        let mut first_flight = 0;
        while client.is_handshaking() || server.is_handshaking() {
            let mut flight = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut flight).unwrap();
            }
            first_flight = first_flight.max(flight.len());
            feed(&flight, |rest| server.read_tls(rest).unwrap());
            server.process_new_packets()?;
            flight.clear();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            feed(&flight, |rest| client.read_tls(rest).unwrap());
            client.process_new_packets()?;
        }
        let agreed = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(
            server.negotiated_key_exchange_group().unwrap().name(),
            agreed
        );
        Ok((agreed, client.handshake_kind().unwrap(), first_flight))
    }

    fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> usize) {
        while !bytes.is_empty() {
            assert!(read(&mut bytes) > 0);
        }
    }

    #[test]
    fn a_server_that_has_nothing_else_agrees_on_the_hybrid() {
        let (group, kind, _) = handshake(true, vec![&Server]).unwrap();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(kind, HandshakeKind::Full);
        let error = handshake(false, vec![&Server]).unwrap_err();
        assert!(matches!(error, Error::PeerIncompatible(_)), "{error:?}");
    }

    #[test]
    fn a_server_without_it_takes_x25519_in_the_same_round_trip() {
        let (group, kind, large) = handshake(true, vec![X25519]).unwrap();
        assert_eq!((group, kind), (NamedGroup::X25519, HandshakeKind::Full));
        let (group, kind, small) = handshake(false, vec![X25519]).unwrap();
        assert_eq!((group, kind), (NamedGroup::X25519, HandshakeKind::Full));
        // group, length and share; and its number in the list of groups
        assert_eq!(large - small, 2 + 2 + CLIENT_SHARE + 2);
    }

    #[test]
    fn a_server_with_both_gets_the_hybrid() {
        let (group, ..) = handshake(true, vec![&Server, X25519]).unwrap();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        let (group, ..) = handshake(false, vec![&Server, X25519]).unwrap();
        assert_eq!(group, NamedGroup::X25519);
    }

    #[test]
    fn shares_and_secrets_have_the_lengths_of_the_standard() {
        let started = Hybrid.start().unwrap();
        assert_eq!(started.pub_key().len(), 1216);
        let (group, component) = started.hybrid_component().unwrap();
        assert_eq!(group, NamedGroup::X25519);
        assert!(started.pub_key().ends_with(component));
        let answer = Server.start_and_complete(started.pub_key()).unwrap();
        assert_eq!(answer.pub_key.len(), 1120);
        let secret = started.complete(&answer.pub_key).unwrap();
        assert_eq!(secret.secret_bytes().len(), 64);
        assert_eq!(secret.secret_bytes(), answer.secret.secret_bytes());
    }

    #[test]
    fn a_share_of_another_length_is_the_servers_fault() {
        for length in [0, 32, 1087, 1088, 1119, 1121, 1216] {
            let started = Hybrid.start().unwrap();
            let answer = Server.start_and_complete(started.pub_key()).unwrap();
            let mut share = answer.pub_key;
            share.resize(length, 1);
            let error = started.complete(&share).err();
            assert_eq!(
                error,
                Some(PeerMisbehaved::InvalidKeyShare.into()),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn an_x25519_share_of_small_order_is_refused() {
        let started = Hybrid.start().unwrap();
        let mut share = Server
            .start_and_complete(started.pub_key())
            .unwrap()
            .pub_key;
        share.truncate(CIPHERTEXT);
        share.resize(CIPHERTEXT + X25519_SHARE, 0); // RFC 8446 §7.4.2
        assert!(started.complete(&share).is_err());
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret() {
        let started = Hybrid.start().unwrap();
        let answer = Server.start_and_complete(started.pub_key()).unwrap();
        let mut share = answer.pub_key;
        share.iter_mut().take(1).for_each(|byte| *byte ^= 1);
        let secret = started.complete(&share).unwrap();
        let (ours, theirs) = (secret.secret_bytes(), answer.secret.secret_bytes());
        assert_ne!(ours, theirs);
        assert!(ours.ends_with(theirs.split_at(32).1), "X25519's half");
    }
}
