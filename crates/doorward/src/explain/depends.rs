//! What a judgement depends on: limits, and what was assumed; asks the meaning again with the other values.

use super::assume::{Assumed, Facts};
use crate::meaning::{Connection, Decider, Host, Judgement, Limits, Owner, Path, judge};
use crate::net::Family;
use crate::resolve::model::{Accounts, Limit, Resolved, Scope};
use std::collections::BTreeSet;

/// So many names are told of one kind.
const MOST_NAMES: usize = 4;

/// Under which circumstances the verdict is another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Depends {
    /// `above 6/minute per source`, `on eth1`, `by user www-data`
    pub when: String,
    /// Whether it is a limit, and nothing that was assumed.
    pub of_limit: bool,
    /// What happens then.
    pub judgement: Judgement,
}

/// All of them, for a judgement with unspent limits.
#[must_use]
pub fn depends(policy: &Resolved, host: &Host, assumed: &Assumed, facts: &Facts) -> Vec<Depends> {
    let connection = &assumed.connection;
    let judged = judge(policy, host, connection, Limits::Unspent);
    let mut all = Vec::new();
    if judged.limited {
        let when = above(policy, &judged.by);
        let judgement = judge(policy, host, connection, Limits::Spent);
        all.push(Depends { when, of_limit: true, judgement });
    }
    let mut differing = |word: &str, others: Vec<(String, Connection)>| {
        let mut found: Vec<(Vec<String>, Judgement)> = Vec::new();
        for (name, other) in others {
            let judgement = judge(policy, host, &other, Limits::Unspent);
            if judgement.verdict == judged.verdict {
                continue;
            }
            match found.iter_mut().find(|(_, known)| known.by == judgement.by) {
                Some((names, _)) => names.push(name),
                None => found.push((vec![name], judgement)),
            }
        }
        for (names, judgement) in found {
            let when = format!("{word} {}", listed(&names));
            all.push(Depends { when, of_limit: false, judgement });
        }
    };
    if assumed.iface {
        differing("on", on_others(policy, facts, connection));
    }
    if assumed.own {
        let word = if matches!(connection.path, Path::Out { .. }) { "from" } else { "to" };
        differing(word, of_others(facts, connection));
    }
    if assumed.owner {
        let differs =
            |other: &Connection| judge(policy, host, other, Limits::Unspent).verdict != judged.verdict;
        differing("by", by_others(policy, facts, connection, &differs));
    }
    all
}

/// The rate of the sentence that lets in.
fn above(policy: &Resolved, by: &Decider) -> String {
    let limit = policy.rules.iter().find_map(|rule| match by {
        Decider::Sentence(origin) if rule.origin == *origin => rule.limit,
        _ => None,
    });
    limit.map_or_else(|| "above the limit".to_owned(), |limit| format!("above {}", rate(limit)))
}

fn rate(limit: Limit) -> String {
    let unit = match limit.seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        other => format!("{other} s"),
    };
    let per = if limit.per_source { " per source" } else { "" };
    format!("{}/{unit}{per}", limit.rate)
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The same on every other interface that the host has or a sentence names.
fn on_others(policy: &Resolved, facts: &Facts, connection: &Connection) -> Vec<(String, Connection)> {
    let said = policy.rules.iter().flat_map(|rule| &rule.scope.on);
    let said = said.map(|on| if on.wildcard { format!("{}0", on.name) } else { on.name.clone() });
    let there = facts.interfaces.iter().filter(|one| !one.loopback).map(|one| one.name.clone());
    let names: BTreeSet<String> = there.chain(said).filter(|name| name != "lo").collect();
    let others = names.into_iter().filter(|name| connection.iface() != "lo" && name != connection.iface());
    others
        .map(|name| {
            let mut other = connection.clone();
            match &mut other.path {
                Path::In { iface, .. } | Path::Out { iface, .. } | Path::Forward { iif: iface, .. } => {
                    iface.clone_from(&name);
                }
            }
            (name, other)
        })
        .collect()
}

/// The same with every other address of this host.
fn of_others(facts: &Facts, connection: &Connection) -> Vec<(String, Connection)> {
    let outer = facts.interfaces.iter().filter(|one| !one.loopback);
    let own = outer.flat_map(|one| one.addresses.iter().copied());
    let same = own.filter(|addr| Family::of(*addr) == connection.family());
    let others: BTreeSet<_> = same.collect();
    others
        .into_iter()
        .map(|addr| {
            let mut other = connection.clone();
            match &mut other.path {
                Path::Out { .. } => other.from = addr,
                Path::Forward { addressed: Some(addressed), .. } => addressed.to = addr,
                _ => other.to = addr,
            }
            (addr.to_string(), other)
        })
        .collect()
}

/// The same by every account that a sentence names.
fn by_others(
    policy: &Resolved,
    facts: &Facts,
    connection: &Connection,
    differs: &dyn Fn(&Connection) -> bool,
) -> Vec<(String, Connection)> {
    let Path::Out { iface, owner: Some(nobody) } = &connection.path else { return Vec::new() };
    let ids = |of: fn(&Scope) -> &Option<Accounts>| -> BTreeSet<u32> {
        policy
            .rules
            .iter()
            .filter_map(|rule| of(&rule.scope).as_ref())
            .flat_map(|some| some.ids.clone())
            .collect()
    };
    let (users, groups) = (ids(|scope| &scope.user), ids(|scope| &scope.group));
    let user = |uid: u32| {
        let known = facts.users.iter().find(|(_, (known, _))| *known == uid).map(|(name, _)| name.clone());
        format!("user {}", known.unwrap_or_else(|| uid.to_string()))
    };
    let group = |gid: u32| {
        let known = facts.groups.iter().find(|(_, known)| **known == gid).map(|(name, _)| name.clone());
        format!("group {}", known.unwrap_or_else(|| gid.to_string()))
    };
    let by = |owner: Owner| Connection {
        path: Path::Out { iface: iface.clone(), owner: Some(owner) },
        ..connection.clone()
    };
    let alone = |uid: &u32| (user(*uid), by(Owner { uid: *uid, ..*nobody }));
    let together = |gid: &u32| (group(*gid), by(Owner { gid: *gid, ..*nobody }));
    let mut all: Vec<(String, Connection)> = users.iter().map(alone).collect();
    all.extend(groups.iter().map(together));
    // Both together are worth a word where neither alone makes a difference.
    let idle = |connection: &Connection| !differs(connection);
    for uid in users.iter().filter(|uid| idle(&alone(uid).1)) {
        for gid in groups.iter().filter(|gid| idle(&together(gid).1)) {
            let name = format!("{} {}", user(*uid), group(*gid));
            all.push((name, by(Owner { uid: *uid, gid: *gid })));
        }
    }
    all
}
