//! What became of an imagined connection in one table; the facts of the host are made up here, the judgement is
//! the machine's.
#![allow(dead_code, reason = "each test program uses its part")]

use doorward::explain::{self, Surroundings};
use doorward::meaning::Connection;
use doorward::ruleset::{Expr, Table, comment_of, udata_kind};
use doorward::trace::{self, End, Machine, Trace, Unknown};
use std::net::IpAddr;

/// What happened to a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fate {
    pub(crate) end: End,
    /// The comment of the last counter that counted it.
    pub(crate) counted: Option<String>,
    /// Whether something was logged.
    pub(crate) logged: bool,
}

/// Runs the base chain that this connection's first packet meets; `spent`: whether buckets of limits are empty.
pub(crate) fn fate(table: &Table, machine: &Machine, packet: &trace::Packet, spent: bool) -> Fate {
    let mut assume = |what: &Unknown| match what.expr {
        Expr::Lookup { set, .. } => spent && (set.starts_with("spent_") || set.starts_with("debt_")),
        // Logs are never limited away here; a limit that goes on above the rate needs an empty bucket.
        Expr::Limit(limit) => !limit.over || spent,
        other => panic!("nobody knows what {other:?} comes to"),
    };
    let trace = machine.hook(packet, &mut assume);
    let by_policy = trace.bases.iter().any(|base| base.by_policy);
    assert!(!by_policy, "the policy of a base chain is never reached");
    assert_eq!(trace.bases.len(), 1, "each hook has a base chain");
    let (mut counted, mut logged) = (None, false);
    effects(table, machine, &trace, |expr, comment| match expr {
        Expr::Counter { .. } => counted = comment,
        // Drops are logged, too, whatever sentences say of it.
        Expr::Log(log) => {
            logged |= log.prefix.as_deref().is_some_and(|words| words.starts_with("doorward log "));
        }
        _ => {}
    });
    Fate { end: trace.end, counted, logged }
}

/// Every expression that took effect, with the comment of its rule; state of elements with that of the element.
fn effects<'a>(
    table: &'a Table,
    machine: &Machine<'a>,
    trace: &Trace,
    mut each: impl FnMut(&'a Expr, Option<String>),
) {
    for visit in &trace.visits {
        let rule = &table.chains[visit.chain].rules[visit.rule];
        for (at, expr) in rule.exprs[..visit.outcome.effective(rule.exprs.len())].iter().enumerate() {
            each(expr, comment_of(udata_kind::RULE_COMMENT, &rule.udata));
            for hit in visit.hits.iter().filter(|hit| hit.expr == at) {
                let element = machine.element(visit, hit);
                let comment =
                    element.and_then(|element| comment_of(udata_kind::ELEM_COMMENT, &element.udata));
                table.sets[hit.set].exprs.iter().for_each(|expr| each(expr, comment.clone()));
            }
        }
    }
}

/// The first packet of a connection, for a host that has the addresses `own`.
pub(crate) fn packet(connection: &Connection, own: &[IpAddr]) -> trace::Packet {
    let around = Surroundings { own: own.to_vec(), ..Surroundings::default() };
    explain::packet(connection, &around)
}
