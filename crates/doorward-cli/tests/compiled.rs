//! Any policy compiles, the kernel takes the program and gives it back unchanged, and one replaces the other.

#![allow(clippy::unwrap_used, clippy::panic)]

use doorward::compile::{Options, Running, TABLE, compile, counted, replace};
use doorward::net::{AddrSet, IcmpType, PortRange, Prefix, Proto};
use doorward::report::Origin;
use doorward::resolve::model::{
    Accounts, DefaultRule, Defaults, Interface, Limit, Passive, Peers, Resolved, Rule, Scope, Traffic, Trust,
    Verdict, Way,
};
use doorward::ruleset::{Elements, Expr, Step, Table, TableFamily, Transaction};
use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, Scope as Where, Socket};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

fn fresh() -> (OwnNetNs, Socket) {
    let own = OwnNetNs::make().unwrap_or_else(|error| {
        panic!("this test makes network namespaces ({error}): run it as root or under `unshare -Ur`")
    });
    let socket = Socket::open(Guard::for_own_namespace(&own).unwrap()).unwrap();
    (own, socket)
}

fn read(socket: &Socket) -> Table {
    let scope = Where::Table(TableFamily::Inet, TABLE.to_owned());
    let mut tables = socket.read(&scope).unwrap().ruleset.tables;
    assert_eq!(tables.len(), 1, "the table is there");
    tables.remove(0)
}

/// Without what differs from load to load: handles, orders, what is left of timeouts, and templates of counters
/// that the kernel writes into each element.
fn comparable(mut table: Table) -> Table {
    table.chains.sort_by(|a, b| a.name.cmp(&b.name));
    table.sets.sort_by(|a, b| a.name.cmp(&b.name));
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        rule.handle = None;
    }
    for set in &mut table.sets {
        let mut elements = match std::mem::replace(&mut set.elements, Elements::Full(Vec::new())) {
            Elements::Full(list) => list,
            Elements::Plain(bytes) => bytes
                .chunks(set.key_len as usize)
                .map(|key| doorward::ruleset::Element::of(key.to_vec()))
                .collect(),
        };
        for element in &mut elements {
            element.expiration = None;
            if element.exprs == [(Expr::Counter { packets: 0, bytes: 0 })] {
                element.exprs.clear();
            }
        }
        elements.sort_by(|a, b| a.key.cmp(&b.key));
        set.elements = Elements::Full(elements);
    }
    table
}

fn prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (any::<u32>(), 1u8..=32).prop_map(|(addr, len)| Prefix::around(
            doorward::net::Family::V4,
            addr.into(),
            len
        )),
        (any::<u128>(), 1u8..=128).prop_map(|(addr, len)| Prefix::around(
            doorward::net::Family::V6,
            addr,
            len
        )),
        any::<u8>().prop_map(|n| Prefix::host(IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)))),
        any::<u16>().prop_map(|n| Prefix::host(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)))),
    ]
}

fn addresses() -> impl Strategy<Value = Arc<AddrSet>> {
    let few = prop::collection::vec(prefix(), 1..4);
    let many = prop::collection::vec(prefix(), 70..90);
    prop_oneof![8 => few, 1 => many].prop_map(|list| Arc::new(AddrSet::new(list, [])))
}

fn peers() -> impl Strategy<Value = Peers> {
    (prop::option::of(addresses()), prop::option::weighted(0.2, addresses()))
        .prop_map(|(only, except)| Peers { only, except })
}

fn traffic() -> impl Strategy<Value = Traffic> {
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

fn interfaces() -> impl Strategy<Value = Vec<Interface>> {
    let one = (prop::sample::select(vec!["eth0", "eth1", "wg0", "br-", "docker0"]), any::<bool>())
        .prop_map(|(name, wildcard)| Interface { name: name.to_owned(), wildcard });
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

fn accounts() -> impl Strategy<Value = Option<Accounts>> {
    prop::option::weighted(
        0.3,
        (any::<bool>(), prop::collection::vec(0u32..2000, 1..3))
            .prop_map(|(except, ids)| Accounts { except, ids }),
    )
}

fn rule() -> impl Strategy<Value = Rule> {
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

fn origin(line: u32, sentence: &str) -> Origin {
    Origin { file: "policy.dw".into(), line, sentence: sentence.into() }
}

fn policy(rules: impl Strategy<Value = Vec<Rule>>) -> impl Strategy<Value = Resolved> {
    let default = || {
        prop::sample::select(vec![Verdict::Allow, Verdict::Block, Verdict::Reject])
            .prop_map(|verdict| DefaultRule { verdict, origin: None })
    };
    (
        rules,
        prop::collection::vec(addresses(), 0..2),
        (default(), default(), default(), default()),
        prop::collection::vec("br[0-9]{1,3}", 0..3),
    )
        .prop_map(|(rules, trust, (r#in, out, published, forward), bridges)| Resolved {
            rules,
            trust: trust.into_iter().map(|who| Trust { who, origin: origin(1, "trust them") }).collect(),
            defaults: Defaults { r#in, out, published, forward },
            expects: Vec::new(),
            bridges,
        })
}

fn steps_that_failed(transaction: &Transaction, error: &doorward_kernel::CommitError) -> String {
    let doorward_kernel::CommitError::Refused(refusals) = error else { return format!("{error:?}") };
    let steps: Vec<&Step> =
        refusals.iter().filter_map(|refusal| transaction.steps.get(refusal.step?)).take(3).collect();
    format!("{:?}\n{steps:#?}", refusals.iter().take(3).collect::<Vec<_>>())
}

/// Every program loads, reads back as it was sent, and every other one can take its place.
#[test]
fn the_kernel_takes_any_program_and_gives_it_back() {
    let (_own, socket) = fresh();
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let policies = policy(prop::collection::vec(rule(), 0..25));
    runner
        .run(&policies, |policy| {
            // The runner takes a closure that changes nothing, so what runs is read back each time.
            let scope = Where::Table(TableFamily::Inet, TABLE.to_owned());
            let before = socket.read_headers(&scope).unwrap().ruleset.tables;
            let running = before.first().map(Running::of).unwrap_or_default();
            let options = Options { generation: running.next_generation(), carried: Vec::new() };
            let table = compile(&policy, &options);
            let transaction = replace(&running, &table);
            if let Err(error) = socket.commit(&transaction, None) {
                return Err(TestCaseError::fail(steps_that_failed(&transaction, &error)));
            }
            let (sent, back) = (comparable(table), comparable(read(&socket)));
            for (mine, theirs) in sent.sets.iter().zip(&back.sets) {
                prop_assert_eq!(mine, theirs);
            }
            // A base chain that is not needed any more stays, empty.
            let kept: Vec<_> = back
                .chains
                .iter()
                .filter(|chain| !(chain.base.is_some() && chain.rules.is_empty()))
                .collect();
            let names = |chains: &[&doorward::ruleset::Chain]| -> Vec<String> {
                chains.iter().map(|chain| chain.name.clone()).collect()
            };
            let sent_chains: Vec<_> = sent.chains.iter().collect();
            prop_assert_eq!(names(&sent_chains), names(&kept));
            for (mine, theirs) in sent_chains.iter().zip(&kept) {
                prop_assert_eq!(&mine.base, &theirs.base);
                prop_assert_eq!(mine.rules.len(), theirs.rules.len(), "chain {}", mine.name);
                for (one, other) in mine.rules.iter().zip(&theirs.rules) {
                    prop_assert_eq!(one, other, "chain {}", mine.name);
                }
            }
            Ok(())
        })
        .unwrap();
}

/// Same policy, same program, byte for byte; and the order of sentences changes no set of verdicts.
#[test]
fn programs_are_deterministic() {
    let mut runner = TestRunner::new(Config { cases: 50, failure_persistence: None, ..Config::default() });
    runner
        .run(&policy(prop::collection::vec(rule(), 0..15)), |policy| {
            let one = compile(&policy, &Options::default());
            prop_assert_eq!(&one, &compile(&policy, &Options::default()));
            prop_assert!(counted(&one).values().all(|hits| hits.packets == 0));
            Ok(())
        })
        .unwrap();
}

/// The text that `export` writes loads with `nft` and lists as our own load does, byte for byte.
#[test]
fn exported_text_is_the_same_ruleset() {
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&policy(prop::collection::vec(rule(), 0..12)), |policy| {
            let (_own, socket) = fresh();
            let table = compile(&policy, &Options::default());
            socket.commit(&Transaction::create(&table), None).unwrap();
            let ours = nft(&["list", "ruleset"], "");
            let text = doorward::emit::nft_table(&table);
            let (_other, _socket) = fresh();
            nft(&["-f", "-"], &text);
            let theirs = nft(&["list", "ruleset"], "");
            prop_assert!(ours == theirs, "{}\n{text}", first_difference(&ours, &theirs));
            Ok(())
        })
        .unwrap();
}

fn nft(args: &[&str], text: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new("nft")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test compares with `nft`: install the package nftables");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {args:?}: {words}\n{text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn first_difference(one: &str, other: &str) -> String {
    let pair = one.lines().zip(other.lines()).find(|(a, b)| a != b);
    pair.map_or_else(|| "one is longer".to_owned(), |(a, b)| format!("ours:   {a}\ntheirs: {b}"))
}
