//! What the README shows as a policy is one, and its first screen holds what a newcomer needs.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/resolved.rs"]
mod resolved;

use doorward::resolve::{MemoryFiles, load, resolve};
use std::path::Path;

/// Lines that a newcomer sees without scrolling.
const FIRST_SCREEN: usize = 40;

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap()
}

/// The texts between the fences of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    text.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn its_policies_are_policies() {
    let readme = readme();
    let policies = blocks(&readme, "dw");
    assert!(!policies.is_empty(), "there is no ```dw block");
    for policy in policies {
        let mut files = MemoryFiles::default();
        files.0.insert("README.md".to_owned(), policy.to_owned());
        let loaded = load(&files, "README.md");
        let host = resolved::parse_host("interface lo\ninterface eth0\nuser www-data 33\n");
        let (resolved, reports) = resolve(&loaded, &host);
        let said: String = reports.iter().map(|report| report.render(&loaded.sources)).collect();
        assert!(reports.is_empty() && resolved.is_some(), "{said}");
    }
}

#[test]
fn the_first_screen_says_what_and_how() {
    let readme = readme();
    let screen: Vec<&str> = readme.lines().take(FIRST_SCREEN).collect();
    let screen = screen.join("\n");
    assert_eq!(blocks(&screen, "dw")[0].lines().count(), 8, "the policy has eight lines");
    for command in ["cargo run --release -- rehearse examples/vps.dw", "./test"] {
        assert!(screen.lines().any(|line| line == command), "`{command}` is missing");
    }
}
