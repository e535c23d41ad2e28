//! Holds the licence of every crate that is built against the list in `deny.toml`; asks cargo, not the network.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::Path;
use std::process::Command;
use std::str::SplitWhitespace;

use super::Finding;
use crate::tree::Tree;

const LIST: &str = "deny.toml";

type Words<'a> = Peekable<SplitWhitespace<'a>>;

pub(super) fn check(root: &Path, tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.file(LIST) else {
        return vec![Finding::new(LIST, 1, "the list of licences is missing", "restore it")];
    };
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--workspace", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root)
        .output();
    match output {
        Ok(output) if output.status.success() => {
            judge(&String::from_utf8_lossy(&output.stdout), &allowed(&list.text))
        }
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            vec![Finding::new(LIST, 1, format!("cargo tree: {}", reason.trim()), "see above")]
        }
        Err(error) => vec![Finding::new(LIST, 1, format!("cargo tree: {error}"), "see above")],
    }
}

/// The licences in `[licenses] allow = [ … ]`.
fn allowed(list: &str) -> Vec<&str> {
    list.lines()
        .skip_while(|line| line.trim() != "[licenses]")
        .skip_while(|line| !line.starts_with("allow = ["))
        .skip(1)
        .take_while(|line| !line.starts_with(']'))
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .collect()
}

fn judge(crates: &str, allowed: &[&str]) -> Vec<Finding> {
    let crates: BTreeSet<(&str, &str)> = crates
        .lines()
        // `(*)` marks a crate that was listed before.
        .map(|line| line.trim_end_matches("(*)").trim())
        .filter_map(|line| line.split_once('|'))
        .collect();
    crates
        .into_iter()
        .filter(|(_, licence)| fits(licence, allowed) != Some(true))
        .map(|(name, licence)| {
            Finding::new(
                LIST,
                1,
                format!("`{name}` has the licence `{licence}`"),
                "do without it, or argue for the licence in the list",
            )
        })
        .collect()
}

/// Whether an SPDX expression can be satisfied: `AND` needs both sides, `OR` (and the old `/`) one.
///
/// `None` where it is no expression.
fn fits(licence: &str, allowed: &[&str]) -> Option<bool> {
    let words = licence.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = words.split_whitespace().peekable();
    let value = either(&mut words, allowed)?;
    words.next().is_none().then_some(value)
}

fn either(words: &mut Words, allowed: &[&str]) -> Option<bool> {
    let mut value = both(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        value |= both(words, allowed)?;
    }
    Some(value)
}

fn both(words: &mut Words, allowed: &[&str]) -> Option<bool> {
    let mut value = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        value &= one(words, allowed)?;
    }
    Some(value)
}

fn one(words: &mut Words, allowed: &[&str]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let value = either(words, allowed)?;
        return words.next_if_eq(&")").map(|_| value);
    }
    if words.next_if_eq(&"WITH").is_some() {
        let with = format!("{word} WITH {}", words.next()?);
        return Some(allowed.contains(&with.as_str()));
    }
    Some(allowed.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::{allowed, fits, judge};

    #[test]
    fn the_list_is_read_from_its_section() {
        let list =
            "[bans]\nallow = [\n  \"no\",\n]\n[licenses]\nallow = [\n  \"MIT\", # why\n  \"ISC\",\n]\n";
        assert_eq!(allowed(list), ["MIT", "ISC"]);
    }

    #[test]
    fn expressions_are_satisfied_or_not() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
        for licence in [
            "MIT",
            "GPL-2.0 OR MIT",
            "MIT/Apache-2.0",
            "MIT AND ISC",
            "(GPL-2.0 OR MIT) AND ISC",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert_eq!(fits(licence, &allowed), Some(true), "{licence}");
        }
        for licence in ["GPL-2.0", "MIT AND GPL-2.0", "Apache-2.0"] {
            assert_eq!(fits(licence, &allowed), Some(false), "{licence}");
        }
        for licence in ["", "MIT OR", "MIT ISC", "(MIT", "MIT)"] {
            assert_eq!(fits(licence, &allowed), None, "{licence}");
        }
    }

    #[test]
    fn a_crate_with_another_licence_is_named_once() {
        let crates = "a v1.0.0|MIT\nb v2.0.0|GPL-3.0\n\nb v2.0.0|GPL-3.0 (*)\nc v1.0.0|\n";
        let what: Vec<_> = judge(crates, &["MIT"]).into_iter().map(|f| f.what).collect();
        assert_eq!(what, ["`b v2.0.0` has the licence `GPL-3.0`", "`c v1.0.0` has the licence ``"]);
    }
}
