//! Cuts Rust source into tokens with their lines; knows no grammar beyond comments, strings, attributes and test items.

/// What a token is; the text of literals is dropped, so that no check reads a string as code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or keyword.
    Ident(String),
    /// One character of punctuation.
    Punct(char),
    /// A string, character or number.
    Literal,
    /// A lifetime or loop label.
    Lifetime,
}

/// A token and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Whether it belongs to an item that only tests compile.
    pub(crate) test: bool,
    /// Whether it stands inside an attribute.
    pub(crate) attribute: bool,
    /// How many inline modules surround it.
    pub(crate) inline_depth: usize,
}

impl Token {
    /// The name, where it is one.
    pub(crate) fn ident(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it is this character.
    pub(crate) fn is(&self, punct: char) -> bool {
        self.kind == Kind::Punct(punct)
    }
}

/// Cuts `text` and marks attributes, test items and inline modules.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = cut(text);
    mark_attributes_and_tests(&mut tokens);
    mark_inline_modules(&mut tokens);
    tokens
}

/// The modules that are declared for tests only: `#[cfg(test)] mod name;`.
pub(crate) fn test_modules(tokens: &[Token]) -> Vec<String> {
    let mut names = Vec::new();
    for window in tokens.windows(3) {
        if let [keyword, name, end] = window
            && keyword.test
            && keyword.ident() == Some("mod")
            && end.is(';')
            && let Some(name) = name.ident()
        {
            names.push(name.to_owned());
        }
    }
    names
}

fn cut(text: &str) -> Vec<Token> {
    let mut cursor = Cursor { rest: text, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = cursor.rest.chars().next() {
        let line = cursor.line;
        let Some(kind) = cursor.next_kind(first) else {
            continue;
        };
        tokens.push(Token { kind, line, test: false, attribute: false, inline_depth: 0 });
    }
    tokens
}

struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl Cursor<'_> {
    /// Takes one token or one stretch of space or comment; `None` for the latter.
    fn next_kind(&mut self, first: char) -> Option<Kind> {
        if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            return None;
        }
        if self.rest.starts_with("/*") {
            self.take(block_comment(self.rest));
            return None;
        }
        if let Some(length) = string(self.rest) {
            self.take(length);
            return Some(Kind::Literal);
        }
        if first == '\'' {
            let (length, kind) = quote(self.rest);
            self.take(length);
            return Some(kind);
        }
        if first.is_alphabetic() || first == '_' {
            let length = word(self.rest);
            let mut name = &self.rest[..length];
            // `r#type` is the name `type`.
            if name == "r" && self.rest[1..].starts_with('#') {
                let raw = word(&self.rest[2..]);
                name = &self.rest[2..2 + raw];
            }
            let taken = name.as_ptr() as usize - self.rest.as_ptr() as usize + name.len();
            let name = name.to_owned();
            self.take(taken);
            return Some(Kind::Ident(name));
        }
        if first.is_ascii_digit() {
            self.take(word(self.rest));
            return Some(Kind::Literal);
        }
        self.take(first.len_utf8());
        (!first.is_whitespace()).then_some(Kind::Punct(first))
    }

    fn take(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }
}

fn word(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal at the start of `text`, if one stands there.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            let hashes = if prefix.ends_with('r') { rest.trim_start_matches('#') } else { rest };
            hashes.starts_with('"')
        })
    })?;
    let rest = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let body = &rest[hashes + 1..];
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// A character literal or a lifetime.
fn quote(text: &str) -> (usize, Kind) {
    let body = &text[1..];
    let Some(first) = body.chars().next() else {
        return (1, Kind::Punct('\''));
    };
    if first == '\\' {
        // The escaped character itself may be a quote.
        let end = body[1..].char_indices().skip(1).find(|(_, c)| *c == '\'');
        let length = end.map_or(text.len(), |(at, _)| at + 3);
        return (length, Kind::Literal);
    }
    if body[first.len_utf8()..].starts_with('\'') {
        return (first.len_utf8() + 2, Kind::Literal);
    }
    (1 + word(body), Kind::Lifetime)
}

fn mark_attributes_and_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let Some((open, inner)) = attribute_at(tokens, at) else {
            at += 1;
            continue;
        };
        let end = matching(tokens, open);
        let for_tests = is_test_attribute(&tokens[open + 1..end]);
        let last = end.min(tokens.len() - 1);
        for token in &mut tokens[at..=last] {
            token.attribute = true;
        }
        if for_tests {
            let until = if inner { tokens.len() } else { item_end(tokens, end + 1) };
            for token in &mut tokens[at..until] {
                token.test = true;
            }
        }
        at = end + 1;
    }
}

/// The place of `[` and whether it is `#![`.
fn attribute_at(tokens: &[Token], at: usize) -> Option<(usize, bool)> {
    if !tokens[at].is('#') {
        return None;
    }
    let inner = tokens.get(at + 1)?.is('!');
    let open = at + 1 + usize::from(inner);
    tokens.get(open)?.is('[').then_some((open, inner))
}

/// `#[test]`, or a `cfg` that holds under test and does not say `not`.
fn is_test_attribute(inside: &[Token]) -> bool {
    let mut names = inside.iter().filter_map(Token::ident);
    match names.next() {
        Some("test") => inside.len() == 1,
        Some("cfg") => {
            let names: Vec<_> = names.collect();
            names.contains(&"test") && !names.contains(&"not")
        }
        _ => false,
    }
}

/// One past the end of the item that starts at `from`, further attributes included.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while at < tokens.len() {
        if let Some((open, _)) = attribute_at(tokens, at) {
            at = matching(tokens, open) + 1;
            continue;
        }
        match tokens[at].kind {
            Kind::Punct(';') => return at + 1,
            Kind::Punct('{') => return matching(tokens, at).min(tokens.len() - 1) + 1,
            Kind::Punct('(' | '[') => at = matching(tokens, at) + 1,
            _ => at += 1,
        }
    }
    tokens.len()
}

/// The place of the bracket that closes the one at `open`; the end where none does.
fn matching(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Punct('(' | '[' | '{') => depth += 1,
            Kind::Punct(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

fn mark_inline_modules(tokens: &mut [Token]) {
    for at in 0..tokens.len() {
        let is_module = tokens[at].ident() == Some("mod")
            && tokens.get(at + 1).is_some_and(|t| t.ident().is_some())
            && tokens.get(at + 2).is_some_and(|t| t.is('{'));
        if is_module {
            let end = matching(tokens, at + 2);
            for token in &mut tokens[at + 2..end] {
                token.inline_depth += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let all = tokens(text);
        all.iter().filter_map(|t| t.ident().map(str::to_owned)).collect()
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        let text = r##"a /* b /* c */ d */ "e \" f" r#"g " h"# b"i" 'j' '\'' '\u{6b}' 'l x // m"##;
        assert_eq!(names(text), ["a", "x"]);
    }

    #[test]
    fn a_raw_name_is_its_name() {
        assert_eq!(names("r#type rest"), ["type", "rest"]);
    }

    #[test]
    fn lines_are_counted_through_strings() {
        let all = tokens("\"a\nb\"\nc");
        assert_eq!(all[1].line, 3);
    }

    #[test]
    fn test_items_are_marked_and_nothing_else() {
        let all = tokens(
            "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod t { fn b() {} }\nfn c() {}\n\
             #[test]\nfn d() { e; }\n#[cfg(not(test))]\nfn f() {}",
        );
        let tested = |name: &str| all.iter().any(|t| t.ident() == Some(name) && t.test);
        assert!(tested("b") && tested("d") && tested("e"));
        assert!(!tested("a") && !tested("c") && !tested("f"));
    }

    #[test]
    fn an_array_type_does_not_end_an_item() {
        let all = tokens("#[test]\nfn a() -> [u8; 4] { b }\nfn c() {}");
        let tested = |name: &str| all.iter().any(|t| t.ident() == Some(name) && t.test);
        assert!(tested("b"));
        assert!(!tested("c"));
    }

    #[test]
    fn an_inner_attribute_marks_the_whole_file() {
        assert!(tokens("#![cfg(test)]\nfn a() {}").iter().all(|t| t.test));
        assert!(!tokens("#![cfg_attr(test, allow(x))]\nfn a() {}").iter().any(|t| t.test));
    }

    #[test]
    fn modules_for_tests_are_found() {
        assert_eq!(test_modules(&tokens("mod a;\n#[cfg(test)]\nmod b;\n")), ["b"]);
    }

    #[test]
    fn inline_modules_have_a_depth() {
        let all = tokens("a mod m { b mod n { c } } d");
        let depth = |name: &str| all.iter().find(|t| t.ident() == Some(name)).map(|t| t.inline_depth);
        assert_eq!([depth("a"), depth("b"), depth("c"), depth("d")], [Some(0), Some(1), Some(2), Some(0)]);
    }
}
