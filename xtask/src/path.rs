//! Reads the paths (`a::b::c`) out of tokens, `use` trees spread out; knows nothing of what they name.

use crate::lex::{Kind, Token};

/// One path as written, from its first segment on.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    /// Its segments; `*` for everything.
    pub(crate) segments: Vec<String>,
    /// The line of its last segment.
    pub(crate) line: usize,
    /// Whether only tests hold it.
    pub(crate) test: bool,
    /// How many inline modules surround it.
    pub(crate) inline_depth: usize,
    /// Whether a `!` follows: the path of a macro.
    pub(crate) macro_call: bool,
}

impl Path {
    /// Whether these segments stand in it, one after the other.
    pub(crate) fn holds(&self, wanted: &[&str]) -> bool {
        self.segments.windows(wanted.len()).any(|window| window == wanted)
    }
}

/// All paths of a file, single names outside `use` left out.
pub(crate) fn paths(tokens: &[Token]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].ident() == Some("use") && !tokens[at].attribute {
            at = use_tree(tokens, at + 1, &[], &mut found);
        } else if tokens[at].ident().is_some() {
            at = plain(tokens, at, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// A path in an expression or a type; the place after it.
fn plain(tokens: &[Token], from: usize, found: &mut Vec<Path>) -> usize {
    let mut segments = Vec::new();
    let mut at = from;
    while let Some(name) = tokens.get(at).and_then(Token::ident) {
        segments.push(name.to_owned());
        at += 1;
        if !double_colon(tokens, at) || tokens.get(at + 2).is_none_or(|t| t.ident().is_none()) {
            break;
        }
        at += 2;
    }
    let macro_call = tokens.get(at).is_some_and(|t| t.is('!'));
    if segments.len() > 1 || macro_call {
        found.push(path(segments, &tokens[at - 1], macro_call));
    }
    at
}

/// One branch of a `use` tree below `stem`; the place after it.
fn use_tree(tokens: &[Token], from: usize, stem: &[String], found: &mut Vec<Path>) -> usize {
    let mut segments = stem.to_vec();
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        match &token.kind {
            Kind::Ident(name) if name == "as" => at += 2,
            Kind::Ident(name) => {
                // `a::{self}` is `a`.
                if name != "self" || segments.is_empty() {
                    segments.push(name.clone());
                }
                at += 1;
                if !double_colon(tokens, at) {
                    found.push(path(segments.clone(), token, false));
                }
            }
            Kind::Punct('*') => {
                segments.push("*".to_owned());
                found.push(path(segments.clone(), token, false));
                at += 1;
            }
            Kind::Punct(':') => at += 1,
            Kind::Punct('{') => {
                at += 1;
                loop {
                    at = use_tree(tokens, at, &segments, found);
                    if !tokens.get(at).is_some_and(|t| t.is(',')) {
                        break;
                    }
                    at += 1;
                }
                at += 1;
            }
            _ => return at,
        }
    }
    at
}

fn path(segments: Vec<String>, last: &Token, macro_call: bool) -> Path {
    Path { segments, line: last.line, test: last.test, inline_depth: last.inline_depth, macro_call }
}

fn double_colon(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|t| t.is(':')) && tokens.get(at + 1).is_some_and(|t| t.is(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lex::tokens;

    fn read(text: &str) -> Vec<String> {
        paths(&tokens(text)).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn use_trees_are_spread_out() {
        assert_eq!(
            read("use a::{b, c::{self, d as e}, f::*};\npub(crate) use g;\nh::i();"),
            ["a::b", "a::c", "a::c::d", "a::f::*", "g", "h::i"]
        );
        assert_eq!(read("use {a::b, c};\nuse ::d::e;"), ["a::b", "c", "d::e"]);
    }

    #[test]
    fn paths_in_code_are_read_once() {
        assert_eq!(
            read("let x: a::b::C<d::E> = ::f::g::<h::I>(j, k!(l::m));"),
            ["a::b::C", "d::E", "f::g", "h::I", "k", "l::m"]
        );
    }

    #[test]
    fn segments_are_found_in_a_row_only() {
        let all = paths(&tokens("use std::{io::{self, fs}};"));
        assert!(all[1].holds(&["io", "fs"]));
        assert!(!all[1].holds(&["std", "fs"]));
    }
}
