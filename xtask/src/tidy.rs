//! Runs every check of the house style and prints what it finds; each check lives in a module of its own.

mod changelog;
mod dependencies;
mod floors;
mod length;
mod licences;
mod opening;
mod places;
mod print;
mod purity;
mod words;

use std::path::Path;
use std::process::ExitCode;

use crate::tree::Tree;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
    way_out: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), way_out: way_out.into() }
    }
}

/// A check: its name and what it finds in a tree.
type Check = (&'static str, fn(&Tree) -> Vec<Finding>);

const CHECKS: [Check; 9] = [
    ("floors", floors::check),
    ("purity", purity::check),
    ("length", length::check),
    ("print", print::check),
    ("places", places::check),
    ("dependencies", dependencies::check),
    ("opening", opening::check),
    ("changelog", changelog::check),
    ("words", words::check),
];

/// Checks the workspace at `root`; success where nothing is found.
pub(crate) fn run(root: &Path) -> ExitCode {
    let tree = match Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("tidy: the tree cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut findings: Vec<(&str, Finding)> = Vec::new();
    for (name, check) in CHECKS {
        findings.extend(check(&tree).into_iter().map(|finding| (name, finding)));
    }
    findings.extend(licences::check(root, &tree).into_iter().map(|finding| ("licences", finding)));
    for (name, finding) in &findings {
        println!("{}:{}: {} [{name}]\n  {}", finding.path, finding.line, finding.what, finding.way_out);
    }
    println!("tidy: {}", length::summary(&tree));
    println!("tidy: {} checks, {} findings", CHECKS.len() + 1, findings.len());
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod fixture {
    //! What the tests of the checks share.

    use super::Finding;
    use crate::tree::Tree;
    use crate::tree::fixture::tree;

    /// The findings of `check` over these files as `path:line`.
    pub(super) fn found(check: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        check(&tree(files)).iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
    }

    /// What `check` says over these files.
    pub(super) fn said(check: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<String> {
        check(&tree(files)).into_iter().map(|finding| finding.what).collect()
    }
}
