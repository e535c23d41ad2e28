//! Which value of an interval a person would choose as an example; decides nothing else.

use super::classes::Taste;
use super::field::{Field, state};
use crate::net::Family;
use crate::ruleset::{CtKey, MetaKey};

/// Values that read well, the best first, for a field.
pub(super) struct Preferred {
    /// With their ranks.
    values: Vec<u128>,
    other: Other,
}

/// What a field can be besides the preferred values.
enum Other {
    Anything,
    Nothing,
    Names,
}

/// What stands behind all preferred values: any other one.
const OTHER: u32 = 1000;

impl Preferred {
    pub(super) fn of(field: &Field, family: Family) -> Preferred {
        let v4 = |a: u8, b: u8, c: u8, d: u8| u128::from(u32::from_be_bytes([a, b, c, d]));
        let v6 = |low: u128| 0x2001_0db8_0000_0000_0000_0000_0000_0000 | low;
        let values = match (field, family) {
            // Documentation addresses (RFC 5737, RFC 3849, RFC 9637): somebody outside.
            (Field::Source, Family::V4) => {
                vec![v4(198, 51, 100, 7), v4(203, 0, 113, 7), v4(198, 51, 100, 200), v4(203, 0, 113, 200)]
            }
            (Field::Source, Family::V6) => {
                vec![v6(0x0100 << 80 | 7), v6(0x0200 << 80 | 7), v6(7), 0x3fff << 112 | 7]
            }
            (Field::Destination | Field::AddressedTo, Family::V4) => vec![v4(192, 0, 2, 1)],
            (Field::Destination | Field::AddressedTo, Family::V6) => vec![v6(1)],
            (Field::Protocol, _) => vec![6, 17, if family == Family::V4 { 1 } else { 58 }, 132, 47, 50, 253],
            (Field::Port | Field::AddressedPort, _) => {
                vec![22, 443, 80, 25, 53, 3306, 5432, 8080, 993, 587, 123, 21, 40_000, 9999]
            }
            // A high port; echo requests.
            (Field::SourcePort, _) => vec![40_000, 0x0800, 0x8000],
            // A bare SYN.
            (Field::TcpFlags, _) => vec![0x02, 0x10, 0x12],
            (Field::State, _) => state::ALL.to_vec(),
            (Field::Direction, _) => vec![0, 1],
            (Field::Iif | Field::Oif, _) => ["eth0", "eth1", "ens3", "wan0", "lo"].map(name_value).to_vec(),
            // No kind, or one before and one behind the kind that is usually asked for.
            (Field::Meta(MetaKey::Iifkind | MetaKey::Oifkind), _) => {
                [0].into_iter().chain(["bridge", "veth", "bond"].map(name_value)).collect()
            }
            (Field::Ct(CtKey::Helper, _), _) => ["ftp", "tftp", "amanda"].map(name_value).to_vec(),
            (Field::User | Field::Group, _) => vec![1000, 0, 33],
            (Field::Byte(..), _) => vec![64, 255],
            _ => vec![0],
        };
        let other = match field {
            Field::Iif
            | Field::Oif
            | Field::Meta(MetaKey::Iifkind | MetaKey::Oifkind)
            | Field::Ct(CtKey::Helper, _) => Other::Names,
            Field::State | Field::Direction => Other::Nothing,
            _ => Other::Anything,
        };
        Preferred { values, other }
    }
}

impl Taste for Preferred {
    fn pick(&self, first: u128, last: u128) -> Option<(u32, u128)> {
        let liked = self.values.iter().position(|value| (first..=last).contains(value));
        if let Some(at) = liked {
            return Some((u32::try_from(at).unwrap_or(OTHER), self.values[at]));
        }
        match self.other {
            // Within an interval its second value reads better than a network's own address.
            Other::Anything => Some((OTHER, if last > first { first + 1 } else { first })),
            Other::Nothing => None,
            Other::Names => first_name(first, last).map(|value| (OTHER, value)),
        }
    }
}

/// An interface name as the number of its 16 bytes.
#[must_use]
pub fn name_value(name: &str) -> u128 {
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    u128::from_be_bytes(bytes)
}

/// The name of such a number, where it is one.
#[must_use]
pub fn value_name(value: u128) -> Option<String> {
    let length = name_length(value)?;
    String::from_utf8(value.to_be_bytes()[..length].to_vec()).ok()
}

/// How long the name of such a number is, where it is one.
fn name_length(value: u128) -> Option<usize> {
    let bytes = value.to_be_bytes();
    let length = bytes.iter().position(|byte| *byte == 0)?;
    let (name, rest) = bytes.split_at(length);
    let possible = !name.is_empty()
        && rest.iter().all(|byte| *byte == 0)
        && name.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'))
        && !matches!(name, b"." | b"..");
    possible.then_some(length)
}

/// The first name in an interval that an interface can have.
fn first_name(first: u128, last: u128) -> Option<u128> {
    if name_length(first).is_some() {
        return Some(first);
    }
    let bytes = first.to_be_bytes();
    // The shortest names that begin as the lower end does and are above it: one of its beginnings with a larger
    // or one more byte at the end.
    let mut best: Option<u128> = None;
    for length in 0..15usize {
        for byte in b'!'..=b'~' {
            let mut candidate = [0; 16];
            candidate[..length].copy_from_slice(&bytes[..length]);
            candidate[length] = byte;
            let value = u128::from_be_bytes(candidate);
            if (first..=last).contains(&value)
                && name_length(value).is_some()
                && best.is_none_or(|best| value < best)
            {
                best = Some(value);
            }
        }
    }
    // A name that reads like one, where the interval leaves the choice.
    let pretty = best.and_then(|value| {
        let name = value_name(value)?;
        let stem: String = name.chars().take(name.len() - 1).collect();
        ["0", "1", "a", "x"]
            .iter()
            .map(|end| name_value(&format!("{stem}{end}")))
            .chain([name_value(&format!("{name}0"))])
            .find(|value| (first..=last).contains(value) && name_length(*value).is_some())
    });
    pretty.or(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_intervals() {
        let wildcard = |stem: &str| {
            let first = name_value(stem);
            (first, first | (u128::MAX >> (8 * stem.len())))
        };
        for (first, last, name) in [
            (name_value("eth0"), name_value("eth0"), "eth0"),
            (wildcard("br-").0, wildcard("br-").1, "br-"),
            (name_value("br-") + 1, wildcard("br-").1, "br-0"),
        ] {
            let found = first_name(first, last).and_then(value_name);
            assert_eq!(found.as_deref(), Some(name));
        }
        let behind = name_value("eth0");
        assert_eq!(first_name(behind + 1, behind + 200), None, "no name has bytes behind its end");
        assert_eq!(value_name(name_value("a/b")), None);
    }
}
