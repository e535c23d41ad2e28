//! Keeps one word per thing in the library's names; the words are data in `xtask/names.txt`.

use super::Finding;
use crate::tree::{File, Tree};

const LIST: &str = "xtask/names.txt";
const LIBRARY: &str = "crates/doorward/src/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.file(LIST) else {
        return vec![Finding::new(LIST, 1, "the list of names is missing", "restore it")];
    };
    let (exceptions, banned): (Vec<_>, Vec<_>) = rows(list).partition(|(first, _)| *first == "except");
    let mut findings = Vec::new();
    for file in tree.rust_below(LIBRARY).filter(|file| !tree.is_test(file)) {
        if exceptions.iter().any(|(_, path)| file.path.starts_with(path)) {
            continue;
        }
        for token in file.tokens.iter().filter(|t| !t.test && !t.attribute) {
            let Some(name) = token.ident() else { continue };
            for word in words(name) {
                let row = banned
                    .iter()
                    .find(|(banned, _)| word == *banned || word.strip_suffix('s') == Some(banned));
                if let Some((banned, instead)) = row {
                    findings.push(Finding::new(
                        &file.path,
                        token.line,
                        format!("`{name}` says `{banned}`"),
                        format!("say `{instead}`"),
                    ));
                }
            }
        }
    }
    findings
}

/// The rows of the list: a word and the rest of its line.
fn rows(list: &File) -> impl Iterator<Item = (&str, &str)> {
    list.lines()
        .map(|(_, line)| line.split('#').next().unwrap_or_default().trim())
        .filter_map(|line| line.split_once(char::is_whitespace))
        .map(|(first, rest)| (first, rest.trim()))
}

/// The words of a name in any case: `FooBar_baz` is `foo`, `bar`, `baz`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if c != '_'
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        after_small = c.is_lowercase() || c.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{found, said};
    use super::{check, words};

    const LIST: (&str, &str) =
        ("xtask/names.txt", "# words\nconfig policy\ndeny block\nexcept crates/doorward/src/foreign.rs\n");

    fn library(text: &str) -> Vec<String> {
        said(check, &[LIST, ("crates/doorward/src/a.rs", text)])
    }

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("FooBar_baz2Qux"), ["foo", "bar", "baz2", "qux"]);
        assert_eq!(words("__DENY_ALL"), ["deny", "all"]);
    }

    #[test]
    fn other_words_are_found_in_every_case() {
        assert_eq!(library("struct ReaderConfig;"), ["`ReaderConfig` says `config`"]);
        assert_eq!(library("fn deny_all(CONFIGS: u8) {}").len(), 2);
        assert_eq!(found(check, &[]), ["xtask/names.txt:1"]);
    }

    #[test]
    fn strings_attributes_tests_and_other_words_are_not() {
        assert!(library("#[deny(x)]\nfn f() { g(\"deny\"); denying; configured } // deny").is_empty());
        assert!(library("#[cfg(test)] mod t { fn deny() {} }").is_empty());
        let foreign = ("crates/doorward/src/foreign.rs", "fn deny() {}");
        assert!(found(check, &[LIST, foreign]).is_empty());
        let cli = ("crates/doorward-cli/src/a.rs", "fn deny() {}");
        assert!(found(check, &[LIST, cli]).is_empty());
    }
}
