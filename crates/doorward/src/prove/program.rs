//! All that packets of some hooks can pass, lowered: base chains in order, and the chains that they call.

use super::lens::Lens;
use super::lists::Lists;
use super::load::{Odd, Slice, Stand};
use super::lookup::Known;
use super::lower::{self, Becomes, Op, Shared, Way};
use super::questions::{Numbers, Questions, Site};
use super::xtables;
use crate::net::Family;
use crate::ruleset::{Chain, ChainKind, Expr, Hook, Policy, Table, TableFamily, Verdict};
use crate::space::{Field, Pred, Terms};
use crate::xt;
use rustc_hash::FxHashMap as HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// The table is switched off (`NFT_TABLE_F_DORMANT`).
const DORMANT: u32 = 1;
/// Chains are followed so deep: the kernel loads none that are nested deeper (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// What is known besides the rules.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Names of interfaces by index. `lo` is 1 in every namespace.
    pub interfaces: BTreeMap<u32, String>,
    /// What sets mean.
    pub lens: Lens,
    /// Whether what a rule does besides deciding is looked at as well.
    pub effects: bool,
    /// What is not taken for granted.
    pub odd: Odd,
}

/// Where a chain is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChainName {
    /// Family of its table.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its own name.
    pub chain: String,
}

/// A base chain of a hook.
#[derive(Clone, PartialEq, Debug)]
pub struct BaseChain {
    /// Where it is.
    pub name: ChainName,
    /// Its priority.
    pub priority: i32,
    pub(super) drops: bool,
    pub(super) chain: usize,
}

/// How a rule or an element ends a walk, with its target found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    Accept,
    Drop,
    Queue,
    Return,
    /// With the next expression.
    GoOn,
    /// With the next rule.
    NextRule,
    Jump(usize),
    Goto(usize),
}

/// A step with its targets found.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Step {
    Plain(Op),
    To(Target),
    Map(Vec<(Pred, Target)>),
}

/// A rule, lowered.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct LoweredRule {
    /// Ways that exclude each other: for which packets, and what is done with them.
    pub(super) ways: Vec<(Pred, Vec<Step>)>,
    /// As of a chain.
    pub(super) stateless: bool,
}

/// A chain with its rules lowered.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Lowered {
    pub(super) rules: Vec<LoweredRule>,
    /// Neither this chain nor one that it calls changes a mark or has an effect that is looked at.
    pub(super) stateless: bool,
}

/// What packets of one slice pass.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Hooked {
    pub(super) bases: Vec<BaseChain>,
    pub(super) chains: Vec<Lowered>,
}

/// A ruleset, lowered for one family.
#[derive(Clone, Debug)]
pub struct Program {
    pub(super) slices: BTreeMap<Slice, Hooked>,
    /// A chain calls itself, or chains are nested deeper than the kernel takes: nothing is claimed.
    pub(super) endless: bool,
    assumed: BTreeSet<String>,
    numbers: Numbers,
    /// The bits that rules change of the packet's mark and of the connection's.
    changed: [u32; 2],
}

impl Program {
    /// Lowers all tables for packets of one family at some hooks.
    #[must_use]
    pub fn of(tables: &[Table], slices: &[Slice], facts: &Facts, terms: &mut Terms) -> Program {
        Program::beside(None, tables, slices, facts, terms)
    }

    /// The same, to be compared with another program of the same terms: what no packet tells is the same question in
    /// both, as far as it can be.
    #[must_use]
    pub fn beside(
        first: Option<&Program>,
        tables: &[Table],
        slices: &[Slice],
        facts: &Facts,
        terms: &mut Terms,
    ) -> Program {
        let mut questions = Questions::beside(first.map(|program| &program.numbers), tables);
        let mut known = Known::default();
        let mut interfaces = facts.interfaces.clone();
        interfaces.insert(1, "lo".to_owned());
        let mut lists = Lists::of(tables);
        let mut program = Program {
            slices: BTreeMap::new(),
            endless: false,
            assumed: BTreeSet::new(),
            numbers: Numbers::default(),
            changed: [0; 2],
        };
        for slice in slices {
            let mut lowerer = Lowerer {
                tables,
                slice: *slice,
                shared: Shared {
                    terms,
                    interfaces: &interfaces,
                    odd: facts.odd,
                    questions: &mut questions,
                    known: &mut known,
                    lens: &facts.lens,
                    lists: &mut lists,
                    effects: facts.effects,
                },
                chains: Vec::new(),
                places: HashMap::default(),
                open: Vec::new(),
                endless: false,
            };
            let bases = lowerer.bases();
            program.endless |= lowerer.endless;
            program.slices.insert(*slice, Hooked { bases, chains: lowerer.chains });
        }
        program.assumed = lists.assumed;
        program.numbers = questions.into_numbers();
        program.changed = [Field::MARK, Field::CT_MARK].map(|mark| program.changes(&mark));
        program
    }

    /// Two programs of one table each, to be compared with each other.
    pub(super) fn both(
        tables: [&Table; 2],
        slices: &[Slice],
        facts: &Facts,
        terms: &mut Terms,
    ) -> [Program; 2] {
        let [first, second] = tables.map(std::slice::from_ref);
        let first = Program::of(first, slices, facts, terms);
        let second = Program::beside(Some(&first), second, slices, facts, terms);
        [first, second]
    }

    /// What was taken for granted, in words.
    #[must_use]
    pub fn assumed(&self) -> &BTreeSet<String> {
        &self.assumed
    }

    /// The bits of a mark that rules change.
    #[must_use]
    pub fn changed_bits(&self, mark: &Field) -> u32 {
        match *mark {
            Field::MARK => self.changed[0],
            Field::CT_MARK => self.changed[1],
            _ => 0,
        }
    }

    fn changes(&self, mark: &Field) -> u32 {
        let chains = self.slices.values().flat_map(|hooked| &hooked.chains);
        let ways = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.ways);
        let steps = ways.flat_map(|(_, steps)| steps);
        let mut changed = 0;
        for step in steps {
            if let Step::Plain(Op::Assign { field, cases }) = step
                && field == mark
            {
                for (bit, becomes) in cases.iter().flat_map(|(_, bits)| bits.iter().enumerate()) {
                    changed |= u32::from(*becomes != Becomes::Same) << bit;
                }
            }
        }
        changed
    }

    /// Whether packets of a slice meet the very same rules there: nothing has to be computed then. Both programs are
    /// of the same terms.
    pub(super) fn is_same(&self, other: &Program, slice: Slice) -> bool {
        !self.endless && !other.endless && self.slices.get(&slice) == other.slices.get(&slice)
    }

    /// The base chains that packets of a slice pass, in order.
    #[must_use]
    pub fn base_chains(&self, slice: Slice) -> &[BaseChain] {
        self.slices.get(&slice).map_or(&[], |hooked| hooked.bases.as_slice())
    }
}

struct Lowerer<'a, 's> {
    tables: &'a [Table],
    slice: Slice,
    shared: Shared<'s, 'a>,
    chains: Vec<Lowered>,
    /// Where chains went: table, name, and which call where that matters.
    places: HashMap<(usize, String, u32, Stand), usize>,
    open: Vec<usize>,
    endless: bool,
}

impl<'a> Lowerer<'a, '_> {
    fn bases(&mut self) -> Vec<BaseChain> {
        let family = match self.shared.terms.family() {
            Family::V4 => TableFamily::Ip,
            Family::V6 => TableFamily::Ip6,
        };
        let mut found: Vec<(i32, usize, &Chain)> = Vec::new();
        for (index, table) in self.tables.iter().enumerate() {
            let by_device = table.family == TableFamily::Netdev && self.slice.hook == Hook::Ingress;
            let concerned = table.family == TableFamily::Inet || table.family == family || by_device;
            if !concerned || table.flags & DORMANT != 0 {
                continue;
            }
            for chain in &table.chains {
                // Chains of type nat decide what becomes of addresses: they are asked by themselves.
                if let Some(base) = &chain.base
                    && base.hook == self.slice.hook
                    && (base.kind == ChainKind::Nat) == self.slice.nat
                {
                    found.push((base.priority, index, chain));
                }
            }
        }
        // Of equal priority the one that came last is the first.
        found.reverse();
        found.sort_by_key(|(priority, ..)| *priority);
        let mut bases = Vec::with_capacity(found.len());
        for (priority, index, chain) in found {
            let table = &self.tables[index];
            let drops = chain.base.as_ref().is_some_and(|base| base.policy == Policy::Drop);
            let name =
                ChainName { family: table.family, table: table.name.clone(), chain: chain.name.clone() };
            let stand = Stand::of(self.slice, priority);
            let chain = self.chain(stand, index, &chain.name, None);
            bases.push(BaseChain { name, priority, drops, chain });
        }
        bases
    }

    fn chain(&mut self, stand: Stand, index: usize, name: &str, caller: Option<Site<'a>>) -> usize {
        let table = &self.tables[index];
        let Some(chain) = table.chain(name) else {
            self.chains.push(Lowered { rules: Vec::new(), stateless: true });
            return self.chains.len() - 1;
        };
        // What cannot be told is asked once for each who calls: the answers may differ.
        let mut exprs = chain.rules.iter().flat_map(|rule| &rule.exprs);
        let asks = exprs.any(|expr| is_unsure(expr, table.family, self.shared.lists));
        let call = match caller.filter(|_| asks) {
            Some(site) => self.shared.questions.number(
                site,
                &format!("calls {:?} {} {name}", table.family, table.name),
                site.call,
            ),
            None => 0,
        };
        let id = (index, name.to_owned(), call, stand);
        if let Some(place) = self.places.get(&id) {
            self.endless |= self.open.contains(place);
            return *place;
        }
        let place = self.chains.len();
        self.chains.push(Lowered::default());
        self.places.insert(id, place);
        if self.open.len() >= DEEPEST {
            self.endless = true;
            return place;
        }
        self.open.push(place);
        let mut lowered = Lowered { rules: Vec::with_capacity(chain.rules.len()), stateless: true };
        for (number, rule) in chain.rules.iter().enumerate() {
            let site = Site { stand, table: (index, table), chain, call, number };
            let ways = lower::rule(&mut self.shared, site, rule);
            let mut stateless = true;
            let mut found = Vec::with_capacity(ways.len());
            for Way { when, ops } in ways {
                let steps: Vec<Step> =
                    ops.into_iter().map(|op| self.step(site, op, &mut stateless)).collect();
                found.push((when, steps));
            }
            let ends = always_ends(&found);
            lowered.stateless &= stateless;
            lowered.rules.push(LoweredRule { ways: found, stateless });
            if ends {
                // What stands behind is never reached.
                break;
            }
        }
        self.open.pop();
        self.chains[place] = lowered;
        place
    }

    fn step(&mut self, at: Site<'a>, op: Op, stateless: &mut bool) -> Step {
        match op {
            Op::Verdict(verdict) => Step::To(self.target(at, &verdict, stateless)),
            Op::Map(map) => Step::Map(
                map.into_iter().map(|(pred, verdict)| (pred, self.target(at, &verdict, stateless))).collect(),
            ),
            Op::Assign { .. } | Op::Overwrite { .. } | Op::Effect(_) | Op::Translate(_) => {
                *stateless = false;
                Step::Plain(op)
            }
            Op::Test(_) | Op::Reject => Step::Plain(op),
        }
    }

    fn target(&mut self, at: Site<'a>, verdict: &Verdict, stateless: &mut bool) -> Target {
        let mut to = |name: &str| {
            let chain = self.chain(at.stand, at.table.0, name, Some(at));
            *stateless &= self.chains[chain].stateless;
            chain
        };
        match verdict {
            Verdict::Accept => Target::Accept,
            Verdict::Drop | Verdict::Other(_) => Target::Drop,
            Verdict::Queue => Target::Queue,
            Verdict::Return => Target::Return,
            Verdict::Continue => Target::GoOn,
            Verdict::Break => Target::NextRule,
            Verdict::Jump(name) => Target::Jump(to(name)),
            Verdict::Goto(name) => Target::Goto(to(name)),
        }
    }
}

/// Whether no packet gets past a rule.
fn always_ends(ways: &[(Pred, Vec<Step>)]) -> bool {
    let [(Pred::Const(true), steps)] = ways else { return false };
    let last = matches!(
        steps.last(),
        Some(
            Step::Plain(Op::Reject)
                | Step::To(Target::Accept | Target::Drop | Target::Queue | Target::Return | Target::Goto(_))
        )
    );
    last && !steps.iter().any(|step| matches!(step, Step::Plain(Op::Test(_)) | Step::Map(_)))
}

/// Whether an expression depends on what cannot be told from the packet, anew each time.
fn is_unsure(expr: &Expr, family: TableFamily, lists: &Lists) -> bool {
    match expr {
        Expr::Limit(_) | Expr::Quota { .. } | Expr::Connlimit { .. } | Expr::Objref { .. } => true,
        Expr::Dynset(dynset) => !dynset.exprs.is_empty(),
        Expr::Unknown { .. } => xt::read(expr, family).is_none_or(|found| xtables::asks_anew(&found, lists)),
        _ => false,
    }
}
