//! What editors colour are the words of the grammar, all of them and no others.
#![allow(clippy::unwrap_used, clippy::panic)]

use doorward::syntax::GRAMMAR;
use std::collections::BTreeSet;
use std::path::Path;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../editors").join(name)).unwrap()
}

/// The words in quotes in the grammar, comments left out.
fn words() -> BTreeSet<&'static str> {
    let quoted = GRAMMAR.split('"').skip(1).step_by(2);
    quoted.filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

#[test]
fn vim_knows_the_words() {
    let text = read("vim/syntax/doorward.vim");
    let mut known = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("syntax keyword")) {
        known.extend(line.split_whitespace().skip(3));
    }
    // Ends of tokens stand in patterns: `\(tcp\|udp\)`, `[smhd]`.
    for line in text.lines().filter(|line| line.starts_with("syntax match")) {
        for group in line.split("\\(").skip(1).filter(|group| group.starts_with(char::is_alphabetic)) {
            known.extend(group.split("\\)").next().unwrap().split("\\|"));
        }
    }
    assert!(text.contains("[smhd]"));
    known.extend(["s", "m", "h", "d"]);
    assert_eq!(known, words(), "of the file, and of the grammar");
}

#[test]
fn the_json_grammar_knows_the_words() {
    let text = read("doorward.tmLanguage.json");
    let mut known = BTreeSet::new();
    for line in text.lines().filter(|line| line.contains("\"match\": ")) {
        for group in
            line.split('(').skip(1).filter(|group| group.starts_with(|c: char| c.is_ascii_lowercase()))
        {
            known.extend(group.split(')').next().unwrap().split('|'));
        }
    }
    let known: BTreeSet<String> = known.into_iter().map(|word| word.replace("\\\\", "")).collect();
    assert_eq!(known, words().into_iter().map(str::to_owned).collect(), "of the file, and of the grammar");
}
