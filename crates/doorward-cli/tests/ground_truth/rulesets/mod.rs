//! Random rulesets as values: tables, chains, rules that end somewhere; knows nothing of packets.

mod matches;
mod sets;

use crate::code::{counter, host, immediate, lookup, mask_xor, meta, verdict};
use crate::dice::Dice;
use crate::world::World;
use doorward::ruleset::{
    Base, Chain, ChainKind, CtKey, Expr, Hook, LookupTarget, MetaKey, Policy, Reg, Rule, Ruleset, Set, Table,
    TableFamily, Verdict,
};

/// The hooks at which packets are sent.
pub(crate) const HOOKS: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];

/// Priorities of base chains: at output all translations are done at -100, at input those of sources begin at 100.
const PRIORITIES: [i32; 9] = [-98, -50, -10, -1, 0, 0, 1, 10, 99];
/// Chains called one from another; the kernel allows 16.
const DEEPEST: usize = 8;

/// What a ruleset is made of besides chance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taste {
    /// Whether rules ask connection tracking; where nobody does, later fragments reach the rules.
    pub(crate) conntrack: bool,
}

/// A ruleset with at least one base chain at each hook, and at most four.
pub(crate) fn ruleset(dice: &mut Dice, world: &World, taste: Taste) -> Ruleset {
    let families = [TableFamily::Inet, TableFamily::Ip, TableFamily::Ip6];
    let count = dice.between(1, 3);
    let mut tables: Vec<Table> = (0..count)
        .map(|index| {
            let family = if index == 0 { TableFamily::Inet } else { *dice.pick(&families) };
            let mut hooks: Vec<Hook> = HOOKS.to_vec();
            if index > 0 {
                hooks.retain(|_| dice.chance(60));
            } else if dice.chance(25) {
                hooks.push(*dice.pick(&HOOKS));
            }
            table(dice, world, taste, family, &format!("t{index}"), &hooks)
        })
        .collect();
    tables.retain(|table| !table.chains.is_empty());
    Ruleset { tables }
}

fn table(
    dice: &mut Dice,
    world: &World,
    taste: Taste,
    family: TableFamily,
    name: &str,
    hooks: &[Hook],
) -> Table {
    let mut table = Table::new(family, name);
    let regular = dice.between(2, DEEPEST - 1);
    // From the bottom up: a chain calls only chains that are there, so there are no circles.
    for index in 0..regular {
        let callable: Vec<String> = (0..index).map(chain_name).collect();
        let mut chain = Chain::regular(chain_name(index));
        chain.rules = rules(dice, world, taste, &mut table, &callable, None);
        table.chains.push(chain);
    }
    let callable: Vec<String> = (0..regular).map(chain_name).collect();
    for (index, hook) in hooks.iter().enumerate() {
        let mut chain = Chain::regular(format!("base{index}"));
        chain.base = Some(Base {
            kind: ChainKind::Filter,
            hook: *hook,
            priority: *dice.pick(&PRIORITIES),
            policy: if dice.chance(60) { Policy::Accept } else { Policy::Drop },
            devices: Vec::new(),
        });
        chain.rules = rules(dice, world, taste, &mut table, &callable, Some(*hook));
        table.chains.push(chain);
    }
    table
}

fn chain_name(index: usize) -> String {
    format!("c{index}")
}

fn rules(
    dice: &mut Dice,
    world: &World,
    taste: Taste,
    table: &mut Table,
    callable: &[String],
    hook: Option<Hook>,
) -> Vec<Rule> {
    let count = if hook.is_some() { dice.between(4, 10) } else { dice.between(2, 6) };
    let family = table.family;
    (0..count)
        .map(|_| {
            let sets = &mut table.sets;
            Forge { dice, world, taste, family, hook, sets, callable }.rule()
        })
        .collect()
}

/// Where rules are made: the chance, the place, and the sets made on the way.
pub(crate) struct Forge<'a> {
    pub(crate) dice: &'a mut Dice,
    world: &'a World,
    taste: Taste,
    family: TableFamily,
    /// Of a base chain.
    hook: Option<Hook>,
    sets: &'a mut Vec<Set>,
    callable: &'a [String],
}

impl Forge<'_> {
    fn rule(&mut self) -> Rule {
        let mut exprs = Vec::new();
        let matches = self.dice.weighted(&[(50, 1), (30, 2), (12, 3), (5, 4), (3, 5)]);
        for _ in 0..matches {
            exprs.extend(self.one_match());
            if self.dice.chance(3) {
                // No text of nft says so, but the kernel takes it: the rule goes on behind it.
                exprs.push(verdict(Verdict::Continue));
            }
            if self.dice.chance(8) {
                exprs.push(counter());
            }
        }
        if self.dice.chance(12) {
            exprs.extend(self.effect());
        }
        if self.dice.chance(20) {
            exprs.push(counter());
        }
        if self.dice.chance(14) {
            exprs.extend(self.verdict_map());
            if self.dice.chance(40) {
                // Where an element says `continue`, this is next.
                exprs.extend(self.one_match());
                exprs.push(verdict(self.end()));
            }
        } else if self.dice.chance(92) {
            exprs.push(verdict(self.end()));
        }
        let rule = Rule::new(exprs);
        if self.dice.chance(10) { rule.commented("a comment changes nothing") } else { rule }
    }

    /// How a rule or an element ends.
    fn end(&mut self) -> Verdict {
        let calls = if self.callable.is_empty() { 0 } else { 34 };
        match self.dice.weighted(&[(24, 'a'), (18, 'd'), (calls, 'j'), (calls / 4, 'g'), (8, 'r'), (4, 'c')])
        {
            'a' => Verdict::Accept,
            'd' => Verdict::Drop,
            'j' => Verdict::Jump(self.dice.pick(self.callable).clone()),
            'g' => Verdict::Goto(self.dice.pick(self.callable).clone()),
            'r' => Verdict::Return,
            _ => Verdict::Continue,
        }
    }

    /// Something that a later rule can see.
    fn effect(&mut self) -> Vec<Expr> {
        let value = host(self.world.mark(self.dice));
        let set_mark = Expr::MetaSet { key: MetaKey::Mark, sreg: Reg(0) };
        let set_ct_mark = Expr::CtSet { key: CtKey::Mark, dir: None, sreg: Reg(0) };
        let flipped = mask_xor(Reg(0), host(u32::MAX), value.clone());
        match self.dice.below(if self.taste.conntrack { 8 } else { 4 }) {
            0 => vec![immediate(Reg(0), value), set_mark],
            1 => {
                let keep = host(*self.dice.pick(&[u32::MAX, 0xff, 0xffff_ff00, 0]));
                vec![meta(MetaKey::Mark, Reg(0)), mask_xor(Reg(0), keep, value), set_mark]
            }
            2 => {
                let (mut exprs, map) = self.marks_by_port();
                exprs.push(lookup(&map, Some(LookupTarget::Value(Reg(0))), false));
                exprs.push(set_mark);
                exprs
            }
            3 => vec![meta(MetaKey::Mark, Reg(0)), flipped, set_mark],
            4 => vec![immediate(Reg(0), value), set_ct_mark],
            5 => vec![Expr::Ct { key: CtKey::Mark, dir: None, dreg: Reg(0) }, flipped, set_ct_mark],
            6 => vec![meta(MetaKey::Mark, Reg(0)), set_ct_mark],
            _ => vec![Expr::Ct { key: CtKey::Mark, dir: None, dreg: Reg(0) }, set_mark],
        }
    }
}
