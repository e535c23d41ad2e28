//! `list services`: what the names of the catalogue open, in groups; knows no policy.

use super::Outcome;
use crate::cli::Output;
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;
use crate::text::{Line, Tone, cell, table};
use doorward::catalogue::{self, Service};
use doorward::report::suggest;
use serde_json::{Value, json};

pub(super) fn run(word: Option<&str>, output: Output, terminal: &mut Terminal) -> Outcome {
    let found: Vec<&Service> = match word {
        Some(word) => catalogue::find(word),
        None => catalogue::services().iter().collect(),
    };
    if output.json {
        terminal.json(&json!({ "services": found.iter().map(|one| value(one)).collect::<Vec<_>>() }));
        return Ok(if found.is_empty() { Exit::False } else { Exit::Done });
    }
    if found.is_empty() {
        return Err(nothing(word.unwrap_or_default()).into());
    }
    for group in found.chunk_by(|a, b| a.group == b.group) {
        let heading = group.first().map_or("", |service| service.group);
        terminal.line(Line::of(Tone::Strong, heading));
        let rows: Vec<_> = group
            .iter()
            .map(|service| {
                vec![
                    cell(Tone::Good, service.name),
                    cell(Tone::Plain, service.items),
                    cell(Tone::Faint, service.comment),
                ]
            })
            .collect();
        terminal.lines(table(2, &[1, 2], &rows));
        terminal.line("");
    }
    terminal.line(Line::of(Tone::Faint, "a name of your own: `define shop = 8443/tcp`, then `allow shop`"));
    Ok(Exit::Done)
}

fn value(service: &Service) -> Value {
    json!({
        "name": service.name,
        "group": service.group,
        "items": service.items.split(',').map(str::trim).collect::<Vec<_>>(),
        "comment": service.comment,
    })
}

fn nothing(word: &str) -> Failure {
    let failure = Failure::new(Exit::False, format!("no service speaks of `{word}`"));
    match suggest(word, catalogue::services().iter().map(|service| service.name)) {
        Some(name) => failure.way_out(format!("did you mean `{name}`?")),
        None => failure.way_out("a port goes without a name: `allow 8443/tcp`"),
    }
}
