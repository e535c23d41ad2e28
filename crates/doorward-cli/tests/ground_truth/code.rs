//! Short names for bytecode, and how the machine's registers are counted; decides nothing.

use doorward::ruleset::{Bitop, CmpOp, CtDir, CtKey, Expr, LookupTarget, MetaKey, PayloadBase, Reg, Verdict};

pub(crate) const R0: Reg = Reg(0);

/// A number in the byte order of the host, as the kernel keeps marks, states and indexes.
pub(crate) fn host(number: u32) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

/// The name of an interface as the kernel compares it.
pub(crate) fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

pub(crate) fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

pub(crate) fn meta(key: MetaKey, dreg: Reg) -> Expr {
    Expr::Meta { key, dreg }
}

pub(crate) fn ct(key: CtKey, dir: Option<CtDir>, dreg: Reg) -> Expr {
    Expr::Ct { key, dir, dreg }
}

pub(crate) fn payload(base: PayloadBase, offset: u32, len: u32, dreg: Reg) -> Expr {
    Expr::Payload { base, offset, len, dreg }
}

pub(crate) fn cmp(op: CmpOp, data: Vec<u8>) -> Expr {
    Expr::Cmp { op, sreg: R0, data }
}

pub(crate) fn eq(data: Vec<u8>) -> Expr {
    cmp(CmpOp::Eq, data)
}

pub(crate) fn mask_xor(reg: Reg, mask: Vec<u8>, xor: Vec<u8>) -> Expr {
    Expr::Bitwise { sreg: reg, dreg: reg, len: len(&mask), op: Bitop::MaskXor { mask, xor } }
}

pub(crate) fn mask(reg: Reg, mask: Vec<u8>) -> Expr {
    let xor = vec![0; mask.len()];
    mask_xor(reg, mask, xor)
}

pub(crate) fn shift(reg: Reg, op: Bitop) -> Expr {
    Expr::Bitwise { sreg: reg, dreg: reg, len: 4, op }
}

/// Turns numbers of `size` bytes around.
pub(crate) fn byteorder(reg: Reg, len: u32, size: u32) -> Expr {
    Expr::Byteorder { sreg: reg, dreg: reg, op: 1, len, size }
}

pub(crate) fn immediate(dreg: Reg, data: Vec<u8>) -> Expr {
    Expr::Immediate { dreg, data }
}

pub(crate) fn lookup(set: &str, dreg: Option<LookupTarget>, invert: bool) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg, invert }
}

pub(crate) fn counter() -> Expr {
    Expr::Counter { packets: 0, bytes: 0 }
}

pub(crate) fn verdict(verdict: Verdict) -> Expr {
    Expr::Verdict(verdict)
}

/// The next register behind a value of so many bytes.
pub(crate) fn after(reg: Reg, bytes: usize) -> Reg {
    Reg(reg.0 + u8::try_from(bytes.div_ceil(4)).unwrap())
}
