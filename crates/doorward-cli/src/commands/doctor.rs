//! `doctor`: who else filters here, what may take our rules away, what the kernel lacks; each with the way out.

use super::Outcome;
use crate::change::guard;
use crate::cli::Doctor as Args;
use crate::exit::{Exit, Failure, Stop};
use crate::files::Disk;
use crate::init::{self, Host};
use crate::kernel;
use crate::policy;
use crate::signs::{self, Finding, Passes};
use crate::store::Store;
use crate::terminal::Terminal;
use crate::text::{Line, Tone, count};
use doorward::audit::Level;
use doorward::compile;
use doorward::resolve::Resolved;
use doorward::resolve::model::{Verdict, Way};
use doorward_kernel::{Reader, Socket, abilities};
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn run(args: &Args, state: &Path, host: &Host, terminal: &mut Terminal) -> Outcome {
    let policy = asked(args, state, terminal)?;
    let signs = signs::read(host);
    let mut findings = signs::findings(&signs, policy.as_ref().map(passes));
    let kernel = lacks()?;
    findings.extend(kernel.into_iter().map(|(name, level)| Finding {
        level,
        id: "kernel-lacks",
        what: match level {
            Level::Critical => format!("this kernel has no {name}: every policy is refused"),
            _ => format!("this kernel has no {name}: a policy that needs it is refused"),
        },
        ways_out: vec![
                "on a virtual server that shares its kernel, ask the provider; else `modprobe` what is named"
                    .to_owned(),
            ],
    }));
    let boots = init::boots(host, state);
    if boots.word() != "enabled" {
        let why = boots.why.first().cloned();
        findings.push(Finding {
            level: if why.is_some() { Level::Critical } else { Level::Warning },
            id: "boot",
            what: why.unwrap_or_else(|| "the next boot starts without this firewall".to_owned()),
            ways_out: vec!["`doorward enable`, once a policy is confirmed".to_owned()],
        });
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let bad = findings.iter().any(|finding| finding.level >= Level::Warning);
    if args.output.json {
        terminal.json(&json!({ "findings": findings.iter().map(of_finding).collect::<Vec<_>>() }));
    } else {
        show(&findings, terminal);
    }
    Ok(if bad { Exit::False } else { Exit::Done })
}

/// The policy that was named, or else the one in force; none where neither is.
fn asked(args: &Args, state: &Path, terminal: &mut Terminal) -> Result<Option<Resolved>, Stop> {
    let json = args.output.json;
    if let Some(file) = &args.file {
        return Ok(Some(policy::need_quietly(&Disk::new(file), json, terminal)?.resolved));
    }
    let read = Reader::open().and_then(|reader| reader.read_headers(&kernel::ours()));
    let tables = read.map_err(|error| kernel::unread(&error))?.ruleset.tables;
    let number = tables.first().and_then(compile::in_force);
    let store = Store::open(state).ok().flatten();
    let Some((id, store)) =
        number.zip(store).and_then(|(number, store)| Some((store.in_kernel(number)?, store)))
    else {
        return Ok(None);
    };
    let record = store.replay(id)?;
    Ok(Some(policy::replayed(&record, &record.main, store.index(id)?.facts())?.resolved))
}

fn passes(policy: &Resolved) -> Passes {
    let allows = |way| {
        policy.defaults.of(way).verdict == Verdict::Allow
            || policy.rules.iter().any(|rule| rule.verdict == Verdict::Allow && rule.ways.contains(&way))
    };
    Passes { forwards: allows(Way::Forward), published: allows(Way::Published) }
}

/// What only some sentences need, or nothing that is written today.
const SOME: [&str; 5] = ["translation", "redirection", "the ftp helper", "owners of sockets", "log"];

/// What the kernel was asked for and has not. Nothing is loaded: it is tried in a transaction that must fail.
fn lacks() -> Result<Vec<(String, Level)>, Failure> {
    let socket = Socket::open(guard()?).map_err(|error| kernel::unread(&error))?;
    let missing = abilities::missing(&socket).map_err(|error| Failure::new(Exit::System, error))?;
    let named = |one: abilities::Missing| {
        let level = if SOME.contains(&one.name) { Level::Notice } else { Level::Critical };
        let module = one.module.map(|module| format!(" (module {module})")).unwrap_or_default();
        (format!("{}{module}", one.name), level)
    };
    Ok(missing.into_iter().map(named).collect())
}

fn show(findings: &[Finding], terminal: &mut Terminal) {
    for finding in findings {
        let tone = match finding.level {
            Level::Critical => Tone::Bad,
            Level::Warning => Tone::Doubtful,
            Level::Notice => Tone::Plain,
        };
        let word = finding.level.word();
        terminal.line(Line::of(tone, format!("{word}: ")).and(Tone::Plain, finding.what.as_str()));
        for way_out in &finding.ways_out {
            terminal.line(format!("  {way_out}"));
        }
    }
    let of = |level| findings.iter().filter(|finding| finding.level == level).count();
    let counts = [(Level::Critical, "danger"), (Level::Warning, "warning"), (Level::Notice, "notice")];
    let words: Vec<String> = counts
        .iter()
        .filter(|(level, _)| of(*level) > 0)
        .map(|(level, word)| count(of(*level), word))
        .collect();
    terminal.line(match words.as_slice() {
        [] => Line::of(Tone::Good, "nothing stands in the way of this firewall"),
        words => Line::of(Tone::Strong, words.join(", ")),
    });
}

fn of_finding(finding: &Finding) -> Value {
    json!({
        "level": finding.level.word(),
        "id": finding.id,
        "what": finding.what,
        "ways_out": finding.ways_out,
    })
}
