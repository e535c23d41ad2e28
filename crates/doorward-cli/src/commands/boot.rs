//! `boot`: loads what was confirmed last; falls back, and says so loudly.

use super::Outcome;
use super::confirm::say;
use super::ended::{Ended, ended};
use crate::change::{World, guard};
use crate::cli::Output;
use crate::exit::{Exit, Failure};
use crate::lock;
use crate::store::Store;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use doorward::apply::{Ending, Order, Which};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::path::Path;

/// What is to be done about a fallback.
const MEND: &str = "this is not what was confirmed last: `doorward apply` puts a policy in force again";
/// What a boot that could load nothing leaves.
const OPEN: &str = "THE HOST HAS NO FIREWALL";

pub(super) fn run(output: Output, state: &Path, terminal: &mut Terminal) -> Outcome {
    let guard = guard()?;
    may_load()?;
    // Neither a lock nor a state that cannot be had is a reason to leave the host open.
    let mut failures = Vec::new();
    let mut note = |failure: Failure| failures.push(failure);
    let lock = lock::take(state, terminal).map_err(&mut note).ok();
    let store = Store::open(state).map_err(&mut note).ok().flatten();
    let world = World::new(guard, store.as_ref(), None, lock.as_ref(), None);
    let mut world = world.map_err(|failure| failure.closing(OPEN))?;
    let ending = world.carry_out(Order::Boot, terminal);
    failures.append(&mut world.failures);
    let fell_back = match ending {
        Ending::Loaded(which) => which != Which::Confirmed,
        // A boot before this one fell back.
        Ending::Already => world.is_emergency(),
        _ => false,
    };
    // One cause fails every try.
    failures.dedup_by(|one, other| one.messages == other.messages);
    let ended = ended(ending, &mut world);
    if let Ended::Badly(_) = ended {
        // The last is what it ends with.
        failures.pop();
    }
    for failure in &failures {
        terminal.failure(failure);
    }
    let exit = say(&ended, &world, output, terminal)?;
    if fell_back {
        terminal.note(Line::of(Tone::Bad, MEND));
    }
    world.close();
    Ok(if fell_back { Exit::System } else { exit })
}

/// Without the right to load anything, each step would fail in its own words.
fn may_load() -> Result<(), Failure> {
    let lacks = |sets: CapabilitySets| !sets.effective.contains(CapabilitySet::NET_ADMIN);
    // Where that cannot be asked it is tried.
    if !rustix::thread::capabilities(None).is_ok_and(lacks) {
        return Ok(());
    }
    Err(Failure::new(Exit::System, "this process may not load rules: it has no CAP_NET_ADMIN")
        .way_out("run it as root; a service that limits capabilities has to leave it this one")
        .closing("nothing was loaded"))
}
