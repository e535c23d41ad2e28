//! The steps that change the kernel's rules, each in one transaction, and reading back what became of them.

use super::{Held, World};
use crate::exit::{Exit, Failure, Stop};
use crate::load::explained;
use crate::side::BySide;
use crate::store::{Moment, Store};
use doorward::apply::{Event, Seen};
use doorward::compile::{self, Phase, Running, carry_counters, counted, replace};
use doorward::prove::{self, Claim};
use doorward::ruleset::{Checked, Transaction};
use doorward_kernel::{CommitError, Generation};
use rustix::io::Errno;
use std::rc::Rc;
use std::time::Instant;

/// Others change the ruleset: so often a step that needs no new decision is tried again.
const TRIES: u32 = 20;

impl World<'_> {
    pub(super) fn look(&mut self) -> Result<Event, Stop> {
        self.held = None;
        let held = self.looked_at()?;
        let own = self.ready.as_ref().map(|ready| ready.number).or_else(|| self.booted.number(self.store));
        let pointer = match self.store.map(Store::confirmed).transpose() {
            Ok(pointer) => pointer.flatten(),
            Err(failure) => {
                // A boot says so, and falls back.
                self.failures.push(failure);
                None
            }
        };
        let is_known = !held.is_emergency();
        let in_force = held.table.as_ref().filter(|_| is_known).and_then(compile::in_force);
        let in_force = in_force.and_then(|number| self.on_disk(number));
        let confirmed = pointer.as_ref().map(|pointer| pointer.confirmed.generation);
        let bootable = pointer.is_some();
        self.booted.seen(held.table.is_some(), pointer);
        Ok(Event::Seen(Seen {
            kernel: held.kernel(own, |number| is_known && self.on_disk(number).is_some()),
            pointed: in_force.is_some() && in_force == confirmed,
            bootable,
        }))
    }

    pub(super) fn arm(&mut self) -> Result<Event, Stop> {
        let held = self.looked_at()?;
        if let Phase::Trial { .. } = held.phase() {
            return Err(Failure::new(Exit::System, "a trial was begun meanwhile").into());
        }
        let Some((ready, wish)) = self.ready.as_ref().zip(self.wish.as_ref()) else {
            return Ok(Event::Failed);
        };
        let mut table = ready.table.clone();
        if let Some(old) = &held.table {
            carry_counters(&mut table, &counted(old));
        }
        self.until = wish.lasts.map(|lasts| Instant::now() + lasts);
        let milliseconds = u64::try_from(wish.lasts.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        self.before = held.table.as_ref().and_then(compile::judging);
        self.expected = Some(compile::on_trial(held.table.as_ref(), (*table).clone()));
        let transaction = compile::arm(held.table.as_ref(), table, milliseconds);
        self.send(&transaction, Some(held.seen))
    }

    pub(super) fn replace(&mut self) -> Result<Event, Stop> {
        let held = self.looked_at()?;
        let Some(ready) = self.ready.as_mut() else { return Ok(Event::Failed) };
        let mut table = ready.table.clone();
        self.replaced = Some(Rc::clone(&held));
        let hits = held.table.as_ref().map(counted).unwrap_or_default();
        carry_counters(&mut table, &hits);
        let running = held.table.as_ref().map(Running::of).unwrap_or_default();
        self.expected = Some((*table).clone());
        let transaction = replace(&running, table);
        self.send(&transaction, Some(held.seen))
    }

    /// Puts back what was there before. What cannot be put back stays in force, and is never confirmed.
    pub(super) fn restore(&mut self) -> Result<Event, Stop> {
        let held = self.held()?;
        let Some(replaced) = self.replaced.clone() else { return Ok(Event::Failed) };
        let before = replaced.table.as_ref();
        if held.table.is_none() {
            return Ok(if before.is_none() { Event::Done } else { Event::Gone });
        }
        let Some(transaction) = compile::back(held.table.as_ref(), before) else {
            let message = "what was in force before had lists that are gone, and cannot be put back";
            return Err(Failure::new(Exit::System, message)
                .way_out("`doorward apply` puts a policy in force again")
                .into());
        };
        let event = self.send(&transaction, Some(held.seen))?;
        if event == Event::Done
            && let (Some(there), Some(before)) = (self.held()?.table, before)
            && let Some(why) = compile::differs(&there, before)
        {
            let message = format!("what was in force before is not what the kernel holds now: {why}");
            return Err(Failure::new(Exit::System, message).into());
        }
        Ok(event)
    }

    fn send(&mut self, transaction: &Checked<Transaction>, seen: Option<Generation>) -> Result<Event, Stop> {
        self.held = None;
        match self.socket.load(transaction, seen) {
            Ok(()) => Ok(Event::Done),
            Err(CommitError::Raced) => Ok(Event::Raced),
            Err(CommitError::NoAnswer) => Ok(Event::Unknown),
            Err(error) => Err(explained(&error, transaction, &self.socket).into()),
        }
    }

    /// What the kernel holds must be what was sent; and what was sent must be a trial, or the policy itself, which was
    /// proven before.
    pub(super) fn read_back(&mut self) -> Result<Event, Stop> {
        let held = self.held()?;
        let Some(there) = &held.table else { return Ok(Event::Gone) };
        let Some(expected) = &self.expected else { return Ok(Event::Unequal) };
        let (Some(ready), Some(wish)) = (&self.ready, &self.wish) else { return Ok(Event::Unequal) };
        if let Some(why) = compile::differs(there, expected) {
            let message = format!("the kernel does not hold what was sent: {why}");
            self.failure = Some(Failure::new(Exit::System, message).into());
            return Ok(Event::Unequal);
        }
        if let Phase::Trial { .. } = held.phase() {
            let policy = &wish.policy.resolved;
            let claim = Claim { policy, table: expected, host: &wish.policy.host, options: &ready.options };
            let proof = prove::on_trial(claim, self.before.as_ref(), &BySide::of(policy));
            if !proof.as_ref().is_ok_and(prove::TrialProof::holds) {
                let why = match proof {
                    Ok(_) => "the trial would not end as it began".to_owned(),
                    Err(why) => why.to_string(),
                };
                self.failure = Some(Failure::new(Exit::Refused, format!("not proven: {why}")).into());
                return Ok(Event::Unequal);
            }
        }
        Ok(Event::Done)
    }

    pub(super) fn disarm(&mut self) -> Result<Event, Stop> {
        match self.socket.load(&compile::disarm(), None) {
            Ok(()) => Ok(Event::Done),
            Err(error) if is_missing(&error) => Ok(Event::Gone),
            Err(CommitError::NoAnswer) => Ok(Event::Unknown),
            Err(error) => Err(explained(&error, &compile::disarm(), &self.socket).into()),
        }
    }

    /// Takes our table away, and nobody else's. False if there was none.
    pub(crate) fn open(&mut self) -> Result<bool, Failure> {
        let clear = compile::clear();
        match self.socket.load(&clear, None) {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(explained(&error, &clear, &self.socket)),
        }
    }

    pub(super) fn settle(&mut self) -> Result<Event, Stop> {
        for _ in 0..TRIES {
            let held = self.held()?;
            let Some(transaction) = held.table.as_ref().and_then(compile::settle) else {
                return Ok(Event::Done);
            };
            match self.send(&transaction, Some(held.seen))? {
                Event::Raced | Event::Unknown => {}
                event => return Ok(event),
            }
        }
        Ok(Event::Failed)
    }

    /// The pointer is on the disk before the kernel is asked, so that a full disk is found out in time.
    pub(super) fn confirm(&mut self) -> Result<Event, Stop> {
        let held = self.held()?;
        let Phase::Trial { new, .. } = held.phase() else { return Ok(Event::Late) };
        self.prepare_pointer(new)?;
        let Some(transaction) = held.table.as_ref().and_then(compile::confirm) else {
            return Ok(Event::Late);
        };
        match self.socket.load(&transaction, None) {
            Ok(()) => Ok(Event::Done),
            Err(error) if is_missing(&error) => Ok(Event::Late),
            Err(CommitError::NoAnswer) => Ok(Event::Unknown),
            Err(error) => Err(explained(&error, &transaction, &self.socket).into()),
        }
    }

    pub(super) fn prepare_pointer(&mut self, number: u8) -> Result<(), Failure> {
        let Some(writer) = self.writer else { return Ok(()) };
        let id = self.ready.as_ref().and_then(|ready| ready.id).or_else(|| self.on_disk(number));
        let Some(id) = id else {
            return Err(Failure::new(Exit::System, "the generation on trial is not on the disk")
                .way_out("`doorward apply` puts the policy on trial anew"));
        };
        self.prepared = None;
        self.prepared = Some(writer.prepare(id, Moment::now(), &self.who)?);
        Ok(())
    }

    pub(super) fn point(&mut self) -> Result<Event, Stop> {
        if self.prepared.is_none() {
            let held = self.held()?;
            if let Some(number) = held.table.as_ref().and_then(compile::in_force) {
                self.prepare_pointer(number)?;
            }
        }
        match self.prepared.take() {
            Some(prepared) => {
                prepared.count()?;
                Ok(Event::Done)
            }
            None => Ok(Event::Failed),
        }
    }
}

impl Held {
    /// The generation whose trial left connections behind.
    pub(super) fn remains(&self) -> Option<u8> {
        match self.phase() {
            Phase::Quiet { remains, .. } => remains,
            _ => None,
        }
    }
}

/// Whether what the first step takes away is not there any more: for a trial, that it is over.
fn is_missing(error: &CommitError) -> bool {
    let first = |one: &doorward_kernel::Refusal| one.step == Some(0) && one.errno == Errno::NOENT;
    matches!(error, CommitError::Refused(list) if list.iter().any(first))
}
