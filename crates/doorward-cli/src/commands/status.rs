//! `status`: whether the firewall is active, and how often each sentence was hit, as the kernel has it.

use super::generations::Generations;
use super::{Outcome, short};
use crate::cli;
use crate::exit::Exit;
use crate::init::{self, Boots, Host};
use crate::kernel::{self, Comment};
use crate::since::Since;
use crate::terminal::Terminal;
use crate::text::{Cell, Line, Tone, cell, count, number, table};
use doorward::compile::{self, ARMED, Counted, TABLE, counted, in_force};
use doorward::ruleset::{
    Chain, ChainKind, Expr, Policy, Set, Table, TableFamily, Verdict, comment_of, udata_kind,
};
use doorward_kernel::{Reader, Scope};
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn run(args: &cli::Status, state: &Path, host: &Host, terminal: &mut Terminal) -> Outcome {
    let output = args.output;
    let read = || {
        let reader = Reader::open()?;
        let all = reader.read_headers(&Scope::All)?;
        let wanted = |set: &Set| counts(set) || meter(set).is_some() || set.name == ARMED;
        let ours = reader.read_sets(&kernel::ours(), &wanted)?;
        Ok((all.ruleset.tables, ours.ruleset.tables.into_iter().next()))
    };
    let (all, ours) = read().map_err(|error| kernel::unread(&error))?;
    let generations = Generations::of(ours.as_ref(), state);
    let ours = ours.as_ref().and_then(compile::judging).as_ref().and_then(Ours::of);
    let boots = init::boots(host, state);
    let since = generations.changed_since(state);
    if args.short {
        let drifted =
            |terminal: &mut Terminal| super::verify::does_it(state, terminal).map(|does_it| !does_it);
        return short::run(&generations, &boots, &since, output, drifted, terminal);
    }
    let status = Status { ours, generations, boots, since, others: all.iter().flat_map(others).collect() };
    if output.json {
        terminal.json(&status.json());
    } else {
        status.show(terminal);
    }
    Ok(Exit::Done)
}

struct Status {
    generations: Generations,
    /// What became of the policy's files.
    since: Since,
    boots: Boots,
    /// None where no generation is in force.
    ours: Option<Ours>,
    others: Vec<Other>,
}

/// Our own firewall.
struct Ours {
    generation: u8,
    defaults: Vec<Default>,
    hits: Vec<Hits>,
    full: Vec<String>,
}

/// What happens to the rest on one way.
struct Default {
    way: &'static str,
    verdict: &'static str,
    /// The sentence that says so, if the policy does.
    origin: Option<(String, String)>,
}

/// How often something was hit.
pub(super) struct Hits {
    /// None for what is built in.
    pub place: Option<String>,
    pub words: String,
    pub sum: Counted,
}

/// A base chain of somebody else that can drop as well.
struct Other {
    family: String,
    table: String,
    chain: String,
    hook: String,
    priority: i32,
    drops: bool,
    rules: usize,
}

/// How often each sentence was hit, in the order of the policy, and what is built in.
pub(super) fn hits(table: &Table) -> Vec<Hits> {
    let mut hits: Vec<Hits> = counted(table)
        .into_iter()
        .filter_map(|(comment, sum)| {
            Some(match Comment::read(&comment)? {
                Comment::Sentence { place, sentence } => Hits { place: Some(place), words: sentence, sum },
                Comment::BuiltIn(words) => Hits { place: None, words, sum },
            })
        })
        .collect();
    hits.sort_by_cached_key(|one| (one.place.as_deref().map(in_order), one.words.clone()));
    hits
}

impl Ours {
    fn of(table: &Table) -> Option<Ours> {
        let generation = in_force(table)?;
        let defaults = ["in", "out", "published", "forward"]
            .into_iter()
            .filter_map(|way| default(table, generation, way))
            .collect();
        let full = table.sets.iter().filter_map(full).collect();
        Some(Ours { generation, defaults, hits: hits(table), full })
    }
}

/// Files by name, lines by number.
fn in_order(place: &str) -> (String, u32) {
    match place.rsplit_once(':') {
        Some((file, line)) => (file.to_owned(), line.parse().unwrap_or(0)),
        None => (place.to_owned(), 0),
    }
}

/// The last rule of the chain that judges a way; a way that no sentence speaks of has only a default.
fn default(table: &Table, generation: u8, way: &'static str) -> Option<Default> {
    let chain = |end: &str| table.chain(&format!("g{generation}_{way}{end}"));
    let rule = chain("4").or_else(|| chain("_default"))?.rules.last()?;
    let verdict = rule.exprs.iter().find_map(|expr| match expr {
        Expr::Verdict(Verdict::Drop) => Some("block"),
        Expr::Verdict(Verdict::Goto(name)) if name.ends_with("_yes") => Some("allow"),
        Expr::Verdict(Verdict::Goto(name)) if name.ends_with("_reject") => Some("reject"),
        _ => None,
    })?;
    let comment = comment_of(udata_kind::RULE_COMMENT, &rule.udata).and_then(|text| Comment::read(&text));
    let origin = match comment {
        Some(Comment::Sentence { place, sentence }) => Some((place, sentence)),
        _ => None,
    };
    Some(Default { way, verdict, origin })
}

pub(super) fn counts(set: &Set) -> bool {
    set.exprs.iter().any(|expr| matches!(expr, Expr::Counter { .. }))
}

/// What the sets of a limit are called by the compiler.
fn meter(set: &Set) -> Option<&str> {
    ["meter_", "spent_", "debt_"].iter().any(|stem| set.name.starts_with(stem)).then_some(&set.name)
}

/// A meter without room: who is not in it any more counts as below the limit.
fn full(set: &Set) -> Option<String> {
    let name = meter(set)?;
    let held = set.elements.count(set.key_len);
    (held >= set.room() as usize).then(|| name.to_owned())
}

/// Chains that can drop what ours lets in.
fn others(table: &Table) -> Vec<Other> {
    if (table.family, table.name.as_str()) == (TableFamily::Inet, TABLE) {
        return Vec::new();
    }
    table.chains.iter().filter_map(|chain| other(table, chain)).collect()
}

fn other(table: &Table, chain: &Chain) -> Option<Other> {
    let base = chain.base.as_ref()?;
    let drops = base.policy == Policy::Drop;
    let filters = base.kind == ChainKind::Filter && (drops || !chain.rules.is_empty());
    filters.then(|| Other {
        family: table.family.to_string(),
        table: table.name.clone(),
        chain: chain.name.clone(),
        hook: base.hook.word().to_owned(),
        priority: base.priority,
        drops,
        rules: chain.rules.len(),
    })
}

impl Status {
    fn show(&self, terminal: &mut Terminal) {
        self.generations.show(self.ours.is_some(), terminal);
        show_boots(&self.boots, terminal);
        short::show_since(&self.since, terminal);
        match &self.ours {
            Some(ours) => ours.show(terminal),
            None => terminal.line("  `doorward apply` tries a policy"),
        }
        if self.others.is_empty() {
            return;
        }
        terminal.line("");
        terminal.line(Line::of(Tone::Strong, "others filter too, and what one of them drops is dropped"));
        let rows: Vec<Vec<Cell>> = self
            .others
            .iter()
            .map(|one| {
                let rest = if one.drops { "the rest dropped" } else { "the rest accepted" };
                vec![
                    cell(Tone::Plain, format!("{} {}", one.family, one.table)),
                    cell(Tone::Plain, format!("{} at {} {}", one.chain, one.hook, one.priority)),
                    cell(Tone::Faint, format!("{}, {rest}", count(one.rules, "rule"))),
                ]
            })
            .collect();
        terminal.lines(table(2, &[1], &rows));
        terminal.line("  `doorward show --all` shows their rules");
    }

    fn json(&self) -> Value {
        let others: Vec<Value> = self.others.iter().map(Other::json).collect();
        let (trial, confirmed) = (self.generations.trial_json(), self.generations.confirmed_json());
        let Some(ours) = &self.ours else {
            return json!({
                "active": false,
                "trial": trial,
                "confirmed": confirmed,
                "boot": boots_json(&self.boots),
                "changed": short::since_json(&self.since),
                "others": others,
            });
        };
        let of = |built_in: bool| -> Vec<Value> {
            ours.hits.iter().filter(|one| one.place.is_none() == built_in).map(Hits::json).collect()
        };
        json!({
            "active": true,
            "generation": self.generations.in_force.unwrap_or_else(|| ours.generation.into()),
            "trial": trial,
            "confirmed": confirmed,
            "boot": boots_json(&self.boots),
            "changed": short::since_json(&self.since),
            "defaults": ours.defaults.iter().map(Default::json).collect::<Vec<_>>(),
            "sentences": of(false),
            "built_in": of(true),
            "full_meters": ours.full,
            "others": others,
        })
    }
}

fn show_boots(boots: &Boots, terminal: &mut Terminal) {
    let Some(init) = boots.init else {
        let words = "  boot: disabled: this host starts without it (`doorward enable`)";
        return terminal.line(Line::of(Tone::Doubtful, words));
    };
    if boots.why.is_empty() {
        return terminal.line(Line::of(Tone::Good, format!("  boot: enabled, by {}", init.name())));
    }
    for why in &boots.why {
        terminal.line(Line::of(Tone::Bad, format!("  boot: enabled, but not working: {why}")));
    }
    terminal.line("  `doorward enable` says how to mend that");
}

fn boots_json(boots: &Boots) -> Value {
    json!({
        "state": boots.word(),
        "init": boots.init.map(init::Init::word),
        "program": boots.program,
        "why": boots.why,
    })
}

impl Ours {
    fn show(&self, terminal: &mut Terminal) {
        let defaults: Vec<String> =
            self.defaults.iter().map(|one| format!("{} {}", one.verdict, one.way)).collect();
        terminal.line(format!("  default {}", defaults.join(", ")));
        terminal.line("");
        let mut rows = vec![["hits", "bytes", "sentence"].map(|heading| cell(Tone::Faint, heading)).to_vec()];
        rows.extend(self.hits.iter().filter(|one| one.place.is_some() || one.sum.packets > 0).map(Hits::row));
        terminal.lines(table(2, &[2], &rows));
        for name in &self.full {
            let words = format!("  {name} is full: sources that are not in it count as below their limit");
            terminal.line(Line::of(Tone::Doubtful, words));
        }
    }
}

impl Default {
    fn json(&self) -> Value {
        let origin = self.origin.as_ref().map(|(place, sentence)| origin(place, sentence));
        json!({ "way": self.way, "verdict": self.verdict, "origin": origin })
    }
}

impl Hits {
    fn row(&self) -> Vec<Cell> {
        let tone = if self.sum.packets > 0 { Tone::Plain } else { Tone::Faint };
        vec![
            number(tone, self.sum.packets),
            number(tone, self.sum.bytes),
            cell(tone, self.words.as_str()),
            cell(Tone::Faint, self.place.as_deref().unwrap_or("built in")),
        ]
    }

    fn json(&self) -> Value {
        let hits = json!({ "packets": self.sum.packets, "bytes": self.sum.bytes });
        let mut value = match &self.place {
            Some(place) => origin(place, &self.words),
            None => json!({ "what": self.words }),
        };
        if let (Some(value), Value::Object(hits)) = (value.as_object_mut(), hits) {
            value.extend(hits);
        }
        value
    }
}

/// As `json::origin` says it.
fn origin(place: &str, sentence: &str) -> Value {
    let (file, line) = in_order(place);
    json!({ "sentence": sentence, "file": file, "line": line })
}

impl Other {
    fn json(&self) -> Value {
        json!({
            "family": self.family,
            "table": self.table,
            "chain": self.chain,
            "hook": self.hook,
            "priority": self.priority,
            "policy": if self.drops { "drop" } else { "accept" },
            "rules": self.rules,
        })
    }
}
