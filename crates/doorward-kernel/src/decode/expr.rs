//! From attributes to expressions; what a type cannot hold in full stays [`Expr::Unknown`].

use doorward::ruleset::{
    Bitop, CmpOp, CtDir, CtKey, Dynset, DynsetOp, Expr, Fib, FibResult, Limit, LimitUnit, Log, LookupTarget,
    MetaKey, Nat, NatRange, PayloadBase, Reg, Reject, Verdict,
};

use crate::nft;
use crate::wire::{Attrs, Fields, Writer, text};

/// Expressions stand in expressions twice at most in the kernel; more would only serve to exhaust the stack.
const DEPTH: u8 = 4;

/// An expression from its name and data.
pub(crate) fn read_expr(bytes: &[u8]) -> Expr {
    read(bytes, DEPTH)
}

/// A list of expressions.
pub(crate) fn read_list(bytes: &[u8]) -> Vec<Expr> {
    list(bytes, DEPTH)
}

/// Only the counters of a list.
pub(crate) fn read_counters(bytes: &[u8]) -> Vec<Expr> {
    Attrs::new(bytes)
        .filter(|(kind, one)| {
            *kind == nft::LIST_ELEM && Attrs::find(one, nft::expr::NAME) == Some(b"counter\0".as_slice())
        })
        .map(|(_, one)| read(one, DEPTH))
        .collect()
}

fn list(bytes: &[u8], depth: u8) -> Vec<Expr> {
    Attrs::new(bytes).filter(|(kind, _)| *kind == nft::LIST_ELEM).map(|(_, one)| read(one, depth)).collect()
}

fn read(bytes: &[u8], depth: u8) -> Expr {
    let name = text(Attrs::find(bytes, nft::expr::NAME).unwrap_or_default());
    let data = Attrs::find(bytes, nft::expr::DATA).unwrap_or_default();
    typed(&name, data, depth).unwrap_or_else(|| Expr::Unknown { data: acceptable(&name, data), name })
}

/// The data as it was read, but for what the kernel dumps and does not take back: an `exthdr` that writes
/// has flags, always 0.
fn acceptable(name: &str, data: &[u8]) -> Vec<u8> {
    let writes = name == "exthdr" && Attrs::find(data, nft::exthdr::SREG).is_some();
    if !writes || Attrs::find(data, nft::exthdr::FLAGS) != Some(&[0; 4]) {
        return data.to_vec();
    }
    let mut w = Writer::default();
    for (kind, payload) in Attrs::new(data).filter(|(kind, _)| *kind != nft::exthdr::FLAGS) {
        w.put(kind, payload);
    }
    w.finish().unwrap_or_else(|_| data.to_vec())
}

fn typed(name: &str, data: &[u8], depth: u8) -> Option<Expr> {
    let mut f = Fields::of(data)?;
    let expr = match name {
        "meta" => meta(&mut f),
        "payload" => payload(&mut f),
        "exthdr" => Some(Expr::Exthdr {
            dreg: reg(&mut f, nft::exthdr::DREG)?,
            header: f.u8(nft::exthdr::TYPE)?,
            offset: f.be32(nft::exthdr::OFFSET)?,
            len: f.be32(nft::exthdr::LEN)?,
            flags: f.opt_be32(nft::exthdr::FLAGS)?.unwrap_or(0),
            op: f.opt_be32(nft::exthdr::OP)?.unwrap_or(0),
        }),
        "cmp" => Some(Expr::Cmp {
            sreg: reg(&mut f, nft::cmp::SREG)?,
            op: cmp_op(f.be32(nft::cmp::OP)?)?,
            data: value(f.take(nft::cmp::DATA)?)?,
        }),
        "range" => Some(Expr::Range {
            sreg: reg(&mut f, nft::range::SREG)?,
            op: match f.be32(nft::range::OP)? {
                0 => CmpOp::Eq,
                1 => CmpOp::Neq,
                _ => return None,
            },
            from: value(f.take(nft::range::FROM)?)?,
            to: value(f.take(nft::range::TO)?)?,
        }),
        "bitwise" => bitwise(&mut f),
        "byteorder" => Some(Expr::Byteorder {
            sreg: reg(&mut f, nft::byteorder::SREG)?,
            dreg: reg(&mut f, nft::byteorder::DREG)?,
            op: f.be32(nft::byteorder::OP)?,
            len: f.be32(nft::byteorder::LEN)?,
            size: f.be32(nft::byteorder::SIZE)?,
        }),
        "immediate" => immediate(&mut f),
        "lookup" => lookup(&mut f),
        "dynset" => dynset(&mut f, depth).map(Expr::Dynset),
        "ct" => ct(&mut f),
        "counter" | "quota" | "connlimit" | "last" => state(name, &mut f),
        "limit" => limit(&mut f).map(Expr::Limit),
        "log" => log(&mut f).map(Expr::Log),
        "reject" => reject(&mut f).map(Expr::Reject),
        "nat" => nat(&mut f).map(Expr::Nat),
        "masq" => Some(Expr::Masq(NatRange {
            flags: f.opt_be32(nft::masq::FLAGS)?.unwrap_or(0),
            proto_min: opt_reg(&mut f, nft::masq::PROTO_MIN)?,
            proto_max: opt_reg(&mut f, nft::masq::PROTO_MAX)?,
        })),
        "redir" => Some(Expr::Redir(NatRange {
            proto_min: opt_reg(&mut f, nft::redir::PROTO_MIN)?,
            proto_max: opt_reg(&mut f, nft::redir::PROTO_MAX)?,
            flags: f.opt_be32(nft::redir::FLAGS)?.unwrap_or(0),
        })),
        "fib" => Some(Expr::Fib(Fib {
            dreg: reg(&mut f, nft::fib::DREG)?,
            result: match f.be32(nft::fib::RESULT)? {
                1 => FibResult::Oif,
                2 => FibResult::Oifname,
                3 => FibResult::AddrType,
                other => FibResult::Other(other),
            },
            flags: f.be32(nft::fib::FLAGS)?,
        })),
        "rt" => Some(Expr::Rt { key: f.be32(nft::rt::KEY)?, dreg: reg(&mut f, nft::rt::DREG)? }),
        "objref" => objref(&mut f),
        "notrack" => Some(Expr::Notrack),
        _ => None,
    }?;
    f.done()?;
    Some(expr)
}

fn reg(f: &mut Fields, kind: u16) -> Option<Reg> {
    opt_reg(f, kind)?
}

#[expect(clippy::option_option, reason = "the outer says malformed, the inner absent")]
fn opt_reg(f: &mut Fields, kind: u16) -> Option<Option<Reg>> {
    match f.opt_be32(kind)? {
        None => Some(None),
        Some(number) => Some(Some(register(number)?)),
    }
}

/// The verdict register (0) and numbers that the kernel does not have are none.
fn register(number: u32) -> Option<Reg> {
    match u8::try_from(number).ok()? {
        old @ 1..=4 => Some(Reg((old - 1) * 4)),
        new @ 8..=23 => Some(Reg(new - 8)),
        _ => None,
    }
}

/// The bytes of a constant.
pub(super) fn value(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut f = Fields::of(bytes)?;
    let value = f.take(nft::data::VALUE)?.to_vec();
    f.done()?;
    Some(value)
}

/// A verdict, as a constant or in a verdict map.
pub(super) fn verdict(bytes: &[u8]) -> Option<Verdict> {
    let mut f = Fields::of(bytes)?;
    let mut inner = Fields::of(f.take(nft::data::VERDICT)?)?;
    f.done()?;
    let code = inner.be32(nft::verdict::CODE)?.cast_signed();
    let verdict = match code {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        3 => Verdict::Queue,
        -1 => Verdict::Continue,
        -2 => Verdict::Break,
        -3 => Verdict::Jump(inner.str(nft::verdict::CHAIN)?),
        -4 => Verdict::Goto(inner.str(nft::verdict::CHAIN)?),
        -5 => Verdict::Return,
        other => Verdict::Other(other),
    };
    inner.done()?;
    Some(verdict)
}

fn meta(f: &mut Fields) -> Option<Expr> {
    let key = MetaKey::from_number(f.be32(nft::meta::KEY)?);
    Some(match opt_reg(f, nft::meta::SREG)? {
        Some(sreg) => Expr::MetaSet { key, sreg },
        None => Expr::Meta { key, dreg: reg(f, nft::meta::DREG)? },
    })
}

fn payload(f: &mut Fields) -> Option<Expr> {
    let base = match f.be32(nft::payload::BASE)? {
        0 => PayloadBase::Link,
        1 => PayloadBase::Network,
        2 => PayloadBase::Transport,
        3 => PayloadBase::Inner,
        other => PayloadBase::Other(other),
    };
    let offset = f.be32(nft::payload::OFFSET)?;
    let len = f.be32(nft::payload::LEN)?;
    Some(match opt_reg(f, nft::payload::SREG)? {
        Some(sreg) => Expr::PayloadSet {
            base,
            offset,
            len,
            sreg,
            csum_type: f.opt_be32(nft::payload::CSUM_TYPE)?.unwrap_or(0),
            csum_offset: f.opt_be32(nft::payload::CSUM_OFFSET)?.unwrap_or(0),
            csum_flags: f.opt_be32(nft::payload::CSUM_FLAGS)?.unwrap_or(0),
        },
        None => Expr::Payload { base, offset, len, dreg: reg(f, nft::payload::DREG)? },
    })
}

fn cmp_op(number: u32) -> Option<CmpOp> {
    Some(match number {
        0 => CmpOp::Eq,
        1 => CmpOp::Neq,
        2 => CmpOp::Lt,
        3 => CmpOp::Lte,
        4 => CmpOp::Gt,
        5 => CmpOp::Gte,
        _ => return None,
    })
}

fn bitwise(f: &mut Fields) -> Option<Expr> {
    let bits = |f: &mut Fields| -> Option<u32> {
        let bytes = value(f.take(nft::bitwise::DATA)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    Some(Expr::Bitwise {
        sreg: reg(f, nft::bitwise::SREG)?,
        dreg: reg(f, nft::bitwise::DREG)?,
        len: f.be32(nft::bitwise::LEN)?,
        op: match f.opt_be32(nft::bitwise::OP)?.unwrap_or(0) {
            0 => Bitop::MaskXor {
                mask: value(f.take(nft::bitwise::MASK)?)?,
                xor: value(f.take(nft::bitwise::XOR)?)?,
            },
            1 => Bitop::Shl(bits(f)?),
            2 => Bitop::Shr(bits(f)?),
            op => Bitop::Other { op, sreg2: opt_reg(f, nft::bitwise::SREG2)? },
        },
    })
}

fn immediate(f: &mut Fields) -> Option<Expr> {
    let data = f.take(nft::immediate::DATA)?;
    Some(match f.be32(nft::immediate::DREG)? {
        0 => Expr::Verdict(verdict(data)?),
        number => Expr::Immediate { dreg: register(number)?, data: value(data)? },
    })
}

fn lookup(f: &mut Fields) -> Option<Expr> {
    Some(Expr::Lookup {
        set: f.str(nft::lookup::SET)?,
        sreg: reg(f, nft::lookup::SREG)?,
        dreg: match f.opt_be32(nft::lookup::DREG)? {
            None => None,
            Some(0) => Some(LookupTarget::Verdict),
            Some(number) => Some(LookupTarget::Value(register(number)?)),
        },
        invert: match f.opt_be32(nft::lookup::FLAGS)?.unwrap_or(0) {
            0 => false,
            1 => true,
            _ => return None,
        },
    })
}

fn dynset(f: &mut Fields, depth: u8) -> Option<Dynset> {
    f.take(nft::dynset::PAD);
    let flags = f.opt_be32(nft::dynset::FLAGS)?.unwrap_or(0);
    if flags & !(nft::DYNSET_INV | nft::DYNSET_EXPR) != 0 {
        return None;
    }
    let depth = depth.checked_sub(1)?;
    let mut exprs = Vec::new();
    if let Some(one) = f.take(nft::dynset::EXPR) {
        exprs.push(read(one, depth));
    }
    if let Some(several) = f.take(nft::dynset::EXPRESSIONS) {
        exprs.extend(list(several, depth));
    }
    Some(Dynset {
        set: f.str(nft::dynset::SET)?,
        op: match f.be32(nft::dynset::OP)? {
            0 => DynsetOp::Add,
            1 => DynsetOp::Update,
            2 => DynsetOp::Delete,
            other => DynsetOp::Other(other),
        },
        key: reg(f, nft::dynset::SREG_KEY)?,
        data: opt_reg(f, nft::dynset::SREG_DATA)?,
        // The kernel dumps 0 for the set's own timeout.
        timeout: f.opt_be64(nft::dynset::TIMEOUT)?.filter(|ms| *ms != 0),
        invert: flags & nft::DYNSET_INV != 0,
        exprs,
    })
}

fn ct(f: &mut Fields) -> Option<Expr> {
    let key = CtKey::from_number(f.be32(nft::ct::KEY)?);
    let dir = match f.opt_u8(nft::ct::DIRECTION)? {
        None => None,
        Some(0) => Some(CtDir::Original),
        Some(1) => Some(CtDir::Reply),
        Some(_) => return None,
    };
    Some(match opt_reg(f, nft::ct::SREG)? {
        Some(sreg) => Expr::CtSet { key, dir, sreg },
        None => Expr::Ct { key, dir, dreg: reg(f, nft::ct::DREG)? },
    })
}

fn state(name: &str, f: &mut Fields) -> Option<Expr> {
    Some(match name {
        "counter" => {
            f.take(nft::counter::PAD);
            Expr::Counter {
                packets: f.opt_be64(nft::counter::PACKETS)?.unwrap_or(0),
                bytes: f.opt_be64(nft::counter::BYTES)?.unwrap_or(0),
            }
        }
        "quota" => quota(f)?,
        "connlimit" => Expr::Connlimit {
            count: f.be32(nft::connlimit::COUNT)?,
            flags: f.opt_be32(nft::connlimit::FLAGS)?.unwrap_or(0),
        },
        _ => {
            f.take(nft::last::PAD);
            Expr::Last {
                msecs: f.opt_be64(nft::last::MSECS)?.unwrap_or(0),
                set: f.opt_be32(nft::last::SET)?.unwrap_or(0),
            }
        }
    })
}

/// A quota, in a rule or as an object. That it is used up follows from the numbers; the kernel dumps a flag for
/// it and does not take it back.
pub(super) fn quota(f: &mut Fields) -> Option<Expr> {
    f.take(nft::quota::PAD);
    Some(Expr::Quota {
        bytes: f.be64(nft::quota::BYTES)?,
        consumed: f.opt_be64(nft::quota::CONSUMED)?.unwrap_or(0),
        flags: f.opt_be32(nft::quota::FLAGS)?.unwrap_or(0) & !nft::QUOTA_DEPLETED,
    })
}

/// A limit, in a rule or as an object.
pub(super) fn limit(f: &mut Fields) -> Option<Limit> {
    f.take(nft::limit::PAD);
    Some(Limit {
        rate: f.be64(nft::limit::RATE)?,
        seconds: f.be64(nft::limit::UNIT)?,
        burst: f.opt_be32(nft::limit::BURST)?.unwrap_or(0),
        unit: match f.opt_be32(nft::limit::TYPE)?.unwrap_or(0) {
            0 => LimitUnit::Packets,
            1 => LimitUnit::Bytes,
            _ => return None,
        },
        over: match f.opt_be32(nft::limit::FLAGS)?.unwrap_or(0) {
            0 => false,
            1 => true,
            _ => return None,
        },
    })
}

fn log(f: &mut Fields) -> Option<Log> {
    let prefix = match f.take(nft::log::PREFIX) {
        None => None,
        Some(bytes) => {
            let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
            if bytes.contains(&0) {
                return None;
            }
            Some(String::from_utf8(bytes.to_vec()).ok()?)
        }
    };
    Some(Log {
        prefix,
        group: f.opt_be16(nft::log::GROUP)?,
        snaplen: f.opt_be32(nft::log::SNAPLEN)?,
        qthreshold: f.opt_be16(nft::log::QTHRESHOLD)?,
        level: f.opt_be32(nft::log::LEVEL)?,
        flags: f.opt_be32(nft::log::FLAGS)?,
    })
}

fn reject(f: &mut Fields) -> Option<Reject> {
    Some(match f.be32(nft::reject::TYPE)? {
        0 => Reject::Icmp(f.u8(nft::reject::CODE)?),
        1 => {
            // A code says nothing here; some kernels give one.
            f.take(nft::reject::CODE);
            Reject::TcpReset
        }
        2 => Reject::Icmpx(f.u8(nft::reject::CODE)?),
        _ => return None,
    })
}

fn nat(f: &mut Fields) -> Option<Nat> {
    Some(Nat {
        source: match f.be32(nft::nat::TYPE)? {
            0 => true,
            1 => false,
            _ => return None,
        },
        family: u8::try_from(f.be32(nft::nat::FAMILY)?).ok()?,
        addr: (opt_reg(f, nft::nat::ADDR_MIN)?, opt_reg(f, nft::nat::ADDR_MAX)?),
        range: NatRange {
            proto_min: opt_reg(f, nft::nat::PROTO_MIN)?,
            proto_max: opt_reg(f, nft::nat::PROTO_MAX)?,
            flags: f.opt_be32(nft::nat::FLAGS)?.unwrap_or(0),
        },
    })
}

fn objref(f: &mut Fields) -> Option<Expr> {
    Some(match opt_reg(f, nft::objref::SREG)? {
        Some(sreg) => Expr::ObjrefMap { sreg, set: f.str(nft::objref::SET)? },
        None => Expr::Objref { kind: f.be32(nft::objref::TYPE)?, name: f.str(nft::objref::NAME)? },
    })
}
