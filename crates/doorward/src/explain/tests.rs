//! Questions as people ask them, right and wrong; what is assumed for them; answers to what no packet tells.

use super::*;
use crate::meaning::{Connection, Decider, Host, Path};
use crate::net::{AddrSet, PortRange, Prefix, Proto};
use crate::report::Origin;
use crate::resolve::model::{
    Accounts, Interface as On, Limit, Peers, Resolved, Rule, Scope, Traffic, Verdict,
};
use crate::ruleset::{Expr, Limit as Rate, LimitUnit};
use crate::syntax::ast::Way;
use crate::trace::{Assume, Place, Unknown};
use proptest::prelude::*;
use std::sync::Arc;

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn asked(text: &str) -> Asked {
    read(&words(text)).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"))
}

fn assumed(text: &str, facts: &Facts) -> Assumed {
    assume(&asked(text).question, facts).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"))
}

fn iface(index: u32, name: &str, addresses: &[&str]) -> Interface {
    Interface {
        name: name.to_owned(),
        index,
        kind: None,
        up: true,
        loopback: name == "lo",
        addresses: addresses.iter().map(|addr| addr.parse().unwrap()).collect(),
    }
}

/// Two interfaces, and a route by the second to one address.
fn facts() -> Facts {
    let route = |to: &str, iface: &str, source: &str| {
        let source = Some(source.parse().unwrap());
        (to.parse().unwrap(), Route { iface: iface.to_owned(), source })
    };
    Facts {
        interfaces: vec![
            iface(1, "lo", &["127.0.0.1", "::1"]),
            iface(2, "ens3", &["203.0.113.2", "2001:db8::2", "fe80::2"]),
            iface(3, "wg0", &["10.8.0.1", "10.8.0.2"]),
        ],
        routes: vec![route("10.8.0.9", "wg0", "10.8.0.2"), route("203.0.113.2", "lo", "203.0.113.2")],
        users: [("root".to_owned(), (0, 0)), ("www-data".to_owned(), (33, 33))].into(),
        groups: [("mail".to_owned(), 8)].into(),
    }
}

#[test]
fn questions_become_connections() {
    for (text, connection) in [
        ("tcp 198.51.100.7 443", "tcp 198.51.100.7 → 203.0.113.2 port 443 on ens3"),
        ("in tcp 198.51.100.7 https", "tcp 198.51.100.7 → 203.0.113.2 port 443 on ens3"),
        ("tcp from 198.51.100.7 port 443", "tcp 198.51.100.7 → 203.0.113.2 port 443 on ens3"),
        ("tcp 198.51.100.7:40001 192.0.2.9:22", "tcp 198.51.100.7 → 192.0.2.9 port 22 on ens3"),
        ("udp [2001:db8::7]:53 9", "udp 2001:db8::7 → 2001:db8::2 port 9 on ens3"),
        ("tcp fe80::7 22", "tcp fe80::7 → fe80::2 port 22 on ens3"),
        ("tcp 10.8.0.9 22", "tcp 10.8.0.9 → 10.8.0.2 port 22 on wg0"),
        ("tcp 10.8.0.9 22 on ens3", "tcp 10.8.0.9 → 203.0.113.2 port 22 on ens3"),
        ("tcp 203.0.113.2 22", "tcp 203.0.113.2 → 203.0.113.2 port 22 on lo"),
        ("tcp 127.0.0.1 22", "tcp 127.0.0.1 → 127.0.0.1 port 22 on lo"),
        ("ping 198.51.100.7", "icmp 198.51.100.7 → 203.0.113.2 type 8 on ens3"),
        ("ping 2001:db8::7", "ipv6-icmp 2001:db8::7 → 2001:db8::2 type 128 on ens3"),
        ("icmp 198.51.100.7 timestamp-request", "icmp 198.51.100.7 → 203.0.113.2 type 13 on ens3"),
        ("protocol gre 198.51.100.7", "gre 198.51.100.7 → 203.0.113.2 on ens3"),
        ("protocol 4 198.51.100.7", "ipip 198.51.100.7 → 203.0.113.2 on ens3"),
        (
            "out tcp 198.51.100.7 25 by user www-data",
            "tcp 203.0.113.2 → 198.51.100.7 port 25 on ens3 by user 33 group 33",
        ),
        (
            "out tcp 198.51.100.7:25 by group mail",
            "tcp 203.0.113.2 → 198.51.100.7 port 25 on ens3 by user 65534 group 8",
        ),
        (
            "out udp 10.8.0.1 10.8.0.9 53 by user 0",
            "udp 10.8.0.1 → 10.8.0.9 port 53 on wg0 by user 0 group 0",
        ),
        ("published tcp 198.51.100.7 8080", "tcp 198.51.100.7 → 203.0.113.2 port 8080 on ens3 to docker0"),
        ("forward tcp 10.8.0.9 198.51.100.7 443", "tcp 10.8.0.9 → 198.51.100.7 port 443 on wg0 to ens3"),
        (
            "forward tcp 10.0.0.2 198.51.100.7 443 on br0 to eth1",
            "tcp 10.0.0.2 → 198.51.100.7 port 443 on br0 to eth1",
        ),
    ] {
        assert_eq!(assumed(text, &facts()).connection.to_string(), connection, "{text}");
    }
}

#[test]
fn the_policy_comes_last() {
    for (text, file) in [
        ("tcp 198.51.100.7 443 p.dw", Some("p.dw")),
        ("tcp 198.51.100.7 443 on eth0 ./22", Some("./22")),
        ("tcp 198.51.100.7 203.0.113.2:443 p", Some("p")),
        ("ping 198.51.100.7 p.dw", Some("p.dw")),
        ("icmp 198.51.100.7 echo-request /etc/doorward/policy.dw", Some("/etc/doorward/policy.dw")),
        ("protocol gre 198.51.100.7 p.dw", Some("p.dw")),
        ("out tcp 198.51.100.7:25 p.dw", Some("p.dw")),
        ("out tcp 198.51.100.7 25 by user www-data p.dw", Some("p.dw")),
        ("tcp 198.51.100.7 443 on eth0", None),
    ] {
        let file_at = asked(text).file;
        assert_eq!(file_at.map(|at| words(text)[at]), file, "{text}");
    }
}

/// What is assumed is said with its reason, and only that.
#[test]
fn assumptions_are_said() {
    let lines = |text: &str, facts: &Facts| assumed(text, facts).lines;
    assert_eq!(
        lines("tcp 198.51.100.7 443", &facts()),
        [
            "it arrives on ens3, the first interface with an address of IPv4",
            "it goes to 203.0.113.2, an address of ens3"
        ]
    );
    assert_eq!(lines("tcp 198.51.100.7 203.0.113.2 443 on ens3", &facts()), Vec::<String>::new());
    assert_eq!(
        lines("out tcp 10.8.0.9 25", &facts()),
        [
            "it leaves on wg0, where the route to 10.8.0.9 leads",
            "it comes from 10.8.0.2, an address of wg0",
            "by user 65534 (nobody), group 65534"
        ]
    );
    assert_eq!(
        lines("tcp 2001:db8:7::7 22", &Facts::default()),
        [
            "it arrives on eth0, as no interface of this host is up",
            "it goes to 2001:db8::1, as this host has no address of IPv6 for it"
        ]
    );
    assert_eq!(
        lines("published tcp 198.51.100.7 203.0.113.2 80 on ens3", &facts()),
        ["a container gets it by destination NAT: 172.17.0.2 on docker0"]
    );
    assert_eq!(
        lines("udp 198.51.100.7 224.0.0.251 5353 on ens3", &facts()),
        Vec::<String>::new(),
        "many hosts have it"
    );
}

#[test]
fn wrong_questions_know_a_way_out() {
    for (text, message, way_out) in [
        ("", "no packet is asked about", "doorward explain tcp 198.51.100.7 443"),
        ("out", "no packet is asked about", "doorward explain out tcp 198.51.100.7 443"),
        ("443/tcp 192.0.2.9", "`443/tcp` stands for", "doorward explain tcp 192.0.2.9 443"),
        ("ssh 192.0.2.9", "`ssh` is a service", "doorward explain tcp 192.0.2.9 22"),
        ("tpc 192.0.2.9 22", "`tpc` is not a protocol", "did you mean `tcp`?"),
        ("TCP 192.0.2.9 22", "`TCP` is not a protocol", "did you mean `tcp`?"),
        ("gre 192.0.2.9", "`gre` has neither ports nor types", "doorward explain protocol gre 192.0.2.9"),
        ("icmpv6 ::7", "`icmpv6` is said as `icmp`", "doorward explain icmp ::7 echo-request"),
        ("192.0.2.9 22", "the protocol is missing before `192.0.2.9`", "doorward explain tcp 192.0.2.9 443"),
        ("protocol icmp 192.0.2.9", "ICMP is asked about by its types", "doorward explain icmp"),
        ("protocol grr 192.0.2.9", "`grr` is not a protocol", "did you mean `gre`?"),
        ("protocol", "the protocol is missing", "doorward explain protocol gre 198.51.100.7"),
        ("tcp", "the address is missing", "doorward explain tcp 198.51.100.7 443"),
        ("out tcp", "the address is missing", "doorward explain out tcp 198.51.100.7 443"),
        ("tcp 443", "the address is missing before `443`", "such as 198.51.100.7"),
        ("tcp example.org 443", "`example.org` is not an address", "names are not resolved"),
        ("tcp 192.0.2.0/24 443", "`192.0.2.0/24` stands for many", "such as 192.0.2.0"),
        ("tcp anyone 443", "`anyone` is many", "such as 198.51.100.7"),
        ("tcp 192.0.2.300 443", "`192.0.2.300` is not an address", "written like"),
        ("tcp 192.0.2.9 192.0.2.300 443", "`192.0.2.300` is not an address", "written like"),
        ("tcp 2001:db8::7:40000 443", "`2001:db8::7:40000` is not an address", "[2001:db8::7]:40000"),
        ("tcp [2001:db8::7] 443", "`[2001:db8::7]` is not an address with", "without a port: 2001:db8::7"),
        ("tcp 192.0.2.9", "the port is missing", "doorward explain tcp 192.0.2.9 443"),
        ("tcp 192.0.2.9:40000", "the port is missing", "doorward explain tcp 192.0.2.9:40000 443"),
        ("tcp 192.0.2.9 p.dw", "the port is missing before `p.dw`", "the policy comes last"),
        ("tcp 192.0.2.9 70000", "`70000` is not a port", "1 to 65535"),
        ("tcp 192.0.2.9 0", "`0` is not a port", "1 to 65535"),
        ("tcp 192.0.2.9 80-90", "`80-90` are many ports", "such as 80"),
        ("tcp 192.0.2.9 443/tcp", "the protocol is said already", "say 443 alone"),
        ("tcp 192.0.2.9 htpps", "`htpps` is not a port", "did you mean `https`?"),
        ("tcp 192.0.2.9 winrm", "`winrm` is not one port of tcp", "say the number"),
        ("udp 192.0.2.9 ssh", "`ssh` is not one port of udp: it is 22/tcp", "say the number"),
        ("icmp 192.0.2.9", "the type is missing", "doorward explain icmp 192.0.2.9 echo-request"),
        ("icmp 192.0.2.9 8", "`8` is not a type of ICMP", "say its name"),
        ("icmp 192.0.2.9 echo-requst", "`echo-requst` is not a type", "did you mean `echo-request`?"),
        ("icmp 192.0.2.9 packet-too-big", "`packet-too-big` is a type of IPv6 only", "an address of IPv6"),
        ("ping 192.0.2.9:80", "`ping` has no ports", "leave the port out"),
        ("tcp 192.0.2.9 2001:db8::1 22", "are of two families", "of one family"),
        ("forward tcp 10.0.0.2 443", "what passes through has two addresses", "10.0.0.2 443 to 198.51.100.7"),
        (
            "tcp 192.0.2.9 22 by user root",
            "known for `out` only",
            "doorward explain out tcp 192.0.2.9 22 by user root",
        ),
        ("out tcp 192.0.2.9 22 by root", "`by root` says not whether", "by user root"),
        ("out tcp 192.0.2.9 22 by user", "nothing stands behind `by user`", "by user www-data"),
        ("tcp 192.0.2.9 22 on", "nothing stands behind `on`", "on eth0"),
        ("tcp 192.0.2.9 22 on eth*", "`eth*` is not the name of an interface", "such as eth0"),
        ("tcp 192.0.2.9 22 on eth0 on eth1", "`on` is said twice", "say it once"),
        (
            "in tcp 192.0.2.9 22 on eth0 to eth1",
            "what comes in has one interface",
            "doorward explain forward tcp 192.0.2.9 22",
        ),
        ("tcp 192.0.2.9 22 p.dw q.dw", "nothing is known of `p.dw`", "the order is"),
        ("tcp 192.0.2.9 22 80", "nothing is known of `80`", "the order is"),
    ] {
        let wrong = match read(&words(text)) {
            Err(wrong) => wrong,
            Ok(asked) => panic!("{text} is taken for {asked:?}"),
        };
        assert!(wrong.message.starts_with(message) || wrong.message.contains(message), "{text}: {wrong:?}");
        assert!(wrong.ways_out.iter().any(|way| way.contains(way_out)), "{text}: {wrong:?}");
    }
    let unknown = assume(&asked("out tcp 192.0.2.9 22 by user www-dta").question, &facts()).unwrap_err();
    assert_eq!(unknown.message, "this host has no user `www-dta`");
    assert_eq!(unknown.ways_out, ["did you mean `www-data`?"]);
}

/// Every way out that is a question can be asked.
#[test]
fn ways_out_lead_out() {
    for text in [
        "",
        "in",
        "forward",
        "forward tcp",
        "forward tcp 2001:db8::7",
        "published tcp",
        "out icmp",
        "icmp ::7",
        "mosh ::7",
        "dns 192.0.2.9",
        "to 192.0.2.9",
        "tcp to 192.0.2.9",
        "out tcp from 192.0.2.9",
        "8080-8090/tcp",
        "ping",
        "winrm 192.0.2.9",
        "protocol 1 ::7",
    ] {
        let Err(wrong) = read(&words(text)) else { panic!("{text} is no mistake") };
        for way in &wrong.ways_out {
            if let Some(better) = way.strip_prefix("doorward explain ") {
                assert!(read(&words(better)).is_ok(), "{text}: {way}: {:?}", read(&words(better)));
            }
        }
    }
}

const WORDS: [&str; 24] = [
    "in",
    "out",
    "forward",
    "published",
    "tcp",
    "icmp",
    "ping",
    "protocol",
    "1.2.3.4",
    "::1",
    "[::1]:5",
    "80",
    "from",
    "to",
    "on",
    "by",
    "user",
    "port",
    "echo-request",
    "x.dw",
    "",
    "é:::",
    "/",
    "-",
];

proptest! {
    /// No words make the reader panic, whatever their order.
    #[test]
    fn any_words_are_read(said in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..9)) {
        for text in [said.clone(), [vec!["tcp", "::1"], said.clone()].concat(), [vec!["forward", "udp"], said].concat()] {
            if let Ok(asked) = read(&text) {
                let _ = assume(&asked.question, &facts());
            }
        }
    }
}

fn rule(line: u32, verdict: Verdict, ways: &[Way], port: u16) -> Rule {
    Rule {
        origin: Origin { file: "p.dw".into(), line, sentence: "a sentence".into() },
        verdict,
        ways: ways.to_vec(),
        traffic: vec![Traffic::Ports(Proto::TCP, PortRange::one(port))],
        scope: Scope::default(),
        limit: None,
        passive: None,
        log: false,
    }
}

fn on_what(policy: Vec<Rule>, text: &str) -> Vec<(String, Verdict)> {
    let policy = Resolved { rules: policy, ..Resolved::empty() };
    let facts = facts();
    let host = Host { own: facts.own() };
    let all = depends(&policy, &host, &assumed(text, &facts), &facts);
    all.into_iter().map(|one| (one.when, one.judgement.verdict)).collect()
}

#[test]
fn what_was_assumed_and_matters_is_told() {
    let mut limited = rule(1, Verdict::Allow, &[Way::In], 22);
    limited.limit = Some(Limit { rate: 6, seconds: 60, burst: 6, per_source: true });
    let above = ("above 6/minute per source".to_owned(), Verdict::Block);
    assert_eq!(on_what(vec![limited.clone()], "tcp 198.51.100.7 22 on ens3"), [above]);
    limited.limit = None;
    assert_eq!(on_what(vec![limited.clone()], "tcp 198.51.100.7 22"), []);
    limited.scope.on =
        vec![On { name: "wg0".to_owned(), wildcard: false }, On { name: "br-".to_owned(), wildcard: true }];
    let on = ("on br-0, wg0".to_owned(), Verdict::Allow);
    assert_eq!(on_what(vec![limited.clone()], "tcp 198.51.100.7 22"), [on]);
    assert_eq!(on_what(vec![limited], "tcp 198.51.100.7 22 on ens3"), [], "it was said");
    let mut to = rule(1, Verdict::Allow, &[Way::In], 22);
    let only = AddrSet::new([Prefix::parse("10.8.0.1").unwrap()], []);
    to.scope.to = Peers { only: Some(Arc::new(only)), except: None };
    let other = ("to 10.8.0.1".to_owned(), Verdict::Allow);
    assert_eq!(on_what(vec![to], "tcp 198.51.100.7 22"), [other]);
    let mut by = rule(1, Verdict::Block, &[Way::Out], 25);
    by.scope.user = Some(Accounts { except: false, ids: vec![33, 105] });
    let users = ("by user www-data, user 105".to_owned(), Verdict::Block);
    assert_eq!(on_what(vec![by.clone()], "out tcp 198.51.100.7 25"), [users]);
    assert_eq!(on_what(vec![by.clone()], "out tcp 198.51.100.7 25 by user 0"), []);
    by.scope.user = Some(Accounts { except: false, ids: vec![33] });
    by.scope.group = Some(Accounts { except: false, ids: vec![8] });
    let both = ("by user www-data group mail".to_owned(), Verdict::Block);
    assert_eq!(on_what(vec![by], "out tcp 198.51.100.7 25"), [both]);
}

/// Of the host's own addresses the meaning says who decides.
#[test]
fn forged_sources_are_built_in() {
    let facts = facts();
    let host = Host { own: facts.own() };
    let judged = |text: &str| {
        let connection: Connection = assumed(text, &facts).connection;
        crate::meaning::judge(&Resolved::empty(), &host, &connection, crate::meaning::Limits::Unspent)
    };
    assert_eq!(judged("tcp 203.0.113.2 22").verdict, Verdict::Allow);
    let forged = judged("tcp 203.0.113.2 22 on ens3");
    assert_eq!((forged.verdict, forged.by), (Verdict::Block, Decider::BuiltIn("own address from outside")));
}

/// At each hook, the packet has the address that it has there.
#[test]
fn translated_packets_differ_by_hook() {
    use crate::ruleset::Hook;
    let connection = assumed("published tcp 198.51.100.7 203.0.113.2 8080 on ens3", &facts()).connection;
    let around = Surroundings::default();
    let last = |hook: Hook| at(hook, &connection, &around).network[16..].to_vec();
    assert_eq!(last(Hook::Prerouting), [203, 0, 113, 2]);
    assert_eq!(last(Hook::Forward), [172, 17, 0, 2]);
    assert_eq!(packet(&connection, &around).hook, Hook::Forward);
    assert!(matches!(connection.path, Path::Forward { addressed: Some(_), .. }));
    assert!(at(Hook::Prerouting, &connection, &around).oif.is_none());
}

fn ask(assume: &mut dyn Assume, rule: usize, expr: &Expr) -> bool {
    let place = Place { table: 0, chain: 0, rule, expr: 0 };
    assume.holds(&Unknown { expr, place, element: None, times: 0 })
}

fn odd(name: &str) -> Expr {
    Expr::Unknown { name: name.to_owned(), data: Vec::new() }
}

/// Every end is found, each with the fewest answers that lead there.
#[test]
fn all_answers_are_tried() {
    let below = Expr::Limit(Rate { rate: 1, seconds: 1, burst: 5, unit: LimitUnit::Packets, over: false });
    let answers = fates(|assume| {
        if !ask(assume, 1, &below) {
            return "limited";
        }
        let (a, b) = (ask(assume, 2, &odd("a")), ask(assume, 3, &odd("b")));
        if a && b { "both" } else { "none" }
    });
    assert_eq!((answers.usual, answers.asked.len(), answers.complete), ("none", 3, true));
    let found: Vec<(&str, Vec<usize>)> = answers
        .others
        .iter()
        .map(|fate| (fate.end, fate.contrary.iter().map(|doubt| doubt.place.rule).collect()))
        .collect();
    assert_eq!(found, [("limited", vec![1]), ("both", vec![2, 3])]);
    let endless = fates(|assume| (0..20).filter(|rule| ask(assume, *rule, &odd("x"))).count());
    assert!(!endless.complete && endless.usual == 0);
}
