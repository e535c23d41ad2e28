//! Matches on bytes, read as the kernel reads them: what is too short, and what later fragments come to.

use super::{Look, Says};
use crate::net::Family;
use crate::ruleset::Hook;
use crate::xt::{Dccp, Ecn, Later, Match, Ports, Refuses, Sctp, Tcp, TcpMss, Text, Within, tcp_option};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TCP_HEADER: usize = 20;

impl Look<'_> {
    /// What it says before it looks at its condition.
    pub(super) fn refused(&self, found: &Match) -> Option<Says> {
        let looks_on = match found.later() {
            Later::Same | Later::Misread => true,
            Later::False | Later::FalseOrDrop => !self.packet.later_fragment,
        };
        if !looks_on {
            let evil = found.later() == Later::FalseOrDrop && self.begins_at_eight();
            return Some(if evil { Says::Drops } else { Says::Holds(false) });
        }
        let len = self.wire.transport_bytes().len();
        let refuses = found.drops().iter().any(|refuses| match refuses {
            // Rates by ports are asked about, with all that they refuse.
            Refuses::Shorter(shortest) => {
                len < usize::from(*shortest) && !matches!(found, Match::Hashlimit(_))
            }
            Refuses::AnotherHeader => self.transport(0) != 59,
            _ => false,
        });
        refuses.then_some(Says::Drops)
    }

    /// `fragoff` 1, which IPv4 counts in units of eight bytes and IPv6 in bytes.
    fn begins_at_eight(&self) -> bool {
        self.is_v4() && (u16::from(self.network(6)) << 8 | u16::from(self.network(7))) & 0x1fff == 1
    }

    fn network(&self, at: usize) -> u8 {
        self.wire.network_bytes().get(at).copied().unwrap_or(0)
    }

    pub(super) fn transport(&self, at: usize) -> u8 {
        self.wire.transport_bytes().get(at).copied().unwrap_or(0)
    }

    pub(super) fn number(&self, at: usize) -> u32 {
        (at..at + 4).fold(0, |sum, at| sum << 8 | u32::from(self.transport(at)))
    }

    pub(super) fn port_numbers(&self) -> (u16, u16) {
        let [a, b, c, d] = self.number(0).to_be_bytes();
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    pub(super) fn ports(&self, of: &Ports) -> bool {
        let (source, dest) = self.port_numbers();
        of.contains(source, dest)
    }

    pub(super) fn tcp(&self, of: &Tcp) -> Says {
        if !self.ports(&of.ports) || !of.flags.contains(self.transport(13)) {
            return Says::Holds(false);
        }
        let Some(option) = of.option else { return Says::Holds(true) };
        match self.options() {
            None => Says::Drops,
            Some(options) => Says::Holds(tcp_option(options, option.value).is_some() != option.invert),
        }
    }

    /// The options of TCP; none if the header says that it is shorter than 20 bytes, or is not all there.
    fn options(&self) -> Option<&[u8]> {
        let len = usize::from(self.transport(12) >> 4) * 4;
        self.wire.transport_bytes().get(TCP_HEADER..len)
    }

    pub(super) fn tcpmss(&self, of: TcpMss) -> Says {
        match self.options() {
            None => Says::Drops,
            Some(options) => Says::Holds(of.contains(options)),
        }
    }

    /// Chunks are not followed.
    pub(super) fn sctp(&self, of: &Sctp) -> Says {
        match (self.ports(&of.ports), &of.chunks) {
            (true, Some(_)) => Says::Asks,
            (holds, _) => Says::Holds(holds),
        }
    }

    pub(super) fn dccp(&self, of: &Dccp) -> Says {
        let holds = self.ports(&of.ports) && of.of_type(self.transport(8) >> 1 & 0x0f);
        if holds && of.option.is_some() { Says::Asks } else { Says::Holds(holds) }
    }

    pub(super) fn mobility(&self, of: Within<u8>) -> Says {
        Says::Holds(of.contains(self.transport(2)))
    }

    pub(super) fn hops(&self) -> u8 {
        self.network(if self.is_v4() { 8 } else { 7 })
    }

    pub(super) fn dsfield(&self) -> u8 {
        if self.is_v4() { self.network(1) } else { self.network(0) << 4 | self.network(1) >> 4 }
    }

    pub(super) fn ecn(&self, of: Ecn) -> bool {
        let bit = |wanted: Option<bool>, mask: u8| {
            let there = self.wire.transport_bytes().len() >= TCP_HEADER;
            wanted.is_none_or(|wanted| there && (self.transport(13) & mask != 0) == wanted)
        };
        of.ip.is_none_or(|ip| ip.contains(&(self.dsfield() & 3))) && bit(of.ece, 0x40) && bit(of.cwr, 0x80)
    }

    pub(super) fn addrs(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        let bytes = self.wire.network_bytes();
        let four = |at: usize| {
            let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(IpAddr::from(Ipv4Addr::from(octets)))
        };
        let six = |at: usize| {
            let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(octets)))
        };
        match self.packet.family {
            Family::V4 => (four(12), four(16)),
            Family::V6 => (six(8), six(24)),
        }
    }

    /// A header of IPv6: what is asked of it is not followed.
    pub(super) fn header(&self, kind: u8) -> Says {
        let there = self.packet.extensions.iter().any(|(known, _)| *known == kind);
        if there { Says::Asks } else { Says::Holds(false) }
    }

    /// The bits of `ipv6header` for the headers that are there.
    pub(super) fn headers(&self) -> u8 {
        const PROTO: u8 = 1;
        let bit = |kind: u8| match kind {
            0 => 128,
            60 => 64,
            43 => 32,
            44 => 16,
            51 => 8,
            50 => 4,
            59 => 2,
            _ => 0,
        };
        let kinds = self.packet.extensions.iter().map(|(kind, _)| *kind);
        let present = kinds.chain([self.packet.l4proto]).fold(0, |bits, kind| bits | bit(kind));
        // ESP and "nothing follows" are the end; anything else has something behind.
        if matches!(self.packet.l4proto, 50 | 59) { present } else { present | PROTO }
    }

    /// Without the text anywhere it is not found; where exactly it must be, kernels do not agree.
    pub(super) fn text(&self, of: &Text) -> Says {
        let same =
            |one: &[u8]| if of.ignore_case { one.eq_ignore_ascii_case(&of.text) } else { one == of.text };
        let anywhere = of.text.is_empty() || self.wire.network_bytes().windows(of.text.len()).any(same);
        if anywhere { Says::Asks } else { Says::Holds(of.invert) }
    }

    /// The link header, where it is that of Ethernet.
    pub(super) fn ethernet(&self) -> Option<&[u8]> {
        const HEADER: usize = 14;
        const LOOPBACK: u32 = 1;
        let arrives = matches!(self.packet.hook, Hook::Prerouting | Hook::Input | Hook::Forward);
        let device = self.packet.iif.as_ref().filter(|device| device.index != LOOPBACK);
        let link = &self.packet.link;
        (arrives && device.is_some() && link.len() == HEADER).then_some(link)
    }
}
