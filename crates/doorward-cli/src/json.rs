//! The shapes of `--json`, which docs/json.md promises; asks nobody and prints nothing.

use crate::exit::Failure;
use doorward::prove::{Kind, Told};
use doorward::report::{Origin, Place, Report, Severity, Sources};
use serde_json::{Value, json};

/// A place in a text.
pub(crate) fn place(place: &Place) -> Value {
    json!({ "file": &*place.file, "line": place.line, "column": place.column })
}

/// A sentence and where it stands.
pub(crate) fn origin(origin: &Origin) -> Value {
    json!({ "sentence": &*origin.sentence, "file": &*origin.file, "line": origin.line })
}

/// What is said about a policy.
pub(crate) fn report(report: &Report, sources: &Sources) -> Value {
    let severity = match report.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let other = report
        .other
        .as_ref()
        .map(|(span, words)| json!({ "message": words, "place": place(&sources.place(*span)) }));
    json!({
        "id": report.id,
        "severity": severity,
        "message": report.message,
        "place": place(&sources.place(report.span)),
        "label": report.label,
        "other": other,
        "ways_out": report.ways_out,
    })
}

/// All of them.
pub(crate) fn reports(reports: &[Report], sources: &Sources) -> Value {
    reports.iter().map(|one| report(one, sources)).collect()
}

/// Changes of traffic.
pub(crate) fn told(told: &[Told]) -> Value {
    told.iter()
        .map(|one| {
            json!({
                "sentence": one.sentence(),
                "kind": kind(one.kind),
                "way": one.way.word(),
                "families": one.families.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "what": one.what.iter().map(|what| what.words.as_str()).collect::<Vec<_>>(),
                "example": one.example.to_string(),
            })
        })
        .collect()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Opens => "opens",
        Kind::Shuts => "shuts",
        Kind::Limits => "limits",
        Kind::Unlimits => "unlimits",
        Kind::Relimits => "limits-otherwise",
        Kind::Leads => "leads",
    }
}

/// Why a command failed.
pub(crate) fn failure(failure: &Failure) -> Value {
    json!({
        "error": {
            "exit": failure.exit.code(),
            "messages": failure.messages,
            "ways_out": failure.ways_out,
        }
    })
}
