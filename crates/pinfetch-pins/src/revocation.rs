//! Certificate revocation lists (RFC 5280 §5), as they were given: nothing is fetched here.

use std::fmt;

use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use crate::error::RevocationListError;

/// Certificate revocation lists. No path verifies on which one of them names a certificate, the trust anchor aside; a
/// certificate of whose issuer there is no list is as good as without any, and a list counts past its `nextUpdate`, too.
#[derive(Default)]
pub struct RevocationLists {
    /// webpki asks the first list that speaks for a certificate, and no other: so no two of a layer are of one issuer, and
    /// a path has to pass every layer.
    layers: Vec<Vec<CertRevocationList<'static>>>,
}

impl RevocationLists {
    /// Adds a list, in DER.
    ///
    /// # Errors
    /// [`RevocationListError`], when it cannot be read, or not be relied upon: a delta list (§5.2.4), an indirect one
    /// (§5.2.5), or one of version 1.
    pub fn add(&mut self, der: &[u8]) -> Result<(), RevocationListError> {
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| fault(&error))?;
        let list = CertRevocationList::from(list);
        let free = self
            .layers
            .iter_mut()
            .find(|layer| layer.iter().all(|other| other.issuer() != list.issuer()));
        match free {
            Some(layer) => layer.push(list),
            None => self.layers.push(vec![list]),
        }
        Ok(())
    }

    /// The layers, for [`options`].
    pub(crate) fn layers(&self) -> impl Iterator<Item = Vec<&CertRevocationList<'static>>> {
        self.layers.iter().map(|layer| layer.iter().collect())
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists: usize = self.layers.iter().map(Vec::len).sum();
        write!(f, "RevocationLists({lists})")
    }
}

/// How webpki is to ask a layer: of every certificate but the trust anchor, passing what no list speaks for. That a list
/// has expired makes it no weaker, as in rustls' own verifier.
pub(crate) fn options<'a>(
    layer: &'a [&'a CertRevocationList<'a>],
) -> Option<RevocationOptions<'a>> {
    let options = RevocationOptionsBuilder::new(layer).ok()?; // an error is that there is no list
    Some(
        options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Allow)
            .with_expiration_policy(ExpirationPolicy::Ignore)
            .build(),
    )
}

fn fault(error: &webpki::Error) -> RevocationListError {
    use webpki::Error as E;
    match error {
        E::UnsupportedDeltaCrl => RevocationListError::Delta,
        E::UnsupportedIndirectCrl => RevocationListError::Indirect,
        E::UnsupportedCrlVersion => RevocationListError::Version,
        error => RevocationListError::Unreadable(error.to_string()),
    }
}
