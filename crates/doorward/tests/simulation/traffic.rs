//! Connections over time: who comes in, who goes on, and who is cut.

use crate::judge::lets_in;
use crate::world::{Broken, Open, Outcome, World};

impl World<'_> {
    /// Somebody opens a connection.
    pub(crate) fn connect(&mut self) -> Result<(), Broken> {
        let probe = self.random.below(self.book.probes.len() as u64) as usize;
        if !self.book.probes[probe].goes_on {
            return Ok(());
        }
        let judge = self.judge();
        let meant = lets_in(self.book.alone(judge), probe);
        let (passes, mark) = self.book.first(self.kernel.table, probe);
        if passes != meant {
            return Err(format!("{}: let in: {passes}, meant: {meant}", self.book.probes[probe].what));
        }
        if passes {
            // What owes for a limit pays with the packet that completes the handshake.
            let (_, mark) = self.book.later(self.kernel.table, probe, false, mark);
            self.open.push(Open { probe, mark, trial: self.going_on(), excused: false });
        }
        Ok(())
    }

    /// Every connection sends a packet each way.
    pub(crate) fn talk(&mut self) -> Result<(), Broken> {
        for at in 0..self.open.len() {
            let one = self.open[at].clone();
            let (there, mark) = self.book.later(self.kernel.table, one.probe, false, one.mark);
            let (back, mark) = self.book.later(self.kernel.table, one.probe, true, mark);
            self.open[at].mark = mark;
            if one.excused {
                continue;
            }
            let lives = match one.trial.map(|at| &self.trials[at]) {
                None => true,
                Some(trial) => match trial.outcome {
                    Outcome::GoesOn | Outcome::Confirmed => true,
                    Outcome::Expired | Outcome::Ended => lets_in(self.book.alone(trial.old), one.probe),
                    Outcome::Flushed => continue,
                },
            };
            if (there, back) != (lives, lives) {
                let what = self.book.probes[one.probe].what;
                let trial = one.trial.map(|at| &self.trials[at]);
                return Err(format!(
                    "{what} of {trial:?} with mark {:x}: passes {there} and {back}, meant {lives}",
                    one.mark
                ));
            }
        }
        Ok(())
    }

    /// Ends the connections with the number of a trial that is over.
    pub(crate) fn end_marked(&mut self, number: u8) -> Result<(), Broken> {
        let of = |one: &Open| one.mark >> 24 & 0x3f == u32::from(number);
        for one in self.open.iter().filter(|one| of(one) && !one.excused) {
            let over = one
                .trial
                .is_some_and(|at| matches!(self.trials[at].outcome, Outcome::Expired | Outcome::Ended));
            if !over {
                return Err(format!("{} was ended", self.book.probes[one.probe].what));
            }
        }
        self.open.retain(|one| !of(one));
        Ok(())
    }

    /// Ends the connections that the generation in force does not let in.
    pub(crate) fn cut(&mut self) {
        let verdicts = self.book.alone(self.force);
        self.open.retain(|one| lets_in(verdicts, one.probe));
    }

    /// Nothing is promised any more of connections with this number.
    pub(crate) fn excuse(&mut self, number: Option<u8>) {
        for one in &mut self.open {
            one.excused |= number.is_none_or(|number| one.mark >> 24 & 0x3f == u32::from(number));
        }
    }
}
