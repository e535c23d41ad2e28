//! Keeps files short enough to be read from top to bottom; counts lines and nothing else.

use super::Finding;
use crate::tree::Tree;

/// Above this a file has become two things.
const LONGEST: usize = 900;
/// Half of the files are read within a few minutes.
const MEDIAN: usize = 250;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_below("") {
        let lines = file.text.lines().count();
        if lines > LONGEST {
            findings.push(Finding::new(
                &file.path,
                LONGEST + 1,
                format!("{lines} lines, {LONGEST} are the limit"),
                "split it where a reader would draw the line",
            ));
        }
    }
    let (median, longest) = (quantile(tree, 50), longest(tree));
    if median > MEDIAN {
        findings.push(Finding::new(
            &longest.1,
            1,
            format!("the median file has {median} lines, {MEDIAN} are the limit"),
            "split the long files; this is the longest",
        ));
    }
    findings
}

/// The figures of all Rust files on one line.
pub(super) fn summary(tree: &Tree) -> String {
    let count = tree.rust_below("").count();
    let (lines, path) = longest(tree);
    format!(
        "{count} Rust files; lines: median {}, nine of ten at most {}, longest {lines} ({path})",
        quantile(tree, 50),
        quantile(tree, 90)
    )
}

fn longest(tree: &Tree) -> (usize, String) {
    tree.rust_below("").map(|file| (file.text.lines().count(), file.path.clone())).max().unwrap_or_default()
}

/// The length that so many of a hundred files do not exceed.
fn quantile(tree: &Tree, percent: usize) -> usize {
    let mut lengths: Vec<_> = tree.rust_below("").map(|file| file.text.lines().count()).collect();
    lengths.sort_unstable();
    let rank = (lengths.len() * percent).div_ceil(100);
    lengths.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{found, said};
    use super::*;
    use crate::tree::fixture::tree;

    #[test]
    fn a_file_ends_in_time() {
        let (fits, too_long) = ("\n".repeat(LONGEST), "\n".repeat(LONGEST + 1));
        let short = [("a.rs", ""), ("b.rs", ""), ("c.rs", "")];
        let with = |text| [short.as_slice(), &[("d.rs", text)]].concat();
        assert!(found(check, &with(&fits)).is_empty());
        assert_eq!(found(check, &with(&too_long)), ["d.rs:901"]);
    }

    #[test]
    fn half_of_the_files_are_short() {
        let (short, long) = ("\n".repeat(MEDIAN), "\n".repeat(MEDIAN + 1));
        assert!(found(check, &[("a.rs", &short), ("b.rs", &long)]).is_empty());
        assert_eq!(
            said(check, &[("a.rs", &long), ("b.rs", &long)]),
            ["the median file has 251 lines, 250 are the limit"]
        );
    }

    #[test]
    fn the_summary_counts() {
        let tree = tree(&[("a.rs", "1\n2\n"), ("b.rs", "1\n"), ("c.txt", "1\n2\n3\n")]);
        assert_eq!(summary(&tree), "2 Rust files; lines: median 1, nine of ten at most 2, longest 2 (a.rs)");
    }
}
