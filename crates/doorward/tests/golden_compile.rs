//! Policies and the programs they compile to, as nft text: one idea a folder.
//!
//! `UPDATE_GOLDEN=1` writes what is there now into `expected.nft`: read the difference before it is kept.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/resolved.rs"]
mod resolved;

use doorward::compile::{Options, compile};
use doorward::emit;
use doorward::report::Severity;
use doorward::resolve::{load, resolve};
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/compile");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 20, "the cases are missing");
    cases
}

fn program(folder: &Path) -> String {
    let loaded = load(&resolved::files(folder), "policy.dw");
    let (policy, reports) = resolve(&loaded, &resolved::host(folder));
    let mistakes: Vec<String> = reports
        .iter()
        .filter(|report| report.severity == Severity::Error)
        .map(|report| report.render(&loaded.sources))
        .collect();
    let policy = policy.unwrap_or_else(|| panic!("{}: {}", folder.display(), mistakes.concat()));
    emit::nft_table(&compile(&policy, &Options::default()))
}

#[test]
fn programs_are_as_expected() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for folder in cases() {
        let text = program(&folder);
        let path = folder.join("expected.nft");
        if update {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if expected != text {
            let first = expected.lines().zip(text.lines()).find(|(old, new)| old != new);
            wrong.push(format!("{}: first difference {first:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 writes them anew", wrong.join("\n"));
}

/// Every dropping chain ends in a verdict of its own: a new base chain's policy holds an instant too late.
#[test]
fn every_chain_ends_in_a_verdict_or_returns() {
    for folder in cases() {
        let text = program(&folder);
        for chain in text.split("\tchain ").skip(1) {
            let name = chain.split(' ').next().unwrap();
            let last = chain.lines().map(str::trim).take_while(|line| *line != "}").last().unwrap_or("");
            let decides =
                ["accept", "drop", "goto ", "reject", "return"].iter().any(|word| last.contains(word));
            // Chains that are jumped to may simply end.
            let jumped = text.contains(&format!("jump {name}"));
            assert!(decides || jumped, "{}: {name} ends with `{last}`", folder.display());
        }
    }
}
