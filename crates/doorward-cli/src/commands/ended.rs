//! How a change ended, in words and as an exit code: for all commands that carry one out.

use crate::change::World;
use crate::exit::{Exit, Failure, Stop};
use doorward::apply::{Ending, Which};
use serde_json::{Value, json};

/// Nothing changed.
pub(super) const UNTOUCHED: &str = "nothing was loaded";
/// The kernel has it, the disk has not.
const HALF: &str = "the policy is in force now, but the next boot may load what was confirmed before";

/// How a change ended.
pub(super) enum Ended {
    /// As it was wanted.
    Well {
        /// For people.
        words: String,
        /// For programs.
        name: &'static str,
        /// The generation on disk that it is about.
        generation: Option<u64>,
    },
    /// All is as before; exit code 4.
    Back {
        /// For people.
        words: String,
        /// For programs.
        name: &'static str,
        /// The generation on disk that it is about.
        generation: Option<u64>,
    },
    /// It failed.
    Badly(Stop),
}

impl Ended {
    /// What the command tells the shell.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Ended::Well { .. } => Exit::Done,
            Ended::Back { .. } => Exit::Refused,
            Ended::Badly(Stop::Said(exit)) => *exit,
            Ended::Badly(Stop::Failed(failure)) => failure.exit,
        }
    }

    /// For programs.
    pub(super) fn json(&self, warnings: &[String]) -> Value {
        match self {
            Ended::Well { words, name, generation } | Ended::Back { words, name, generation } => json!({
                "ended": name,
                "words": words,
                "generation": generation,
                "warnings": warnings,
            }),
            Ended::Badly(_) => Value::Null,
        }
    }
}

/// How it ended, given what the world saw last.
pub(super) fn ended(ending: Ending, world: &mut World<'_>) -> Ended {
    if let Ending::Loaded(which) = ending {
        // What was loaded is known: the kernel is not asked again for words.
        return loaded(which, world);
    }
    let generation = world.ready.as_ref().and_then(|ready| ready.id).or_else(|| world.in_force());
    let well = |name, words: String| Ended::Well { words, name, generation };
    let back = |name, words: String| Ended::Back { words, name, generation };
    let now = match ending {
        // What was read back is what is there.
        Ending::InForce | Ending::OnTrial | Ending::NotShown => String::new(),
        _ => world.now_words(),
    };
    match ending {
        Ending::InForce => well("in force", format!("{} is in force", world.generation_words())),
        Ending::Unchanged => well("unchanged", format!("nothing to do: {now}")),
        Ending::OnTrial => well("on trial", format!("{} is on trial", world.generation_words())),
        Ending::Confirmed => well("confirmed", format!("confirmed: {now}, and will be at the next boot")),
        Ending::Finished => well("finished", format!("confirmed before: {now}; now the disk says so, too")),
        Ending::Already => well("already", format!("nothing to do: {now}")),
        Ending::Loaded(which) => loaded(which, world),
        Ending::Expired if world.ended_early => {
            back("rolled back", format!("the trial was ended before its time: {now}"))
        }
        Ending::Expired => back("expired", format!("the time is over, and nobody confirmed: {now}")),
        Ending::RolledBack => match world.wish {
            // Whoever waits did not get what was asked for.
            Some(_) => back("rolled back", format!("taken back: {now}")),
            None => well("rolled back", format!("taken back: {now}")),
        },
        Ending::NothingOnTrial => badly(Failure::new(Exit::Usage, format!("nothing is on trial: {now}"))),
        Ending::AnotherTrial => badly(
            Failure::new(Exit::Refused, format!("another policy is on trial: {now}"))
                .way_out(
                    "`doorward confirm` in a new session keeps that one, `doorward rollback` takes it back",
                )
                .closing(UNTOUCHED),
        ),
        Ending::Late => badly(
            Failure::new(Exit::Refused, format!("too late: the trial is over, and {now}"))
                .way_out("`doorward apply` puts the policy on trial anew; `--for 5m` gives more time"),
        ),
        Ending::NotShown => badly(world.not_shown()),
        Ending::NotPointed => with(world, HALF, Exit::System, "the disk could not be written"),
        Ending::NotAsMeant => {
            with(world, "it was taken back", Exit::System, "the kernel holds something else")
        }
        Ending::InForceOtherwise => with(
            world,
            "the next boot loads what was confirmed before",
            Exit::System,
            "the kernel holds something else",
        ),
        Ending::NotEnded => with(
            world,
            "the trial ends by itself in its time",
            Exit::System,
            "the kernel did not end the trial",
        ),
        Ending::Unsure => {
            with(world, "`doorward status` tells what is in force", Exit::System, "nobody said how it went")
        }
        Ending::NotSaved | Ending::NotTaken => {
            let closing = if world.wish.is_some() { UNTOUCHED } else { "nothing was changed" };
            with(world, closing, Exit::System, "the kernel did not take it")
        }
        Ending::Busy => badly(
            Failure::new(Exit::System, "others change the firewall all the time")
                .way_out("try again; `doorward show --all` shows whose rules are there")
                .closing(UNTOUCHED),
        ),
        Ending::Gone => badly(
            Failure::new(
                Exit::System,
                "somebody took doorward's rules away: the host has no firewall of ours",
            )
            .way_out("`doorward apply` puts the policy in force again")
            .way_out("`nft flush ruleset` does this, also from units such as nftables.service")
            .closing("as far as doorward goes, the host is open"),
        ),
        Ending::NothingLoaded => {
            with(world, "THE HOST HAS NO FIREWALL", Exit::System, "nothing could be loaded")
        }
    }
}

fn loaded(which: Which, world: &World<'_>) -> Ended {
    let generation = world.booted.generation;
    let number = generation.unwrap_or_default();
    let words = match which {
        Which::Confirmed => format!("generation {number} is in force"),
        Which::Previous => format!(
            "generation {number} is in force: the one confirmed before, as the last one could not be loaded"
        ),
        Which::Emergency => {
            let ports: Vec<String> = world.booted.ports.iter().map(|port| format!("{port}/tcp")).collect();
            format!(
                "no generation could be loaded: only replies, SSH ({}) and what a host needs are let in",
                ports.join(", ")
            )
        }
    };
    Ended::Well { words, name: "loaded", generation }
}

fn badly(failure: Failure) -> Ended {
    Ended::Badly(failure.into())
}

/// With the reason that the world knows.
fn with(world: &mut World<'_>, closing: &'static str, exit: Exit, otherwise: &str) -> Ended {
    match world.failure.take() {
        Some(Stop::Failed(failure)) if failure.closing.is_none() => badly(failure.closing(closing)),
        Some(stop) => Ended::Badly(stop),
        None => badly(Failure::new(exit, otherwise).closing(closing)),
    }
}
