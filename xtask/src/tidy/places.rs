//! Finds paths of the machine that the tree stands on in tracked files; knows no machine by name.

use super::Finding;
use crate::tree::Tree;
use std::path::Path;

/// Folders of people; one is meant only with a name in small letters behind it.
const HOMES: &str = "/home/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let here = of_this_machine();
    let mut findings = Vec::new();
    for file in tree.files() {
        for (number, line) in file.lines() {
            if let Some(place) = place(line, &here) {
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

/// The first folder on the way to the tree, to the user's home and to what is built, as far as they name a machine.
fn of_this_machine() -> Vec<String> {
    let tree = Some(env!("CARGO_MANIFEST_DIR").to_owned());
    let told = ["HOME", "CARGO_HOME", "CARGO_TARGET_DIR"].map(|name| std::env::var(name).ok());
    let mut places: Vec<String> =
        [tree].into_iter().chain(told).flatten().filter_map(|path| top(&path)).collect();
    places.sort();
    places.dedup();
    places
}

/// `/folder/` of an absolute path; of the folders that every system has, the one in it.
fn top(path: &str) -> Option<String> {
    const EVERYWHERE: [&str; 6] = ["home", "tmp", "var", "usr", "opt", "srv"];
    let mut parts = Path::new(path.strip_prefix('/')?).iter().map(|part| part.to_str().unwrap_or_default());
    let first = parts.next().filter(|part| !part.is_empty())?;
    if !EVERYWHERE.contains(&first) {
        return Some(format!("/{first}/"));
    }
    parts.next().map(|second| format!("/{first}/{second}/"))
}

fn place<'a>(line: &str, here: &'a [String]) -> Option<&'a str> {
    here.iter().map(String::as_str).chain([HOMES]).find(|place| {
        line.match_indices(place).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + place.len()..];
            let starts_a_path = !before.is_some_and(|c| c.is_alphanumeric() || "/._-".contains(c));
            starts_a_path && (*place != HOMES || is_somebody(after))
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
    use super::{HOMES, check, place, top};

    fn text(text: &str) -> usize {
        found(check, &[("docs/a.md", text)]).len()
    }

    #[test]
    fn paths_of_this_machine_are_found() {
        let tree = env!("CARGO_MANIFEST_DIR");
        for line in [format!("see {tree}/x"), format!("`{tree}`/y"), format!("={HOMES}ann/b")] {
            assert_eq!(text(&line), 1, "{line}");
        }
        assert_eq!(found(check, &[("a.sh", &format!("x\n\nls {tree}/\n"))]), ["a.sh:3"]);
    }

    #[test]
    fn examples_and_other_folders_are_not() {
        for line in
            ["/home/USER/policy.dw", "/home/$USER/x", "/home/", "https://example.org/a/x", "/tmp/wafer"]
        {
            assert_eq!(text(line), 0, "{line}");
        }
    }

    #[test]
    fn the_first_folder_that_tells_a_machine() {
        assert_eq!(top("/builds/a/b").as_deref(), Some("/builds/"));
        assert_eq!(top(&format!("{HOMES}ann/src")), Some(format!("{HOMES}ann/")));
        assert_eq!(top("/tmp"), None);
        assert_eq!(top("relative/a"), None);
        let here = ["/builds/".to_owned()];
        assert_eq!(place("cd /builds/x", &here), Some("/builds/"));
        assert_eq!(place("example.org/builds/x", &here), None);
    }
}
