//! Programs with one thing changed, and packets that could tell them apart.

use doorward::net::Family;
use doorward::prove::{Facts, Program, Slice, packet};
use doorward::ruleset::{Bitop, CmpOp, Data, Elements, Expr, Hook, Rule, Table, Verdict};
use doorward::space::{Field, Point, Space, Terms, state};
use doorward::trace::Packet;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// A changed program.
pub(crate) struct Mutant {
    pub(crate) table: Table,
    pub(crate) kind: &'static str,
    pub(crate) words: String,
}

fn any<T: Arbitrary>(runner: &mut TestRunner) -> T {
    proptest::prelude::any::<T>().new_tree(runner).unwrap().current()
}

fn pick<T: Copy>(runner: &mut TestRunner, list: &[T]) -> Option<T> {
    let index: Index = any(runner);
    (!list.is_empty()).then(|| list[index.index(list.len())])
}

/// Changes one element, rule, verdict or constant; tries until something is there to change.
pub(crate) fn mutate(original: &Table, runner: &mut TestRunner) -> Mutant {
    type Change = fn(&mut Table, &mut TestRunner) -> Option<String>;
    const CHANGES: [(&str, Change); 12] = [
        ("rule deleted", delete_rule),
        ("rules exchanged", exchange_rules),
        ("verdict changed", change_verdict),
        ("expression deleted", delete_expression),
        ("constant changed", change_constant),
        ("comparison changed", change_comparison),
        ("mask changed", change_mask),
        ("lookup turned round", invert_lookup),
        ("element deleted", delete_element),
        ("element changed", change_element),
        ("verdict of an element", change_map),
        ("limit or timeout changed", change_limit),
    ];
    loop {
        let at = pick(runner, &(0..CHANGES.len()).collect::<Vec<_>>()).unwrap();
        let (kind, change) = CHANGES[at];
        let mut table = original.clone();
        if let Some(words) = change(&mut table, runner)
            && table != *original
        {
            return Mutant { table, kind, words: format!("{kind}: {words}") };
        }
    }
}

/// A rule for which the condition holds, by chain and number.
fn rule<'a>(
    table: &'a mut Table,
    runner: &mut TestRunner,
    wanted: impl Fn(&Rule) -> bool,
) -> Option<(String, &'a mut Rule)> {
    let places: Vec<(usize, usize)> = table
        .chains
        .iter()
        .enumerate()
        .flat_map(|(chain, it)| {
            it.rules.iter().enumerate().filter(|(_, rule)| wanted(rule)).map(move |(rule, _)| (chain, rule))
        })
        .collect();
    let (chain, number) = pick(runner, &places)?;
    let chain = &mut table.chains[chain];
    Some((format!("{} {number}", chain.name), &mut chain.rules[number]))
}

fn delete_rule(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let places: Vec<(usize, usize)> = table
        .chains
        .iter()
        .enumerate()
        .flat_map(|(chain, it)| (0..it.rules.len()).map(move |rule| (chain, rule)))
        .collect();
    let (chain, number) = pick(runner, &places)?;
    let rule = table.chains[chain].rules.remove(number);
    Some(format!("{} {number} {:?}", table.chains[chain].name, rule.exprs))
}

fn exchange_rules(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let places: Vec<(usize, usize)> = table
        .chains
        .iter()
        .enumerate()
        .flat_map(|(chain, it)| (1..it.rules.len()).map(move |rule| (chain, rule)))
        .collect();
    let (chain, number) = pick(runner, &places)?;
    table.chains[chain].rules.swap(number - 1, number);
    Some(format!("{} {number}", table.chains[chain].name))
}

fn change_verdict(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let regular: Vec<String> =
        table.chains.iter().filter(|chain| chain.base.is_none()).map(|chain| chain.name.clone()).collect();
    let is_verdict = |expr: &Expr| matches!(expr, Expr::Verdict(_) | Expr::Reject(_));
    let choice: u8 = any(runner);
    let index: Index = any(runner);
    let (place, rule) = rule(table, runner, |rule| rule.exprs.last().is_some_and(is_verdict))?;
    let last = rule.exprs.last_mut()?;
    let new = match (choice % 4, &*last) {
        (0, Expr::Verdict(Verdict::Drop)) | (1, Expr::Verdict(Verdict::Goto(_) | Verdict::Jump(_))) => {
            Verdict::Accept
        }
        (0, _) => Verdict::Drop,
        (1, _) => Verdict::Return,
        // Any other chain may lead into a circle; one without calls cannot.
        _ => Verdict::Goto(
            regular
                .iter()
                .filter(|name| name.ends_with("_yes") || name.ends_with("_reject"))
                .nth(index.index(2))?
                .clone(),
        ),
    };
    let words = format!("{place} {last:?} to {new:?}");
    *last = Expr::Verdict(new);
    Some(words)
}

fn delete_expression(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let index: Index = any(runner);
    let is_test = |expr: &Expr| {
        matches!(
            expr,
            Expr::Cmp { .. }
                | Expr::Lookup { dreg: None, .. }
                | Expr::Dynset(_)
                | Expr::Log(_)
                | Expr::CtSet { .. }
        )
    };
    let (place, rule) = rule(table, runner, |rule| rule.exprs.iter().any(is_test))?;
    let tests: Vec<usize> = (0..rule.exprs.len()).filter(|at| is_test(&rule.exprs[*at])).collect();
    let at = tests[index.index(tests.len())];
    Some(format!("{place} {:?}", rule.exprs.remove(at)))
}

fn change_constant(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let (index, bit): (Index, u8) = (any(runner), any(runner));
    let is = |expr: &Expr| matches!(expr, Expr::Cmp { .. });
    let (place, rule) = rule(table, runner, |rule| rule.exprs.iter().any(is))?;
    let all: Vec<usize> = (0..rule.exprs.len()).filter(|at| is(&rule.exprs[*at])).collect();
    let at = all[index.index(all.len())];
    let Expr::Cmp { data, .. } = &mut rule.exprs[at] else { return None };
    let byte = index.index(data.len());
    data[byte] ^= 1 << (bit % 8);
    Some(format!("{place} byte {byte} to {data:02x?}"))
}

fn change_comparison(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let (index, choice): (Index, u8) = (any(runner), any(runner));
    let is = |expr: &Expr| matches!(expr, Expr::Cmp { .. });
    let (place, rule) = rule(table, runner, |rule| rule.exprs.iter().any(is))?;
    let all: Vec<usize> = (0..rule.exprs.len()).filter(|at| is(&rule.exprs[*at])).collect();
    let at = all[index.index(all.len())];
    let Expr::Cmp { op, .. } = &mut rule.exprs[at] else { return None };
    const OPS: [CmpOp; 6] = [CmpOp::Eq, CmpOp::Neq, CmpOp::Lt, CmpOp::Lte, CmpOp::Gt, CmpOp::Gte];
    *op = OPS[usize::from(choice) % OPS.len()];
    Some(format!("{place} to {op:?}"))
}

fn change_mask(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let (index, bit): (Index, u8) = (any(runner), any(runner));
    let is = |expr: &Expr| matches!(expr, Expr::Bitwise { .. });
    let (place, rule) = rule(table, runner, |rule| rule.exprs.iter().any(is))?;
    let all: Vec<usize> = (0..rule.exprs.len()).filter(|at| is(&rule.exprs[*at])).collect();
    let at = all[index.index(all.len())];
    let Expr::Bitwise { op: Bitop::MaskXor { mask, xor }, .. } = &mut rule.exprs[at] else { return None };
    let bytes = if bit & 0x80 == 0 { mask } else { xor };
    let byte = index.index(bytes.len());
    bytes[byte] ^= 1 << (bit % 8);
    Some(format!("{place} byte {byte}"))
}

fn invert_lookup(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let is = |expr: &Expr| matches!(expr, Expr::Lookup { dreg: None, .. });
    let (place, rule) = rule(table, runner, |rule| rule.exprs.iter().any(is))?;
    let expr = rule.exprs.iter_mut().find(|expr| is(expr))?;
    let Expr::Lookup { invert, set, .. } = expr else { return None };
    *invert = !*invert;
    Some(format!("{place} @{set}"))
}

fn filled(table: &Table) -> Vec<usize> {
    (0..table.sets.len()).filter(|at| table.sets[*at].elements.count(table.sets[*at].key_len) > 0).collect()
}

fn delete_element(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let at = pick(runner, &filled(table))?;
    let index: Index = any(runner);
    let set = &mut table.sets[at];
    let key_len = set.key_len as usize;
    let gone = match &mut set.elements {
        Elements::Full(list) => list.remove(index.index(list.len())).key,
        Elements::Plain(bytes) => {
            let number = index.index(bytes.len() / key_len);
            bytes.drain(number * key_len..(number + 1) * key_len).collect()
        }
    };
    Some(format!("{} {gone:02x?}", set.name))
}

fn change_element(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let at = pick(runner, &filled(table))?;
    let (index, bit): (Index, u8) = (any(runner), any(runner));
    let set = &mut table.sets[at];
    let key_len = set.key_len as usize;
    let key = match &mut set.elements {
        Elements::Full(list) => {
            let number = index.index(list.len());
            list[number].key.as_mut_slice()
        }
        Elements::Plain(bytes) => {
            let number = index.index(bytes.len() / key_len);
            &mut bytes[number * key_len..(number + 1) * key_len]
        }
    };
    let byte = index.index(key.len());
    key[byte] ^= 1 << (bit % 8);
    let key = key.to_vec();
    // The kernel takes no key twice.
    let twice = match &set.elements {
        Elements::Full(list) => list.iter().filter(|element| element.key == key).count() > 1,
        Elements::Plain(bytes) => bytes.chunks(key_len).filter(|one| *one == key).count() > 1,
    };
    (!twice).then(|| format!("{} {key:02x?}", set.name))
}

fn change_map(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let maps: Vec<usize> = filled(table).into_iter().filter(|at| table.sets[*at].data.is_some()).collect();
    let at = pick(runner, &maps)?;
    let index: Index = any(runner);
    let set = &mut table.sets[at];
    let Elements::Full(list) = &mut set.elements else { return None };
    let number = index.index(list.len());
    list[number].data = match list[number].data.take()? {
        Data::Verdict(_) => {
            Some(Data::Verdict(if index.index(2) == 0 { Verdict::Accept } else { Verdict::Drop }))
        }
        Data::Value(mut value) => {
            // Behind the port comes what fills the register up, which nobody reads.
            let read = if value.len() > 2 { value.len() - 2 } else { value.len() };
            value[index.index(read)] ^= 1;
            Some(Data::Value(value))
        }
    };
    Some(format!("{} {number}", set.name))
}

fn change_limit(table: &mut Table, runner: &mut TestRunner) -> Option<String> {
    let more: u8 = any(runner);
    let is = |expr: &Expr| matches!(expr, Expr::Dynset(_));
    let (place, rule) = rule(table, runner, |rule| rule.exprs.iter().any(is))?;
    let Expr::Dynset(dynset) = rule.exprs.iter_mut().find(|expr| is(expr))? else { return None };
    match dynset.exprs.first_mut() {
        Some(Expr::Limit(limit)) if more.is_multiple_of(2) => limit.rate += 1 + u64::from(more),
        Some(Expr::Limit(limit)) => limit.over = !limit.over,
        _ => dynset.timeout = Some(dynset.timeout.unwrap_or(0) + 1 + u64::from(more)),
    }
    Some(format!("{place} {dynset:?}"))
}

const SLICES: [Slice; 9] = [
    Slice { hook: Hook::Input, translated: false, nat: false },
    Slice { hook: Hook::Input, translated: true, nat: false },
    Slice { hook: Hook::Forward, translated: true, nat: false },
    Slice { hook: Hook::Forward, translated: false, nat: false },
    Slice { hook: Hook::Output, translated: false, nat: false },
    Slice { hook: Hook::Prerouting, translated: false, nat: false },
    Slice { hook: Hook::Prerouting, translated: false, nat: true },
    Slice { hook: Hook::Postrouting, translated: false, nat: true },
    Slice { hook: Hook::Postrouting, translated: true, nat: true },
];

/// For each class of every field a packet with it, the other fields at random among their classes.
pub(crate) fn packets(one: &Table, other: &Table, runner: &mut TestRunner) -> Vec<(Point, Packet)> {
    let mut all = Vec::new();
    for family in Family::BOTH {
        let mut terms = Terms::new(family);
        for table in [one, other] {
            let _ = Program::of(std::slice::from_ref(table), &SLICES, &Facts::default(), &mut terms);
        }
        let Ok(space) = Space::new(terms) else { continue };
        let fields: Vec<(Field, Vec<u128>)> = space
            .fields()
            .map(|field| {
                let mut values = space.samples(field);
                match field {
                    Field::State => values = state::ALL.to_vec(),
                    Field::Meta(_) | Field::Ct(..) if values.is_empty() => {
                        values = vec![0, 1 << 30, 1 << 31, 0x20, u128::from(u32::MAX)];
                    }
                    _ => {}
                }
                (field.clone(), values)
            })
            .filter(|(_, values)| !values.is_empty())
            .collect();
        for (at, (_, values)) in fields.iter().enumerate() {
            for value in values.iter().take(200) {
                for slice in SLICES {
                    let mut point: Vec<(Field, u128)> = fields
                        .iter()
                        .map(|(field, values)| {
                            let index: Index = any(runner);
                            (field.clone(), values[index.index(values.len())])
                        })
                        .collect();
                    point[at].1 = *value;
                    let point = Point::of(point);
                    let packet = packet(&point, family, slice);
                    all.push((point, packet));
                }
            }
        }
    }
    all
}
