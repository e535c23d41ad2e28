//! Protocol headers: their fields, where they lie and how one header says which comes next; knows no packet.

use super::types::Ty;

/// Layers of a packet, as nft counts them (`enum proto_bases`).
pub(super) mod layer {
    /// None, or not known.
    pub(in super::super) const NONE: usize = 0;
    /// Link.
    pub(in super::super) const LINK: usize = 1;
    /// Network.
    pub(in super::super) const NETWORK: usize = 2;
    /// Transport.
    pub(in super::super) const TRANSPORT: usize = 3;
    /// Behind the transport header.
    pub(in super::super) const INNER: usize = 4;
}

/// A field of a header; offset and length in bits.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) ty: Ty,
    pub(super) offset: u32,
    pub(super) bits: u32,
    /// The ICMP type in which alone the field has this meaning.
    pub(super) icmp_type: Option<u8>,
}

const fn field(name: &'static str, ty: Ty, offset: u32, bits: u32) -> Field {
    Field { name, ty, offset, bits, icmp_type: None }
}

const fn number(name: &'static str, offset: u32, bits: u32) -> Field {
    field(name, Ty::Integer, offset, bits)
}

const fn icmp(name: &'static str, offset: u32, bits: u32, icmp_type: u8) -> Field {
    Field { icmp_type: Some(icmp_type), ..number(name, offset, bits) }
}

/// A header; some stand for what is known of a packet without being one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Header {
    Ah,
    Esp,
    Comp,
    Icmp,
    Igmp,
    Udp,
    Udplite,
    Tcp,
    Dccp,
    Sctp,
    /// The ports that several protocols have in the same place.
    Th,
    Ip,
    Ip6,
    Icmp6,
    Arp,
    Vlan,
    Ether,
    /// The family inet: either IPv4 or IPv6 follows.
    Inet,
    /// The family netdev: the ethertype is known without a link header.
    Netdev,
    /// Something that nft has no fields for.
    Unknown,
}

use Header::{
    Ah, Arp, Comp, Dccp, Esp, Ether, Icmp, Icmp6, Igmp, Inet, Ip, Ip6, Netdev, Sctp, Tcp, Th, Udp, Udplite,
    Unknown, Vlan,
};

const SPORT: Field = field("sport", Ty::Service, 0, 16);
const DPORT: Field = field("dport", Ty::Service, 16, 16);

/// Transport protocols by number, as the IP headers name them.
const TRANSPORTS: &[(u32, Header)] = &[
    (1, Icmp),
    (2, Igmp),
    (58, Icmp6),
    (50, Esp),
    (51, Ah),
    (108, Comp),
    (17, Udp),
    (136, Udplite),
    (6, Tcp),
    (33, Dccp),
    (132, Sctp),
];

/// Those that may follow an authentication or compression header.
const INNER_TRANSPORTS: &[(u32, Header)] =
    &[(50, Esp), (51, Ah), (108, Comp), (17, Udp), (136, Udplite), (6, Tcp), (33, Dccp), (132, Sctp)];

/// What follows a link header, by ethertype.
const NETWORKS: &[(u32, Header)] =
    &[(0x0800, Ip), (0x0806, Arp), (0x86dd, Ip6), (0x8100, Vlan), (0x88a8, Vlan)];

impl Header {
    /// nft's number in `typeof` data (`enum proto_desc_id`).
    pub(super) const fn from_number(number: u32) -> Option<Header> {
        Some(match number {
            1 => Ah,
            2 => Esp,
            3 => Comp,
            4 => Icmp,
            5 => Igmp,
            6 => Udp,
            7 => Udplite,
            8 => Tcp,
            9 => Dccp,
            10 => Sctp,
            11 => Th,
            12 => Ip,
            13 => Ip6,
            14 => Icmp6,
            15 => Arp,
            16 => Vlan,
            17 => Ether,
            _ => return None,
        })
    }

    /// nft's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Ah => "ah",
            Esp => "esp",
            Comp => "comp",
            Icmp => "icmp",
            Igmp => "igmp",
            Udp => "udp",
            Udplite => "udplite",
            Tcp => "tcp",
            Dccp => "dccp",
            Sctp => "sctp",
            Th => "th",
            Ip => "ip",
            Ip6 => "ip6",
            Icmp6 => "icmpv6",
            Arp => "arp",
            Vlan => "vlan",
            Ether => "ether",
            Inet => "inet",
            Netdev => "netdev",
            Unknown => "unknown",
        }
    }

    /// The layer it belongs to.
    pub(super) const fn layer(self) -> usize {
        match self {
            Ether | Vlan | Inet | Netdev => layer::LINK,
            Ip | Ip6 | Arp => layer::NETWORK,
            Unknown => layer::NONE,
            _ => layer::TRANSPORT,
        }
    }

    /// Bits of a link header, after which another may follow.
    pub(super) const fn bits(self) -> u32 {
        match self {
            Ether => 112,
            Vlan => 32,
            _ => 0,
        }
    }

    /// The header that a number in this one announces.
    pub(super) fn next(self, number: u32) -> Option<Header> {
        let table: &[(u32, Header)] = match self {
            Ip | Ip6 => TRANSPORTS,
            Ah | Comp => INNER_TRANSPORTS,
            Ether | Vlan | Netdev => NETWORKS,
            Inet => &[(2, Ip), (10, Ip6)],
            _ => &[],
        };
        table.iter().find(|(n, _)| *n == number).map(|(_, h)| *h)
    }

    /// The header of a transport protocol, whatever the network layer.
    pub(super) fn transport(number: u32) -> Option<Header> {
        Ip.next(number)
    }

    /// Whether this field announces the next header.
    pub(super) fn announces(self, field: &Field) -> bool {
        matches!(
            (self, field.name),
            (Ip, "protocol") | (Ip6 | Ah | Comp, "nexthdr") | (Ether | Vlan | Icmp | Icmp6, "type")
        )
    }

    /// The fields in the order of nft, which is mostly that of the packet.
    pub(super) const fn fields(self) -> &'static [Field] {
        match self {
            Ah => {
                const {
                    &[
                        field("nexthdr", Ty::Proto, 0, 8),
                        number("hdrlength", 8, 8),
                        number("reserved", 16, 16),
                        number("spi", 32, 32),
                        number("sequence", 64, 32),
                    ]
                }
            }
            Esp => const { &[number("spi", 0, 32), number("sequence", 32, 32)] },
            Comp => {
                const {
                    &[
                        field("nexthdr", Ty::Proto, 0, 8),
                        field("flags", Ty::Bitmask, 8, 8),
                        number("cpi", 16, 16),
                    ]
                }
            }
            Icmp => {
                const {
                    &[
                        field("type", Ty::IcmpType, 0, 8),
                        field("code", Ty::IcmpCode, 8, 8),
                        number("checksum", 16, 16),
                        icmp("id", 32, 16, 8),
                        icmp("sequence", 48, 16, 8),
                        icmp("gateway", 32, 32, 5),
                        icmp("mtu", 48, 16, 3),
                    ]
                }
            }
            Igmp => {
                const {
                    &[
                        field("type", Ty::IgmpType, 0, 8),
                        number("mrt", 8, 8),
                        number("checksum", 16, 16),
                        number("group", 32, 32),
                    ]
                }
            }
            Udp => const { &[SPORT, DPORT, number("length", 32, 16), number("checksum", 48, 16)] },
            Udplite => const { &[SPORT, DPORT, number("csumcov", 32, 16), number("checksum", 48, 16)] },
            Tcp => {
                const {
                    &[
                        SPORT,
                        DPORT,
                        number("sequence", 32, 32),
                        number("ackseq", 64, 32),
                        number("doff", 96, 4),
                        number("reserved", 100, 4),
                        field("flags", Ty::TcpFlag, 104, 8),
                        number("window", 112, 16),
                        number("checksum", 128, 16),
                        number("urgptr", 144, 16),
                    ]
                }
            }
            Dccp => const { &[SPORT, DPORT, field("type", Ty::DccpType, 67, 4)] },
            Sctp => const { &[SPORT, DPORT, number("vtag", 32, 32), number("checksum", 64, 32)] },
            Th => const { &[SPORT, DPORT] },
            Ip => {
                const {
                    &[
                        number("version", 0, 4),
                        number("hdrlength", 4, 4),
                        field("dscp", Ty::Dscp, 8, 6),
                        field("ecn", Ty::Ecn, 14, 2),
                        number("length", 16, 16),
                        number("id", 32, 16),
                        number("frag-off", 48, 16),
                        number("ttl", 64, 8),
                        field("protocol", Ty::Proto, 72, 8),
                        number("checksum", 80, 16),
                        field("saddr", Ty::Ip4, 96, 32),
                        field("daddr", Ty::Ip4, 128, 32),
                    ]
                }
            }
            Ip6 => {
                const {
                    &[
                        number("version", 0, 4),
                        field("dscp", Ty::Dscp, 4, 6),
                        field("ecn", Ty::Ecn, 10, 2),
                        number("flowlabel", 12, 20),
                        number("length", 32, 16),
                        field("nexthdr", Ty::Proto, 48, 8),
                        number("hoplimit", 56, 8),
                        field("saddr", Ty::Ip6, 64, 128),
                        field("daddr", Ty::Ip6, 192, 128),
                    ]
                }
            }
            Icmp6 => {
                const {
                    &[
                        field("type", Ty::Icmp6Type, 0, 8),
                        field("code", Ty::Icmp6Code, 8, 8),
                        number("checksum", 16, 16),
                        icmp("parameter-problem", 32, 32, 4),
                        icmp("mtu", 32, 32, 2),
                        icmp("id", 32, 16, 128),
                        icmp("sequence", 48, 16, 128),
                        icmp("max-delay", 32, 16, 130),
                    ]
                }
            }
            Arp => {
                const {
                    &[
                        number("htype", 0, 16),
                        field("ptype", Ty::EtherType, 16, 16),
                        number("hlen", 32, 8),
                        number("plen", 40, 8),
                        field("operation", Ty::ArpOp, 48, 16),
                        field("saddr ether", Ty::Ether, 64, 48),
                        field("saddr ip", Ty::Ip4, 112, 32),
                        field("daddr ether", Ty::Ether, 144, 48),
                        field("daddr ip", Ty::Ip4, 192, 32),
                    ]
                }
            }
            Vlan => {
                const {
                    &[
                        number("pcp", 0, 3),
                        number("dei", 3, 1),
                        number("cfi", 3, 1),
                        number("id", 4, 12),
                        field("type", Ty::EtherType, 16, 16),
                    ]
                }
            }
            Ether => {
                const {
                    &[
                        field("daddr", Ty::Ether, 0, 48),
                        field("saddr", Ty::Ether, 48, 48),
                        field("type", Ty::EtherType, 96, 16),
                    ]
                }
            }
            Inet | Netdev | Unknown => &[],
        }
    }
}

/// An extension header or option: number, name, fields.
pub(super) struct Extension {
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

const fn extension(number: u8, name: &'static str, fields: &'static [Field]) -> Extension {
    Extension { number, name, fields }
}

/// IPv6 extension headers, in nft's order (`enum exthdr_desc_id`, from 1).
pub(super) const IPV6_EXTENSIONS: &[Extension] = &[
    extension(0, "hbh", &[field("nexthdr", Ty::Proto, 0, 8), number("hdrlength", 8, 8)]),
    extension(
        43,
        "rt",
        &[
            field("nexthdr", Ty::Proto, 0, 8),
            number("hdrlength", 8, 8),
            number("type", 16, 8),
            number("seg-left", 24, 8),
        ],
    ),
    extension(
        43,
        "rt0",
        &[
            number("reserved", 32, 32),
            field("addr[1]", Ty::Ip6, 64, 128),
            field("addr[2]", Ty::Ip6, 192, 128),
        ],
    ),
    extension(43, "rt2", &[]),
    extension(
        43,
        "srh",
        &[
            number("last-entry", 32, 8),
            number("flags", 40, 8),
            number("tag", 48, 16),
            field("sid[1]", Ty::Ip6, 64, 128),
            field("sid[2]", Ty::Ip6, 192, 128),
        ],
    ),
    extension(
        44,
        "frag",
        &[
            field("nexthdr", Ty::Proto, 0, 8),
            number("reserved", 8, 8),
            number("frag-off", 16, 13),
            number("reserved2", 29, 2),
            number("more-fragments", 31, 1),
            number("id", 32, 32),
        ],
    ),
    extension(60, "dst", &[field("nexthdr", Ty::Proto, 0, 8), number("hdrlength", 8, 8)]),
    extension(
        135,
        "mh",
        &[
            field("nexthdr", Ty::Proto, 0, 8),
            number("hdrlength", 8, 8),
            field("type", Ty::MhType, 16, 8),
            number("reserved", 24, 8),
            number("checksum", 32, 16),
        ],
    ),
];

const KIND: Field = number("kind", 0, 8);
const LENGTH: Field = number("length", 8, 8);

/// TCP options.
pub(super) const TCP_OPTIONS: &[Extension] = &[
    extension(0, "eol", &[KIND]),
    extension(1, "nop", &[KIND]),
    extension(2, "maxseg", &[KIND, LENGTH, number("size", 16, 16)]),
    extension(3, "window", &[KIND, LENGTH, number("count", 16, 8)]),
    extension(4, "sack-perm", &[KIND, LENGTH]),
    extension(
        5,
        "sack",
        &[
            KIND,
            LENGTH,
            number("left", 16, 32),
            number("right", 48, 32),
            number("left", 80, 32),
            number("right", 112, 32),
            number("left", 144, 32),
            number("right", 176, 32),
            number("left", 208, 32),
            number("right", 240, 32),
        ],
    ),
    extension(8, "timestamp", &[KIND, LENGTH, number("tsval", 16, 32), number("tsecr", 48, 32)]),
    extension(19, "md5sig", &[KIND, LENGTH]),
    extension(30, "mptcp", &[KIND, LENGTH, number("subtype", 16, 4)]),
    extension(34, "fastopen", &[KIND, LENGTH]),
];

const TYPE: Field = number("type", 0, 8);
const ROUTE_FIELDS: &[Field] = &[TYPE, LENGTH, number("ptr", 16, 8), number("addr", 24, 32)];

/// IPv4 options.
pub(super) const IPV4_OPTIONS: &[Extension] = &[
    extension(131, "lsrr", ROUTE_FIELDS),
    extension(7, "rr", ROUTE_FIELDS),
    extension(137, "ssrr", ROUTE_FIELDS),
    extension(148, "ra", &[TYPE, LENGTH, number("value", 16, 16)]),
];

const CHUNK_FLAGS: Field = number("flags", 8, 8);
const CHUNK_LENGTH: Field = number("length", 16, 16);
const CHUNK: &[Field] = &[TYPE, CHUNK_FLAGS, CHUNK_LENGTH];
const CHUNK_INIT: &[Field] = &[
    TYPE,
    CHUNK_FLAGS,
    CHUNK_LENGTH,
    number("init-tag", 32, 32),
    number("a-rwnd", 64, 32),
    number("num-outbound-streams", 96, 16),
    number("num-inbound-streams", 112, 16),
    number("initial-tsn", 128, 32),
];

/// SCTP chunks.
pub(super) const SCTP_CHUNKS: &[Extension] = &[
    extension(
        0,
        "data",
        &[
            TYPE,
            CHUNK_FLAGS,
            CHUNK_LENGTH,
            number("tsn", 32, 32),
            number("stream", 64, 16),
            number("ssn", 80, 16),
            number("ppid", 96, 32),
        ],
    ),
    extension(1, "init", CHUNK_INIT),
    extension(2, "init-ack", CHUNK_INIT),
    extension(
        3,
        "sack",
        &[
            TYPE,
            CHUNK_FLAGS,
            CHUNK_LENGTH,
            number("cum-tsn-ack", 32, 32),
            number("a-rwnd", 64, 32),
            number("num-gap-ack-blocks", 96, 16),
            number("num-dup-tsns", 112, 16),
        ],
    ),
    extension(4, "heartbeat", CHUNK),
    extension(5, "heartbeat-ack", CHUNK),
    extension(6, "abort", CHUNK),
    extension(7, "shutdown", &[TYPE, CHUNK_FLAGS, CHUNK_LENGTH, number("cum-tsn-ack", 32, 32)]),
    extension(8, "shutdown-ack", CHUNK),
    extension(9, "error", CHUNK),
    extension(10, "cookie-echo", CHUNK),
    extension(11, "cookie-ack", CHUNK),
    extension(12, "ecne", &[TYPE, CHUNK_FLAGS, CHUNK_LENGTH, number("lowest-tsn", 32, 32)]),
    extension(13, "cwr", &[TYPE, CHUNK_FLAGS, CHUNK_LENGTH, number("lowest-tsn", 32, 32)]),
    extension(14, "shutdown-complete", CHUNK),
    extension(128, "asconf-ack", &[TYPE, CHUNK_FLAGS, CHUNK_LENGTH, number("seqno", 32, 32)]),
    extension(192, "forward-tsn", &[TYPE, CHUNK_FLAGS, CHUNK_LENGTH, number("new-cum-tsn", 32, 32)]),
    extension(193, "asconf", &[TYPE, CHUNK_FLAGS, CHUNK_LENGTH, number("seqno", 32, 32)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_inside_of_their_headers() {
        for number in 1..=17 {
            let header = Header::from_number(number).unwrap();
            assert!(!header.fields().is_empty(), "{header:?}");
            if header.bits() > 0 {
                let end = header.fields().iter().map(|f| f.offset + f.bits).max();
                assert_eq!(end, Some(header.bits()), "{header:?}");
            }
        }
    }

    #[test]
    fn headers_announce_the_next() {
        assert_eq!(Inet.next(2), Some(Ip));
        assert_eq!(Ether.next(0x86dd), Some(Ip6));
        assert_eq!(Ip6.next(6), Some(Tcp));
        assert_eq!(Tcp.next(6), None);
        let announcing: Vec<_> = Ip.fields().iter().filter(|f| Ip.announces(f)).collect();
        assert_eq!(announcing.len(), 1);
    }
}
