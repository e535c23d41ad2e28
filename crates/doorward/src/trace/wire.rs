//! The bytes of a packet in one piece, and where its headers begin; follows no rule.

use super::Packet;
use crate::ruleset::PayloadBase;
use std::ops::Range;

const TCP: u8 = 6;
const UDP: u8 = 17;
const GRE: u8 = 47;
const IPIP: u8 = 4;
const DCCP: u8 = 33;
const SCTP: u8 = 132;

/// The bytes of a packet, as rules may change them.
pub(super) struct Wire {
    bytes: Vec<u8>,
    network: usize,
    transport: usize,
    l4proto: u8,
    later_fragment: bool,
    /// Where values were written that nobody can know.
    forgotten: Vec<Range<usize>>,
    /// Something was put in that is not there in every such packet: its length is not known.
    pub(super) stretched: bool,
}

impl Wire {
    pub(super) fn of(packet: &Packet) -> Wire {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&packet.link);
        bytes.extend_from_slice(&packet.network);
        for (_, header) in &packet.extensions {
            bytes.extend_from_slice(header);
        }
        let transport = bytes.len();
        bytes.extend_from_slice(&packet.transport);
        Wire {
            bytes,
            network: packet.link.len(),
            transport,
            l4proto: packet.l4proto,
            later_fragment: packet.later_fragment,
            forgotten: Vec::new(),
            stretched: false,
        }
    }

    /// Length as the network layer sees it.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.network
    }

    /// Bytes of the packet: from a header on, across the ones behind it, as the kernel copies them.
    pub(super) fn load(&self, base: PayloadBase, offset: u32, len: u32) -> Option<&[u8]> {
        self.from(self.base(base)?, offset, len)
    }

    /// Whether the whole transport header is surely there, chunks and options included.
    pub(super) fn is_whole(&self) -> bool {
        const LONGEST_WITHOUT_OPTIONS: usize = 20;
        let there = self.bytes.len() - self.transport;
        match self.l4proto {
            _ if self.later_fragment => false,
            TCP => self.tcp().is_some(),
            DCCP | SCTP => false,
            _ => there >= LONGEST_WITHOUT_OPTIONS,
        }
    }

    /// What kernels find that forget to look whether a packet is a later fragment, as `nft_payload_fast_eval`
    /// does up to Linux 6.18: short loads within words only. In IPv6 they know no place of a transport header
    /// and read from the start of the packet.
    pub(super) fn mistaken(&self, base: PayloadBase, offset: u32, len: u32) -> Option<&[u8]> {
        let short = matches!(len, 1 | 2 | 4) && offset.is_multiple_of(len);
        if base != PayloadBase::Transport || !self.later_fragment || !short {
            return None;
        }
        let four = self.bytes.get(self.network).is_some_and(|first| first >> 4 == 4);
        self.from(if four { self.transport } else { self.network }, offset, len)
    }

    /// Bytes behind the start of the network header.
    pub(super) fn network(&self, offset: u32, len: u32) -> Option<&[u8]> {
        self.from(self.network, offset, len)
    }

    /// All of the packet from the header of IP on.
    pub(super) fn network_bytes(&self) -> &[u8] {
        &self.bytes[self.network..]
    }

    /// All that stands behind the headers of IP; of a later fragment, no header.
    pub(super) fn transport_bytes(&self) -> &[u8] {
        &self.bytes[self.transport..]
    }

    /// The TCP header with its options; none if there is no whole one.
    pub(super) fn tcp(&self) -> Option<&[u8]> {
        if self.l4proto != TCP || self.later_fragment {
            return None;
        }
        let header = self.bytes.get(self.transport..)?;
        let len = tcp_len(header)?;
        if len < 20 { None } else { header.get(..len) }
    }

    /// Writes into the packet; says whether the bytes are there.
    pub(super) fn store(&mut self, base: PayloadBase, offset: u32, data: &[u8]) -> bool {
        let Some(span) = self.span(base, offset, data.len()) else { return false };
        self.bytes[span.clone()].copy_from_slice(data);
        self.forgotten.retain(|known| known.start < span.start || span.end < known.end);
        true
    }

    /// What stands there cannot be known any more. Says whether the bytes are there.
    pub(super) fn forget(&mut self, base: PayloadBase, offset: u32, len: usize) -> bool {
        let span = self.span(base, offset, len);
        self.forgotten.extend(span.clone());
        span.is_some()
    }

    /// The same of all that stands behind the first so many bytes of the transport header.
    pub(super) fn forget_behind(&mut self, offset: usize) {
        self.forgotten.push(self.transport + offset..usize::MAX);
    }

    /// Whether all bytes can be known.
    pub(super) fn is_known(&self) -> bool {
        self.forgotten.is_empty()
    }

    /// Whether these bytes can be known.
    pub(super) fn knows(&self, base: PayloadBase, offset: u32, len: usize) -> bool {
        self.span(base, offset, len).is_none_or(|span| self.knows_span(&span))
    }

    /// The same of bytes from the header of IP on.
    pub(super) fn knows_network(&self, bytes: Range<usize>) -> bool {
        self.knows_span(&(self.network + bytes.start..self.network.saturating_add(bytes.end)))
    }

    /// The same behind the headers of IP.
    pub(super) fn knows_transport(&self, bytes: Range<usize>) -> bool {
        self.knows_span(&(self.transport + bytes.start..self.transport.saturating_add(bytes.end)))
    }

    fn knows_span(&self, span: &Range<usize>) -> bool {
        self.forgotten.iter().all(|known| known.end <= span.start || span.end <= known.start)
    }

    fn span(&self, base: PayloadBase, offset: u32, len: usize) -> Option<Range<usize>> {
        let start = self.base(base)?.checked_add(usize::try_from(offset).ok()?)?;
        let end = start.checked_add(len)?;
        (end <= self.bytes.len()).then_some(start..end)
    }

    fn from(&self, base: usize, offset: u32, len: u32) -> Option<&[u8]> {
        let start = base.checked_add(usize::try_from(offset).ok()?)?;
        self.bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }

    fn base(&self, base: PayloadBase) -> Option<usize> {
        match base {
            // A packet of this host has no link header yet.
            PayloadBase::Link => (self.network > 0).then_some(0),
            PayloadBase::Network => Some(self.network),
            PayloadBase::Transport => (!self.later_fragment).then_some(self.transport),
            PayloadBase::Inner if self.later_fragment => None,
            PayloadBase::Inner => Some(self.transport + inner(self.l4proto, &self.bytes[self.transport..])?),
            PayloadBase::Other(_) => None,
        }
    }
}

impl Packet {
    /// What stands behind the transport header, where the kernel finds it (`nft_payload_inner_offset`).
    #[must_use]
    pub fn inner(&self) -> Option<&[u8]> {
        let at = inner(self.l4proto, &self.transport).filter(|_| !self.later_fragment)?;
        self.transport.get(at..)
    }
}

/// Where the payload begins, counted from the transport header.
fn inner(l4proto: u8, header: &[u8]) -> Option<usize> {
    match l4proto {
        UDP => Some(8),
        TCP => tcp_len(header),
        GRE => gre_len(header),
        IPIP => Some(0),
        _ => None,
    }
}

/// What the header says of its own length, however short.
fn tcp_len(header: &[u8]) -> Option<usize> {
    let header = header.get(..20)?;
    Some(usize::from(header[12] >> 4) * 4)
}

/// Version 0 without routing only, as in `nft_payload.c`.
fn gre_len(header: &[u8]) -> Option<usize> {
    let [first, second, ..] = *header.get(..4)? else { return None };
    if second & 7 != 0 || first & 0x40 != 0 {
        return None;
    }
    let word = |bit: u8| if first & bit != 0 { 4 } else { 0 };
    Some(4 + word(0x80) + word(0x20) + word(0x10))
}
