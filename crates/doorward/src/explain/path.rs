//! The way of a packet in words: each rule that it met, what became of it, and which element matched; runs none.

use super::doubt::Doubt;
use crate::emit::{self, Style};
use crate::ruleset::{Expr, Rule, Table, Udata, Verdict, comment_of, udata_kind};
use crate::trace::{Hit, Machine, Outcome, Trace, Visit};
use crate::xt;

/// A rule on the way of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Index of the table.
    pub table: usize,
    /// Name of the chain.
    pub chain: String,
    /// Number of the rule in the chain, from 1.
    pub rule: usize,
    /// The rule as nft says it, without its comment.
    pub text: String,
    /// The comment of the rule, which says where it came from.
    pub comment: Option<String>,
    /// What became of it.
    pub event: Event,
    /// The elements of sets that it found.
    pub matches: Vec<Match>,
    /// Whom the hit is counted for: the comment of a counter that it passed.
    pub counted: Option<String>,
}

/// What became of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It did not match.
    Missed,
    /// It matched and said nothing.
    Passed,
    /// It called a chain.
    Jumped(String),
    /// It handed on to a chain.
    Went(String),
    /// It went back to the caller.
    Returned,
    /// It accepted.
    Accepted,
    /// It dropped.
    Dropped,
    /// It rejected.
    Rejected,
    /// It handed the packet to user space.
    Queued,
    /// It translated an address.
    Translated,
    /// It cannot be run.
    Stopped,
}

/// An element that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// The set; empty for one without a name.
    pub set: String,
    /// The element as nft says it; none where it is not known which.
    pub element: Option<String>,
    /// Its comment.
    pub comment: Option<String>,
}

/// The steps of a trace.
#[must_use]
pub fn steps(tables: &[Table], machine: &Machine<'_>, trace: &Trace<'_>, style: &Style) -> Vec<Step> {
    trace.visits.iter().filter_map(|visit| step(tables, machine, visit, style)).collect()
}

fn step(tables: &[Table], machine: &Machine<'_>, visit: &Visit<'_>, style: &Style) -> Option<Step> {
    let table = tables.get(visit.table)?;
    let chain = table.chains.get(visit.chain)?;
    let rule = chain.rules.get(visit.rule)?;
    let comment = comment_of(udata_kind::RULE_COMMENT, &rule.udata);
    Some(Step {
        table: visit.table,
        chain: chain.name.clone(),
        rule: visit.rule + 1,
        text: rule_text(table, rule, style),
        event: event(&visit.outcome),
        matches: visit.hits.iter().filter_map(|hit| found(table, machine, visit, hit, style)).collect(),
        counted: counted(table, machine, visit, rule, comment.as_ref()),
        comment,
    })
}

/// On one line, and without what counters stand at.
fn rule_text(table: &Table, rule: &Rule, style: &Style) -> String {
    let fresh = |expr: &Expr| match expr {
        Expr::Counter { .. } => Expr::Counter { packets: 0, bytes: 0 },
        other => other.clone(),
    };
    let bare = Rule { exprs: rule.exprs.iter().map(fresh).collect(), udata: Udata::default(), handle: None };
    let text = emit::rule_text_in(table, &bare, style).replace("counter packets 0 bytes 0", "counter");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn event(outcome: &Outcome<'_>) -> Event {
    match outcome {
        Outcome::Matched => Event::Passed,
        Outcome::Broke { .. } => Event::Missed,
        Outcome::Rejected { .. } => Event::Rejected,
        Outcome::Queued { .. } => Event::Queued,
        Outcome::Translated { .. } => Event::Translated,
        Outcome::Stopped { .. } => Event::Stopped,
        Outcome::Verdict { verdict, .. } => match verdict {
            Verdict::Accept => Event::Accepted,
            Verdict::Drop => Event::Dropped,
            Verdict::Queue => Event::Queued,
            Verdict::Return => Event::Returned,
            Verdict::Jump(chain) => Event::Jumped(chain.clone()),
            Verdict::Goto(chain) => Event::Went(chain.clone()),
            Verdict::Continue | Verdict::Break => Event::Passed,
            Verdict::Other(_) => Event::Stopped,
        },
    }
}

fn found(table: &Table, machine: &Machine<'_>, visit: &Visit<'_>, hit: &Hit, style: &Style) -> Option<Match> {
    let set = table.sets.get(hit.set)?;
    let named = !set.name.starts_with("__");
    Some(Match {
        set: if named { set.name.clone() } else { String::new() },
        element: hit.element.map(|number| emit::element_text(table, set, number, style)),
        comment: element_comment(machine, visit, hit),
    })
}

fn element_comment(machine: &Machine<'_>, visit: &Visit<'_>, hit: &Hit) -> Option<String> {
    comment_of(udata_kind::ELEM_COMMENT, &machine.element(visit, hit)?.udata)
}

/// The last counter that the packet passed in a rule, by its comment.
fn counted(
    table: &Table,
    machine: &Machine<'_>,
    visit: &Visit<'_>,
    rule: &Rule,
    comment: Option<&String>,
) -> Option<String> {
    let counts = |expr: &Expr| matches!(expr, Expr::Counter { .. });
    let effective = visit.outcome.effective(rule.exprs.len());
    let mut last = None;
    for (at, expr) in rule.exprs.iter().take(effective).enumerate() {
        if counts(expr) {
            last = comment.cloned().or(last);
        }
        for hit in visit.hits.iter().filter(|hit| hit.expr == at) {
            if table.sets.get(hit.set).is_some_and(|set| set.exprs.iter().any(counts)) {
                last = element_comment(machine, visit, hit).or(last);
            }
        }
    }
    last
}

/// What a packet does not tell, in words: `limit rate 5/second`, `the iptables match recent`.
#[must_use]
pub fn question_text(tables: &[Table], doubt: &Doubt) -> String {
    match &doubt.expr {
        Expr::Limit(_) => "a limit".to_owned(),
        Expr::Quota { .. } => "a quota".to_owned(),
        Expr::Connlimit { .. } => "how many connections there are".to_owned(),
        Expr::Lookup { set, .. } | Expr::ObjrefMap { set, .. } => in_set(tables, doubt, set),
        Expr::Dynset(dynset) => format!("whether set {} is full", dynset.set),
        Expr::Objref { name, .. } => format!("the object {name}"),
        Expr::Unknown { name, .. } => match xt::name(&doubt.expr) {
            Some(extension) => format!("the iptables {name} {extension}"),
            None => format!("the expression {name}"),
        },
        Expr::Cmp { .. } | Expr::Range { .. } => "a value that no packet tells".to_owned(),
        _ => "what no packet tells".to_owned(),
    }
}

fn in_set(tables: &[Table], doubt: &Doubt, name: &str) -> String {
    let table = tables.get(doubt.place.table);
    let anonymous = table.and_then(|table| table.set(name)).is_some_and(|set| set.flags & 1 != 0);
    if anonymous { "a value that no packet tells".to_owned() } else { format!("what set {name} holds") }
}
