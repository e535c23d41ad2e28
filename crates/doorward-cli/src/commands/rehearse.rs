//! `rehearse`: what the kernel does with real packets beside what the policy promises; loads nothing on this host.

use super::Outcome;
use crate::cli::Rehearse;
use crate::exit::{Exit, Failure, Stop};
use crate::files::Disk;
use crate::policy;
use crate::rehearse::{self, Options, Rehearsal};
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::compile::{self, Options as Compiling};
use doorward::resolve::model::Resolved;

pub(super) fn run(args: &Rehearse, terminal: &mut Terminal) -> Outcome {
    let json = args.policy.output.json;
    let resolved = policy::need(&Disk::new(&args.policy.file), json, terminal)?.resolved;
    let instead = other(args, terminal)?;
    let table = compile::compile(instead.as_ref().unwrap_or(&resolved), &Compiling::default());
    let options = Options { limits: args.limits, instead };
    let rehearsal = rehearse::rehearse(&resolved, &table, &options, |step| terminal.progress(step, false))
        .map_err(|failure| {
            let told = Failure::new(Exit::System, failure.message());
            failure.ways_out().into_iter().fold(told, Failure::way_out)
        })?;
    if json {
        terminal.json(&rehearsal.json());
    } else {
        show(&rehearsal, terminal);
    }
    Ok(if rehearsal.agrees() { Exit::Done } else { Exit::False })
}

fn show(rehearsal: &Rehearsal, terminal: &mut Terminal) {
    for line in rehearsal.lines() {
        let tone = match line.mark {
            rehearse::Mark::Plain => Tone::Plain,
            rehearse::Mark::Head => Tone::Strong,
            rehearse::Mark::Good => Tone::Good,
            rehearse::Mark::Bad => Tone::Bad,
            rehearse::Mark::Doubtful => Tone::Doubtful,
        };
        terminal.line(Line::of(tone, line.text));
    }
}

/// A rehearsal that could not disagree would be worth nothing: builds for tests can load another policy.
#[cfg(debug_assertions)]
fn other(args: &Rehearse, terminal: &mut Terminal) -> Result<Option<Resolved>, Stop> {
    let Some(file) = &args.load_instead else { return Ok(None) };
    Ok(Some(policy::need(&Disk::new(file), args.policy.output.json, terminal)?.resolved))
}

#[cfg(not(debug_assertions))]
#[expect(clippy::unnecessary_wraps, reason = "builds for tests can fail here")]
fn other(_: &Rehearse, _: &mut Terminal) -> Result<Option<Resolved>, Stop> {
    Ok(None)
}
