//! What a table does with a packet, by the interpreter: its verdict, and the mark that is left on the connection.

use crate::probe::Probe;
use doorward::ruleset::{Bitop, CtKey, Expr, Table};
use doorward::trace::{End, Machine, Packet, Trace, Unknown};

/// Nobody is banned, and every bucket has room.
fn holds(what: &Unknown<'_>) -> bool {
    match what.expr {
        Expr::Limit(limit) => !limit.over,
        Expr::Lookup { .. } => false,
        other => panic!("nobody knows what {other:?} comes to"),
    }
}

/// What becomes of a packet, and of the mark of its connection.
pub(crate) fn packet(table: Option<&Table>, packet: &Packet, mark: u32) -> (bool, u32) {
    let Some(table) = table else { return (true, mark) };
    let machine = Machine::new(std::slice::from_ref(table));
    let trace = machine.hook(packet, &mut holds);
    assert!(!matches!(trace.end, End::Stopped(_)), "{:?}", trace.end);
    (trace.end == End::Accepted, marked(table, &trace, mark))
}

/// Replays what the rules wrote.
fn marked(table: &Table, trace: &Trace<'_>, mut mark: u32) -> u32 {
    let four = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap();
    for visit in &trace.visits {
        let rule = &table.chains[visit.chain].rules[visit.rule];
        let mut change = (0, 0);
        for expr in &rule.exprs[..visit.outcome.effective(rule.exprs.len())] {
            match expr {
                Expr::Bitwise { op: Bitop::MaskXor { mask, xor }, .. } if mask.len() == 4 => {
                    change = (four(mask), four(xor));
                }
                Expr::CtSet { key: CtKey::Mark, .. } => mark = mark & change.0 ^ change.1,
                _ => {}
            }
        }
    }
    mark
}

/// How every probe ends, two bits each, and which of them get a helper.
pub(crate) fn verdicts(table: Option<&Table>, probes: &[Probe]) -> u64 {
    let Some(table) = table else { return 0 };
    let machine = Machine::new(std::slice::from_ref(table));
    let mut all = 0;
    for (at, probe) in probes.iter().enumerate() {
        let end = match machine.hook(&probe.first, &mut holds).end {
            End::Accepted => 0,
            End::Dropped => 1,
            End::Rejected => 2,
            other => panic!("{}: {other:?}", probe.what),
        };
        all |= end << (2 * at);
        let before = machine.hook(&probe.before, &mut holds);
        let helped = before.visits.iter().any(|visit| {
            let rule = &table.chains[visit.chain].rules[visit.rule];
            let done = &rule.exprs[..visit.outcome.effective(rule.exprs.len())];
            done.iter().any(|expr| matches!(expr, Expr::Objref { .. }))
        });
        all |= u64::from(helped) << (2 * probes.len() + at);
    }
    all
}

/// Whether the verdicts let a probe in.
pub(crate) fn lets_in(verdicts: u64, probe: usize) -> bool {
    (verdicts >> (2 * probe)).trailing_zeros() >= 2
}
