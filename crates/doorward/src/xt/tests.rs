//! Structures from bytes, where rules that are loaded tell less: old revisions, rare modules, what holds when.

mod any;

use std::net::IpAddr;

use super::*;
use crate::ruleset::CtDir;

/// An expression as the kernel dumps it.
fn expr(kind: &str, name: &str, revision: u32, info: &[u8]) -> Expr {
    let mut data = Vec::new();
    let mut put = |number: u16, payload: &[u8]| {
        data.extend(u16::try_from(payload.len() + 4).unwrap().to_ne_bytes());
        data.extend(number.to_ne_bytes());
        data.extend(payload);
        data.resize(data.len().next_multiple_of(4), 0);
    };
    put(attribute::NAME, &[name.as_bytes(), &[0]].concat());
    put(attribute::REV, &revision.to_be_bytes());
    put(attribute::INFO, info);
    Expr::Unknown { name: kind.to_owned(), data }
}

fn matched(name: &str, revision: u32, info: &[u8]) -> Match {
    match read(&expr("match", name, revision, info), TableFamily::Ip) {
        Some(Xt::Match(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn target(name: &str, revision: u32, info: &[u8]) -> Target {
    match read(&expr("target", name, revision, info), TableFamily::Ip) {
        Some(Xt::Target(found)) => found,
        other => panic!("{other:?}"),
    }
}

/// A structure of zeros with these bytes at these places.
fn structure<const N: usize>(parts: &[(usize, &[u8])]) -> [u8; N] {
    let mut bytes = [0; N];
    for (at, part) in parts {
        bytes[*at..at + part.len()].copy_from_slice(part);
    }
    bytes
}

#[test]
fn other_expressions_are_none() {
    assert_eq!(read(&Expr::Notrack, TableFamily::Ip), None);
    assert_eq!(read(&expr("socket", "tcp", 0, &[0; 16]), TableFamily::Ip), None);
}

#[test]
fn the_family_of_the_table_decides() {
    let spis = structure::<16>(&[(0, &7u32.to_ne_bytes()), (4, &9u32.to_ne_bytes())]);
    let found = |family| read(&expr("match", "ah", 0, &spis), family);
    assert_eq!(
        found(TableFamily::Ip),
        Some(Xt::Match(Match::Ah(Within { first: 7, last: 9, invert: false })))
    );
    assert!(matches!(found(TableFamily::Ip6), Some(Xt::Match(Match::Ah6(_)))));
    assert!(matches!(found(TableFamily::Inet), Some(Xt::Match(Match::Unknown { .. }))));
    let mark = structure::<16>(&[(0, &1u32.to_ne_bytes())]);
    let found = |family| read(&expr("match", "mark", 1, &mark), family);
    assert!(matches!(found(TableFamily::Inet), Some(Xt::Match(Match::Mark(_)))));
    assert!(matches!(found(TableFamily::Bridge), Some(Xt::Match(Match::Unknown { .. }))));
}

#[test]
fn what_is_not_known_keeps_its_bytes() {
    let info = [1, 2, 3, 4, 5, 6, 7, 8];
    let unknown =
        |name: &str, revision| Match::Unknown { name: name.to_owned(), revision, data: info.to_vec() };
    assert_eq!(matched("tls", 0, &info), unknown("tls", 0));
    assert_eq!(matched("connmark", 7, &info), unknown("connmark", 7));
    // A length that no `state` has, and a bit that none has.
    assert_eq!(matched("state", 0, &info), unknown("state", 0));
    assert!(matches!(target("MARK", 1, &info), Target::Unknown { revision: 1, .. }));
    assert_eq!(target("MARK", 1, &info).ends(), Some(End::Unknown));
    let without_attributes = Expr::Unknown { name: "target".to_owned(), data: vec![9] };
    let nothing = Target::Unknown { name: String::new(), revision: 0, data: Vec::new() };
    assert_eq!(read(&without_attributes, TableFamily::Ip), Some(Xt::Target(nothing)));
}

/// The kernel xors this byte with the result: with 2 the match would always hold.
#[test]
fn an_odd_inversion_is_unknown() {
    assert!(matches!(matched("mark", 1, &structure::<16>(&[(8, &[1])])), Match::Mark(_)));
    assert!(matches!(matched("mark", 1, &structure::<16>(&[(8, &[2])])), Match::Unknown { .. }));
}

#[test]
fn older_revisions_of_conntrack() {
    let asked = (1u16 | 1 << 9 | 1 << 6 | 1 << 12).to_ne_bytes();
    let invert = (1u16 << 12).to_ne_bytes();
    let port = 80u16.to_be_bytes();
    let old = structure::<152>(&[(140, &port), (146, &asked), (148, &invert), (150, &[0x0c, 2])]);
    let state = 0x010cu16.to_ne_bytes();
    let new = structure::<160>(&[(140, &port), (146, &asked), (148, &invert), (150, &state), (152, &[2, 0])]);
    for (revision, info, untracked) in [(1, old.as_slice(), 0), (2, new.as_slice(), States::UNTRACKED)] {
        let Match::Conntrack(found) = matched("conntrack", revision, info) else {
            panic!("revision {revision}")
        };
        assert_eq!(
            *found,
            Conntrack {
                states: Some(States {
                    states: States::RELATED | States::NEW | untracked,
                    snat: false,
                    dnat: false,
                    invert: false
                }),
                direction: Some(CtDir::Reply),
                orig_dport: Some(Within { first: 80, last: 80, invert: false }),
                status: Some(Statuses { bits: 2, invert: false }),
                ..Conntrack::default()
            }
        );
    }
}

/// `ipset` is not on each host.
#[test]
fn sets() {
    let source_then_dest = [&5u16.to_ne_bytes()[..], &[2, 0b0010]].concat();
    let set = |invert, counters| Set {
        index: 5,
        parts: vec![Side::In, Side::Out],
        exceptions: false,
        counters,
        invert,
    };
    let found = matched("set", 1, &structure::<8>(&[(0, &source_then_dest)]));
    assert_eq!(found, Match::Set(set(false, false)));
    let inverted = [&5u16.to_ne_bytes()[..], &[2, 0b0011]].concat();
    let found = matched("set", 4, &structure::<48>(&[(0, &inverted), (32, &[1])]));
    assert_eq!(found, Match::Set(set(true, true)));
    assert_eq!(matched("set", 3, &structure::<48>(&[(0, &inverted)])), Match::Set(set(true, false)));

    let none = 0xffffu16.to_ne_bytes();
    let parts: [(usize, &[u8]); 3] = [(0, &source_then_dest), (4, &none), (8, &none)];
    let add = SetTo { add: Some(set(false, false)), delete: None, map: None };
    assert_eq!(target("SET", 3, &structure::<24>(&parts)), Target::Set(add));
}

#[test]
fn other_structures_that_need_more_than_a_kernel() {
    let found = matched("nfacct", 0, &structure::<40>(&[(0, b"web")]));
    assert_eq!(found, Match::Nfacct("web".to_owned()));
    let path = Match::Cgroup(Cgroup::Path(Is { value: "a/b".to_owned(), invert: true }));
    assert_eq!(matched("cgroup", 1, &structure::<4112>(&[(0, &[1, 0, 1, 0]), (4, b"a/b")])), path);
    assert_eq!(matched("cgroup", 2, &structure::<528>(&[(0, &[1, 0, 1, 0]), (4, b"a/b")])), path);
    let class = Match::Cgroup(Cgroup::Class(Is { value: 7, invert: false }));
    assert_eq!(matched("cgroup", 2, &structure::<528>(&[(1, &[1]), (4, &7u32.to_ne_bytes())])), class);
    assert_eq!(target("LED", 0, &structure::<40>(&[(0, b"blink")])), Target::Led);
    assert_eq!(target("SECMARK", 0, &[0; 264]), Target::Secmark);
    assert_eq!(target("SECMARK", 1, &[0; 264]), Target::Secmark);
    let pinned = structure::<528>(&[(0, &1u16.to_ne_bytes()), (8, b"/sys/fs/bpf/x")]);
    assert_eq!(matched("bpf", 1, &pinned), Match::Bpf(Bpf::Pinned("/sys/fs/bpf/x".to_owned())));
}

#[test]
fn conditions() {
    let none = Within { first: 5u16, last: 3, invert: false };
    assert!(!none.contains(4) && none.intervals().is_empty() && !none.is_any());
    let all = Within { invert: true, ..none };
    assert!(all.contains(4) && all.is_any());
    assert!(Within { first: 0u8, last: 255, invert: false }.is_any());
    // A value outside its mask is never equal.
    assert!(!Masked { value: 3u32, mask: 1, invert: false }.contains(1));
    assert!(Masked { value: 3u32, mask: 1, invert: true }.contains(3));
    let [ten, eleven, mask]: [IpAddr; 3] =
        ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), "255.255.255.254".parse().unwrap()];
    assert!(!AddrMasked { addr: ten, mask, invert: false }.contains(eleven));
    assert!(AddrMasked { addr: ten, mask, invert: true }.contains(eleven));
    let v6: IpAddr = "::1".parse().unwrap();
    assert!(!AddrMasked { addr: ten, mask, invert: true }.contains(v6));
    assert!(!AddrWithin { first: ten, last: ten, invert: true }.contains(v6));
}

#[test]
fn states_and_connections() {
    const SNAT: u32 = 16;
    let states = States { states: States::NEW, snat: true, dnat: false, invert: false };
    assert!(states.contains(States::NEW, 0) && states.contains(States::ESTABLISHED, SNAT));
    assert!(!states.contains(States::ESTABLISHED, 32));
    let ports =
        Conntrack { orig_dport: Some(Within { first: 1, last: 1, invert: true }), ..Conntrack::default() };
    assert!(!ports.without_connection(States::INVALID));
    let both = Conntrack {
        states: Some(States { states: States::INVALID, snat: false, dnat: false, invert: false }),
        ..ports
    };
    assert!(both.without_connection(States::INVALID) && !both.without_connection(States::UNTRACKED));
}

#[test]
fn owners() {
    let uid = |invert| Some(Within { first: 10, last: 20, invert });
    let owner = |uid, socket| Owner { uid, gid: None, groups: false, socket };
    assert!(!owner(uid(false), None).without_socket());
    assert!(owner(uid(true), None).without_socket());
    assert!(!owner(uid(true), Some(true)).without_socket());
    assert!(owner(None, Some(false)).without_socket());
    assert!(!owner(None, Some(false)).with_socket(Some((10, 10, &[]))));
    assert!(owner(uid(false), None).with_socket(Some((15, 0, &[]))));
    assert!(owner(uid(true), None).with_socket(None) && !owner(uid(false), None).with_socket(None));
    let groups = Owner { uid: None, gid: uid(false), groups: true, socket: None };
    assert!(groups.with_socket(Some((0, 0, &[15]))) && !groups.without_socket());
    assert!(!Owner { groups: false, ..groups }.with_socket(Some((0, 0, &[15]))));
    let not_in_groups = Owner { gid: uid(true), ..groups };
    assert!(!not_in_groups.with_socket(Some((0, 0, &[15]))));
}

#[test]
fn options_of_tcp() {
    // Maximum segment size, no operation, window scale, an option of length 0, end, timestamps.
    let options = [2, 4, 5, 180, 1, 3, 3, 7, 9, 0, 0, 8];
    assert_eq!(tcp_option(&options, 3), Some(5));
    assert_eq!(tcp_option(&options, 8), Some(11));
    assert_eq!(tcp_option(&options, 7), None);
    let mss = |first, last, invert| TcpMss { size: Within { first, last, invert } };
    assert!(mss(1460, 1460, false).contains(&options) && !mss(1460, 1460, true).contains(&options));
    assert!(!mss(0, 65535, false).contains(&[1, 2, 4, 5]) && mss(0, 65535, true).contains(&[]));
}

#[test]
fn numbers_in_packets() {
    let test = |steps: &[U32Step], ranges: &[(u32, u32)]| U32Test {
        start: 0,
        steps: steps.to_vec(),
        ranges: ranges.to_vec(),
    };
    let packet = [0x45, 0, 0, 24, 9, 9, 9, 9, 1, 2, 3, 4];
    let holds = |test: U32Test, invert| U32 { tests: vec![test], invert }.holds(&packet);
    assert!(holds(test(&[U32Step::Right(28)], &[(4, 4)]), false));
    // The third word begins where twice the length of the header in words ends: at 8.
    let indirect = [U32Step::Right(24), U32Step::And(4), U32Step::Left(1), U32Step::At(0)];
    assert!(holds(test(&indirect, &[(0x0102_0304, 0x0102_0304)]), false));
    let behind = test(&[U32Step::At(0)], &[(0, u32::MAX)]);
    assert!(!holds(behind.clone(), false) && holds(behind, true));
    assert!(!holds(test(&[], &[]), false));
}

#[test]
fn ports_and_headers() {
    let of = |of, invert| Multiport { of, ranges: vec![(1, 2), (9, 9)], invert };
    assert!(of(PortsOf::Either, false).contains(5, 9) && !of(PortsOf::Either, true).contains(5, 9));
    assert!(!of(PortsOf::Source, false).contains(5, 9) && of(PortsOf::Dest, false).contains(5, 9));
    assert!(of(PortsOf::Either, true).contains(5, 10));
    let any = Icmp { kind: None, codes: (3, 3), invert: false };
    assert!(any.contains(8, 0) && !Icmp { invert: true, ..any }.contains(8, 0));
    let exact = Ipv6header { headers: 0x90, soft: false, invert: 0 };
    assert!(exact.contains(0x90) && !exact.contains(0x91));
    let soft = Ipv6header { headers: 0x90, soft: true, invert: 0x10 };
    assert!(soft.contains(0x81) && !soft.contains(0x91) && !soft.contains(0x01));
    let types = Dccp {
        ports: Ports {
            source: Within { first: 0, last: u16::MAX, invert: false },
            dest: Within { first: 0, last: u16::MAX, invert: false },
        },
        types: Some(Is { value: 1 << 3, invert: true }),
        option: None,
    };
    assert!(types.of_type(2) && !types.of_type(3));
}

#[test]
fn marks() {
    let mark = Target::Mark { value: 0x11, mask: 0xff };
    assert_eq!(mark.marked(0x1234, None), Some(0x1211));
    let save = ConnmarkSet::Save { connection_mask: 0xff00, packet_mask: 0xff, shift: Shift::Left(8) };
    assert_eq!(save.marked(0x1234, Some(0xabcd)), (0x1234, Some(0x34cd)));
    assert_eq!(save.marked(0x1234, None), (0x1234, None));
    let restore = ConnmarkSet::Restore { connection_mask: 0xff, packet_mask: 0xff, shift: Shift::Right(4) };
    assert_eq!(Target::Connmark(restore).marked(0x1234, Some(0xabcd)), Some(0x120c));
    let set = ConnmarkSet::Set { value: 1, mask: u32::MAX, shift: Shift::Left(31) };
    assert_eq!(Target::Connmark(set).connection_marked(0, Some(5)), Some(0x8000_0000));
    assert_eq!(Target::Hmark { first: 0, modulus: 5 }.marked(0, None), None);
    assert_eq!((Hops::More(200).of(100), Hops::Less(5).of(3)), (255, 0));
}
