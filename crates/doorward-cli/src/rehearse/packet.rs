//! The bytes of a probe's packet, with the probe's number where it can be read back; sends nothing.

use doorward::meaning::{Connection, Packet, Path};
use doorward::net::Proto;
use std::net::IpAddr;

/// The upper bits of every number, so that no other packet is taken for a probe.
pub(super) const MAGIC: u32 = 0xd00 << 20;
/// The bits of [`MAGIC`].
pub(super) const MAGIC_MASK: u32 = 0xfff << 20;

/// Where the number stands behind the start of the transport header.
pub(super) const fn mark_offset(proto: Proto) -> u32 {
    match proto {
        Proto::UDP => 8,
        Proto::SCTP => 16,
        _ => 4,
    }
}

/// Why no packet of a protocol is made here.
pub(super) fn unsendable(connection: &Connection) -> Option<&'static str> {
    /// Extension headers of IPv6, which are no protocols there, and what must carry more than a number.
    const HEADERS: [u8; 6] = [0, 43, 44, 59, 60, 135];
    match connection.packet {
        Packet::Other(proto) if matches!(proto.0, 33 | 136) => Some("no packets of this protocol are made"),
        Packet::Other(proto) if connection.from.is_ipv6() && HEADERS.contains(&proto.0) => {
            Some("this is no protocol in IPv6")
        }
        _ => None,
    }
}

/// The whole packet, IP header included, as the opener sends it.
pub(super) fn build(connection: &Connection, mark: u32) -> Vec<u8> {
    let to = connection.addressed();
    let proto = connection.proto();
    let mut segment = segment(connection, mark);
    match proto {
        Proto::SCTP => {
            let sum = crc32c(&segment).to_le_bytes();
            segment[8..12].copy_from_slice(&sum);
        }
        Proto::TCP => put_checksum(&mut segment, 16, connection.from, to, proto),
        Proto::UDP => put_checksum(&mut segment, 6, connection.from, to, proto),
        Proto::ICMPV6 => put_checksum(&mut segment, 2, connection.from, to, proto),
        Proto::ICMP => {
            let sum = checksum(&[&segment]);
            segment[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        // The kernel refuses with an error only what looks whole, and looks for this checksum in protocols
        // that it does not know.
        Proto(47 | 50 | 51) => {}
        _ => {
            let sum = if to.is_ipv4() {
                checksum(&[&segment])
            } else {
                with_pseudo(&segment, connection.from, to, proto)
            };
            segment[2..4].copy_from_slice(&sum.to_be_bytes());
        }
    }
    let hops = match connection.packet {
        Packet::Icmp { hops, .. } => hops,
        _ => 64,
    };
    let mut packet = header(connection.from, to, proto, hops, segment.len());
    packet.extend(segment);
    packet
}

fn header(from: IpAddr, to: IpAddr, proto: Proto, hops: u8, len: usize) -> Vec<u8> {
    let len = u16::try_from(len).unwrap_or(0);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // Number and checksum of the packet are the kernel's to fill in.
            let mut bytes = vec![0x45, 0];
            bytes.extend((len + 20).to_be_bytes());
            bytes.extend([0, 0, 0, 0, hops, proto.0, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes
        }
        _ => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend(len.to_be_bytes());
            bytes.extend([proto.0, hops]);
            bytes.extend(octets(from));
            bytes.extend(octets(to));
            bytes
        }
    }
}

fn segment(connection: &Connection, mark: u32) -> Vec<u8> {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    let mark = mark.to_be_bytes();
    match connection.packet {
        Packet::Ports { proto, from, opens, .. } => {
            let to = connection.port().unwrap_or(0);
            let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
            match proto {
                Proto::TCP => {
                    bytes.extend(mark);
                    bytes.extend([0; 4]);
                    bytes.extend([5 << 4, if opens { SYN } else { ACK }, 0xfa, 0xf0, 0, 0, 0, 0]);
                }
                Proto::SCTP => {
                    // An INIT: no tag yet, checksum, one chunk of 20 bytes.
                    bytes.extend([0; 8]);
                    bytes.extend([1, 0, 0, 20]);
                    bytes.extend(mark);
                    bytes.extend([0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
                }
                _ => {
                    bytes.extend([0, 16, 0, 0]);
                    bytes.extend(mark);
                    bytes.extend([0; 4]);
                }
            }
            bytes
        }
        Packet::Icmp { kind, .. } => {
            let mut bytes = vec![kind, 0, 0, 0];
            bytes.extend(mark);
            // The address that a neighbour is asked for stands here.
            bytes.extend(octets(connection.addressed()));
            bytes.resize(32, 0);
            bytes
        }
        Packet::Other(proto) => {
            const AUTHENTICATION: u8 = 51;
            /// For experiments (RFC 3692); with nothing behind it the packet would be invalid in IPv6.
            const INSIDE: u8 = 253;
            let mut bytes = if proto.0 == AUTHENTICATION { vec![INSIDE, 1, 0, 0] } else { vec![0; 4] };
            bytes.extend(mark);
            bytes.resize(24, 0);
            bytes
        }
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

fn put_checksum(segment: &mut [u8], at: usize, from: IpAddr, to: IpAddr, proto: Proto) {
    let sum = with_pseudo(segment, from, to, proto);
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The checksum over the segment and what of the header belongs to it.
fn with_pseudo(segment: &[u8], from: IpAddr, to: IpAddr, proto: Proto) -> u16 {
    let len = u32::try_from(segment.len()).unwrap_or(0).to_be_bytes();
    checksum(&[&octets(from), &octets(to), &len, &[0, 0, 0, proto.0], segment])
}

/// The checksum of the Internet (RFC 1071) over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits above")]
    let folded = sum as u16;
    // 0 means "none" in UDP.
    if folded == u16::MAX { u16::MAX } else { !folded }
}

/// CRC-32C, as SCTP has it (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    const REFLECTED: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ REFLECTED } else { crc >> 1 };
        }
    }
    !crc
}

/// Whether a probe is sent by the host itself.
pub(super) fn is_sent_here(connection: &Connection) -> bool {
    match &connection.path {
        Path::Out { .. } => true,
        Path::In { iface, .. } => iface == "lo",
        Path::Forward { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // The example of RFC 1071.
        assert_eq!(!checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), 0xddf2);
    }

    #[test]
    fn the_number_stands_where_it_is_looked_for() {
        for (packet, proto) in [
            (Packet::Ports { proto: Proto::TCP, from: 1, to: 2, opens: true }, Proto::TCP),
            (Packet::Ports { proto: Proto::UDP, from: 1, to: 2, opens: true }, Proto::UDP),
            (Packet::Ports { proto: Proto::SCTP, from: 1, to: 2, opens: true }, Proto::SCTP),
            (Packet::Icmp { kind: 8, hops: 64 }, Proto::ICMP),
            (Packet::Other(Proto(47)), Proto(47)),
        ] {
            let connection = Connection {
                path: Path::In { iface: "eth0".into(), addressed: None },
                from: IpAddr::from([198, 51, 100, 7]),
                to: IpAddr::from([192, 0, 2, 1]),
                packet,
            };
            let bytes = build(&connection, MAGIC | 0x4d);
            let at = 20 + usize::try_from(mark_offset(proto)).unwrap();
            assert_eq!(bytes[at..at + 4], (MAGIC | 0x4d).to_be_bytes(), "{proto}");
            assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), bytes.len());
        }
    }
}
