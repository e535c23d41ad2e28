//! Chains of others that change what a policy promises; what they drop is dropped, whatever ours says.

use super::changes::{Change, Changes, Kind};
use super::load::Slice;
use super::names::Never;
use super::parts::{Knife, Part, parts};
use super::program::{BaseChain, ChainName, Facts, Program};
use super::promise::{Led, Promise, Wiring};
use super::run::NotJudged;
use crate::compile::{MARK_BITS, TABLE};
use crate::meaning::Connection;
use crate::meaning::sets::{self, Given, Place};
use crate::net::Family;
use crate::resolve::model::{Resolved, Translation};
use crate::ruleset::{Chain, ChainKind, CtKey, Expr, Hook, Table, TableFamily};
use crate::space::{Field, Node, Pred, Space, Terms, name_value};
use crate::xt::{self, ConnmarkSet, Target, Xt};

/// A chain of somebody else that changes what a policy promises.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// The chain.
    pub chain: ChainName,
    /// Its hook, in a word; none for a chain that others call.
    pub hook: Option<&'static str>,
    /// What it does.
    pub does: Does,
}

/// What a foreign chain does to a promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Does {
    /// It shuts out what the policy lets in.
    Drops {
        /// What.
        changes: Changes,
        /// Whether that is so for certain, or depends on what no packet tells.
        certain: bool,
        /// Whether a sentence promises it. Else it passes through, as far as the policy goes, and into a network that
        /// somebody else guards.
        promised: bool,
    },
    /// It leaves what the policy lets in out of connection tracking: replies are no longer known as such.
    Untracks {
        /// A connection of it; none where it could not be told of which.
        example: Option<Box<Connection>>,
    },
    /// It translates destinations, so that other doors are knocked at.
    Translates,
    /// It may change bits of the connection mark that are ours.
    Marks,
}

impl Does {
    /// Whether a promise is broken by it.
    #[must_use]
    pub fn breaks(&self) -> bool {
        !matches!(self, Does::Translates | Does::Drops { promised: false, .. })
    }
}

/// So many products of what a foreign chain drops are told.
const TOLD: usize = 8;
/// What the prover calls it when a rule does this.
const UNTRACKS: &str = "leaves it out of connection tracking";

/// The chains of others that change what the policy promises.
pub fn foreign(
    policy: &Resolved,
    tables: &[Table],
    wiring: &Wiring<'_>,
    facts: &Facts,
) -> Result<Vec<Foreign>, NotJudged> {
    let ours = |table: &&Table| table.family == TableFamily::Inet && table.name == TABLE;
    let others: Vec<Table> = tables.iter().filter(|table| !ours(table)).cloned().collect();
    let mut found = Found(Vec::new());
    let facts = Facts { effects: true, ..facts.clone() };
    for table in &others {
        found.side_effects(table);
    }
    if others.iter().flat_map(|table| &table.chains).all(|chain| chain.base.is_none()) {
        return Ok(found.0);
    }
    let ours = policy.nat.iter().any(|one| !matches!(one.what, Translation::Masquerade { .. }));
    let translates = ours || found.0.iter().any(|one| one.does == Does::Translates);
    let judge = Judge { policy, others: &others, wiring, facts: &facts, translates };
    for family in Family::BOTH {
        judge.family(family, &mut found)?;
    }
    // What is dropped comes first, and what breaks nothing last.
    found.0.sort_by_key(|one| (!one.does.breaks(), !matches!(one.does, Does::Drops { .. })));
    Ok(found.0)
}

/// Where packets of a place pass, the place's own hook included.
fn passed(place: Place) -> Vec<Slice> {
    let hooks: &[Hook] = match place.hook {
        Hook::Input => &[Hook::Ingress, Hook::Prerouting, Hook::Input],
        Hook::Forward => &[Hook::Ingress, Hook::Prerouting, Hook::Forward, Hook::Postrouting],
        _ => &[Hook::Output, Hook::Postrouting],
    };
    hooks.iter().map(|hook| Slice { hook: *hook, translated: place.translated, nat: false }).collect()
}

/// What others are judged by.
struct Judge<'a> {
    policy: &'a Resolved,
    others: &'a [Table],
    wiring: &'a Wiring<'a>,
    facts: &'a Facts,
    /// Whether somebody translates destinations: else nothing is translated.
    translates: bool,
}

/// What is promised of a place.
struct Promised {
    openings: Pred,
    allowed: Pred,
    promise: Promise,
}

impl Judge<'_> {
    fn family(&self, family: Family, found: &mut Found) -> Result<(), NotJudged> {
        let led = Led::all(self.policy, self.others, self.facts, family)?;
        let mut terms = Terms::new(family);
        let mut slices: Vec<Slice> = Place::ALL.iter().flat_map(|place| passed(*place)).collect();
        slices.sort_unstable();
        slices.dedup();
        let promised: Vec<Promised> =
            Place::ALL.iter().map(|place| self.promised(*place, &led, &mut terms)).collect();
        // Nobody may look at the bits of the mark that are watched.
        let _ = terms.masked(&Field::CT_MARK, MARK_BITS.into(), 0);
        let program = Program::of(self.others, &slices, self.facts, &mut terms);
        let devices = self.devices(&mut terms);
        let mut space = Space::new(terms)?;
        let never = Never::of(&self.wiring.own);
        let places = Place::ALL.into_iter().enumerate();
        for (at, place) in places.filter(|(_, place)| self.translates || !place.translated) {
            let Promised { openings, allowed, promise } = &promised[at];
            let [openings, allowed] = [openings, allowed].map(|pred| space.node(pred));
            let possible = space.domain();
            let openings = space.and(openings, possible);
            let promised = space.and(openings, allowed);
            let alike = space.minus(openings, promised);
            let knife = Knife { place, openings, alike, broad: true, never: &never, most: TOLD, among: None };
            let judged = Judged { promised, promise, knife };
            let mut packets = promised;
            for mark in [Field::MARK, Field::CT_MARK] {
                packets = space.fixed(packets, &mark, 0);
            }
            for slice in passed(place) {
                for base in program.base_chains(slice) {
                    let bound = devices.iter().find(|(name, _)| *name == base.name).map(|(_, pred)| pred);
                    let bound = bound.map_or(Node::TRUE, |pred| space.node(pred));
                    let (mine, others) = (space.and(packets, bound), space.minus(packets, bound));
                    let after = chain(&mut space, &program, (slice, base), mine, judged, found)?;
                    packets = space.or(after, others);
                }
            }
        }
        self.marks(&mut space, &program, &slices, found)?;
        space.holds_good()?;
        Ok(())
    }

    fn promised(&self, place: Place, led: &[Led], terms: &mut Terms) -> Promised {
        let openings = sets::openings(self.policy, &self.wiring.own, place, false, terms);
        let allowed = sets::sets(self.policy, place, Given::default(), terms).allowed;
        let promise = Promise::of(self.policy, self.wiring, led, place, terms);
        Promised { openings, allowed, promise }
    }

    /// The interfaces to which chains are bound.
    fn devices(&self, terms: &mut Terms) -> Vec<(ChainName, Pred)> {
        let mut devices = Vec::new();
        for table in self.others {
            for chain in &table.chains {
                let Some(base) = chain.base.as_ref().filter(|base| base.hook == Hook::Ingress) else {
                    continue;
                };
                let names = base.devices.iter().map(|name| (name_value(name), name_value(name))).collect();
                devices.push((name_of(table, chain), terms.within(&Field::Iif, names)));
            }
        }
        devices
    }

    /// Whether a chain changes bits of the connection mark that are ours, of whatever packet.
    fn marks(
        &self,
        space: &mut Space,
        program: &Program,
        slices: &[Slice],
        found: &mut Found,
    ) -> Result<(), NotJudged> {
        let sets = |expr: &Expr| matches!(expr, Expr::CtSet { key: CtKey::Mark, .. });
        let any = self.others.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        if !any.flat_map(|rule| &rule.exprs).any(sets) {
            return Ok(());
        }
        let bits: Vec<Node> = (0..32)
            .filter(|bit| MARK_BITS >> bit & 1 == 1)
            .filter_map(|bit| space.bit(&Field::CT_MARK, bit))
            .collect();
        for slice in slices {
            for base in program.base_chains(*slice) {
                let only = |one: &BaseChain| one.name == base.name && one.priority == base.priority;
                for set in [false, true] {
                    let mut start = space.domain();
                    for bit in &bits {
                        start = if set { space.and(start, *bit) } else { space.minus(start, *bit) };
                    }
                    let (fates, _) = program.fates(space, *slice, start, &only)?;
                    let mut changed = Node::FALSE;
                    for bit in &bits {
                        let other = if set {
                            space.minus(fates.accepted, *bit)
                        } else {
                            space.and(fates.accepted, *bit)
                        };
                        changed = space.or(changed, other);
                    }
                    if !changed.is_empty() {
                        found.push(&base.name, Some(slice.hook.word()), Does::Marks);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a chain is held against.
#[derive(Clone, Copy)]
struct Judged<'a> {
    /// What the policy lets in.
    promised: Node,
    /// What of it is promised.
    promise: &'a Promise,
    knife: Knife<'a>,
}

/// One chain; yields the packets with the marks that it gave them, as if it had dropped none: the next is
/// judged by itself.
fn chain(
    space: &mut Space,
    program: &Program,
    (slice, base): (Slice, &BaseChain),
    packets: Node,
    judged: Judged<'_>,
    found: &mut Found,
) -> Result<Node, NotJudged> {
    let only = |one: &BaseChain| one.name == base.name && one.priority == base.priority;
    let (fates, effects) = program.fates(space, slice, packets, &only)?;
    let gone = space.union(vec![fates.dropped, fates.rejected, fates.queued]);
    // What no packet tells, and what a mark became on the way.
    let untold = |field: &Field| field.is_unknown() || matches!(*field, Field::MARK | Field::CT_MARK);
    let (may_pass, may_go) = (space.exists(fates.accepted, &untold), space.exists(gone, &untold));
    let for_certain = space.minus(may_go, may_pass);
    let at = (base, slice.hook.word());
    let Judged { promised, promise, knife } = judged;
    let sets = [for_certain, may_go];
    let broken = sets.map(|set| promise.broken(space, set, promised));
    let rest = [0, 1].map(|at| {
        let (told, _) = broken[at];
        (space.minus(sets[at], told), Node::FALSE)
    });
    // What comes in is promised, as far as it can come in.
    let rest = (knife.place.hook != Hook::Input).then_some((rest, false));
    for (sets, promised) in [(broken, true)].into_iter().chain(rest) {
        let at_times = sets[0].0.is_empty();
        let (set, among) = sets[usize::from(at_times)];
        let knife = Knife { among: promised.then_some(among), ..knife };
        found.drops(space, at, Drops { set, certain: !at_times, promised }, knife);
    }
    if let Some(set) = effects.get(UNTRACKS) {
        found.untracks(space, at, *set, knife);
    }
    Ok(space.or(fates.accepted, gone))
}

fn name_of(table: &Table, chain: &Chain) -> ChainName {
    ChainName { family: table.family, table: table.name.clone(), chain: chain.name.clone() }
}

/// What a chain drops.
#[derive(Clone, Copy)]
struct Drops {
    set: Node,
    certain: bool,
    promised: bool,
}

/// What was found so far.
struct Found(Vec<Foreign>);

impl Found {
    fn push(&mut self, chain: &ChainName, hook: Option<&'static str>, does: Does) {
        let one = Foreign { chain: chain.clone(), hook, does };
        if !self.0.contains(&one) {
            self.0.push(one);
        }
    }

    fn drops(
        &mut self,
        space: &mut Space,
        (base, hook): (&BaseChain, &'static str),
        Drops { set, certain, promised }: Drops,
        knife: Knife<'_>,
    ) {
        let (parts, all) = parts(space, set, knife);
        for Part { traffic, example } in parts {
            let at = self.0.iter().position(|known| {
                let same = |does: &Does| {
                    matches!(does, Does::Drops { certain: one, promised: other, .. }
                        if (*one, *other) == (certain, promised))
                };
                known.chain == base.name && known.hook == Some(hook) && same(&known.does)
            });
            let at = at.unwrap_or_else(|| {
                let does = Does::Drops { changes: Changes::default(), certain, promised };
                self.0.push(Foreign { chain: base.name.clone(), hook: Some(hook), does });
                self.0.len() - 1
            });
            let Does::Drops { changes, .. } = &mut self.0[at].does else { continue };
            changes.more |= !all;
            changes.add(Change::of(Kind::Shuts, knife.place.way(), space.family(), traffic, example));
        }
    }

    fn untracks(
        &mut self,
        space: &mut Space,
        (base, hook): (&BaseChain, &'static str),
        set: Node,
        knife: Knife<'_>,
    ) {
        let known = |one: &Foreign| one.chain == base.name && matches!(one.does, Does::Untracks { .. });
        if self.0.iter().any(known) {
            return;
        }
        let (parts, _) = parts(space, set, knife);
        if let Some(first) = parts.into_iter().next() {
            self.push(&base.name, Some(hook), Does::Untracks { example: Some(Box::new(first.example)) });
        }
    }

    /// What the prover does not follow: translations, and what iptables does to tracking and marks.
    fn side_effects(&mut self, table: &Table) {
        for chain in &table.chains {
            let name = name_of(table, chain);
            let hook = chain.base.as_ref().map(|base| base.hook.word());
            // Chains of other types translate by nothing that could be here.
            let translates = chain.base.as_ref().is_none_or(|base| base.kind == ChainKind::Nat);
            for expr in chain.rules.iter().flat_map(|rule| &rule.exprs) {
                let does = match (expr, xt::read(expr, table.family)) {
                    (Expr::Nat(nat), _) if !nat.source => Does::Translates,
                    (Expr::Redir(_), _) => Does::Translates,
                    (_, Some(Xt::Target(target))) => match by_iptables(&target) {
                        Some(does) => does,
                        None => continue,
                    },
                    _ => continue,
                };
                if does != Does::Translates || translates {
                    self.push(&name, hook, does);
                }
            }
        }
    }
}

fn by_iptables(target: &Target) -> Option<Does> {
    let touches = |bits: u32| bits & MARK_BITS != 0;
    match target {
        Target::Dnat(_) | Target::Redirect(_) | Target::Netmap(_) => Some(Does::Translates),
        Target::Notrack => Some(Does::Untracks { example: None }),
        Target::Ct(to) if to.notrack => Some(Does::Untracks { example: None }),
        Target::Connmark(ConnmarkSet::Set { value, mask, .. }) => {
            touches(value | mask).then_some(Does::Marks)
        }
        Target::Connmark(ConnmarkSet::Save { connection_mask, packet_mask, .. }) => {
            touches(connection_mask | packet_mask).then_some(Does::Marks)
        }
        _ => None,
    }
}
