//! What is odd about doors and listeners: one question each, the worst first.

use super::known::{Sort, sort_of};
use super::{Audit, Door, Doors, Finding, Level, Listener, Port, Reach, Survey};
use crate::catalogue;
use crate::net::{Family, PortRange, Proto};
use crate::resolve::model::Way;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A door of more ports than this is a range for data, where somebody listens now and then.
const RANGE: u16 = 10;
/// Ports at which clients of a host wait for answers that are built in.
const CLIENTS: [(Proto, u16); 2] = [(Proto::UDP, 68), (Proto::UDP, 546)];

pub(super) fn audit(survey: &Survey, doors: &Doors<'_>) -> Audit {
    let mut audit = Audit { ports: ports(survey, doors), findings: Vec::new() };
    if !doors.are_there() {
        audit.findings.push(Finding {
            level: Level::Warning,
            id: "no-firewall",
            door: None,
            what: "no firewall of doorward runs: all come to each port whom nobody else keeps out".to_owned(),
            by: None,
            ways_out: vec!["`doorward init` proposes a policy for this host, and tries it".to_owned()],
        });
    }
    let six = survey.own.iter().any(|addr| matches!(addr, IpAddr::V6(six) if !six.is_unicast_link_local()));
    let redirects = doors.redirects();
    for port in &mut audit.ports {
        let nobody = port.reach.iter().all(|reach| *reach == Reach::Nobody);
        if nobody && redirects.iter().any(|one| (one.proto, one.to) == (port.proto, port.port)) {
            // Others come to it by the port that leads here.
            continue;
        }
        let found = of_port(port, doors.are_there(), six);
        port.level = found.iter().map(|finding| finding.level).max();
        audit.findings.extend(found);
    }
    audit.findings.extend(unused(&audit.ports, doors));
    audit.findings.sort_by(|a, b| b.level.cmp(&a.level).then(a.door.cmp(&b.door)).then(a.id.cmp(b.id)));
    audit
}

/// Who is behind a port, and the port that others are redirected to.
type Behind<'a> = (&'a Listener, Option<u16>);

/// Everything that listens, by port; what listens for the host itself only is there, too.
fn ports(survey: &Survey, doors: &Doors<'_>) -> Vec<Port> {
    let mut by_port: BTreeMap<(Proto, u16), Vec<Behind<'_>>> = BTreeMap::new();
    for listener in &survey.listeners {
        // A client that waits for an answer is no service.
        let client = listener.proto == Proto::UDP && listener.port >= survey.ephemeral;
        if !client && !CLIENTS.contains(&(listener.proto, listener.port)) {
            by_port.entry((listener.proto, listener.port)).or_default().push((listener, None));
        }
    }
    // Whoever is redirected to a listener comes to it by the port that is addressed.
    for one in doors.redirects().iter().filter(|one| one.from.last() - one.from.first() < RANGE) {
        let behind = survey.listeners.iter().filter(|listener| {
            (listener.proto, listener.port) == (one.proto, one.to) && !listener.addr.is_loopback()
        });
        for listener in behind {
            for port in one.from.first()..=one.from.last() {
                by_port.entry((one.proto, port)).or_default().push((listener, Some(one.to)));
            }
        }
    }
    let mut ports: Vec<Port> = by_port
        .into_iter()
        .map(|((proto, port), listeners)| {
            let mut programs: Vec<String> =
                listeners.iter().filter_map(|(one, _)| one.program.clone()).collect();
            programs.sort();
            programs.dedup();
            let listens = places(&listeners);
            let reach = Family::BOTH.map(|family| reach(&listeners, (doors, port), family, survey));
            let open = reach.iter().any(|reach| *reach != Reach::Nobody);
            Port {
                proto,
                port,
                service: service(proto, port),
                published: false,
                programs,
                listens,
                outside: listeners.iter().any(|(one, _)| !one.addr.is_loopback()),
                by: open.then(|| doors.sentence(Way::In, proto, port, &survey.own)).flatten(),
                reach,
                level: None,
            }
        })
        .collect();
    ports.extend(survey.published.iter().filter(|one| !one.addr.is_loopback()).map(|one| {
        let at = (!one.addr.is_unspecified()).then_some(one.addr);
        let reach = Family::BOTH.map(|family| match at.or(Some(one.to.0)) {
            Some(addr) if Family::of(addr) != family => Reach::Nobody,
            _ => doors.reach(Way::Published, one.proto, one.port, family, at),
        });
        let open = reach.iter().any(|reach| *reach != Reach::Nobody);
        Port {
            proto: one.proto,
            port: one.port,
            service: service(one.proto, one.to.1).or_else(|| service(one.proto, one.port)),
            published: true,
            programs: vec![format!("container {}", std::net::SocketAddr::new(one.to.0, one.to.1))],
            listens: vec![if one.addr.is_unspecified() { "all".to_owned() } else { one.addr.to_string() }],
            outside: true,
            by: open.then(|| doors.sentence(Way::Published, one.proto, one.port, &survey.own)).flatten(),
            reach,
            level: None,
        }
    }));
    ports
}

/// Where they listen, each place once; a socket for each family is no other thing than one for both.
fn places(listeners: &[Behind<'_>]) -> Vec<String> {
    let place = |(one, led): &Behind<'_>| match led {
        Some(to) => format!("{}, port {to}", place(one)),
        None => place(one),
    };
    let mut places: BTreeSet<String> = listeners.iter().map(place).collect();
    let all_four: Vec<String> =
        places.iter().filter_map(|place| place.strip_prefix("all IPv4")).map(str::to_owned).collect();
    for port in all_four {
        if places.remove(&format!("all IPv6{port}")) {
            places.remove(&format!("all IPv4{port}"));
            places.insert(format!("all{port}"));
        }
    }
    places.into_iter().collect()
}

fn place(listener: &Listener) -> String {
    match (listener.addr, listener.both_families) {
        (IpAddr::V6(addr), true) if addr.is_unspecified() => "all".to_owned(),
        (IpAddr::V6(addr), false) if addr.is_unspecified() => "all IPv6".to_owned(),
        (IpAddr::V4(addr), _) if addr.is_unspecified() => "all IPv4".to_owned(),
        (addr, _) => addr.to_string(),
    }
}

/// Who can come to any of these sockets by a port in one family.
fn reach(
    listeners: &[Behind<'_>],
    (doors, port): (&Doors<'_>, u16),
    family: Family,
    survey: &Survey,
) -> Reach {
    let serves = |(one, _): &&Behind<'_>| {
        !one.addr.is_loopback() && (Family::of(one.addr) == family || one.both_families)
    };
    let has_address = survey.own.iter().any(|addr| Family::of(*addr) == family && !addr.is_loopback());
    listeners
        .iter()
        .filter(serves)
        .filter(|_| has_address)
        .map(|(one, _)| {
            let at = (!one.addr.is_unspecified()).then_some(one.addr);
            doors.reach(Way::In, one.proto, port, family, at)
        })
        .max()
        .unwrap_or(Reach::Nobody)
}

fn proto_word(proto: Proto) -> &'static str {
    proto.name().unwrap_or("port")
}

fn service(proto: Proto, port: u16) -> Option<&'static str> {
    catalogue::service_of(proto, PortRange::one(port))
}

/// `5432/tcp (postgresql), program postgres`
fn words(port: &Port) -> String {
    let proto = proto_word(port.proto);
    let mut words = format!("{}/{proto}", port.port);
    if let Some(service) = port.service {
        words = format!("{words} ({service})");
    }
    if !port.programs.is_empty() {
        words = format!("{words}, {}", port.programs.join(", "));
    }
    words
}

/// How a sentence names the port.
pub(super) fn things(port: &Port) -> String {
    let way = if port.published { "published " } else { "" };
    match port.service.filter(|name| !port.published && is_alone(name)) {
        Some(name) => name.to_owned(),
        None => format!("{way}{}/{}", port.port, proto_word(port.proto)),
    }
}

/// Whether a service is one door and no more.
fn is_alone(name: &str) -> bool {
    catalogue::named(name).is_some_and(|service| service.doors().len() == 1)
}

fn who(port: &Port) -> String {
    match &port.reach {
        [four, six] if four == six => four.words().to_owned(),
        [Reach::Nobody, six] => format!("{} (IPv6)", six.words()),
        [four, Reach::Nobody] => format!("{} (IPv4)", four.words()),
        [four, six] => format!("{} (IPv4), {} (IPv6)", four.words(), six.words()),
    }
}

fn of_port(port: &Port, guarded: bool, six: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |level, id, what, ways_out| {
        found.push(Finding {
            level,
            id,
            door: Some((port.proto, port.port)),
            what,
            by: port.by.clone(),
            ways_out,
        });
    };
    let sort = named(port);
    let open = port.reach.iter().any(|reach| matches!(reach, Reach::Anyone(_)));
    let nobody = port.reach.iter().all(|reach| *reach == Reach::Nobody);
    match sort {
        Some(sort) if open => {
            let level = match sort {
                Sort::Database | Sort::Control => Level::Critical,
                Sort::Internal | Sort::Plain => Level::Warning,
            };
            let id = match sort {
                Sort::Database => "database-open",
                Sort::Control => "control-open",
                Sort::Internal => "internal-open",
                Sort::Plain => "plain-open",
            };
            let what = format!("{} is {}, and open to {}", words(port), sort.words(), who(port));
            add(level, id, what, shut(port, guarded));
        }
        Some(sort) if nobody && port.outside && !port.published => {
            let places = match port.listens.as_slice() {
                [all] if all == "all" => "all addresses".to_owned(),
                places => places.join(", "),
            };
            let what = format!(
                "{} is {}, and listens at {places}: only the firewall keeps others out",
                words(port),
                sort.words()
            );
            let ways_out = vec!["bind it to 127.0.0.1 and ::1, if only this host needs it".to_owned()];
            add(Level::Notice, "bound-to-all", what, ways_out);
        }
        None if nobody && port.outside => {
            let what = format!("{}: nobody can come", words(port));
            let ways_out = vec![format!("`doorward allow {}` opens it", things(port))];
            add(
                Level::Notice,
                if port.published { "published-shut" } else { "listener-shut" },
                what,
                ways_out,
            );
        }
        _ => {}
    }
    if port.published && open && !guarded && sort.is_none() {
        let what = format!("{}: open to {}", words(port), who(port));
        add(Level::Warning, "published-open", what, shut(port, guarded));
    }
    if guarded && six && !port.published {
        match &port.reach {
            [Reach::Nobody | Reach::Some(_), Reach::Anyone(_)] => add(
                Level::Warning,
                "ipv6-wider",
                format!(
                    "{} is open to {} over IPv6, and to {} over IPv4",
                    words(port),
                    port.reach[1].words(),
                    port.reach[0].words()
                ),
                vec!["a sentence covers both families: name addresses of both in its `from`".to_owned()],
            ),
            [Reach::Anyone(_) | Reach::Some(_), Reach::Nobody] => add(
                Level::Notice,
                "ipv6-forgotten",
                format!(
                    "{}: nobody can come over IPv6, and {} can over IPv4",
                    words(port),
                    port.reach[0].words()
                ),
                vec![
                    "let the program listen at [::], or name IPv6 addresses in the sentence, too".to_owned(),
                ],
            ),
            _ => {}
        }
    }
    found
}

/// What is at a port, as far as programs, ports and the service tell.
pub(super) fn named(port: &Port) -> Option<Sort> {
    port.programs
        .iter()
        .map(|program| sort_of(port.proto, port.port, Some(program)))
        .chain([sort_of(port.proto, port.port, None)])
        .chain(port.service.map(sort_of_service))
        .flatten()
        .next()
}

fn sort_of_service(name: &str) -> Option<Sort> {
    catalogue::named(name)?.doors().into_iter().find_map(|door| match door {
        catalogue::Door::Ports(ports) => {
            let mut protocols = ports.protos.word().split('+').filter_map(Proto::by_name);
            protocols.find_map(|proto| sort_of(proto, ports.range.first(), None))
        }
        _ => None,
    })
}

/// How to shut a port, or open it to fewer.
fn shut(port: &Port, guarded: bool) -> Vec<String> {
    if !guarded {
        return vec!["`doorward init` writes a policy that shuts it".to_owned()];
    }
    let narrower = format!("`doorward allow {} from ADDRESS` lets in who needs it", things(port));
    match &port.by {
        Some(by) if by.sentence.starts_with("allow") => {
            vec![format!("`doorward remove {}`", by.sentence), narrower]
        }
        Some(by) => vec![format!("change `{}` ({by})", by.sentence), narrower],
        None => vec![narrower],
    }
}

/// Doors behind which nobody listens.
fn unused(ports: &[Port], doors: &Doors<'_>) -> Vec<Finding> {
    let listens = |door: &Door| {
        ports.iter().any(|port| {
            port.published == (door.way == Way::Published)
                && port.outside
                && port.proto == door.proto
                && (door.ports.0..=door.ports.1).contains(&port.port)
        })
    };
    [Way::In, Way::Published]
        .into_iter()
        .flat_map(|way| doors.all(way))
        .filter(|door| door.ports.1 - door.ports.0 < RANGE)
        // Neighbours may be doors of several sentences.
        .flat_map(|door| (door.ports.0..=door.ports.1).map(move |port| Door { ports: (port, port), ..door }))
        .filter(|door| !listens(door))
        // A port that is open both ways is one of a proxy, or of a container.
        .filter(|door| {
            let other = if door.way == Way::In { Way::Published } else { Way::In };
            !ports.iter().any(|port| {
                (port.published, port.proto, port.port) == (other == Way::Published, door.proto, door.ports.0)
            })
        })
        .map(|door| (door, doors.sentence(door.way, door.proto, door.ports.0, &[])))
        // What is published may arrive at a proxy, too: it is told once.
        .filter(|(door, by)| {
            let is_published = by.as_ref().is_some_and(|by| by.sentence.starts_with("allow published"));
            door.way == Way::Published || !is_published
        })
        .map(|(door, by)| {
            let published = if door.way == Way::Published { "published " } else { "" };
            let service =
                service(door.proto, door.ports.0).map(|name| format!(" ({name})")).unwrap_or_default();
            let ways_out = match &by {
                Some(by) if by.sentence.starts_with("allow") => {
                    vec![format!("`doorward remove {}`, unless somebody is to listen there", by.sentence)]
                }
                _ => Vec::new(),
            };
            Finding {
                level: Level::Notice,
                id: "nobody-behind",
                door: Some((door.proto, door.ports.0)),
                what: format!(
                    "{published}{}/{}{service} is open, and nobody listens",
                    door.ports.0,
                    proto_word(door.proto)
                ),
                by,
                ways_out,
            }
        })
        .collect()
}
