//! The text of nftables for a ruleset, as `nft list ruleset` writes it; knows no policy and asks no machine.
//!
//! Bytecode is read with symbolic registers: each load puts an expression into a register, each comparison
//! takes it out again, and what a later match implies is left out, as nft does. What has no words in nft 1.0.6
//! stands there as a comment and in the notes, never dropped in silence.

mod context;
mod foreign;
mod headers;
mod key;
mod matching;
mod object;
mod rule;
mod set;
mod statement;
mod sym;
mod types;

use crate::ruleset::{
    Base, Chain, ChainKind, Hook, Policy, Rule, Ruleset, Set, Table, TableFamily, comment_of, set_flags,
    udata_kind,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What the text may lean on beside the ruleset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Style {
    /// Names of interfaces by index, for rules that keep an index; others are written as a number.
    pub interfaces: BTreeMap<u32, String>,
    /// Names protocols like a host with the usual `/etc/protocols`; without, only by words of nft's own
    /// grammar, which load everywhere.
    pub usual_protocol_names: bool,
}

impl Default for Style {
    /// Loads everywhere: the only interface is `lo`, which has index 1 in each network namespace.
    fn default() -> Style {
        Style { interfaces: BTreeMap::from([(1, "lo".to_owned())]), usual_protocol_names: false }
    }
}

/// Text, and what it could not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// For `nft -f`.
    pub text: String,
    /// One line each, for what is missing from the text or stands there as a comment.
    pub notes: Vec<String>,
}

/// The text of a ruleset that loads everywhere.
#[must_use]
pub fn nft(ruleset: &Ruleset) -> String {
    listing(ruleset, &Style::default()).text
}

/// The text of one table that loads everywhere.
#[must_use]
pub fn nft_table(table: &Table) -> String {
    table_listing(table, &Style::default()).text
}

/// The text of a ruleset and what it could not say.
#[must_use]
pub fn listing(ruleset: &Ruleset, style: &Style) -> Listing {
    let mut all = Listing::default();
    for table in &ruleset.tables {
        let one = table_listing(table, style);
        all.text.push_str(&one.text);
        all.notes.extend(one.notes);
    }
    all
}

/// The text of one rule, comment included; begins with `#` if nft has no words for a part of it.
#[must_use]
pub fn rule_text(table: &Table, rule: &Rule) -> String {
    rule_text_in(table, rule, &Style::default())
}

/// The text of one rule in a style.
#[must_use]
pub fn rule_text_in(table: &Table, rule: &Rule, style: &Style) -> String {
    let written = rule::write(table, rule, style);
    if written.unknown.is_empty() {
        return written.text;
    }
    format!("# {}: {}", unknown_text(&written.unknown), written.text.replace('\n', " "))
}

/// The text of the key of one element for people: as in the listing of its set, but raw addresses as addresses.
#[must_use]
pub fn element_text(table: &Table, set: &Set, number: usize, style: &Style) -> String {
    set::element(table, set, number, style)
}

/// The text of one table and what it could not say.
#[must_use]
pub fn table_listing(table: &Table, style: &Style) -> Listing {
    let mut notes = Vec::new();
    let name = clean(&table.name);
    let family = table.family;
    let mut text = format!("table {family} {name} {{\n");
    let mut blocks = Vec::new();
    let flags = table_flags(table.flags);
    let has_flags = !flags.is_empty();
    text.push_str(&flags);
    if let Some(comment) = comment_of(udata_kind::TABLE_COMMENT, &table.udata) {
        let _ = writeln!(text, "\tcomment \"{}\"", clean(&comment));
    }
    for object in &table.objects {
        blocks.push(object::write(object, style, &mut notes));
    }
    for set in table.sets.iter().filter(|set| set.flags & set_flags::ANONYMOUS == 0) {
        blocks.push(set::write(table, set, style, &mut notes));
    }
    for flowtable in &table.flowtables {
        let flowtable = clean(flowtable);
        notes.push(format!("flowtable {flowtable}: hook, priority and devices are not known"));
        blocks.push(format!("\t# flowtable {flowtable}: hook, priority and devices are not known\n"));
    }
    for chain in table.chains.iter().filter(|chain| !rule::is_inline(chain)) {
        blocks.push(chain_text(table, chain, style, &mut notes));
    }
    for (index, block) in blocks.iter().enumerate() {
        if index > 0 || has_flags {
            text.push('\n');
        }
        text.push_str(block);
    }
    text.push_str("}\n");
    for note in &mut notes {
        *note = format!("table {family} {name}: {note}");
    }
    Listing { text, notes }
}

fn chain_text(table: &Table, chain: &Chain, style: &Style, notes: &mut Vec<String>) -> String {
    let name = clean(&chain.name);
    let mut text = format!("\tchain {name} {{\n");
    if let Some(comment) = comment_of(udata_kind::CHAIN_COMMENT, &chain.udata) {
        let _ = writeln!(text, "\t\tcomment \"{}\"", clean(&comment));
    }
    if let Some(base) = &chain.base {
        let _ = writeln!(text, "\t\t{}", base_text(table.family, base));
    }
    for rule in &chain.rules {
        let written = rule_text_in(table, rule, style);
        if written.starts_with("# ") {
            notes.push(format!("chain {name}: {}", written.trim_start_matches("# ")));
        }
        let _ = writeln!(text, "\t\t{written}");
    }
    text + "\t}\n"
}

fn unknown_text(unknown: &[(String, usize)]) -> String {
    let each =
        |(name, bytes): &(String, usize)| format!("unknown expression {} ({bytes} bytes)", clean(name));
    unknown.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn table_flags(flags: u32) -> String {
    let names: Vec<&str> = [(1, "dormant"), (2, "owner")]
        .into_iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| name)
        .collect();
    if names.is_empty() { String::new() } else { format!("\tflags {}\n", names.join(",")) }
}

fn base_text(family: TableFamily, base: &Base) -> String {
    let kind = match &base.kind {
        ChainKind::Filter => "filter".to_owned(),
        ChainKind::Nat => "nat".to_owned(),
        ChainKind::Route => "route".to_owned(),
        ChainKind::Other(name) => clean(name),
    };
    let devices = match base.devices.as_slice() {
        [] => String::new(),
        [one] => format!(" device \"{}\"", clean(one)),
        many => {
            let mut names: Vec<String> = many.iter().map(|name| clean(name)).collect();
            names.sort();
            format!(" devices = {{ {} }}", names.join(", "))
        }
    };
    let policy = match base.policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    };
    format!(
        "type {kind} hook {}{devices} priority {}; policy {policy};",
        base.hook.word(),
        priority(family, base.hook, base.priority)
    )
}

/// A priority by the name of the nearest usual one, if it is near enough and has that name at this hook.
fn priority(family: TableFamily, hook: Hook, priority: i32) -> String {
    const REACH: i64 = 10;
    let usual: &[(i32, &str)] = if family == TableFamily::Bridge {
        &[(-300, "dstnat"), (-200, "filter"), (100, "out"), (300, "srcnat")]
    } else {
        &[(-300, "raw"), (-150, "mangle"), (-100, "dstnat"), (0, "filter"), (50, "security"), (100, "srcnat")]
    };
    let distance = |to: i32| i64::from(priority) - i64::from(to);
    let near = usual.iter().find(|(to, _)| distance(*to).abs() <= REACH);
    match near {
        Some((to, name)) if has_priority(family, hook, name) => match distance(*to) {
            0 => (*name).to_owned(),
            above @ 1.. => format!("{name} + {above}"),
            below => format!("{name} - {}", below.abs()),
        },
        _ => priority.to_string(),
    }
}

fn has_priority(family: TableFamily, hook: Hook, name: &str) -> bool {
    let internet = matches!(family, TableFamily::Inet | TableFamily::Ip | TableFamily::Ip6);
    let bridge = family == TableFamily::Bridge;
    match name {
        "filter" => !matches!(family, TableFamily::Other(_)),
        "dstnat" => (internet || bridge) && hook == Hook::Prerouting,
        "srcnat" => (internet || bridge) && hook == Hook::Postrouting,
        "out" => bridge && hook == Hook::Output,
        _ => internet,
    }
}

/// A name or comment of somebody else, made safe to stand in a line and between quotes.
fn clean(text: &str) -> String {
    let safe = |c: char| match c {
        '"' => '\'',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests;
