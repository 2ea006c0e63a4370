//! What CI counts the instructions of: `pinfetch-instructions NAME COUNT` does something COUNT times.
//!
//! The counts of two runs, one of them of nothing, give what once costs: `count.mjs`.

#[cfg(not(test))] // the codec that it compiles once more has its tests where it lives
mod counted;

#[cfg(not(test))]
fn main() {
    counted::run();
}
