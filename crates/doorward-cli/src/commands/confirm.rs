//! `confirm` and `rollback`: keep what is on trial, or take it back.

use super::Outcome;
use super::apply::cut_words;
use super::brief::Kind;
use super::ended::{Ended, ended};
use crate::change::{World, guard, who};
use crate::cli::{Confirm, Output};
use crate::exit::{Exit, Failure};
use crate::init::{self, Host};
use crate::lock;
use crate::store::Writer;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::apply::{Ending, Order};
use std::path::Path;

pub(super) fn run(args: &Confirm, state: &Path, host: &Host, terminal: &mut Terminal) -> Outcome {
    let guard = guard()?;
    let lock = lock::take(state, terminal)?;
    let writer = Writer::open(state, &lock)?;
    let mut world = World::new(guard, Some(&writer.store), Some(&writer), &lock, None)?;
    world.who = who(&mut world);
    if let Some(kind) = world.table().as_ref().and_then(Kind::on_trial) {
        let name = kind.word();
        return Err(Failure::new(
            Exit::Refused,
            format!("`doorward {name}` is never kept: it ends by itself"),
        )
        .way_out("`doorward rollback` ends it now")
        .way_out(world.now_words())
        .into());
    }
    let shown = args.here || world.shows_the_way_in()?;
    if args.here && !args.output.json {
        let words = "without a new connection, nobody knows whether you can come in again";
        terminal.note(Line::of(Tone::Doubtful, format!("--here: {words}")));
    }
    let ending = world.carry_out(Order::Confirm { shown }, terminal);
    let exit = say(&ended(ending, &mut world), &world, args.output, terminal)?;
    // What is confirmed is what boots, if anything does.
    if ending == Ending::Confirmed && !args.output.json && init::boots(host, state).word() == "disabled" {
        let words = "  once doorward is started at boot: `doorward enable`";
        terminal.line(Line::of(Tone::Doubtful, words));
    }
    Ok(exit)
}

pub(super) fn roll_back(output: Output, state: &Path, terminal: &mut Terminal) -> Outcome {
    let guard = guard()?;
    let lock = lock::take(state, terminal)?;
    let writer = Writer::open(state, &lock)?;
    let mut world = World::new(guard, Some(&writer.store), Some(&writer), &lock, None)?;
    world.who = who(&mut world);
    let ending = world.carry_out(Order::RollBack, terminal);
    say(&ended(ending, &mut world), &world, output, terminal)
}

/// The answer of a command that brings no policy.
pub(super) fn say(ended: &Ended, world: &World<'_>, output: Output, terminal: &mut Terminal) -> Outcome {
    match ended {
        Ended::Badly(stop) => Err(stop.clone()),
        well if output.json => {
            terminal.json(&well.json(&[]));
            Ok(well.exit())
        }
        Ended::Well { words, .. } | Ended::Back { words, .. } => {
            terminal.line(Line::of(Tone::Strong, words.as_str()));
            if let Some(line) = cut_words(world) {
                terminal.line(line);
            }
            Ok(ended.exit())
        }
    }
}
