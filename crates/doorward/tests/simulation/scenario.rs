//! A life of a host, made up from a seed: commands, time, others who write, faults; and at its end all must be well.

use crate::book::{Book, POLICIES};
use crate::disk::Mood;
use crate::fault::{Counts, Fault};
use crate::random::Random;
use crate::world::{Broken, World};
use doorward::apply::{Ending, Event, Order, Step, Which};
use doorward::compile::Phase;

/// What happened, for whoever reads of a failure.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "what is written down is read by people")]
pub(crate) enum Line {
    Order(Order, u8),
    Step(Step, Fault),
    Event(Event),
    End(Ending),
    Pass(u64),
    ToTheEnd,
    Flush,
    Writer,
    Extend,
    Power,
    Disk(Mood),
    Damage(u32),
    Resume,
    Closing,
}

/// One life; in case of a failure with what happened in it.
pub(crate) fn live(book: &mut Book, counts: &mut Counts, seed: u64) -> Result<(), (Broken, Vec<Line>)> {
    let mut world = World::new(book, counts, seed);
    world.random = Random::new(seed ^ 0x5eed);
    world.whole().map_err(|broken| (broken, std::mem::take(&mut world.log)))
}

impl World<'_> {
    fn whole(&mut self) -> Result<(), Broken> {
        if self.random.percent(50) {
            self.quiet = true;
            let times = 1 + self.random.below(2);
            for _ in 0..times {
                let policy = self.policy();
                self.order(Order::Replace, policy)?;
            }
            self.quiet = false;
        } else if self.random.percent(30) {
            self.to_boot = true;
            self.boot()?;
        }
        for _ in 0..2 + self.random.below(4) {
            self.event()?;
            self.boot()?;
            self.check()?;
        }
        // What a trial left is cleared away by the next one: seldom reached by chance alone.
        let phase = self.book.entry(self.kernel.table).phase;
        let left = matches!(phase, Phase::Quiet { remains: Some(_), .. } | Phase::Trial { left: None, .. });
        if left {
            let policy = self.policy();
            self.order(Order::Try { waits: false }, policy)?;
            self.boot()?;
            self.talk()?;
        }
        self.close()
    }

    fn policy(&mut self) -> u8 {
        self.random.below(POLICIES) as u8
    }

    fn order(&mut self, order: Order, policy: u8) -> Result<(), Broken> {
        self.log.push(Line::Order(order, policy));
        self.run(order, policy)
    }

    /// As often as the power goes.
    fn boot(&mut self) -> Result<(), Broken> {
        while std::mem::take(&mut self.to_boot) {
            if self.random.percent(30) && !self.damaged {
                let at = usize::from(self.random.percent(20));
                if let Some(id) = self.disk.pointer[at] {
                    self.log.push(Line::Damage(id));
                    self.damaged = true;
                    self.disk
                        .kept
                        .iter_mut()
                        .filter(|kept| kept.id == id)
                        .for_each(|kept| kept.damaged = true);
                }
            }
            self.order(Order::Boot, 0)?;
        }
        Ok(())
    }

    /// Somebody calls doorward.
    pub(crate) fn command(&mut self) -> Result<(), Broken> {
        let policy = self.policy();
        let order = match self.random.below(20) {
            0..=6 => Order::Try { waits: self.random.percent(60) },
            7..=8 => Order::Replace,
            9..=14 => Order::Confirm { shown: self.random.percent(85) },
            15..=17 => Order::RollBack,
            _ => Order::Boot,
        };
        self.order(order, policy)
    }

    fn event(&mut self) -> Result<(), Broken> {
        for _ in 0..self.random.below(3) {
            self.connect()?;
        }
        match self.random.below(40) {
            0..=19 => self.command()?,
            20..=25 => {
                let time = self.random.below(60_000);
                self.log.push(Line::Pass(time));
                self.pass(time);
            }
            26..=28 => {
                self.log.push(Line::ToTheEnd);
                let short = self.random.percent(30);
                self.near_the_end(short);
            }
            29 => {
                self.log.push(Line::Flush);
                self.flush();
            }
            30 => {
                self.log.push(Line::Writer);
                self.kernel.changes += 1;
            }
            31 => {
                self.log.push(Line::Extend);
                self.extend()?;
            }
            32 => {
                self.log.push(Line::Power);
                self.power();
            }
            33 => {
                let mood = self.random.one(&[Mood::Full, Mood::ReadOnly, Mood::Well]);
                self.log.push(Line::Disk(mood));
                self.disk.mood = mood;
            }
            _ => self.resume()?,
        }
        self.check()?;
        self.talk()
    }

    /// Who waits looks again.
    fn resume(&mut self) -> Result<(), Broken> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.log.push(Line::Resume);
        let at = self.random.below(self.waiting.len() as u64) as usize;
        let one = self.waiting.remove(at);
        self.drive(one)
    }

    /// Nothing goes wrong any more: what is unfinished can be finished, and everything works as it did.
    fn close(&mut self) -> Result<(), Broken> {
        self.log.push(Line::Closing);
        self.quiet = true;
        self.disk.mood = Mood::Well;
        while !self.waiting.is_empty() {
            self.near_the_end(false);
            self.resume()?;
        }
        let in_time = self.now + 10_000;
        let on_trial = self.going_on().is_some_and(|at| self.trials[at].deadline > in_time);
        self.order(Order::Confirm { shown: true }, 0)?;
        self.ends(on_trial, Ending::Confirmed)?;
        if self.last == Some(Ending::Late) {
            self.order(Order::Confirm { shown: true }, 0)?;
        }
        self.check()?;
        self.talk()?;
        let pointed = self.disk.bootable(0).map(|kept| kept.who);
        // What was disowned is not known, whatever else had its number.
        let known = self.force.and_then(|who| self.disk.in_kernel(who.number));
        let known = known.is_some_and(|kept| Some(kept.who) == self.force);
        if known && pointed != self.force {
            return Err(format!("{pointed:?} boots, and {:?} is in force", self.force));
        }
        // Another than the one that runs.
        let policy = self.force.map_or(0, |force| (force.policy + 1) % POLICIES as u8);
        self.order(Order::Try { waits: false }, policy)?;
        self.ends(true, Ending::OnTrial)?;
        self.order(Order::Confirm { shown: true }, 0)?;
        self.ends(true, Ending::Confirmed)?;
        self.talk()?;
        let force = self.force;
        self.power();
        self.to_boot = false;
        self.order(Order::Boot, 0)?;
        self.ends(true, Ending::Loaded(Which::Confirmed))?;
        self.check()?;
        if self.force == force { Ok(()) } else { Err("the confirmed policy does not boot".to_owned()) }
    }

    fn ends(&self, must: bool, ending: Ending) -> Result<(), Broken> {
        if must && self.last != Some(ending) {
            return Err(format!("{:?} where {ending:?} was due", self.last));
        }
        Ok(())
    }
}
