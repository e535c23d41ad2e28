//! Keeps every dependency argued in ARCHITECTURE.md and used in the code; reads manifests line by line, not as full TOML.

use std::collections::BTreeMap;

use super::Finding;
use crate::tree::{File, Tree};

const TABLE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Dependencies";

/// A dependency as a manifest declares it.
struct Declared {
    name: String,
    line: usize,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let argued = argued(tree);
    let mut findings = Vec::new();
    let mut anywhere: Vec<String> = Vec::new();
    for manifest in tree.manifests() {
        let inherits_lints = manifest.text.contains("[lints]\nworkspace = true");
        if manifest.path.starts_with("crates/") && !inherits_lints {
            findings.push(Finding::new(
                &manifest.path,
                1,
                "this crate does not take the workspace's lints",
                "add `[lints]` with `workspace = true`",
            ));
        }
        for dependency in declared(manifest) {
            let first = !anywhere.contains(&dependency.name);
            if first && !argued.contains_key(dependency.name.as_str()) {
                findings.push(Finding::new(
                    &manifest.path,
                    dependency.line,
                    format!("`{}` is not argued", dependency.name),
                    format!(
                        "add a row \"| `{}` | why |\" to the table in {TABLE}, or do without",
                        dependency.name
                    ),
                ));
            }
            if !used(tree, manifest, &dependency.name) {
                findings.push(Finding::new(
                    &manifest.path,
                    dependency.line,
                    format!("nothing uses `{}`", dependency.name),
                    "take it out",
                ));
            }
            anywhere.push(dependency.name);
        }
    }
    for (name, line) in argued {
        if !anywhere.iter().any(|dependency| dependency == name) {
            findings.push(Finding::new(
                TABLE,
                line,
                format!("`{name}` is argued, and no manifest has it"),
                "take the row out",
            ));
        }
    }
    findings
}

/// The names that the table argues, with their lines.
fn argued(tree: &Tree) -> BTreeMap<&str, usize> {
    let Some(table) = tree.file(TABLE) else {
        return BTreeMap::new();
    };
    table
        .lines()
        .skip_while(|(_, line)| *line != HEADING)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter_map(|(number, line)| {
            let (name, argument) = line.strip_prefix("| `")?.split_once("` |")?;
            let says_something = argument.trim().trim_end_matches('|').split_whitespace().count() > 2;
            says_something.then_some((name, number))
        })
        .collect()
}

fn declared(manifest: &File) -> Vec<Declared> {
    let mut found = Vec::new();
    let mut inside = false;
    for (line, text) in manifest.lines() {
        let text = text.trim();
        if let Some(table) = text.strip_prefix('[') {
            let table = table.trim_matches(['[', ']']);
            // `[dependencies.name]` is a dependency in a table of its own.
            let own = table.rsplit_once('.').filter(|(parent, _)| is_dependencies(parent));
            if let Some((_, name)) = own {
                found.push(Declared { name: name.trim_matches('"').to_owned(), line });
            }
            inside = own.is_none() && is_dependencies(table);
        } else if inside
            && !text.starts_with('#')
            && let Some((key, _)) = text.split_once('=')
        {
            let name = key.trim().split('.').next().unwrap_or_default();
            found.push(Declared { name: name.trim_matches('"').to_owned(), line });
        }
    }
    found
}

fn is_dependencies(table: &str) -> bool {
    let last = table.rsplit('.').next().unwrap_or_default();
    matches!(last, "dependencies" | "dev-dependencies" | "build-dependencies")
}

/// Whether code of the package names the crate; for the workspace's table, whether a member inherits it.
fn used(tree: &Tree, manifest: &File, name: &str) -> bool {
    let folder = manifest.path.trim_end_matches("Cargo.toml");
    if manifest.text.contains("[workspace]") && !manifest.text.contains("[package]") {
        return tree
            .manifests()
            .any(|member| member.path != manifest.path && declared(member).iter().any(|d| d.name == name));
    }
    let krate = name.replace('-', "_");
    tree.rust_below(folder).any(|file| file.tokens.iter().any(|token| token.ident() == Some(&krate)))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::said;
    use super::check;

    const TABLE: &str = "| `map` | of the code |\n## Dependencies\n| name | why |\n|---|---|\n| `one-two` | does one thing and two |\n";
    const CODE: (&str, &str) = ("a/src/lib.rs", "use one_two::X;");

    fn package(manifest: &str, table: &str) -> Vec<String> {
        let manifest = format!("[package]\nname = \"a\"\n{manifest}");
        said(check, &[("a/Cargo.toml", &manifest), ("ARCHITECTURE.md", table), CODE])
    }

    #[test]
    fn an_argued_and_used_dependency_is_fine() {
        for manifest in [
            "[dependencies]\n# why\none-two = \"1\"\n[features]\nx = []\n",
            "[dev-dependencies]\none-two.workspace = true\n",
            "[target.'cfg(unix)'.build-dependencies]\none-two = { version = \"1\" }\n",
            "[dependencies.one-two]\nversion = \"1\"\n",
        ] {
            assert_eq!(package(manifest, TABLE), [""; 0], "{manifest}");
        }
    }

    #[test]
    fn one_without_an_argument_is_found() {
        assert_eq!(package("[dependencies]\none-two = \"1\"\n", ""), ["`one-two` is not argued"]);
        let empty = "## Dependencies\n| `one-two` | |\n";
        assert_eq!(package("[dependencies]\none-two = \"1\"\n", empty), ["`one-two` is not argued"]);
    }

    #[test]
    fn one_that_nothing_uses_is_found() {
        let table = format!("{TABLE}| `idle` | does nothing at all |\n");
        let manifest = "[dependencies]\none-two = \"1\"\nidle = \"1\"\n";
        assert_eq!(package(manifest, &table), ["nothing uses `idle`"]);
    }

    #[test]
    fn an_argument_without_a_dependency_is_found() {
        assert_eq!(package("", TABLE), ["`one-two` is argued, and no manifest has it"]);
    }

    #[test]
    fn the_workspace_declares_what_a_member_takes() {
        let root = ("Cargo.toml", "[workspace]\n[workspace.dependencies]\none-two = \"1\"\n");
        let table = ("ARCHITECTURE.md", TABLE);
        assert_eq!(said(check, &[root, table, CODE]), ["nothing uses `one-two`"]);
        let member = ("a/Cargo.toml", "[package]\n[dependencies]\none-two.workspace = true\n");
        assert_eq!(said(check, &[root, table, member, CODE]), [""; 0]);
    }

    #[test]
    fn a_crate_takes_the_lints() {
        let text = "[package]\nname = \"a\"\n";
        assert_eq!(said(check, &[("crates/a/Cargo.toml", text)]).len(), 1);
        let with = format!("{text}[lints]\nworkspace = true\n");
        assert!(said(check, &[("crates/a/Cargo.toml", &with)]).is_empty());
    }
}
