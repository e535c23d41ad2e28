//! Asks the changelog for a section on the version that the workspace has.

use super::Finding;
use crate::tree::Tree;

const CHANGELOG: &str = "CHANGELOG.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let version = tree.file("Cargo.toml").and_then(|manifest| {
        let mut lines = manifest.text.lines();
        lines.find(|line| line.trim() == "[workspace.package]")?;
        let value = lines.find_map(|line| line.strip_prefix("version = "))?;
        Some(value.trim_matches('"'))
    });
    let Some(version) = version else {
        return vec![Finding::new(
            "Cargo.toml",
            1,
            "the workspace has no version",
            "give it one in [workspace.package]",
        )];
    };
    let told = tree.file(CHANGELOG).is_some_and(|changelog| {
        changelog.text.lines().any(|line| {
            line.strip_prefix("## ")
                .and_then(|heading| heading.split_whitespace().next())
                .is_some_and(|word| word.trim_matches(['[', ']']) == version)
        })
    });
    if told {
        return Vec::new();
    }
    vec![Finding::new(
        CHANGELOG,
        1,
        format!("there is no section on version {version}"),
        format!("add `## {version}` with what changes for users"),
    )]
}

#[cfg(test)]
mod tests {
    use super::super::fixture::found;
    use super::check;

    const MANIFEST: (&str, &str) = ("Cargo.toml", "[workspace.package]\nversion = \"1.2.0\"\n");

    #[test]
    fn the_version_has_a_section() {
        let with = |text| found(check, &[MANIFEST, ("CHANGELOG.md", text)]);
        assert!(with("# Changes\n\n## [1.2.0] - unreleased\n").is_empty());
        assert!(with("## 1.2.0\n").is_empty());
        assert_eq!(with("## 1.2.01\n\nsince 1.2.0\n"), ["CHANGELOG.md:1"]);
        assert_eq!(found(check, &[MANIFEST]), ["CHANGELOG.md:1"]);
        assert_eq!(found(check, &[]), ["Cargo.toml:1"]);
    }
}
