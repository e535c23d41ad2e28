//! The machine's states, and what follows which.

use super::{Ending, Event, Kernel, Order, Seen, Step, Which};

/// Others change the ruleset: so often it is tried again.
const TRIES: u32 = 20;

/// Carries an order through.
#[derive(Clone, Debug)]
pub struct Machine {
    order: Order,
    /// The step that is being taken.
    at: Step,
    /// What follows when what is being cleared away is gone.
    then: Step,
    tries: u32,
    /// The step of which nobody said how it went.
    unsure: Option<Step>,
    /// There was no generation of ours when it began: when a trial is over, there is none again.
    from_nothing: bool,
    /// A load may have been taken without anybody knowing.
    doubtful: bool,
}

impl Machine {
    /// A machine for an order, with its first step.
    #[must_use]
    pub fn new(order: Order) -> (Machine, Step) {
        let machine = Machine {
            order,
            at: Step::Look,
            then: Step::Look,
            tries: 0,
            unsure: None,
            from_nothing: false,
            doubtful: false,
        };
        (machine, Step::Look)
    }

    /// The next step, given how the last one went.
    pub fn next(&mut self, event: Event) -> Step {
        self.at = self.follows(event);
        self.at
    }

    #[expect(clippy::match_same_arms, reason = "a table of steps, in the order in which they come")]
    fn follows(&mut self, event: Event) -> Step {
        use Ending as E;
        match (self.at, event) {
            (Step::Look, Event::Seen(seen)) => self.seen(seen),
            // Nothing can be said of what cannot be read; a boot tries to load all the same.
            (Step::Look, _) => match self.unsure.take() {
                // Whatever is there is replaced by what is loaded.
                Some(step @ Step::Load(_)) if self.tries < TRIES => {
                    self.tries += 1;
                    self.doubtful = true;
                    step
                }
                Some(_) => Step::End(E::Unsure),
                None if self.order == Order::Boot => Step::Load(Which::Confirmed),
                None => Step::End(E::NotTaken),
            },

            (Step::Save, Event::Done) => self.load(),
            (Step::Save, Event::Unchanged) => Step::End(E::Unchanged),
            (Step::Save, _) => Step::End(E::NotSaved),

            (Step::Arm, Event::Done) => Step::ReadBack,
            (Step::Replace, Event::Done) => Step::ReadBack,
            (Step::Arm | Step::Replace | Step::Confirm, Event::Raced) => self.again(),
            // Whether it was taken is seen in the kernel.
            (
                Step::Arm | Step::Replace | Step::Restore | Step::Confirm | Step::Disarm | Step::Load(_),
                Event::Unknown,
            ) => self.find_out(),
            (Step::Arm | Step::Replace, _) => self.end_after(Step::Discard, E::NotTaken),

            (Step::ReadBack, Event::Done) => match self.order {
                Order::Try { waits: true } => Step::Wait,
                Order::Try { waits: false } => Step::End(E::OnTrial),
                _ => self.end_after(Step::Point, E::InForce),
            },
            (Step::ReadBack, Event::Gone) => Step::End(E::Gone),
            (Step::ReadBack, _) => match self.order {
                Order::Try { .. } => self.end_after(Step::Disarm, E::NotAsMeant),
                _ => Step::Restore,
            },

            (Step::Restore, Event::Done) => self.end_after(Step::Discard, E::NotAsMeant),
            (Step::Restore, Event::Gone) => Step::End(E::Gone),
            (Step::Restore, Event::Raced) => self.again(),
            // What was discarded is not confirmed later.
            (Step::Restore, _) => self.end_after(Step::Discard, E::InForceOtherwise),

            (Step::Wait, Event::Confirmed) => Step::End(E::Confirmed),
            (Step::Wait, Event::Over) => self.end_after(Step::Settle, E::Expired),
            (Step::Wait, Event::Gone) => Step::End(self.gone()),
            // Who waits is alone with nothing: the trial may have ended, and another one may go on.
            (Step::Wait, Event::Interrupted) => self.find_out(),
            // The kernel ends the trial, whoever waits for it or not.
            (Step::Wait, _) => Step::End(E::OnTrial),

            (Step::Confirm, Event::Done) => self.end_after(Step::Point, E::Confirmed),
            (Step::Confirm, Event::Late) => self.end_after(Step::Settle, E::Late),
            (Step::Confirm, _) => Step::End(E::NotTaken),

            (Step::Point, Event::Done) => match self.then {
                Step::End(E::Finished) => self.then,
                _ => Step::Cut,
            },
            (Step::Point, _) => self.end_after(Step::Cut, E::NotPointed),

            (Step::Disarm, Event::Done | Event::Late) => Step::Settle,
            (Step::Disarm, Event::Gone) => Step::End(E::Gone),
            (Step::Disarm, _) => Step::End(E::NotEnded),

            // A trial that is over judges nobody: what cannot be cleared away now is so by the next command.
            (Step::Settle | Step::Forget, Event::Raced) if self.tries < TRIES => self.again(),
            (Step::Settle, event) => match self.then {
                Step::End(E::NotAsMeant) => self.end_after(Step::Discard, E::NotAsMeant),
                Step::Look if event != Event::Done => Step::End(E::NotTaken),
                then => then,
            },
            (Step::Forget | Step::Cut | Step::Discard, _) => self.then,

            (Step::Load(which), Event::Done) => Step::End(E::Loaded(which)),
            (Step::Load(which), _) => self.after_load(which),

            (Step::End(ending), _) => Step::End(ending),
        }
    }

    /// A step, and how it ends after all that belongs to it.
    fn end_after(&mut self, step: Step, ending: Ending) -> Step {
        self.then = Step::End(ending);
        step
    }

    fn after(&mut self, step: Step, then: Step) -> Step {
        self.then = then;
        step
    }

    /// The step that puts in force what was saved.
    fn load(&self) -> Step {
        match self.order {
            Order::Try { .. } => Step::Arm,
            _ => Step::Replace,
        }
    }

    fn again(&mut self) -> Step {
        self.tries += 1;
        if self.tries < TRIES {
            return self.at;
        }
        match self.at {
            Step::Confirm => Step::End(Ending::Busy),
            Step::Restore => self.end_after(Step::Discard, Ending::InForceOtherwise),
            // What cannot be cleared away now is so by the next command.
            step @ (Step::Settle | Step::Forget) => step,
            _ => self.end_after(Step::Discard, Ending::Busy),
        }
    }

    fn seen(&mut self, seen: Seen) -> Step {
        if let Some(step) = self.unsure.take() {
            return self.found_out(step, seen.kernel);
        }
        match self.order {
            Order::Try { .. } | Order::Replace => self.begin(seen.kernel),
            Order::Confirm { shown } => self.confirm(seen, shown),
            Order::RollBack => match seen.kernel {
                Kernel::Armed { .. } => self.end_after(Step::Disarm, Ending::RolledBack),
                Kernel::Over => self.end_after(Step::Settle, Ending::RolledBack),
                Kernel::Quiet { .. } | Kernel::Nothing => Step::End(Ending::NothingOnTrial),
            },
            Order::Boot => match seen.kernel {
                Kernel::Nothing if seen.bootable => Step::Load(Which::Confirmed),
                Kernel::Nothing => Step::Load(Which::Emergency),
                // Below a first trial there is nothing.
                Kernel::Over => self.after(Step::Settle, Step::Look),
                Kernel::Quiet { .. } | Kernel::Armed { .. } => Step::End(Ending::Already),
            },
        }
    }

    /// Nobody said how a step went: the kernel shows it.
    fn found_out(&mut self, step: Step, kernel: Kernel) -> Step {
        match (step, kernel) {
            (Step::Arm, Kernel::Armed { own: true }) | (Step::Replace, Kernel::Quiet { own: true, .. }) => {
                Step::ReadBack
            }
            (Step::Restore, Kernel::Quiet { own: true, .. }) => {
                self.end_after(Step::Discard, Ending::InForceOtherwise)
            }
            (Step::Restore, Kernel::Nothing) if !self.from_nothing => Step::End(Ending::Gone),
            (Step::Restore, _) => self.end_after(Step::Discard, Ending::NotAsMeant),
            (Step::Confirm, Kernel::Quiet { .. }) => self.end_after(Step::Point, Ending::Confirmed),
            (Step::Confirm, Kernel::Over) => self.end_after(Step::Settle, Ending::Late),
            (Step::Confirm, Kernel::Armed { .. }) => Step::End(Ending::NotTaken),
            (Step::Arm | Step::Wait, Kernel::Over) => self.end_after(Step::Settle, Ending::Expired),

            (Step::Wait, Kernel::Armed { own: true }) => self.end_after(Step::Disarm, Ending::RolledBack),
            (Step::Wait, Kernel::Quiet { own: true, .. }) => Step::End(Ending::Confirmed),
            (Step::Wait, Kernel::Quiet { .. }) => Step::End(Ending::Expired),
            // Below the trial of another may be what was on trial here and was confirmed.
            (Step::Wait, Kernel::Armed { .. }) => Step::End(Ending::Unsure),
            (Step::Disarm, Kernel::Armed { .. }) => Step::End(Ending::NotEnded),
            (Step::Disarm, Kernel::Over | Kernel::Quiet { .. }) => Step::Settle,

            (Step::Load(which), Kernel::Quiet { own: true, .. }) => Step::End(Ending::Loaded(which)),
            (Step::Load(which), _) => self.after_load(which),

            (Step::Wait, Kernel::Nothing) => Step::End(self.gone()),
            (Step::Confirm | Step::Disarm, Kernel::Nothing) => Step::End(Ending::Gone),
            _ => self.end_after(Step::Discard, Ending::NotTaken),
        }
    }

    /// What it means for a trial that nothing of ours is there.
    fn gone(&self) -> Ending {
        if self.from_nothing { Ending::Expired } else { Ending::Gone }
    }

    /// Has a look at what the step came to that is being taken.
    fn find_out(&mut self) -> Step {
        self.unsure = Some(self.at);
        Step::Look
    }

    fn begin(&mut self, kernel: Kernel) -> Step {
        self.from_nothing = kernel == Kernel::Nothing;
        match kernel {
            Kernel::Armed { .. } => Step::End(Ending::AnotherTrial),
            Kernel::Over => self.after(Step::Settle, Step::Look),
            Kernel::Quiet { remains: true, .. } => self.after(Step::Forget, Step::Save),
            Kernel::Quiet { .. } | Kernel::Nothing => Step::Save,
        }
    }

    fn confirm(&mut self, seen: Seen, shown: bool) -> Step {
        match seen.kernel {
            Kernel::Armed { .. } if shown => Step::Confirm,
            Kernel::Armed { .. } => Step::End(Ending::NotShown),
            Kernel::Over => self.end_after(Step::Settle, Ending::Late),
            Kernel::Quiet { known: true, .. } if !seen.pointed => {
                self.end_after(Step::Point, Ending::Finished)
            }
            Kernel::Quiet { .. } | Kernel::Nothing => Step::End(Ending::NothingOnTrial),
        }
    }

    /// What a boot tries next.
    fn after_load(&self, which: Which) -> Step {
        match which {
            Which::Confirmed => Step::Load(Which::Previous),
            Which::Previous => Step::Load(Which::Emergency),
            Which::Emergency if self.doubtful => Step::End(Ending::Unsure),
            Which::Emergency => Step::End(Ending::NothingLoaded),
        }
    }
}
