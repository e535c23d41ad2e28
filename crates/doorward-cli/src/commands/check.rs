//! `check`: all mistakes of a policy, then whether it keeps its expectations; loads nothing.

use super::Outcome;
use crate::cli::OnePolicy;
use crate::exit::Exit;
use crate::expectations;
use crate::files::Disk;
use crate::needless;
use crate::policy::{self, Policy};
use crate::side::BySide;
use crate::terminal::Terminal;
use crate::text::{Line, Tone, count};
use doorward::compile::Options;
use doorward::prove::{self, Outcome as Expected};
use serde_json::json;

/// From so many sentences on it is said that a proof takes its time.
const MANY: usize = 1000;

pub(super) fn run(args: &OnePolicy, terminal: &mut Terminal) -> Outcome {
    let disk = Disk::new(&args.file);
    let mut policy = policy::open(&disk)?;
    if let Some(resolved) = &policy.resolved {
        let more = needless::warnings(&policy, resolved);
        policy.reports.extend(more);
        policy.reports.sort_by_key(|report| (report.span.file, report.span.start));
    }
    let proven = policy.resolved.as_ref().map(|resolved| {
        terminal.progress("proving", resolved.rules.len() > MANY);
        prove::compiled(resolved, &policy.facts.own, &Options::default(), &BySide::of(resolved))
    });
    let outcomes: &[Expected] = proven.as_ref().map_or(&[], |(_, proof)| &proof.expectations);
    let broken = outcomes.iter().filter(|outcome| expectations::is_broken(outcome)).count();
    let unequal = match (&policy.resolved, &proven) {
        (Some(resolved), Some((None, proof))) => expectations::unequal(proof, resolved, &policy.facts.own),
        _ => None,
    };
    let exit = match (&policy.resolved, broken, &unequal) {
        (None, ..) => Exit::Policy,
        (Some(_), 0, None) => Exit::Done,
        (Some(_), ..) => Exit::False,
    };
    if args.output.json {
        let table = proven.as_ref().and_then(|(table, _)| table.as_ref());
        let rules = table.map(|table| table.chains.iter().map(|chain| chain.rules.len()).sum::<usize>());
        terminal.json(&json!({
            "policy": args.file.to_string_lossy(),
            "ok": exit == Exit::Done,
            "sentences": policy.loaded.sentences.len(),
            "kernel_rules": rules,
            "proven": policy.resolved.as_ref().map(|_| unequal.is_none()),
            "unproven": unequal.map(|failure| failure.messages).unwrap_or_default(),
            "reports": policy.json(),
            "expectations": outcomes.iter().map(expectations::json).collect::<Vec<_>>(),
        }));
        return Ok(exit);
    }
    policy.show(terminal, true);
    for outcome in outcomes {
        terminal.lines(expectations::lines(outcome));
    }
    let proven = unequal.is_none();
    if let Some(failure) = unequal {
        terminal.lines(
            failure.messages.iter().map(|line| Line::of(Tone::Bad, line.as_str())).collect::<Vec<_>>(),
        );
        terminal
            .lines(failure.ways_out.iter().map(|line| Line::plain(format!("  {line}"))).collect::<Vec<_>>());
    }
    terminal.line(summary(&policy, &args.file.to_string_lossy(), outcomes.len(), broken, proven));
    Ok(exit)
}

fn summary(policy: &Policy, shown: &str, expectations: usize, broken: usize, proven: bool) -> Line {
    let sentences = count(policy.loaded.sentences.len(), "sentence");
    let warnings = match policy.warnings() {
        0 => String::new(),
        number => format!(", {}", count(number, "warning")),
    };
    if policy.resolved.is_none() {
        let errors = count(policy.errors(), "error");
        return Line::of(Tone::Bad, format!("{shown}: {errors}{warnings}"));
    }
    if broken > 0 {
        let broken = format!("{shown}: {broken} of {} broken{warnings}", count(expectations, "expectation"));
        return Line::of(Tone::Bad, broken);
    }
    if !proven {
        return Line::of(Tone::Bad, format!("{shown}: not proven{warnings}"));
    }
    let kept = match expectations {
        0 => String::new(),
        1 => ", 1 expectation holds".to_owned(),
        number => format!(", {number} expectations hold"),
    };
    Line::of(Tone::Good, format!("{shown}: {sentences}{kept}, no mistakes, proven{warnings}"))
}
