//! Packets at the edges of a ruleset's rules: within what a rule asks, just beside it, on the way through the chains
//! that lead there, and by chance; sends nothing.

use crate::dice::Dice;
use crate::draft::Draft;
use crate::fields::{Ask, Field, Part, Test, tests};
use crate::world::World;
use doorward::net::Family;
use doorward::ruleset::{
    Chain, CmpOp, Data, Element, Elements, Expr, Hook, LookupTarget, MetaKey, PayloadBase, Ruleset, Set,
    Table, TableFamily, Verdict, set_flags,
};
use std::collections::HashMap;

/// Elements of a set that are looked at; the others are like them.
const ELEMENTS: usize = 200;
/// A way through more chains than this is not followed.
const DEEPEST: usize = 16;

/// Values that one test of a rule is about.
struct Wish {
    parts: Vec<Part>,
    /// With these the rule goes on.
    inside: Vec<Vec<u8>>,
    /// With these it is decided anew.
    edges: Vec<Vec<u8>>,
}

/// A rule as a target: the wishes of all rules on the way to it, and its own.
struct Target {
    family: TableFamily,
    wishes: Vec<Wish>,
}

/// Makes packets for one ruleset.
pub(crate) struct Packets<'a> {
    ruleset: &'a Ruleset,
    world: &'a World,
    conntrack: bool,
    /// Of each hook, tables and chains that are reached.
    chains: Vec<(usize, &'a Chain)>,
    /// Who calls a chain: of each table, by its name.
    callers: HashMap<(usize, &'a str), Vec<(&'a Chain, usize)>>,
    hook: Hook,
}

impl<'a> Packets<'a> {
    pub(crate) fn of(ruleset: &'a Ruleset, world: &'a World, hook: Hook, conntrack: bool) -> Packets<'a> {
        let mut callers: HashMap<(usize, &str), Vec<(&Chain, usize)>> = HashMap::new();
        let mut chains = Vec::new();
        for (at, table) in ruleset.tables.iter().enumerate() {
            for chain in &table.chains {
                for (number, rule) in chain.rules.iter().enumerate() {
                    for called in calls(table, &rule.exprs) {
                        callers.entry((at, called)).or_default().push((chain, number));
                    }
                }
                if !chain.rules.is_empty() {
                    chains.push((at, chain));
                }
            }
        }
        Packets { ruleset, world, conntrack, chains, callers, hook }
    }

    /// So many packets.
    pub(crate) fn make(&self, dice: &mut Dice, count: usize) -> Vec<Draft> {
        (0..count).map(|_| self.one(dice)).collect()
    }

    fn one(&self, dice: &mut Dice) -> Draft {
        let how = dice.below(100);
        let targets: Vec<Target> = match how {
            // By chance only.
            0..12 => Vec::new(),
            // Two rules at once.
            12..30 => (0..2).filter_map(|_| self.target(dice)).collect(),
            _ => self.target(dice).into_iter().collect(),
        };
        let family = family(dice, &targets);
        let mut draft = Draft::any(dice, self.world, self.hook, family);
        draft.season(dice, self.world, self.conntrack);
        let last = targets.len();
        for (at, target) in targets.iter().enumerate() {
            let tests = target.wishes.len();
            // At one of the tests the packet stands at the edge, at the others within.
            let edge = if dice.chance(65) && tests > 0 { Some(dice.below(tests)) } else { None };
            let protocols_first = |wish: &Wish| wish.parts.iter().all(|part| !decides_protocol(&part.field));
            let mut order: Vec<usize> = (0..tests).collect();
            order.sort_by_key(|number| protocols_first(&target.wishes[*number]));
            for number in order {
                let at_edge = edge == Some(number) && at + 1 == last;
                self.fulfil(dice, &mut draft, &target.wishes[number], at_edge);
            }
        }
        draft.repair();
        draft
    }

    fn fulfil(&self, dice: &mut Dice, draft: &mut Draft, wish: &Wish, at_edge: bool) {
        let values = if at_edge && !wish.edges.is_empty() || wish.inside.is_empty() {
            &wish.edges
        } else {
            &wish.inside
        };
        if values.is_empty() {
            return;
        }
        let value = dice.pick(values);
        for part in &wish.parts {
            let Some(slice) = value.get(part.at..(part.at + part.len).min(value.len())) else { continue };
            let free = *dice.pick(&[0, 0xff, 0x5a]);
            if let Some(raw) = part.undo(slice, free) {
                suit_protocol(dice, self.world, draft, &part.field);
                draft.set(dice, self.world, &part.field, &raw);
            }
        }
    }

    /// A rule that a packet of this hook can meet, and the way there.
    fn target(&self, dice: &mut Dice) -> Option<Target> {
        if self.chains.is_empty() {
            return None;
        }
        for _ in 0..20 {
            let &(at, chain) = dice.pick(&self.chains);
            let table = &self.ruleset.tables[at];
            let number = dice.below(chain.rules.len());
            let mut wishes = wishes(dice, table, chain, number, None);
            let mut here = chain;
            for _ in 0..DEEPEST {
                if let Some(base) = &here.base {
                    if base.hook == self.hook {
                        return Some(Target { family: table.family, wishes });
                    }
                    break;
                }
                let Some(callers) = self.callers.get(&(at, here.name.as_str())) else { break };
                let &(caller, number) = dice.pick(callers);
                wishes.extend(self::wishes(dice, table, caller, number, Some(&here.name)));
                here = caller;
            }
        }
        None
    }
}

fn decides_protocol(field: &Field) -> bool {
    matches!(field, Field::Meta(MetaKey::L4proto) | Field::Payload(PayloadBase::Network, 6 | 9, 1))
}

/// A field of a transport header is of use in a packet that has it.
fn suit_protocol(dice: &mut Dice, world: &World, draft: &mut Draft, field: &Field) {
    let fits: &[u8] = match field {
        Field::Payload(PayloadBase::Transport, 13, 1) => &[6],
        Field::Payload(PayloadBase::Transport, 0 | 1, 1) => &[1, 58],
        Field::Payload(PayloadBase::Transport, 0 | 2, 2) => &[6, 17, 132],
        _ => return,
    };
    if !fits.contains(&draft.l4proto) && dice.chance(85) {
        let proto = match fits {
            [1, 58] if draft.family == Family::V6 => 58,
            [1, 58] => 1,
            several => *dice.pick(several),
        };
        draft.set_proto(dice, world, proto);
    }
}

/// A family that the targets can be met in.
fn family(dice: &mut Dice, targets: &[Target]) -> Family {
    for target in targets.iter().rev() {
        match target.family {
            TableFamily::Ip => return Family::V4,
            TableFamily::Ip6 => return Family::V6,
            _ => {}
        }
        for wish in &target.wishes {
            for part in &wish.parts {
                let value = wish.inside.first().map(Vec::as_slice).unwrap_or_default();
                let asked = match (&part.field, value) {
                    (Field::Meta(MetaKey::Nfproto), [2]) | (Field::Meta(MetaKey::Protocol), [8, 0]) => {
                        Some(Family::V4)
                    }
                    (Field::Meta(MetaKey::Nfproto), [10])
                    | (Field::Meta(MetaKey::Protocol), [0x86, 0xdd]) => Some(Family::V6),
                    (Field::Payload(PayloadBase::Network, 12 | 16, 4), _) => Some(Family::V4),
                    (Field::Payload(PayloadBase::Network, 8 | 24, 5..) | Field::Exthdr { .. }, _) => {
                        Some(Family::V6)
                    }
                    _ => None,
                };
                if let Some(family) = asked
                    && dice.chance(93)
                {
                    return family;
                }
            }
        }
    }
    *dice.pick(&Family::BOTH)
}

/// Chains that a rule can call.
fn calls<'a>(table: &'a Table, exprs: &'a [Expr]) -> Vec<&'a str> {
    let mut called = Vec::new();
    for expr in exprs {
        match expr {
            Expr::Verdict(Verdict::Jump(name) | Verdict::Goto(name)) => called.push(name.as_str()),
            Expr::Lookup { set, dreg: Some(LookupTarget::Verdict), .. } => {
                let elements = table.set(set).map(|set| &set.elements);
                if let Some(Elements::Full(list)) = elements {
                    called.extend(list.iter().filter_map(target_of));
                }
            }
            _ => {}
        }
    }
    called
}

fn target_of(element: &Element) -> Option<&str> {
    match &element.data {
        Some(Data::Verdict(Verdict::Jump(name) | Verdict::Goto(name))) => Some(name),
        _ => None,
    }
}

/// What a rule wishes for; with `to`, so that it calls that chain.
fn wishes(dice: &mut Dice, table: &Table, chain: &Chain, number: usize, to: Option<&str>) -> Vec<Wish> {
    tests(table, &chain.rules[number]).into_iter().map(|test| wish(dice, test, to)).collect()
}

fn wish(dice: &mut Dice, test: Test, to: Option<&str>) -> Wish {
    let mut edges = Vec::new();
    let inside = match test.ask {
        Ask::Cmp(op, value) => {
            let (below, above) = (near(value, false), near(value, true));
            edges = vec![value.to_vec(), below.clone(), above.clone()];
            let mut inside = match op {
                CmpOp::Eq | CmpOp::Lte | CmpOp::Gte => vec![value.to_vec()],
                CmpOp::Neq => vec![above, below, dice.bytes(value.len())],
                CmpOp::Lt => vec![below],
                CmpOp::Gt => vec![above],
            };
            if op == CmpOp::Neq && value.iter().all(|byte| *byte == 0) {
                inside.extend(single_bits(&test.parts, value.len()));
            }
            inside
        }
        Ask::Range(op, from, to) => {
            let outside = vec![near(from, false), near(to, true)];
            let within = vec![from.to_vec(), to.to_vec(), middle(from, to)];
            edges.extend(outside.iter().cloned());
            edges.extend(within.iter().cloned());
            if op == CmpOp::Eq { within } else { outside }
        }
        Ask::Lookup(set, _, invert) => {
            let keys = keys(dice, set, to);
            let beside: Vec<Vec<u8>> = keys
                .iter()
                .flat_map(|key| [near(key, false), near(key, true), in_part(dice, &test.parts, key)])
                .collect();
            edges.extend(keys.iter().cloned());
            edges.extend(beside.iter().cloned());
            if invert { beside } else { keys }
        }
    };
    Wish { parts: test.parts, inside, edges }
}

/// Each bit that a mask lets through, alone.
fn single_bits(parts: &[Part], len: usize) -> Vec<Vec<u8>> {
    let mut bits = Vec::new();
    for part in parts {
        for step in &part.steps {
            let crate::fields::Step::Mask { mask, .. } = step else { continue };
            for bit in (0..mask.len().min(len) * 8).filter(|bit| mask[bit / 8] & 1 << (bit % 8) != 0).take(16)
            {
                let mut value = vec![0; len];
                value[bit / 8] = 1 << (bit % 8);
                bits.push(value);
            }
        }
    }
    bits
}

/// Keys of a set: of intervals both ends and something between.
fn keys(dice: &mut Dice, set: &Set, to: Option<&str>) -> Vec<Vec<u8>> {
    let width = (set.key_len as usize).max(1);
    let list: Vec<Element> = match &set.elements {
        Elements::Full(list) => list.clone(),
        Elements::Plain(bytes) => bytes.chunks(width).map(|key| Element::of(key.to_vec())).collect(),
    };
    let interval = set.flags & set_flags::INTERVAL != 0;
    let mut starts: Vec<usize> = (0..list.len())
        .filter(|at| !list[*at].key.is_empty() && list[*at].flags & 1 == 0)
        .filter(|at| to.is_none() || target_of(&list[*at]) == to)
        .collect();
    while starts.len() > ELEMENTS {
        let gone = dice.below(starts.len());
        starts.swap_remove(gone);
    }
    let mut keys = Vec::new();
    for at in starts {
        let key = &list[at].key;
        keys.push(key.clone());
        if let Some(end) = &list[at].key_end {
            keys.push(end.clone());
            keys.push(middle(key, end));
        } else if interval {
            let end = list
                .iter()
                .filter(|other| other.flags & 1 != 0 && other.key > *key)
                .map(|other| &other.key)
                .min();
            let upper = end.map_or_else(|| vec![0xff; key.len()], |end| near(end, false));
            keys.push(middle(key, &upper));
            keys.push(upper);
        }
    }
    if keys.is_empty() && to.is_some() {
        // The catch-all leads there.
        keys.push(dice.bytes(width));
    }
    keys
}

/// The number before or behind, as the bytes are compared.
fn near(value: &[u8], above: bool) -> Vec<u8> {
    let mut bytes = value.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (next, carry) = if above { byte.overflowing_add(1) } else { byte.overflowing_sub(1) };
        *byte = next;
        if !carry {
            break;
        }
    }
    bytes
}

/// The same key with another value in one of its parts.
fn in_part(dice: &mut Dice, parts: &[Part], key: &[u8]) -> Vec<u8> {
    let mut other = key.to_vec();
    if parts.is_empty() {
        return other;
    }
    let part = dice.pick(parts);
    if let Some(bytes) = other.get_mut(part.at..part.at + part.len) {
        let changed = near(bytes, dice.chance(50));
        bytes.copy_from_slice(&changed);
    }
    other
}

/// Something between, if there is.
fn middle(from: &[u8], to: &[u8]) -> Vec<u8> {
    let differ = from.iter().zip(to).position(|(one, other)| one != other);
    let mut bytes = from.to_vec();
    if let Some(at) = differ {
        bytes[at] = u8::try_from(u16::midpoint(u16::from(from[at]), u16::from(to[at]))).unwrap();
        if bytes[at] == from[at]
            && let Some(next) = bytes.get_mut(at + 1)
        {
            *next = 0xff;
        }
    }
    bytes
}
