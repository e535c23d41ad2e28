//! Judges one connection by all sentences at once; knows no order but that of verdicts.

use super::builtin;
use super::{Connection, Packet, Path};
use crate::net::{PortRange, Proto};
use crate::report::Origin;
use crate::resolve::model::{Accounts, Resolved, Rule, Scope, Traffic, Verdict, Way};
use std::net::IpAddr;

/// What the meaning of a policy asks of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Host {
    /// The host's own addresses: from outside they are forged.
    pub own: Vec<IpAddr>,
}

/// How full the buckets of the limits are taken to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limits {
    /// A limited `allow` matches.
    Unspent,
    /// A limited `allow` does not match.
    Spent,
}

/// What happens to a connection, and why.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// What happens.
    pub verdict: Verdict,
    /// Who says so; of several sentences the first in the text, which also counts the hit.
    pub by: Decider,
    /// Whether the verdict would be another one with all limits spent.
    pub limited: bool,
    /// Whether it is logged.
    pub logs: bool,
}

/// Who decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decider {
    /// A sentence.
    Sentence(Origin),
    /// The default of a way, with the sentence that says it, if the policy does.
    Default(Way, Option<Origin>),
    /// What is built in.
    BuiltIn(&'static str),
}

/// Judges a connection.
pub fn judge(policy: &Resolved, host: &Host, connection: &Connection, limits: Limits) -> Judgement {
    if let Some((passes, why)) = builtin::fixed(host, connection) {
        return built_in(passes, why);
    }
    let trusted = is_trusted(policy, connection);
    let essential = builtin::essential(connection);
    let matching: Vec<Match> = policy
        .rules
        .iter()
        .filter_map(|rule| matches(rule, connection))
        // What is built in gives way to a block only that names it.
        .filter(|m| essential.is_none() || m.names_it || m.rule.verdict == Verdict::Allow)
        .filter(|m| !trusted || m.rule.verdict == Verdict::Allow)
        .map(|m| Match { limited: m.limited && !trusted, ..m })
        .collect();
    for verdict in [Verdict::Block, Verdict::Reject] {
        if let Some(judgement) = decided(&matching, verdict, |_| true) {
            return judgement;
        }
    }
    if let Some(why) = essential {
        return built_in(true, why);
    }
    // An unlimited `allow` takes the connection, and no bucket is charged.
    if let Some(judgement) = decided(&matching, Verdict::Allow, |m| !m.limited) {
        return judgement;
    }
    let rest = rest(policy, connection);
    match decided(&matching, Verdict::Allow, |m| m.limited) {
        Some(judgement) => {
            let limited = rest.verdict != Verdict::Allow;
            match limits {
                Limits::Unspent => Judgement { limited, ..judgement },
                Limits::Spent => Judgement { limited, ..rest },
            }
        }
        None => rest,
    }
}

/// Whether a `block` or `reject` covers a connection by what can be told of it while it is open: addresses, ports,
/// protocol (language: ruling 65). Who is trusted is not covered.
#[must_use]
pub fn shuts(policy: &Resolved, connection: &Connection) -> bool {
    let by_nobody = |scope: &Scope| scope.user.is_none() && scope.group.is_none();
    let essential = builtin::essential(connection).is_some();
    let covers = |rule: &Rule| {
        rule.verdict != Verdict::Allow
            && by_nobody(&rule.scope)
            && matches(rule, connection).is_some_and(|found| !essential || found.names_it)
    };
    !is_trusted(policy, connection) && policy.rules.iter().any(covers)
}

/// A sentence that matches a connection.
struct Match<'a> {
    rule: &'a Rule,
    /// Whether it does so only below a rate.
    limited: bool,
    /// Whether it names what the connection is about, instead of everything or a whole protocol.
    names_it: bool,
}

fn decided(matching: &[Match], verdict: Verdict, and: impl Fn(&Match) -> bool) -> Option<Judgement> {
    let of_verdict = || matching.iter().filter(|m| m.rule.verdict == verdict && and(m));
    let first = of_verdict().next()?;
    Some(Judgement {
        verdict,
        by: Decider::Sentence(first.rule.origin.clone()),
        limited: false,
        logs: of_verdict().any(|m| m.rule.log),
    })
}

/// What happens to a connection that no sentence decides.
fn rest(policy: &Resolved, connection: &Connection) -> Judgement {
    let way = way(connection);
    let default = policy.defaults.of(way);
    if default.verdict != Verdict::Allow && stays_on_one_bridge(policy, connection) {
        return built_in(true, "stays on one bridge");
    }
    Judgement {
        verdict: default.verdict,
        by: Decider::Default(way, default.origin.clone()),
        limited: false,
        logs: false,
    }
}

fn built_in(passes: bool, why: &'static str) -> Judgement {
    let verdict = if passes { Verdict::Allow } else { Verdict::Block };
    Judgement { verdict, by: Decider::BuiltIn(why), limited: false, logs: false }
}

fn stays_on_one_bridge(policy: &Resolved, connection: &Connection) -> bool {
    matches!(&connection.path, Path::Forward { iif, oif, addressed: None } if iif == oif && policy.bridges.contains(iif))
}

/// The way whose default governs a connection.
fn way(connection: &Connection) -> Way {
    match &connection.path {
        Path::In { .. } => Way::In,
        Path::Out { .. } => Way::Out,
        Path::Forward { addressed: Some(_), .. } => Way::Published,
        Path::Forward { addressed: None, .. } => Way::Forward,
    }
}

/// Trust speaks of connections that come from there, so never of what this host opens.
fn is_trusted(policy: &Resolved, connection: &Connection) -> bool {
    !matches!(connection.path, Path::Out { .. })
        && policy.trust.iter().any(|trust| trust.who.contains(connection.from))
}

fn matches<'a>(rule: &'a Rule, connection: &Connection) -> Option<Match<'a>> {
    let way = way(connection);
    // A local proxy (docker-proxy, rootless podman) takes a published port at the same port `in`.
    let covered = rule.ways.contains(&way) || way == Way::In && rule.ways.contains(&Way::Published);
    if !covered || !in_scope(&rule.scope, connection) {
        return None;
    }
    // The data of a static passive range is open to the same peers, and only the control port is limited.
    let passive = rule.passive.is_some_and(|passive| {
        !passive.helper
            && connection.proto() == Proto::TCP
            && connection.port().is_some_and(|port| passive.range.contains(port))
    });
    let about: Vec<&Traffic> =
        rule.traffic.iter().filter(|traffic| is_about(**traffic, connection)).collect();
    (passive || !about.is_empty()).then(|| Match {
        rule,
        limited: rule.limit.is_some() && !passive,
        names_it: about.iter().any(|traffic| names(**traffic)),
    })
}

fn names(traffic: Traffic) -> bool {
    match traffic {
        Traffic::Any | Traffic::Protocol(_) => false,
        Traffic::Ports(_, range) => range != PortRange::ALL,
        Traffic::Icmp(_) => true,
    }
}

pub(super) fn in_scope(scope: &Scope, connection: &Connection) -> bool {
    scope.from.contains(connection.from)
        && scope.to.contains(connection.addressed())
        && (scope.on.is_empty() || scope.on.iter().any(|on| on.matches(connection.iface())))
        && is_by(scope.user.as_ref(), connection, |owner| owner.uid)
        && is_by(scope.group.as_ref(), connection, |owner| owner.gid)
}

/// A packet without an owner is of nobody: it is not one of those named, and so it is `except` them.
fn is_by(accounts: Option<&Accounts>, connection: &Connection, id: impl Fn(&super::Owner) -> u32) -> bool {
    let Some(accounts) = accounts else {
        return true;
    };
    let owner = match &connection.path {
        Path::Out { owner, .. } => owner.as_ref(),
        Path::In { .. } | Path::Forward { .. } => None,
    };
    owner.is_some_and(|owner| accounts.ids.contains(&id(owner))) != accounts.except
}

pub(super) fn is_about(traffic: Traffic, connection: &Connection) -> bool {
    match (traffic, connection.packet) {
        (Traffic::Any, _) => true,
        (Traffic::Ports(proto, range), Packet::Ports { .. }) => {
            proto == connection.proto() && connection.port().is_some_and(|port| range.contains(port))
        }
        (Traffic::Icmp(kinds), Packet::Icmp { kind, .. }) => {
            kinds.in_family(connection.family()) == Some(kind)
        }
        (Traffic::Protocol(proto), _) => proto == connection.proto(),
        (Traffic::Ports(..) | Traffic::Icmp(_), _) => false,
    }
}
