//! The sets of packets that a lowered ruleset accepts and refuses; knows no bytecode.
//!
//! Rules that change no mark are summed up once, whole chains and stretches of them: what they accept, drop, refuse
//! and hand back, composed as a balanced tree. Through the others the packets are led step by step, as a set that
//! changes.

use super::load::Slice;
use super::lower::{Becomes, Op};
use super::program::{BaseChain, Hooked, LoweredRule, Program, Step, Target};
use crate::space::{Bit, Field, Node, Pred, Space, Unproven};
use rustc_hash::FxHashMap as HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of packets: sets that make up those that came in, as they are once rules have changed them. They
/// are disjoint where no rule does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fates {
    /// Every base chain lets them pass.
    pub accepted: Node,
    /// A base chain drops them.
    pub dropped: Node,
    /// A base chain refuses them with an answer.
    pub rejected: Node,
    /// A program decides.
    pub queued: Node,
}

impl Default for Fates {
    fn default() -> Fates {
        Fates { accepted: Node::FALSE, dropped: Node::FALSE, rejected: Node::FALSE, queued: Node::FALSE }
    }
}

/// Which fates are worked out; the others stay empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Depth {
    /// Who passes.
    Accepted,
    /// Who passes, and who is refused with an answer.
    Answered,
    /// All of them.
    All,
}

/// Why a ruleset cannot be judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotJudged {
    /// Chains call each other without end.
    Endless,
    /// The space is too large.
    Space(Unproven),
}

impl std::fmt::Display for NotJudged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotJudged::Endless => f.write_str("chains call each other without end"),
            NotJudged::Space(why) => why.fmt(f),
        }
    }
}

impl From<Unproven> for NotJudged {
    fn from(why: Unproven) -> NotJudged {
        NotJudged::Space(why)
    }
}

/// For each thing that rules do besides deciding, the packets for which they do it.
pub type Effects = BTreeMap<Arc<str>, Node>;

impl Program {
    /// What becomes of packets of a slice, over all base chains that are wanted.
    pub fn fates(
        &self,
        space: &mut Space,
        slice: Slice,
        start: Node,
        wanted: &dyn Fn(&BaseChain) -> bool,
    ) -> Result<(Fates, Effects), NotJudged> {
        self.fates_of(Depth::All, space, slice, start, wanted)
    }

    /// The same for some of the fates.
    pub(super) fn fates_of(
        &self,
        depth: Depth,
        space: &mut Space,
        slice: Slice,
        start: Node,
        wanted: &dyn Fn(&BaseChain) -> bool,
    ) -> Result<(Fates, Effects), NotJudged> {
        if self.endless {
            return Err(NotJudged::Endless);
        }
        let nothing = Hooked::default();
        let hooked = self.slices.get(&slice).unwrap_or(&nothing);
        let mut runner = Runner {
            space,
            hooked,
            depth,
            summing: false,
            sums: HashMap::default(),
            effects: BTreeMap::new(),
            translated: Node::FALSE,
        };
        let mut settled = Node::FALSE;
        let mut fates = Fates { accepted: start, ..Fates::default() };
        for base in hooked.bases.iter().filter(|base| wanted(base)) {
            if fates.accepted.is_empty() {
                break;
            }
            let flow = runner.lead(base.chain, fates.accepted);
            fates.dropped = runner.space.or(fates.dropped, flow.dropped);
            fates.rejected = runner.space.or(fates.rejected, flow.rejected);
            fates.queued = runner.space.or(fates.queued, flow.queued);
            fates.accepted = flow.accepted;
            let left = runner.space.or(flow.back, flow.next);
            if base.drops {
                if depth == Depth::All {
                    fates.dropped = runner.space.or(fates.dropped, left);
                }
            } else {
                fates.accepted = runner.space.or(fates.accepted, left);
            }
            // Once a chain has translated it, the kernel asks no other one of this hook.
            let done = runner.space.and(fates.accepted, runner.translated);
            settled = runner.space.or(settled, done);
            fates.accepted = runner.space.minus(fates.accepted, done);
        }
        fates.accepted = runner.space.or(fates.accepted, settled);
        let effects = runner.effects;
        space.holds_good()?;
        Ok((fates, effects))
    }
}

/// Where packets are after some rules.
#[derive(Clone, Copy)]
struct Flow {
    accepted: Node,
    dropped: Node,
    rejected: Node,
    queued: Node,
    /// Left the chain by `return`, or by the end of a chain that was gone to.
    back: Node,
    /// At the next rule.
    next: Node,
}

impl Flow {
    fn start(next: Node) -> Flow {
        Flow {
            accepted: Node::FALSE,
            dropped: Node::FALSE,
            rejected: Node::FALSE,
            queued: Node::FALSE,
            back: Node::FALSE,
            next,
        }
    }
}

struct Runner<'a> {
    space: &'a mut Space,
    hooked: &'a Hooked,
    depth: Depth,
    /// Who is dropped is not worked out: it is who is left.
    summing: bool,
    /// Stretches that are summed up, by their chain and first rule.
    sums: HashMap<(usize, usize), Flow>,
    effects: Effects,
    /// What was translated.
    translated: Node,
}

impl Runner<'_> {
    /// Leads packets through a chain.
    fn lead(&mut self, chain: usize, start: Node) -> Flow {
        let hooked = self.hooked;
        let rules = &hooked.chains[chain].rules;
        let mut flow = Flow::start(start);
        let mut first = 0;
        for stretch in rules.chunk_by(|one, next| one.stateless && next.stateless) {
            if flow.next.is_empty() {
                break;
            }
            let at = std::mem::replace(&mut flow.next, Node::FALSE);
            if stretch[0].stateless {
                let alone = !std::mem::replace(&mut self.summing, true);
                let sum = self.sum((chain, first), stretch);
                let mut sum = self.within(at, sum);
                if alone {
                    self.summing = false;
                    if self.depth == Depth::All {
                        sum.dropped = self.left(at, sum);
                    }
                }
                flow = self.either(flow, sum);
            } else {
                for (when, steps) in &stretch[0].ways {
                    let condition = self.space.node(when);
                    let mine = self.space.and(at, condition);
                    self.rule(steps, mine, &mut flow);
                }
            }
            first += stretch.len();
        }
        flow
    }

    /// Of all that came to rules that change nothing, those with no other fate.
    fn left(&mut self, start: Node, sum: Flow) -> Node {
        [sum.next, sum.accepted, sum.rejected, sum.queued, sum.back]
            .into_iter()
            .fold(start, |left, gone| self.space.minus(left, gone))
    }

    /// The packets of a sum that are among these.
    fn within(&mut self, start: Node, sum: Flow) -> Flow {
        if start == Node::TRUE {
            return sum;
        }
        let mut and = |node| self.space.and(start, node);
        Flow {
            accepted: and(sum.accepted),
            dropped: and(sum.dropped),
            rejected: and(sum.rejected),
            queued: and(sum.queued),
            back: and(sum.back),
            next: and(sum.next),
        }
    }

    /// What becomes of all packets in rules that change nothing.
    fn sum(&mut self, place: (usize, usize), rules: &[LoweredRule]) -> Flow {
        if let Some(sum) = self.sums.get(&place) {
            return *sum;
        }
        let sum = self.sum_of(rules);
        self.sums.insert(place, sum);
        sum
    }

    fn sum_of(&mut self, rules: &[LoweredRule]) -> Flow {
        match rules {
            [] => Flow::start(Node::TRUE),
            [rule] => {
                let mut flow = Flow::start(Node::FALSE);
                for (when, steps) in &rule.ways {
                    let mine = self.space.node(when);
                    self.rule(steps, mine, &mut flow);
                }
                flow
            }
            _ => {
                let (first, second) = rules.split_at(rules.len() / 2);
                let first = self.sum_of(first);
                if first.next.is_empty() {
                    return first;
                }
                let second = self.sum_of(second);
                self.behind(first, second)
            }
        }
    }

    /// One sum, and behind it another one.
    fn behind(&mut self, first: Flow, second: Flow) -> Flow {
        let mut join = |one, other| self.space.or_within(one, first.next, other);
        Flow {
            accepted: join(first.accepted, second.accepted),
            dropped: join(first.dropped, second.dropped),
            rejected: join(first.rejected, second.rejected),
            queued: join(first.queued, second.queued),
            back: join(first.back, second.back),
            next: self.space.and(first.next, second.next),
        }
    }

    fn either(&mut self, first: Flow, second: Flow) -> Flow {
        let mut or = |one, other| self.space.or(one, other);
        Flow {
            accepted: or(first.accepted, second.accepted),
            dropped: or(first.dropped, second.dropped),
            rejected: or(first.rejected, second.rejected),
            queued: or(first.queued, second.queued),
            back: or(first.back, second.back),
            next: second.next,
        }
    }

    fn rule(&mut self, steps: &[Step], start: Node, flow: &mut Flow) {
        let mut at = start;
        for step in steps {
            if at.is_empty() {
                return;
            }
            match step {
                Step::Plain(Op::Test(pred)) => {
                    let holds = self.space.node(pred);
                    let broken = self.space.minus(at, holds);
                    flow.next = self.space.or(flow.next, broken);
                    at = self.space.and(at, holds);
                }
                Step::Plain(Op::Reject) => {
                    if self.depth >= Depth::Answered {
                        flow.rejected = self.space.or(flow.rejected, at);
                    }
                    return;
                }
                Step::Plain(Op::Assign { field, cases }) => at = self.assign(field, cases, at),
                Step::Plain(Op::Overwrite { what, becomes }) => {
                    let any = self.space.exists(at, &|field| what.touches(field));
                    let becomes = self.space.node(becomes);
                    at = self.space.and(any, becomes);
                }
                Step::Plain(Op::Effect(words)) => {
                    let known = self.effects.get(words).copied().unwrap_or(Node::FALSE);
                    let all = self.space.or(known, at);
                    self.effects.insert(words.clone(), all);
                }
                Step::Plain(Op::Translate(cases)) => {
                    for (when, words) in cases {
                        let condition = self.space.node(when);
                        let mine = self.space.and(at, condition);
                        let known = self.effects.get(words).copied().unwrap_or(Node::FALSE);
                        let all = self.space.or(known, mine);
                        self.effects.insert(words.clone(), all);
                    }
                    self.translated = self.space.or(self.translated, at);
                }
                Step::Plain(Op::Verdict(_) | Op::Map(_)) => {}
                Step::To(target) => at = self.to(*target, at, flow),
                Step::Map(map) => {
                    let mut rest = at;
                    let mut on = Node::FALSE;
                    for (pred, target) in map {
                        let hit = self.space.node(pred);
                        let hit = self.space.and(rest, hit);
                        rest = self.space.minus(rest, hit);
                        let goes_on = self.to(*target, hit, flow);
                        on = self.space.or(on, goes_on);
                    }
                    // Without an element the rule does not match.
                    flow.next = self.space.or(flow.next, rest);
                    at = on;
                }
            }
        }
        flow.next = self.space.or(flow.next, at);
    }

    /// Sends packets to a target; yields those that go on with the next expression.
    fn to(&mut self, target: Target, at: Node, flow: &mut Flow) -> Node {
        if at.is_empty() {
            return at;
        }
        let space = &mut *self.space;
        match target {
            Target::Accept => flow.accepted = space.or(flow.accepted, at),
            Target::Drop | Target::Queue if self.depth < Depth::All => {}
            Target::Drop if self.summing => {}
            Target::Drop => flow.dropped = space.or(flow.dropped, at),
            Target::Queue => flow.queued = space.or(flow.queued, at),
            Target::Return => flow.back = space.or(flow.back, at),
            Target::NextRule => flow.next = space.or(flow.next, at),
            Target::GoOn => return at,
            Target::Jump(chain) | Target::Goto(chain) => {
                let inner = self.lead(chain, at);
                let space = &mut *self.space;
                flow.accepted = space.or(flow.accepted, inner.accepted);
                flow.dropped = space.or(flow.dropped, inner.dropped);
                flow.rejected = space.or(flow.rejected, inner.rejected);
                flow.queued = space.or(flow.queued, inner.queued);
                let left = space.or(inner.back, inner.next);
                if matches!(target, Target::Jump(_)) {
                    flow.next = space.or(flow.next, left);
                } else {
                    flow.back = space.or(flow.back, left);
                }
            }
        }
        Node::FALSE
    }

    fn assign(&mut self, field: &Field, cases: &[(Pred, Vec<Becomes>)], at: Node) -> Node {
        let mut after = Node::FALSE;
        for (when, bits) in cases {
            let condition = self.space.node(when);
            let mut mine = self.space.and(at, condition);
            let moves = |up: bool| {
                (0u32..).zip(bits).any(|(bit, becomes)| match becomes {
                    Becomes::Of(other, from) if other == field => {
                        if up {
                            *from < bit
                        } else {
                            *from > bit
                        }
                    }
                    _ => false,
                })
            };
            let (up, down) = (moves(true), moves(false));
            let mut order: Vec<(u32, &Becomes)> = (0u32..).zip(bits).collect();
            if up {
                // A bit that moves is read before it is written over.
                order.reverse();
            }
            for (bit, becomes) in order {
                mine = match becomes {
                    Becomes::Of(other, _) if up && down && other == field => {
                        self.space.with_bit(mine, field, bit, Bit::Anything)
                    }
                    _ => self.bit(field, bit, becomes, mine),
                };
            }
            after = self.space.or(after, mine);
        }
        after
    }

    fn bit(&mut self, field: &Field, bit: u32, becomes: &Becomes, at: Node) -> Node {
        let (other, from, xor) = match becomes {
            Becomes::Same => return at,
            Becomes::Bit(to) => return self.space.with_bit(at, field, bit, *to),
            Becomes::Of(other, from) => (other, from, false),
            Becomes::Xor(other, from) => (other, from, true),
        };
        let Some(set) = self.space.bit(other, *from) else {
            return self.space.with_bit(at, field, bit, Bit::Anything);
        };
        let (mut one, mut zero) = (self.space.and(at, set), self.space.minus(at, set));
        if xor {
            one = self.space.with_bit(one, field, bit, Bit::Flipped);
        } else {
            one = self.space.with_bit(one, field, bit, Bit::Set(true));
            zero = self.space.with_bit(zero, field, bit, Bit::Set(false));
        }
        self.space.or(one, zero)
    }
}
