//! What proofs share: how large a run is, and where its figures go.
//!
//! `make test` runs a representative part of each proof; `make proof` sets `PERIODD_PROOF` to a
//! directory, runs all of them at full size, and makes docs/proof.md of what they leave there.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

use std::path::PathBuf;

/// Where figures are left, if this is a run at full size.
fn directory() -> Option<PathBuf> {
    std::env::var_os("PERIODD_PROOF").map(PathBuf::from)
}

/// How many of something a proof tries: `short` in `make test`, `full` in `make proof`.
pub(crate) fn size(short: usize, full: usize) -> usize {
    if is_full() { full } else { short }
}

/// Is this a run at full size?
pub(crate) fn is_full() -> bool {
    directory().is_some()
}

/// Leaves a figure for the row of docs/proof.md that is called `row`: one line, such as
/// `3,120 points, 20,400 runs, 0 violations`. Called when the proof has passed.
pub(crate) fn figure(row: &str, figure: &str) {
    assert!(!figure.contains('\n'), "a figure is one line: {figure}");
    println!("{row}: {figure}");
    let Some(directory) = directory() else { return };
    std::fs::create_dir_all(&directory).expect("the directory of figures");
    std::fs::write(directory.join(row), figure).expect("the figure is written");
}
