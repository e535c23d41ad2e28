//! An answer for other programs, in the shapes of docs/json.md; decides nothing.

use super::answer::{Answer, Judged, Others};
use super::look::Source;
use super::show;
use crate::expectations;
use crate::json;
use crate::kernel::Comment;
use doorward::explain::{Base, Event, Led, Step};
use doorward::meaning::{Decider, Judgement};
use doorward::trace::End;
use serde_json::{Value, json};

pub(super) fn answer(answer: &Answer) -> Value {
    let (looked_at, policy, generation) = match &answer.source {
        Source::Policy(file) => ("policy", Some(file.clone()), None),
        Source::Kernel(generation) => {
            ("kernel", answer.judged.as_ref().map(|judged| judged.file.clone()), Some(generation))
        }
    };
    json!({
        "connection": answer.assumed.connection.to_string(),
        "verdict": verdict(answer.verdict()),
        "assumed": answer.assumed.lines,
        "looked_at": looked_at,
        "generation": generation,
        "policy": policy,
        "meaning": answer.judged.as_ref().map(judged),
        "program": {
            "verdict": verdict(answer.end),
            "by": answer.by.as_ref().map(comment),
            "spent": answer.spent.as_ref().map(|(end, by)| json!({
                "verdict": verdict(*end),
                "by": by.as_ref().map(comment),
            })),
            "path": path(&show::all_steps(answer)),
        },
        "translated": answer.translated.iter().map(translated).collect::<Vec<_>>(),
        "disagreement": answer.disagreement,
        "whole_kernel": answer.others.as_ref().map(others),
        "notes": answer.notes,
    })
}

fn translated(led: &Led) -> Value {
    json!({
        "becomes": led.to.becomes(),
        "address": led.to.addr,
        "port": led.to.port,
        "by": led.by.as_deref().and_then(Comment::read).as_ref().map(comment),
    })
}

fn judged(judged: &Judged) -> Value {
    let mut value = judgement(&judged.judgement);
    let depends = judged.depends.iter().map(|one| {
        let mut value = judgement(&one.judgement);
        put(&mut value, "when", json!(one.when));
        value
    });
    put(&mut value, "depends", depends.collect());
    value
}

fn judgement(judgement: &Judgement) -> Value {
    let sentence = match &judgement.by {
        Decider::Sentence(origin) | Decider::Default(_, Some(origin)) => Some(json::origin(origin)),
        Decider::Default(_, None) | Decider::BuiltIn(_) => None,
    };
    json!({
        "verdict": judgement.verdict.word(),
        "by": expectations::decided(judgement).1,
        "sentence": sentence,
    })
}

fn put(value: &mut Value, key: &str, what: Value) {
    if let Some(map) = value.as_object_mut() {
        map.insert(key.to_owned(), what);
    }
}

fn others(others: &Others) -> Value {
    let chain = |base: &Base| {
        let table = others.tables.get(base.table);
        json!({
            "family": table.map(|table| table.family.to_string()),
            "table": table.map(|table| table.name.as_str()),
            "chain": base.chain,
            "hook": base.hook.word(),
            "priority": base.priority,
            "verdict": verdict(base.end),
            "by_policy": base.by_policy,
            // Ours stands in `program`.
            "path": if base.table == others.ours { Value::Null } else { path(&base.steps) },
        })
    };
    let depends =
        others.depends.iter().map(|(questions, end)| json!({ "on": questions, "verdict": verdict(*end) }));
    json!({
        "verdict": verdict(others.passage.end),
        "chains": others.passage.bases.iter().map(chain).collect::<Vec<_>>(),
        "depends": depends.collect::<Vec<_>>(),
    })
}

fn path(steps: &[Step]) -> Value {
    steps.iter().map(step).collect()
}

fn step(step: &Step) -> Value {
    let (event, target) = match &step.event {
        Event::Missed => ("no", None),
        Event::Passed => ("matches", None),
        Event::Jumped(chain) => ("jump", Some(chain)),
        Event::Went(chain) => ("goto", Some(chain)),
        Event::Returned => ("return", None),
        Event::Accepted => ("accept", None),
        Event::Dropped => ("drop", None),
        Event::Rejected => ("reject", None),
        Event::Queued => ("queue", None),
        Event::Translated => ("translate", None),
        Event::Stopped => ("unknown", None),
    };
    let matches = step.matches.iter().map(|found| {
        json!({
            "set": found.set,
            "element": found.element,
            "by": found.comment.as_deref().and_then(Comment::read).as_ref().map(comment),
        })
    });
    json!({
        "chain": step.chain,
        "rule": step.rule,
        "text": step.text,
        "event": event,
        "target": target,
        "by": step.comment.as_deref().and_then(Comment::read).as_ref().map(comment),
        "matches": matches.collect::<Vec<_>>(),
    })
}

fn comment(comment: &Comment) -> Value {
    match comment {
        Comment::Sentence { place, sentence } => {
            let (file, line) = place.rsplit_once(':').unwrap_or((place, "0"));
            json!({ "sentence": sentence, "file": file, "line": line.parse::<u32>().unwrap_or(0) })
        }
        Comment::BuiltIn(what) => json!({ "what": what }),
    }
}

fn verdict(end: End) -> &'static str {
    match end {
        End::Accepted => "allow",
        End::Dropped => "block",
        End::Rejected => "reject",
        End::Queued => "queue",
        End::Stopped(_) => "unknown",
    }
}
