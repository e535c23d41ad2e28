//! A set of new connections as traffic: by what they are about, then by who they come from; judges nothing.

use super::about::About;
use super::describe::{Traffic, of_region};
use super::names::Never;
use crate::meaning::sets::Place;
use crate::meaning::{Connection, connection};
use crate::net::{Family, Proto};
use crate::space::{Class, Field, Node, Region, Share, Space};

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
    /// Whether `anything` may be said of a few kinds too, where no other is left that is not alike.
    pub(super) broad: bool,
    /// Addresses that do not matter.
    pub(super) never: &'a Never,
    /// So many parts at most.
    pub(super) most: usize,
    /// Of what examples are, where some are to be preferred.
    pub(super) among: Option<Node>,
}

/// So many kinds are told one by one, also where they are all that there are.
const FEW: usize = 3;

/// Takes a set apart, the largest first. Says too whether that is all.
pub(super) fn parts(space: &mut Space, set: Node, knife: Knife<'_>) -> (Vec<Part>, bool) {
    let protocols = space.classes(&Field::Protocol);
    let knife = Sharp { knife, protocols: &protocols };
    parts_of(space, set, knife)
}

/// A knife that knows the classes of protocols.
#[derive(Clone, Copy)]
struct Sharp<'a> {
    knife: Knife<'a>,
    protocols: &'a [Class],
}

fn parts_of(space: &mut Space, set: Node, sharp: Sharp<'_>) -> (Vec<Part>, bool) {
    let knife = sharp.knife;
    if !knife.place.translated {
        return View::Own.parts(space, set, sharp);
    }
    // What holds wherever a translation leads is told by what the opener addressed, the rest by where it leads.
    let out = space.minus(knife.openings, set);
    let depends = space.exists(out, &|field| matches!(field, Field::Destination | Field::Port));
    let (by_own, addressed) = (space.and(set, depends), space.minus(set, depends));
    let (mut parts, first) = View::Addressed.parts(space, addressed, sharp);
    let (own, second) = View::Own.parts(space, by_own, sharp);
    parts.extend(own);
    (parts, first && second)
}

/// By which addresses and ports traffic is told: the packet's own, or those that its opener addressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Own,
    Addressed,
}

/// Kinds of connections and a product of those who are at their ends.
struct Piece {
    about: About,
    but: Option<About>,
    region: Region,
    /// The product, and of what kinds it is told.
    told: Node,
    share: Share,
}

impl View {
    fn parts(self, space: &mut Space, set: Node, sharp: Sharp<'_>) -> (Vec<Part>, bool) {
        let Knife { place, never, among, .. } = sharp.knife;
        let family = space.family();
        let (mut pieces, all) = self.pieces(space, set, sharp);
        pieces.sort_by(|a, b| b.about.size().total_cmp(&a.about.size()));
        let mut parts = Vec::new();
        let mut known = Node::FALSE;
        for piece in pieces {
            let mut example = space.and(set, piece.share.picked);
            let better = among.map(|among| space.and(example, among)).filter(|better| !better.is_empty());
            example = better.unwrap_or(example);
            for (field, value) in piece.region.example.values() {
                if self.is_who(field) {
                    let fixed = space.fixed(example, field, *value);
                    example = if better.is_some() && fixed.is_empty() { example } else { fixed };
                }
            }
            // What was told as `anything` from those and others needs no word.
            let new = space.minus(piece.told, known);
            let new = space.and(new, piece.share.picked);
            if new.is_empty() {
                continue;
            }
            known = space.or(known, piece.told);
            let point = space.point(example).unwrap_or_else(|| piece.region.example.clone());
            let (to, translated) = match self {
                View::Own => (Field::Destination, place.translated),
                View::Addressed => (Field::AddressedTo, false),
            };
            let about = (piece.about, piece.but);
            let mut traffic = of_region(&piece.region, about, (family, place, &to), never);
            traffic.translated = translated;
            parts.push(Part { traffic, example: connection(&point, family, place) });
        }
        (parts, all)
    }

    fn pieces(self, space: &mut Space, set: Node, sharp: Sharp<'_>) -> (Vec<Piece>, bool) {
        let Sharp { knife, protocols } = sharp;
        let plain = self.spoken(space, set, protocols);
        let (shares, mut left) = space.shares(plain, &is_about, knife.most);
        let possible = self.spoken(space, knife.openings, protocols);
        let said = self.spoken(space, knife.alike, protocols);
        let said = space.or(said, plain);
        let mut pieces = Vec::new();
        for share in shares {
            let (regions, rest) = space.regions_but(share.rest, knife.most, &|space, product| {
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
                let about = self.about(space, share.picked, all, protocols);
                // To say what it is not takes more than a half of everything.
                let most = about.size() * 2.0 > self.about(space, all, all, protocols).size();
                let but = (most || knife.broad).then(|| self.about(space, more, all, protocols));
                let shorter = |but: &About| {
                    if most {
                        but.pieces() < about.pieces()
                    } else {
                        but.is_nothing() && about.pieces() > FEW
                    }
                };
                let but = but.filter(shorter);
                let kinds = if but.is_some() { space.not(more) } else { share.picked };
                let told = space.and(product, kinds);
                pieces.push(Piece { about, but, region, told, share });
            }
        }
        (pieces, left.is_empty())
    }

    /// Whether a field says who is on either end.
    fn is_who(self, field: &Field) -> bool {
        match field {
            Field::Iif | Field::Oif | Field::Source | Field::HasOwner | Field::User | Field::Group => true,
            Field::Destination => self == View::Own,
            Field::AddressedTo => self == View::Addressed,
            _ => false,
        }
    }

    fn port(self) -> Field {
        if self == View::Own { Field::Port } else { Field::AddressedPort }
    }

    fn other_port(self) -> Field {
        if self == View::Own { Field::AddressedPort } else { Field::Port }
    }

    /// The set over what people speak of: types of ICMP, ports of what has ports, whole protocols; and who.
    fn spoken(self, space: &mut Space, set: Node, protocols: &[Class]) -> Node {
        let (port, other) = (self.port(), self.other_port());
        let set = space.exists(set, &|field| !(self.is_who(field) || is_about(field)) || *field == other);
        let mut all = Node::FALSE;
        for class in protocols {
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

    /// What a set is about, among all that there can be.
    fn about(self, space: &mut Space, set: Node, all: Node, protocols: &[Class]) -> About {
        let mut about = About::default();
        let family = space.family();
        let foreign = if family == Family::V4 { Proto::ICMPV6.0 } else { Proto::ICMP.0 };
        for class in protocols {
            let mine = space.at(set, &Field::Protocol, class.sample);
            if mine.is_empty() {
                continue;
            }
            let possible = space.at(all, &Field::Protocol, class.sample);
            let missing = space.minus(possible, mine);
            match Kind::of(&class.ranges, family) {
                Kind::Ports(proto) if !missing.is_empty() => {
                    let ranges = space.ranges(mine, &self.port()).unwrap_or_default();
                    about.ports.insert(proto, ranges.into_iter().map(|(a, b)| (word(a), word(b))).collect());
                }
                Kind::Icmp if !missing.is_empty() => {
                    let ranges = space.ranges(mine, &Field::SourcePort).unwrap_or_default();
                    let missing = space.ranges(missing, &Field::SourcePort).unwrap_or_default();
                    let types = |ranges: Vec<(u128, u128)>| -> Vec<(u8, u8)> {
                        ranges.into_iter().map(|(a, b)| (byte(a >> 8), byte(b >> 8))).collect()
                    };
                    (about.icmp, about.icmp_but) = (types(ranges), types(missing));
                }
                // ICMP of the other family cannot be; it is in the class of some protocol or other.
                _ => {
                    let whole = class.ranges.iter().map(|(a, b)| (byte(*a), byte(*b)));
                    about.whole.extend(whole.filter(|range| *range != (foreign, foreign)));
                }
            }
        }
        about.whole.sort_unstable();
        about
    }
}

/// Whether a field says what a connection is about.
fn is_about(field: &Field) -> bool {
    matches!(field, Field::Protocol | Field::Port | Field::AddressedPort | Field::SourcePort)
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

fn byte(value: u128) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

fn word(value: u128) -> u16 {
    u16::try_from(value & 0xffff).unwrap_or(0)
}
