//! Extension headers of IPv6 and options of IPv4 and TCP, found as the kernel finds them; judges nothing.

use super::Packet;
use super::wire::Wire;
use crate::net::Family;
use crate::ruleset::exthdr;

/// What a load from a header or option came to.
pub(super) enum Found<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// It is there, but too short.
    Short,
    /// It is not there.
    Absent,
    /// The packet is of another family.
    Foreign,
    /// Whether the kernel accepts these options depends on more than the packet.
    Unknown,
    /// There is no such kind of headers.
    NoKind,
}

/// Looks for header or option `number` of kind `op`, and `len` bytes at `offset` in it.
pub(super) fn find<'w>(
    packet: &Packet,
    wire: &'w Wire,
    (op, number): (u32, u8),
    offset: u32,
    len: u32,
) -> Found<'w> {
    match op {
        exthdr::IPV6 => extension(packet, wire, number, offset, len),
        exthdr::TCPOPT if !wire.knows_transport(12..60) => Found::Unknown,
        exthdr::TCPOPT => tcp_option(wire, number, offset, len),
        exthdr::IPV4 => ip_option(packet, wire, number, offset, len),
        // Chunks of SCTP and DCCP options: kernels differ.
        exthdr::SCTP | 4 => Found::Unknown,
        _ => Found::NoKind,
    }
}

fn at(wire: &Wire, start: usize, offset: u32, len: u32) -> Found<'_> {
    let bytes = u32::try_from(start).ok().and_then(|start| start.checked_add(offset));
    match bytes.and_then(|offset| wire.network(offset, len)) {
        Some(bytes) => Found::Bytes(bytes),
        None => Found::Short,
    }
}

/// `ipv6_find_hdr`: also finds the transport header by its number, but nothing behind a later fragment's.
fn extension<'w>(packet: &Packet, wire: &'w Wire, number: u8, offset: u32, len: u32) -> Found<'w> {
    const FRAGMENT: u8 = 44;
    if packet.family != Family::V6 {
        return Found::Foreign;
    }
    let mut start = packet.network.len();
    for (kind, bytes) in &packet.extensions {
        if *kind == number {
            return at(wire, start, offset, len);
        }
        if *kind == FRAGMENT && packet.later_fragment {
            return Found::Absent;
        }
        start += bytes.len();
    }
    if packet.l4proto == number && !packet.later_fragment {
        return at(wire, start, offset, len);
    }
    Found::Absent
}

/// `nft_exthdr_tcp_eval`: the first option of this kind; one that does not fit counts as not there.
fn tcp_option(wire: &Wire, number: u8, offset: u32, len: u32) -> Found<'_> {
    let Some(header) = wire.tcp() else { return Found::Absent };
    let mut start = 20;
    while start + 1 < header.len() {
        let size = match header[start..] {
            // Beware of options of length 0: each round must lead on.
            [0 | 1, ..] | [_, 0, ..] => 1,
            [_, size, ..] => usize::from(size),
            _ => return Found::Absent,
        };
        if header[start] != number {
            start += size;
            continue;
        }
        let Some(option) = header.get(start..start + size) else { return Found::Absent };
        let (Ok(from), Ok(len)) = (usize::try_from(offset), usize::try_from(len)) else {
            return Found::Absent;
        };
        return match from.checked_add(len).and_then(|end| option.get(from..end)) {
            Some(bytes) => Found::Bytes(bytes),
            None => Found::Absent,
        };
    }
    Found::Absent
}

const ROUTE: u8 = 7;
const LOOSE: u8 = 131;
const STRICT: u8 = 137;
const ALERT: u8 = 148;

/// `ipv4_find_option` with `__ip_options_compile`: one option that is not in order hides all of them.
fn ip_option<'w>(packet: &Packet, wire: &'w Wire, number: u8, offset: u32, len: u32) -> Found<'w> {
    if packet.family != Family::V4 {
        return Found::Foreign;
    }
    if !matches!(number, ROUTE | LOOSE | STRICT | ALERT) {
        return Found::Absent;
    }
    let header = wire.network(0, u32::try_from(packet.network.len()).unwrap_or(0)).unwrap_or(&[]);
    let mut found = None;
    let mut seen = Vec::new();
    let mut start = 20;
    while start < header.len() {
        let option = match header[start..] {
            [0, ..] => break,
            [1, ..] => {
                start += 1;
                continue;
            }
            [_, size, ..] if size >= 2 => match header.get(start..start + usize::from(size)) {
                Some(option) => option,
                None => return Found::Absent,
            },
            _ => return Found::Absent,
        };
        let kind = option[0];
        // Both kinds of source routes share one place.
        let place = if kind == LOOSE { STRICT } else { kind };
        match in_order(option) {
            Some(true) if !seen.contains(&place) || kind == ALERT => {}
            Some(_) => return Found::Absent,
            None => return Found::Unknown,
        }
        seen.push(place);
        let alerts = kind != ALERT || option[2..4] == [0, 0];
        if kind == number && alerts {
            found = Some(start);
        }
        start += option.len();
    }
    match found {
        Some(start) => at(wire, start, offset, len),
        None => Found::Absent,
    }
}

/// Whether the kernel takes this option; none where that depends on more than its bytes.
fn in_order(option: &[u8]) -> Option<bool> {
    let (size, pointer) = (option.len(), option.get(2).copied().map_or(0, usize::from));
    match option[0] {
        LOOSE | STRICT => Some(size >= 7 && pointer == 4 && (size - 3).is_multiple_of(4)),
        ROUTE => Some(size >= 3 && pointer >= 4 && (pointer > size || pointer + 3 <= size)),
        ALERT => Some(size >= 4),
        _ => None,
    }
}
