//! What a command says at its end, held against what is so.

use crate::book::{EMERGENCY, NONE};
use crate::session::Session;
use crate::world::{Broken, Outcome, World};
use doorward::apply::{Ending, Order, Which};

impl World<'_> {
    /// Whether the ending says the truth.
    pub(crate) fn is_true(&self, one: &Session, ending: Ending) -> Result<(), Broken> {
        if self.says_the_truth(one, ending) {
            return Ok(());
        }
        let trial = one.armed.or(one.found).map(|at| &self.trials[at]);
        Err(format!(
            "{:?} says {ending:?}, but {trial:?}, in force is {:?}, before {:?}",
            one.order, self.force, one.force_before
        ))
    }

    fn says_the_truth(&self, one: &Session, ending: Ending) -> bool {
        let trial = if one.order == Order::RollBack || matches!(one.order, Order::Confirm { .. }) {
            one.found
        } else {
            one.armed
        };
        let outcome = trial.map(|at| self.trials[at].outcome);
        let flushed = self.flushes != one.flushes_before;
        let pointed = self.disk.pointer[0].and_then(|id| self.disk.get(id)).map(|kept| kept.who);
        let ended = !matches!(outcome, Some(Outcome::GoesOn | Outcome::Confirmed));
        let as_before = ended && (self.force == one.force_before || flushed);
        let cleared = one.uncleared || trial.is_none() || self.current != trial;
        let is_over = matches!(outcome, Some(Outcome::Expired | Outcome::Ended | Outcome::Flushed));
        // Whoever waits hears of later things only when it asks.
        let in_force = self.force.is_some() && self.force == one.own || flushed;
        match ending {
            Ending::InForce => in_force && (pointed == one.own || flushed),
            Ending::Unchanged => in_force && pointed == self.force,
            Ending::OnTrial => outcome.is_some(),
            Ending::Confirmed => match one.order {
                Order::Confirm { .. } => outcome == Some(Outcome::Confirmed) && pointed.is_some(),
                _ => outcome == Some(Outcome::Confirmed) || in_force,
            },
            Ending::Finished => pointed.is_some() && (pointed == self.force || flushed),
            Ending::NotPointed => match one.order {
                Order::Confirm { .. } => flushed || outcome.is_none_or(|one| one == Outcome::Confirmed),
                _ => in_force,
            },
            // Who sleeps while it is confirmed and then replaced by something else cannot tell any more.
            Ending::Expired => {
                cleared && outcome != Some(Outcome::GoesOn) && (ended || self.force != one.own)
            }
            Ending::RolledBack | Ending::Late => is_over && cleared,
            Ending::NothingOnTrial => self.going_on().is_none(),
            Ending::AnotherTrial => one.found.is_some(),
            Ending::NotShown => outcome != Some(Outcome::Confirmed),
            Ending::NotAsMeant => ended && (self.force != one.own || flushed),
            Ending::InForceOtherwise => in_force,
            Ending::NotEnded => !matches!(outcome, Some(Outcome::Ended | Outcome::Confirmed)),
            Ending::Unsure => true,
            // For a trial that goes on, before is: it goes on.
            Ending::NotTaken | Ending::Busy => match one.order {
                Order::Confirm { .. } => outcome != Some(Outcome::Confirmed),
                Order::RollBack => outcome != Some(Outcome::Ended),
                _ => as_before,
            },
            Ending::NotSaved => as_before,
            Ending::Gone => flushed,
            Ending::Already => self.kernel.table != NONE || flushed,
            Ending::Loaded(which) => {
                // The first that the kernel took is what counts, said it so or not.
                if one.loaded.is_some_and(|loaded| loaded != which) {
                    return flushed || one.unread;
                }
                let id = match which {
                    Which::Emergency => return self.force == Some(EMERGENCY) || flushed,
                    Which::Confirmed => self.disk.pointer[0],
                    Which::Previous => self.disk.pointer[1],
                };
                let who = id.and_then(|id| self.disk.get(id)).map(|kept| kept.who);
                flushed || who.is_some() && self.force == who
            }
            Ending::NothingLoaded => self.kernel.table == NONE,
        }
    }
}
