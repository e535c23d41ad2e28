//! What a table in the kernel tells of the policy it was compiled from: generation, buckets, connections that were
//! open before; reads names and elements, proves nothing.

use super::{Stands, limits, phase};
use crate::net::Family;
use crate::ruleset::{Element, Elements, Set, Table, comment_of, udata_kind};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The generation that judges what arrives; none where none does.
#[must_use]
pub fn in_force(table: &Table) -> Option<u8> {
    phase(table).in_force()
}

/// Whether a set holds connections from before the first load.
#[must_use]
pub fn is_carried(set: &Set) -> bool {
    carried_family(set).is_some()
}

/// Connections from before the first load that have not said anything yet, peer first and host second.
#[must_use]
pub fn carried(table: &Table) -> Vec<(SocketAddr, SocketAddr)> {
    let mut pairs = Vec::new();
    for set in &table.sets {
        if let (Some(family), Elements::Full(list)) = (carried_family(set), &set.elements) {
            pairs.extend(list.iter().filter_map(|element| pair(family, element)));
        }
    }
    pairs
}

/// Bridges that the program knows by name: what stays on one of them passes.
#[must_use]
pub fn bridges(table: &Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let of_bridges =
        |set: &&Set| set.name.split_once('_').is_some_and(|(_, stem)| stem.starts_with("bridges_"));
    for set in table.sets.iter().filter(of_bridges) {
        let keys: Vec<&[u8]> = match &set.elements {
            Elements::Full(list) => list.iter().map(|element| element.key.as_slice()).collect(),
            Elements::Plain(bytes) => bytes.chunks_exact(set.key_len.max(1) as usize).collect(),
        };
        for key in keys {
            if let Some((one, other)) = key.split_at_checked(16)
                && one == other
                && let Some(name) = std::str::from_utf8(one).ok().map(|name| name.trim_end_matches('\0'))
            {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// What the sets of a table that change from the packet path stand for, by their names alone. A bucket is called
/// by its sentence, as far as a rule still tells it.
#[must_use]
pub fn stands_by_name(table: &Table) -> Vec<(String, Stands)> {
    let sentences: BTreeMap<String, String> =
        sentences(table).into_iter().map(|sentence| (limits::bucket(&sentence), sentence)).collect();
    let stands = |set: &Set| match set.name.as_str() {
        "ban4" | "ban6" => Some(Stands::Banned),
        "carried4" | "carried6" => Some(Stands::Carried),
        name => {
            let id = limits::bucket_of(name)?;
            Some(Stands::Spent(sentences.get(id).cloned().unwrap_or_else(|| id.to_owned())))
        }
    };
    table.sets.iter().filter_map(|set| Some((set.name.clone(), stands(set)?))).collect()
}

/// All sentences with a limit that comments of rules quote.
fn sentences(table: &Table) -> BTreeSet<String> {
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    let comments = rules.filter_map(|rule| comment_of(udata_kind::RULE_COMMENT, &rule.udata));
    comments
        .filter(|comment| comment.contains(" limit "))
        .flat_map(|comment| {
            // Names of files may hold blanks and words.
            comment.match_indices(" allow ").map(|(at, _)| comment[at + 1..].to_owned()).collect::<Vec<_>>()
        })
        .collect()
}

/// How the compiler calls the sets of connections from before the first load.
fn carried_family(set: &Set) -> Option<Family> {
    match set.name.as_str() {
        "carried4" => Some(Family::V4),
        "carried6" => Some(Family::V6),
        _ => None,
    }
}

/// Both addresses, then both ports, each padded to 4 bytes.
fn pair(family: Family, element: &Element) -> Option<(SocketAddr, SocketAddr)> {
    let width = usize::from(family.bits() / 8);
    let addr = |at: usize| -> Option<IpAddr> {
        let bytes = element.key.get(at..at + width)?;
        match family {
            Family::V4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
            Family::V6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        }
    };
    let port = |at: usize| Some(u16::from_be_bytes(element.key.get(at..at + 2)?.try_into().ok()?));
    Some((SocketAddr::new(addr(0)?, port(2 * width)?), SocketAddr::new(addr(width)?, port(2 * width + 4)?)))
}

#[cfg(test)]
mod tests {
    use super::super::{Options, compile};
    use super::*;
    use crate::resolve::{Host, HostInterface, MemoryFiles, load, resolve};

    fn compiled(text: &str, options: &Options) -> Table {
        let files = MemoryFiles::default().with("my policy.dw", text);
        let bridge = HostInterface { name: "docker0".to_owned(), is_bridge: true };
        let host = Host { interfaces: vec![bridge], ..Host::default() };
        let (policy, reports) = resolve(&load(&files, "my policy.dw"), &host);
        compile(&policy.unwrap_or_else(|| panic!("{reports:?}")), options)
    }

    #[test]
    fn generation_and_bridges_read_back() {
        let table = compiled("allow ssh\n", &Options { generation: 12, ..Options::default() });
        assert_eq!(in_force(&table), Some(12));
        assert_eq!(bridges(&table).into_iter().collect::<Vec<_>>(), ["docker0"]);
        assert_eq!(in_force(&Table::new(table.family, "doorward")), None);
    }

    #[test]
    fn connections_of_the_first_load_read_back() {
        let pairs: Vec<(SocketAddr, SocketAddr)> = vec![
            ("198.51.100.7:40000".parse().expect("an address"), "192.0.2.1:22".parse().expect("an address")),
            (
                "[2001:db8::7]:40001".parse().expect("an address"),
                "[2001:db8::1]:22".parse().expect("an address"),
            ),
        ];
        let table = compiled("", &Options { generation: 1, carried: pairs.clone() });
        assert_eq!(carried(&table), pairs);
    }

    /// Also where the name of the file holds a blank.
    #[test]
    fn buckets_are_called_by_their_sentence() {
        let sentence = "allow ssh limit 6/minute per source";
        let mut table = compiled(&format!("{sentence}\n"), &Options::default());
        let buckets = |table: &Table| -> BTreeSet<String> {
            let stands = stands_by_name(table).into_iter();
            stands
                .filter_map(|(_, stands)| if let Stands::Spent(name) = stands { Some(name) } else { None })
                .collect()
        };
        assert_eq!(buckets(&table).into_iter().collect::<Vec<_>>(), [sentence]);
        let bans = stands_by_name(&table).into_iter().filter(|(_, stands)| *stands == Stands::Banned).count();
        assert_eq!(bans, 2);
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            rule.udata = crate::ruleset::Udata::default();
        }
        assert_eq!(buckets(&table).into_iter().collect::<Vec<_>>(), [limits::bucket(sentence)]);
    }
}
