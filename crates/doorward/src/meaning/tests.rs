//! A test per ruling, by its number in the language, and order that never matters.
#![allow(clippy::unwrap_used, clippy::panic, clippy::unnecessary_wraps)]

use super::*;
use crate::compile::Options;
use crate::net::{AddrSet, IcmpType, PortRange, Prefix, Proto, icmp_type};
use crate::prove::{self, Answer};
use crate::report::Origin;
use crate::resolve::model::*;
use proptest::prelude::*;
use std::net::IpAddr;
use std::sync::Arc;

const OFFICE: &str = "203.0.113.0/24";
const TCP: Proto = Proto::TCP;

fn policy(rules: Vec<Rule>) -> Resolved {
    let default = |verdict| DefaultRule { verdict, origin: None };
    Resolved {
        rules,
        trust: Vec::new(),
        defaults: Defaults {
            r#in: default(Verdict::Block),
            out: default(Verdict::Allow),
            published: default(Verdict::Block),
            forward: default(Verdict::Block),
        },
        expects: Vec::new(),
        nat: Vec::new(),
        bridges: Vec::new(),
    }
}

fn origin(line: u32) -> Origin {
    Origin { file: "policy.dw".into(), line, sentence: format!("sentence {line}").into() }
}

fn rule(line: u32, verdict: Verdict, ways: &[Way], traffic: Vec<Traffic>) -> Rule {
    Rule {
        origin: origin(line),
        verdict,
        ways: ways.to_vec(),
        traffic,
        scope: Scope::default(),
        limit: None,
        passive: None,
        log: false,
    }
}

fn ports(proto: Proto, first: u16, last: u16) -> Vec<Traffic> {
    vec![Traffic::Ports(proto, PortRange::new(first, last).unwrap())]
}

fn allow(line: u32, port: u16) -> Rule {
    rule(line, Verdict::Allow, &[Way::In], ports(TCP, port, port))
}

fn block(line: u32, port: u16) -> Rule {
    rule(line, Verdict::Block, &[Way::In], ports(TCP, port, port))
}

fn set(text: &str) -> Option<Arc<AddrSet>> {
    let prefixes = text.split(' ').map(|text| Prefix::parse(text).unwrap());
    Some(Arc::new(AddrSet::new(prefixes, [])))
}

fn from(mut rule: Rule, text: &str) -> Rule {
    rule.scope.from.only = set(text);
    rule
}

fn limited(mut rule: Rule) -> Rule {
    rule.limit = Some(Limit { rate: 6, seconds: 60, burst: 6, per_source: true });
    rule
}

fn trust(mut policy: Resolved, text: &str) -> Resolved {
    policy.trust.push(Trust { who: set(text).unwrap(), origin: origin(90) });
    policy
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn arrives(from: &str, packet: Packet) -> Connection {
    let from = addr(from);
    let to = if from.is_ipv4() { addr("192.0.2.1") } else { addr("2001:db8::1") };
    Connection { path: Path::In { iface: "eth0".into(), addressed: None }, from, to, packet }
}

fn leaves(owner: Option<Owner>, packet: Packet) -> Connection {
    Connection {
        path: Path::Out { iface: "eth0".into(), owner },
        from: addr("192.0.2.1"),
        to: addr("198.51.100.7"),
        packet,
    }
}

fn passes(iif: &str, oif: &str, packet: Packet, port: Option<u16>) -> Connection {
    let addressed = port.map(|port| Addressed { to: addr("192.0.2.1"), port });
    Connection {
        path: Path::Forward { iif: iif.into(), oif: oif.into(), addressed },
        from: addr("198.51.100.7"),
        to: addr("172.17.0.2"),
        packet,
    }
}

fn syn(to: u16) -> Packet {
    Packet::Ports { proto: TCP, from: 40_000, to, opens: true }
}

fn udp(from: u16, to: u16) -> Packet {
    Packet::Ports { proto: Proto::UDP, from, to, opens: true }
}

fn icmp(kind: u8) -> Packet {
    Packet::Icmp { kind, hops: 255 }
}

fn host() -> Host {
    Host { own: vec![addr("192.0.2.1"), addr("2001:db8::1")] }
}

fn of(policy: &Resolved, connection: &Connection) -> Judgement {
    judge(policy, &host(), connection, Limits::Unspent)
}

fn verdict(policy: &Resolved, connection: &Connection) -> Verdict {
    of(policy, connection).verdict
}

fn built_in(policy: &Resolved, connection: &Connection) -> (Verdict, Option<&'static str>) {
    let judgement = of(policy, connection);
    let Decider::BuiltIn(why) = judgement.by else { return (judgement.verdict, None) };
    (judgement.verdict, Some(why))
}

#[test]
fn defaults_decide_the_rest() {
    let empty = policy(vec![]);
    for (connection, way, verdict) in [
        (arrives("198.51.100.7", syn(22)), Way::In, Verdict::Block),
        (leaves(None, syn(22)), Way::Out, Verdict::Allow),
        (passes("eth0", "eth1", syn(22), Some(8080)), Way::Published, Verdict::Block),
        (passes("eth0", "eth1", syn(22), None), Way::Forward, Verdict::Block),
    ] {
        let judgement = of(&empty, &connection);
        assert_eq!((judgement.verdict, judgement.by), (verdict, Decider::Default(way, None)), "{connection}");
    }
}

#[test]
fn block_over_reject_over_allow() {
    let reject = rule(2, Verdict::Reject, &[Way::In], ports(TCP, 22, 22));
    let connection = arrives("198.51.100.7", syn(22));
    let rules = [allow(1, 22), reject, block(3, 22)];
    for (rules, line, expected) in
        [(&rules[..1], 1, Verdict::Allow), (&rules[..2], 2, Verdict::Reject), (&rules[..], 3, Verdict::Block)]
    {
        let judgement = of(&policy(rules.to_vec()), &connection);
        assert_eq!((judgement.verdict, judgement.by), (expected, Decider::Sentence(origin(line))));
    }
}

#[test]
fn rows_1_to_3_and_5_trust_lifts_and_opens_nothing() {
    let reject = rule(1, Verdict::Reject, &[Way::In], ports(TCP, 113, 113));
    let shut = rule(2, Verdict::Block, &[Way::Out], vec![Traffic::Any]);
    let trusting = trust(policy(vec![reject, shut, from(block(3, 22), OFFICE), allow(4, 22)]), OFFICE);
    assert_eq!(verdict(&trusting, &arrives("203.0.113.5", syn(113))), Verdict::Block, "the default drops");
    assert_eq!(verdict(&trusting, &arrives("198.51.100.7", syn(113))), Verdict::Reject);
    assert_eq!(verdict(&trusting, &arrives("203.0.113.5", syn(22))), Verdict::Allow);
    let mut back = leaves(None, syn(25));
    back.to = addr("203.0.113.5");
    assert_eq!(verdict(&trusting, &back), Verdict::Block, "trust speaks of who comes from there");
    let spoofed = trust(policy(vec![allow(1, 22)]), "0.0.0.0/0");
    assert_eq!(verdict(&spoofed, &arrives("192.0.2.1", syn(22))), Verdict::Block);
}

#[test]
fn trust_lifts_limits() {
    let trusting = trust(policy(vec![limited(allow(1, 22))]), OFFICE);
    let connection = arrives("203.0.113.5", syn(22));
    let judgement = judge(&trusting, &host(), &connection, Limits::Spent);
    assert_eq!((judgement.verdict, judgement.limited), (Verdict::Allow, false));
}

#[test]
fn rows_4_and_31_limits() {
    let connection = arrives("203.0.113.5", syn(22));
    let alone = policy(vec![limited(allow(1, 22))]);
    let judged = |policy: &Resolved, limits| {
        let judgement = judge(policy, &host(), &connection, limits);
        (judgement.verdict, judgement.limited)
    };
    assert_eq!(judged(&alone, Limits::Unspent), (Verdict::Allow, true));
    assert_eq!(judged(&alone, Limits::Spent), (Verdict::Block, true));
    let both = policy(vec![limited(allow(1, 22)), from(allow(2, 22), OFFICE)]);
    assert_eq!(judged(&both, Limits::Spent), (Verdict::Allow, false));
    assert_eq!(of(&both, &connection).by, Decider::Sentence(origin(2)), "the bucket is not charged");
}

#[test]
fn row_35_and_37_passive() {
    let mut ftp = limited(from(allow(1, 21), OFFICE));
    ftp.passive = Some(Passive { range: PortRange::new(50_000, 50_100).unwrap(), helper: false });
    let open = policy(vec![ftp.clone()]);
    let data = |from| judge(&open, &host(), &arrives(from, syn(50_100)), Limits::Spent).verdict;
    assert_eq!(data("203.0.113.5"), Verdict::Allow);
    assert_eq!(data("198.51.100.7"), Verdict::Block, "the same sources only");
    assert_eq!(verdict(&open, &arrives("203.0.113.5", udp(40_000, 50_100))), Verdict::Block);
    ftp.passive = ftp.passive.map(|passive| Passive { helper: true, ..passive });
    assert_eq!(verdict(&policy(vec![ftp]), &arrives("203.0.113.5", syn(50_100))), Verdict::Block);
}

#[test]
fn rulings_10_and_11_published() {
    let open =
        policy(vec![rule(1, Verdict::Allow, &[Way::Published], ports(TCP, 8080, 8080)), allow(2, 9090)]);
    assert_eq!(verdict(&open, &passes("eth0", "docker0", syn(80), Some(8080))), Verdict::Allow);
    assert_eq!(verdict(&open, &passes("eth0", "docker0", syn(8080), Some(80))), Verdict::Block);
    assert_eq!(verdict(&open, &passes("eth0", "docker0", syn(8080), None)), Verdict::Block, "row 55");
    assert_eq!(verdict(&open, &arrives("198.51.100.7", syn(8080))), Verdict::Allow, "a local proxy");
    assert_eq!(verdict(&open, &passes("eth0", "docker0", syn(80), Some(9090))), Verdict::Block);
    // A local redirect: what the peer addressed counts.
    let mut redirected = arrives("198.51.100.7", syn(9090));
    redirected.path =
        Path::In { iface: "eth0".into(), addressed: Some(Addressed { to: addr("192.0.2.1"), port: 80 }) };
    assert_eq!(verdict(&open, &redirected), Verdict::Block);
    let mut to = allow(1, 80);
    to.ways = vec![Way::Published];
    to.scope.to.only = set("192.0.2.1");
    assert_eq!(verdict(&policy(vec![to]), &passes("eth0", "docker0", syn(8000), Some(80))), Verdict::Allow);
}

#[test]
fn ruling_9_bridges() {
    let mut bridged = policy(vec![]);
    bridged.bridges = vec!["docker0".into()];
    assert_eq!(verdict(&bridged, &passes("docker0", "docker0", syn(80), None)), Verdict::Allow);
    assert_eq!(verdict(&bridged, &passes("docker0", "eth0", syn(80), None)), Verdict::Block);
    bridged.rules = vec![rule(1, Verdict::Block, &[Way::Forward], ports(TCP, 80, 80))];
    assert_eq!(verdict(&bridged, &passes("docker0", "docker0", syn(80), None)), Verdict::Block);
}

#[test]
fn rulings_1_and_14_what_no_sentence_opens() {
    let open = policy(vec![rule(1, Verdict::Allow, &Way::ALL, vec![Traffic::Any])]);
    for source in ["127.0.0.1", "::1", "192.0.2.1", "2001:db8::1", "::ffff:198.51.100.7"] {
        assert_eq!(verdict(&open, &arrives(source, syn(22))), Verdict::Block, "{source}");
    }
    let ack = Packet::Ports { proto: TCP, from: 40_000, to: 22, opens: false };
    for connection in [
        arrives("198.51.100.7", ack),
        leaves(None, ack),
        passes("eth0", "eth1", ack, None),
        passes("eth0", "eth1", ack, Some(22)),
    ] {
        assert_eq!(built_in(&open, &connection), (Verdict::Block, Some("TCP without a bare SYN")));
    }
}

#[test]
fn row_54_loopback_always_passes() {
    let mut shut = policy(vec![rule(1, Verdict::Block, &Way::ALL, vec![Traffic::Any])]);
    shut.defaults.out.verdict = Verdict::Block;
    let mut inward = arrives("127.0.0.1", syn(22));
    inward.path = Path::In { iface: "lo".into(), addressed: None };
    assert_eq!(built_in(&shut, &inward), (Verdict::Allow, Some("loopback")));
    let mut outward = leaves(None, syn(22));
    outward.path = Path::Out { iface: "lo".into(), owner: None };
    assert_eq!(built_in(&shut, &outward), (Verdict::Allow, Some("loopback")));
}

#[test]
fn essentials_and_row_44_a_block_that_names_them_wins() {
    let (neighbour, four) = ("fe80::7", "198.51.100.7");
    let empty = policy(vec![]);
    for connection in [
        arrives(neighbour, icmp(135)),
        arrives(neighbour, icmp(136)),
        arrives(neighbour, icmp(134)),
        arrives(neighbour, Packet::Icmp { kind: 130, hops: 1 }),
        arrives("2001:db8:7::7", icmp(2)),
        arrives(four, icmp(3)),
        arrives(four, udp(67, 68)),
        arrives(neighbour, udp(547, 546)),
    ] {
        assert_eq!(verdict(&empty, &connection), Verdict::Allow, "{connection}");
        let spam = rule(1, Verdict::Block, &[Way::In], vec![Traffic::Any]);
        assert_eq!(verdict(&policy(vec![spam]), &connection), Verdict::Allow, "{connection}");
    }
    for connection in [
        arrives(neighbour, Packet::Icmp { kind: 135, hops: 254 }),
        arrives(neighbour, icmp(128)),
        arrives(four, icmp(8)),
        arrives(four, udp(40_000, 68)),
        arrives("2001:db8:7::7", udp(547, 546)),
        passes("eth0", "eth1", udp(67, 68), None),
    ] {
        assert_eq!(verdict(&empty, &connection), Verdict::Block, "{connection}");
    }
    let named = |traffic| policy(vec![rule(1, Verdict::Block, &[Way::In], vec![traffic])]);
    let big = icmp_type("packet-too-big").unwrap();
    assert_eq!(verdict(&named(Traffic::Icmp(big)), &arrives("2001:db8:7::7", icmp(2))), Verdict::Block);
    let dhcp = Traffic::Ports(Proto::UDP, PortRange::one(68));
    assert_eq!(verdict(&named(dhcp), &arrives(four, udp(67, 68))), Verdict::Block);
    let all = |traffic| policy(vec![rule(1, Verdict::Block, &[Way::In], vec![traffic])]);
    assert_eq!(verdict(&all(Traffic::Protocol(Proto::UDP)), &arrives(four, udp(67, 68))), Verdict::Allow);
    let mut twin = arrives("2001:db8::1", icmp(136));
    assert_eq!(verdict(&empty, &twin), Verdict::Allow, "somebody else with our address");
    twin.packet = Packet::Icmp { kind: 136, hops: 64 };
    assert_eq!(built_in(&empty, &twin), (Verdict::Block, Some("own address from outside")));
}

#[test]
fn row_39_essentials_hold_outwards() {
    let mut shut = policy(vec![]);
    shut.defaults.out.verdict = Verdict::Block;
    assert_eq!(verdict(&shut, &leaves(None, udp(68, 67))), Verdict::Allow);
    assert_eq!(verdict(&shut, &leaves(None, icmp(3))), Verdict::Allow);
    assert_eq!(verdict(&shut, &leaves(None, udp(40_000, 53))), Verdict::Block);
}

#[test]
fn rows_47_and_48_icmp_by_family() {
    let ping = policy(vec![rule(1, Verdict::Allow, &[Way::In], vec![Traffic::Icmp(IcmpType::ECHO_REQUEST)])]);
    assert_eq!(verdict(&ping, &arrives("198.51.100.7", icmp(8))), Verdict::Allow);
    assert_eq!(verdict(&ping, &arrives("2001:db8:7::7", icmp(128))), Verdict::Allow);
    assert_eq!(verdict(&ping, &arrives("198.51.100.7", icmp(128))), Verdict::Block);
    assert_eq!(verdict(&ping, &arrives("2001:db8:7::7", icmp(8))), Verdict::Block);
}

#[test]
fn row_11_users_and_packets_of_nobody() {
    let mut smtp = rule(1, Verdict::Block, &[Way::Out], ports(TCP, 25, 25));
    smtp.scope.user = Some(Accounts { except: true, ids: vec![105] });
    let strict = policy(vec![smtp.clone()]);
    let by = |uid, gid| leaves(Some(Owner { uid, gid }), syn(25));
    assert_eq!(verdict(&strict, &by(105, 105)), Verdict::Allow);
    assert_eq!(verdict(&strict, &by(33, 33)), Verdict::Block);
    assert_eq!(verdict(&strict, &leaves(None, syn(25))), Verdict::Block, "nobody is not postfix");
    smtp.scope.user = Some(Accounts { except: false, ids: vec![105] });
    smtp.scope.group = Some(Accounts { except: false, ids: vec![8] });
    let both = policy(vec![smtp]);
    assert_eq!(verdict(&both, &by(105, 8)), Verdict::Block, "row 15: both");
    assert_eq!(verdict(&both, &by(105, 9)), Verdict::Allow);
    assert_eq!(verdict(&both, &leaves(None, syn(25))), Verdict::Allow);
}

#[test]
fn rows_6_to_10_and_16_scopes() {
    let mut except = allow(1, 22);
    except.scope.from.except = set(OFFICE);
    assert_eq!(verdict(&policy(vec![except.clone()]), &arrives("203.0.113.5", syn(22))), Verdict::Block);
    assert_eq!(verdict(&policy(vec![except]), &arrives("198.51.100.7", syn(22))), Verdict::Allow);
    let mut on = allow(1, 22);
    on.scope.on = vec![Interface { name: "br-".into(), wildcard: true }];
    let open = policy(vec![on]);
    let mut connection = arrives("198.51.100.7", syn(22));
    assert_eq!(verdict(&open, &connection), Verdict::Block);
    connection.path = Path::In { iface: "br-1".into(), addressed: None };
    assert_eq!(verdict(&open, &connection), Verdict::Allow);
}

#[test]
fn row_57_logs_if_any_deciding_sentence_does() {
    let mut logging = allow(2, 22);
    logging.log = true;
    let mut blocked = block(3, 23);
    blocked.log = true;
    let both = policy(vec![allow(1, 22), logging, blocked]);
    let judgement = of(&both, &arrives("198.51.100.7", syn(22)));
    assert_eq!((judgement.logs, judgement.by), (true, Decider::Sentence(origin(1))));
    assert!(!of(&both, &arrives("198.51.100.7", syn(24))).logs);
}

fn expect(way: Way, traffic: Vec<Traffic>, scope: Scope, allowed: bool) -> Expect {
    Expect { origin: origin(50), way, traffic, scope, allowed }
}

fn answers(mut policy: Resolved, expects: Vec<Expect>) -> Vec<Answer> {
    policy.expects = expects;
    let (table, proof) = prove::compiled(&policy, &Host::default(), &Options::default(), &prove::InTurn);
    assert!(table.is_some(), "{:#?}", proof.differences);
    proof.expectations.into_iter().map(|outcome| outcome.answer).collect()
}

fn example(answer: &Answer) -> String {
    let Answer::Fails { example, judgement } = answer else { return format!("{answer:?}") };
    match &judgement.by {
        Decider::Sentence(origin) => format!("{example} ({origin})"),
        Decider::Default(way, _) => format!("{example} (default {})", way.word()),
        Decider::BuiltIn(why) => format!("{example} ({why})"),
    }
}

#[test]
fn expectations_hold_or_show_a_packet() {
    let open = policy(vec![from(allow(14, 22), "198.51.100.0/24 203.0.113.0/24")]);
    let mut outside = Scope::default();
    outside.from.except = set(OFFICE);
    let mut office = Scope::default();
    office.from.only = set(OFFICE);
    let mut half = Scope::default();
    half.from.only = set("203.0.112.0/23");
    let answers = answers(
        open,
        vec![
            expect(Way::In, ports(TCP, 22, 22), outside, false),
            expect(Way::In, ports(TCP, 22, 22), office.clone(), true),
            expect(Way::In, ports(TCP, 22, 23), office, true),
            expect(Way::In, ports(TCP, 22, 22), half, true),
            expect(Way::In, ports(TCP, 3306, 3306), Scope::default(), false),
            expect(Way::Out, ports(TCP, 25, 25), Scope::default(), true),
        ],
    );
    assert_eq!(example(&answers[0]), "tcp 198.51.100.7 → port 22 on eth0 (policy.dw:14)");
    assert!(matches!(answers[1], Answer::Holds), "{:?}", answers[1]);
    assert_eq!(example(&answers[2]), "tcp 203.0.113.7 → port 23 on eth0 (default in)");
    assert_eq!(example(&answers[3]), "tcp 203.0.112.1 → port 22 on eth0 (default in)");
    assert!(matches!(answers[4], Answer::Holds), "{:?}", answers[4]);
    assert!(matches!(answers[5], Answer::Holds), "{:?}", answers[5]);
}

#[test]
fn expectations_see_one_address_among_many_and_one_user() {
    let mut smtp = rule(3, Verdict::Block, &[Way::Out], ports(TCP, 25, 25));
    smtp.scope.user = Some(Accounts { except: false, ids: vec![33] });
    let open = policy(vec![from(block(2, 443), "2001:db8:5::9"), allow(1, 443), smtp]);
    let answers = answers(
        open,
        vec![
            expect(Way::In, ports(TCP, 443, 443), Scope::default(), true),
            expect(Way::Out, ports(TCP, 25, 25), Scope::default(), true),
        ],
    );
    assert_eq!(example(&answers[0]), "tcp 2001:db8:5::9 → port 443 on eth0 (policy.dw:2)");
    assert_eq!(
        example(&answers[1]),
        "tcp 198.51.100.7 → 192.0.2.1 port 25 on eth0 by user 33 group 1000 (policy.dw:3)"
    );
}

#[test]
fn limits_count_as_unspent_and_built_ins_count() {
    let limited_ssh = policy(vec![limited(allow(1, 22))]);
    let answers = answers(
        limited_ssh,
        vec![
            expect(Way::In, ports(TCP, 22, 22), Scope::default(), true),
            expect(Way::In, ports(TCP, 22, 22), Scope::default(), false),
            expect(Way::In, vec![Traffic::Any], Scope::default(), false),
            expect(Way::Published, ports(TCP, 22, 22), Scope::default(), false),
        ],
    );
    assert!(matches!(answers[0], Answer::Holds));
    assert!(matches!(answers[1], Answer::Fails { .. }));
    assert!(matches!(answers[2], Answer::Fails { .. }));
    assert!(matches!(answers[3], Answer::Fails { .. }), "ruling 10: a local proxy is let in");
}

#[test]
fn an_expectation_of_nobody_says_so_and_a_huge_one_is_decided() {
    let mut mixed = Scope::default();
    mixed.from.only = set("198.51.100.0/24");
    mixed.to.only = set("2001:db8::1");
    let nobody = expect(Way::In, ports(TCP, 22, 22), mixed, true);
    assert_eq!(answers(policy(vec![]), vec![nobody]), [Answer::Nothing]);
    let many =
        (0..6000).map(|n: u16| from(allow(u32::from(n), n), &format!("10.{}.{}.0/24", n / 256, n % 256)));
    let huge = expect(Way::In, vec![Traffic::Any], Scope::default(), false);
    let answer = answers(policy(many.collect()), vec![huge]);
    assert!(matches!(answer[0], Answer::Fails { .. }), "{answer:?}");
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let verdicts = prop::sample::select(vec![Verdict::Allow, Verdict::Block, Verdict::Reject]);
    let ways = prop::sample::subsequence(Way::ALL.to_vec(), 1..=4);
    let sources = prop::sample::select(vec!["0.0.0.0/0 ::/0", OFFICE, "198.51.100.0/24 2001:db8:7::/48"]);
    let traffic = prop::sample::select(vec![
        Traffic::Any,
        Traffic::Ports(TCP, PortRange::one(22)),
        Traffic::Ports(TCP, PortRange::ALL),
        Traffic::Icmp(icmp_type("packet-too-big").unwrap()),
        Traffic::Protocol(Proto::UDP),
    ]);
    (verdicts, ways, sources, traffic, any::<[bool; 3]>(), 1..99u32).prop_map(
        |(verdict, ways, sources, traffic, [log, limit, passive], line)| {
            let mut rule = from(rule(line, verdict, &ways, vec![traffic]), sources);
            rule.log = log;
            if limit && verdict == Verdict::Allow {
                rule = limited(rule);
            }
            if passive && verdict == Verdict::Allow {
                rule.passive = Some(Passive { range: PortRange::new(1000, 2000).unwrap(), helper: false });
            }
            rule
        },
    )
}

fn any_connection() -> impl Strategy<Value = Connection> {
    let sources = prop::sample::select(vec!["203.0.113.5", "198.51.100.7", "2001:db8:7::7", "fe80::7"]);
    let packets =
        prop::sample::select(vec![syn(22), syn(1500), udp(67, 68), udp(9, 53), icmp(2), icmp(8), icmp(135)]);
    (sources, packets, 0..3u8).prop_map(|(from, packet, path)| {
        let mut connection = arrives(from, packet);
        match path {
            0 => {}
            1 => connection.path = Path::Out { iface: "eth0".into(), owner: None },
            _ => {
                connection.path = Path::Forward { iif: "eth0".into(), oif: "eth1".into(), addressed: None };
            }
        }
        connection
    })
}

proptest! {
    /// Order never matters: any order of the sentences gives the same verdict, limits and logs.
    #[test]
    fn shuffled_sentences_mean_the_same(
        rules in prop::collection::vec(any_rule(), 0..8).prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        connection in any_connection(),
        trusting in any::<bool>(),
        spent in any::<bool>(),
    ) {
        let limits = if spent { Limits::Spent } else { Limits::Unspent };
        let judged = |rules: Vec<Rule>| {
            let plain = policy(rules);
            let policy = if trusting { trust(plain, OFFICE) } else { plain };
            let judgement = judge(&policy, &host(), &connection, limits);
            let by = std::mem::discriminant(&judgement.by);
            (judgement.verdict, judgement.limited, judgement.logs, by)
        };
        prop_assert_eq!(judged(rules.0), judged(rules.1));
    }

    /// Checking one connection of each class is checking all: no connection at random finds more.
    #[test]
    fn what_holds_has_no_counterexample(
        rules in prop::collection::vec(any_rule(), 0..6),
        connection in any_connection(),
        allowed in any::<bool>(),
    ) {
        let way = match connection.path {
            Path::In { .. } => Way::In,
            Path::Out { .. } => Way::Out,
            Path::Forward { .. } => Way::Forward,
        };
        let policy = policy(rules);
        let answer = answers(policy.clone(), vec![expect(way, vec![Traffic::Any], Scope::default(), allowed)]);
        if matches!(answer[0], Answer::Holds) {
            // ICMP errors open no connection and are not spoken of.
            prop_assume!(!matches!(connection.packet, Packet::Icmp { kind: 2, .. }));
            let judgement = judge(&policy, &Host::default(), &connection, Limits::Unspent);
            prop_assert_eq!(judgement.verdict == Verdict::Allow, allowed, "{}", connection);
        }
    }
}
