//! nft's data types: their numbers, names and how a value of each is written; knows no rule and no set.

use super::Style;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Byte order of a value in a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Order {
    /// None said; read as network order.
    #[default]
    None,
    /// The machine's.
    Host,
    /// The network's.
    Network,
}

impl Order {
    /// The order of a number in `typeof` data.
    pub(super) const fn from_number(number: u32) -> Order {
        match number {
            1 => Order::Host,
            2 => Order::Network,
            _ => Order::None,
        }
    }

    /// The order after a swap.
    pub(super) const fn swapped(self) -> Order {
        match self {
            Order::None => Order::Host,
            _ => Order::None,
        }
    }
}

/// What a type falls back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Base {
    /// A number.
    Number,
    /// Single bits with names.
    Flags,
    /// Characters, padded with zeros.
    Text,
    /// Only printed in its own way.
    Own,
}

/// How a number without a name is written.
#[derive(Clone, Copy, Debug)]
enum Format {
    Decimal,
    /// With at least so many digits.
    Hex(usize),
}

struct Info {
    name: &'static str,
    bits: u32,
    order: Order,
    base: Base,
    format: Format,
    /// Whether nft writes prefixes of it.
    prefix: bool,
    symbols: &'static [(&'static str, u128)],
}

macro_rules! types {
    ($($variant:ident = $number:literal, $name:literal, $bits:literal, $order:ident, $base:ident, $format:expr, $prefix:literal, $symbols:expr;)*) => {
        /// A data type of nft (`enum datatypes`).
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Ty {
            $($variant,)*
        }

        impl Ty {
            /// The type of a number.
            pub(super) const fn from_number(number: u32) -> Option<Ty> {
                match number {
                    $($number => Some(Ty::$variant),)*
                    _ => None,
                }
            }

            const fn info(self) -> Info {
                match self {
                    $(Ty::$variant => Info {
                        name: $name, bits: $bits, order: Order::$order, base: Base::$base,
                        format: $format, prefix: $prefix, symbols: $symbols,
                    },)*
                }
            }
        }
    };
}

use Format::{Decimal, Hex};

// Numbers from 1000 on are ours: types that nft has without a number.
types! {
    Invalid = 0, "invalid", 0, None, Own, Hex(1), false, &[];
    Verdict = 1, "verdict", 0, None, Own, Decimal, false, &[];
    Nfproto = 2, "nf_proto", 8, None, Number, Decimal, false, &[("ipv4", 2), ("ipv6", 10)];
    Bitmask = 3, "bitmask", 0, None, Number, Hex(1), false, &[];
    Integer = 4, "integer", 0, None, Number, Decimal, false, &[];
    Text = 5, "string", 0, Host, Text, Decimal, false, &[];
    LinkAddr = 6, "ll_addr", 0, Network, Own, Decimal, false, &[];
    Ip4 = 7, "ipv4_addr", 32, Network, Own, Decimal, true, &[];
    Ip6 = 8, "ipv6_addr", 128, Network, Own, Decimal, true, &[];
    Ether = 9, "ether_addr", 48, Network, Own, Decimal, false, &[];
    EtherType = 10, "ether_type", 16, Network, Number, Hex(4), false,
        &[("ip", 0x0800), ("arp", 0x0806), ("ip6", 0x86dd), ("8021q", 0x8100), ("8021ad", 0x88a8)];
    ArpOp = 11, "arp_op", 16, Network, Number, Decimal, false,
        &[("request", 1), ("reply", 2), ("rrequest", 3), ("rreply", 4), ("inrequest", 8), ("inreply", 9), ("nak", 10)];
    Proto = 12, "inet_proto", 8, None, Number, Decimal, false, &[];
    Service = 13, "inet_service", 16, Network, Number, Decimal, false, &[];
    IcmpType = 14, "icmp_type", 8, Network, Number, Decimal, false, ICMP_TYPES;
    TcpFlag = 15, "tcp_flag", 8, Network, Flags, Hex(1), false,
        &[("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ecn", 64), ("cwr", 128)];
    DccpType = 16, "dccp_pkttype", 4, None, Number, Decimal, false,
        &[("request", 0), ("response", 1), ("data", 2), ("ack", 3), ("dataack", 4), ("closereq", 5), ("close", 6),
          ("reset", 7), ("sync", 8), ("syncack", 9)];
    MhType = 17, "mh_type", 8, Network, Number, Decimal, false, MH_TYPES;
    Time = 18, "time", 32, Host, Own, Decimal, false, &[];
    Mark = 19, "mark", 32, Host, Number, Hex(8), true, &[];
    IfIndex = 20, "iface_index", 32, Host, Own, Decimal, false, &[];
    ArpHrd = 21, "iface_type", 16, Host, Number, Decimal, false,
        &[("ether", 1), ("ppp", 512), ("ipip", 768), ("ipip6", 769), ("loopback", 772), ("sit", 776), ("ipgre", 778)];
    Realm = 22, "realm", 32, Host, Number, Decimal, true, &[];
    ClassId = 23, "classid", 32, Host, Own, Decimal, false, &[];
    Uid = 24, "uid", 32, Host, Number, Decimal, false, &[];
    Gid = 25, "gid", 32, Host, Number, Decimal, false, &[];
    CtState = 26, "ct_state", 32, Host, Flags, Hex(1), false,
        &[("invalid", 1), ("new", 8), ("established", 2), ("related", 4), ("untracked", 64)];
    CtDir = 27, "ct_dir", 8, None, Number, Decimal, false, &[("original", 0), ("reply", 1)];
    CtStatus = 28, "ct_status", 32, Host, Flags, Hex(1), false,
        &[("expected", 1), ("seen-reply", 2), ("assured", 4), ("confirmed", 8), ("snat", 16), ("dnat", 32), ("dying", 512)];
    Icmp6Type = 29, "icmpv6_type", 8, Network, Number, Decimal, false, ICMP6_TYPES;
    CtLabel = 30, "ct_label", 128, Host, Flags, Hex(1), false, &[];
    PktType = 31, "pkt_type", 8, Host, Number, Decimal, false,
        &[("host", 0), ("broadcast", 1), ("multicast", 2), ("other", 3)];
    IcmpCode = 32, "icmp_code", 8, Network, Number, Decimal, false,
        &[("net-unreachable", 0), ("host-unreachable", 1), ("prot-unreachable", 2), ("port-unreachable", 3),
          ("net-prohibited", 9), ("host-prohibited", 10), ("admin-prohibited", 13), ("frag-needed", 4)];
    Icmp6Code = 33, "icmpv6_code", 8, Network, Number, Decimal, false,
        &[("no-route", 0), ("admin-prohibited", 1), ("addr-unreachable", 3), ("port-unreachable", 4),
          ("policy-fail", 5), ("reject-route", 6)];
    IcmpxCode = 34, "icmpx_code", 8, Network, Number, Decimal, false,
        &[("port-unreachable", 1), ("admin-prohibited", 3), ("no-route", 0), ("host-unreachable", 2)];
    DevGroup = 35, "devgroup", 32, Host, Number, Decimal, true, &[];
    Dscp = 36, "dscp", 6, Network, Number, Hex(2), false, DSCP;
    Ecn = 37, "ecn", 2, Network, Number, Hex(1), false, &[("not-ect", 0), ("ect1", 1), ("ect0", 2), ("ce", 3)];
    FibAddr = 38, "fib_addrtype", 32, Host, Number, Decimal, false,
        &[("unspec", 0), ("unicast", 1), ("local", 2), ("broadcast", 3), ("anycast", 4), ("multicast", 5),
          ("blackhole", 6), ("unreachable", 7), ("prohibit", 8)];
    Boolean = 39, "boolean", 1, None, Number, Decimal, false, &[("exists", 1), ("missing", 0)];
    CtEvent = 40, "ct_event", 32, Host, Flags, Hex(1), false,
        &[("new", 1), ("related", 2), ("destroy", 4), ("reply", 8), ("assured", 16), ("protoinfo", 32), ("helper", 64),
          ("mark", 128), ("seqadj", 256), ("secmark", 512), ("label", 1024)];
    IfName = 41, "ifname", 128, Host, Text, Decimal, false, &[];
    IgmpType = 42, "igmp_type", 8, Network, Number, Decimal, false,
        &[("membership-query", 0x11), ("membership-report-v1", 0x12), ("membership-report-v2", 0x16),
          ("membership-report-v3", 0x22), ("leave-group", 0x17)];
    Date = 43, "time", 64, Host, Own, Decimal, false, &[];
    Hour = 44, "hour", 32, Host, Own, Decimal, false, &[];
    Day = 45, "day", 8, Host, Own, Decimal, false, DAYS;
    Cgroup2 = 46, "cgroupsv2", 64, Host, Number, Decimal, false, &[];
    // Raw bytes of the packet: an integer that nft writes in hexadecimal.
    Raw = 1000, "integer", 0, None, Number, Hex(1), false, &[];
}

const ICMP_TYPES: &[(&str, u128)] = &[
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp-request", 13),
    ("timestamp-reply", 14),
    ("info-request", 15),
    ("info-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
];

const ICMP6_TYPES: &[(&str, u128)] = &[
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

const MH_TYPES: &[(&str, u128)] = &[
    ("binding-refresh-request", 0),
    ("home-test-init", 1),
    ("careof-test-init", 2),
    ("home-test", 3),
    ("careof-test", 4),
    ("binding-update", 5),
    ("binding-acknowledgement", 6),
    ("binding-error", 7),
    ("fast-binding-update", 8),
    ("fast-binding-acknowledgement", 9),
    ("fast-binding-advertisement", 10),
    ("experimental-mobility-header", 11),
    ("home-agent-switch-message", 12),
];

const DSCP: &[(&str, u128)] = &[
    ("cs0", 0x00),
    ("cs1", 0x08),
    ("cs2", 0x10),
    ("cs3", 0x18),
    ("cs4", 0x20),
    ("cs5", 0x28),
    ("cs6", 0x30),
    ("cs7", 0x38),
    ("lephb", 0x01),
    ("af11", 0x0a),
    ("af12", 0x0c),
    ("af13", 0x0e),
    ("af21", 0x12),
    ("af22", 0x14),
    ("af23", 0x16),
    ("af31", 0x1a),
    ("af32", 0x1c),
    ("af33", 0x1e),
    ("af41", 0x22),
    ("af42", 0x24),
    ("af43", 0x26),
    ("va", 0x2c),
    ("ef", 0x2e),
];

const DAYS: &[(&str, u128)] = &[
    ("Sunday", 0),
    ("Monday", 1),
    ("Tuesday", 2),
    ("Wednesday", 3),
    ("Thursday", 4),
    ("Friday", 5),
    ("Saturday", 6),
];

/// Protocols that nft's own grammar has words for; these load on a host without a table of protocols.
const GRAMMAR_PROTOCOLS: &[(&str, u128)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("comp", 108),
    ("sctp", 132),
    ("udplite", 136),
];

/// Names that nft prints on a host with the usual table of protocols.
const USUAL_PROTOCOLS: &[(&str, u128)] = &[
    ("ip", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("udp", 17),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("dccp", 33),
    ("xtp", 36),
    ("ddp", 37),
    ("idpr-cmtp", 38),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("idrp", 45),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("skip", 57),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ospf", 89),
    ("ax.25", 93),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("fc", 133),
    ("mobility-header", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
    ("manet", 138),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
    ("rohc", 142),
    ("ethernet", 143),
];

fn symbol(table: &[(&'static str, u128)], number: u128) -> Option<&'static str> {
    table.iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
}

impl Ty {
    /// nft's name.
    pub(super) fn name(self) -> &'static str {
        self.info().name
    }

    /// Bits of a value; 0 where that depends.
    pub(super) fn bits(self) -> u32 {
        self.info().bits
    }

    /// Usual byte order.
    pub(super) fn order(self) -> Order {
        self.info().order
    }

    /// What the type falls back to.
    pub(super) fn base(self) -> Base {
        self.info().base
    }

    /// Whether nft writes prefixes of it.
    pub(super) fn has_prefixes(self) -> bool {
        self.info().prefix
    }

    /// How many elements nft puts on a line.
    pub(super) fn per_line(self) -> usize {
        match self {
            Ty::Nfproto
            | Ty::Integer
            | Ty::Raw
            | Ty::ArpOp
            | Ty::Proto
            | Ty::Service
            | Ty::TcpFlag
            | Ty::DccpType
            | Ty::Mark
            | Ty::IfIndex
            | Ty::ClassId
            | Ty::Uid
            | Ty::Gid
            | Ty::CtDir => 5,
            Ty::Ip4 | Ty::CtState | Ty::CtStatus | Ty::PktType => 2,
            _ => 1,
        }
    }

    /// Writes a value; `numeric` as inside of ranges, where nft writes no names.
    pub(super) fn write(self, number: u128, bits: u32, numeric: bool, style: &Style) -> String {
        let info = self.info();
        match self {
            Ty::Ip4 => Ipv4Addr::from(low32(number)).to_string(),
            Ty::Ip6 => address6(number),
            Ty::Ether | Ty::LinkAddr => link_address(number, bits),
            Ty::Time if numeric => format!("{}s", low64(number) / 1000),
            Ty::Time => duration(low64(number)),
            Ty::IfIndex => match style.interfaces.get(&(low32(number))) {
                Some(name) => format!("\"{}\"", super::clean(name)),
                None => number.to_string(),
            },
            Ty::ClassId => class_id(low32(number)),
            Ty::Date => date(low64(number)),
            Ty::Hour => hour(low32(number)),
            Ty::Day => match symbol(info.symbols, number) {
                Some(name) if !numeric => format!("\"{name}\""),
                _ => number.to_string(),
            },
            Ty::CtLabel => number.trailing_zeros().to_string(),
            Ty::Proto if !numeric => {
                let table = if style.usual_protocol_names { USUAL_PROTOCOLS } else { GRAMMAR_PROTOCOLS };
                symbol(table, number).map_or_else(|| number.to_string(), str::to_owned)
            }
            Ty::Text | Ty::IfName => format!("\"{}\"", text(number, bits)),
            Ty::Invalid => format!("0x{number:x} [invalid type]"),
            _ => match symbol(info.symbols, number) {
                Some(name) if !numeric => name.to_owned(),
                _ => match info.format {
                    Format::Decimal => number.to_string(),
                    Format::Hex(width) => format!("0x{number:0width$x}"),
                },
            },
        }
    }
}

/// The lowest 64 bits.
fn low64(number: u128) -> u64 {
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default()
}

/// The lowest 32 bits.
fn low32(number: u128) -> u32 {
    u32::try_from(number & u128::from(u32::MAX)).unwrap_or_default()
}

/// The bytes of a value in memory order.
pub(super) fn bytes(number: u128, bits: u32) -> Vec<u8> {
    let len = (bits.div_ceil(8) as usize).min(16);
    number.to_be_bytes()[16 - len..].to_vec()
}

/// The number whose bytes stand in the other order.
pub(super) fn swap(number: u128, bits: u32) -> u128 {
    if cfg!(target_endian = "big") {
        return number;
    }
    let len = (bits / 8).min(16);
    if len == 0 {
        return number;
    }
    number.swap_bytes() >> (128 - 8 * len)
}

/// Characters up to the padding; what fills its bytes to the end is the beginning of a longer name.
fn text(number: u128, bits: u32) -> String {
    let bytes = bytes(number, bits);
    let end = bytes.iter().position(|b| *b == 0);
    let shown = super::clean(&String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]));
    match (end, shown.strip_suffix('*')) {
        (None, _) => shown + "*",
        (Some(_), Some(front)) => format!("{front}\\*"),
        (Some(_), None) => shown,
    }
}

/// An IPv6 address as the C library writes it: with an IPv4 address at the end where only that is set.
fn address6(number: u128) -> String {
    if number >> 32 == 0 && number >> 16 != 0 {
        return format!("::{}", Ipv4Addr::from(low32(number)));
    }
    Ipv6Addr::from(number).to_string()
}

fn link_address(number: u128, bits: u32) -> String {
    bytes(number, bits).iter().fold(String::new(), |mut text, byte| {
        let colon = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02x}");
        text
    })
}

fn class_id(handle: u32) -> String {
    match handle {
        u32::MAX => "root".to_owned(),
        0 => "none".to_owned(),
        _ => format!("{:x}:{:x}", handle >> 16, handle & 0xffff),
    }
}

/// Milliseconds in nft's notation.
pub(super) fn duration(milliseconds: u64) -> String {
    let mut rest = milliseconds;
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    text
}

fn hour(seconds: u32) -> String {
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    if s == 0 { format!("\"{h:02}:{m:02}\"") } else { format!("\"{h:02}:{m:02}:{s:02}\"") }
}

/// Nanoseconds since 1970 as a date in UTC.
fn date(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days counted from March of year 0, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let in_era = shifted % 146_097;
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("\"{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}\"", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(ty: Ty, number: u128, bits: u32) -> String {
        ty.write(number, bits, false, &Style::default())
    }

    #[test]
    fn values_as_nft_writes_them() {
        for (ty, number, bits, text) in [
            (Ty::Ip4, 0xc000_0201, 32, "192.0.2.1"),
            (Ty::Ip6, 1, 128, "::1"),
            (Ty::Ip6, 0x1234_1234, 128, "::18.52.18.52"),
            (Ty::Ip6, 0xffff_c000_0201, 128, "::ffff:192.0.2.1"),
            (Ty::Ether, 0x0201_0304_0506, 48, "02:01:03:04:05:06"),
            (Ty::Mark, 0x10, 32, "0x00000010"),
            (Ty::Service, 22, 16, "22"),
            (Ty::CtState, 2, 32, "established"),
            (Ty::CtState, 0x80, 32, "0x80"),
            (Ty::Dscp, 0x3f, 6, "0x3f"),
            (Ty::Dscp, 0x2e, 6, "ef"),
            (Ty::Raw, 0x17, 8, "0x17"),
            (Ty::IfIndex, 1, 32, "\"lo\""),
            (Ty::IfIndex, 7, 32, "7"),
            (Ty::ClassId, 0x0001_0002, 32, "1:2"),
            (Ty::EtherType, 0x88cc, 16, "0x88cc"),
            (Ty::Time, 90_061_001, 32, "1d1h1m1s1ms"),
            (Ty::Hour, 61_200, 32, "\"17:00\""),
            (Ty::Date, 1_709_164_800_000_000_000, 64, "\"2024-02-29 00:00:00\""),
        ] {
            assert_eq!(write(ty, number, bits), text);
        }
    }

    #[test]
    fn names_and_wildcards() {
        let number = |name: &[u8]| name.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
        let mut full = b"eth0".to_vec();
        full.resize(16, 0);
        assert_eq!(write(Ty::IfName, number(&full), 128), "\"eth0\"");
        assert_eq!(write(Ty::IfName, number(b"eth"), 24), "\"eth*\"");
        assert_eq!(write(Ty::IfName, number(b"a*\0"), 24), "\"a\\*\"");
    }

    #[test]
    fn protocol_names_follow_the_style() {
        assert_eq!(write(Ty::Proto, 58, 8), "icmpv6");
        assert_eq!(write(Ty::Proto, 47, 8), "47");
        let usual = Style { usual_protocol_names: true, ..Style::default() };
        assert_eq!(Ty::Proto.write(58, 8, false, &usual), "ipv6-icmp");
        assert_eq!(Ty::Proto.write(58, 8, true, &usual), "58");
    }

    #[test]
    fn host_order_is_undone() {
        let native = u32::from_ne_bytes([1, 0, 0, 0]);
        assert_eq!(swap(0x0100_0000, 32), u128::from(native));
    }
}
