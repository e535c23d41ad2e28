//! What a proof found, for people and for programs: expectations, and whether the program means the policy.

use crate::exit::{Exit, Failure};
use crate::json;
use crate::text::{Line, Tone};
use doorward::meaning::sets::Place;
use doorward::meaning::{Decider, Host, Judgement, Limits, connection, judge};
use doorward::prove::{Answer, Difference, Mistranslated, Outcome, Proof};
use doorward::report::Origin;
use doorward::resolve::Resolved;
use doorward::resolve::model::Verdict;
use serde_json::{Value, json};

/// Why a program cannot be loaded, if it is not proven to mean the policy.
pub(crate) fn unequal(proof: &Proof, policy: &Resolved, host: &Host) -> Option<Failure> {
    if let Some(why) = &proof.unproven {
        return Some(
            Failure::new(Exit::Refused, format!("not proven: {why}"))
                .way_out("put addresses that are treated alike into a list: `define NAME = file \"…\"`"),
        );
    }
    let of_judgement = proof.differences.first().map(|one| difference(one, policy, host));
    let of_translation = || proof.mistranslated.first().map(mistranslated);
    let first = of_judgement.or_else(of_translation)?;
    let mut failure = Failure::new(Exit::Refused, "the program does not mean what the policy says");
    failure.messages.extend(first);
    failure.messages.push("this is a mistake of doorward, not of the policy".to_owned());
    Some(failure.way_out("please report it with the policy"))
}

/// One packet that is treated otherwise, and what the policy says of it.
fn difference(one: &Difference, policy: &Resolved, host: &Host) -> Vec<String> {
    let example = connection(&one.example, one.family, one.place);
    let (_, decider) = decided(&judge(policy, host, &example, Limits::Unspent));
    vec![
        format!("for example: {example}"),
        format!("the policy: {} ({decider}); the program: {}", one.meant.word(), one.done.word()),
    ]
}

/// One first packet that is translated otherwise.
fn mistranslated(one: &Mistranslated) -> Vec<String> {
    let place = Place { hook: one.slice.hook, translated: one.slice.translated };
    let example = connection(&one.example, one.family, place);
    let words = |end: &Option<String>| end.clone().unwrap_or_else(|| "leaves this as it is".to_owned());
    vec![
        format!("for example: {example}"),
        format!("the policy {}; the program {}", words(&one.meant), words(&one.done)),
    ]
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
        Answer::Holds => Vec::new(),
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
        Answer::NotProven => vec![
            about(Tone::Doubtful, "warning: this expectation is not proven"),
            Line::plain("  there are too many kinds of connections to tell apart"),
        ],
    }
}

/// One for other programs.
pub(crate) fn json(outcome: &Outcome) -> Value {
    let mut value = json!({ "expectation": json::origin(&outcome.origin), "allowed": outcome.allowed });
    let more = match &outcome.answer {
        Answer::Holds => json!({ "answer": "holds" }),
        Answer::Nothing => json!({ "answer": "nothing" }),
        Answer::NotProven => json!({ "answer": "not-proven" }),
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

/// What happens, in a word.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Block => "blocked",
        Verdict::Reject => "rejected",
    }
}

/// What happens, and who says so, in words.
pub(crate) fn decided(judgement: &Judgement) -> (&'static str, String) {
    let words = verdict(judgement.verdict);
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
