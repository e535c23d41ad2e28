//! Expressions as attributes, in the order in which the kernel dumps them.

use doorward::ruleset::{
    Bitop, CmpOp, CtDir, CtKey, Dynset, DynsetOp, Expr, Fib, FibResult, Limit, LimitUnit, Log, LookupTarget,
    Nat, NatRange, PayloadBase, Reg, Reject, Verdict,
};

use crate::nft;
use crate::wire::Writer;

/// Name and data of an expression.
pub(crate) fn write_expr(w: &mut Writer, expr: &Expr) {
    w.str(nft::expr::NAME, name_of(expr));
    match expr {
        Expr::Notrack => {}
        Expr::Unknown { data, .. } if data.is_empty() => {}
        _ => w.nest(nft::expr::DATA, |w| write_body(w, expr)),
    }
}

/// The bytes of an expression's data.
pub(crate) fn expr_data(expr: &Expr) -> Option<Vec<u8>> {
    let mut w = Writer::default();
    write_body(&mut w, expr);
    w.finish().ok()
}

/// One expression under one kind, several as a list under the other.
pub(super) fn write_exprs(w: &mut Writer, one: u16, list: u16, exprs: &[Expr]) {
    match exprs {
        [] => {}
        [single] => w.nest(one, |w| write_expr(w, single)),
        several => w.nest(list, |w| {
            for each in several {
                w.nest(nft::LIST_ELEM, |w| write_expr(w, each));
            }
        }),
    }
}

pub(super) fn write_value(w: &mut Writer, kind: u16, bytes: &[u8]) {
    w.nest(kind, |w| w.put(nft::data::VALUE, bytes));
}

pub(super) fn write_data(w: &mut Writer, kind: u16, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Queue => (3, None),
        Verdict::Continue => (-1, None),
        Verdict::Break => (-2, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
        Verdict::Other(code) => (*code, None),
    };
    w.nest(kind, |w| {
        w.nest(nft::data::VERDICT, |w| {
            w.be32(nft::verdict::CODE, i32::cast_unsigned(code));
            if let Some(chain) = chain {
                w.str(nft::verdict::CHAIN, chain);
            }
        });
    });
}

/// The kernel's name of an expression.
pub(crate) fn name_of(expr: &Expr) -> &str {
    match expr {
        Expr::Meta { .. } | Expr::MetaSet { .. } => "meta",
        Expr::Payload { .. } | Expr::PayloadSet { .. } => "payload",
        Expr::Exthdr { .. } => "exthdr",
        Expr::Cmp { .. } => "cmp",
        Expr::Range { .. } => "range",
        Expr::Bitwise { .. } => "bitwise",
        Expr::Byteorder { .. } => "byteorder",
        Expr::Immediate { .. } | Expr::Verdict(_) => "immediate",
        Expr::Lookup { .. } => "lookup",
        Expr::Dynset(_) => "dynset",
        Expr::Ct { .. } | Expr::CtSet { .. } => "ct",
        Expr::Counter { .. } => "counter",
        Expr::Limit(_) => "limit",
        Expr::Quota { .. } => "quota",
        Expr::Log(_) => "log",
        Expr::Reject(_) => "reject",
        Expr::Nat(_) => "nat",
        Expr::Masq(_) => "masq",
        Expr::Redir(_) => "redir",
        Expr::Fib(_) => "fib",
        Expr::Rt { .. } => "rt",
        Expr::Connlimit { .. } => "connlimit",
        Expr::Objref { .. } | Expr::ObjrefMap { .. } => "objref",
        Expr::Last { .. } => "last",
        Expr::Notrack => "notrack",
        Expr::Unknown { name, .. } => name,
    }
}

/// As the kernel dumps it: a register at a multiple of 16 bytes goes by its old number.
fn write_reg(w: &mut Writer, kind: u16, reg: Reg) {
    let number = u32::from(reg.0);
    w.be32(kind, if number.is_multiple_of(4) && number < 16 { number / 4 + 1 } else { number + 8 });
}

fn write_opt_reg(w: &mut Writer, kind: u16, reg: Option<Reg>) {
    if let Some(reg) = reg {
        write_reg(w, kind, reg);
    }
}

fn write_opt_be32(w: &mut Writer, kind: u16, value: Option<u32>) {
    if let Some(value) = value {
        w.be32(kind, value);
    }
}

fn write_body(w: &mut Writer, expr: &Expr) {
    match expr {
        Expr::Meta { key, dreg } => {
            w.be32(nft::meta::KEY, key.number());
            write_reg(w, nft::meta::DREG, *dreg);
        }
        Expr::MetaSet { key, sreg } => {
            w.be32(nft::meta::KEY, key.number());
            write_reg(w, nft::meta::SREG, *sreg);
        }
        Expr::Payload { .. } | Expr::PayloadSet { .. } => write_payload(w, expr),
        Expr::Exthdr { header, offset, len, flags, op, dreg } => {
            write_reg(w, nft::exthdr::DREG, *dreg);
            w.u8(nft::exthdr::TYPE, *header);
            w.be32(nft::exthdr::OFFSET, *offset);
            w.be32(nft::exthdr::LEN, *len);
            w.be32(nft::exthdr::FLAGS, *flags);
            w.be32(nft::exthdr::OP, *op);
        }
        Expr::Cmp { op, sreg, data } => {
            write_reg(w, nft::cmp::SREG, *sreg);
            w.be32(nft::cmp::OP, cmp_number(*op));
            write_value(w, nft::cmp::DATA, data);
        }
        Expr::Range { op, sreg, from, to } => {
            write_reg(w, nft::range::SREG, *sreg);
            w.be32(nft::range::OP, cmp_number(*op));
            write_value(w, nft::range::FROM, from);
            write_value(w, nft::range::TO, to);
        }
        Expr::Bitwise { sreg, dreg, len, op } => write_bitwise(w, *sreg, *dreg, *len, op),
        Expr::Byteorder { sreg, dreg, op, len, size } => {
            write_reg(w, nft::byteorder::SREG, *sreg);
            write_reg(w, nft::byteorder::DREG, *dreg);
            w.be32(nft::byteorder::OP, *op);
            w.be32(nft::byteorder::LEN, *len);
            w.be32(nft::byteorder::SIZE, *size);
        }
        Expr::Immediate { dreg, data } => {
            write_reg(w, nft::immediate::DREG, *dreg);
            write_value(w, nft::immediate::DATA, data);
        }
        Expr::Verdict(verdict) => {
            w.be32(nft::immediate::DREG, 0);
            write_data(w, nft::immediate::DATA, verdict);
        }
        Expr::Lookup { set, sreg, dreg, invert } => {
            w.str(nft::lookup::SET, set);
            write_reg(w, nft::lookup::SREG, *sreg);
            match dreg {
                None => {}
                Some(LookupTarget::Verdict) => w.be32(nft::lookup::DREG, 0),
                Some(LookupTarget::Value(reg)) => write_reg(w, nft::lookup::DREG, *reg),
            }
            w.be32(nft::lookup::FLAGS, u32::from(*invert));
        }
        Expr::Dynset(dynset) => write_dynset(w, dynset),
        Expr::Ct { key, dir, dreg } => {
            write_reg(w, nft::ct::DREG, *dreg);
            write_ct(w, *key, *dir);
        }
        Expr::CtSet { key, dir, sreg } => {
            write_reg(w, nft::ct::SREG, *sreg);
            write_ct(w, *key, *dir);
        }
        Expr::Log(log) => write_log(w, log),
        Expr::Reject(reject) => write_reject(w, *reject),
        Expr::Nat(nat) => write_nat(w, nat),
        Expr::Masq(range) => {
            write_range(w, *range, nft::masq::PROTO_MIN, nft::masq::PROTO_MAX, nft::masq::FLAGS);
        }
        Expr::Redir(range) => {
            write_range(w, *range, nft::redir::PROTO_MIN, nft::redir::PROTO_MAX, nft::redir::FLAGS);
        }
        Expr::Fib(fib) => write_fib(w, *fib),
        Expr::Rt { key, dreg } => {
            w.be32(nft::rt::KEY, *key);
            write_reg(w, nft::rt::DREG, *dreg);
        }
        Expr::Limit(limit) => write_limit(w, limit),
        Expr::Counter { .. } | Expr::Quota { .. } | Expr::Connlimit { .. } | Expr::Last { .. } => {
            write_state(w, expr);
        }
        Expr::Objref { kind, name } => {
            w.be32(nft::objref::TYPE, *kind);
            w.str(nft::objref::NAME, name);
        }
        Expr::ObjrefMap { sreg, set } => {
            write_reg(w, nft::objref::SREG, *sreg);
            w.str(nft::objref::SET, set);
        }
        Expr::Notrack => {}
        Expr::Unknown { data, .. } => w.raw(data),
    }
}

fn write_payload(w: &mut Writer, expr: &Expr) {
    let place = |w: &mut Writer, base: PayloadBase, offset: u32, len: u32| {
        w.be32(
            nft::payload::BASE,
            match base {
                PayloadBase::Link => 0,
                PayloadBase::Network => 1,
                PayloadBase::Transport => 2,
                PayloadBase::Inner => 3,
                PayloadBase::Other(number) => number,
            },
        );
        w.be32(nft::payload::OFFSET, offset);
        w.be32(nft::payload::LEN, len);
    };
    match expr {
        Expr::Payload { base, offset, len, dreg } => {
            write_reg(w, nft::payload::DREG, *dreg);
            place(w, *base, *offset, *len);
        }
        Expr::PayloadSet { base, offset, len, sreg, csum_type, csum_offset, csum_flags } => {
            write_reg(w, nft::payload::SREG, *sreg);
            place(w, *base, *offset, *len);
            w.be32(nft::payload::CSUM_TYPE, *csum_type);
            w.be32(nft::payload::CSUM_OFFSET, *csum_offset);
            w.be32(nft::payload::CSUM_FLAGS, *csum_flags);
        }
        _ => {}
    }
}

fn cmp_number(op: CmpOp) -> u32 {
    match op {
        CmpOp::Eq => 0,
        CmpOp::Neq => 1,
        CmpOp::Lt => 2,
        CmpOp::Lte => 3,
        CmpOp::Gt => 4,
        CmpOp::Gte => 5,
    }
}

fn write_bitwise(w: &mut Writer, sreg: Reg, dreg: Reg, len: u32, op: &Bitop) {
    write_reg(w, nft::bitwise::SREG, sreg);
    write_reg(w, nft::bitwise::DREG, dreg);
    w.be32(nft::bitwise::LEN, len);
    match op {
        Bitop::MaskXor { mask, xor } => {
            // The operation 0 is not named: kernels before 5.6 know no other.
            write_value(w, nft::bitwise::MASK, mask);
            write_value(w, nft::bitwise::XOR, xor);
        }
        Bitop::Shl(bits) => {
            w.be32(nft::bitwise::OP, 1);
            write_value(w, nft::bitwise::DATA, &bits.to_ne_bytes());
        }
        Bitop::Shr(bits) => {
            w.be32(nft::bitwise::OP, 2);
            write_value(w, nft::bitwise::DATA, &bits.to_ne_bytes());
        }
        Bitop::Other { op, sreg2 } => {
            w.be32(nft::bitwise::OP, *op);
            write_opt_reg(w, nft::bitwise::SREG2, *sreg2);
        }
    }
}

fn write_dynset(w: &mut Writer, dynset: &Dynset) {
    write_reg(w, nft::dynset::SREG_KEY, dynset.key);
    write_opt_reg(w, nft::dynset::SREG_DATA, dynset.data);
    w.be32(
        nft::dynset::OP,
        match dynset.op {
            DynsetOp::Add => 0,
            DynsetOp::Update => 1,
            DynsetOp::Delete => 2,
            DynsetOp::Other(number) => number,
        },
    );
    w.str(nft::dynset::SET, &dynset.set);
    if let Some(timeout) = dynset.timeout {
        w.be64(nft::dynset::TIMEOUT, timeout);
    }
    write_exprs(w, nft::dynset::EXPR, nft::dynset::EXPRESSIONS, &dynset.exprs);
    let list = if dynset.exprs.len() > 1 { nft::DYNSET_EXPR } else { 0 };
    let invert = if dynset.invert { nft::DYNSET_INV } else { 0 };
    w.be32(nft::dynset::FLAGS, list | invert);
}

fn write_ct(w: &mut Writer, key: CtKey, dir: Option<CtDir>) {
    w.be32(nft::ct::KEY, key.number());
    match dir {
        None => {}
        Some(CtDir::Original) => w.u8(nft::ct::DIRECTION, 0),
        Some(CtDir::Reply) => w.u8(nft::ct::DIRECTION, 1),
    }
}

/// The attributes of a limit, in a rule or as an object.
pub(crate) fn write_limit(w: &mut Writer, limit: &Limit) {
    w.be64(nft::limit::RATE, limit.rate);
    w.be64(nft::limit::UNIT, limit.seconds);
    w.be32(nft::limit::BURST, limit.burst);
    w.be32(
        nft::limit::TYPE,
        match limit.unit {
            LimitUnit::Packets => 0,
            LimitUnit::Bytes => 1,
        },
    );
    w.be32(nft::limit::FLAGS, u32::from(limit.over));
}

fn write_state(w: &mut Writer, expr: &Expr) {
    match expr {
        Expr::Counter { packets, bytes } => {
            w.be64(nft::counter::BYTES, *bytes);
            w.be64(nft::counter::PACKETS, *packets);
        }
        Expr::Quota { bytes, consumed, flags } => {
            w.be64(nft::quota::BYTES, *bytes);
            w.be64(nft::quota::CONSUMED, *consumed);
            w.be32(nft::quota::FLAGS, *flags);
        }
        Expr::Connlimit { count, flags } => {
            w.be32(nft::connlimit::COUNT, *count);
            w.be32(nft::connlimit::FLAGS, *flags);
        }
        Expr::Last { msecs, set } => {
            w.be32(nft::last::SET, *set);
            w.be64(nft::last::MSECS, *msecs);
        }
        _ => {}
    }
}

fn write_log(w: &mut Writer, log: &Log) {
    if let Some(prefix) = &log.prefix {
        w.str(nft::log::PREFIX, prefix);
    }
    if let Some(group) = log.group {
        w.be16(nft::log::GROUP, group);
    }
    write_opt_be32(w, nft::log::SNAPLEN, log.snaplen);
    if let Some(packets) = log.qthreshold {
        w.be16(nft::log::QTHRESHOLD, packets);
    }
    write_opt_be32(w, nft::log::LEVEL, log.level);
    write_opt_be32(w, nft::log::FLAGS, log.flags);
}

fn write_reject(w: &mut Writer, reject: Reject) {
    let (kind, code) = match reject {
        Reject::Icmp(code) => (0, Some(code)),
        Reject::TcpReset => (1, None),
        Reject::Icmpx(code) => (2, Some(code)),
    };
    w.be32(nft::reject::TYPE, kind);
    if let Some(code) = code {
        w.u8(nft::reject::CODE, code);
    }
}

fn write_nat(w: &mut Writer, nat: &Nat) {
    w.be32(nft::nat::TYPE, u32::from(!nat.source));
    w.be32(nft::nat::FAMILY, u32::from(nat.family));
    write_opt_reg(w, nft::nat::ADDR_MIN, nat.addr.0);
    write_opt_reg(w, nft::nat::ADDR_MAX, nat.addr.1);
    write_range(w, nat.range, nft::nat::PROTO_MIN, nft::nat::PROTO_MAX, nft::nat::FLAGS);
}

fn write_range(w: &mut Writer, range: NatRange, min: u16, max: u16, flags: u16) {
    write_opt_reg(w, min, range.proto_min);
    write_opt_reg(w, max, range.proto_max);
    if range.flags != 0 {
        w.be32(flags, range.flags);
    }
}

fn write_fib(w: &mut Writer, fib: Fib) {
    write_reg(w, nft::fib::DREG, fib.dreg);
    w.be32(
        nft::fib::RESULT,
        match fib.result {
            FibResult::Oif => 1,
            FibResult::Oifname => 2,
            FibResult::AddrType => 3,
            FibResult::Other(number) => number,
        },
    );
    w.be32(nft::fib::FLAGS, fib.flags);
}
