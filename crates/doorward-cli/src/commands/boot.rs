//! `boot`: loads what was confirmed last; falls back, and says so loudly.

use super::Outcome;
use super::confirm::say;
use super::ended::ended;
use crate::change::{World, guard};
use crate::cli::Output;
use crate::exit::Exit;
use crate::lock;
use crate::store::Store;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::apply::{Ending, Order, Which};
use std::path::Path;

pub(super) fn run(output: Output, state: &Path, terminal: &mut Terminal) -> Outcome {
    let guard = guard()?;
    let lock = lock::take(state, terminal)?;
    let store = Store::open(state).unwrap_or_else(|failure| {
        terminal.failure(&failure);
        None
    });
    let mut world = World::new(guard, store.as_ref(), None, &lock, None)?;
    let ending = world.carry_out(Order::Boot, terminal);
    for failure in std::mem::take(&mut world.failures) {
        terminal.failure(&failure);
    }
    let exit = say(&ended(ending, &mut world), &world, output, terminal)?;
    match ending {
        Ending::Loaded(Which::Previous | Which::Emergency) => {
            let words = "this is not what was confirmed last: `doorward apply` puts a policy in force again";
            terminal.note(Line::of(Tone::Bad, words));
            Ok(Exit::System)
        }
        _ => Ok(exit),
    }
}
