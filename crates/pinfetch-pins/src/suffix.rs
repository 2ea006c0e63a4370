//! The public suffix list, looked into in one place.

/// Whether anybody may register names right below `name` (publicsuffix.org, both of its parts): `com`, `co.uk`,
/// `github.io`. Unknown top-level names count, `localhost` among them.
///
/// `name` is a DNS name in lower case, its labels A-labels, without a trailing dot. Not for addresses.
#[must_use]
pub fn is_public_suffix(name: &str) -> bool {
    as_suffix(name).is_some()
}

/// Whether a registry hands out the names right below `name`. The suffixes of private owners, such as `github.io`, are not
/// such.
pub(crate) fn is_registry_suffix(name: &str) -> bool {
    as_suffix(name).is_some_and(|suffix| suffix.is_icann())
}

/// `name` as a suffix, if it is one; of those that are on neither part of the list the type is none.
fn as_suffix(name: &str) -> Option<psl2::Domain<'_>> {
    psl2::lookup(name).filter(psl2::Domain::is_public_suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_and_private_owners_have_suffixes() {
        for (name, public, registry) in [
            ("com", true, true),
            ("co.uk", true, true),
            ("github.io", true, false),  // of a private owner
            ("anything.ck", true, true), // *.ck
            ("www.ck", false, false),    // !www.ck
            ("a.kawasaki.jp", true, true),
            ("kawasaki.jp", false, false), // the rule is *.kawasaki.jp
            ("city.kawasaki.jp", false, false),
            ("xn--fiqs8s", true, true),
            ("localhost", true, false), // on neither part
            ("intranet", true, false),
            ("a.localhost", false, false),
            ("1.2.3.4", false, false),
            ("", false, false),
            ("example.com", false, false),
            ("example.co.uk", false, false),
            ("someone.github.io", false, false),
        ] {
            assert_eq!(is_public_suffix(name), public, "{name}");
            assert_eq!(is_registry_suffix(name), registry, "{name}");
        }
    }
}
