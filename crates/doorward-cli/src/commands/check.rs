//! `check`: all mistakes of a policy, then whether it keeps its expectations; loads nothing.

use super::Outcome;
use crate::cli::OnePolicy;
use crate::exit::Exit;
use crate::expectations;
use crate::files::Disk;
use crate::policy::{self, Policy};
use crate::terminal::Terminal;
use crate::text::{Line, Tone, count};
use doorward::compile::{self, Options};
use serde_json::json;

pub(super) fn run(args: &OnePolicy, terminal: &mut Terminal) -> Outcome {
    let disk = Disk::new(&args.file);
    let policy = policy::open(&disk)?;
    let outcomes = policy.resolved.as_ref().map(|it| expectations::ask(it, &policy.host)).unwrap_or_default();
    let broken = outcomes.iter().filter(|outcome| expectations::is_broken(outcome)).count();
    let size = policy.resolved.as_ref().map(|resolved| compile::compile(resolved, &Options::default()));
    let exit = match (&policy.resolved, broken) {
        (None, _) => Exit::Policy,
        (Some(_), 0) => Exit::Done,
        (Some(_), _) => Exit::False,
    };
    if args.output.json {
        let rules = size.map(|table| table.chains.iter().map(|chain| chain.rules.len()).sum::<usize>());
        terminal.json(&json!({
            "policy": args.file.to_string_lossy(),
            "ok": exit == Exit::Done,
            "sentences": policy.loaded.sentences.len(),
            "kernel_rules": rules,
            "reports": policy.json(),
            "expectations": outcomes.iter().map(expectations::json).collect::<Vec<_>>(),
        }));
        return Ok(exit);
    }
    policy.show(terminal, true);
    for outcome in &outcomes {
        terminal.lines(expectations::lines(outcome));
    }
    terminal.line(summary(&policy, &args.file.to_string_lossy(), outcomes.len(), broken));
    Ok(exit)
}

fn summary(policy: &Policy, shown: &str, expectations: usize, broken: usize) -> Line {
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
    let kept = match expectations {
        0 => String::new(),
        1 => ", 1 expectation holds".to_owned(),
        number => format!(", {number} expectations hold"),
    };
    Line::of(Tone::Good, format!("{shown}: {sentences}{kept}, no mistakes{warnings}"))
}
