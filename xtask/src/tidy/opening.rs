//! Asks each Rust file to say first what it is for; cannot tell whether that is true.

use super::Finding;
use crate::tree::Tree;

/// Fewer words are a title, not a sentence.
const WORDS: usize = 4;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust_below("")
        .filter_map(|file| {
            let opening: Vec<&str> = file
                .text
                .lines()
                .map_while(|line| line.strip_prefix("//!"))
                .map(str::trim)
                .take_while(|line| !line.is_empty())
                .collect();
            let what = match opening.join(" ").split_whitespace().count() {
                0 => "does not open with a `//!` sentence",
                words if words < WORDS => "opens with a title, not a sentence",
                _ => return None,
            };
            Some(Finding::new(
                &file.path,
                1,
                what,
                "say in one sentence what it is for and what it refuses to know",
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::found;
    use super::check;

    fn file(text: &str) -> usize {
        found(check, &[("a.rs", text)]).len()
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(file("//! Reads one thing.\n//! And writes it.\n"), 0);
        assert_eq!(file("//! Reads\n//! one thing\n//! only.\nfn f() {}"), 0);
        assert_eq!(file("fn f() {}\n//! Reads one thing only.\n"), 1);
        assert_eq!(file("// Reads one thing only.\n"), 1);
        assert_eq!(file("//!\n//! Reads one thing only.\n"), 1);
        assert_eq!(file("//! Things.\n\n//! Reads one thing only.\n"), 1);
        assert_eq!(file(""), 1);
    }
}
