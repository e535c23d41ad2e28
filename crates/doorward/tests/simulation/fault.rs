//! What can go wrong at which step, and how often it did.

use crate::random::Random;
use doorward::apply::{Step, Which};
use std::fmt::Write;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Nothing,
    KillBefore,
    KillMid,
    KillAfter,
    PowerBefore,
    PowerMid,
    PowerAfter,
    /// The clock on the wall jumps, forward or back.
    WallJump,
    /// Somebody else calls doorward.
    SecondCaller,
    /// `flush ruleset`, before the step.
    Flush,
    /// The trial comes to its end, before the step.
    Deadline,
    /// The kernel or the disk says no.
    Refused,
    /// A foreign writer between reading and sending.
    Raced,
    /// The same at every try.
    RacedOn,
    /// `flush ruleset` between reading and sending.
    FlushMid,
    /// The trial ends between reading and sending.
    DeadlineMid,
    /// No answer, but it was done.
    Taken,
    /// No answer, and nothing was done.
    NotTaken,
    DiskFull,
    ReadOnly,
    Unequal,
    Interrupted,
    /// The terminal is lost.
    Hangup,
}

use Fault as F;

pub(crate) const FAULTS: [Fault; 23] = [
    F::Nothing,
    F::KillBefore,
    F::KillMid,
    F::KillAfter,
    F::PowerBefore,
    F::PowerMid,
    F::PowerAfter,
    F::WallJump,
    F::SecondCaller,
    F::Flush,
    F::Deadline,
    F::Refused,
    F::Raced,
    F::RacedOn,
    F::FlushMid,
    F::DeadlineMid,
    F::Taken,
    F::NotTaken,
    F::DiskFull,
    F::ReadOnly,
    F::Unequal,
    F::Interrupted,
    F::Hangup,
];

const ANYWHERE: [Fault; 11] = [
    F::Nothing,
    F::KillBefore,
    F::KillMid,
    F::KillAfter,
    F::PowerBefore,
    F::PowerMid,
    F::PowerAfter,
    F::WallJump,
    F::SecondCaller,
    F::Flush,
    F::Deadline,
];
const SENDING: [Fault; 6] = [F::Refused, F::Raced, F::FlushMid, F::DeadlineMid, F::Taken, F::NotTaken];

/// All steps but the last.
pub(crate) const STEPS: [Step; 17] = [
    Step::Look,
    Step::Save,
    Step::Discard,
    Step::Settle,
    Step::Forget,
    Step::Arm,
    Step::Replace,
    Step::ReadBack,
    Step::Restore,
    Step::Wait,
    Step::Disarm,
    Step::Confirm,
    Step::Point,
    Step::Cut,
    Step::Load(Which::Confirmed),
    Step::Load(Which::Previous),
    Step::Load(Which::Emergency),
];

fn row(step: Step) -> usize {
    STEPS.iter().position(|one| *one == step).unwrap()
}

fn column(fault: Fault) -> usize {
    FAULTS.iter().position(|one| *one == fault).unwrap()
}

fn possible(step: Step) -> Vec<Fault> {
    let mut all = ANYWHERE.to_vec();
    match step {
        Step::Look | Step::Cut => all.push(F::Refused),
        Step::Save | Step::Discard | Step::Point => all.extend([F::Refused, F::DiskFull, F::ReadOnly]),
        Step::Arm | Step::Replace | Step::Restore | Step::Confirm => {
            all.extend(SENDING);
            all.push(F::RacedOn);
        }
        Step::Settle | Step::Forget | Step::Disarm | Step::Load(_) => all.extend(SENDING),
        Step::ReadBack => {
            all.push(F::Refused);
            // Only this leads to what puts back.
            all.extend([F::Unequal; 12]);
        }
        Step::Wait => all.extend([F::Refused, F::Interrupted, F::Hangup]),
        Step::End(_) => all.clear(),
    }
    all
}

/// How often each pair was reached.
pub(crate) struct Counts {
    possible: Vec<Vec<Fault>>,
    counts: Vec<[u64; FAULTS.len()]>,
}

impl Counts {
    pub(crate) fn new() -> Counts {
        Counts {
            possible: STEPS.iter().map(|step| possible(*step)).collect(),
            counts: vec![[0; FAULTS.len()]; STEPS.len()],
        }
    }

    /// What goes wrong this time.
    pub(crate) fn choose(&mut self, step: Step, quiet: bool, random: &mut Random) -> Fault {
        let at = row(step);
        // What is seldom reached is hit harder.
        let percent = match step {
            Step::Load(Which::Previous) => 95,
            Step::Load(Which::Emergency) | Step::Forget | Step::Discard | Step::Restore => 90,
            Step::Settle | Step::Disarm | Step::Confirm => 65,
            Step::Load(Which::Confirmed) => 45,
            Step::ReadBack => 35,
            Step::Look => 10,
            _ => 20,
        };
        let fault =
            if !quiet && random.percent(percent) { random.one(&self.possible[at]) } else { F::Nothing };
        self.counts[at][column(fault)] += 1;
        fault
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        for (row, other) in self.counts.iter_mut().zip(&other.counts) {
            row.iter_mut().zip(other).for_each(|(one, other)| *one += other);
        }
    }

    /// The table, and the pairs that were reached less often.
    pub(crate) fn told(&self, least: u64) -> (String, Vec<String>) {
        let mut text = format!("{:13}", "");
        for step in STEPS {
            let name = name(step);
            let _ = write!(text, "{:>9}", &name[..name.len().min(8)]);
        }
        let mut seldom = Vec::new();
        let mut pairs = 0;
        for (column, fault) in FAULTS.iter().enumerate() {
            let _ = write!(text, "\n{:13}", format!("{fault:?}"));
            for (row, step) in STEPS.iter().enumerate() {
                if !self.possible[row].contains(fault) {
                    let _ = write!(text, "{:>9}", "-");
                    continue;
                }
                let count = self.counts[row][column];
                pairs += 1;
                let _ = write!(text, "{count:>9}");
                if count < least {
                    seldom.push(format!("{} with {fault:?}: {count}", name(*step)));
                }
            }
        }
        let _ = write!(text, "\n{pairs} pairs");
        (text, seldom)
    }
}

fn name(step: Step) -> String {
    match step {
        Step::Load(Which::Confirmed) => "LoadConf".to_owned(),
        Step::Load(Which::Previous) => "LoadPrev".to_owned(),
        Step::Load(Which::Emergency) => "LoadEmer".to_owned(),
        other => format!("{other:?}"),
    }
}
