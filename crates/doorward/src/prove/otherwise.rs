//! What drifted besides traffic, in words for people: limits, log lines, packets of open connections.

use super::changes::Kind;
use super::drift::{Besides, Drift};
use super::lens::{Lens, Meant};
use crate::meaning::Connection;
use crate::space::state;

/// One thing that is otherwise than it was compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Otherwise {
    /// In words.
    pub words: String,
    /// Whether it may follow from changes of traffic: who is judged by other rules is counted and logged by others.
    pub follows: bool,
    /// A packet of it.
    pub example: Connection,
    /// As exactly as it is known, for a report.
    pub details: Vec<String>,
}

/// What is otherwise, but for what `changes` tells already.
#[must_use]
pub fn otherwise(drift: &Drift, lens: &Lens) -> Vec<Otherwise> {
    let mut all: Vec<Otherwise> = Vec::new();
    for one in &drift.besides {
        let traffic = !drift.changes.list.is_empty();
        let led = drift.changes.list.iter().any(|change| change.kind == Kind::Leads);
        let Some(words) = words(one, lens, (traffic, led)) else { continue };
        let follows = traffic && !one.what.contains(": the kernel ");
        match all.iter_mut().find(|known| known.words == words) {
            Some(known) if known.details.contains(&one.what) => {}
            Some(known) => known.details.push(one.what.clone()),
            None => {
                let (example, details) = (one.example.clone(), vec![one.what.clone()]);
                all.push(Otherwise { words, follows, example, details });
            }
        }
    }
    all
}

/// In words; none for what is told as traffic.
fn words(one: &Besides, lens: &Lens, (traffic, led): (bool, bool)) -> Option<String> {
    let (hook, what) = one.what.split_once(": ")?;
    if let Some(does) = what.strip_prefix("the kernel ").and_then(|rest| rest.split_once(" this")) {
        return verdict(one, hook, does.0, traffic);
    }
    let what = what.strip_prefix("it ").unwrap_or(what);
    let (verb, rest) = what.strip_prefix("no longer ").unwrap_or(what).split_once(' ')?;
    Some(match verb {
        "logs" => format!("{hook}: other packets are logged, or with other words"),
        "Reject" => format!("{hook}: what is refused gets another answer"),
        "renews" | "adds" | "deletes" => {
            match set_of(rest).and_then(|set| Some((set, lens.sets.get(set)?))) {
                Some((_, Meant::Spent(sentence))) if sentence.contains(' ') => {
                    format!("{hook}: the limit of `{sentence}` counts otherwise")
                }
                Some((_, Meant::Spent(_))) => format!("{hook}: a limit counts otherwise"),
                Some((_, Meant::Banned)) => format!("{hook}: other sources are banned, or for another time"),
                Some((_, Meant::Carried)) => format!("{hook}: open connections are remembered otherwise"),
                None => format!("{hook}: a set is changed that doorward does not change so"),
            }
        }
        // What becomes of traffic is told as such.
        "leads" | "sends" | "translates" if led => return None,
        "leads" | "sends" | "translates" => {
            format!("{hook}: packets that open nothing are translated otherwise")
        }
        "uses" => format!("{hook}: another helper follows connections"),
        "leaves" => format!("{hook}: packets are left out of connection tracking"),
        "sets" | "changes" => format!("{hook}: marks or helpers are set otherwise"),
        _ => format!("{hook}: rules do something besides that doorward does not do"),
    })
}

/// Behind the key of a change of a set: `… in SET …`.
fn set_of(rest: &str) -> Option<&str> {
    rest.split_once(" in ")?.1.split(' ').next()
}

fn verdict(one: &Besides, hook: &str, does: &str, traffic: bool) -> Option<String> {
    let of = match one.state() {
        state::ESTABLISHED => "packets of open connections",
        state::RELATED => "packets that belong to another connection",
        state::INVALID => "packets that make no sense",
        state::UNTRACKED => "packets outside connection tracking",
        // What chains of type nat drop is dropped before anybody judges it.
        _ if one.slice.nat => "first packets of connections",
        _ if traffic => return None,
        _ => "first packets that open nothing",
    };
    let does = match does {
        "lets in" => "pass, and should not",
        "drops" => "are dropped, and should not be",
        "rejects" => "are refused, and should not be",
        other => return Some(format!("{hook}: the kernel {other} {of}")),
    };
    Some(format!("{hook}: {of} {does}"))
}
