//! Warnings of sentences that decide nothing, as the proof finds them; decides nothing itself.

use crate::policy::Policy;
use doorward::net::{AddrSet, Prefix};
use doorward::prove::{self, Needless, Why};
use doorward::report::{Report, Span};
use doorward::resolve::Resolved;
use doorward::syntax::ast::SentenceKind;

/// So many lines are named as the cause.
const NAMED: usize = 3;

/// Warnings, in the order of the text, of what nothing was said about yet.
pub(crate) fn warnings(policy: &Policy, resolved: &Resolved) -> Vec<Report> {
    let own = AddrSet::new(policy.facts.own.own.iter().map(|addr| Prefix::host(*addr)), []);
    // Where it is too much to tell apart, nothing is claimed.
    let found = prove::needless(resolved, &own).unwrap_or_default();
    // A policy without errors has a rule for each such sentence, in the same order.
    let spans: Vec<Span> = policy
        .loaded
        .sentences
        .iter()
        .filter(|sentence| matches!(sentence.kind, SentenceKind::Rule(_)))
        .map(|sentence| sentence.span)
        .collect();
    let said = |span: Span| {
        policy.reports.iter().any(|report| {
            report.span.file == span.file && report.span.start >= span.start && report.span.end <= span.end
        })
    };
    found
        .iter()
        .filter_map(|one| Some((one, *spans.get(one.rule)?)))
        .filter(|(_, span)| !said(*span))
        .map(|(one, span)| warning(one, span, &spans, resolved))
        .collect()
}

fn warning(one: &Needless, span: Span, spans: &[Span], resolved: &Resolved) -> Report {
    let word = resolved.rules.get(one.rule).map_or("sentence", |rule| rule.verdict.word());
    let (id, message, label) = match one.why {
        Why::Empty => {
            ("matches-nothing", "no connection can be one of these".to_owned(), "this never matches")
        }
        Why::Shadowed if one.by.is_empty() => {
            ("shadowed", "trust lifts all of this".to_owned(), "this never matches")
        }
        Why::Shadowed => ("shadowed", "others take all of this".to_owned(), "this never matches"),
        Why::Redundant if one.by.is_empty() => {
            ("redundant", format!("the default is to {word} all of this"), "this changes nothing")
        }
        Why::Redundant => {
            ("redundant", format!("other sentences {word} all of this already"), "this changes nothing")
        }
        Why::LimitLifted => (
            "limit-lifted",
            "other sentences allow all of this without a limit".to_owned(),
            "this limit has no effect",
        ),
    };
    let mut report = Report::warning(id, span, message).label(label);
    let by: Vec<usize> = one.by.iter().copied().filter(|by| *by != one.rule).collect();
    if let Some(first) = by.first().and_then(|first| spans.get(*first)) {
        report = report.other(*first, "the first of them is here");
    }
    let lines: Vec<String> = by
        .iter()
        .skip(1)
        .take(NAMED)
        .filter_map(|other| resolved.rules.get(*other))
        .map(|rule| format!("{}  {}", rule.origin, rule.origin.sentence))
        .collect();
    if !lines.is_empty() {
        let more = by.len().saturating_sub(1 + NAMED);
        let more = if more == 0 { String::new() } else { format!(", and {more} more") };
        report = report.way_out(format!("together with {}{more}", lines.join(", ")));
    }
    report.way_out("take it out, or narrow what makes it needless")
}
