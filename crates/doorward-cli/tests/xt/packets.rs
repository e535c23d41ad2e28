//! Packets near the borders of rules: their numbers and addresses, one less and one more, and what is usual.

use std::net::IpAddr;

use doorward::net::Family;
use doorward::ruleset::{FibResult, Hook};
use doorward::trace::{Conntrack, Device, Entry, Packet, Tuple};

use super::agree::arrives;

/// A linear congruence (Knuth): the same packets each time.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    pub(super) fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

pub(super) struct Packets {
    random: Random,
    family: Family,
    hook: Hook,
    /// They tell by their link header for whom they are, and routes are known.
    telling: bool,
    numbers: Vec<u32>,
    addrs: Vec<IpAddr>,
}

const PROTOCOLS: [u8; 11] = [6, 6, 17, 1, 58, 132, 33, 50, 51, 108, 135];

impl Packets {
    /// Packets for rules of which a text tells the numbers.
    pub(super) fn new(text: &str, family: Family, hook: Hook, telling: bool) -> Packets {
        let mut numbers = vec![0, 1, 2, 22, 64, 80, 255, 40_000];
        let mut addrs: Vec<IpAddr> = match family {
            Family::V4 => {
                ["198.51.100.7", "192.0.2.1", "224.0.0.1"].map(|addr| addr.parse().unwrap()).to_vec()
            }
            Family::V6 => {
                ["2001:db8::7", "ff02::1", "::ffff:1.2.3.4", "::"].map(|addr| addr.parse().unwrap()).to_vec()
            }
        };
        for word in text.split(|sign: char| !sign.is_ascii_hexdigit() && !".:x".contains(sign)) {
            let word = word.trim_end_matches(':');
            let number = word
                .strip_prefix("0x")
                .map_or_else(|| word.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
            if let Some(number) = number {
                numbers.extend([number, number.wrapping_sub(1), number.wrapping_add(1)]);
            }
            match word.parse() {
                Ok(IpAddr::V4(addr)) if family == Family::V4 => {
                    let near = [-1, 0, 1].map(|by| {
                        IpAddr::from(std::net::Ipv4Addr::from(addr.to_bits().wrapping_add_signed(by)))
                    });
                    addrs.extend(near);
                }
                Ok(IpAddr::V6(addr)) if family == Family::V6 => {
                    let near = [-1, 0, 1].map(|by| {
                        IpAddr::from(std::net::Ipv6Addr::from(addr.to_bits().wrapping_add_signed(by)))
                    });
                    addrs.extend(near);
                }
                _ => {}
            }
        }
        Packets { random: Random(1), family, hook, telling, numbers, addrs }
    }

    fn number(&mut self) -> u32 {
        *self.random.of(&self.numbers)
    }

    fn short(&mut self) -> u16 {
        u16::try_from(self.number() & 0xffff).unwrap()
    }

    fn small(&mut self) -> u8 {
        u8::try_from(self.number() & 0xff).unwrap()
    }

    pub(super) fn packet(&mut self) -> Packet {
        let l4proto = if self.random.once_in(4) { self.small() } else { *self.random.of(&PROTOCOLS) };
        let later_fragment = self.random.once_in(8);
        let extensions = self.extensions(later_fragment);
        let (source, dest) = (*self.random.of(&self.addrs), *self.random.of(&self.addrs));
        let transport = self.transport(l4proto);
        let network = self.network(l4proto, later_fragment, &extensions, (source, dest));
        let arrives = arrives(self.hook);
        let device = |name: &str, index| Device { name: name.to_owned(), index, kind: None, group: None };
        let iif = if self.random.once_in(6) { device("lo", 1) } else { device("eth0", 7) };
        let oif = device("eth1", 8);
        let leaves = !matches!(self.hook, Hook::Prerouting | Hook::Input);
        let ports = transport[..4].try_into().unwrap();
        Packet {
            hook: self.hook,
            family: self.family,
            iif: arrives.then_some(iif),
            oif: leaves.then_some(oif),
            link: if arrives { self.link() } else { Vec::new() },
            network,
            transport,
            l4proto,
            later_fragment,
            extensions,
            mark: self.number(),
            owner: (!arrives && !self.random.once_in(3)).then(|| (self.number(), self.number())),
            ct: self.ct(l4proto, (source, dest), ports),
            fib: self.fib(),
        }
    }

    fn link(&mut self) -> Vec<u8> {
        if !self.telling && self.random.once_in(4) {
            return Vec::new();
        }
        let mut link = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, if self.random.once_in(2) { 1 } else { 2 }];
        if self.random.once_in(3) {
            link[0] = 0xff;
            link[1..6].fill(if self.random.once_in(2) { 0xff } else { 1 });
        }
        link.extend(if self.family == Family::V4 { [8, 0] } else { [0x86, 0xdd] });
        link
    }

    fn extensions(&mut self, later_fragment: bool) -> Vec<(u8, Vec<u8>)> {
        if self.family == Family::V4 {
            return Vec::new();
        }
        let mut all = Vec::new();
        for kind in [0, 60, 43] {
            if self.random.once_in(6) {
                all.push((kind, vec![0; 8]));
            }
        }
        if later_fragment || self.random.once_in(6) {
            // Counted in units of eight bytes; the next header is not looked at here.
            let offset = if later_fragment { 8u16 * if self.random.once_in(2) { 1 } else { 5 } } else { 0 };
            let [high, low] = (offset | 1).to_be_bytes();
            all.push((44, vec![0, 0, high, low, 0, 0, 0, self.small()]));
        }
        all
    }

    fn network(
        &mut self,
        l4proto: u8,
        later: bool,
        extensions: &[(u8, Vec<u8>)],
        addrs: (IpAddr, IpAddr),
    ) -> Vec<u8> {
        let (hops, tos) = (self.small(), self.random.byte());
        let tos = if self.random.once_in(2) { tos } else { self.small() };
        let mut header = match self.family {
            Family::V4 => {
                let fragment = if later { [0, if self.random.once_in(2) { 1 } else { 9 }] } else { [0, 0] };
                vec![0x45, tos, 0, 0, 0, 0, fragment[0], fragment[1], hops, l4proto, 0, 0]
            }
            Family::V6 => {
                let next = extensions.first().map_or(l4proto, |(kind, _)| *kind);
                vec![0x60 | tos >> 4, tos << 4, 0, 0, 0, 0, next, hops]
            }
        };
        for addr in [addrs.0, addrs.1] {
            match addr {
                IpAddr::V4(addr) => header.extend(addr.octets()),
                IpAddr::V6(addr) => header.extend(addr.octets()),
            }
        }
        header
    }

    /// At least 8 bytes, of TCP 20: so much is always there.
    fn transport(&mut self, l4proto: u8) -> Vec<u8> {
        const TCP: u8 = 6;
        let mut bytes = Vec::new();
        if matches!(l4proto, 1 | 58 | 135) {
            bytes.extend([
                if self.random.once_in(3) { 59 } else { self.small() },
                self.small(),
                self.small(),
                0,
            ]);
        } else {
            bytes.extend(self.short().to_be_bytes());
            bytes.extend(self.short().to_be_bytes());
        }
        if self.random.once_in(3) {
            bytes.splice(0..4, self.number().to_be_bytes());
        }
        bytes.extend(self.number().to_be_bytes());
        let len = [8, 11, 12, 20, 28][self.random.below(5)];
        while bytes.len() < len || l4proto == TCP && bytes.len() < 20 {
            bytes.push(self.random.byte());
        }
        if l4proto == TCP {
            self.options(&mut bytes);
        }
        if self.random.once_in(3) {
            let wanted = usize::try_from(self.number() % 1600).unwrap();
            bytes.resize(wanted.max(bytes.len()), b'x');
        }
        bytes
    }

    fn options(&mut self, bytes: &mut Vec<u8>) {
        bytes.truncate(20);
        bytes[13] = *self.random.of(&[2, 0x10, 0x12, 0x40, 0xc0, 0x80, 0, 8, 1]);
        if self.random.once_in(3) {
            bytes[13] = self.random.byte();
        }
        if self.random.once_in(2) {
            let size = self.short().to_be_bytes();
            bytes.extend([2, 4, size[0], size[1]]);
        }
        if self.random.once_in(2) {
            bytes.extend([4, 2, self.small() & 8, 0]);
        }
        bytes[12] = u8::try_from(bytes.len() / 4).unwrap() << 4;
        if self.random.once_in(8) {
            bytes[12] = self.random.byte();
        }
    }

    fn fib(&mut self) -> Vec<(FibResult, u32, u32)> {
        let mut all = Vec::new();
        for flags in [1, 2, 9, 10, 17, 18] {
            if self.telling || !self.random.once_in(6) {
                let kind = u32::try_from(self.random.below(10)).unwrap();
                all.push((FibResult::AddrType, flags, kind));
            }
        }
        all
    }

    fn ct(&mut self, l4proto: u8, addrs: (IpAddr, IpAddr), ports: [u8; 4]) -> Conntrack {
        const DNAT: u32 = 0x20;
        match self.random.below(8) {
            0 => return Conntrack::Invalid,
            1 => return Conntrack::Untracked,
            _ => {}
        }
        let state = *self.random.of(&[2, 4, 8]);
        // Before it is translated, a packet is not as its hook says of those behind.
        let dnat = if matches!(self.hook, Hook::Prerouting | Hook::Output) { 0 } else { DNAT };
        let status = [0, 1, 2, 4, 8, 0x10, dnat]
            .into_iter()
            .filter(|_| self.random.once_in(3))
            .fold(0, |all, bit| all | bit);
        let direction = u8::from(state != 8 && self.random.once_in(2));
        let mut tuple = || Tuple {
            source: *self.random.of(&self.addrs),
            destination: *self.random.of(&self.addrs),
            source_port: u16::try_from(*self.random.of(&self.numbers) & 0xffff).unwrap(),
            destination_port: u16::try_from(*self.random.of(&self.numbers) & 0xffff).unwrap(),
        };
        let (mut original, mut reply) = (tuple(), tuple());
        let error = state == 4
            && match self.family {
                Family::V4 => l4proto == 1 && matches!(ports[0], 3..=5 | 11 | 12),
                Family::V6 => l4proto == 58 && ports[0] < 128,
            };
        if direction == 0 && !error {
            // What opens a connection is its original direction, but for a translated end.
            original.source = addrs.0;
            reply.source = addrs.1;
            if status & DNAT == 0 {
                original.destination = addrs.1;
            }
            if matches!(l4proto, 6 | 17 | 33 | 132 | 136) {
                original.source_port = u16::from_be_bytes([ports[0], ports[1]]);
                reply.source_port = u16::from_be_bytes([ports[2], ports[3]]);
                if status & DNAT == 0 {
                    original.destination_port = reply.source_port;
                }
            }
        }
        let helper = ["ftp", "ftp-2121", "sip", ""][self.random.below(4)];
        let helper = (!helper.is_empty()).then(|| helper.to_owned());
        Conntrack::Entry(Entry { state, status, direction, mark: self.number(), helper, original, reply })
    }
}
