//! The world that a command acts on, and beside it what is true of it: who must judge now, and what became of trials.

use crate::book::{Book, EMERGENCY, Gen, Led, Move, NONE, TRIAL};
use crate::disk::{Disk, Written};
use crate::fault::Counts;
use crate::judge::lets_in;
use crate::probe::SSH;
use crate::random::Random;
use crate::session::Session;
use doorward::apply::Ending;

/// A promise that was not kept.
pub(crate) type Broken = String;

/// What became of a trial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    GoesOn,
    Confirmed,
    Expired,
    Ended,
    Flushed,
}

#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) new: Gen,
    pub(crate) old: Option<Gen>,
    pub(crate) deadline: u64,
    pub(crate) outcome: Outcome,
}

/// What the kernel has.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) table: usize,
    /// When the element of the trial goes.
    pub(crate) deadline: u64,
    /// Moves with every change of rules by anyone.
    pub(crate) changes: u64,
}

/// A connection that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) probe: usize,
    pub(crate) mark: u32,
    /// The trial that let it in.
    pub(crate) trial: Option<usize>,
    /// Nothing is promised of it any more.
    pub(crate) excused: bool,
}

pub(crate) struct World<'a> {
    pub(crate) book: &'a mut Book,
    pub(crate) counts: &'a mut Counts,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) wall: i64,
    pub(crate) kernel: Kernel,
    pub(crate) open: Vec<Open>,
    pub(crate) disk: Disk,
    /// Commands that wait for their trial.
    pub(crate) waiting: Vec<Session>,
    /// Nothing goes wrong any more.
    pub(crate) quiet: bool,
    /// How often the power went.
    pub(crate) epoch: u32,
    pub(crate) to_boot: bool,
    pub(crate) log: Vec<crate::scenario::Line>,
    pub(crate) last: Option<Ending>,

    pub(crate) trials: Vec<Trial>,
    /// The one whose chains are in the kernel.
    pub(crate) current: Option<usize>,
    /// Who judges but for a trial.
    pub(crate) force: Option<Gen>,
    /// What was in force for good some time.
    pub(crate) good: Vec<Gen>,
    /// How often somebody took the table away.
    pub(crate) flushes: u32,
    /// When the peers of the old policy can come back.
    back: Option<u64>,
    /// The disk lost something that it had promised to keep.
    pub(crate) damaged: bool,
}

impl<'a> World<'a> {
    pub(crate) fn new(book: &'a mut Book, counts: &'a mut Counts, seed: u64) -> World<'a> {
        World {
            book,
            counts,
            random: Random::new(seed),
            now: 0,
            wall: 0,
            kernel: Kernel { table: NONE, deadline: 0, changes: 0 },
            open: Vec::new(),
            disk: Disk::new(),
            waiting: Vec::new(),
            quiet: false,
            epoch: 0,
            to_boot: false,
            log: Vec::new(),
            last: None,
            trials: Vec::new(),
            current: None,
            force: None,
            good: Vec::new(),
            flushes: 0,
            back: None,
            damaged: false,
        }
    }

    /// The trial that goes on.
    pub(crate) fn going_on(&self) -> Option<usize> {
        self.current.filter(|at| self.trials[*at].outcome == Outcome::GoesOn)
    }

    /// Who must judge now.
    pub(crate) fn judge(&self) -> Option<Gen> {
        match self.going_on() {
            Some(at) => Some(self.trials[at].new),
            None => self.force,
        }
    }

    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        if let Some(at) = self.going_on() {
            let trial = &mut self.trials[at];
            if self.now >= trial.deadline {
                trial.outcome = Outcome::Expired;
            }
        }
        let armed = self.book.entry(self.kernel.table).armed();
        if armed
            && self.now >= self.kernel.deadline
            && let Led::To(id, _) = self.book.led(self.kernel.table, self.kernel.table, Move::Expire)
        {
            self.kernel.table = id;
        }
    }

    /// To the end of the trial, or just short of it.
    pub(crate) fn near_the_end(&mut self, short: bool) {
        if let Some(at) = self.going_on() {
            let left = self.trials[at].deadline - self.now;
            self.pass(if short { left - 1 } else { left });
        }
    }

    /// What a transaction changed, as it was meant.
    pub(crate) fn changed(&mut self, what: Move) -> Result<(), Broken> {
        let going_on = self.going_on();
        match what {
            Move::Arm(new) => {
                if going_on.is_some() {
                    return Err("armed over a trial that goes on".to_owned());
                }
                let (old, deadline) = (self.force, self.now + TRIAL);
                self.trials.push(Trial { new, old, deadline, outcome: Outcome::GoesOn });
                self.current = Some(self.trials.len() - 1);
                if lets_in(self.book.alone(old), SSH) {
                    self.back = Some(deadline);
                }
            }
            Move::Confirm => {
                let Some(at) = going_on else { return Err("a late confirmation was accepted".to_owned()) };
                self.trials[at].outcome = Outcome::Confirmed;
                self.settled(Some(self.trials[at].new));
            }
            Move::Disarm => {
                if let Some(at) = going_on {
                    self.trials[at].outcome = Outcome::Ended;
                }
            }
            Move::Settle => {
                if going_on.is_some() {
                    return Err("a trial was cleared away that goes on".to_owned());
                }
                self.current = None;
            }
            Move::Replace(new) => {
                if going_on.is_some() {
                    return Err("a policy was put in force over a trial that goes on".to_owned());
                }
                self.settled(Some(new));
            }
            Move::Restore(before) => self.settled(self.book.entry(before).under),
            Move::Load(new) => {
                if new != EMERGENCY && !self.good.contains(&new) {
                    return Err(format!("{new:?} boots and was never confirmed"));
                }
                if let Some(at) = going_on {
                    self.trials[at].outcome = Outcome::Ended;
                }
                self.settled(Some(new));
            }
            Move::Extend => {
                if let Some(at) = going_on {
                    let deadline = self.now + crate::book::LONGER;
                    self.trials[at].deadline = deadline;
                    self.back = self.back.map(|_| deadline);
                }
            }
            Move::Forget | Move::Expire => {}
        }
        Ok(())
    }

    fn settled(&mut self, force: Option<Gen>) {
        self.force = force;
        self.current = None;
        self.back = None;
        if let Some(force) = force {
            self.good.push(force);
        }
    }

    /// Somebody's `flush ruleset`.
    pub(crate) fn flush(&mut self) {
        self.kernel.table = NONE;
        self.kernel.changes += 1;
        if let Some(at) = self.going_on() {
            self.trials[at].outcome = Outcome::Flushed;
        }
        self.settled(None);
        self.flushes += 1;
        self.open.iter_mut().for_each(|one| one.excused = true);
    }

    /// The power goes, and comes back.
    pub(crate) fn power(&mut self) {
        if let Some(at) = self.going_on() {
            self.trials[at].outcome = Outcome::Ended;
        }
        self.settled(None);
        self.kernel = Kernel { table: NONE, deadline: 0, changes: 0 };
        self.open.clear();
        self.waiting.clear();
        let mut random = self.random.clone();
        self.disk.crash(&mut random);
        self.random = random;
        self.epoch += 1;
        self.to_boot = true;
        self.now += 5_000;
    }

    /// What must hold whatever happens.
    pub(crate) fn check(&mut self) -> Result<(), Broken> {
        let judge = self.judge();
        let meant = self.book.alone(judge);
        let entry = self.book.entry(self.kernel.table);
        if entry.verdicts != meant {
            return Err(format!("{judge:?} must judge, but verdicts differ: {:x}", entry.verdicts ^ meant));
        }
        if entry.judging() != judge {
            return Err(format!("{judge:?} must judge, but {:?} does", entry.judging()));
        }
        if let Some(at) = self.going_on() {
            let trial = &self.trials[at];
            if trial.deadline != self.kernel.deadline {
                return Err(format!(
                    "the trial ends at {}, the kernel says {}",
                    trial.deadline, self.kernel.deadline
                ));
            }
            let kept =
                self.disk.kept.iter().any(|one| one.who == trial.new && one.written == Written::Synced);
            if !kept {
                return Err("what is on trial is not on disk".to_owned());
            }
        }
        if self.back.is_some_and(|back| self.now >= back) && !lets_in(entry.verdicts, SSH) {
            return Err("nobody comes back over SSH".to_owned());
        }
        self.check_disk()
    }

    fn check_disk(&self) -> Result<(), Broken> {
        for pointer in [self.disk.pointer, self.disk.synced] {
            for id in pointer.into_iter().flatten() {
                let kept = self.disk.get(id);
                if kept.is_some_and(|kept| !self.good.contains(&kept.who)) {
                    return Err(format!("generation {id} would boot and was never confirmed"));
                }
            }
            let Some(id) = pointer[0] else { continue };
            let kept = self.disk.get(id);
            if !self.damaged && kept.is_none_or(|kept| kept.written != Written::Synced) {
                return Err(format!("generation {id} should boot and is not on disk: {kept:?}"));
            }
        }
        Ok(())
    }
}
