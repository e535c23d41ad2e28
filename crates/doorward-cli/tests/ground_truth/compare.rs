//! The kernel's verdict beside every opinion, and a mismatch made as small as it gets; makes no packets.

use crate::draft::Draft;
use crate::lab::Lab;
use crate::opinion::{Asked, Kernel, Maker};
use crate::shrink;
use crate::tally::Tally;
use crate::trial::{Judged, Trial, describe, judging};
use doorward::emit;
use doorward::ruleset::{Hook, Ruleset};
use std::fmt::Write as _;

/// Mismatches of one ruleset that are told; more say no more.
const TOLD: usize = 2;
/// A ruleset above this size fills screens.
const LARGE: usize = 400;

/// An opinion that the kernel does not share.
pub(crate) struct Mismatch {
    pub(crate) opinion: &'static str,
    /// The smallest ruleset that shows it, where one was looked for.
    pub(crate) small: Option<Ruleset>,
    /// The whole story.
    pub(crate) story: String,
}

/// Packets of one hook, sent and compared.
pub(crate) fn compare(
    trial: &mut Trial,
    ruleset: &Ruleset,
    hook: Hook,
    drafts: &[Draft],
    kernel: &Kernel,
    asked: &[Asked],
) -> (Tally, Vec<Wrong>) {
    let judged = trial.judge(hook, drafts);
    let judging = judging(ruleset, hook);
    let mut tally = Tally { sent: drafts.len(), ..Tally::default() };
    for one in &judged {
        tally.meet(&one.packet, one.passed);
    }
    let mut wrong = Vec::new();
    let mut lacking = Vec::new();
    for (number, who) in asked.iter().enumerate() {
        let opinion = (who.maker)(&judging, kernel);
        let (asked, undecided) = tally.answers.entry(opinion.name()).or_default();
        for one in judged.iter().step_by(who.every) {
            *asked += 1;
            match opinion.accepts(&one.packet) {
                None => {
                    *undecided += 1;
                    lacking.push((opinion.name(), opinion.lacks(&one.packet)));
                }
                Some(accepts) if accepts == one.passed => {}
                Some(_) => wrong.push(Wrong { maker: number, name: opinion.name(), judged: one.clone() }),
            }
        }
    }
    tally.lack(lacking);
    (tally, wrong)
}

/// A packet of which somebody thinks otherwise than the kernel.
#[derive(Clone)]
pub(crate) struct Wrong {
    maker: usize,
    name: &'static str,
    judged: Judged,
}

/// The stories of what went wrong at a ruleset that `lab` can load.
pub(crate) fn stories(
    lab: &Lab,
    what: &str,
    ruleset: &Ruleset,
    drafts: &[Draft],
    wrong: &[Wrong],
    asked: &[Asked],
) -> Vec<Mismatch> {
    let mut stories = Vec::new();
    for (at, one) in wrong.iter().enumerate() {
        let mut mismatch = Mismatch { opinion: one.name, small: None, story: String::new() };
        if at < TOLD {
            let draft = &drafts[one.judged.draft];
            let shows = |smaller: &Ruleset| differs(lab, smaller, draft, asked[one.maker].maker);
            let small = shrink::shrink(ruleset, shows);
            mismatch.story = tell(lab, what, &small, draft, one, asked);
            mismatch.small = Some(small);
        }
        stories.push(mismatch);
    }
    stories
}

fn tell(lab: &Lab, what: &str, small: &Ruleset, draft: &Draft, wrong: &Wrong, asked: &[Asked]) -> String {
    let mut story = format!("{what}: {} is not the kernel's opinion\n", wrong.name);
    if shrink::size(small) <= LARGE {
        story.push_str(&emit::nft(small));
        // The text does not say all: widths and registers.
        for table in &small.tables {
            for chain in &table.chains {
                for rule in &chain.rules {
                    let _ = writeln!(story, "  {} {}: {:?}", table.name, chain.name, rule.exprs);
                }
            }
        }
    } else {
        let _ = writeln!(story, "(it stayed too large to be printed)");
    }
    let again = Trial::load(lab, small).map(|mut trial| trial.judge(draft.hook, std::slice::from_ref(draft)));
    if let Ok([judged]) = again.as_deref() {
        let _ = writeln!(story, "kernel: {}", if judged.passed { "passed" } else { "dropped" });
        let judging = judging(small, draft.hook);
        for who in asked {
            let opinion = (who.maker)(&judging, &lab.kernel);
            let _ = writeln!(story, "{}: accepts {:?}", opinion.name(), opinion.accepts(&judged.packet));
        }
        let _ = writeln!(story, "{}", describe(&judged.packet));
    } else {
        let _ = writeln!(story, "kernel: {}", if wrong.judged.passed { "passed" } else { "dropped" });
        let _ = writeln!(story, "{}", describe(&wrong.judged.packet));
    }
    story
}

/// Whether somebody is wrong about this packet at this ruleset.
fn differs(lab: &Lab, ruleset: &Ruleset, draft: &Draft, maker: Maker) -> bool {
    let Ok(mut trial) = Trial::load(lab, ruleset) else { return false };
    let judged = trial.judge(draft.hook, std::slice::from_ref(draft));
    let judging = judging(ruleset, draft.hook);
    let opinion = maker(&judging, &lab.kernel);
    judged.iter().any(|one| opinion.accepts(&one.packet).is_some_and(|accepts| accepts != one.passed))
}
