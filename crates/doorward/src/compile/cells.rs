//! A sentence as cells: products of exact key values and constant conditions, for one family and one place.

use super::code::{self, R0};
use super::lists::{Lists, is_short};
use crate::net::{AddrSet, Family, PortRange, Prefix, Proto};
use crate::resolve::model::{Accounts, Peers, Rule, Scope, Traffic};
use crate::ruleset::{CtDir, CtKey, Expr, KeyPart, MetaKey, PayloadBase, Reg};
use std::collections::BTreeSet;

/// Where a packet is judged: decides which fields say what was addressed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Place {
    /// The family of the chain.
    pub family: Family,
    /// Ports and destination as addressed before a destination NAT (conntrack's original tuple).
    pub original: bool,
    /// Packets that leave: the interface is the output one.
    pub leaving: bool,
    /// ICMP has chains of its own.
    pub icmp: bool,
}

/// A part of the key of a shape.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Field {
    /// Name of the interface.
    Interface,
    /// Source, cut to so many bits.
    Source(u8),
    /// Destination, cut to so many bits.
    Destination(u8),
    /// User id.
    User,
    /// Group id.
    Group,
    /// Protocol and destination port.
    Port,
    /// Protocol and ICMP type.
    IcmpType,
    /// Protocol.
    Proto,
}

/// A condition that is the same for all cells of a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Constant {
    /// Ports of a protocol within a range.
    Ports(Proto, PortRange),
    /// An ICMP type, where conntrack's typed addresses forbid raw bytes in the key.
    IcmpType(u8),
    /// One interface, padded.
    Interface(Vec<u8>),
    /// One user, in host order.
    User(Vec<u8>),
    /// One group, in host order.
    Group(Vec<u8>),
    /// Interfaces whose name starts so.
    Interfaces(String),
    /// Source in one length of a list.
    SourceIn(String, u8),
    /// Destination in one length of a list.
    DestinationIn(String, u8),
    /// Source in none of the lengths of a list.
    SourceNotIn(String, Vec<u8>),
    /// Destination in none of the lengths of a list.
    DestinationNotIn(String, Vec<u8>),
    /// Socket not of these users; packets without one included.
    NotUsers(Vec<u32>),
    /// Socket not of these groups; packets without one included.
    NotGroups(Vec<u32>),
}

/// One combination of exact values and constant conditions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Cell {
    /// Constant conditions, sorted.
    pub constants: Vec<Constant>,
    /// Fields in the order of the key, with their bytes unpadded.
    pub fields: Vec<(Field, Vec<Vec<u8>>)>,
}

/// Above so many combinations addresses go into a list instead of the key.
const PRODUCT_MAX: usize = 4096;
/// Ranges of so many ports are written out as exact ports.
const EXPAND_PORTS: u16 = 16;

/// Whether a range is written out as exact ports.
pub(super) fn is_written_out(range: PortRange) -> bool {
    range.last() - range.first() < EXPAND_PORTS
}

/// All cells of a rule at a place; empty if it does not speak of this family or kind of traffic.
pub(super) fn cells(rule: &Rule, place: Place, lists: &mut Lists) -> Vec<Cell> {
    of(&rule.traffic, &rule.scope, place, lists)
}

/// All cells of traffic within a scope.
pub(super) fn of(traffic: &[Traffic], scope: &Scope, place: Place, lists: &mut Lists) -> Vec<Cell> {
    let traffic = traffic_cells(traffic, place);
    let mut others: Vec<Vec<Cell>> = vec![
        interface_cells(scope, place),
        account_cells(scope.user.as_ref(), Field::User, Constant::NotUsers),
        account_cells(scope.group.as_ref(), Field::Group, Constant::NotGroups),
    ];
    let product: usize = others.iter().map(Vec::len).product::<usize>() * traffic.len();
    let source = peer_cells(&scope.from, true, place, lists, product);
    let destination = peer_cells(&scope.to, false, place, lists, product * source.len());
    others.extend([source, destination, traffic]);
    let mut all = vec![Cell::default()];
    for dimension in others {
        if let [only] = dimension.as_slice()
            && only.is_plain()
        {
            continue;
        }
        if let [only] = all.as_slice()
            && only.is_plain()
        {
            all = dimension;
            continue;
        }
        all = all.iter().flat_map(|left| dimension.iter().map(|right| left.and(right))).collect();
    }
    all.into_iter().map(Cell::narrowed).collect()
}

/// `nft` (1.0.6 and later) cannot list or read a `typeof` of more parts.
const PARTS_MAX: usize = 4;

impl Cell {
    /// The same with a key that `nft` can list: what is said of accounts and interfaces becomes a condition
    /// until the key is short enough.
    fn narrowed(mut self) -> Cell {
        for field in [Field::Group, Field::Interface, Field::User] {
            let parts: usize = self.fields.iter().map(|(_, values)| values.len()).sum();
            let at = self.fields.iter().position(|(f, _)| *f == field);
            if let Some(at) = at.filter(|_| parts > PARTS_MAX) {
                let value = self.fields.remove(at).1.concat();
                self.constants.push(match field {
                    Field::Group => Constant::Group(value),
                    Field::User => Constant::User(value),
                    _ => Constant::Interface(value),
                });
                self.constants.sort();
            }
        }
        self
    }

    /// Whether it says nothing.
    fn is_plain(&self) -> bool {
        self.constants.is_empty() && self.fields.is_empty()
    }

    fn and(&self, other: &Cell) -> Cell {
        let mut constants = Vec::with_capacity(self.constants.len() + other.constants.len());
        constants.extend(self.constants.iter().chain(&other.constants).cloned());
        constants.sort();
        let mut fields = Vec::with_capacity(self.fields.len() + other.fields.len());
        fields.extend(self.fields.iter().chain(&other.fields).cloned());
        fields.sort_by_key(|(field, _)| *field);
        Cell { constants, fields }
    }

    fn field(field: Field, values: Vec<Vec<u8>>) -> Cell {
        Cell { constants: Vec::new(), fields: vec![(field, values)] }
    }

    fn constant(constant: Constant) -> Cell {
        Cell { constants: vec![constant], fields: Vec::new() }
    }

    /// The shape: which fields the key has.
    pub(super) fn shape(&self) -> Vec<Field> {
        self.fields.iter().map(|(field, _)| *field).collect()
    }

    /// Whether that is its shape.
    pub(super) fn has_shape(&self, shape: &[Field]) -> bool {
        self.fields.iter().map(|(field, _)| field).eq(shape)
    }

    /// The key, each part padded to registers if there are several.
    pub(super) fn key(&self) -> Vec<u8> {
        let parts: Vec<&Vec<u8>> = self.fields.iter().flat_map(|(_, values)| values).collect();
        if let [one] = parts.as_slice() {
            return (*one).clone();
        }
        let mut key = Vec::new();
        for part in parts {
            key.extend(part);
            key.resize(key.len().div_ceil(4) * 4, 0);
        }
        key
    }
}

fn traffic_cells(traffic: &[Traffic], place: Place) -> Vec<Cell> {
    let mut cells = Vec::new();
    let port =
        |proto: Proto, port: u16| Cell::field(Field::Port, vec![vec![proto.0], port.to_be_bytes().to_vec()]);
    for one in traffic {
        match *one {
            Traffic::Any => cells.push(Cell::default()),
            Traffic::Icmp(kind) if place.icmp => {
                let number = kind.in_family(place.family);
                if let (Some(number), true) = (number, place.original) {
                    cells.push(Cell::constant(Constant::IcmpType(number)));
                } else if let Some(number) = number {
                    let proto = icmp_of(place.family);
                    cells.push(Cell::field(Field::IcmpType, vec![vec![proto.0], vec![number]]));
                }
            }
            Traffic::Ports(proto, range) if !place.icmp => {
                if range == PortRange::ALL {
                    cells.push(Cell::field(Field::Proto, vec![vec![proto.0]]));
                } else if is_written_out(range) {
                    cells.extend((range.first()..=range.last()).map(|number| port(proto, number)));
                } else {
                    cells.push(Cell::constant(Constant::Ports(proto, range)));
                }
            }
            Traffic::Protocol(proto) if proto.is_icmp() == place.icmp => {
                cells.push(Cell::field(Field::Proto, vec![vec![proto.0]]));
            }
            _ => {}
        }
    }
    cells
}

/// The ICMP of a family.
pub(super) fn icmp_of(family: Family) -> Proto {
    match family {
        Family::V4 => Proto::ICMP,
        Family::V6 => Proto::ICMPV6,
    }
}

fn interface_cells(scope: &Scope, _place: Place) -> Vec<Cell> {
    if scope.on.is_empty() {
        return vec![Cell::default()];
    }
    let mut seen = BTreeSet::new();
    scope
        .on
        .iter()
        .filter(|interface| seen.insert((*interface).clone()))
        .map(|interface| {
            if interface.wildcard {
                Cell::constant(Constant::Interfaces(interface.name.clone()))
            } else {
                let mut name = interface.name.as_bytes().to_vec();
                name.resize(16, 0);
                Cell::field(Field::Interface, vec![name])
            }
        })
        .collect()
}

fn account_cells(accounts: Option<&Accounts>, field: Field, not: fn(Vec<u32>) -> Constant) -> Vec<Cell> {
    match accounts {
        None => vec![Cell::default()],
        Some(Accounts { except: true, ids }) => vec![Cell::constant(not(ids.clone()))],
        Some(Accounts { except: false, ids }) => {
            let ids: BTreeSet<u32> = ids.iter().copied().collect();
            ids.into_iter().map(|id| Cell::field(field, vec![code::host(id)])).collect()
        }
    }
}

/// The addresses of one side: as key values while they are few, as a list when they are many.
fn peer_cells(peers: &Peers, source: bool, place: Place, lists: &mut Lists, product: usize) -> Vec<Cell> {
    let family = place.family;
    let empty = AddrSet::empty();
    let except = peers.except.as_deref().unwrap_or(&empty);
    let Some(only) = peers.only.as_deref() else {
        return match (except.lacks(family), except.is_all(family)) {
            (true, _) => vec![Cell::default()],
            (_, true) => Vec::new(),
            _ => vec![not_in(except, source, place, lists)],
        };
    };
    if only.lacks(family) {
        return Vec::new();
    }
    let fits = |prefixes: &[Prefix]| is_short(prefixes) && prefixes.len() * product.max(1) <= PRODUCT_MAX;
    let key = |prefixes: &[Prefix]| -> Vec<Cell> {
        prefixes
            .iter()
            .map(|prefix| {
                if prefix.is_everything() {
                    return Cell::default();
                }
                let length = prefix.length();
                let field = if source { Field::Source(length) } else { Field::Destination(length) };
                Cell::field(field, vec![prefix.bytes()])
            })
            .collect()
    };
    if except.lacks(family) {
        let prefixes = only.prefixes(family);
        return if fits(&prefixes) { key(&prefixes) } else { in_list(only, source, place, lists) };
    }
    let rest = only.minus(except);
    let prefixes = rest.prefixes(family);
    if fits(&prefixes) {
        return key(&prefixes);
    }
    // A few prefixes without a long list: the prefixes in the key, the list as a condition.
    let whole = only.prefixes(family);
    if fits(&whole) {
        let without = not_in(&except.intersection(only), source, place, lists);
        return key(&whole).iter().map(|cell| cell.and(&without)).collect();
    }
    in_list(&rest, source, place, lists)
}

fn in_list(set: &AddrSet, source: bool, place: Place, lists: &mut Lists) -> Vec<Cell> {
    let (name, lengths) = lists.intern(set, place.family, place.original && !source);
    lengths
        .into_iter()
        .map(|length| {
            let name = name.clone();
            Cell::constant(if source {
                Constant::SourceIn(name, length)
            } else {
                Constant::DestinationIn(name, length)
            })
        })
        .collect()
}

fn not_in(set: &AddrSet, source: bool, place: Place, lists: &mut Lists) -> Cell {
    let (name, lengths) = lists.intern(set, place.family, place.original && !source);
    Cell::constant(if source {
        Constant::SourceNotIn(name, lengths)
    } else {
        Constant::DestinationNotIn(name, lengths)
    })
}

impl Constant {
    /// The expressions that test it; none for those that need a chain of their own.
    pub(super) fn code(&self, place: Place) -> Vec<Expr> {
        match self {
            Constant::Ports(proto, range) => {
                let mut code = code::l4proto(*proto);
                code.extend(code::port_in(*range, place.original));
                code
            }
            Constant::Interface(name) => vec![code::meta(interface_key(place), R0), code::eq(name.clone())],
            Constant::User(id) => vec![code::meta(MetaKey::Skuid, R0), code::eq(id.clone())],
            Constant::Group(id) => vec![code::meta(MetaKey::Skgid, R0), code::eq(id.clone())],
            Constant::IcmpType(number) => code::icmp_type(*number),
            Constant::Interfaces(name) => code::interface(interface_key(place), name, true),
            Constant::SourceIn(list, length) => address_lookup(list, *length, true, place, false),
            Constant::DestinationIn(list, length) => address_lookup(list, *length, false, place, false),
            Constant::SourceNotIn(list, lengths) => {
                lengths.iter().flat_map(|length| address_lookup(list, *length, true, place, true)).collect()
            }
            Constant::DestinationNotIn(list, lengths) => {
                lengths.iter().flat_map(|length| address_lookup(list, *length, false, place, true)).collect()
            }
            Constant::NotUsers(_) | Constant::NotGroups(_) => Vec::new(),
        }
    }

    /// Rules that leave a chain early: a negated owner match skips packets without one, so it cannot stand
    /// in the rule itself.
    pub(super) fn leave_early(&self) -> Vec<Vec<Expr>> {
        let (key, ids) = match self {
            Constant::NotUsers(ids) => (MetaKey::Skuid, ids),
            Constant::NotGroups(ids) => (MetaKey::Skgid, ids),
            _ => return Vec::new(),
        };
        ids.iter().map(|id| vec![code::meta(key, R0), code::eq(code::host(*id)), code::ret()]).collect()
    }
}

fn interface_key(place: Place) -> MetaKey {
    if place.leaving { MetaKey::Oifname } else { MetaKey::Iifname }
}

fn address_lookup(list: &str, length: u8, source: bool, place: Place, invert: bool) -> Vec<Expr> {
    let field = if source { Field::Source(length) } else { Field::Destination(length) };
    let typed = place.original && !source;
    let (mut code, _) = field.load(place, typed, R0);
    code.push(code::lookup(&Lists::set_name(list, length), R0, invert));
    code
}

impl Field {
    /// The parts of the key that the field makes. Conntrack's addresses have a type, the packet's are raw.
    pub(super) fn parts(self, place: Place, typed: bool) -> Vec<KeyPart> {
        let address = |source| {
            if typed {
                return match place.family {
                    Family::V4 => KeyPart::Addr4,
                    Family::V6 => KeyPart::Addr6,
                };
            }
            let (offset, len) = code::address_at(place.family, source);
            KeyPart::Network(offset, len)
        };
        match self {
            Field::Interface if place.leaving => vec![KeyPart::Oifname],
            Field::Interface => vec![KeyPart::Iifname],
            Field::Source(_) => vec![address(true)],
            Field::Destination(_) => vec![address(false)],
            Field::User => vec![KeyPart::Skuid],
            Field::Group => vec![KeyPart::Skgid],
            Field::Port => vec![KeyPart::L4proto, KeyPart::Port],
            Field::IcmpType => vec![KeyPart::L4proto, KeyPart::Transport(0, 1)],
            Field::Proto => vec![KeyPart::L4proto],
        }
    }

    /// The expressions that load the field from register `at` on, and the next free register.
    pub(super) fn load(self, place: Place, typed: bool, at: Reg) -> (Vec<Expr>, Reg) {
        let next = |words: u8| Reg(at.0 + words);
        let cut = |code: &mut Vec<Expr>, length: u8| {
            if length < place.family.bits() {
                code.push(code::mask(at, Prefix::mask_bytes(place.family, length)));
            }
        };
        let words = place.family.bits() / 32;
        match self {
            Field::Interface => (vec![code::meta(interface_key(place), at)], next(4)),
            Field::Source(length) | Field::Destination(length) => {
                let source = matches!(self, Field::Source(_));
                let load = if typed {
                    let key = match (place.family, source) {
                        (Family::V4, true) => CtKey::SrcIp,
                        (Family::V4, false) => CtKey::DstIp,
                        (Family::V6, true) => CtKey::SrcIp6,
                        (Family::V6, false) => CtKey::DstIp6,
                    };
                    Expr::Ct { key, dir: Some(CtDir::Original), dreg: at }
                } else {
                    let (offset, len) = code::address_at(place.family, source);
                    code::payload(PayloadBase::Network, offset.into(), len.into(), at)
                };
                let mut code = vec![load];
                cut(&mut code, length);
                (code, next(words))
            }
            Field::User => (vec![code::meta(MetaKey::Skuid, at)], next(1)),
            Field::Group => (vec![code::meta(MetaKey::Skgid, at)], next(1)),
            Field::Port => {
                let port = if place.original {
                    Expr::Ct { key: CtKey::ProtoDst, dir: Some(CtDir::Original), dreg: next(1) }
                } else {
                    code::payload(PayloadBase::Transport, 2, 2, next(1))
                };
                (vec![code::meta(MetaKey::L4proto, at), port], next(2))
            }
            Field::IcmpType => (
                vec![code::meta(MetaKey::L4proto, at), code::payload(PayloadBase::Transport, 0, 1, next(1))],
                next(2),
            ),
            Field::Proto => (vec![code::meta(MetaKey::L4proto, at)], next(1)),
        }
    }
}
