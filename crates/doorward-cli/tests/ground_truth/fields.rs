//! What a rule asks of a packet: its loads followed through the registers to each comparison; runs nothing.

use doorward::ruleset::{
    Bitop, CmpOp, CtDir, CtKey, Expr, FibResult, LookupTarget, MetaKey, PayloadBase, Rule, Set, Table, exthdr,
};
use std::collections::BTreeMap;

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    Meta(MetaKey),
    Payload(PayloadBase, u32, u32),
    Ct(CtKey, Option<CtDir>),
    Exthdr {
        header: u8,
        offset: u32,
        present: bool,
    },
    Fib(FibResult, u32),
    Constant,
    /// The value that a map gave.
    Mapped,
    Other,
}

/// What was computed on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Mask {
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    Shl(u32),
    Shr(u32),
    Swap(usize),
    /// Nothing that can be undone.
    Lost,
}

/// A part of what is compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) field: Field,
    pub(crate) steps: Vec<Step>,
    pub(crate) len: usize,
    /// Where it stands in what is compared, in bytes.
    pub(crate) at: usize,
}

/// What it is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask<'a> {
    Cmp(CmpOp, &'a [u8]),
    Range(CmpOp, &'a [u8], &'a [u8]),
    Lookup(&'a Set, Option<LookupTarget>, bool),
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Test<'a> {
    pub(crate) parts: Vec<Part>,
    pub(crate) ask: Ask<'a>,
}

/// Values of the registers, by their number.
type Registers = BTreeMap<u8, Part>;

/// The comparisons of a rule, in their order.
pub(crate) fn tests<'a>(table: &'a Table, rule: &'a Rule) -> Vec<Test<'a>> {
    let mut regs = Registers::new();
    let mut tests = Vec::new();
    for expr in &rule.exprs {
        match expr {
            Expr::Cmp { op, sreg, data } => {
                tests.push(Test { parts: taken(&regs, sreg.0, data.len()), ask: Ask::Cmp(*op, data) });
            }
            Expr::Range { op, sreg, from, to } => {
                tests.push(Test { parts: taken(&regs, sreg.0, from.len()), ask: Ask::Range(*op, from, to) });
            }
            Expr::Lookup { set, sreg, dreg, invert } => {
                let Some(set) = table.set(set) else { continue };
                let parts = taken(&regs, sreg.0, set.key_len as usize);
                tests.push(Test { parts, ask: Ask::Lookup(set, *dreg, *invert) });
                if let Some(LookupTarget::Value(reg)) = dreg {
                    put(&mut regs, reg.0, Field::Mapped, 4, Vec::new());
                }
            }
            other => load(&mut regs, other),
        }
    }
    tests
}

fn load(regs: &mut Registers, expr: &Expr) {
    match expr {
        Expr::Meta { key, dreg } => put(regs, dreg.0, Field::Meta(*key), meta_len(*key), Vec::new()),
        Expr::Payload { base, offset, len, dreg } => {
            put(regs, dreg.0, Field::Payload(*base, *offset, *len), *len as usize, Vec::new());
        }
        Expr::Ct { key, dir, dreg } => put(regs, dreg.0, Field::Ct(*key, *dir), ct_len(*key), Vec::new()),
        Expr::Exthdr { header, offset, len, flags, op: exthdr::IPV6, dreg } => {
            let field =
                Field::Exthdr { header: *header, offset: *offset, present: flags & exthdr::PRESENT != 0 };
            put(regs, dreg.0, field, *len as usize, Vec::new());
        }
        Expr::Fib(fib) => put(regs, fib.dreg.0, Field::Fib(fib.result, fib.flags), 4, Vec::new()),
        Expr::Immediate { dreg, data } => put(regs, dreg.0, Field::Constant, data.len(), Vec::new()),
        Expr::Bitwise { sreg, dreg, len, op } => {
            let step = match op {
                Bitop::MaskXor { mask, xor } => Step::Mask { mask: mask.clone(), xor: xor.clone() },
                Bitop::Shl(bits) => Step::Shl(*bits),
                Bitop::Shr(bits) => Step::Shr(*bits),
                Bitop::Other { .. } => Step::Lost,
            };
            compute(regs, sreg.0, dreg.0, *len as usize, step);
        }
        Expr::Byteorder { sreg, dreg, len, size, .. } => {
            compute(regs, sreg.0, dreg.0, *len as usize, Step::Swap(*size as usize));
        }
        Expr::Exthdr { dreg, .. } | Expr::Rt { dreg, .. } => {
            put(regs, dreg.0, Field::Other, 4, Vec::new());
        }
        _ => {}
    }
}

fn put(regs: &mut Registers, reg: u8, field: Field, len: usize, steps: Vec<Step>) {
    let behind = reg + u8::try_from(len.div_ceil(4)).unwrap_or(16);
    regs.retain(|at, part| {
        let end = at + u8::try_from(part.len.div_ceil(4)).unwrap_or(16);
        end <= reg || *at >= behind
    });
    regs.insert(reg, Part { field, steps, len, at: 0 });
}

fn compute(regs: &mut Registers, from: u8, to: u8, len: usize, step: Step) {
    let Some(part) = regs.get(&from).cloned() else {
        return put(regs, to, Field::Other, len, Vec::new());
    };
    let mut steps = part.steps;
    // A mask over several loads, as nft makes it for prefixes within a concatenation.
    steps.push(if part.len < len.saturating_sub(3) { Step::Lost } else { step });
    put(regs, to, part.field, len.max(part.len), steps);
}

/// What stands in the registers from one on.
fn taken(regs: &Registers, from: u8, len: usize) -> Vec<Part> {
    let behind = from + u8::try_from(len.div_ceil(4)).unwrap_or(16);
    regs.range(from..behind)
        .map(|(reg, part)| {
            let at = usize::from(reg - from) * 4;
            Part { at, len: part.len.min(len - at), ..part.clone() }
        })
        .collect()
}

fn meta_len(key: MetaKey) -> usize {
    match key {
        MetaKey::Protocol | MetaKey::Iiftype | MetaKey::Oiftype => 2,
        MetaKey::Nfproto | MetaKey::L4proto | MetaKey::Pkttype | MetaKey::Nftrace => 1,
        MetaKey::Iifname
        | MetaKey::Oifname
        | MetaKey::BriIifname
        | MetaKey::BriOifname
        | MetaKey::Iifkind
        | MetaKey::Oifkind => 16,
        _ => 4,
    }
}

fn ct_len(key: CtKey) -> usize {
    match key {
        CtKey::Direction | CtKey::L3protocol | CtKey::Protocol => 1,
        CtKey::ProtoSrc | CtKey::ProtoDst | CtKey::Zone => 2,
        CtKey::SrcIp6 | CtKey::DstIp6 | CtKey::Src | CtKey::Dst | CtKey::Labels | CtKey::Helper => 16,
        _ => 4,
    }
}

impl Part {
    /// A value of the field that becomes `value` on the way, as far as that can be undone.
    pub(crate) fn undo(&self, value: &[u8], free: u8) -> Option<Vec<u8>> {
        let mut bytes = value.to_vec();
        for step in self.steps.iter().rev() {
            match step {
                Step::Mask { mask, xor } => {
                    for (at, byte) in bytes.iter_mut().enumerate() {
                        let mask = mask.get(at).copied().unwrap_or(0);
                        let xor = xor.get(at).copied().unwrap_or(0);
                        *byte = (*byte ^ xor) & mask | free & !mask;
                    }
                }
                Step::Shl(bits) => shift(&mut bytes, |word| word >> bits),
                Step::Shr(bits) => shift(&mut bytes, |word| word << bits),
                Step::Swap(size) => {
                    for number in bytes.chunks_mut((*size).max(1)) {
                        number.reverse();
                    }
                }
                Step::Lost => return None,
            }
        }
        Some(bytes)
    }
}

fn shift(bytes: &mut Vec<u8>, by: impl Fn(u32) -> u32) {
    let len = bytes.len();
    bytes.resize(4.max(len), 0);
    let word = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
    bytes[..4].copy_from_slice(&by(word).to_ne_bytes());
    bytes.truncate(len);
}
