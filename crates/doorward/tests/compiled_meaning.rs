//! The compiled program means what the policy says: run on imagined packets, it decides, counts and logs as the
//! judge does, which was written from the design alone and shares nothing with the compiler.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

#[path = "support/imagined.rs"]
mod imagined;
mod policies;

use doorward::compile::{Options, compile};
use doorward::explain::{self, Surroundings};
use doorward::meaning::{
    Addressed, Connection, Decider, Host, Limits, Owner, Packet, Path, judge, translate,
};
use doorward::net::{Family, Proto, Translated};
use doorward::resolve::model::{Peers, Resolved, Traffic, Translation, Verdict};
use doorward::ruleset::Hook;
use doorward::trace::{Conntrack, End, Machine, Outcome, Unknown};
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use std::net::IpAddr;

const OWN: [&str; 2] = ["192.0.2.250", "2001:db8::ffff"];

/// Addresses where something can change: the edges of all prefixes, one beyond, and some of nobody.
fn addresses(policy: &Resolved, family: Family) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = match family {
        Family::V4 => ["198.51.100.7", "127.0.0.1", OWN[0]].map(|a| a.parse().unwrap()).to_vec(),
        Family::V6 => ["2001:db8:ffff::7", "::1", "::ffff:192.0.2.1", "fe80::1", OWN[1]]
            .map(|a| a.parse().unwrap())
            .to_vec(),
    };
    let mut take = |peers: &Peers| {
        for set in [&peers.only, &peers.except].into_iter().flatten() {
            for (first, last) in set.edges(family).into_iter().take(8) {
                all.extend([first, last, beyond(last, 1), beyond(first, -1)]);
            }
        }
    };
    for rule in &policy.rules {
        take(&rule.scope.from);
        take(&rule.scope.to);
    }
    for trust in &policy.trust {
        take(&Peers { only: Some(trust.who.clone()), except: None });
    }
    for nat in &policy.nat {
        if let Translation::Masquerade { from, .. } = &nat.what {
            take(&Peers { only: Some(from.clone()), except: None });
        }
    }
    all
}

fn beyond(addr: IpAddr, step: i8) -> IpAddr {
    match addr {
        IpAddr::V4(a) => IpAddr::V4(a.to_bits().wrapping_add_signed(step.into()).into()),
        IpAddr::V6(a) => IpAddr::V6(a.to_bits().wrapping_add_signed(step.into()).into()),
    }
}

/// Packets that sentences name, their neighbours, and what is built in.
fn packets(policy: &Resolved) -> Vec<Packet> {
    let ports = |proto, to| Packet::Ports { proto, from: 40_000, to, opens: true };
    let mut all = vec![
        ports(Proto::TCP, 9999),
        ports(Proto::UDP, 9999),
        Packet::Ports { proto: Proto::TCP, from: 40_000, to: 22, opens: false },
        Packet::Ports { proto: Proto::UDP, from: 67, to: 68, opens: true },
        Packet::Ports { proto: Proto::UDP, from: 68, to: 67, opens: true },
        Packet::Ports { proto: Proto::UDP, from: 547, to: 546, opens: true },
        Packet::Ports { proto: Proto::UDP, from: 546, to: 547, opens: true },
        ports(Proto::TCP, 50_050),
        Packet::Other(Proto(50)),
        Packet::Other(Proto(47)),
    ];
    for (kind, hops) in
        [(8, 64), (128, 64), (2, 64), (3, 64), (135, 255), (135, 254), (134, 255), (143, 1), (13, 64)]
    {
        all.push(Packet::Icmp { kind, hops });
    }
    let said = policy.rules.iter().flat_map(|rule| &rule.traffic).copied();
    let translated = policy.nat.iter().flat_map(|nat| nat.what.ports());
    let translated = translated.map(|(proto, range)| Traffic::Ports(*proto, *range));
    for traffic in said.chain(translated) {
        {
            if let Traffic::Ports(proto, range) = traffic {
                for port in
                    [range.first(), range.last(), range.first().wrapping_sub(1), range.last().wrapping_add(1)]
                {
                    all.push(ports(proto, port));
                }
            }
        }
    }
    all
}

fn paths() -> impl Strategy<Value = (u8, &'static str, &'static str, Option<Owner>, bool)> {
    let name = || select(vec!["eth0", "eth1", "lo", "br-1", "docker0", "wg0"]);
    let owner = prop::option::of((0u32..2000, 0u32..2000).prop_map(|(uid, gid)| Owner { uid, gid }));
    (0u8..3, name(), name(), owner, any::<bool>())
}

type Seed = (Index, Index, Index, Index, Index, bool, (u8, &'static str, &'static str, Option<Owner>, bool));

fn connection(policy: &Resolved, seed: &Seed) -> Connection {
    let (from, to, original, packet, port, six, (path, iif, oif, owner, dnat)) = seed;
    let family = if *six { Family::V6 } else { Family::V4 };
    let places = addresses(policy, family);
    let all = packets(policy);
    let packet = all[packet.index(all.len())];
    let addressed = || {
        // Errors belong to a connection that was judged when it began, of the rest only echo is translated, and
        // DHCP never is.
        if matches!(packet, Packet::Icmp { kind, .. } if kind != if *six { 128 } else { 8 })
            || matches!(packet, Packet::Ports { from: 67 | 68 | 546 | 547, .. })
        {
            return None;
        }
        let port = match all[port.index(all.len())] {
            Packet::Ports { to, .. } => to,
            _ => 443,
        };
        dnat.then(|| Addressed { to: places[original.index(places.len())], port })
    };
    let owner = owner.map(|owner| {
        // Owners that sentences name, every second time.
        let named =
            policy.rules.iter().filter_map(|rule| rule.scope.user.as_ref()).find_map(|u| u.ids.first());
        match named {
            Some(uid) if owner.gid % 2 == 0 => Owner { uid: *uid, ..owner },
            _ => owner,
        }
    });
    let path = match path {
        0 => Path::In { iface: (*iif).to_owned(), addressed: addressed() },
        1 => Path::Out { iface: (*oif).to_owned(), owner },
        _ => Path::Forward {
            iif: (*iif).to_owned().replace("lo", "eth2"),
            oif: (*oif).to_owned().replace("lo", "eth3"),
            addressed: addressed(),
        },
    };
    Connection { path, from: places[from.index(places.len())], to: places[to.index(places.len())], packet }
}

fn end_of(verdict: Verdict) -> End {
    match verdict {
        Verdict::Allow => End::Accepted,
        Verdict::Block => End::Dropped,
        Verdict::Reject => End::Rejected,
    }
}

/// Whether a sentence with a limit decides. What is not tracked has no connection mark, by which the chains of a
/// limit tell that they let something in: a gap of the compiler that this test leaves out.
fn by_limited(policy: &Resolved, by: &Decider) -> bool {
    let Decider::Sentence(origin) = by else { return false };
    policy.rules.iter().any(|rule| rule.origin == *origin && rule.limit.is_some())
}

/// What the first packet of a connection becomes where it arrives, and where it leaves.
fn translated_as_meant(
    policy: &Resolved,
    host: &Host,
    machine: &Machine,
    connection: &Connection,
) -> Result<(), TestCaseError> {
    let around = Surroundings { own: host.own.clone(), ..Surroundings::default() };
    let becomes = |hook| {
        let trace = machine.hook(&explain::at(hook, connection, &around), &mut |_: &Unknown| true);
        trace.visits.iter().find_map(|visit| match visit.outcome {
            Outcome::Translated { to, .. } => to,
            _ => None,
        })
    };
    let begins = |hook| match explain::at(hook, connection, &around).ct {
        Conntrack::Entry(entry) => entry.state == 8,
        _ => false,
    };
    if !matches!(connection.path, Path::Out { .. }) && begins(Hook::Prerouting) {
        let meant = translate::led(policy, host, connection).map(|(to, _)| to);
        prop_assert_eq!(becomes(Hook::Prerouting), meant, "{} {:?}", connection, policy.nat);
    }
    if !matches!(connection.path, Path::In { .. }) && begins(Hook::Postrouting) {
        let meant = translate::masqueraded(policy, connection).map(|_| Translated::MASQUERADE);
        prop_assert_eq!(becomes(Hook::Postrouting), meant, "{} {:?}", connection, policy.nat);
    }
    Ok(())
}

#[test]
fn the_program_decides_as_the_policy_says() {
    let own: Vec<IpAddr> = OWN.iter().map(|a| a.parse().unwrap()).collect();
    let host = Host { own: own.clone() };
    let cases = std::env::var("DOORWARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let seeds = prop::collection::vec(
        (
            any::<Index>(),
            any::<Index>(),
            any::<Index>(),
            any::<Index>(),
            any::<Index>(),
            any::<bool>(),
            paths(),
        ),
        100,
    );
    runner
        .run(&(policy(prop::collection::vec(rule(), 0..14)), seeds), |(mut policy, seeds)| {
            // Each sentence stands on a line of its own.
            for (line, rule) in (1u32..).zip(&mut policy.rules) {
                rule.origin.line = line;
            }
            let table = compile(&policy, &Options::default());
            let machine = Machine::new(std::slice::from_ref(&table));
            for seed in &seeds {
                let connection = connection(&policy, seed);
                translated_as_meant(&policy, &host, &machine, &connection)?;
                // Few addresses are this host's by chance.
                let ours = if connection.from.is_ipv4() { own[0] } else { own[1] };
                let iface = connection.iface().to_owned();
                let to_us =
                    Connection { path: Path::In { iface, addressed: None }, to: ours, ..connection.clone() };
                translated_as_meant(&policy, &host, &machine, &to_us)?;
                let packet = imagined::packet(&connection, &own);
                for (spent, limits) in [(false, Limits::Unspent), (true, Limits::Spent)] {
                    let fate = imagined::fate(&table, &machine, &packet, spent);
                    let meant = judge(&policy, &host, &connection, limits);
                    if packet.ct == Conntrack::Untracked && by_limited(&policy, &meant.by) {
                        continue;
                    }
                    prop_assert_eq!(
                        fate.end,
                        end_of(meant.verdict),
                        "{} ({:?}), spent: {}, judged by {:?}, counted by {:?}",
                        connection,
                        connection,
                        spent,
                        meant.by,
                        fate.counted
                    );
                    prop_assert_eq!(fate.logged, meant.logs, "log of {} {:?}", connection, connection);
                    let counted = fate.counted.unwrap_or_default();
                    match meant.by {
                        Decider::Sentence(origin) => prop_assert_eq!(
                            counted,
                            origin.comment(),
                            "hit of {} {:?}",
                            connection,
                            connection
                        ),
                        Decider::Default(..) => {
                            prop_assert!(counted.contains("default"), "{counted}: {connection}");
                        }
                        Decider::BuiltIn(_) => {}
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}
