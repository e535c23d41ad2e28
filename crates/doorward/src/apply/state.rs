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
}

impl Machine {
    /// A machine for an order, with its first step.
    #[must_use]
    pub fn new(order: Order) -> (Machine, Step) {
        let machine = Machine { order, at: Step::Look, then: Step::Look, tries: 0, unsure: None };
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
            (Step::Look, _) if self.order == Order::Boot => Step::Load(Which::Confirmed),
            (Step::Look, _) => Step::End(E::NotTaken),

            (Step::Save, Event::Done) => self.load(),
            (Step::Save, Event::Unchanged) => Step::End(E::Unchanged),
            (Step::Save, _) => Step::End(E::NotSaved),

            (Step::Arm, Event::Done) => Step::ReadBack,
            (Step::Replace, Event::Done) => Step::ReadBack,
            (Step::Arm | Step::Replace | Step::Confirm, Event::Raced) => self.again(),
            // Whether it was taken is seen in the kernel.
            (Step::Arm | Step::Replace | Step::Confirm, Event::Unknown) => {
                self.unsure = Some(self.at);
                Step::Look
            }
            (Step::Arm | Step::Replace, _) => self.end_after(Step::Discard, E::NotTaken),

            (Step::ReadBack, Event::Done) => match self.order {
                Order::Try { waits: true } => Step::Wait,
                Order::Try { waits: false } => Step::End(E::OnTrial),
                _ => self.end_after(Step::Point, E::InForce),
            },
            (Step::ReadBack, Event::Gone) => Step::End(E::Gone),
            (Step::ReadBack, _) => match self.order {
                Order::Try { .. } => self.end_after(Step::Disarm, E::NotAsMeant),
                // There is nothing to go back to.
                _ => Step::End(E::NotAsMeant),
            },

            (Step::Wait, Event::Confirmed) => Step::End(E::Confirmed),
            (Step::Wait, Event::Over) => self.end_after(Step::Settle, E::Expired),
            (Step::Wait, Event::Gone) => Step::End(E::Gone),
            (Step::Wait, Event::Interrupted) => self.end_after(Step::Disarm, E::RolledBack),
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
            (Step::Disarm, _) => Step::End(E::NotTaken),

            // A trial that is over judges nobody: what cannot be cleared away now is so by the next command.
            (Step::Settle, event) => match self.then {
                Step::End(E::NotAsMeant) => self.end_after(Step::Discard, E::NotAsMeant),
                Step::Look if event != Event::Done => Step::End(E::NotTaken),
                then => then,
            },
            (Step::Forget | Step::Cut | Step::Discard, _) => self.then,

            (Step::Load(which), Event::Done) => Step::End(E::Loaded(which)),
            (Step::Load(Which::Confirmed), _) => Step::Load(Which::Previous),
            (Step::Load(Which::Previous), _) => Step::Load(Which::Emergency),
            (Step::Load(Which::Emergency), _) => Step::End(E::NothingLoaded),

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
                Kernel::Over => self.end_after(Step::Settle, Ending::Already),
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
            (Step::Confirm, Kernel::Quiet { .. }) => self.end_after(Step::Point, Ending::Confirmed),
            (Step::Confirm, Kernel::Over) => self.end_after(Step::Settle, Ending::Late),
            (Step::Confirm, _) => Step::End(Ending::NotTaken),
            (Step::Arm, Kernel::Over) => self.end_after(Step::Settle, Ending::Expired),
            _ => self.end_after(Step::Discard, Ending::NotTaken),
        }
    }

    fn begin(&mut self, kernel: Kernel) -> Step {
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
}
