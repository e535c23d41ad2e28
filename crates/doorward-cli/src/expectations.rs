//! What became of the expectations of a policy, for people and for programs; asks the library's meaning.

use crate::json;
use crate::text::{Line, Tone, grouped};
use doorward::meaning::{self, Answer, Decider, Host, Judgement, Outcome};
use doorward::report::Origin;
use doorward::resolve::Resolved;
use serde_json::{Value, json};

/// Asks about all of them.
pub(crate) fn ask(resolved: &Resolved, host: &Host) -> Vec<Outcome> {
    if resolved.expects.is_empty() {
        return Vec::new();
    }
    meaning::expects(resolved, host)
}

/// Whether one is broken for certain.
pub(crate) fn is_broken(outcome: &Outcome) -> bool {
    matches!(outcome.answer, Answer::Fails { .. })
}

/// What is to say about one; nothing where it holds.
pub(crate) fn lines(outcome: &Outcome) -> Vec<Line> {
    let origin = &outcome.origin;
    let said = origin.sentence.strip_prefix("expect ").unwrap_or(&origin.sentence);
    let about = |tone, words: &str| {
        Line::of(Tone::Strong, format!("{origin}: ")).and(tone, format!("{words}: {said}"))
    };
    match &outcome.answer {
        Answer::Holds { .. } => Vec::new(),
        Answer::Fails { example, judgement } => {
            let (words, decider) = decided(judgement);
            vec![
                about(Tone::Bad, "this expectation does not hold"),
                Line::plain(format!("  for example: {example}")),
                Line::plain(format!("  {:<12} {decider}", format!("{words} by:"))),
            ]
        }
        Answer::Nothing => {
            vec![about(Tone::Doubtful, "warning: this expectation speaks of no connection that can be")]
        }
        Answer::NotDecided { classes } => vec![
            about(Tone::Doubtful, "warning: this expectation is not decided"),
            Line::plain(format!("  {} kinds of connections are too many to try", grouped(*classes))),
            Line::plain("  say `from` and the service more narrowly"),
        ],
    }
}

/// One for other programs.
pub(crate) fn json(outcome: &Outcome) -> Value {
    let mut value = json!({ "expectation": json::origin(&outcome.origin), "allowed": outcome.allowed });
    let more = match &outcome.answer {
        Answer::Holds { tried } => json!({ "answer": "holds", "tried": tried }),
        Answer::Nothing => json!({ "answer": "nothing" }),
        Answer::NotDecided { classes } => json!({ "answer": "not-decided", "classes": classes }),
        Answer::Fails { example, judgement } => json!({
            "answer": "fails",
            "example": example.to_string(),
            "verdict": judgement.verdict.word(),
            "by": decided(judgement).1,
        }),
    };
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn decided(judgement: &Judgement) -> (&'static str, String) {
    use doorward::resolve::model::Verdict;
    let words = match judgement.verdict {
        Verdict::Allow => "allowed",
        Verdict::Block => "blocked",
        Verdict::Reject => "rejected",
    };
    let sentence = |origin: &Origin| format!("{origin}  {}", origin.sentence);
    let decider = match &judgement.by {
        Decider::Sentence(origin) | Decider::Default(_, Some(origin)) => sentence(origin),
        Decider::Default(way, None) => {
            format!("built in  default {} {}", judgement.verdict.word(), way.word())
        }
        Decider::BuiltIn(why) => format!("built in  {why}"),
    };
    (words, decider)
}
