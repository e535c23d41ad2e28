//! `status --short`: one line and an exit code, for who looks every minute; and what became of the policy's files.

use super::Outcome;
use super::generations::Generations;
use crate::cli::Output;
use crate::exit::{Exit, Stop};
use crate::init::Boots;
use crate::since::Since;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use serde_json::{Value, json};

/// Says how it is; the worst comes first.
pub(super) fn run(
    generations: &Generations,
    boots: &Boots,
    since: &Since,
    output: Output,
    drifted: impl FnOnce(&mut Terminal) -> Result<bool, Stop>,
    terminal: &mut Terminal,
) -> Outcome {
    let (state, words) = match generations.state() {
        Some(found) => found,
        None if drifted(terminal)? => {
            ("drifted", "the kernel does not do what was confirmed: `doorward verify`".to_owned())
        }
        None => match boots.word() {
            "disabled" => ("boot-disabled", "the next boot starts without it: `doorward enable`".to_owned()),
            "broken" => ("boot-broken", boots.why.first().cloned().unwrap_or_default()),
            _ if !since.is_empty() => {
                let files = [&since.sentences[..], &since.lists[..]].concat();
                ("changed", format!("{}: `doorward plan`", files.join(", ")))
            }
            _ => ("active", format!("generation {}", generations.in_force.unwrap_or_default())),
        },
    };
    let well = state == "active";
    if output.json {
        terminal.json(&json!({ "state": state, "words": words, "ok": well }));
    } else {
        let tone = if well { Tone::Good } else { Tone::Bad };
        terminal.line(Line::of(tone, state).and(Tone::Plain, format!(": {words}")));
    }
    Ok(if well { Exit::Done } else { Exit::False })
}

/// Files that are not what they were when the policy was confirmed.
pub(super) fn show_since(since: &Since, terminal: &mut Terminal) {
    for path in &since.sentences {
        let words = format!("  {path} was changed since: `doorward plan` tells what that means for traffic");
        terminal.line(Line::of(Tone::Doubtful, words));
    }
    for path in &since.lists {
        let words = format!("  {path} was changed since: `doorward apply` puts the list in force");
        terminal.line(Line::of(Tone::Doubtful, words));
    }
}

pub(super) fn since_json(since: &Since) -> Value {
    json!({ "sentences": since.sentences, "lists": since.lists })
}
