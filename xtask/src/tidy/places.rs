//! Finds paths of somebody's machine in tracked files; this file is the only one that may name them.

use super::Finding;
use crate::tree::Tree;

const OWN: &str = "xtask/src/tidy/places.rs";

/// Folders of build machines. `/home/` is one only with a name in small letters behind it.
const PLACES: [&str; 5] = ["/work/", "/root/", "/tmp/wt", "/tmp/target", "/home/"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| file.path != OWN) {
        for (number, line) in file.lines() {
            if let Some(place) = place(line) {
                findings.push(Finding::new(
                    &file.path,
                    number,
                    format!("`{place}` is a path of one machine"),
                    "say it relative to the tree, or as /home/USER/ in an example",
                ));
            }
        }
    }
    findings
}

fn place(line: &str) -> Option<&'static str> {
    PLACES.into_iter().find(|place| {
        line.match_indices(place).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + place.len()..];
            let starts_a_path = !before.is_some_and(|c| c.is_alphanumeric() || "/._-".contains(c));
            starts_a_path && (*place != "/home/" || is_somebody(after))
        })
    })
}

fn is_somebody(rest: &str) -> bool {
    let name_end = rest.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !"-_".contains(c));
    name_end.is_some_and(|end| end > 0 && rest[end..].starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::found;
    use super::check;

    fn text(text: &str) -> usize {
        found(check, &[("docs/a.md", text)]).len()
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for line in ["see /work/x", "\"/root/.ssh\"", "cd /tmp/wt/a", "=/home/ann/b", "`/tmp/target/x`"] {
            assert_eq!(text(line), 1, "{line}");
        }
        assert_eq!(found(check, &[("a.sh", "x\n\nls /work/\n")]), ["a.sh:3"]);
    }

    #[test]
    fn examples_and_other_folders_are_not() {
        for line in [
            "/home/USER/policy.dw",
            "/home/$USER/x",
            "/home/",
            "https://example.org/work/x",
            "net/root/x",
            "/tmp/wafer",
        ] {
            assert_eq!(text(line), 0, "{line}");
        }
    }
}
