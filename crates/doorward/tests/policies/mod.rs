//! Random policies, as values: what property tests of the compiler are fed with.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use doorward::net::{AddrSet, Family, IcmpType, PortRange, Prefix, Proto};
use doorward::report::Origin;
use doorward::resolve::model::{
    Accounts, DefaultRule, Defaults, Interface, Limit, Nat, Passive, Peers, Resolved, Rule, Scope, Traffic,
    Translation, Trust, Verdict, Way,
};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

pub fn prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (any::<u32>(), 1u8..=32).prop_map(|(addr, len)| Prefix::around(Family::V4, addr.into(), len)),
        (any::<u128>(), 1u8..=128).prop_map(|(addr, len)| Prefix::around(Family::V6, addr, len)),
        any::<u8>().prop_map(|n| Prefix::host(IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)))),
        any::<u16>().prop_map(|n| Prefix::host(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)))),
    ]
}

pub fn addresses() -> impl Strategy<Value = Arc<AddrSet>> {
    let few = prop::collection::vec(prefix(), 1..4);
    let many = prop::collection::vec(prefix(), 70..90);
    prop_oneof![8 => few, 1 => many].prop_map(|list| Arc::new(AddrSet::new(list, [])))
}

pub fn peers() -> impl Strategy<Value = Peers> {
    (prop::option::of(addresses()), prop::option::weighted(0.2, addresses()))
        .prop_map(|(only, except)| Peers { only, except })
}

pub fn traffic() -> impl Strategy<Value = Traffic> {
    let ports = (prop::sample::select(vec![Proto::TCP, Proto::UDP, Proto::SCTP]), 1u16..2000, 0u16..200)
        .prop_map(|(proto, first, more)| {
            Traffic::Ports(proto, PortRange::new(first, first + if more > 150 { more } else { 0 }).unwrap())
        });
    prop_oneof![
        6 => ports,
        1 => Just(Traffic::Any),
        1 => Just(Traffic::Icmp(IcmpType::ECHO_REQUEST)),
        1 => Just(Traffic::Icmp(IcmpType { v4: None, v6: Some(2) })),
        1 => prop::sample::select(vec![47u8, 50, 6, 17]).prop_map(|n| Traffic::Protocol(Proto(n))),
    ]
}

pub fn interfaces() -> impl Strategy<Value = Vec<Interface>> {
    let one = (prop::sample::select(vec!["eth0", "eth1", "wg0", "br-", "docker0"]), any::<bool>())
        .prop_map(|(name, wildcard)| Interface { name: name.to_owned(), wildcard });
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

pub fn accounts() -> impl Strategy<Value = Option<Accounts>> {
    prop::option::weighted(
        0.3,
        (any::<bool>(), prop::collection::vec(0u32..2000, 1..3))
            .prop_map(|(except, ids)| Accounts { except, ids }),
    )
}

pub fn rule() -> impl Strategy<Value = Rule> {
    let limit = prop::option::weighted(
        0.2,
        (1u32..100, prop::sample::select(vec![1u32, 60, 3600]), 1u32..20, any::<bool>())
            .prop_map(|(rate, seconds, burst, per_source)| Limit { rate, seconds, burst, per_source }),
    );
    let passive = prop::option::weighted(
        0.1,
        (any::<bool>()).prop_map(|helper| Passive { range: PortRange::new(50_000, 50_100).unwrap(), helper }),
    );
    (
        prop::sample::select(vec![Verdict::Allow, Verdict::Allow, Verdict::Block, Verdict::Reject]),
        prop::sample::select(vec![
            vec![Way::In],
            vec![Way::In],
            vec![Way::Out],
            vec![Way::Published],
            vec![Way::Forward],
            vec![Way::In, Way::Published, Way::Forward],
        ]),
        prop::collection::vec(traffic(), 1..4),
        (peers(), peers(), interfaces(), accounts(), accounts()),
        limit,
        passive,
        prop::bool::weighted(0.1),
        1u32..10_000,
    )
        .prop_map(|(verdict, ways, traffic, (from, to, on, user, group), limit, passive, log, line)| {
            let out = ways == [Way::Out];
            let allows = verdict == Verdict::Allow;
            Rule {
                origin: origin(line, &format!("{} sentence {line}", verdict.word())),
                verdict,
                ways,
                traffic,
                scope: Scope { from, to, on, user: user.filter(|_| out), group: group.filter(|_| out) },
                limit: limit.filter(|_| allows),
                passive: passive.filter(|_| allows),
                log,
            }
        })
}

/// Ports of TCP, UDP or SCTP, few or many.
fn ports() -> impl Strategy<Value = (Proto, PortRange)> {
    let protos = prop::sample::select(vec![Proto::TCP, Proto::UDP, Proto::SCTP]);
    (protos, 1u16..2000, 0u16..200).prop_map(|(proto, first, more)| {
        let more = more.saturating_sub(100);
        (proto, PortRange::new(first, first + more).unwrap())
    })
}

fn translation() -> impl Strategy<Value = Translation> {
    let some = || prop::collection::vec(ports(), 1..3);
    let ends = prop_oneof![
        Just(IpAddr::from([10, 0, 0, 5])),
        Just(IpAddr::from([10, 0, 0, 6])),
        Just(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 5])),
    ];
    let on = prop::collection::vec(
        (prop::sample::select(vec!["eth0", "eth1", "wg0", "br-"]), any::<bool>())
            .prop_map(|(name, wildcard)| Interface { name: name.to_owned(), wildcard }),
        1..3,
    );
    prop_oneof![
        (addresses(), on).prop_map(|(from, on)| Translation::Masquerade { from, on }),
        (some(), prop::sample::select(vec![8080u16, 22, 1999]))
            .prop_map(|(ports, to)| Translation::Redirect { ports, to }),
        (some(), ends, prop::sample::select(vec![22u16, 443]))
            .prop_map(|(ports, to, port)| Translation::Publish { ports, to: SocketAddr::new(to, port) }),
    ]
}

/// Translations of which none leads elsewhere what another leads: a policy with such is refused.
pub fn translations(most: usize) -> impl Strategy<Value = Vec<Nat>> {
    prop::collection::vec(translation(), 0..=most).prop_map(|all| {
        let mut kept: Vec<Nat> = Vec::new();
        for (line, what) in (20_001u32..).zip(all) {
            let clashes = |one: &Nat| {
                Family::BOTH.into_iter().any(|family| one.what.covers(family) && what.covers(family))
                    && one.what.ports().iter().any(|(proto, range)| {
                        what.ports().iter().any(|(of, other)| {
                            proto == of && range.first() <= other.last() && other.first() <= range.last()
                        })
                    })
            };
            if !kept.iter().any(clashes) {
                kept.push(Nat { origin: origin(line, &format!("translation {line}")), what });
            }
        }
        kept
    })
}

pub fn origin(line: u32, sentence: &str) -> Origin {
    Origin { file: "policy.dw".into(), line, sentence: sentence.into() }
}

pub fn policy(rules: impl Strategy<Value = Vec<Rule>>) -> impl Strategy<Value = Resolved> {
    let default = || {
        prop::sample::select(vec![Verdict::Allow, Verdict::Block, Verdict::Reject])
            .prop_map(|verdict| DefaultRule { verdict, origin: None })
    };
    (
        rules,
        prop::collection::vec(addresses(), 0..2),
        (default(), default(), default(), default()),
        prop::collection::vec("br[0-9]{1,3}", 0..3),
        prop_oneof![1 => Just(Vec::new()), 1 => translations(5)],
    )
        .prop_map(|(rules, trust, (r#in, out, published, forward), bridges, nat)| Resolved {
            rules,
            trust: trust.into_iter().map(|who| Trust { who, origin: origin(1, "trust them") }).collect(),
            defaults: Defaults { r#in, out, published, forward },
            expects: Vec::new(),
            nat,
            bridges,
        })
}
