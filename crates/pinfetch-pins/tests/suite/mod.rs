//! What the outside suites have in common: where they lie, and the reviewed list of deviations that each run is held to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// The text of `deviations.json`: every case that ends otherwise than its suite expects, or that cannot be put to
/// `verify_chain` at all, with the reason.
const DEVIATIONS: &str = include_str!("../deviations.json");

/// How a case ended that nothing can be said about.
pub(crate) const UNUSABLE: &str = "UNUSABLE";

#[derive(Deserialize)]
struct Deviation {
    id: String,
    expected: String,
    actual: String,
    reason: String,
}

/// How one case was expected to end, and how it did: `SUCCESS`, the code of an error, or [`UNUSABLE`].
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) succeeds: bool,
    pub(crate) actual: String,
}

/// The bytes of a file of the suites, which lie beside the checkout; `PINFETCH_SUITES` names another place.
pub(crate) fn read(file: &str) -> Vec<u8> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/suites");
    let path = std::env::var_os("PINFETCH_SUITES")
        .map_or_else(beside, PathBuf::from)
        .join(file);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "the suite {} is missing ({error}); set PINFETCH_SUITES to the folder that holds it",
            path.display()
        )
    })
}

/// Fails unless exactly the listed cases deviate, each in the listed way. `belongs` says which entries of the list are
/// about this suite.
pub(crate) fn judge(outcomes: &[Outcome], belongs: impl Fn(&str) -> bool) {
    let listed: Vec<Deviation> = serde_json::from_str(DEVIATIONS).expect("deviations.json");
    let mut expected = BTreeMap::new();
    for deviation in listed.iter().filter(|deviation| belongs(&deviation.id)) {
        assert!(
            deviation.reason.len() > 20,
            "{} needs a reason",
            deviation.id
        );
        let (id, ends) = (
            deviation.id.as_str(),
            (deviation.expected.as_str(), deviation.actual.as_str()),
        );
        assert!(expected.insert(id, ends).is_none(), "{id} is listed twice");
    }
    let mut wrong = Vec::new();
    for Outcome {
        id,
        succeeds,
        actual,
    } in outcomes
    {
        let should = if *succeeds { "SUCCESS" } else { "FAILURE" };
        let deviates = actual == UNUSABLE || *succeeds != (actual == "SUCCESS");
        match (expected.remove(id.as_str()), deviates) {
            (None, false) => {}
            (Some(ends), true) if ends == (should, actual.as_str()) => {}
            (listed, _) => wrong.push(format!(
                "{id}: expected {should}, is {actual}, listed as {listed:?}"
            )),
        }
    }
    wrong.extend(
        expected
            .into_keys()
            .map(|id| format!("{id}: listed, but the suite has no such case")),
    );
    assert!(
        wrong.is_empty(),
        "{} of {} cases moved:\n{}",
        wrong.len(),
        outcomes.len(),
        wrong.join("\n")
    );
}
