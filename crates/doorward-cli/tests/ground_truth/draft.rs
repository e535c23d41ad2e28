//! A packet as it is wished for: bytes to be, and what connection tracking is to know; knows no ruleset.

use crate::dice::Dice;
use crate::fields::Field;
use crate::world::{World, owner};
use doorward::net::Family;
use doorward::ruleset::{CtDir, CtKey, Hook, MetaKey, PayloadBase};

const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// A packet that does not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) hook: Hook,
    pub(crate) family: Family,
    /// Places in the list of devices.
    pub(crate) iif: usize,
    pub(crate) oif: usize,
    /// As it is to be at the hook.
    pub(crate) network: Vec<u8>,
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) l4proto: u8,
    pub(crate) transport: Vec<u8>,
    pub(crate) fragment: Fragment,
    pub(crate) mark: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) track: Track,
    pub(crate) ct_mark: u32,
}

/// Which part of a packet that was taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fragment {
    Whole,
    First,
    /// So many times 8 bytes behind the first.
    Later(u16),
}

/// What connection tracking is to make of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Track {
    /// What it thinks best.
    Fresh,
    /// Left out.
    Untracked,
    /// Of a connection that is put into its table beforehand.
    Known(Known),
}

/// A connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    /// The packet is an answer.
    pub(crate) reply: bool,
    /// `IPS_*`: 1 announced by another connection, 2 answered, 4 sure.
    pub(crate) status: u32,
    /// What the other side of a translation has instead of the packet's own destination or source.
    pub(crate) nat: Option<(Vec<u8>, u16)>,
}

impl Known {
    pub(crate) fn usual() -> Known {
        Known { reply: false, status: 2 | 4, nat: None }
    }

    /// Announced, and not yet answered.
    fn announced() -> Known {
        Known { status: 1, ..Known::usual() }
    }
}

impl Draft {
    /// Something ordinary, by chance.
    pub(crate) fn any(dice: &mut Dice, world: &World, hook: Hook, family: Family) -> Draft {
        let mut draft = Draft {
            hook,
            family,
            iif: dice.below(world.devices.len()),
            oif: dice.below(world.devices.len()),
            network: match family {
                Family::V4 => vec![0; 20],
                Family::V6 => vec![0; 40],
            },
            extensions: Vec::new(),
            l4proto: 0,
            transport: Vec::new(),
            fragment: Fragment::Whole,
            mark: if dice.chance(50) { 0 } else { world.mark(dice) },
            owner: owner(dice),
            track: Track::Fresh,
            ct_mark: if dice.chance(60) { 0 } else { world.mark(dice) },
        };
        let (source, destination) = (world.address(dice, family), world.address(dice, family));
        draft.put_network(draft.source_at(), &source);
        draft.put_network(draft.source_at() + source.len(), &destination);
        let hops = if dice.chance(70) { 64 } else { *dice.pick(&[1, 2, 63, 65, 128, 254, 255]) };
        match family {
            Family::V4 => {
                draft.network[8] = hops;
                draft.network[1] = if dice.chance(70) { 0 } else { dice.byte() };
                draft.network[4..6].copy_from_slice(&[dice.byte() | 1, dice.byte()]);
            }
            Family::V6 => {
                draft.network[7] = hops;
                draft.network[0] = dice.byte() & 0x0f;
                draft.network[1..4].copy_from_slice(&dice.bytes(3));
            }
        }
        let icmp = if family == Family::V4 { 1 } else { 58 };
        let proto =
            dice.weighted(&[(40, 6), (25, 17), (14, icmp), (8, 132), (3, 47), (3, 50), (2, 1), (2, 253)]);
        draft.set_proto(dice, world, proto);
        draft
    }

    /// What makes packets less ordinary; where connections are tracked fragments must be left out of it.
    pub(crate) fn season(&mut self, dice: &mut Dice, world: &World, conntrack: bool) {
        if conntrack {
            match dice.below(20) {
                0..5 => {
                    let mut known = Known::usual();
                    known.reply = dice.chance(40);
                    if dice.chance(30) {
                        known.status = *dice.pick(&[0, 2, 4]);
                    }
                    if dice.chance(25) {
                        known.nat = Some((world.address(dice, self.family), world.port(dice)));
                    }
                    self.track = Track::Known(known);
                }
                5 | 6 => self.track = Track::Known(Known::announced()),
                7 | 8 => self.track = Track::Untracked,
                _ => {}
            }
        }
        if self.family == Family::V6 && dice.chance(8) {
            self.extend(if dice.chance(70) { ROUTING } else { DESTINATION_OPTIONS }, dice);
        }
        if self.family == Family::V4 && dice.chance(4) {
            // Options that do nothing.
            self.network.extend([1, 1, 1, 0]);
        }
        if dice.chance(5) {
            let offset = u16::try_from(dice.between(1, 180)).unwrap();
            self.fragment = if dice.chance(70) { Fragment::Later(offset) } else { Fragment::First };
            if self.family == Family::V6 {
                let [high, low] = match self.fragment {
                    Fragment::Later(offset) => (offset << 3).to_be_bytes(),
                    _ => [0, 1],
                };
                self.extensions.push((FRAGMENT, vec![0, 0, high, low, 0, 0, 0x12, 0x34]));
            }
            if conntrack {
                self.track = Track::Untracked;
            }
        }
        if dice.chance(3) {
            let left = dice.below(self.transport.len().max(1));
            self.transport.truncate(left);
        }
    }

    /// Adds an extension header that is not there.
    fn extend(&mut self, header: u8, dice: &mut Dice) {
        if self.family == Family::V4 || self.extensions.iter().any(|(kind, _)| *kind == header) {
            return;
        }
        let bytes = match header {
            ROUTING => {
                let kind = *dice.pick(&[0, 2, 4, 253]);
                let mut bytes = vec![0, 2, kind, 0, 0, 0, 0, 0];
                bytes.extend(dice.bytes(16));
                bytes
            }
            // One option that pads.
            DESTINATION_OPTIONS => vec![0, 0, 1, 4, 0, 0, 0, 0],
            _ => return,
        };
        // What follows the header of a later fragment is not in it.
        let at = self.extensions.iter().position(|(kind, _)| *kind == FRAGMENT);
        self.extensions.insert(at.unwrap_or(self.extensions.len()), (header, bytes));
    }

    /// Gives the field a value; says whether this packet has the field.
    pub(crate) fn set(&mut self, dice: &mut Dice, world: &World, field: &Field, value: &[u8]) -> bool {
        match *field {
            Field::Payload(base, offset, _) => self.set_payload(base, offset as usize, value),
            Field::Meta(key) => self.set_meta(dice, world, key, value),
            Field::Ct(key, dir) => self.set_ct(key, dir, value),
            Field::Exthdr { header, offset, present } => {
                if present && value.first() == Some(&0) {
                    self.extensions.retain(|(kind, _)| *kind != header);
                } else {
                    self.extend(header, dice);
                    let there = self.extensions.iter_mut().find(|(kind, _)| *kind == header);
                    if let (Some((_, bytes)), false, Some(value)) = (there, present, value.first()) {
                        bytes[offset as usize & 3] = *value;
                    }
                }
                self.family == Family::V6
            }
            Field::Fib(..) | Field::Constant | Field::Mapped | Field::Other => false,
        }
    }

    fn set_payload(&mut self, base: PayloadBase, offset: usize, value: &[u8]) -> bool {
        let behind = match (base, self.l4proto) {
            (PayloadBase::Transport, _) => offset,
            (PayloadBase::Inner, 6) => 20 + offset,
            (PayloadBase::Inner, 17 | 1 | 58) => 8 + offset,
            (PayloadBase::Network, _) => {
                let header = self.network.len();
                let within = value.len().min(header.saturating_sub(offset));
                self.put_network(offset.min(header), &value[..within]);
                if within == value.len() || !self.extensions.is_empty() {
                    return within > 0;
                }
                return self.put_transport((offset + within) - header, &value[within..]);
            }
            _ => return false,
        };
        self.put_transport(behind, value)
    }

    fn put_network(&mut self, at: usize, value: &[u8]) {
        self.network[at..at + value.len()].copy_from_slice(value);
    }

    fn put_transport(&mut self, at: usize, value: &[u8]) -> bool {
        let end = at + value.len();
        if end > self.transport.len() && end <= 64 {
            self.transport.resize(end, 0);
        }
        match self.transport.get_mut(at..end) {
            Some(bytes) => bytes.copy_from_slice(value),
            None => return false,
        }
        true
    }

    fn set_meta(&mut self, dice: &mut Dice, world: &World, key: MetaKey, value: &[u8]) -> bool {
        let number = value.try_into().map(u32::from_ne_bytes).ok();
        let by_index = || world.devices.iter().position(|device| Some(device.index) == number);
        let by_name = |dice: &mut Dice| {
            let fits: Vec<usize> = (0..world.devices.len())
                .filter(|at| crate::code::padded(&world.devices[*at].name).starts_with(value))
                .collect();
            (!fits.is_empty()).then(|| *dice.pick(&fits))
        };
        match (key, value) {
            (MetaKey::L4proto, [proto, ..]) if *proto != self.l4proto => self.set_proto(dice, world, *proto),
            (MetaKey::Mark, _) => self.mark = number.unwrap_or(self.mark),
            (MetaKey::Iif, _) => self.iif = by_index().unwrap_or(self.iif),
            (MetaKey::Oif, _) => self.oif = by_index().unwrap_or(self.oif),
            (MetaKey::Iifname, _) => self.iif = by_name(dice).unwrap_or(self.iif),
            (MetaKey::Oifname, _) => self.oif = by_name(dice).unwrap_or(self.oif),
            (MetaKey::Skuid, _) => {
                let owner = crate::world::OWNERS.iter().find(|(user, _)| Some(*user) == number);
                self.owner = owner.copied().unwrap_or(self.owner);
            }
            (MetaKey::Skgid, _) => {
                let owner = crate::world::OWNERS.iter().find(|(_, group)| Some(*group) == number);
                self.owner = owner.copied().unwrap_or(self.owner);
            }
            (MetaKey::Len, _) => {
                let rest = self.length() - self.transport.len();
                let wanted = number.unwrap_or(0) as usize;
                if wanted > rest && wanted <= 1400 {
                    self.transport.resize(wanted - rest, 0);
                }
            }
            _ => return false,
        }
        true
    }

    fn set_ct(&mut self, key: CtKey, dir: Option<CtDir>, value: &[u8]) -> bool {
        let number = value.try_into().map_or(0, u32::from_ne_bytes);
        match key {
            CtKey::Mark => self.ct_mark = number,
            CtKey::State if number & 8 != 0 => self.track = Track::Fresh,
            CtKey::State if number & 2 != 0 => self.track = Track::Known(Known::usual()),
            CtKey::State if number & 4 != 0 => {
                self.track = Track::Known(Known::announced());
            }
            CtKey::State if number & 64 != 0 => self.track = Track::Untracked,
            CtKey::State => {
                self.track = Track::Fresh;
                // SYN and FIN at once make no sense.
                if self.l4proto == 6 {
                    self.put_transport(13, &[3]);
                }
            }
            CtKey::Direction => self.known().reply = value.first() == Some(&1),
            CtKey::Status => self.known().status = number & 7,
            CtKey::SrcIp | CtKey::SrcIp6 | CtKey::DstIp | CtKey::DstIp6 => {
                let source = matches!(key, CtKey::SrcIp | CtKey::SrcIp6);
                let fits = value.len() == usize::from(self.family.bits()) / 8;
                let at = self.tuple_part(source, dir);
                if fits {
                    let offset = self.source_at() + at * value.len();
                    self.put_network(offset, value);
                }
                return fits;
            }
            CtKey::ProtoSrc | CtKey::ProtoDst => {
                let at = self.tuple_part(key == CtKey::ProtoSrc, dir);
                return self.put_transport(at * 2, value);
            }
            _ => return false,
        }
        true
    }

    /// Whether a part of a tuple is the packet's first (0) or second (1) of that sort, as long as nothing is
    /// translated.
    fn tuple_part(&self, source: bool, dir: Option<CtDir>) -> usize {
        let reply = matches!(&self.track, Track::Known(known) if known.reply);
        let turned = reply != (dir == Some(CtDir::Reply));
        usize::from(source == turned)
    }

    /// The connection, which becomes one that is known.
    fn known(&mut self) -> &mut Known {
        if !matches!(self.track, Track::Known(_)) {
            self.track = Track::Known(Known::usual());
        }
        let Track::Known(known) = &mut self.track else { unreachable!("made so above") };
        known
    }

    /// Changes the protocol, and with it all that is in the packet.
    pub(crate) fn set_proto(&mut self, dice: &mut Dice, world: &World, proto: u8) {
        const FLAGS: [(usize, u8); 9] =
            [(40, 2), (25, 0x10), (8, 0x12), (6, 4), (6, 0x11), (5, 0x18), (3, 0), (3, 0x3f), (4, 3)];
        // In IPv6 these are headers and no protocols.
        if self.family == Family::V6
            && matches!(proto, 0 | ROUTING | FRAGMENT | DESTINATION_OPTIONS | 51 | 135 | 59)
        {
            return;
        }
        self.l4proto = proto;
        let ports = [world.port(dice).to_be_bytes(), world.port(dice).to_be_bytes()].concat();
        self.transport = match proto {
            6 => [
                ports,
                dice.bytes(8),
                vec![5 << 4, dice.weighted(&FLAGS), 0xfa, 0xf0, 0, 0, 0, 0],
                dice.bytes(4),
            ]
            .concat(),
            17 => [ports, vec![0, 16, 0, 0], dice.bytes(8)].concat(),
            132 => [
                ports,
                vec![0; 8],
                vec![1, 0, 0, 20],
                dice.bytes(4),
                vec![0, 1, 0, 0, 0, 1, 0, 1],
                vec![0; 4],
            ]
            .concat(),
            1 => {
                let kind = dice.weighted(&[(10, 8), (3, 0), (3, 3), (2, 11), (2, 13), (1, 5)]);
                [vec![kind, dice.byte() % 3, 0, 0], dice.bytes(28)].concat()
            }
            58 => {
                let kind = dice.weighted(&[
                    (10, 128),
                    (3, 129),
                    (3, 1),
                    (1, 2),
                    (1, 3),
                    (1, 133),
                    (2, 135),
                    (1, 136),
                    (1, 143),
                ]);
                [vec![kind, dice.byte() % 3, 0, 0], dice.bytes(28)].concat()
            }
            // A plain GRE header.
            47 => [vec![0, 0, 8, 0], dice.bytes(20)].concat(),
            _ => dice.bytes(24),
        };
    }

    /// Where the source address stands; the destination follows.
    pub(crate) fn source_at(&self) -> usize {
        if self.family == Family::V4 { 12 } else { 8 }
    }

    /// Source and destination.
    pub(crate) fn addresses(&self) -> (&[u8], &[u8]) {
        let width = usize::from(self.family.bits()) / 8;
        self.network[self.source_at()..][..2 * width].split_at(width)
    }

    /// The length of all of it.
    fn length(&self) -> usize {
        let extensions: usize = self.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
        self.network.len() + extensions + self.transport.len()
    }

    /// Makes true what has to be so that the packet reaches the hook: versions, lengths, chains of headers, and
    /// addresses that the kernel takes.
    pub(crate) fn repair(&mut self) {
        let chain: Vec<u8> =
            self.extensions.iter().map(|(kind, _)| *kind).chain(std::iter::once(self.l4proto)).collect();
        for (at, (kind, bytes)) in self.extensions.iter_mut().enumerate() {
            bytes[0] = chain[at + 1];
            bytes[1] = if *kind == FRAGMENT { 0 } else { u8::try_from(bytes.len() / 8 - 1).unwrap() };
        }
        let length = self.length();
        let header = self.network.len();
        let network = &mut self.network;
        match self.family {
            Family::V4 => {
                network[0] = 0x40 | u8::try_from(header / 4).unwrap();
                network[2..4].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
                // Without a number the kernel would give one.
                network[4] |= u8::from(network[4..6] == [0, 0]);
                network[6..8].copy_from_slice(&match self.fragment {
                    Fragment::Whole => [0x40, 0],
                    Fragment::First => [0x20, 0],
                    Fragment::Later(offset) => offset.to_be_bytes(),
                });
                network[9] = self.l4proto;
            }
            Family::V6 => {
                network[0] = 0x60 | network[0] & 0x0f;
                network[4..6].copy_from_slice(&u16::try_from(length - header).unwrap().to_be_bytes());
                network[6] = chain[0];
            }
        }
        let hops = if self.family == Family::V4 { 8 } else { 7 };
        if self.hook == Hook::Forward {
            network[hops] = network[hops].clamp(1, 254);
        }
        self.repair_addresses();
        if self.family == Family::V4 {
            put_header_checksum(&mut self.network);
        }
    }

    /// Addresses that routing refuses become ordinary ones.
    fn repair_addresses(&mut self) {
        let routed = self.hook != Hook::Output;
        let at = self.source_at();
        match self.family {
            Family::V4 => {
                let refused = |byte: u8| matches!(byte, 0 | 127 | 224..);
                for at in [at, at + 4] {
                    if routed && refused(self.network[at]) || self.network[at..at + 4] == [0; 4] {
                        self.network[at] = 10;
                    }
                }
            }
            Family::V6 => {
                for at in [at, at + 16] {
                    if routed && matches!(self.network[at], 0 | 0xfe | 0xff) {
                        self.network[at] = 0x20;
                    }
                }
            }
        }
    }
}

/// Writes the checksum of an IPv4 header into it.
pub(crate) fn put_header_checksum(header: &mut [u8]) {
    header[10..12].copy_from_slice(&[0, 0]);
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}
