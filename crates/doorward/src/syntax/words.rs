//! The words of the language; knows where none of them may stand.

/// Words that start a sentence.
pub(super) const VERBS: [&str; 11] = [
    "define",
    "trust",
    "default",
    "allow",
    "block",
    "reject",
    "expect",
    "include",
    "masquerade",
    "redirect",
    "publish",
];

/// Words that start a clause, or stand inside one.
pub(super) const CLAUSES: [&str; 15] = [
    "from", "to", "except", "on", "by", "limit", "burst", "per", "then", "passive", "helper", "log", "until",
    "is", "outside",
];

/// The ways.
pub(super) const WAYS: [&str; 4] = ["in", "out", "published", "forward"];

/// All other words in quotes in the grammar.
const OTHERS: [&str; 28] = [
    "file",
    "feed",
    "interface",
    "ping",
    "icmp",
    "protocol",
    "anything",
    "anyone",
    "allowed",
    "blocked",
    "source",
    "ban",
    "user",
    "group",
    "unit",
    "tcp",
    "udp",
    "tcp+udp",
    "sctp",
    "second",
    "minute",
    "hour",
    "day",
    "s",
    "m",
    "h",
    "d",
    "T",
];

/// Whether no name may be this.
pub(super) fn is_keyword(word: &str) -> bool {
    all().any(|keyword| keyword == word)
}

/// All words of the language; some more than once.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    VERBS.into_iter().chain(CLAUSES).chain(WAYS).chain(OTHERS)
}

/// Whether a sentence starts with this.
pub(super) fn is_verb(word: &str) -> bool {
    VERBS.contains(&word)
}

/// Whether a clause starts with this, or `is`.
pub(super) fn is_clause(word: &str) -> bool {
    CLAUSES.contains(&word) && word != "outside"
}
