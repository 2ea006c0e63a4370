//! Sets the linker up for a Node-API addon, and tells the code what it is made of.

use std::fs;
use std::path::Path;

/// The crates whose versions `versions()` tells: what decides about trust, and what speaks to peers.
const TOLD: [&str; 4] = ["h2", "ring", "rustls", "rustls-webpki"];

/// What both sides of the boundary are made from: the golden records, and the functions that carry them.
const INTERFACE: [&str; 2] = ["wire-vectors.json", "src/lib.rs"];

fn main() {
    napi_build::setup();
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    let text = fs::read_to_string(&lock).expect("the workspace has a lock file");
    for name in TOLD {
        let version = version_of(&text, name);
        println!(
            "cargo::rustc-env=VERSION_OF_{}={version}",
            name.replace('-', "_")
        );
    }
    let target = std::env::var("TARGET").expect("cargo names the target");
    println!("cargo::rustc-env=TARGET_TRIPLE={target}");
    println!("cargo::rustc-env=INTERFACE={:08x}", interface());
}

/// A number that differs where the interface does: FNV-1a, over the lines whatever their ends. `scripts/interface.mjs` has
/// it for the other side.
fn interface() -> u32 {
    INTERFACE.iter().fold(0x811c_9dc5, |hash, name| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        println!("cargo::rerun-if-changed={}", file.display());
        let bytes = fs::read(&file).expect("the interface is described");
        let bytes = bytes.iter().filter(|&&byte| byte != b'\r');
        bytes.fold(hash, |hash, &byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    })
}

/// The version of the only package `name` in a lock file, whose packages begin with these two lines.
fn version_of<'lock>(lock: &'lock str, name: &str) -> &'lock str {
    let start = format!("[[package]]\nname = \"{name}\"\nversion = \"");
    let mut found = lock.split(&start).skip(1);
    let version = found
        .next()
        .and_then(|rest| rest.split('"').next())
        .expect("what is told is locked");
    assert!(found.next().is_none(), "{name} is locked once");
    version
}
