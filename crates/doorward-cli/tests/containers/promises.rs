//! `verify` beside rules of container runtimes: what they shut in their own networks is told and breaks nothing; a door
//! that a sentence promises and that somebody else shuts does.

use crate::bench::Host;
use crate::rules::{BackEnd, run};
use crate::tool::golden;
use crate::{PATHS, Path, Town, skip};
use std::fmt::Write as _;

/// What `init` proposes for such a host.
const INIT: &str = "allow ssh\nallow ping\nallow forward anything on docker0, br-*\n";

const TO_PORT_80: &str = "table inet evil { chain f { type filter hook forward priority 10; \
                          ip daddr 172.17.0.2 tcp dport 80 drop; ip6 daddr fd17::2 tcp dport 80 drop; }; }";

/// What others do to forwarding beside a runtime.
enum Others {
    /// Arguments of both programs of iptables, where the runtime uses these.
    Iptables(&'static str),
    /// A text for nft.
    Nft(&'static str),
}

impl Others {
    fn happens(&self, host: &Host) {
        match self {
            Others::Iptables(words) => {
                let args: Vec<&str> = words.split(' ').collect();
                for program in ["iptables", "ip6tables"] {
                    run(host, program, &args, "");
                }
            }
            Others::Nft(text) => {
                run(host, "nft", &["-f", "-"], text);
            }
        }
    }
}

/// A sentence besides those of `init`, what others do, how `verify` ends, and the path that it is about.
type Case = (&'static str, &'static str, Option<Others>, i32, Option<&'static Path>);

const FOR_BOTH: [Case; 13] = [
    ("the policy of `init`", "", None, 0, Some(&PATHS[6])),
    ("a published port", "allow published 8080/tcp", None, 0, Some(&PATHS[0])),
    ("the container's own address", "allow forward 80/tcp to 172.17.0.2, fd17::2", None, 0, Some(&PATHS[3])),
    ("somebody shuts a published port that nobody opens", "", Some(Others::Nft(TO_PORT_80)), 0, None),
    (
        "somebody shuts what a published port leads to",
        "allow published 8080/tcp",
        Some(Others::Nft(TO_PORT_80)),
        1,
        Some(&PATHS[0]),
    ),
    (
        "somebody shuts a published port, as it was addressed, for some",
        "allow published 8080/tcp",
        Some(Others::Nft(
            "table inet evil { chain f { type filter hook forward priority -10; \
             meta l4proto tcp ct original proto-dst 8080 ip saddr 203.0.113.0/25 drop; \
             meta l4proto tcp ct original proto-dst 8080 ip6 saddr 2001:db8:1::/64 drop; }; }",
        )),
        1,
        Some(&PATHS[0]),
    ),
    (
        "somebody shuts another published port",
        "allow published 8080/tcp",
        Some(Others::Nft(
            "table inet evil { chain f { type filter hook forward priority 10; \
             ip daddr 172.17.0.2 tcp dport 5432 drop; ip6 daddr fd17::2 tcp dport 5432 drop; }; }",
        )),
        0,
        Some(&PATHS[0]),
    ),
    (
        "somebody shuts the way out of containers",
        "",
        Some(Others::Nft(
            "table inet evil { chain f { type filter hook forward priority 10; iifname docker0 oifname eth0 drop; }; }",
        )),
        1,
        Some(&PATHS[6]),
    ),
    (
        "somebody refuses what is from no network of the bridge, as libvirt does",
        "",
        Some(Others::Nft(
            "table inet virt { chain f { type filter hook forward priority 10; \
             iifname docker0 ip saddr != 172.17.0.0/16 drop; iifname docker0 ip6 saddr != fd17::/64 drop; }; }",
        )),
        0,
        Some(&PATHS[6]),
    ),
    (
        "somebody shuts what passes by default",
        "default allow forward",
        Some(Others::Nft(
            "table inet evil { chain f { type filter hook forward priority 10; policy drop; }; }",
        )),
        1,
        Some(&PATHS[6]),
    ),
    (
        "somebody shuts a port of the host to which nothing is led",
        "",
        Some(Others::Nft(
            "table inet mine { chain i { type filter hook input priority 10; tcp dport 9999 drop; }; }",
        )),
        0,
        Some(&PATHS[6]),
    ),
    (
        "somebody shuts the container's own address",
        "allow forward 80/tcp to 172.17.0.2, fd17::2",
        Some(Others::Nft(TO_PORT_80)),
        1,
        Some(&PATHS[3]),
    ),
    (
        "somebody shuts what is expected",
        "default allow forward\nexpect forward 80/tcp to 172.17.0.2, fd17::2 is allowed",
        Some(Others::Nft(TO_PORT_80)),
        1,
        Some(&PATHS[3]),
    ),
];

/// Rules that only a host with iptables has.
const FOR_IPTABLES: [Case; 3] = [
    (
        "the administrator shuts it in DOCKER-USER",
        "allow published 8080/tcp",
        Some(Others::Iptables("-I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP")),
        1,
        Some(&PATHS[0]),
    ),
    (
        "Docker takes its accepts away and leaves the rest dropped",
        "allow published 8080/tcp",
        Some(Others::Iptables("-F DOCKER-FORWARD")),
        1,
        Some(&PATHS[0]),
    ),
    (
        "Docker guards the addresses of its containers, as since 28",
        "allow published 8080/tcp",
        Some(Others::Nft(
            "table ip raw { chain PREROUTING { type filter hook prerouting priority raw; \
             ip daddr 172.17.0.2 iifname != docker0 drop; }; }",
        )),
        0,
        None,
    ),
];

/// `verify` for each; what it says is in a golden file.
fn promises(back_end: BackEnd, name: &str) {
    if std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root() {
        return;
    }
    let town = Town::new(false);
    let server = town.bench.host("server");
    let mut text = String::new();
    let for_iptables: &[Case] = if back_end == BackEnd::Iptables { &FOR_IPTABLES } else { &[] };
    for (words, sentence, others, exit, path) in FOR_BOTH.iter().chain(for_iptables) {
        run(server, "nft", &["flush", "ruleset"], "");
        back_end.load(server);
        town.apply(&format!("{INIT}{sentence}\n"));
        if let Some(others) = others {
            others.happens(server);
        }
        let (said, ended) = town.says(&["verify", "p.dw"]);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# {words}\n{said}-- exit {ended}\n");
        // What is promised and not broken is open, over both families, and what is broken is not.
        if let Some(path) = path {
            let open = town.open(&[path]).len();
            assert_eq!(open, if *exit == 0 { 2 } else { 0 }, "{back_end:?}, {words}: open\n{said}");
        }
        assert_eq!(ended, *exit, "{back_end:?}, {words}\n{said}");
    }
    golden(&format!("verify-{name}.txt"), &text);
}

#[test]
fn promises_beside_docker_with_iptables() {
    promises(BackEnd::Iptables, "docker-iptables");
}

#[test]
fn promises_beside_docker_with_nftables() {
    promises(BackEnd::Nftables, "docker-nftables");
}

#[test]
fn promises_beside_podman() {
    promises(BackEnd::Netavark, "podman");
}
