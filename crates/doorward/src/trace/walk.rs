//! The walk of one packet through chains and rules, as `nft_do_chain` does it; runs no expression itself.

use super::load::{State, is_icmp};
use super::machine::{Machine, Program};
use super::registers::Registers;
use super::sets::Member;
use super::wire::Wire;
use super::{Assume, BaseEnd, Conntrack, End, Hit, Outcome, Packet, Place, Stop, Trace, Unknown, Visit};
use crate::net::Translated;
use crate::ruleset::{Expr, Policy, Rule, Verdict};

/// `NFT_JUMP_STACK_SIZE`: a jump from here drops the packet.
const DEEPEST: usize = 16;
/// No kernel validates a ruleset in which a packet could meet more rules; ours must end on any.
const MOST_RULES: usize = 1 << 21;

/// Room for as many visits as most packets make.
const USUAL_RULES: usize = 32;

/// One packet on its way.
pub(super) struct Run<'r, 'a> {
    pub(super) machine: &'r Machine<'a>,
    pub(super) packet: &'r Packet,
    pub(super) wire: Wire,
    pub(super) state: State,
    pub(super) registers: Registers,
    /// What became of sets that packets change.
    pub(super) members: Vec<Member>,
    /// The expression that runs.
    pub(super) place: Place,
    /// The lookups of the current rule that found their key.
    pub(super) hits: Vec<Hit>,
    assume: &'r mut dyn Assume,
    asked: Vec<(Place, usize)>,
    visits: Vec<Visit<'a>>,
}

/// What an expression comes to.
pub(super) enum Step<'a> {
    /// It matches: the next one.
    On,
    /// It does not: the next rule.
    Break,
    Verdict(&'a Verdict),
    Rejected,
    Queued,
    Translated(Option<Translated>),
}

/// Whether the kernel asks `nat` chains about this packet (`nf_nat_inet_fn`): new connections, and related ones
/// but for errors, which are translated like what they are about.
pub(super) fn translates(packet: &Packet) -> bool {
    const RELATED: u32 = 4;
    const NEW: u32 = 8;
    match &packet.ct {
        Conntrack::Entry(entry) => entry.state == NEW || entry.state == RELATED && !is_icmp(packet.l4proto),
        _ => false,
    }
}

impl<'r, 'a> Run<'r, 'a> {
    pub(super) fn new(
        machine: &'r Machine<'a>,
        packet: &'r Packet,
        assume: &'r mut dyn Assume,
    ) -> Run<'r, 'a> {
        Run {
            machine,
            packet,
            wire: Wire::of(packet),
            state: State::of(packet),
            registers: Registers::new(),
            members: Vec::new(),
            place: Place { table: 0, chain: 0, rule: 0, expr: 0 },
            hits: Vec::new(),
            assume,
            asked: Vec::new(),
            visits: Vec::with_capacity(USUAL_RULES),
        }
    }

    pub(super) fn trace(self, end: End, bases: Vec<BaseEnd>) -> Trace<'a> {
        Trace { end, bases, unknown: !self.asked.is_empty(), visits: self.visits }
    }

    /// Whether the last rule translated it.
    pub(super) fn was_translated(&self) -> bool {
        self.visits.last().is_some_and(|visit| matches!(visit.outcome, Outcome::Translated { .. }))
    }

    /// Runs a base chain to its end.
    pub(super) fn base(&mut self, table: usize, chain: usize) -> BaseEnd {
        let program: &'r Program<'a> = self.machine.program(table);
        let base = program.table.chains[chain].base.as_ref();
        self.state.early = base.is_some_and(|base| self.packet.untracked_yet(base));
        self.registers = Registers::new();
        let first = self.visits.len();
        let decided = self.chain(program, table, chain);
        let end = decided.unwrap_or(match base.map(|base| base.policy) {
            Some(Policy::Drop) => End::Dropped,
            Some(Policy::Accept) | None => End::Accepted,
        });
        BaseEnd { table, chain, end, by_policy: decided.is_none(), visits: first..self.visits.len() }
    }

    /// Runs a chain and all that it calls; none where the policy decides.
    fn chain(&mut self, program: &'r Program<'a>, table: usize, mut chain: usize) -> Option<End> {
        let mut callers = Vec::new();
        let mut rule = 0;
        loop {
            let Some(current) = program.table.chains[chain].rules.get(rule) else {
                (chain, rule) = callers.pop()?;
                continue;
            };
            if self.visits.len() >= MOST_RULES {
                return Some(End::Stopped(Stop::Endless));
            }
            self.place = Place { table, chain, rule, expr: 0 };
            rule += 1;
            let (jumps, target) = match self.rule(program, current) {
                Ok(None) => continue,
                Ok(Some(Verdict::Return)) => {
                    (chain, rule) = callers.pop()?;
                    continue;
                }
                Ok(Some(Verdict::Jump(target))) => (true, target),
                Ok(Some(Verdict::Goto(target))) => (false, target),
                // The rest has ended the rule already.
                Ok(Some(_)) => return Some(End::Stopped(Stop::Operation)),
                Err(end) => return Some(end),
            };
            if jumps {
                if callers.len() >= DEEPEST {
                    return Some(End::Dropped);
                }
                callers.push((chain, rule));
            }
            match program.chains.get(target.as_str()) {
                Some(found) => (chain, rule) = (*found, 0),
                None => return Some(End::Stopped(Stop::NoChain)),
            }
        }
    }

    /// Runs a rule: none where the next one follows, a verdict that leads elsewhere, or the end.
    fn rule(&mut self, program: &'r Program<'a>, rule: &'a Rule) -> Result<Option<&'a Verdict>, End> {
        for (at, expr) in rule.exprs.iter().enumerate() {
            self.place.expr = at;
            let step = match self.step(program, expr) {
                Ok(step) => step,
                Err(stop) => {
                    self.visited(Outcome::Stopped { at, stop });
                    return Err(End::Stopped(stop));
                }
            };
            let (outcome, end) = match step {
                // As in the kernel, the code that means "go on" goes on with the next expression.
                Step::On | Step::Verdict(Verdict::Continue) => continue,
                Step::Break | Step::Verdict(Verdict::Break) => {
                    self.visited(Outcome::Broke { at });
                    return Ok(None);
                }
                Step::Rejected => (Outcome::Rejected { at }, End::Rejected),
                Step::Queued => (Outcome::Queued { at }, End::Queued),
                Step::Translated(to) => (Outcome::Translated { at, to }, End::Accepted),
                Step::Verdict(verdict) => {
                    self.visited(Outcome::Verdict { at, verdict });
                    return match verdict {
                        Verdict::Accept => Err(End::Accepted),
                        Verdict::Drop => Err(End::Dropped),
                        Verdict::Queue => Err(End::Queued),
                        other => Ok(Some(other)),
                    };
                }
            };
            self.visited(outcome);
            return Err(end);
        }
        self.visited(Outcome::Matched);
        Ok(None)
    }

    fn visited(&mut self, outcome: Outcome<'a>) {
        let Place { table, chain, rule, .. } = self.place;
        let hits = std::mem::take(&mut self.hits);
        self.visits.push(Visit { table, chain, rule, outcome, hits });
    }

    /// Asks what the packet does not tell.
    pub(super) fn ask(&mut self, expr: &Expr, element: Option<usize>) -> bool {
        let place = self.place;
        let times = match self.asked.iter_mut().find(|(known, _)| *known == place) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                self.asked.push((place, 0));
                0
            }
        };
        self.assume.holds(&Unknown { expr, place, element, times })
    }
}

impl Packet {
    /// Whether a chain at this place comes before connection tracking. What a host sends to itself over `lo`
    /// brings its connection along.
    fn untracked_yet(&self, base: &crate::ruleset::Base) -> bool {
        const TRACKING: i32 = -200;
        const LOOPBACK: u32 = 1;
        let tracked_here = match self.hook {
            crate::ruleset::Hook::Output => true,
            crate::ruleset::Hook::Prerouting => self.iif.as_ref().is_none_or(|iif| iif.index != LOOPBACK),
            _ => false,
        };
        tracked_here && base.priority < TRACKING
    }
}
