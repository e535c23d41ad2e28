//! Symbolic values: what a register holds, as an expression that can be written down; knows no rule.

use super::Style;
use super::headers::{Extension, Field, Header, IPV4_OPTIONS, IPV6_EXTENSIONS, SCTP_CHUNKS, TCP_OPTIONS};
use super::types::{Base, Order, Ty, swap};
use super::{clean, set};
use crate::ruleset::{CtDir, Table, Verdict, exthdr, set_flags};

/// A value with its type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sym {
    pub(super) kind: Kind,
    pub(super) ty: Ty,
    pub(super) order: Order,
    /// Width; 0 where nobody knows.
    pub(super) bits: u32,
}

/// What a value is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Const(u128),
    Payload(Payload),
    Meta(u32),
    Ct {
        key: u32,
        dir: Option<CtDir>,
        /// `ip ` or `ip6 `, where the rule says which.
        family: &'static str,
    },
    Exthdr(Exthdr),
    /// Something that is written the same everywhere.
    Written(String),
    Range(Box<Sym>, Box<Sym>),
    /// A value and the length of its prefix.
    Prefix(Box<Sym>, u32),
    Binop(Op, Box<Sym>, Box<Sym>),
    /// The bytes in the other order.
    Swap(Box<Sym>),
    Concat(Vec<Sym>),
    /// What a map says for a key.
    Map(Box<Sym>, SetRef),
    Set(SetRef),
    /// Flags of which one is enough.
    List(Vec<Sym>),
    /// A hash over a value, and what is written behind it.
    Hash(Box<Sym>, String),
}

/// Bytes of the packet; offset in bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Payload {
    pub(super) layer: usize,
    pub(super) offset: u32,
    pub(super) field: Option<(Header, &'static Field)>,
}

/// Bytes of an extension header or option; offset in bits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Exthdr {
    pub(super) op: u32,
    pub(super) number: u8,
    pub(super) offset: u32,
    pub(super) present: bool,
}

/// A use of a set; the values of an anonymous one may have to be shifted to the field they stand for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SetRef {
    pub(super) name: String,
    pub(super) shift: u32,
}

/// Operations on bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

impl Op {
    const fn symbol(self) -> &'static str {
        match self {
            Op::And => "&",
            Op::Or => "|",
            Op::Xor => "^",
            Op::Shl => "<<",
            Op::Shr => ">>",
        }
    }

    const fn precedence(self) -> u8 {
        match self {
            Op::Shl | Op::Shr => 1,
            Op::And => 2,
            Op::Xor => 3,
            Op::Or => 4,
        }
    }
}

/// What writing needs to know beside the value.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) table: &'a Table,
    pub(super) style: &'a Style,
    /// Without names for numbers, as nft does inside of ranges.
    pub(super) numeric: bool,
}

impl Sym {
    pub(super) fn new(kind: Kind, ty: Ty, order: Order, bits: u32) -> Sym {
        Sym { kind, ty, order, bits }
    }

    /// A constant, its bytes read in network order.
    pub(super) fn constant(number: u128, bits: u32) -> Sym {
        Sym::new(Kind::Const(number), Ty::Integer, Order::None, bits)
    }

    /// A constant of at most 16 bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Sym> {
        (bytes.len() <= 16).then(|| Sym::constant(number(bytes), bits(bytes.len())))
    }

    pub(super) fn typed(mut self, ty: Ty, order: Order) -> Sym {
        self.set_type(ty, order);
        self
    }

    /// Gives a type to the value and to the constants that make it up.
    pub(super) fn set_type(&mut self, ty: Ty, order: Order) {
        self.ty = ty;
        self.order = order;
        match &mut self.kind {
            Kind::Range(from, to) => {
                from.set_type(ty, order);
                to.set_type(ty, order);
            }
            Kind::Prefix(inner, _) => inner.set_type(ty, order),
            _ => {}
        }
    }

    pub(super) const fn is_constant(&self) -> bool {
        matches!(self.kind, Kind::Const(_))
    }

    pub(super) const fn number(&self) -> Option<u128> {
        match self.kind {
            Kind::Const(number) => Some(number),
            _ => None,
        }
    }

    /// Brings a constant of a known type into the form in which it is written: in network order, flags apart.
    pub(super) fn settled(mut self) -> Sym {
        let Kind::Const(mut number) = self.kind else { return self };
        if self.order == Order::Host && self.ty.base() != Base::Text {
            number = swap(number, self.bits);
            self.order = Order::Network;
            self.kind = Kind::Const(number);
        }
        if self.ty.base() == Base::Flags && number.count_ones() > 1 {
            return flags(&self, number);
        }
        self
    }

    /// How many parts the value is made of.
    pub(super) fn weight(&self) -> usize {
        1 + match &self.kind {
            Kind::Range(a, b) | Kind::Binop(_, a, b) => a.weight() + b.weight(),
            Kind::Prefix(a, _) | Kind::Swap(a) | Kind::Map(a, _) | Kind::Hash(a, _) => a.weight(),
            Kind::Concat(parts) | Kind::List(parts) => parts.iter().map(Sym::weight).sum(),
            _ => 0,
        }
    }

    /// The values that an `or` joins.
    pub(super) fn alternatives(self) -> Vec<Sym> {
        match self.kind {
            Kind::Binop(Op::Or, left, right) => {
                let mut all = left.alternatives();
                all.extend(right.alternatives());
                all
            }
            _ => vec![self],
        }
    }

    /// The text of nft.
    pub(super) fn write(&self, writer: &Writer) -> String {
        let Writer { style, numeric, .. } = *writer;
        match &self.kind {
            Kind::Const(number) => self.ty.write(*number, self.bits, numeric, style),
            Kind::Payload(payload) => payload.write(self.bits),
            Kind::Meta(key) => meta_text(*key),
            Kind::Ct { key, dir, family } => {
                let dir = match dir {
                    Some(CtDir::Original) => "original ",
                    Some(CtDir::Reply) => "reply ",
                    None => "",
                };
                format!("ct {dir}{family}{}", ct_key(*key).0)
            }
            Kind::Exthdr(exthdr) => exthdr.write(self.bits),
            Kind::Written(text) => text.clone(),
            Kind::Range(from, to) => {
                let plain = Writer { numeric: true, ..*writer };
                format!("{}-{}", from.write(&plain), to.write(&plain))
            }
            Kind::Prefix(value, len) => format!("{}/{len}", value.write(writer)),
            Kind::Binop(op, left, right) => {
                let side = |sym: &Sym| match &sym.kind {
                    Kind::Binop(inner, ..) if op.precedence() < inner.precedence() => {
                        format!("({})", sym.write(writer))
                    }
                    _ => sym.write(writer),
                };
                format!("{} {} {}", side(left), op.symbol(), side(right))
            }
            Kind::Swap(inner) => inner.write(writer),
            Kind::Concat(parts) => join(parts, " . ", writer),
            Kind::List(parts) => join(parts, ",", writer),
            Kind::Map(key, map) => {
                let word = match writer.table.set(&map.name) {
                    Some(set) if set.data == Some(crate::ruleset::DataType::Verdict) => "vmap",
                    _ => "map",
                };
                format!("{} {word} {}", key.write(writer), map.write(writer))
            }
            Kind::Set(set) => set.write(writer),
            Kind::Hash(key, rest) => format!("jhash {} {rest}", key.write(writer)),
        }
    }
}

fn flags(sym: &Sym, number: u128) -> Sym {
    let flag = |bit: u32| Sym { kind: Kind::Const(1 << bit), ..sym.clone() };
    let mut bits = (0..128).filter(|bit| number >> bit & 1 == 1);
    let first = flag(bits.next().unwrap_or(0));
    bits.fold(first, |sum, bit| Sym {
        kind: Kind::Binop(Op::Or, Box::new(sum), Box::new(flag(bit))),
        ..sym.clone()
    })
}

fn join(parts: &[Sym], delimiter: &str, writer: &Writer) -> String {
    let texts: Vec<String> = parts.iter().map(|part| part.write(writer)).collect();
    texts.join(delimiter)
}

impl Payload {
    fn write(&self, bits: u32) -> String {
        match self.field {
            Some((header, field)) => format!("{} {}", header.name(), field.name),
            None => {
                let base = match self.layer {
                    1 => "ll",
                    2 => "nh",
                    3 => "th",
                    4 => "ih",
                    _ => "invalid",
                };
                format!("@{base},{},{bits}", self.offset)
            }
        }
    }
}

impl Exthdr {
    fn table(&self) -> &'static [Extension] {
        match self.op {
            exthdr::TCPOPT => TCP_OPTIONS,
            exthdr::IPV4 => IPV4_OPTIONS,
            exthdr::SCTP => SCTP_CHUNKS,
            _ => IPV6_EXTENSIONS,
        }
    }

    /// The extension and field that lie there.
    pub(super) fn find(&self, bits: u32) -> (Option<&'static str>, Option<&'static Field>) {
        let mut first = None;
        // nft tries the deprecated routing header last.
        let old = |e: &&Extension| e.name == "rt0";
        let all = self.table().iter();
        for extension in
            all.clone().filter(|e| !old(e)).chain(all.filter(old)).filter(|e| e.number == self.number)
        {
            first = first.or(Some(extension.name));
            let here = |field: &&Field| field.offset == self.offset && field.bits == bits;
            if let Some(field) = extension.fields.iter().find(here) {
                return (Some(extension.name), Some(field));
            }
        }
        (first, None)
    }

    fn write(&self, bits: u32) -> String {
        let (name, field) = self.find(bits);
        let family = match self.op {
            exthdr::TCPOPT => "tcp option ",
            exthdr::IPV4 => "ip option ",
            exthdr::SCTP => "sctp chunk ",
            _ if self.present => "exthdr ",
            _ => "",
        };
        match (name, field) {
            (Some(name), _) if self.present => format!("{family}{name}"),
            (Some(name), Some(field)) => {
                // Of the blocks of selective acknowledgement, only the later ones are counted.
                let block = match self.offset / 64 {
                    0 => String::new(),
                    block if self.op == exthdr::TCPOPT => block.to_string(),
                    _ => String::new(),
                };
                format!("{family}{name}{block} {}", field.name)
            }
            _ if self.op == exthdr::TCPOPT && self.present && self.offset == 0 => {
                format!("tcp option {}", self.number)
            }
            _ if self.op == exthdr::TCPOPT => {
                format!("tcp option @{},{},{bits}", self.number, self.offset)
            }
            (Some(name), None) => format!("{family}{name} unknown"),
            (None, _) => format!("{family}unknown-exthdr unknown"),
        }
    }
}

impl SetRef {
    pub(super) fn to(name: &str) -> SetRef {
        SetRef { name: name.to_owned(), shift: 0 }
    }

    fn write(&self, writer: &Writer) -> String {
        match writer.table.set(&self.name) {
            Some(set) if set.flags & set_flags::ANONYMOUS == 0 => format!("@{}", clean(&self.name)),
            Some(set) if set.flags & set_flags::EVAL != 0 => clean(&self.name),
            Some(set) => set::inline(set, self.shift, writer),
            None => format!("@{}", clean(&self.name)),
        }
    }
}

/// A verdict as nft writes it.
pub(super) fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Continue => "continue".to_owned(),
        Verdict::Break => "break".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {}", clean(chain)),
        Verdict::Goto(chain) => format!("goto {}", clean(chain)),
        Verdict::Queue => "queue".to_owned(),
        Verdict::Other(code) => format!("unknown verdict value {code}"),
    }
}

/// Bytes read as a number in network order; the first 16 count.
pub(super) fn number(bytes: &[u8]) -> u128 {
    bytes.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Bits of so many bytes.
pub(super) fn bits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX / 8).saturating_mul(8)
}

type Template = (&'static str, Ty, u32, Order);

fn meta_key(key: u32) -> Option<Template> {
    use Order::{Host, Network};
    Some(match key {
        0 => ("length", Ty::Integer, 32, Host),
        1 => ("protocol", Ty::EtherType, 16, Network),
        2 => ("priority", Ty::ClassId, 32, Host),
        3 => ("mark", Ty::Mark, 32, Host),
        4 => ("iif", Ty::IfIndex, 32, Host),
        5 => ("oif", Ty::IfIndex, 32, Host),
        6 => ("iifname", Ty::IfName, 128, Host),
        7 => ("oifname", Ty::IfName, 128, Host),
        8 => ("iiftype", Ty::ArpHrd, 16, Host),
        9 => ("oiftype", Ty::ArpHrd, 16, Host),
        10 => ("skuid", Ty::Uid, 32, Host),
        11 => ("skgid", Ty::Gid, 32, Host),
        12 => ("nftrace", Ty::Integer, 1, Host),
        13 => ("rtclassid", Ty::Realm, 32, Host),
        14 => ("secmark", Ty::Integer, 32, Host),
        15 => ("nfproto", Ty::Nfproto, 8, Host),
        16 => ("l4proto", Ty::Proto, 8, Host),
        17 => ("ibrname", Ty::IfName, 128, Host),
        18 => ("obrname", Ty::IfName, 128, Host),
        19 => ("pkttype", Ty::PktType, 8, Host),
        20 => ("cpu", Ty::Integer, 32, Host),
        21 => ("iifgroup", Ty::DevGroup, 32, Host),
        22 => ("oifgroup", Ty::DevGroup, 32, Host),
        23 => ("cgroup", Ty::Integer, 32, Host),
        24 => ("random", Ty::Integer, 32, Network),
        25 => ("ipsec", Ty::Boolean, 8, Host),
        26 => ("iifkind", Ty::IfName, 128, Host),
        27 => ("oifkind", Ty::IfName, 128, Host),
        28 => ("ibrpvid", Ty::Integer, 16, Host),
        29 => ("ibrvproto", Ty::EtherType, 16, Network),
        30 => ("time", Ty::Date, 64, Host),
        31 => ("day", Ty::Day, 8, Host),
        32 => ("hour", Ty::Hour, 32, Host),
        33 => ("sdif", Ty::IfIndex, 32, Host),
        34 => ("sdifname", Ty::IfName, 128, Host),
        _ => return None,
    })
}

/// A property of the packet, if nft has a word for it.
pub(super) fn meta(key: u32) -> Option<Sym> {
    meta_key(key).map(|(_, ty, bits, order)| Sym::new(Kind::Meta(key), ty, order, bits))
}

/// How nft writes a property of the packet.
pub(super) fn meta_text(key: u32) -> String {
    let name = meta_key(key).map_or("unknown", |(name, ..)| name);
    if matches!(key, 4..=7 | 21 | 22) { name.to_owned() } else { format!("meta {name}") }
}

fn ct_key(key: u32) -> Template {
    use Order::{Host, Network};
    match key {
        0 => ("state", Ty::CtState, 32, Host),
        1 => ("direction", Ty::CtDir, 8, Host),
        2 => ("status", Ty::CtStatus, 32, Host),
        3 => ("mark", Ty::Mark, 32, Host),
        4 => ("secmark", Ty::Integer, 32, Host),
        5 => ("expiration", Ty::Time, 32, Host),
        6 => ("helper", Ty::Text, 128, Host),
        7 => ("l3proto", Ty::Nfproto, 8, Host),
        8 => ("saddr", Ty::Invalid, 0, Network),
        9 => ("daddr", Ty::Invalid, 0, Network),
        10 => ("protocol", Ty::Proto, 8, Network),
        11 => ("proto-src", Ty::Invalid, 16, Network),
        12 => ("proto-dst", Ty::Invalid, 16, Network),
        13 => ("label", Ty::CtLabel, 128, Host),
        14 => ("packets", Ty::Integer, 64, Host),
        15 => ("bytes", Ty::Integer, 64, Host),
        16 => ("avgpkt", Ty::Integer, 64, Host),
        17 => ("zone", Ty::Integer, 16, Host),
        18 => ("event", Ty::CtEvent, 32, Host),
        19 => ("ip saddr", Ty::Ip4, 32, Network),
        20 => ("ip daddr", Ty::Ip4, 32, Network),
        21 => ("ip6 saddr", Ty::Ip6, 128, Network),
        22 => ("ip6 daddr", Ty::Ip6, 128, Network),
        23 => ("id", Ty::Integer, 32, Network),
        _ => ("unknown", Ty::Invalid, 0, Network),
    }
}

/// A property of the connection, if nft has a word for it.
pub(super) fn ct(key: u32, dir: Option<CtDir>) -> Option<Sym> {
    let (name, ty, bits, order) = ct_key(key);
    let kind = Kind::Ct { key, dir, family: "" };
    (name != "unknown").then(|| Sym::new(kind, ty, order, bits))
}

/// A property of the route.
pub(super) fn rt(key: u32) -> Option<Sym> {
    let (text, ty, bits, order) = match key {
        0 => ("rt classid", Ty::Realm, 32, Order::Host),
        1 => ("rt ip nexthop", Ty::Ip4, 32, Order::Network),
        2 => ("rt ip6 nexthop", Ty::Ip6, 128, Order::Network),
        3 => ("rt mtu", Ty::Integer, 16, Order::Host),
        4 => ("rt ipsec", Ty::Boolean, 8, Order::Host),
        _ => return None,
    };
    Some(Sym::new(Kind::Written(text.to_owned()), ty, order, bits))
}

/// A question to the routing table, by the kernel's numbers.
pub(super) fn fib(result: u32, flags: u32) -> Option<Sym> {
    const PRESENT: u32 = 32;
    let (word, ty, bits) = match result {
        1 => ("oif", Ty::IfIndex, 32),
        2 => ("oifname", Ty::Text, 128),
        3 => ("type", Ty::FibAddr, 32),
        _ => return None,
    };
    let names: Vec<&str> = [(1, "saddr"), (2, "daddr"), (4, "mark"), (8, "iif"), (16, "oif")]
        .into_iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, name)| name)
        .collect();
    let ty = if flags & PRESENT == 0 { ty } else { Ty::Boolean };
    let text = format!("fib {} {word}", names.join(" . "));
    Some(Sym::new(Kind::Written(text), ty, Order::Host, bits))
}

/// Bytes of the packet; nft knows ports without knowing the protocol.
pub(super) fn payload(layer: usize, offset: u32, bits: u32) -> Sym {
    let ports = Header::Th.fields();
    let port = ports.iter().find(|f| layer == 3 && f.offset == offset && f.bits == bits);
    let payload = Payload { layer, offset, field: port.map(|field| (Header::Th, field)) };
    let ty = port.map_or(Ty::Raw, |field| field.ty);
    Sym::new(Kind::Payload(payload), ty, Order::None, bits)
}

/// A field of a header.
pub(super) fn header_field(header: Header, field: &'static Field) -> Sym {
    let payload = Payload { layer: header.layer(), offset: field.offset, field: Some((header, field)) };
    Sym::new(Kind::Payload(payload), field.ty, Order::Network, field.bits)
}

/// Bytes of an extension header or option.
pub(super) fn extension(exthdr: Exthdr, bits: u32) -> Sym {
    let ty =
        if exthdr.present { Ty::Boolean } else { exthdr.find(bits).1.map_or(Ty::Integer, |field| field.ty) };
    Sym::new(Kind::Exthdr(exthdr), ty, Order::Network, bits)
}
