//! Loads from the packet and from what the kernel knows of it.

use super::*;
use doorward::ruleset::{CtDir, CtKey, Fib, FibResult, exthdr};

fn ct(key: CtKey, dir: Option<CtDir>) -> Expr {
    Expr::Ct { key, dir, dreg: R0 }
}

fn option(op: u32, header: u8, (offset, len): (u32, u32), flags: u32) -> Expr {
    Expr::Exthdr { header, offset, len, flags, op, dreg: R0 }
}

fn present(op: u32, header: u8) -> Vec<Expr> {
    vec![option(op, header, (0, 1), exthdr::PRESENT), eq([1])]
}

fn missing(op: u32, header: u8) -> Vec<Expr> {
    vec![option(op, header, (0, 1), exthdr::PRESENT), eq([0])]
}

/// The end of a rule of these expressions on a kernel that reads later fragments, and on one that does not.
fn on_both_kernels(mut exprs: Vec<Expr>, packet: &Packet) -> [bool; 2] {
    exprs.push(accept());
    let tables = [table(vec![exprs])];
    [true, false].map(|reads| trace::hook(&tables, packet, &mut |_: &Unknown| reads).end == End::Accepted)
}

/// Which of the two a kernel does was found by sending fragments: `nft_payload_fast_eval` forgot to look.
#[test]
fn a_later_fragment_fails_negated_matches_too_or_is_read_by_mistake() {
    let fragment = Packet { later_fragment: true, transport: vec![1; 64], ..syn() };
    assert!(matches(vec![dport(), neq([0, 80])], &syn()));
    assert_eq!(on_both_kernels(vec![dport(), neq([0, 80])], &fragment), [true, false]);
    assert_eq!(on_both_kernels(vec![dport(), eq([1, 1])], &fragment), [true, false]);
    // Only what is loaded at once, within a word.
    assert!(!matches(vec![load(PayloadBase::Transport, 1, 2)], &fragment));
    assert!(!matches(vec![load(PayloadBase::Transport, 0, 8)], &fragment));
    assert!(!matches(vec![load(PayloadBase::Inner, 0, 1)], &fragment));
    assert!(!matches(vec![load(PayloadBase::Transport, 64, 2)], &fragment));
    // Its protocol is still known.
    assert!(matches(vec![meta(MetaKey::L4proto), eq([6])], &fragment));
}

/// In IPv6 the mistake is a larger one: no place is known, and the network header is read.
#[test]
fn a_later_fragment_of_ipv6_is_read_from_its_beginning() {
    let fragment = Packet { later_fragment: true, ..syn6() };
    assert_eq!(
        on_both_kernels(vec![load(PayloadBase::Transport, 4, 4), eq([0, 20, 6, 64])], &fragment),
        [true, false]
    );
}

#[test]
fn nothing_is_loaded_beyond_the_end() {
    let short = Packet { transport: vec![0, 0, 0], ..syn() };
    assert!(!matches(vec![dport(), neq([0, 80])], &short));
    assert!(matches(vec![load(PayloadBase::Transport, 1, 2)], &short));
    assert!(!matches(vec![load(PayloadBase::Transport, u32::MAX, 2)], &short));
}

#[test]
fn loads_run_on_into_the_next_header() {
    assert!(matches(vec![load(PayloadBase::Network, 18, 4), eq([2, 1, 0x9c, 0x40])], &syn()));
    let framed = Packet { link: vec![9; 14], ..syn() };
    assert!(matches(vec![load(PayloadBase::Link, 12, 3), eq([9, 9, 0x45])], &framed));
    assert!(!matches(vec![load(PayloadBase::Link, 0, 1)], &syn()));
}

#[test]
fn the_payload_begins_behind_the_header() {
    let mut packet = syn();
    packet.transport.extend(*b"hello");
    assert!(matches(vec![load(PayloadBase::Inner, 0, 5), eq(*b"hello")], &packet));
    packet.l4proto = 17;
    assert!(matches(vec![load(PayloadBase::Inner, 4, 2), eq([0x50, 2])], &packet));
    packet.l4proto = 132;
    assert!(!matches(vec![load(PayloadBase::Inner, 0, 1)], &packet));
}

#[test]
fn names_take_sixteen_bytes() {
    let mut name = b"eth0".to_vec();
    assert!(matches(vec![meta(MetaKey::Iifname), eq(name.clone())], &syn()), "a prefix");
    name.resize(16, 0);
    assert!(matches(vec![meta(MetaKey::Iifname), eq(name)], &syn()));
    assert!(!matches(vec![meta(MetaKey::Iifname), eq(*b"eth\0")], &syn()));
}

#[test]
fn without_a_device_there_is_an_empty_name_and_no_kind() {
    assert!(matches(vec![meta(MetaKey::Oifname), eq([0; 16])], &syn()));
    assert!(matches(vec![meta(MetaKey::Oif), eq([0; 4])], &syn()));
    assert!(matches(vec![meta(MetaKey::Oifname), neq(*b"eth1")], &syn()));
    for key in [MetaKey::Oifkind, MetaKey::Iifkind, MetaKey::Oiftype, MetaKey::Oifgroup] {
        assert!(!matches(vec![meta(key)], &syn()), "{key:?}");
    }
    let bridge = Device { kind: Some("bridge".to_owned()), ..device("br0", 3) };
    let packet = Packet { iif: Some(bridge), ..syn() };
    assert!(matches(vec![meta(MetaKey::Iifkind), eq(*b"bridge\0\0\0\0\0\0\0\0\0\0")], &packet));
}

#[test]
fn without_a_socket_there_is_no_owner() {
    for key in [MetaKey::Skuid, MetaKey::Skgid] {
        assert!(!matches(vec![meta(key), neq([0; 4])], &syn()));
    }
    let packet = Packet { owner: Some((1000, 7)), ..syn() };
    assert!(matches(vec![meta(MetaKey::Skuid), eq(1000u32.to_ne_bytes())], &packet));
    assert!(matches(vec![meta(MetaKey::Skgid), eq(7u32.to_ne_bytes())], &packet));
}

#[test]
fn facts_of_the_packet() {
    for (key, four, six) in [
        (MetaKey::Nfproto, vec![2], vec![10]),
        (MetaKey::Protocol, vec![8, 0], vec![0x86, 0xdd]),
        (MetaKey::Len, 40u32.to_ne_bytes().to_vec(), 60u32.to_ne_bytes().to_vec()),
        (MetaKey::Iif, 7u32.to_ne_bytes().to_vec(), 7u32.to_ne_bytes().to_vec()),
    ] {
        assert!(matches(vec![meta(key), eq(four)], &syn()), "{key:?}");
        assert!(matches(vec![meta(key), eq(six)], &syn6()), "{key:?}");
    }
    for (to, kind) in [([0xff; 6], 1), ([1, 0, 0x5e, 0, 0, 1], 2), ([2, 0, 0, 0, 0, 1], 0)] {
        let packet = Packet { link: [&to[..], &[0; 8]].concat(), ..syn() };
        assert!(matches(vec![meta(MetaKey::Pkttype), eq([kind])], &packet));
    }
}

/// In an inet table `ip saddr` is a test of the family first, as the bytes of both mean different things.
#[test]
fn addresses_are_bytes_whatever_the_family() {
    let source = || load(PayloadBase::Network, 12, 4);
    assert!(matches(vec![source(), eq([198, 51, 100, 7])], &syn()));
    assert!(matches(vec![source(), eq([0, 0, 0, 0])], &syn6()));
    assert!(!matches(vec![meta(MetaKey::Nfproto), eq([2]), source(), eq([0; 4])], &syn6()));
}

#[test]
fn without_an_entry_only_the_state_can_be_told() {
    for (packet, state) in [
        (Packet { ct: Conntrack::Invalid, ..syn() }, 1u32),
        (Packet { ct: Conntrack::Untracked, ..syn() }, 64),
    ] {
        assert!(matches(vec![ct(CtKey::State, None), eq(state.to_ne_bytes())], &packet));
        for key in [CtKey::Status, CtKey::Mark, CtKey::Direction, CtKey::Protocol, CtKey::L3protocol] {
            assert!(!matches(vec![ct(key, None), neq([77; 1])], &packet), "{key:?}");
        }
        let set = Expr::CtSet { key: CtKey::Mark, dir: None, sreg: R0 };
        assert!(matches(vec![set], &packet), "nothing to set is no reason to break");
    }
}

#[test]
fn both_tuples_of_a_connection() {
    let (out, back) = (Some(CtDir::Original), Some(CtDir::Reply));
    for (key, dir, value) in [
        (CtKey::SrcIp, out, vec![198, 51, 100, 7]),
        (CtKey::Dst, out, vec![203, 0, 113, 9]),
        (CtKey::DstIp, back, vec![198, 51, 100, 7]),
        (CtKey::ProtoDst, out, 2222u16.to_be_bytes().to_vec()),
        (CtKey::ProtoSrc, back, 22u16.to_be_bytes().to_vec()),
        (CtKey::Protocol, None, vec![6]),
        (CtKey::L3protocol, None, vec![2]),
        (CtKey::Direction, None, vec![0]),
    ] {
        assert!(matches(vec![ct(key, dir), eq(value)], &syn()), "{key:?} {dir:?}");
    }
    assert!(!matches(vec![ct(CtKey::SrcIp6, out)], &syn()));
    assert!(!matches(vec![ct(CtKey::Helper, None)], &syn()));
    let helped =
        Packet { ct: Conntrack::Entry(Entry { helper: Some("ftp".to_owned()), ..entry(4) }), ..syn() };
    assert!(matches(vec![ct(CtKey::Helper, None), eq(*b"ftp\0\0\0\0\0\0\0\0\0\0\0\0\0")], &helped));
}

/// At priority -300 nothing is tracked yet, so nothing can be told, and `notrack` still has an effect.
#[test]
fn before_tracking_every_packet_looks_invalid() {
    let state = |number: u32| vec![ct(CtKey::State, None), eq(number.to_ne_bytes())];
    let mut table = Table::new(TableFamily::Inet, "t");
    let raw = [state(1), vec![Expr::Notrack, accept()]].concat();
    table.chains.push(chain_at("raw", Hook::Prerouting, -300, Policy::Drop, vec![raw]));
    let late = [state(64), vec![accept()]].concat();
    table.chains.push(chain_at("late", Hook::Prerouting, -150, Policy::Drop, vec![late]));
    let arriving = Packet { hook: Hook::Prerouting, ..syn() };
    assert_eq!(end(table, &arriving), End::Accepted);
}

#[test]
fn what_a_host_sends_to_itself_is_tracked_already() {
    let rule = vec![ct(CtKey::State, None), eq(8u32.to_ne_bytes()), accept()];
    let mut table = Table::new(TableFamily::Inet, "t");
    table.chains.push(chain_at("raw", Hook::Prerouting, -300, Policy::Drop, vec![rule]));
    let looped = Packet { hook: Hook::Prerouting, iif: Some(device("lo", 1)), ..syn() };
    assert_eq!(end(table, &looped), End::Accepted);
}

#[test]
fn the_routing_table_is_brought_along() {
    let ask = |result, flags| Expr::Fib(Fib { result, flags, dreg: R0 });
    let fib = vec![(FibResult::AddrType, 1, 2), (FibResult::Oif, 9, 7), (FibResult::Oifname, 9, 7)];
    let packet = Packet { fib, ..syn() };
    assert!(matches(vec![ask(FibResult::AddrType, 1), eq(2u32.to_ne_bytes())], &packet));
    assert!(matches(vec![ask(FibResult::Oif, 9), eq(7u32.to_ne_bytes())], &packet));
    assert!(matches(vec![ask(FibResult::Oifname, 9), eq(*b"eth0\0\0\0\0\0\0\0\0\0\0\0\0")], &packet));
}

/// Hop-by-hop, then fragment, then TCP.
fn extended(fragment_offset: u8, later_fragment: bool) -> Packet {
    let hop = vec![44, 0, 5, 2, 0, 0, 0, 0];
    let fragment = vec![6, 0, 0, fragment_offset, 1, 2, 3, 4];
    Packet { extensions: vec![(0, hop), (44, fragment)], later_fragment, ..syn6() }
}

#[test]
fn extension_headers_stand_between() {
    let packet = extended(0, false);
    assert!(matches(present(exthdr::IPV6, 0), &packet));
    assert!(matches(present(exthdr::IPV6, 44), &packet));
    assert!(matches(missing(exthdr::IPV6, 43), &packet));
    assert!(matches(vec![option(exthdr::IPV6, 44, (4, 4), 0), eq([1, 2, 3, 4])], &packet));
    assert!(!matches(vec![option(exthdr::IPV6, 43, (0, 1), 0)], &packet));
    assert!(matches(vec![load(PayloadBase::Network, 40, 3), eq([44, 0, 5])], &packet));
    assert!(matches(vec![load(PayloadBase::Network, 56, 2), eq([0x9c, 0x40])], &packet));
    assert!(matches(vec![dport(), eq([0, 22])], &packet));
    assert!(matches(vec![meta(MetaKey::L4proto), eq([6])], &packet));
    assert!(matches(present(exthdr::IPV6, 6), &packet), "the transport header counts as one");
}

#[test]
fn nothing_is_found_behind_the_header_of_a_later_fragment() {
    let packet = extended(8, true);
    assert!(matches(present(exthdr::IPV6, 44), &packet));
    assert!(matches(missing(exthdr::IPV6, 6), &packet));
}

#[test]
fn headers_of_the_other_family_fail_even_when_asked_to_be_missing() {
    assert!(!matches(missing(exthdr::IPV6, 43), &syn()));
    assert!(!matches(missing(exthdr::IPV4, 7), &syn6()));
}

#[test]
fn options_of_tcp() {
    let mut packet = syn();
    packet.transport[12] = 0x80;
    packet.transport.extend([1, 2, 4, 5, 0xb4, 0, 0, 0, 0, 0, 0, 0]);
    assert!(matches(vec![option(exthdr::TCPOPT, 2, (2, 2), 0), eq([5, 0xb4])], &packet));
    assert!(!matches(vec![option(exthdr::TCPOPT, 2, (3, 2), 0)], &packet), "beyond the option");
    assert!(matches(present(exthdr::TCPOPT, 2), &packet));
    assert!(matches(missing(exthdr::TCPOPT, 4), &packet));
    assert!(!matches(vec![option(exthdr::TCPOPT, 4, (0, 1), 0)], &packet));
    packet.transport.truncate(30);
    assert!(matches(missing(exthdr::TCPOPT, 2), &packet), "no whole header");
    packet.l4proto = 17;
    assert!(matches(missing(exthdr::TCPOPT, 2), &packet));
}

#[test]
fn options_of_ipv4() {
    let with = |options: &[u8]| {
        let mut packet = syn();
        packet.network.extend(options);
        packet.network[0] = 0x45 + u8::try_from(options.len() / 4).unwrap();
        packet
    };
    let alert = with(&[148, 4, 0, 0]);
    assert!(matches(present(exthdr::IPV4, 148), &alert));
    assert!(matches(missing(exthdr::IPV4, 7), &alert));
    let recorded = with(&[1, 7, 7, 4, 0, 0, 0, 0]);
    assert!(matches(vec![option(exthdr::IPV4, 7, (2, 1), 0), eq([4])], &recorded));
    let broken = with(&[148, 4, 0, 0, 7, 200, 4, 0]);
    assert!(matches(missing(exthdr::IPV4, 148), &broken));
}
