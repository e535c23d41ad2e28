//! What a policy says, sentence by sentence as it takes effect: the echo of `apply`.

use crate::change::Ready;
use crate::json;
use crate::kernel::Comment;
use crate::policy::Sound;
use crate::terminal::Terminal;
use crate::text::{Cell, Tone, cell, count, table};
use doorward::compile::{Counted, counted};
use doorward::prove::Answer;
use doorward::report::Origin;
use doorward::resolve;
use doorward::resolve::model::Way;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// So many sentences are told one by one; nobody reads more.
pub(super) const MOST_TOLD: usize = 200;

/// What takes effect, in the order of the text.
pub(super) struct Told {
    sentences: Vec<Origin>,
    /// Defaults that no sentence says.
    defaults: String,
    /// Sentences that had been hit and are not there any more.
    gone: BTreeMap<String, Counted>,
    /// TCP connections from before the first load that go on.
    carried: usize,
    /// So many of them for an hour in any case.
    strict: usize,
    kernel_rules: usize,
    first: bool,
}

impl Told {
    pub(super) fn of(policy: &Sound, ready: &Ready) -> Told {
        let holds = |origin: &Origin| {
            let same = |one: &&doorward::prove::Outcome| one.origin == *origin;
            ready.expectations.iter().find(same).is_some_and(|one| one.answer == Answer::Holds)
        };
        let sentences = resolve::list(&policy.loaded, &policy.resolved)
            .into_iter()
            .filter_map(|line| line.origin)
            .filter(|origin| match verb(origin).0 {
                "define" => false,
                "expect" => holds(origin),
                _ => true,
            })
            .collect();
        let defaults: Vec<String> = Way::ALL
            .into_iter()
            .map(|way| (way, policy.resolved.defaults.of(way)))
            .filter(|(_, default)| default.origin.is_none())
            .map(|(way, default)| format!("{} {}", default.verdict.word(), way.word()))
            .collect();
        Told {
            sentences,
            defaults: defaults.join(", "),
            gone: gone(ready),
            carried: if ready.first { ready.options.carried.len() } else { 0 },
            strict: ready.strict,
            kernel_rules: ready.table.chains.iter().map(|chain| chain.rules.len()).sum(),
            first: ready.first,
        }
    }

    /// How many sentences there are, in words.
    pub(super) fn count(&self) -> String {
        count(self.sentences.len(), "sentence")
    }

    pub(super) fn show(&self, terminal: &mut Terminal) {
        let built_in = || cell(Tone::Faint, "built in");
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        if !self.defaults.is_empty() {
            let defaults = cell(Tone::Plain, self.defaults.as_str());
            rows.push(vec![cell(Tone::Plain, "default"), defaults, built_in()]);
        }
        let needed = "replies, loopback, the ICMP and DHCP that a host needs";
        rows.push(vec![cell(Tone::Good, "allowed"), cell(Tone::Plain, needed), built_in()]);
        rows.extend(self.sentences.iter().take(MOST_TOLD).map(row));
        for (sentence, hits) in &self.gone {
            let packets = usize::try_from(hits.packets).unwrap_or(usize::MAX);
            rows.push(vec![
                cell(Tone::Doubtful, "gone"),
                cell(Tone::Plain, sentence.as_str()),
                cell(Tone::Faint, count(packets, "hit")),
            ]);
        }
        terminal.lines(table(2, &[1], &rows));
        if let Some(more @ 1..) = self.sentences.len().checked_sub(MOST_TOLD) {
            terminal.line(format!("  and {} more: `doorward list` shows them", count(more, "sentence")));
        }
        // Of those that end in any case it was told before.
        let carried = self.carried.saturating_sub(self.strict);
        if carried > 0 {
            let were = if carried == 1 {
                "was open may go on; if idle, it has"
            } else {
                "were open may go on; idle ones have"
            };
            let carried = count(carried, "TCP connection");
            terminal.line(format!("  {carried} that {were} an hour to speak"));
        }
    }

    /// The same for programs; `more` says how it ended.
    pub(super) fn json(&self, more: Value, took: f64) -> Value {
        let gone: Vec<Value> = self
            .gone
            .iter()
            .map(|(sentence, hits)| json!({ "sentence": sentence, "packets": hits.packets, "bytes": hits.bytes }))
            .collect();
        let mut value = json!({
            "first": self.first,
            "sentences": self.sentences.iter().map(json::origin).collect::<Vec<_>>(),
            "kernel_rules": self.kernel_rules,
            "carried": self.carried,
            "gone": gone,
            "milliseconds": (took * 1000.0).round() / 1000.0,
        });
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    }
}

/// Sentences that had been hit and are not there any more, wherever they stood.
fn gone(ready: &Ready) -> BTreeMap<String, Counted> {
    let sentence = |comment: &str| match Comment::read(comment) {
        Some(Comment::Sentence { sentence, .. }) => Some(sentence),
        _ => None,
    };
    let now: BTreeSet<String> =
        counted(&ready.table).keys().filter_map(|comment| sentence(comment)).collect();
    let mut gone: BTreeMap<String, Counted> = BTreeMap::new();
    for (comment, hits) in &ready.hits {
        if let Some(sentence) = sentence(comment)
            && !now.contains(&sentence)
            && hits.packets > 0
        {
            *gone.entry(sentence).or_default() += *hits;
        }
    }
    gone
}

fn verb(origin: &Origin) -> (&str, &str) {
    origin.sentence.split_once(' ').unwrap_or((&origin.sentence, ""))
}

fn row(origin: &Origin) -> Vec<Cell> {
    let (verb, rest) = verb(origin);
    let done = match verb {
        "allow" => cell(Tone::Good, "allowed"),
        "block" => cell(Tone::Bad, "blocked"),
        "reject" => cell(Tone::Bad, "rejected"),
        "trust" => cell(Tone::Good, "trusted"),
        "expect" => cell(Tone::Faint, "holds"),
        other => cell(Tone::Plain, other),
    };
    vec![done, cell(Tone::Plain, rest), cell(Tone::Faint, origin.to_string())]
}
