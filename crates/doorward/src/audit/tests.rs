//! Findings about small hosts, each with the policy that has or has not the hole.

use super::{Audit, Doors, Level, Listener, Published, Reach, Survey, audit};
use crate::net::{AddrSet, Prefix, Proto};
use crate::prove::{InTurn, Names, Side, changes};
use crate::resolve::{self, Host, MemoryFiles, Resolved};
use std::net::IpAddr;

fn listener(port: u16, addr: &str, program: &str) -> Listener {
    let addr: IpAddr = addr.parse().unwrap();
    let both_families = addr.is_ipv6() && addr.is_unspecified();
    Listener { proto: Proto::TCP, port, addr, both_families, program: Some(program.to_owned()) }
}

fn survey(listeners: Vec<Listener>) -> Survey {
    let own = ["203.0.113.9", "2001:db8::9"].map(|addr| addr.parse().unwrap()).to_vec();
    Survey { listeners, published: Vec::new(), own, ephemeral: 32_768 }
}

fn seen(policy: &str, survey: &Survey) -> Audit {
    let files = MemoryFiles::default().with("p.dw", policy);
    let loaded = resolve::load(&files, "p.dw");
    let (policy, reports) = resolve::resolve(&loaded, &Host::default());
    let policy = policy.unwrap_or_else(|| panic!("{reports:?}"));
    let own = AddrSet::new(survey.own.iter().map(|addr| Prefix::host(*addr)), []);
    let nothing = Resolved::empty();
    let open = changes(Side::Policy(&nothing), Side::Policy(&policy), &own, &InTurn).unwrap();
    let names = Names::new(resolve::named_addresses(&loaded), &own);
    audit(survey, &Doors::of(&policy, &open, &names))
}

fn ids(audit: &Audit) -> Vec<(&'static str, Level)> {
    audit.findings.iter().map(|finding| (finding.id, finding.level)).collect()
}

#[test]
fn a_database_that_is_open_to_the_world() {
    let host = survey(vec![listener(5432, "::", "postgres"), listener(22, "::", "sshd")]);
    let open = seen("allow ssh\nallow postgresql\n", &host);
    assert_eq!(ids(&open), [("database-open", Level::Critical)]);
    let finding = &open.findings[0];
    assert_eq!(finding.what, "5432/tcp (postgresql), postgres is a database, and open to anyone");
    assert_eq!(&*finding.by.as_ref().unwrap().sentence, "allow postgresql");
    assert_eq!(finding.ways_out[0], "`doorward remove allow postgresql`");

    let office = "define office = 192.0.2.0/24, 2001:db8:1::/48\nallow ssh\nallow postgresql from office\n";
    let some = seen(office, &host);
    assert_eq!(ids(&some), []);
    assert_eq!(some.ports[1].reach, [Reach::Some("office".to_owned()), Reach::Some("office".to_owned())]);

    let shut = seen("allow ssh\n", &host);
    assert_eq!(ids(&shut), [("bound-to-all", Level::Notice)]);
    let what = &shut.findings[0].what;
    assert!(what.contains("listens at all addresses: only the firewall"), "{what}");
    let local = survey(vec![listener(5432, "127.0.0.1", "postgres"), listener(22, "::", "sshd")]);
    assert_eq!(ids(&seen("allow ssh\n", &local)), []);
    // All but somebody is the world, too.
    let but = seen("allow ssh\nallow postgresql except 192.0.2.0/24\n", &host);
    assert_eq!(ids(&but), [("database-open", Level::Critical)]);
}

/// A program tells what it is wherever it listens.
#[test]
fn programs_on_other_ports() {
    let host = survey(vec![listener(7777, "0.0.0.0", "redis-server")]);
    assert_eq!(ids(&seen("allow 7777/tcp\n", &host))[0], ("database-open", Level::Critical));
}

#[test]
fn doors_without_anybody_and_anybody_without_a_door() {
    let host = survey(vec![listener(22, "::", "sshd"), listener(8080, "::", "app")]);
    let found = seen("allow ssh, https\nallow ftp passive 50000-50100\n", &host);
    assert_eq!(
        ids(&found),
        [
            ("nobody-behind", Level::Notice),
            ("nobody-behind", Level::Notice),
            ("listener-shut", Level::Notice)
        ]
    );
    assert_eq!(found.findings[2].ways_out, ["`doorward allow http-alt` opens it"]);
}

#[test]
fn families_that_differ() {
    let host = survey(vec![listener(80, "::", "nginx")]);
    let wider = seen("allow http from 192.0.2.0/24, 2000::/3\nallow http from ::/1, 8000::/1\n", &host);
    assert_eq!(ids(&wider), [("ipv6-wider", Level::Warning)]);
    let four = survey(vec![listener(80, "0.0.0.0", "nginx")]);
    assert_eq!(ids(&seen("allow http\n", &four)), [("ipv6-forgotten", Level::Notice)]);
    let mut alone = four;
    alone.own.retain(IpAddr::is_ipv4);
    assert_eq!(ids(&seen("allow http\n", &alone)), []);
}

#[test]
fn containers() {
    let mut host = survey(vec![listener(22, "::", "sshd")]);
    let any = "0.0.0.0".parse().unwrap();
    let to = |port| ("172.17.0.2".parse().unwrap(), port);
    host.published.push(Published { proto: Proto::TCP, port: 8080, to: to(80), addr: any });
    host.published.push(Published { proto: Proto::TCP, port: 5433, to: to(5432), addr: any });
    let shut = seen("allow ssh\n", &host);
    assert_eq!(ids(&shut), [("published-shut", Level::Notice)]);
    let open = seen("allow ssh\nallow published 8080/tcp, 5433/tcp\n", &host);
    assert_eq!(ids(&open), [("database-open", Level::Critical)]);
    assert_eq!(
        open.findings[0].what,
        "5433/tcp (postgresql), container 172.17.0.2:5432 is a database, and open to anyone (IPv4)"
    );
}

/// A port that is redirected is that of whoever gets it.
#[test]
fn redirected_ports() {
    let host = survey(vec![listener(22, "::", "sshd"), listener(8080, "::", "app")]);
    let found = seen("allow ssh, http\nredirect 80/tcp to 8080\n", &host);
    assert_eq!(ids(&found), []);
    let http = found.ports.iter().find(|port| port.port == 80).unwrap();
    assert_eq!((&*http.programs[0], &*http.listens[0]), ("app", "all, port 8080"));
    assert!(http.reach.iter().all(|reach| matches!(reach, Reach::Anyone(_))));
    // The port itself stays a door of its own.
    let both = seen("allow ssh, http, http-alt\nredirect 80/tcp to 8080\n", &host);
    assert_eq!(both.ports.iter().filter(|port| port.by.is_some()).count(), 3);
    // Who is at the end counts, not how the port that is addressed is called.
    let database = survey(vec![listener(22, "::", "sshd"), listener(6379, "::", "redis-server")]);
    let found = seen("allow ssh, http\nredirect 80/tcp to 6379\n", &database);
    assert_eq!(ids(&found)[0], ("database-open", Level::Critical));
    // Nobody at its end, or only for the host itself.
    let local = survey(vec![listener(22, "::", "sshd"), listener(8080, "127.0.0.1", "app")]);
    let found = seen("allow ssh, http\nredirect 80/tcp to 8080\n", &local);
    assert_eq!(ids(&found), [("nobody-behind", Level::Notice)]);
}

/// A daemon with a socket for each family is told as one with a socket for both.
#[test]
fn a_socket_for_each_family() {
    let mut host = survey(vec![listener(80, "0.0.0.0", "nginx"), listener(80, "::", "nginx")]);
    for one in &mut host.listeners {
        one.both_families = false;
    }
    host.listeners.push(listener(80, "127.0.0.1", "nginx"));
    let seen = audit(&host, &Doors::none());
    assert_eq!(seen.ports[0].listens, ["127.0.0.1", "all"]);
    host.listeners.remove(0);
    let seen = audit(&host, &Doors::none());
    assert_eq!(seen.ports[0].listens, ["127.0.0.1", "all IPv6"]);
}

/// Without a firewall everything is open.
#[test]
fn nothing_runs() {
    let host = survey(vec![listener(22, "::", "sshd"), listener(6379, "::", "redis-server")]);
    let found = audit(&host, &Doors::none());
    assert_eq!(ids(&found), [("database-open", Level::Critical), ("no-firewall", Level::Warning)]);
}

/// What is proposed is a policy without mistakes, and says what was wished.
#[test]
fn proposals() {
    use super::{Around, Candidates, Serves, Wishes, propose};
    let mut host = survey(vec![
        listener(2222, "::", "sshd"),
        listener(80, "::", "nginx"),
        listener(443, "::", "nginx"),
        listener(8443, "0.0.0.0", "app"),
        listener(5432, "::", "postgres"),
        listener(25, "127.0.0.1", "master"),
        listener(53, "10.89.0.1", "aardvark-dns"),
    ]);
    let any = "0.0.0.0".parse().unwrap();
    host.published.push(Published {
        proto: Proto::TCP,
        port: 8080,
        to: ("172.17.0.2".parse().unwrap(), 80),
        addr: any,
    });
    let around = Around {
        host: "web1".to_owned(),
        day: "2026-11-27".to_owned(),
        ssh: vec![2222],
        peer: Some("203.0.113.7".parse().unwrap()),
        guests: vec![("Docker's containers reach others".to_owned(), "docker0, br-*".to_owned())],
        serves: vec![Serves {
            program: "aardvark-dns".to_owned(),
            sentence: "allow dns on podman*".to_owned(),
            why: "names of containers".to_owned(),
        }],
        passive: Vec::new(),
    };
    let candidates = Candidates::of(&audit(&host, &Doors::none()), &around);
    let things = |list: &[super::Candidate]| list.iter().map(|one| one.thing.clone()).collect::<Vec<_>>();
    assert_eq!(things(&candidates.open), ["http", "https", "https-alt"]);
    assert_eq!(things(&candidates.inner), ["postgresql"]);
    assert_eq!(things(&candidates.published), ["published 8080/tcp"]);
    let shut = propose(&around, &candidates, &Wishes::default());
    let open = Wishes {
        ssh_from: Some("203.0.113.0/24".to_owned()),
        open: things(&candidates.open),
        inner_from: Some("192.0.2.0/24, 2001:db8:5::/48".to_owned()),
        published: things(&candidates.published),
    };
    let open = propose(&around, &candidates, &open);
    for line in [
        "allow 2222/tcp from 203.0.113.0/24",
        "allow http ",
        "allow published 8080/tcp",
        "allow postgresql from 192.0.2.0/24, 2001:db8:5::/48",
        "allow forward anything on docker0, br-*",
        "allow dns on podman*",
        "expect 2222/tcp from 203.0.113.0/24 is allowed",
        "expect postgresql from outside 192.0.2.0/24, 2001:db8:5::/48 is blocked",
        "include \"policy.d\"",
    ] {
        assert!(open.lines().any(|one| one.starts_with(line)), "{line}: {open}");
    }
    for line in [
        "allow 2222/tcp limit 10/minute per source",
        "#   allow postgresql",
        "expect postgresql from anyone is blocked",
    ] {
        assert!(shut.lines().any(|one| one.starts_with(line)), "{line}: {shut}");
    }
    for text in [&shut, &open] {
        let files = MemoryFiles::default().with("p.dw", text).with("policy.d/", "");
        let loaded = resolve::load(&files, "p.dw");
        let (policy, reports) = resolve::resolve(&loaded, &Host::default());
        assert!(policy.is_some(), "{text}\n{reports:?}");
    }
}

/// The ports for data are those that the server's own file says; where it says none, or too many, or others listen
/// there, the line tells what to set.
#[test]
fn ftp_with_its_ports_for_data() {
    use super::{Around, Candidates, Passive, Wishes, propose};
    use crate::net::PortRange;
    const NAMED: &str = "/etc/x.conf names its ports for data";
    const SET: &str = "set from 50000 to 50100 in /etc/x.conf, then `allow ftp passive 50000-50100`";
    let udp = |port| Listener { proto: Proto::UDP, ..listener(port, "::", "app") };
    let data = |port| listener(port, "::", "vsftpd");
    for (program, range, others, clause, why) in [
        ("vsftpd", (50000, 50100), vec![], " passive 50000-50100", NAMED.to_owned()),
        // Its own listener, one that nobody reaches, another protocol, and one beside it.
        (
            "vsftpd",
            (50000, 50100),
            vec![
                data(50007),
                listener(50001, "127.0.0.1", "app"),
                udp(50002),
                listener(50101, "::", "app"),
            ],
            " passive 50000-50100",
            NAMED.to_owned(),
        ),
        ("vsftpd", (49152, 65535), vec![], " passive 49152-65535", NAMED.to_owned()),
        (
            "vsftpd",
            (49151, 65535),
            vec![],
            "",
            format!("its ports for data, 49151-65535, are too many to open: {SET}"),
        ),
        (
            "vsftpd",
            (1024, 65535),
            vec![listener(8443, "::", "app")],
            "",
            format!("2222/tcp listens among its ports for data, 1024-65535: {SET}"),
        ),
        (
            "vsftpd",
            (3000, 4000),
            vec![listener(3306, "::", "mysqld")],
            "",
            format!("mysql listens among its ports for data, 3000-4000: {SET}"),
        ),
        // What is advised is free.
        (
            "vsftpd",
            (50000, 50100),
            vec![listener(50100, "203.0.113.9", "app")],
            "",
            "50100/tcp listens among its ports for data, 50000-50100: set from 51000 to 51100 in /etc/x.conf, \
             then `allow ftp passive 51000-51100`"
                .to_owned(),
        ),
        ("pure-ftpd-mysql", (0, 0), vec![], "", SET.to_owned()),
        ("ftpd", (50000, 50100), vec![], "", "its ports for data need `allow ftp passive MIN-MAX`".to_owned()),
    ] {
        let passive = |program: &str| Passive {
            program: program.to_owned(),
            range: PortRange::new(range.0, range.1).filter(|range| range.first() > 0),
            off: false,
            file: "/etc/x.conf".to_owned(),
            set: "from MIN to MAX".to_owned(),
        };
        let around = Around {
            ssh: vec![2222],
            passive: vec![passive("vsftpd"), passive("pure-ftpd")],
            ..Around::default()
        };
        let host = survey([vec![listener(21, "::", program)], others].concat());
        let candidates = Candidates::of(&audit(&host, &Doors::none()), &around);
        assert_eq!(candidates.open[0].thing, "ftp");
        let wishes = Wishes { open: vec!["ftp".to_owned()], ..Wishes::default() };
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = propose(&around, &candidates, &wishes);
        let said = text.lines().find(|one| one.starts_with("allow ftp")).unwrap();
        assert_eq!(squeezed(said), format!("allow ftp{clause} # {program} listens; {why}"), "{text}");
        let shut = propose(&around, &candidates, &Wishes::default());
        assert!(shut.contains(&format!("#   allow ftp{clause}   (")), "{shut}");
    }
}

/// A server that refuses passive connections needs no ports for data, and nothing is to be set.
#[test]
fn ftp_without_ports_for_data() {
    use super::{Around, Candidates, Passive};
    let vsftpd = Passive {
        program: "vsftpd".to_owned(),
        range: crate::net::PortRange::new(50000, 50100),
        off: true,
        file: "/etc/vsftpd.conf".to_owned(),
        set: "its ports".to_owned(),
    };
    let around = Around { passive: vec![vsftpd], ..Around::default() };
    let host = survey(vec![listener(21, "::", "vsftpd")]);
    let candidates = Candidates::of(&audit(&host, &Doors::none()), &around);
    assert_eq!(candidates.open[0].clause, None);
    assert_eq!(candidates.open[0].why, "vsftpd listens");
}
