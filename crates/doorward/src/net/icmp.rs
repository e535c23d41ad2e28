//! ICMP types under one name for both families (RFC 792, RFC 4443 and the IANA registries).

use super::Family;

/// What one name of the language means on the wire, per family; at least one is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IcmpType {
    /// The type in ICMP, if that has it.
    pub v4: Option<u8>,
    /// The type in ICMPv6, if that has it.
    pub v6: Option<u8>,
}

impl IcmpType {
    /// The type in one family.
    #[must_use]
    pub fn in_family(self, family: Family) -> Option<u8> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Echo request, what `ping` means.
    pub const ECHO_REQUEST: IcmpType = IcmpType { v4: Some(8), v6: Some(128) };
}

/// The type of a name; numbers have no meaning over both families and are not taken.
#[must_use]
pub fn icmp_type(name: &str) -> Option<IcmpType> {
    TYPES.iter().find(|(n, _, _)| *n == name).map(|(_, v4, v6)| IcmpType { v4: *v4, v6: *v6 })
}

/// All names, for suggestions.
pub fn icmp_names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _, _)| *name)
}

const TYPES: &[(&str, Option<u8>, Option<u8>)] = &[
    ("echo-request", Some(8), Some(128)),
    ("echo-reply", Some(0), Some(129)),
    ("destination-unreachable", Some(3), Some(1)),
    ("packet-too-big", None, Some(2)),
    ("time-exceeded", Some(11), Some(3)),
    ("parameter-problem", Some(12), Some(4)),
    ("source-quench", Some(4), None),
    ("redirect", Some(5), Some(137)),
    ("router-advertisement", Some(9), Some(134)),
    ("router-solicitation", Some(10), Some(133)),
    ("neighbour-solicitation", None, Some(135)),
    ("neighbour-advertisement", None, Some(136)),
    ("timestamp-request", Some(13), None),
    ("timestamp-reply", Some(14), None),
    ("address-mask-request", Some(17), None),
    ("address-mask-reply", Some(18), None),
    ("mld-query", None, Some(130)),
    ("mld-report", None, Some(131)),
    ("mld-done", None, Some(132)),
    ("mld2-report", None, Some(143)),
    ("node-information-query", None, Some(139)),
    ("node-information-reply", None, Some(140)),
];
