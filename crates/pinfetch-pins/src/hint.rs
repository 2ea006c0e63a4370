//! What to tell whoever reads a bad pin at three in the morning. For people; never a decision.

use rustls_pki_types::CertificateDer;

use crate::error::BadPin;
use crate::path::{PathCertificate, Role};
use crate::{Anchors, EffectivePins, Pin, VerifiedPath};

/// What is probably the matter, from the pins that were expected, the path found, and what is known of both.
pub(crate) fn of(
    expected: &EffectivePins,
    path: &VerifiedPath,
    presented: &[CertificateDer<'_>],
    anchors: Option<&Anchors>,
) -> String {
    let found = path.certificates();
    let on_path: Vec<_> = found
        .iter()
        .filter(|certificate| expected.contains(&certificate.pin))
        .collect();
    let superfluous = presented
        .iter()
        .filter_map(|der| Some((Pin::of_certificate(der).ok()?, der)))
        .find(|(pin, _)| expected.contains(pin));
    let known_anchor = || {
        expected
            .pins()
            .iter()
            .find_map(|pin| Some((pin, anchors?.subject_with(pin)?)))
    };
    let known_certificate = || {
        expected
            .pins()
            .iter()
            .find_map(|pin| Some((pin, expected.subject_of(pin)?)))
    };
    let finding = if let Some(certificate) = on_path.first() {
        // the keys are there, and yet it is not enough
        match (expected.places_of(&certificate.pin), expected.demand()) {
            (Some(places), _) => format!(
                "The pinned key {} is on the path as the {} ({}), and counts as {} only.",
                certificate.pin,
                certificate.role.as_str(),
                certificate.subject,
                places.describe(),
            ),
            (None, Some(demand)) => format!(
                "The policy demands {demand} on the path, which has: {}.",
                listed(&found)
            ),
            (None, None) => format!(
                "The pinned key {} is not the server's own.",
                certificate.pin
            ),
        }
    } else if let Some((pin, der)) = superfluous {
        let subject = crate::describe_certificate(der).subject;
        format!(
            "The server sent a certificate with the pinned key {pin} ({subject}), but it is not part of the verified path, \
             as when an interceptor appends the genuine certificates to its own."
        )
    } else if let Some((pin, subject)) = known_anchor() {
        format!(
            "You pinned the trust anchor {subject} ({pin}); the path now ends in {}.",
            last(&found)
        )
    } else if let Some((pin, subject)) = known_certificate() {
        let role = found
            .iter()
            .find(|certificate| certificate.subject == subject);
        match role {
            Some(same) => format!(
                "You pinned {subject} ({pin}); the path now has the {} of the same name with another key, {}: a new key, or an imitation.",
                same.role.as_str(),
                same.pin,
            ),
            None => format!(
                "You pinned {subject} ({pin}), which the path does not hold: {}.",
                listed(&found)
            ),
        }
    } else {
        let count = expected.pins().len();
        format!(
            "None of the {count} configured pins is on the verified path: {}.",
            listed(&found)
        )
    };
    format!(
        "{finding} To see what the server shows: pinfetch pins {}",
        authority(expected.host().as_str(), expected.port())
    )
}

impl BadPin {
    /// Says more with the path that matched earlier for this host: which pin matched where, and what stands there now.
    #[must_use]
    pub fn with_last_match(mut self, previous: &VerifiedPath, matched: &Pin) -> Self {
        let (before, now) = (previous.certificates(), self.path.certificates());
        let Some(old) = before
            .iter()
            .find(|certificate| certificate.pin == *matched)
        else {
            return self;
        };
        let replaced = now.iter().find(|certificate| certificate.role == old.role);
        let shared = now.iter().find(|certificate| {
            certificate.role != Role::EndEntity
                && before.iter().any(|earlier| earlier.pin == certificate.pin)
        });
        let place = match (replaced, shared) {
            (None, _) => String::new(),
            (Some(new), Some(shared)) => format!(
                " The path now has {} ({}) in its place, still under the {} {}, whose pin is {}.",
                new.subject,
                new.pin,
                shared.role.as_str(),
                shared.subject,
                shared.pin
            ),
            (Some(new), None) => format!(
                " The path now has {} ({}) in its place, and shares no CA with the earlier one.",
                new.subject, new.pin
            ),
        };
        self.hint = format!(
            "Earlier your pin {matched} matched the {} {}.{place} To see what the server shows: pinfetch pins {}",
            old.role.as_str(),
            old.subject,
            authority(self.host.as_str(), self.port)
        );
        self
    }
}

fn authority(host: &str, port: u16) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.into()
    };
    if port == 443 {
        host
    } else {
        format!("{host}:{port}")
    }
}

fn last(path: &[PathCertificate]) -> String {
    path.last().map_or_else(String::new, |anchor| {
        format!("{} ({})", anchor.subject, anchor.pin)
    })
}

fn listed(path: &[PathCertificate]) -> String {
    let lines: Vec<String> = path
        .iter()
        .map(|certificate| {
            format!(
                "{} {} ({})",
                certificate.role.as_str(),
                certificate.subject,
                certificate.pin
            )
        })
        .collect();
    lines.join(", ")
}
