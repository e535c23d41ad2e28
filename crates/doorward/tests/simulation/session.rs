//! One call of a command: carries out what the machine says, on the world, and says how it went.

use crate::book::{EMERGENCY, Gen, Led, Move, NONE};
use crate::disk::{Mood, PIECES, Went};
use crate::fault::Fault;
use crate::scenario::Line;
use crate::world::{Broken, World};
use doorward::apply::{Event, Kernel, Machine, Order, Seen, Step, Which};
use doorward::compile::Phase;

/// No command needs more steps.
const MOST_STEPS: u32 = 64;

#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "what happened to it, and its options")]
pub(crate) struct Session {
    pub(crate) order: Order,
    machine: Machine,
    pub(crate) step: Step,
    policy: u8,
    /// What it puts in force or on trial.
    pub(crate) own: Option<Gen>,
    saved: Option<u32>,
    /// What was there before it was replaced.
    replaced: usize,
    /// Whether it ends connections that the new policy blocks.
    cuts: bool,
    raced_on: bool,
    steps: u32,
    epoch: u32,
    /// The trial that it armed.
    pub(crate) armed: Option<usize>,
    /// What it loaded first.
    pub(crate) loaded: Option<Which>,
    /// The trial that it found.
    pub(crate) found: Option<usize>,
    pub(crate) force_before: Option<Gen>,
    pub(crate) flushes_before: u32,
    /// Something kept it from clearing away a trial that is over.
    pub(crate) uncleared: bool,
    /// It could not look at the kernel.
    pub(crate) unread: bool,
}

/// How a step went on.
enum Took {
    On(Event),
    Waits,
    Died,
}

impl World<'_> {
    pub(crate) fn session(&mut self, order: Order, policy: u8) -> Session {
        let (machine, step) = Machine::new(order);
        Session {
            order,
            machine,
            step,
            policy,
            own: None,
            saved: None,
            replaced: NONE,
            cuts: self.random.percent(30),
            raced_on: false,
            steps: 0,
            epoch: self.epoch,
            armed: None,
            loaded: None,
            found: None,
            force_before: self.force,
            flushes_before: self.flushes,
            uncleared: false,
            unread: false,
        }
    }

    /// A whole command, or as far as it comes.
    pub(crate) fn run(&mut self, order: Order, policy: u8) -> Result<(), Broken> {
        let session = self.session(order, policy);
        self.drive(session)
    }

    pub(crate) fn drive(&mut self, mut one: Session) -> Result<(), Broken> {
        self.last = None;
        loop {
            if let Step::End(ending) = one.step {
                self.log.push(Line::End(ending));
                self.last = Some(ending);
                return self.is_true(&one, ending);
            }
            one.steps += 1;
            if one.steps > MOST_STEPS {
                return Err("it never ends".to_owned());
            }
            match self.take(&mut one)? {
                Took::On(event) => one.step = one.machine.next(event),
                Took::Died => return Ok(()),
                Took::Waits => {
                    // Who waits is asked again, and counts no steps.
                    one.steps -= 1;
                    self.waiting.push(one);
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, one: &mut Session) -> Result<Took, Broken> {
        let step = one.step;
        let fault = self.counts.choose(step, self.quiet, &mut self.random);
        self.log.push(Line::Step(step, fault));
        let a_while = 1 + self.random.below(300);
        self.pass(a_while);
        let mood = self.disk.mood;
        match fault {
            Fault::WallJump => self.wall += self.random.below(1 << 40).cast_signed() - (1 << 39),
            Fault::Flush => self.flush(),
            Fault::Deadline => {
                let short = self.random.percent(30);
                self.near_the_end(short);
            }
            Fault::DiskFull => self.disk.mood = Mood::Full,
            Fault::ReadOnly => self.disk.mood = Mood::ReadOnly,
            Fault::KillBefore => return Ok(Took::Died),
            Fault::PowerBefore => {
                self.power();
                self.check()?;
                return Ok(Took::Died);
            }
            _ => {}
        }
        let event = self.effect(one, fault)?;
        self.disk.mood = mood;
        self.check()?;
        let went = match fault {
            Fault::KillMid | Fault::KillAfter => Took::Died,
            Fault::PowerMid | Fault::PowerAfter => {
                self.power();
                self.check()?;
                Took::Died
            }
            _ => event.map_or(Took::Waits, Took::On),
        };
        if let Took::On(event) = &went {
            self.log.push(Line::Event(*event));
        }
        // Who waits has no lock: another command may come between what is seen and what is done about it.
        let between = fault == Fault::SecondCaller || fault == Fault::Interrupted && self.random.percent(50);
        if between && step == Step::Wait {
            self.command()?;
            if one.epoch != self.epoch {
                return Ok(Took::Died);
            }
        }
        Ok(went)
    }

    /// Does what the step says; none while it waits.
    fn effect(&mut self, one: &mut Session, fault: Fault) -> Result<Option<Event>, Broken> {
        let pieces = match fault {
            Fault::KillMid | Fault::PowerMid | Fault::Refused => self.random.below(PIECES),
            _ => PIECES,
        };
        let written = |went| match went {
            Went::Through if fault != Fault::Refused => Event::Done,
            _ => Event::Failed,
        };
        let event = match one.step {
            Step::Look if fault == Fault::Refused => {
                one.unread = true;
                Event::Failed
            }
            Step::Look => {
                if one.found.is_none() {
                    one.found = self.current;
                }
                Event::Seen(self.seen(one))
            }
            Step::Save => {
                if self.runs_already(one.policy) {
                    one.own = self.force;
                    return Ok(Some(Event::Unchanged));
                }
                let who = Gen { policy: one.policy, number: self.unused() };
                let id = self.disk.reserve();
                (one.own, one.saved) = (Some(who), Some(id));
                written(self.disk.save(id, who, pieces))
            }
            Step::Discard => match one.saved {
                Some(id) if pieces > 0 => written(self.disk.discard(id)),
                _ => Event::Failed,
            },
            Step::Arm | Step::Replace => {
                let own = one.own.ok_or("nothing was saved")?;
                let what = if one.step == Step::Arm { Move::Arm(own) } else { Move::Replace(own) };
                one.replaced = self.kernel.table;
                let before = self.trials.len();
                let event = self.send(one, what, true, fault)?;
                if self.trials.len() > before {
                    one.armed = Some(before);
                }
                event
            }
            Step::Settle => {
                let event = self.send(one, Move::Settle, true, fault)?;
                one.uncleared = event != Event::Done;
                event
            }
            Step::Confirm => self.send(one, Move::Confirm, false, fault)?,
            Step::Disarm => self.send(one, Move::Disarm, false, fault)?,
            Step::Forget => self.forget(one, fault)?,
            Step::ReadBack => self.read_back(one, fault),
            Step::Restore if self.kernel.table == NONE => {
                if one.replaced == NONE {
                    Event::Done
                } else {
                    Event::Gone
                }
            }
            Step::Restore => self.send(one, Move::Restore(one.replaced), true, fault)?,
            Step::Wait => return Ok(self.wait(one, fault)),
            Step::Point => {
                let judging = self.book.entry(self.kernel.table).judging();
                let kept = judging.and_then(|who| self.disk.in_kernel(who.number));
                match kept.map(|kept| kept.id) {
                    Some(id) => written(self.disk.point(id, pieces)),
                    None => Event::Failed,
                }
            }
            Step::Cut => {
                if one.cuts && fault != Fault::Refused {
                    self.cut();
                }
                Event::Done
            }
            Step::Load(which) => {
                let who = match which {
                    Which::Confirmed => self.disk.bootable(0).map(|kept| kept.who),
                    Which::Previous => self.disk.bootable(1).map(|kept| kept.who),
                    Which::Emergency => Some(EMERGENCY),
                };
                one.own = who;
                let Some(who) = who else { return Ok(Some(Event::Failed)) };
                if self.kernel.table != NONE {
                    self.excuse(None);
                }
                self.send(one, Move::Load(who), false, fault)?
            }
            Step::End(_) => Event::Done,
        };
        Ok(Some(event))
    }

    /// A number that nothing in the kernel has, and nothing that may boot: what runs is known by its number alone.
    fn unused(&self) -> u8 {
        let confirmed = self.disk.pointer.iter().flatten().filter_map(|id| self.disk.get(*id));
        let confirmed: Vec<u8> = confirmed.map(|kept| kept.who.number).collect();
        self.book.next_number(self.kernel.table, &confirmed)
    }

    fn runs_already(&self, policy: u8) -> bool {
        let entry = self.book.entry(self.kernel.table);
        let alone = matches!(entry.phase, Phase::Quiet { remains: None, .. });
        let runs = entry.under.filter(|who| alone && who.policy == policy);
        let known = runs.and_then(|who| self.disk.in_kernel(who.number));
        known.is_some_and(|kept| self.disk.pointer[0] == Some(kept.id))
    }

    fn seen(&self, one: &Session) -> Seen {
        let entry = self.book.entry(self.kernel.table);
        let known = entry.judging().and_then(|who| self.disk.in_kernel(who.number)).map(|kept| kept.id);
        let own = |who: Option<Gen>| who.is_some() && who == one.own;
        let kernel = match entry.phase {
            Phase::Idle => Kernel::Nothing,
            Phase::Quiet { remains, .. } => {
                Kernel::Quiet { remains: remains.is_some(), known: known.is_some(), own: own(entry.under) }
            }
            Phase::Trial { left: Some(_), .. } => Kernel::Armed { own: own(entry.on) },
            Phase::Trial { left: None, .. } => Kernel::Over,
        };
        let bootable = (0..2).any(|at| self.disk.bootable(at).is_some());
        Seen { kernel, pointed: known.is_some() && known == self.disk.pointer[0], bootable }
    }

    /// Reads, makes a transaction of it, and sends it; `sure` where it must meet what was read.
    fn send(&mut self, one: &mut Session, what: Move, sure: bool, fault: Fault) -> Result<Event, Broken> {
        let read = self.kernel.clone();
        one.raced_on |= fault == Fault::RacedOn;
        match fault {
            Fault::Refused => return Ok(Event::Failed),
            Fault::NotTaken => return Ok(Event::Unknown),
            Fault::KillMid | Fault::PowerMid if self.random.percent(50) => return Ok(Event::Unknown),
            Fault::Raced => self.kernel.changes += 1,
            Fault::FlushMid => self.flush(),
            Fault::DeadlineMid => self.near_the_end(false),
            _ => {}
        }
        if sure && (one.raced_on || self.kernel.changes != read.changes) {
            return Ok(Event::Raced);
        }
        let event = match self.book.led(read.table, self.kernel.table, what) {
            Led::Nothing if what == Move::Confirm => Event::Late,
            Led::Nothing => Event::Done,
            Led::Refused if what == Move::Disarm => Event::Gone,
            Led::Refused if matches!(what, Move::Restore(_)) => Event::Failed,
            Led::Refused if what == Move::Confirm => Event::Late,
            Led::Refused => return Err(format!("the kernel refuses {what:?}")),
            Led::To(id, time) => {
                self.kernel.table = id;
                self.kernel.changes += 1;
                if let Some(time) = time {
                    self.kernel.deadline = self.now + time;
                }
                self.changed(what)?;
                if let Step::Load(which) = one.step {
                    one.loaded.get_or_insert(which);
                }
                Event::Done
            }
        };
        Ok(if fault == Fault::Taken { Event::Unknown } else { event })
    }

    /// Gives the trial more time, or says that it is over.
    pub(crate) fn extend(&mut self) -> Result<(), Broken> {
        let table = self.kernel.table;
        let going_on = self.going_on().is_some();
        let led = self.book.led(table, table, Move::Extend);
        match (going_on, led) {
            (true, Led::To(id, time)) => {
                self.kernel.table = id;
                self.kernel.changes += 1;
                if let Some(time) = time {
                    self.kernel.deadline = self.now + time;
                }
                self.changed(Move::Extend)
            }
            (false, Led::Refused) => Ok(()),
            (_, led) => Err(format!("a trial goes on: {going_on}, and is extended: {led:?}")),
        }
    }

    /// First the connections, then the rules that would judge them.
    fn forget(&mut self, one: &mut Session, fault: Fault) -> Result<Event, Broken> {
        let Phase::Quiet { remains: Some(number), .. } = self.book.entry(self.kernel.table).phase else {
            return Ok(Event::Done);
        };
        if fault == Fault::Refused {
            self.excuse(Some(number));
        } else {
            self.end_marked(number)?;
        }
        self.send(one, Move::Forget, true, fault)
    }

    fn read_back(&mut self, one: &Session, fault: Fault) -> Event {
        let entry = self.book.entry(self.kernel.table);
        match (fault, entry.phase) {
            (Fault::Refused, _) => Event::Failed,
            (Fault::Unequal, _) => Event::Unequal,
            (_, Phase::Idle) => Event::Gone,
            (_, Phase::Trial { .. }) if entry.on == one.own && one.order != Order::Replace => Event::Done,
            (_, Phase::Quiet { .. }) if entry.under == one.own => Event::Done,
            _ => Event::Unequal,
        }
    }

    fn wait(&mut self, one: &Session, fault: Fault) -> Option<Event> {
        let entry = self.book.entry(self.kernel.table);
        match (fault, entry.phase) {
            (Fault::Interrupted, _) => Some(Event::Interrupted),
            (Fault::Refused | Fault::Hangup, _) => Some(Event::Failed),
            (_, Phase::Trial { left: Some(_), .. }) if entry.on == one.own => None,
            (_, _) if entry.under == one.own => Some(Event::Confirmed),
            // What was confirmed and is no longer in force is still known to the disk.
            (_, _) if self.disk.pointer.contains(&one.saved) => Some(Event::Confirmed),
            (_, Phase::Idle) => Some(Event::Gone),
            _ => Some(Event::Over),
        }
    }
}
