//! Whether a ruleset translates what a policy says, for every first packet of a connection; and what a translation
//! comes to where its registers hold fields.

use super::load::Slice;
use super::program::Program;
use super::run::NotJudged;
use super::symbol::{Byte, Symbols};
use crate::meaning::translate::{self, End};
use crate::net::{Family, How, Translated};
use crate::resolve::model::Resolved;
use crate::ruleset::{Expr, Hook, NatRange, Reg};
use crate::space::{Node, Point, Pred, Space, Terms};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The hooks where the kernel asks `nat` chains, in both views.
pub(super) const TRANSLATING: [Slice; 6] = [
    Slice { hook: Hook::Prerouting, translated: false, nat: true },
    Slice { hook: Hook::Postrouting, translated: false, nat: true },
    Slice { hook: Hook::Postrouting, translated: true, nat: true },
    Slice { hook: Hook::Output, translated: false, nat: true },
    Slice { hook: Hook::Input, translated: false, nat: true },
    Slice { hook: Hook::Input, translated: true, nat: true },
];

/// How a translation is told that is not to one end, or has flags.
pub(super) const UNUSUAL: &str = "translates this in another way:";

/// A first packet that is translated otherwise than the policy says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistranslated {
    /// Its family.
    pub family: Family,
    /// Where it is translated.
    pub slice: Slice,
    /// The packet.
    pub example: Point,
    /// What the policy says becomes of it: `leads this to 10.0.0.5 port 22`; none where it stays as it is.
    pub meant: Option<String>,
    /// What the ruleset does.
    pub done: Option<String>,
}

/// What a policy translates at one hook.
pub(super) struct Meant {
    slice: Slice,
    begins: Pred,
    ends: Vec<(Arc<str>, Pred)>,
}

impl Meant {
    /// At all hooks.
    pub(super) fn of(policy: &Resolved, terms: &mut Terms) -> Vec<Meant> {
        let mut all = Vec::with_capacity(TRANSLATING.len());
        for slice in TRANSLATING {
            let ends = match slice.hook {
                Hook::Prerouting => translate::all(policy, End::Destination, terms),
                Hook::Postrouting => translate::all(policy, End::Source, terms),
                _ => Vec::new(),
            };
            let ends = ends.into_iter().map(|(end, about)| (end.to_string().into(), about)).collect();
            all.push(Meant { slice, begins: translate::beginnings(terms), ends });
        }
        all
    }

    /// Compares it with what a ruleset does.
    pub(super) fn compare(
        &self,
        space: &mut Space,
        program: &Program,
        found: &mut Vec<Mistranslated>,
    ) -> Result<(), NotJudged> {
        if self.ends.is_empty() && program.base_chains(self.slice).is_empty() {
            return Ok(());
        }
        let begins = space.node(&self.begins);
        let possible = space.domain();
        let begins = space.and(begins, possible);
        let (fates, done) = program.fates(space, self.slice, begins, &|_| true)?;
        let mut meant: Vec<(Arc<str>, Node)> = Vec::with_capacity(self.ends.len());
        for (end, about) in &self.ends {
            let about = space.node(about);
            meant.push((end.clone(), space.and(begins, about)));
        }
        let mut done: Vec<(Arc<str>, Node)> = done.into_iter().collect();
        let lost = space.minus(begins, fates.accepted);
        if !lost.is_empty() {
            done.push(("does not let this through".into(), lost));
        }
        let words: BTreeSet<&Arc<str>> = meant.iter().chain(&done).map(|(word, _)| word).collect();
        let of = |list: &[(Arc<str>, Node)], word: &Arc<str>| {
            list.iter().find(|(known, _)| known == word).map_or(Node::FALSE, |(_, node)| *node)
        };
        for word in words {
            let (says, does) = (of(&meant, word), of(&done, word));
            for (set, missing) in [(space.minus(says, does), true), (space.minus(does, says), false)] {
                space.holds_good()?;
                let Some(example) = space.point(set) else { continue };
                let other = other(space, set, if missing { &done } else { &meant });
                let word = Some(word.to_string());
                let (meant, done) = if missing { (word, other) } else { (other, word) };
                let family = space.family();
                found.push(Mistranslated { family, slice: self.slice, example, meant, done });
            }
        }
        space.holds_good()?;
        Ok(())
    }
}

/// What else becomes of some of these.
fn other(space: &mut Space, set: Node, list: &[(Arc<str>, Node)]) -> Option<String> {
    let hit = list.iter().find(|(_, node)| !space.and(set, *node).is_empty());
    hit.map(|(word, _)| word.to_string())
}

/// A translation in words, and for which packets: several where a map gives its ends. `read` reads registers.
pub(super) fn cases(
    expr: &Expr,
    symbols: &Symbols<'_, '_>,
    read: impl Fn(Reg, usize) -> Vec<Byte>,
) -> Vec<(Pred, Arc<str>)> {
    let always = |words: String| vec![(Pred::Const(true), words.into())];
    let (how, addr, range) = match expr {
        Expr::Nat(nat) if nat.source => (How::Source, nat.addr, nat.range),
        Expr::Nat(nat) => (How::Destination, nat.addr, nat.range),
        Expr::Masq(range) => (How::Masquerade, (None, None), *range),
        Expr::Redir(range) => (How::Redirect, (None, None), *range),
        other => return always(unusual(other)),
    };
    let one = |first: Option<Reg>, last: Option<Reg>| last.is_none() || last == first;
    let is_plain = one(addr.0, addr.1) && one(range.proto_min, range.proto_max) && is_usual(range);
    let len = if let Expr::Nat(nat) = expr { if nat.family == 10 { 16 } else { 4 } } else { 4 };
    let addr = addr.0.map(|reg| read(reg, len));
    let port = range.proto_min.map(|reg| read(reg, 2));
    // Each end is known, or all of them stand in one value of one map.
    let maps: BTreeSet<u32> = addr
        .iter()
        .chain(&port)
        .flatten()
        .filter_map(|byte| if let Byte::Mapped(map, _) = byte { Some(*map) } else { None })
        .collect();
    let values: Vec<(Pred, Vec<u8>)> = match maps.iter().collect::<Vec<_>>().as_slice() {
        [] => vec![(Pred::Const(true), Vec::new())],
        [map] => symbols.maps.get(**map as usize).cloned().unwrap_or_default(),
        _ => Vec::new(),
    };
    let told = |value: &[u8]| -> Option<Translated> {
        let resolved = |bytes: &Option<Vec<Byte>>| -> Option<Option<Vec<u8>>> {
            bytes
                .as_ref()
                .map(|bytes| bytes.iter().map(|byte| byte_of(byte, value)).collect())
                .map_or(Some(None), |bytes: Option<Vec<u8>>| bytes.map(Some))
        };
        let (addr, port) = (resolved(&addr)?, resolved(&port)?);
        let addr = match addr {
            Some(bytes) => Some(ip(&bytes)?),
            None => None,
        };
        let port = port.and_then(|bytes| Some(u16::from_be_bytes(bytes.try_into().ok()?)));
        Some(Translated { how, addr, port })
    };
    if !is_plain || values.is_empty() {
        return always(unusual(expr));
    }
    values
        .into_iter()
        .map(|(when, value)| {
            let words = told(&value).map_or_else(|| unusual(expr), |end| end.to_string());
            (when, words.into())
        })
        .collect()
}

/// A translation that doorward makes none of.
fn unusual(expr: &Expr) -> String {
    format!("{UNUSUAL} {expr:?}")
}

/// Whether a translation has no flags but those that say which values are given.
fn is_usual(range: NatRange) -> bool {
    const GIVEN: u32 = 1 | 2;
    range.flags & !GIVEN == 0
}

fn byte_of(byte: &Byte, value: &[u8]) -> Option<u8> {
    match byte {
        Byte::Known(byte) => Some(*byte),
        Byte::Mapped(_, at) => value.get(usize::from(*at)).copied(),
        Byte::Of { .. } | Byte::Opaque(..) => None,
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}
