//! Certificate pins that are matched inside path building.
//!
//! A [`Policy`] says which hosts have which [`Pin`]s; a [`PinVerifier`] is a rustls verifier that accepts a server only
//! over a path, verified up to a trust anchor, that holds one of its host's pins. Certificates that a server sends but
//! the path does not use never count (RFC 7469 §2.6), and ordinary verification is never skipped.
//!
//! No I/O, no async, no clock of its own: useful to any program that uses rustls.
#![forbid(unsafe_code)]

mod anchors;
mod diff;
mod error;
mod file;
mod hint;
mod host;
mod key;
mod memory;
mod path;
mod pin;
mod place;
mod policy;
mod revocation;
mod suffix;
mod verifier;

pub use anchors::Anchors;
pub use diff::PolicyDiff;
pub use error::{
    AnchorsError, BadPin, HostError, PinError, PolicyError, RevocationListError, RuleProblem,
    VerifyCode, VerifyError,
};
pub use file::{FileError, FileKind, FilePin, describe_file};
pub use host::{Host, HostPattern};
pub use path::{
    Description, PathCertificate, PathEntry, Role, VerifiedPath, describe_certificate,
    describe_name,
};
pub use pin::Pin;
pub use place::{Demand, Places};
pub use policy::{
    Afterwards, EffectivePins, Ending, Expiry, Judgement, Mode, PinSetSource, PinSource,
    PinsInForce, Policy, PolicyBuilder, Rules, Trust, Unpinned,
};
pub use revocation::RevocationLists;
pub use suffix::is_public_suffix;
pub use verifier::{ChainRequest, PinVerifier, Verified, verify_chain};
