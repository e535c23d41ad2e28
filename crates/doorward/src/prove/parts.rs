//! A set of new connections as traffic: by what they are about, then by who they come from; judges nothing.

use super::about::About;
use super::describe::{Traffic, of_region};
use super::names::Never;
use crate::meaning::sets::Place;
use crate::meaning::{Connection, connection};
use crate::net::{Family, Proto};
use crate::space::{Field, Node, Space};

/// Traffic and a connection of it.
pub(super) struct Part {
    pub(super) traffic: Traffic,
    pub(super) example: Connection,
}

/// What a set is taken apart with.
#[derive(Clone, Copy)]
pub(super) struct Knife<'a> {
    /// Where the packets are.
    pub(super) place: Place,
    /// All connections that people speak of there.
    pub(super) openings: Node,
    /// Connections that are, besides those of the set, as it is said of the set: `everything but ssh` may be said
    /// where ssh is among neither.
    pub(super) alike: Node,
    /// Addresses that do not matter.
    pub(super) never: &'a Never,
    /// So many parts at most.
    pub(super) most: usize,
}

/// Takes a set apart. Says too whether that is all.
pub(super) fn parts(space: &mut Space, set: Node, knife: Knife<'_>) -> (Vec<Part>, bool) {
    let Knife { place, openings, alike, never, most } = knife;
    let family = space.family();
    let plain = spoken(space, set, place);
    let (shares, mut left) = space.shares(plain, &is_about, most);
    let possible = spoken(space, openings, place);
    let said = spoken(space, alike, place);
    let said = space.or(said, plain);
    let mut parts = Vec::new();
    for share in shares {
        let (regions, rest) = space.regions_but(share.rest, most, &|space, product| {
            // Nobody's packets have no user.
            let nobody = space.fixed(product, &Field::HasOwner, 0);
            let nobody = space.exists(nobody, &|field| matches!(field, Field::User | Field::Group));
            space.or(product, nobody)
        });
        left = space.or(left, rest);
        for (region, product) in regions {
            // Those who are meant, with everything there can be.
            let who = space.and(possible, product);
            let all = space.exists(who, &|field| !is_about(field));
            let more = space.minus(who, said);
            let more = space.exists(more, &|field| !is_about(field));
            let more = space.minus(more, share.picked);
            let about = about(space, share.picked, all, place);
            // To say what it is not takes more than a half of everything.
            let most = about.size() * 2.0 > self::about(space, all, all, place).size();
            let but = most
                .then(|| self::about(space, more, all, place))
                .filter(|but| but.pieces() < about.pieces());
            let mut example = space.and(set, share.picked);
            for (field, value) in region.example.values().iter().filter(|(field, _)| is_who(field, place)) {
                example = space.fixed(example, field, *value);
            }
            let point = space.point(example).unwrap_or_else(|| region.example.clone());
            let traffic = of_region(&region, (about, but), family, place, never);
            parts.push(Part { traffic, example: connection(&point, family, place) });
        }
    }
    (parts, left.is_empty())
}

/// Whether a field says what a connection is about.
fn is_about(field: &Field) -> bool {
    matches!(field, Field::Protocol | Field::Port | Field::AddressedPort | Field::SourcePort)
}

/// Whether a field says who is on either end.
fn is_who(field: &Field, place: Place) -> bool {
    match field {
        Field::Iif | Field::Oif | Field::Source | Field::HasOwner | Field::User | Field::Group => true,
        Field::Destination => !place.translated,
        Field::AddressedTo => place.translated,
        _ => false,
    }
}

fn port_field(place: Place) -> Field {
    if place.translated { Field::AddressedPort } else { Field::Port }
}

/// The set over what people speak of: types of ICMP, ports of what has ports, whole protocols; and who.
fn spoken(space: &mut Space, set: Node, place: Place) -> Node {
    let port = port_field(place);
    let set =
        space.exists(set, &|field| !(is_who(field, place) || is_about(field)) || *field == other_port(place));
    let mut all = Node::FALSE;
    for class in space.classes(&Field::Protocol) {
        let mine = space.fixed(set, &Field::Protocol, class.sample);
        if mine.is_empty() {
            continue;
        }
        let kind = Kind::of(&class.ranges, space.family());
        let mine = space.exists(mine, &|field| match kind {
            Kind::Ports(_) => *field == Field::SourcePort,
            Kind::Icmp => *field == port,
            Kind::Whole => *field == Field::SourcePort || *field == port,
        });
        all = space.or(all, mine);
    }
    let nobody = space.fixed(all, &Field::HasOwner, 0);
    let somebody = space.minus(all, nobody);
    let nobody = space.exists(nobody, &|field| matches!(field, Field::User | Field::Group));
    space.or(somebody, nobody)
}

fn other_port(place: Place) -> Field {
    if place.translated { Field::Port } else { Field::AddressedPort }
}

/// What a class of protocols is divided by.
#[derive(Clone, Copy)]
enum Kind {
    Ports(u8),
    Icmp,
    Whole,
}

impl Kind {
    fn of(ranges: &[(u128, u128)], family: Family) -> Kind {
        let icmp = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
        let [(first, last)] = ranges else { return Kind::Whole };
        match u8::try_from(*first) {
            Ok(proto) if first == last && proto == icmp.0 => Kind::Icmp,
            Ok(proto) if first == last && Proto(proto).has_ports() => Kind::Ports(proto),
            _ => Kind::Whole,
        }
    }
}

/// What a set is about, among all that there can be.
fn about(space: &mut Space, set: Node, all: Node, place: Place) -> About {
    let mut about = About::default();
    let family = space.family();
    let foreign = if family == Family::V4 { Proto::ICMPV6 } else { Proto::ICMP };
    for class in space.classes(&Field::Protocol) {
        let mine = space.at(set, &Field::Protocol, class.sample);
        if mine.is_empty() {
            continue;
        }
        let possible = space.at(all, &Field::Protocol, class.sample);
        let missing = space.minus(possible, mine);
        let kind = Kind::of(&class.ranges, family);
        match kind {
            Kind::Ports(proto) if !missing.is_empty() => {
                let ranges = space.ranges(mine, &port_field(place)).unwrap_or_default();
                about.ports.insert(proto, ranges.into_iter().map(|(a, b)| (word(a), word(b))).collect());
            }
            Kind::Icmp if !missing.is_empty() => {
                let ranges = space.ranges(mine, &Field::SourcePort).unwrap_or_default();
                about.icmp = ranges.into_iter().map(|(a, b)| (byte(a >> 8), byte(b >> 8))).collect();
            }
            // ICMP of the other family cannot be; it is in the class of some protocol or other.
            _ => about.whole.extend(
                class
                    .ranges
                    .iter()
                    .map(|(a, b)| (byte(*a), byte(*b)))
                    .filter(|range| *range != (foreign.0, foreign.0)),
            ),
        }
    }
    about.whole.sort_unstable();
    about
}

fn byte(value: u128) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

fn word(value: u128) -> u16 {
    u16::try_from(value & 0xffff).unwrap_or(0)
}
