//! What can go wrong in the kit itself; all of it is a mistake in the test that gave the command.

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// A command names a certificate that was not issued, or is issued later.
    #[error("no certificate is called {0:?}")]
    UnknownCertificate(String),
    /// A command names a server or proxy that was never started, or is stopped.
    #[error("no server has the number {0}")]
    UnknownServer(u32),
    /// A server that speaks TLS was given no key to prove itself with.
    #[error("a server that speaks TLS needs `key`")]
    MissingKey,
    /// All the embedded test keys of a type are in use.
    #[error("only {0} RSA test keys are embedded: let certificates share one with `key`")]
    OutOfKeys(usize),
    /// A field holds what its format does not allow.
    #[error("{field}: {problem}")]
    InvalidField {
        /// The field's name, as it is written in a command.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate could not be made.
    #[error("issuing failed: {0}")]
    Issue(#[from] rcgen::Error),
    /// A TLS configuration was refused.
    #[error("TLS configuration: {0}")]
    Tls(#[from] rustls::Error),
    /// A socket could not be opened.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
    /// A line of input is not a command.
    #[error("not a command: {0}")]
    Command(#[from] serde_json::Error),
}
