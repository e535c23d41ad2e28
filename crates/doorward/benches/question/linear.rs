//! A table as people write it: one chain for what comes in, one rule behind the other, as the kernel would tell it.

use doorward::net::Family;
use doorward::ruleset::{
    Base, Bitop, Chain, ChainKind, CmpOp, CtKey, Element, Elements, Expr, Hook, KeyPart, Limit, LimitUnit,
    Log, MetaKey, PayloadBase, Policy, Reg, Reject, Rule, Set, Table, TableFamily, Verdict, set_flags,
};

const R0: Reg = Reg(0);
const INTERVAL_END: u32 = 1;
const ESTABLISHED_RELATED: u32 = 2 | 4;
const INVALID: u32 = 1;
const NEW: u32 = 8;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// So many networks of each family are known.
const KNOWN: usize = 24;
/// The rules that everybody has in front.
const FIRST: usize = 5;

pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// What servers listen on: people name few ports, often.
const PORTS: [u16; 40] = [
    22, 25, 53, 80, 110, 123, 143, 161, 389, 443, 465, 514, 587, 636, 853, 873, 993, 995, 1194, 1883, 2049,
    2222, 3000, 3306, 4505, 5201, 5432, 5601, 6379, 6443, 8000, 8080, 8443, 9000, 9090, 9100, 9200, 10_050,
    27_017, 51_820,
];
const INTERFACES: [&str; 5] = ["eth0", "eth1", "wg0", "br-lan", "tun*"];

/// Who is spoken of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As on servers: networks that are known and the services that each of them gets, and many who are blocked.
    Server,
    /// Every rule is about another network, port and interface: more to tell apart than anybody wrote.
    Random,
}

/// A table of so many rules.
pub(crate) fn table(shape: Shape, rules: usize) -> Table {
    let mut table = Table::new(TableFamily::Inet, "filter");
    let mut numbers = Numbers(42);
    let known = FAMILIES.map(|family| (0..KNOWN).map(|_| numbers.prefix(family)).collect());
    let mut draft = Draft { table: &mut table, numbers, known, anonymous: 0 };
    draft.named();
    let mut all: Vec<Rule> = draft.first().into_iter().map(Rule::new).collect();
    while all.len() + 1 < rules {
        let number = all.len() - FIRST;
        let exprs = match shape {
            Shape::Server => draft.of_server(number),
            Shape::Random => draft.of_chance(number),
        };
        all.push(Rule::new(exprs));
    }
    all.push(Rule::new(vec![COUNTER, Expr::Reject(Reject::Icmpx(1))]));
    table.chains.push(Chain { base: Some(base()), rules: all, ..Chain::regular("input") });
    table
}

/// What comes in; what no rule lets in stays out.
pub(crate) fn base() -> Base {
    let (kind, hook, policy) = (ChainKind::Filter, Hook::Input, Policy::Drop);
    Base { kind, hook, priority: 0, policy, devices: Vec::new() }
}

/// The same tables with one rule changed: it accepts what it dropped, drops what it accepted. Where no rule does
/// either, they are what they were.
pub(crate) fn turned(tables: &[Table], number: usize) -> Vec<Table> {
    let mut tables = tables.to_vec();
    let chains = tables.iter_mut().flat_map(|table| &mut table.chains);
    let last = chains.flat_map(|chain| &mut chain.rules).filter_map(|rule| rule.exprs.last_mut());
    let mut verdicts: Vec<&mut Expr> =
        last.filter(|expr| matches!(expr, Expr::Verdict(Verdict::Accept | Verdict::Drop))).collect();
    // Now here, now there.
    let at = number * 37 % verdicts.len().max(1);
    if let Some(verdict) = verdicts.get_mut(at) {
        let other = if **verdict == accept() { Verdict::Drop } else { Verdict::Accept };
        **verdict = Expr::Verdict(other);
    }
    tables
}

const COUNTER: Expr = Expr::Counter { packets: 0, bytes: 0 };

/// A linear congruence (Knuth): the same numbers each time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    pub(crate) fn port(&mut self) -> u16 {
        PORTS[self.below(PORTS.len() as u64) as usize]
    }

    /// An address where hosts are, and how much of it counts.
    pub(crate) fn prefix(&mut self, family: Family) -> Prefix {
        let site = self.below(200) as u8;
        match family {
            Family::V4 => {
                let length = [32, 32, 32, 24, 24, 28, 16, 20][self.below(8) as usize];
                let low = self.below(1 << 16) as u16;
                (cut([&[60 + site / 8, site], low.to_be_bytes().as_slice()].concat(), length), length)
            }
            Family::V6 => {
                let length = [128, 64, 64, 48, 56, 128][self.below(6) as usize];
                let mut addr = vec![0x20, 0x01, 0x0d, 0xb8, 0, site];
                addr.resize(16, 0);
                addr[6..8].copy_from_slice(&(self.below(1 << 16) as u16).to_be_bytes());
                addr[15] = 1 + self.below(250) as u8;
                (cut(addr, length), length)
            }
        }
    }
}

/// An address without the bits behind its prefix.
fn cut(mut addr: Vec<u8>, length: u32) -> Vec<u8> {
    for (byte, mask) in addr.iter_mut().zip(mask(length)) {
        *byte &= mask;
    }
    addr
}

fn mask(length: u32) -> impl Iterator<Item = u8> {
    (0..).map(move |at| 255u8.checked_shl(8 - length.saturating_sub(at * 8).min(8)).unwrap_or(0))
}

type Prefix = (Vec<u8>, u32);

struct Draft<'a> {
    table: &'a mut Table,
    numbers: Numbers,
    /// Networks that are known, of each family.
    known: [Vec<Prefix>; 2],
    anonymous: usize,
}

impl Draft<'_> {
    /// Sets with a name: where one is let in from.
    fn named(&mut self) {
        for (name, family) in [("office4", Family::V4), ("office6", Family::V6)] {
            let mut prefixes: Vec<_> = (0..12).map(|_| self.numbers.prefix(family)).collect();
            prefixes.sort();
            let mut elements: Vec<Element> = Vec::new();
            let mut end = Vec::new();
            for (first, length) in prefixes {
                if first < end {
                    continue;
                }
                end = behind(&first, length);
                let stop = Element { flags: INTERVAL_END, ..Element::of(end.clone()) };
                elements.extend([Element::of(first), stop]);
            }
            let mut set = Set::over(name, &[source_part(family)]);
            (set.flags, set.elements) = (set_flags::INTERVAL, Elements::Full(elements));
            self.table.sets.push(set);
        }
    }

    /// What everybody has in front.
    fn first(&mut self) -> [Vec<Expr>; FIRST] {
        let kinds = |draft: &mut Draft, proto: u8, kinds: &[u8]| {
            let keys = kinds.iter().map(|kind| vec![*kind]);
            let set = draft.anonymous(KeyPart::Transport(0, 1), keys);
            [proto_is(proto), vec![transport(0, 1), lookup(&set)], vec![accept()]].concat()
        };
        [
            [interface("lo"), vec![accept()]].concat(),
            [state(ESTABLISHED_RELATED), vec![accept()]].concat(),
            [state(INVALID), vec![Expr::Verdict(Verdict::Drop)]].concat(),
            kinds(self, 1, &[3, 8, 11, 12]),
            kinds(self, 58, &[1, 2, 3, 4, 128, 133, 134, 135, 136]),
        ]
    }

    /// A network that is known, and a port that it gets.
    fn known(&mut self, family: Family) -> (Prefix, u16) {
        let at = self.numbers.below(KNOWN as u64) as usize;
        let list = &self.known[usize::from(family == Family::V6)];
        // Each gets its share of what there is.
        let port = PORTS[(at * 5 + self.numbers.below(8) as usize) % PORTS.len()];
        (list[at].clone(), port)
    }

    fn of_server(&mut self, number: usize) -> Vec<Expr> {
        let from = |prefix: &Prefix, family| source(family, prefix, CmpOp::Eq);
        let iface = interface(INTERFACES[self.numbers.below(5) as usize]);
        let port = self.numbers.port();
        let drop = vec![COUNTER, Expr::Verdict(Verdict::Drop)];
        let accept = vec![COUNTER, accept()];
        match number % 20 {
            0..=5 => [from(&self.numbers.prefix(Family::V4), Family::V4), drop].concat(),
            6 | 7 => [from(&self.numbers.prefix(Family::V6), Family::V6), drop].concat(),
            at @ 8..=12 => {
                let family = FAMILIES[usize::from(at > 10)];
                let (prefix, port) = self.known(family);
                let iface = if at == 10 { iface } else { Vec::new() };
                [iface, from(&prefix, family), dport(TCP, port), accept].concat()
            }
            13 => [dport(TCP, port), accept].concat(),
            14 => [iface, port_range(UDP, port, port + 100), accept].concat(),
            15 => {
                let ports = self.ports();
                [iface, proto_is(TCP), vec![transport(2, 2), lookup(&ports)], accept].concat()
            }
            16 => [in_set(Family::V4, "office4"), dport(TCP, port), accept].concat(),
            17 => [in_set(Family::V6, "office6"), dport(TCP, port), accept].concat(),
            18 => {
                let keys: Vec<_> = (0..5).map(|_| self.known(Family::V4).0.0).collect();
                let hosts = self.anonymous(source_part(Family::V4), keys);
                [in_set(Family::V4, &hosts), dport(UDP, port), accept].concat()
            }
            _ => self.unusual(number, port),
        }
    }

    /// What most have a few of.
    fn unusual(&mut self, number: usize, port: u16) -> Vec<Expr> {
        match number / 20 % 4 {
            0 => {
                let limit = Limit { rate: 10, seconds: 60, burst: 5, unit: LimitUnit::Packets, over: false };
                [dport(TCP, port), state(NEW), vec![Expr::Limit(limit), COUNTER, accept()]].concat()
            }
            1 => {
                let log = Log { prefix: Some("in: ".to_owned()), ..Log::default() };
                [dport(TCP, port), vec![Expr::Log(log)]].concat()
            }
            _ => {
                let (prefix, port) = self.known(Family::V4);
                let others = source(Family::V4, &prefix, CmpOp::Neq);
                [others, dport(TCP, port), vec![COUNTER, Expr::Verdict(Verdict::Drop)]].concat()
            }
        }
    }

    fn of_chance(&mut self, number: usize) -> Vec<Expr> {
        let numbers = &mut self.numbers;
        let iface = INTERFACES[numbers.below(5) as usize];
        let (port, other) = (numbers.port(), numbers.port());
        let (tcp, udp) = (dport(TCP, port), dport(UDP, port));
        let (four, six) = (numbers.prefix(Family::V4), numbers.prefix(Family::V6));
        let drop = vec![COUNTER, Expr::Verdict(Verdict::Drop)];
        let accept = vec![COUNTER, accept()];
        match number % 20 {
            0..=3 => [source(Family::V4, &four, CmpOp::Eq), tcp, accept].concat(),
            4 | 5 => [source(Family::V6, &six, CmpOp::Eq), tcp, accept].concat(),
            6 => [interface(iface), source(Family::V4, &four, CmpOp::Eq), udp, accept].concat(),
            7 => [interface(iface), source(Family::V6, &six, CmpOp::Eq), tcp, accept].concat(),
            8 => [tcp, accept].concat(),
            9 => {
                let (from, to) = (port.min(other), port.max(other).min(port.min(other) + 200));
                [interface(iface), port_range(UDP, from, to), accept].concat()
            }
            10 => {
                let ports = self.ports();
                [interface(iface), proto_is(TCP), vec![transport(2, 2), lookup(&ports)], accept].concat()
            }
            11 => [in_set(Family::V4, "office4"), tcp, accept].concat(),
            12 => [in_set(Family::V6, "office6"), tcp, accept].concat(),
            13 => {
                let ports = self.ports();
                let ports = [proto_is(UDP), vec![transport(2, 2), lookup(&ports)]].concat();
                [source(Family::V4, &four, CmpOp::Eq), ports, accept].concat()
            }
            14 => [source(Family::V4, &four, CmpOp::Eq), drop].concat(),
            15 => [source(Family::V6, &six, CmpOp::Eq), drop].concat(),
            16 => {
                let keys: Vec<_> = (0..5).map(|_| self.host()).collect();
                let hosts = self.anonymous(source_part(Family::V4), keys);
                [in_set(Family::V4, &hosts), tcp, accept].concat()
            }
            17 => [source(Family::V4, &four, CmpOp::Neq), udp, drop].concat(),
            18 => [interface(iface), tcp, state(NEW), accept].concat(),
            _ => self.unusual(number, port),
        }
    }

    fn host(&mut self) -> Vec<u8> {
        let (mut addr, length) = self.numbers.prefix(Family::V4);
        addr[3] |= if length < 32 { 9 } else { 0 };
        addr
    }

    fn ports(&mut self) -> String {
        let keys: Vec<_> = (0..4).map(|_| self.numbers.port().to_be_bytes().to_vec()).collect();
        self.anonymous(KeyPart::Transport(2, 2), keys)
    }

    /// A set that a rule brings along; yields its name.
    fn anonymous(&mut self, part: KeyPart, keys: impl IntoIterator<Item = Vec<u8>>) -> String {
        let name = format!("__set{}", self.anonymous);
        self.anonymous += 1;
        let mut set = Set::over(name.clone(), &[part]);
        let mut keys: Vec<Vec<u8>> = keys.into_iter().collect();
        keys.sort();
        keys.dedup();
        set.flags = set_flags::ANONYMOUS | set_flags::CONSTANT;
        set.elements = Elements::Full(keys.into_iter().map(Element::of).collect());
        self.table.sets.push(set);
        name
    }
}

/// The first address behind a prefix.
fn behind(first: &[u8], length: u32) -> Vec<u8> {
    let mut end = first.to_vec();
    let at = (length - 1) / 8;
    let mut add = 1u16 << (7 - (length - 1) % 8);
    for byte in end[..=at as usize].iter_mut().rev() {
        let sum = u16::from(*byte) + add;
        (*byte, add) = (sum as u8, sum >> 8);
    }
    end
}

fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

fn meta(key: MetaKey) -> Expr {
    Expr::Meta { key, dreg: R0 }
}

fn is(op: CmpOp, data: impl Into<Vec<u8>>) -> Expr {
    Expr::Cmp { op, sreg: R0, data: data.into() }
}

fn transport(offset: u32, len: u32) -> Expr {
    Expr::Payload { base: PayloadBase::Transport, offset, len, dreg: R0 }
}

fn lookup(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg: None, invert: false }
}

fn proto_is(proto: u8) -> Vec<Expr> {
    vec![meta(MetaKey::L4proto), is(CmpOp::Eq, [proto])]
}

fn dport(proto: u8, port: u16) -> Vec<Expr> {
    [proto_is(proto), vec![transport(2, 2), is(CmpOp::Eq, port.to_be_bytes())]].concat()
}

fn port_range(proto: u8, from: u16, to: u16) -> Vec<Expr> {
    let (from, to) = (from.to_be_bytes().to_vec(), to.to_be_bytes().to_vec());
    let range = Expr::Range { op: CmpOp::Eq, sreg: R0, from, to };
    [proto_is(proto), vec![transport(2, 2), range]].concat()
}

/// `iifname`; with a star all names that begin so.
fn interface(name: &str) -> Vec<Expr> {
    let mut data = name.trim_end_matches('*').as_bytes().to_vec();
    if !name.ends_with('*') {
        data.resize(16, 0);
    }
    vec![meta(MetaKey::Iifname), is(CmpOp::Eq, data)]
}

/// `ct state`, any of these bits.
fn state(bits: u32) -> Vec<Expr> {
    let (mask, xor) = (bits.to_ne_bytes().to_vec(), vec![0; 4]);
    vec![
        Expr::Ct { key: CtKey::State, dir: None, dreg: R0 },
        Expr::Bitwise { sreg: R0, dreg: R0, len: 4, op: Bitop::MaskXor { mask, xor } },
        is(CmpOp::Neq, [0; 4]),
    ]
}

fn family_is(family: Family) -> Vec<Expr> {
    let number = if family == Family::V4 { TableFamily::Ip } else { TableFamily::Ip6 }.number();
    vec![meta(MetaKey::Nfproto), is(CmpOp::Eq, [number])]
}

/// Offset and length of the source address.
fn source_bytes(family: Family) -> (u16, u16) {
    if family == Family::V4 { (12, 4) } else { (8, 16) }
}

fn source_part(family: Family) -> KeyPart {
    let (offset, len) = source_bytes(family);
    KeyPart::Network(offset, len)
}

fn network(offset: u16, len: u32) -> Expr {
    Expr::Payload { base: PayloadBase::Network, offset: offset.into(), len, dreg: R0 }
}

/// The source is within a prefix: nft loads whole bytes where the prefix has some, and masks where not.
fn source(family: Family, (addr, length): &Prefix, op: CmpOp) -> Vec<Expr> {
    let (offset, len) = source_bytes(family);
    let mut exprs = family_is(family);
    if length % 8 == 0 {
        let len = length / 8;
        exprs.extend([network(offset, len), is(op, &addr[..len as usize])]);
    } else {
        let mask: Vec<u8> = mask(*length).take(len.into()).collect();
        let op_bits = Bitop::MaskXor { mask, xor: vec![0; len.into()] };
        let len = len.into();
        let bits = Expr::Bitwise { sreg: R0, dreg: R0, len, op: op_bits };
        exprs.extend([network(offset, len), bits, is(op, addr.clone())]);
    }
    exprs
}

fn in_set(family: Family, set: &str) -> Vec<Expr> {
    let (offset, len) = source_bytes(family);
    [family_is(family), vec![network(offset, len.into()), lookup(set)]].concat()
}
