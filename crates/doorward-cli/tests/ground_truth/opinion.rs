//! Who has an opinion on what a ruleset does with a packet. To add one: an implementation, and a line in [`OPINIONS`].

use doorward::ruleset::{Expr, PayloadBase, Ruleset};
use doorward::trace::{End, Machine, Packet, Unknown};
use std::sync::OnceLock;

/// An opinion on one ruleset.
pub(crate) trait Opinion {
    /// Who says so.
    fn name(&self) -> &'static str;

    /// Whether a packet passes all chains of its hook; none if the ruleset and the packet do not tell.
    fn accepts(&self, packet: &Packet) -> Option<bool>;
}

/// Forms an opinion.
pub(crate) type Maker = for<'a> fn(&'a Ruleset) -> Box<dyn Opinion + 'a>;

/// Everybody who is asked.
pub(crate) const OPINIONS: &[Maker] = &[interpreter];

/// Whether this kernel reads transport headers out of later fragments, when that was found out.
pub(crate) static READS_FRAGMENTS: OnceLock<bool> = OnceLock::new();

/// The machine of the library, which runs the rules.
struct Interpreter<'a>(Machine<'a>);

fn interpreter(ruleset: &Ruleset) -> Box<dyn Opinion + '_> {
    Box::new(Interpreter(Machine::new(&ruleset.tables)))
}

impl Opinion for Interpreter<'_> {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    /// Tries every answer to what the packet does not tell, up to a bound; decided is what never depends on it.
    fn accepts(&self, packet: &Packet) -> Option<bool> {
        const RUNS: usize = 64;
        let mut answers: Vec<bool> = Vec::new();
        let mut opinion = None;
        for _ in 0..RUNS {
            let mut asked = 0;
            let mut assume = |what: &Unknown<'_>| {
                if matches!(what.expr, Expr::Payload { base: PayloadBase::Transport, .. }) {
                    return READS_FRAGMENTS.get().copied().unwrap_or(false);
                }
                if asked == answers.len() {
                    answers.push(false);
                }
                asked += 1;
                answers[asked - 1]
            };
            let end = match self.0.hook(packet, &mut assume).end {
                End::Accepted => true,
                End::Dropped | End::Rejected => false,
                End::Queued | End::Stopped(_) => return None,
            };
            if *opinion.get_or_insert(end) != end {
                return None;
            }
            // The next answers, as one counts: the last `no` becomes `yes`, and what follows is asked anew.
            answers.truncate(asked);
            while answers.last() == Some(&true) {
                answers.pop();
            }
            match answers.last_mut() {
                Some(last) => *last = true,
                None => return opinion,
            }
        }
        None
    }
}
