//! What each command must have left behind, killed wherever it was; the words of the command are not asked.

use crate::field::{Field, Judge};
use crate::traced::Fate;
use std::time::Duration;

/// A command to be killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    Try,
    Replace,
    Confirm,
    RollBack,
    Boot,
}

/// So long the kernel may take after a deadline: what looks and what else runs here included.
const SLACK: Duration = Duration::from_millis(600);
/// The trial that is killed: it must not be over before somebody looked.
const SHORT: Duration = Duration::from_secs(2);
/// Enough for a command, and not long to be waited for.
const LONGER: Duration = Duration::from_secs(6);

impl Order {
    pub(crate) fn args(self) -> &'static [&'static str] {
        match self {
            Order::Try => &["apply", "--detach", "--for", "2s", "new.dw"],
            Order::Replace => &["apply", "--no-trial", "new.dw"],
            Order::Confirm => &["confirm", "--here"],
            Order::RollBack => &["rollback"],
            Order::Boot => &["boot"],
        }
    }

    /// The same, for who looks later.
    pub(crate) fn unhurried(self) -> &'static [&'static str] {
        match self {
            Order::Try => &["apply", "--detach", "--for", "60s", "new.dw"],
            _ => self.args(),
        }
    }

    /// The host as it is before the command.
    pub(crate) fn prepare(self, field: &Field) {
        field.reset();
        match self {
            Order::Confirm | Order::RollBack => {
                field.run(&["apply", "--detach", "--for", "6s", "new.dw"]).well();
            }
            Order::Boot => field.forget(),
            Order::Try | Order::Replace => {}
        }
    }

    /// Kills the command before its n-th call and looks at what is left; none if it was done before that. `way` says
    /// which of the ways to go on from there is taken.
    pub(crate) fn kill(self, field: &Field, at: usize, way: usize) -> Option<Judge> {
        self.prepare(field);
        let run = field.traced(self.args(), Fate::Killed(at));
        if !run.met {
            assert_eq!(run.exit, Some(0), "{self:?} at {at}: {} {}", run.out, run.err);
            return None;
        }
        let judge = field.judge();
        let status = field.status();
        match (self, &judge) {
            (Order::Try | Order::Replace | Order::RollBack, Judge::Old) => field.boots(&[Judge::Old]),
            (Order::Try, Judge::New) => {
                if way.is_multiple_of(2) {
                    field.back_within(SHORT + SLACK);
                } else {
                    field.run(&["rollback"]).well();
                    assert_eq!(field.judge(), Judge::Old);
                }
                field.boots(&[Judge::Old]);
            }
            (Order::Replace, Judge::New) => {
                if way.is_multiple_of(2) {
                    field.boots(&[Judge::Old, Judge::New]);
                } else {
                    field.finished();
                }
            }
            (Order::Confirm, Judge::New) => {
                let on_trial = !status["trial"].is_null();
                match way % 3 {
                    // Said once more.
                    0 => field.finished(),
                    // Nobody does anything.
                    1 if on_trial => {
                        field.back_within(LONGER + SLACK);
                        field.boots(&[Judge::Old]);
                    }
                    1 => field.boots(&[Judge::Old, Judge::New]),
                    // The power is lost at once.
                    _ if on_trial => field.boots(&[Judge::Old]),
                    _ => field.boots(&[Judge::Old, Judge::New]),
                }
            }
            (Order::RollBack, Judge::New) => {
                assert!(!status["trial"].is_null(), "{status:#}");
                field.run(&["rollback"]).well();
                assert_eq!(field.judge(), Judge::Old);
                field.boots(&[Judge::Old]);
            }
            (Order::Boot, Judge::Old | Judge::Nobody) => {
                field.run(&["boot"]).well();
                assert_eq!(field.judge(), Judge::Old);
            }
            _ => panic!("{self:?}, killed at {at} of {:?}: {judge:?}; {status:#}", run.calls.last()),
        }
        if way.is_multiple_of(4) {
            field.goes_on();
        }
        Some(judge)
    }
}

impl Field {
    /// After a loss of power one of these judges, and the store is whole.
    fn boots(&self, any: &[Judge]) {
        self.reboot();
        let judge = self.judge();
        assert!(any.contains(&judge), "{judge:?} boots");
    }

    /// What the kernel has confirmed and the disk has not is mended by saying it once more.
    fn finished(&self) {
        let said = self.run(&["confirm", "--here"]);
        // Where the kill came after all was done.
        let done = said.exit == Some(2) && said.err.contains("nothing is on trial");
        assert!(said.exit == Some(0) || done, "{said:#?}");
        assert_eq!(self.judge(), Judge::New);
        self.boots(&[Judge::New]);
    }

    /// The next commands find nothing in their way.
    fn goes_on(&self) {
        let said = self.run(&["rollback"]);
        assert_eq!(said.exit, Some(2), "{said:#?}");
        self.run(&["apply", "--no-trial", "new.dw"]).well();
        self.run(&["apply", "--no-trial", "old.dw"]).well();
        assert_eq!(self.judge(), Judge::Old);
        self.boots(&[Judge::Old]);
    }
}
