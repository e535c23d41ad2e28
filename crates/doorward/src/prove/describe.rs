//! A product of a space in words of the language: `ssh from 203.0.113.0/24 on eth0`; asks nothing.

use crate::catalogue;
use crate::meaning::ip;
use crate::meaning::sets::Place;
use crate::net::{AddrSet, Family, IcmpType, IpRange, PortRange, Prefix, Proto};
use crate::ruleset::Hook;
use crate::space::{Field, Region, value_name};
use std::net::IpAddr;

/// Traffic: all connections with each property within its part. None stands for every value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// The family of the addresses.
    pub family: Family,
    /// From whom.
    pub from: Option<AddrSet>,
    /// To whom, as the opener addressed it.
    pub to: Option<AddrSet>,
    /// Interfaces: where it arrives, going out where it leaves.
    pub on: Option<Vec<(u128, u128)>>,
    /// Protocols.
    pub protocols: Option<Vec<(u8, u8)>>,
    /// Ports, as the opener addressed them.
    pub ports: Option<Vec<(u16, u16)>>,
    /// Types of ICMP, where nothing else is meant.
    pub icmp: Option<Vec<(u8, u8)>>,
    /// Users who opened the socket; of nobody where the flag is false.
    pub by: Option<By>,
}

/// Whose sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct By {
    /// Users; none for everybody.
    pub users: Option<Vec<(u32, u32)>>,
    /// Groups; none for every one.
    pub groups: Option<Vec<(u32, u32)>>,
    /// Whether it is packets without a socket.
    pub nobody: bool,
}

/// So many parts of one kind are named.
const NAMED: usize = 4;

/// The traffic of a region.
pub(super) fn of_region(region: &Region, family: Family, place: Place) -> Traffic {
    let (to, port) = if place.translated {
        (Field::AddressedTo, Field::AddressedPort)
    } else {
        (Field::Destination, Field::Port)
    };
    let iface = if place.hook == Hook::Output { Field::Oif } else { Field::Iif };
    let addresses = |field: &Field| {
        region.part(field).map(|ranges| {
            let ranges = ranges
                .iter()
                .filter_map(|(first, last)| IpRange::new(ip(family, *first), ip(family, *last)).ok());
            AddrSet::new([], ranges)
        })
    };
    let protocols = region.part(&Field::Protocol).map(narrow::<u8>);
    let own_icmp = if family == Family::V4 { Proto::ICMP.0 } else { Proto::ICMPV6.0 };
    let only_icmp = protocols.as_deref() == Some(&[(own_icmp, own_icmp)]);
    // The first two bytes of a transport header are a type only in ICMP.
    let icmp = region
        .part(&Field::SourcePort)
        .filter(|_| only_icmp)
        .map(|ranges| ranges.iter().map(|(first, last)| (byte(first >> 8), byte(last >> 8))).collect());
    let accounts = |field: &Field| region.part(field).map(narrow::<u32>);
    let by = match (region.part(&Field::HasOwner), accounts(&Field::User), accounts(&Field::Group)) {
        (None, None, None) => None,
        (owner, users, groups) => Some(By { users, groups, nobody: owner == Some(&[(0, 0)]) }),
    };
    Traffic {
        family,
        from: addresses(&Field::Source),
        to: addresses(&to),
        on: region.part(&iface).map(<[_]>::to_vec),
        protocols,
        ports: region.part(&port).filter(|_| !only_icmp).map(narrow::<u16>),
        icmp,
        by,
    }
}

fn narrow<T: TryFrom<u128> + Copy>(ranges: &[(u128, u128)]) -> Vec<(T, T)> {
    ranges
        .iter()
        .filter_map(|(first, last)| Some((T::try_from(*first).ok()?, T::try_from(*last).ok()?)))
        .collect()
}

fn byte(value: u128) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(0)
}

impl Traffic {
    /// Whether it is of some addresses only.
    #[must_use]
    pub fn names_addresses(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// How much it is: the logarithm of how many connections, so that larger traffic comes first.
    #[must_use]
    pub fn size(&self) -> f64 {
        let set = |set: &Option<AddrSet>| {
            let Some(set) = set else { return f64::from(self.family.bits()) };
            set.edges(self.family).into_iter().map(|(first, last)| width(first, last)).sum::<f64>().log2()
        };
        let ports = self.ports.as_ref().map_or(16.0, |ports| {
            ports.iter().map(|(first, last)| f64::from(last - first) + 1.0).sum::<f64>().log2()
        });
        // The sizes of the families are not compared: both are everybody.
        (set(&self.from) + set(&self.to)) / f64::from(self.family.bits()) * 32.0 + ports
    }

    /// In words of the language, without the way and the verdict.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = vec![self.what()];
        words.push(match &self.from {
            None => "from anyone".to_owned(),
            Some(set) => format!("from {}", self.addresses(set)),
        });
        if let Some(set) = &self.to {
            words.push(format!("to {}", self.addresses(set)));
        }
        if let Some(on) = &self.on {
            words.push(interfaces(on));
        }
        if let Some(by) = &self.by {
            words.push(by.words());
        }
        words.join(" ")
    }

    /// What it is about: services where they have a name.
    fn what(&self) -> String {
        if let Some(types) = &self.icmp {
            let names: Vec<String> =
                types.iter().map(|(first, last)| self.icmp_name(*first, *last)).collect();
            return some(&names);
        }
        match (&self.protocols, &self.ports) {
            (None, None) => "anything".to_owned(),
            (None, Some(ports)) => format!("{} of every protocol", port_list(ports)),
            (Some(protocols), None) => some(&protocol_names(protocols)),
            (Some(protocols), Some(ports)) => {
                let names = protocol_names(protocols);
                let of: String =
                    if names.len() == 2 && names.contains(&"tcp".into()) && names.contains(&"udp".into()) {
                        "tcp+udp".to_owned()
                    } else {
                        names.join("+")
                    };
                let named: Vec<String> = ports
                    .iter()
                    .map(|(first, last)| {
                        let text = if first == last { first.to_string() } else { format!("{first}-{last}") };
                        let service = (first == last).then(|| service(protocols, *first)).flatten();
                        match service {
                            Some(service) => format!("{text}/{of} ({service})"),
                            None => format!("{text}/{of}"),
                        }
                    })
                    .collect();
                some(&named)
            }
        }
    }

    fn icmp_name(&self, first: u8, last: u8) -> String {
        if first != last {
            return format!("icmp {first}-{last}");
        }
        let name = crate::net::icmp_names().find(|name| {
            crate::net::icmp_type(name).and_then(|kind: IcmpType| kind.in_family(self.family)) == Some(first)
        });
        match name {
            Some("echo-request") => "ping".to_owned(),
            Some(name) => format!("icmp {name}"),
            None => format!("icmp {first}"),
        }
    }

    /// A set, or its complement where that is shorter to say.
    fn addresses(&self, set: &AddrSet) -> String {
        let prefixes = set.prefixes(self.family);
        let rest = set.complement().prefixes(self.family);
        if rest.len() < prefixes.len() && !rest.is_empty() {
            return format!("anyone except {}", some(&texts(&rest)));
        }
        some(&texts(&prefixes))
    }
}

impl By {
    fn words(&self) -> String {
        let ids = |ids: &[(u32, u32)]| {
            let most = ids.iter().any(|(first, last)| *first == 0 && *last > 0 || *last == u32::MAX);
            let list: Vec<String> = ids
                .iter()
                .map(
                    |(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") },
                )
                .collect();
            (most, some(&list))
        };
        if self.nobody {
            return "by nobody".to_owned();
        }
        let mut words = Vec::new();
        for (what, list) in [("user", &self.users), ("group", &self.groups)] {
            if let Some(list) = list {
                words.push(format!("by {what} {}", ids(list).1));
            }
        }
        if words.is_empty() { "by somebody".to_owned() } else { words.join(" ") }
    }
}

fn width(first: IpAddr, last: IpAddr) -> f64 {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => f64::from(last.to_bits() - first.to_bits()) + 1.0,
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            // Only the order of magnitude counts.
            let bits = 128 - (last.to_bits() - first.to_bits()).leading_zeros();
            2f64.powi(i32::try_from(bits).unwrap_or(128))
        }
        _ => 1.0,
    }
}

fn texts(prefixes: &[Prefix]) -> Vec<String> {
    prefixes.iter().map(ToString::to_string).collect()
}

fn some(list: &[String]) -> String {
    match list.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", list[..NAMED].join(", ")),
        _ => list.join(", "),
    }
}

fn port_list(ports: &[(u16, u16)]) -> String {
    let list: Vec<String> = ports
        .iter()
        .map(
            |(first, last)| {
                if first == last { format!("port {first}") } else { format!("ports {first}-{last}") }
            },
        )
        .collect();
    some(&list)
}

fn protocol_names(protocols: &[(u8, u8)]) -> Vec<String> {
    protocols
        .iter()
        .map(
            |(first, last)| {
                if first == last { Proto(*first).to_string() } else { format!("protocols {first}-{last}") }
            },
        )
        .collect()
}

fn interfaces(on: &[(u128, u128)]) -> String {
    let single: Option<Vec<String>> =
        on.iter().map(|(first, last)| (first == last).then(|| value_name(*first)).flatten()).collect();
    match single {
        Some(names) => format!("on {}", some(&names)),
        None => {
            let wild: Option<Vec<String>> = on.iter().map(|range| wildcard(*range)).collect();
            match wild {
                Some(names) => format!("on {}", some(&names)),
                None => "on other interfaces".to_owned(),
            }
        }
    }
}

/// `br-*` for all names that start so.
fn wildcard((first, last): (u128, u128)) -> Option<String> {
    if first == last {
        return value_name(first);
    }
    let bytes = first.to_be_bytes();
    let length = bytes.iter().position(|byte| *byte == 0)?;
    let rest = u128::MAX.checked_shr(u32::try_from(length).ok()? * 8).unwrap_or(0);
    let stem = String::from_utf8(bytes[..length].to_vec()).ok()?;
    (last == first | rest).then(|| format!("{stem}*"))
}

/// The service of the catalogue that is exactly this port.
fn service(protocols: &[(u8, u8)], port: u16) -> Option<&'static str> {
    let [(first, last)] = protocols else { return None };
    if first != last {
        return None;
    }
    catalogue::service_of(Proto(*first), PortRange::one(port))
}
