//! Short names for bytecode: each function yields the expressions of one match or action; decides nothing.

use crate::logged::{GROUP, What};
use crate::net::{Family, PortRange, Prefix, Proto};
use crate::resolve::model::Limit as Rate;
use crate::ruleset::{
    Bitop, CmpOp, CtDir, CtKey, Dynset, DynsetOp, Expr, Fib, FibResult, Limit, LimitUnit, Log, LookupTarget,
    MetaKey, Nat, NatRange, PayloadBase, Reg, Reject, Verdict,
};

/// The register that single values go through.
pub(super) const R0: Reg = Reg(0);

/// Connection states, as bits of `ct state`.
pub(super) mod state {
    /// Not to be made sense of.
    pub(in crate::compile) const INVALID: u32 = 1;
    /// Both directions were seen.
    pub(in crate::compile) const ESTABLISHED: u32 = 2;
    /// Belongs to another connection.
    pub(in crate::compile) const RELATED: u32 = 4;
}

/// TCP flag bits.
pub(super) mod tcp {
    /// SYN.
    pub(in crate::compile) const SYN: u8 = 0x02;
    /// RST.
    pub(in crate::compile) const RST: u8 = 0x04;
    /// ACK.
    pub(in crate::compile) const ACK: u8 = 0x10;
    /// FIN.
    pub(in crate::compile) const FIN: u8 = 0x01;
}

/// A number in the byte order of the host, as the kernel keeps marks, states and ids.
pub(super) fn host(number: u32) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

pub(super) fn meta(key: MetaKey, dreg: Reg) -> Expr {
    Expr::Meta { key, dreg }
}

pub(super) fn cmp(op: CmpOp, data: Vec<u8>) -> Expr {
    Expr::Cmp { op, sreg: R0, data }
}

pub(super) fn eq(data: Vec<u8>) -> Expr {
    cmp(CmpOp::Eq, data)
}

/// `reg = reg & mask`, in place.
pub(super) fn mask(reg: Reg, mask: Vec<u8>) -> Expr {
    let xor = vec![0; mask.len()];
    Expr::Bitwise { sreg: reg, dreg: reg, len: length(&mask), op: Bitop::MaskXor { mask, xor } }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

pub(super) fn payload(base: PayloadBase, offset: u32, len: u32, dreg: Reg) -> Expr {
    Expr::Payload { base, offset, len, dreg }
}

/// `meta l4proto P`
pub(super) fn l4proto(proto: Proto) -> Vec<Expr> {
    vec![meta(MetaKey::L4proto, R0), eq(vec![proto.0])]
}

/// Whatever is not ICMP: that is always judged, and its errors quote the connections of others.
pub(super) fn not_icmp() -> Vec<Expr> {
    let mut code = vec![meta(MetaKey::L4proto, R0)];
    code.extend([Proto::ICMP, Proto::ICMPV6].map(|proto| cmp(CmpOp::Neq, vec![proto.0])));
    code
}

/// Bits of `ct state`: goes on if one of them is set.
pub(super) fn ct_state(bits: u32) -> Vec<Expr> {
    ct_bits(CtKey::State, bits)
}

/// `ct status dnat`: somebody translated the destination.
pub(super) fn ct_dnat() -> Vec<Expr> {
    ct_bits(CtKey::Status, 0x20)
}

/// `ct status & dnat == 0`: nobody did.
pub(super) fn ct_not_dnat() -> Vec<Expr> {
    vec![Expr::Ct { key: CtKey::Status, dir: None, dreg: R0 }, mask(R0, host(0x20)), eq(host(0))]
}

fn ct_bits(key: CtKey, bits: u32) -> Vec<Expr> {
    vec![Expr::Ct { key, dir: None, dreg: R0 }, mask(R0, host(bits)), cmp(CmpOp::Neq, host(0))]
}

/// `ct mark & BIT == 0`
pub(super) fn mark_clear(bit: u32) -> Vec<Expr> {
    vec![Expr::Ct { key: CtKey::Mark, dir: None, dreg: R0 }, mask(R0, host(bit)), eq(host(0))]
}

/// `ct mark & BIT != 0`
pub(super) fn mark_set(bit: u32) -> Vec<Expr> {
    ct_bits(CtKey::Mark, bit)
}

/// `ct mark set ct mark & KEEP ^ FLIP`
pub(super) fn set_mark(keep: u32, flip: u32) -> Vec<Expr> {
    vec![
        Expr::Ct { key: CtKey::Mark, dir: None, dreg: R0 },
        Expr::Bitwise {
            sreg: R0,
            dreg: R0,
            len: 4,
            op: Bitop::MaskXor { mask: host(keep), xor: host(flip) },
        },
        Expr::CtSet { key: CtKey::Mark, dir: None, sreg: R0 },
    ]
}

/// `ct direction reply`
pub(super) fn ct_reply() -> Vec<Expr> {
    vec![Expr::Ct { key: CtKey::Direction, dir: None, dreg: R0 }, eq(vec![1])]
}

/// `ct helper "NAME"`: the connection was announced on one that this helper reads.
pub(super) fn ct_helper(name: &str) -> Vec<Expr> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(16, 0);
    vec![Expr::Ct { key: CtKey::Helper, dir: None, dreg: R0 }, eq(padded)]
}

/// TCP flags: `flags & mask OP value`, raw so that no protocol test is added.
pub(super) fn tcp_flags(bits: u8, op: CmpOp, value: u8) -> Vec<Expr> {
    vec![payload(PayloadBase::Transport, 13, 1, R0), mask(R0, vec![bits]), cmp(op, vec![value])]
}

/// First byte of the transport header: the type of ICMP.
pub(super) fn icmp_type(number: u8) -> Vec<Expr> {
    vec![payload(PayloadBase::Transport, 0, 1, R0), eq(vec![number])]
}

/// The same within a range.
pub(super) fn icmp_types(first: u8, last: u8) -> Vec<Expr> {
    if first == last {
        return icmp_type(first);
    }
    vec![payload(PayloadBase::Transport, 0, 1, R0), cmp(CmpOp::Gte, vec![first]), cmp(CmpOp::Lte, vec![last])]
}

/// Hop limit of IPv6.
pub(super) fn hop_limit(value: u8) -> Vec<Expr> {
    vec![payload(PayloadBase::Network, 7, 1, R0), eq(vec![value])]
}

/// Where an address stands in the network header, in bytes: offset and length.
pub(super) fn address_at(family: Family, source: bool) -> (u16, u16) {
    match (family, source) {
        (Family::V4, true) => (12, 4),
        (Family::V4, false) => (16, 4),
        (Family::V6, true) => (8, 16),
        (Family::V6, false) => (24, 16),
    }
}

/// Source or destination within a prefix; whole bytes are compared short, without a mask.
pub(super) fn address_in(prefix: Prefix, source: bool) -> Vec<Expr> {
    let (offset, _) = address_at(prefix.family(), source);
    let bytes = usize::from(prefix.length().div_ceil(8));
    let mut data = prefix.bytes();
    data.truncate(bytes);
    let mut code = vec![payload(PayloadBase::Network, offset.into(), length(&data), R0)];
    if !prefix.length().is_multiple_of(8) {
        let mut bits = Prefix::mask_bytes(prefix.family(), prefix.length());
        bits.truncate(bytes);
        code.push(mask(R0, bits));
    }
    code.push(eq(data));
    code
}

/// What was addressed before a destination NAT, within a prefix.
pub(super) fn addressed_in(prefix: Prefix) -> Vec<Expr> {
    let key = match prefix.family() {
        Family::V4 => CtKey::DstIp,
        Family::V6 => CtKey::DstIp6,
    };
    let mut code = vec![Expr::Ct { key, dir: Some(CtDir::Original), dreg: R0 }];
    if prefix.length() < prefix.family().bits() {
        code.push(mask(R0, Prefix::mask_bytes(prefix.family(), prefix.length())));
    }
    code.push(eq(prefix.bytes()));
    code
}

/// Ports as the packet has them, in one comparison of both: source, then destination.
pub(super) fn ports(source: u16, destination: u16) -> Vec<Expr> {
    let data = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    vec![payload(PayloadBase::Transport, 0, 4, R0), eq(data)]
}

/// The destination port within a range; `original` asks what was addressed before translation.
pub(super) fn port_in(range: PortRange, original: bool) -> Vec<Expr> {
    let load = if original {
        Expr::Ct { key: CtKey::ProtoDst, dir: Some(CtDir::Original), dreg: R0 }
    } else {
        payload(PayloadBase::Transport, 2, 2, R0)
    };
    vec![
        load,
        cmp(CmpOp::Gte, range.first().to_be_bytes().to_vec()),
        cmp(CmpOp::Lte, range.last().to_be_bytes().to_vec()),
    ]
}

/// The name of an interface; a wildcard compares only as far as it goes.
pub(super) fn interface(key: MetaKey, name: &str, wildcard: bool) -> Vec<Expr> {
    let mut data = name.as_bytes().to_vec();
    if !wildcard {
        data.resize(16, 0);
    }
    vec![meta(key, R0), eq(data)]
}

/// `fib … type local`: the address is one of this host's, loopback included.
pub(super) fn source_is_ours() -> Vec<Expr> {
    const SADDR: u32 = 1;
    const RTN_LOCAL: u32 = 2;
    vec![Expr::Fib(Fib { result: FibResult::AddrType, flags: SADDR, dreg: R0 }), eq(host(RTN_LOCAL))]
}

/// `fib daddr type != local`: what is addressed is none of this host's.
pub(super) fn addressed_elsewhere() -> Vec<Expr> {
    const DADDR: u32 = 2;
    const RTN_LOCAL: u32 = 2;
    vec![
        Expr::Fib(Fib { result: FibResult::AddrType, flags: DADDR, dreg: R0 }),
        cmp(CmpOp::Neq, host(RTN_LOCAL)),
    ]
}

/// `fib daddr . iif oif != 0`: the packet would leave where it came in.
pub(super) fn leaves_where_it_came() -> Vec<Expr> {
    const DADDR: u32 = 2;
    const IIF: u32 = 8;
    vec![Expr::Fib(Fib { result: FibResult::Oif, flags: DADDR | IIF, dreg: R0 }), cmp(CmpOp::Neq, host(0))]
}

pub(super) fn goto(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Goto(chain.to_owned()))
}

pub(super) fn jump(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Jump(chain.to_owned()))
}

pub(super) fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

pub(super) fn drop() -> Expr {
    Expr::Verdict(Verdict::Drop)
}

pub(super) fn ret() -> Expr {
    Expr::Verdict(Verdict::Return)
}

pub(super) fn counter() -> Expr {
    Expr::Counter { packets: 0, bytes: 0 }
}

pub(super) fn tcp_reset() -> Expr {
    Expr::Reject(Reject::TcpReset)
}

/// Port unreachable, in the ICMP of the packet's family.
pub(super) fn unreachable() -> Expr {
    Expr::Reject(Reject::Icmpx(1))
}

pub(super) fn lookup(set: &str, sreg: Reg, invert: bool) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg, dreg: None, invert }
}

pub(super) fn vmap(map: &str, sreg: Reg) -> Expr {
    Expr::Lookup { set: map.to_owned(), sreg, dreg: Some(LookupTarget::Verdict), invert: false }
}

/// The value that a map has for a key.
pub(super) fn value(map: &str, sreg: Reg, dreg: Reg) -> Expr {
    Expr::Lookup { set: map.to_owned(), sreg, dreg: Some(LookupTarget::Value(dreg)), invert: false }
}

/// What is given to a translation (`NF_NAT_RANGE_*`), as the kernel says it when it is read back.
mod given {
    pub(super) const ADDRESS: u32 = 1;
    pub(super) const PORT: u32 = 2;
}

/// `dnat ip to ADDRESS:PORT`, the address in the first register.
pub(super) fn dnat(nfproto: u8, port: Reg) -> Expr {
    let flags = given::ADDRESS | given::PORT;
    let range = NatRange { proto_min: Some(port), proto_max: Some(port), flags };
    Expr::Nat(Nat { source: false, family: nfproto, addr: (Some(R0), Some(R0)), range })
}

/// `dnat to :PORT`
pub(super) fn to_port(port: Reg) -> Expr {
    const NFPROTO_INET: u8 = 1;
    let range = NatRange { proto_min: Some(port), proto_max: Some(port), flags: given::PORT };
    Expr::Nat(Nat { source: false, family: NFPROTO_INET, addr: (None, None), range })
}

/// `masquerade`
pub(super) fn masquerade() -> Expr {
    Expr::Masq(NatRange::default())
}

/// Adds or renews an element for so many milliseconds.
pub(super) fn update(set: &str, key: Reg, timeout: u64) -> Expr {
    dynset(set, DynsetOp::Update, key, Some(timeout), Vec::new())
}

/// Deletes an element.
pub(super) fn delete(set: &str, key: Reg) -> Expr {
    dynset(set, DynsetOp::Delete, key, None, Vec::new())
}

/// Charges the bucket of an element; goes on only if it was empty.
pub(super) fn charge(set: &str, key: Reg, rate: Rate, burst: u32) -> Expr {
    let limit = Expr::Limit(Limit {
        rate: rate.rate.into(),
        seconds: rate.seconds.into(),
        burst,
        unit: LimitUnit::Packets,
        over: true,
    });
    dynset(set, DynsetOp::Update, key, None, vec![limit])
}

fn dynset(set: &str, op: DynsetOp, key: Reg, timeout: Option<u64>, exprs: Vec<Expr>) -> Expr {
    Expr::Dynset(Dynset { set: set.to_owned(), op, key, data: None, timeout, invert: false, exprs })
}

/// A packet shown to who listens, at most ten a second for each of these rules: a flood is seen, and nothing fills
/// up. The limit stands first, as it is cheaper than looking whether somebody listens and copying.
pub(super) fn log(what: &What) -> Vec<Expr> {
    let limit = Expr::Limit(Limit { rate: 10, seconds: 1, burst: 20, unit: LimitUnit::Packets, over: false });
    vec![limit, Expr::Log(Log { prefix: Some(what.to_string()), group: Some(GROUP), ..Log::default() })]
}
