//! The services that have a name, read from sentences of our own language; knows no policy and no host.

use crate::net::{PortRange, Proto};
use crate::syntax::ast::{PortProtos, Ports};
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// The text of the catalogue: a policy of definitions under `# == Group ==` headings.
pub const TEXT: &str = include_str!("services.dw");

/// A service of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// The heading it stands under.
    pub group: &'static str,
    /// What it is, in one line.
    pub comment: &'static str,
    /// What stands behind the `=`.
    pub items: &'static str,
}

/// What a service opens, other services of the catalogue replaced by their doors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Door {
    /// `22/tcp`
    Ports(Ports),
    /// `ping`
    Ping,
    /// `icmp TYPE`
    Icmp(&'static str),
    /// `protocol NAME`
    Protocol(&'static str),
}

/// All services, in the order of the catalogue.
#[must_use]
pub fn services() -> &'static [Service] {
    static SERVICES: OnceLock<Vec<Service>> = OnceLock::new();
    SERVICES.get_or_init(|| lines().map(|(group, line)| service(group, line)).collect())
}

/// The service of exactly this name.
#[must_use]
pub fn named(name: &str) -> Option<Service> {
    static NAMES: OnceLock<Vec<(&str, &str, &str)>> = OnceLock::new();
    // A policy needs a few of them, so the lines are cut and read only when asked for.
    let names = NAMES.get_or_init(|| {
        lines().map(|(group, line)| (line.split(' ').next().unwrap_or(line), group, line)).collect()
    });
    names.iter().find(|(one, ..)| *one == name).map(|(_, group, line)| service(group, line))
}

/// Services that speak of a word: in the name, the comment or the group, or a port by its number.
#[must_use]
pub fn find(word: &str) -> Vec<&'static Service> {
    let word = word.to_lowercase();
    let port: Option<u16> = word.parse().ok();
    services().iter().filter(|service| service.speaks_of(&word, port)).collect()
}

/// The service that opens exactly this, or this beside other things.
#[must_use]
pub fn service_of(proto: Proto, range: PortRange) -> Option<&'static str> {
    type Names = HashMap<(Proto, PortRange), (&'static str, bool)>;
    static NAMES: OnceLock<Names> = OnceLock::new();
    // Asked for port after port, the catalogue is read once. Who opens nothing else goes before who does.
    let names = NAMES.get_or_init(|| {
        let mut names = Names::new();
        for service in services() {
            let doors = service.doors();
            let only = doors.len() == 1;
            for door in doors {
                let Door::Ports(ports) = door else { continue };
                for proto in ports.protos.word().split('+').filter_map(Proto::by_name) {
                    let known = names.entry((proto, ports.range)).or_insert((service.name, only));
                    if only && !known.1 {
                        *known = (service.name, only);
                    }
                }
            }
        }
        names
    });
    names.get(&(proto, range)).map(|(name, _)| *name)
}

impl Service {
    /// What it opens.
    #[must_use]
    pub fn doors(&self) -> Vec<Door> {
        let mut doors = Vec::new();
        // What is left to look at, the next one last. A name is followed to its own items; the bound
        // ends a circle, which the tests of the catalogue rule out.
        let mut left = vec![(self.items, 0)];
        while let Some((items, depth)) = left.pop() {
            let (item, rest) = items.split_once(',').map_or((items, None), |(item, rest)| (item, Some(rest)));
            left.extend(rest.map(|rest| (rest, depth)));
            let item = item.trim();
            match door(item) {
                Some(door) => doors.push(door),
                None if depth < MAX_DEPTH => left.extend(named(item).map(|other| (other.items, depth + 1))),
                None => {}
            }
        }
        let mut seen = HashSet::new();
        doors.retain(|door| seen.insert(*door));
        doors
    }

    fn speaks_of(&self, word: &str, port: Option<u16>) -> bool {
        match port {
            Some(port) => {
                self.doors().iter().any(|door| matches!(door, Door::Ports(p) if p.range.contains(port)))
            }
            None => [self.name, self.comment, self.group].iter().any(|t| t.to_lowercase().contains(word)),
        }
    }
}

/// Services that stand for services nest at most so deep.
const MAX_DEPTH: u32 = 8;

/// The definitions behind the word `define`, each with its group. The text keeps to a plain form; a test holds
/// it against the real parser.
fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut group = "";
    TEXT.lines().filter_map(move |line| {
        if let Some(heading) = line.strip_prefix("# ==") {
            group = heading.trim_end_matches('=').trim();
        }
        line.strip_prefix("define ").map(|define| (group, define))
    })
}

fn service(group: &'static str, define: &'static str) -> Service {
    let (sentence, comment) = define.split_once('#').unwrap_or((define, ""));
    let (name, items) = sentence.split_once('=').unwrap_or((sentence, ""));
    Service { name: name.trim(), group, comment: comment.trim(), items: items.trim() }
}

fn door(item: &'static str) -> Option<Door> {
    if item == "ping" {
        return Some(Door::Ping);
    }
    match item.split_once(' ') {
        Some(("icmp", kind)) => return Some(Door::Icmp(kind.trim())),
        Some(("protocol", name)) => return Some(Door::Protocol(name.trim())),
        _ => {}
    }
    let (range, protos) = item.split_once('/')?;
    let protos = match protos {
        "tcp" => PortProtos::Tcp,
        "udp" => PortProtos::Udp,
        "tcp+udp" => PortProtos::TcpUdp,
        "sctp" => PortProtos::Sctp,
        _ => return None,
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let range = PortRange::new(first.parse().ok()?, last.parse().ok()?)?;
    Some(Door::Ports(Ports { range, protos }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_what_people_look_for() {
        assert!(services().len() >= 300);
        let ssh = named("ssh").expect("ssh is known");
        assert_eq!((ssh.group, ssh.items), ("Remote access", "22/tcp"));
        assert!(named("SSH").is_none() && named("").is_none());
        assert!(find("mail").len() > 1);
        assert!(find("5432").iter().any(|service| service.name == "postgresql"));
        assert!(find("22").iter().all(|service| service.doors().len() < 50));
        assert_eq!(find("no such word"), Vec::<&Service>::new());
    }

    /// Names among the items are followed in their place, and a door stands once.
    #[test]
    fn services_nest() {
        let text = |name| {
            let doors = named(name).expect("known").doors();
            doors
                .iter()
                .map(|door| match door {
                    Door::Ports(ports) => ports.range.to_string(),
                    other => format!("{other:?}"),
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(text("caddy"), ["80", "443", "443"]);
        assert_eq!(text("winrm"), ["5985", "5986"]);
    }
}
