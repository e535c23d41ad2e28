//! Matches and targets of iptables, where they do something else than an expression of nftables.

use super::*;
use doorward::ruleset::Bitop;

fn short(number: u16) -> [u8; 2] {
    number.to_ne_bytes()
}

/// `-p tcp --sport 0:65535 --dport FIRST:LAST [--tcp-option KIND]`
fn tcp(dest: (u16, u16), option: u8, invert: u8) -> Expr {
    let ports = [short(0), short(u16::MAX), short(dest.0), short(dest.1)].concat();
    extension("match", "tcp", 0, &[ports, vec![option, 0, 0, invert, 0, 0, 0, 0]].concat())
}

/// `--dports PORT`
fn multiport(port: u16, invert: bool) -> Expr {
    let mut info = [0; 48];
    (info[0], info[1], info[47]) = (1, 1, u8::from(invert));
    info[2..4].copy_from_slice(&short(port));
    extension("match", "multiport", 1, &info)
}

fn mark(value: u32, mask: u32) -> Expr {
    extension("target", "MARK", 2, &[value.to_ne_bytes(), mask.to_ne_bytes()].concat())
}

fn connmark(mode: u8, value: u32, connection_mask: u32, packet_mask: u32) -> Expr {
    let words = [value, connection_mask, packet_mask].map(u32::to_ne_bytes).concat();
    extension("target", "CONNMARK", 1, &[words, vec![mode, 0, 0, 0]].concat())
}

fn of_v4(rules: Vec<Vec<Expr>>) -> Table {
    Table { family: TableFamily::Ip, ..table(rules) }
}

/// The end where only the last rule accepts.
fn ends(rule: Vec<Expr>, packet: &Packet) -> End {
    end(of_v4(vec![rule, vec![accept()]]), packet)
}

#[test]
fn later_fragments_have_no_ports_and_one_of_them_is_dropped() {
    let mut later = Packet { later_fragment: true, ..syn() };
    later.network[7] = 3;
    for rule in [tcp((0, u16::MAX), 0, 0), tcp((23, 23), 0, 2), multiport(23, true)] {
        assert_eq!(ends(vec![rule.clone(), drop()], &syn()), End::Dropped);
        assert_eq!(ends(vec![rule, drop()], &later), End::Accepted);
    }
    later.network[7] = 1;
    assert_eq!(ends(vec![tcp((9, 9), 0, 0)], &later), End::Dropped, "it begins at byte 8");
    assert_eq!(ends(vec![multiport(9, false)], &later), End::Accepted);
    let later =
        Packet { later_fragment: true, extensions: vec![(44, vec![6, 0, 0, 8, 0, 0, 0, 1])], ..syn6() };
    let six = Table { family: TableFamily::Ip6, ..table(vec![vec![tcp((9, 9), 0, 0)], vec![accept()]]) };
    assert_eq!(end(six, &later), End::Accepted, "IPv6 counts bytes: none begins at 1");
}

#[test]
fn what_is_cut_off_is_dropped_though_nothing_matches() {
    let cut = |len| {
        let mut packet = syn();
        packet.transport.truncate(len);
        packet
    };
    assert_eq!(ends(vec![tcp((9, 9), 0, 0)], &cut(19)), End::Dropped);
    assert_eq!(ends(vec![multiport(9, false)], &cut(3)), End::Dropped);
    // Options are looked at after the ports.
    let mut broken = syn();
    broken.transport[12] = 0xf0;
    assert_eq!(ends(vec![tcp((9, 9), 8, 0)], &broken), End::Accepted);
    assert_eq!(ends(vec![tcp((22, 22), 8, 0)], &broken), End::Dropped);
    assert_eq!(ends(vec![tcp((22, 22), 8, 8), drop()], &syn()), End::Dropped, "there is no option 8");
}

#[test]
fn marks_go_to_the_connection_and_back() {
    let bit = |load: Expr, bit: u32| {
        let mask = bit.to_ne_bytes().to_vec();
        let bits = Bitop::MaskXor { mask: mask.clone(), xor: vec![0; 4] };
        vec![load, Expr::Bitwise { sreg: R0, dreg: R0, len: 4, op: bits }, eq(mask), accept()]
    };
    let after = |rule: Vec<Expr>, of: u32, packet: &Packet| {
        end(of_v4(vec![rule, bit(meta(MetaKey::Mark), of)]), packet) == End::Accepted
    };
    let mut packet = Packet { mark: 0x0f, ..syn() };
    packet.ct = Conntrack::Entry(Entry { mark: 0x100, ..entry(8) });
    assert!(after(vec![mark(0x11, 0x0f)], 0x10, &packet));
    assert!(!after(vec![mark(0x11, 0x0f)], 2, &packet));
    let restore = connmark(2, 0, u32::MAX, u32::MAX);
    assert!(after(vec![restore.clone()], 0x100, &packet));
    let saved = vec![connmark(1, 0, 0xff, 1), restore.clone()];
    assert!(after(saved.clone(), 1, &packet) && !after(saved, 2, &packet));
    // Without connection there is nothing to restore.
    let packet = Packet { ct: Conntrack::Untracked, ..packet };
    assert!(after(vec![restore], 8, &packet));
}

#[test]
fn what_a_target_writes_is_read_by_later_rules() {
    let set = extension("target", "TTL", 0, &[0, 9, 0, 0, 0, 0, 0, 0]);
    let less = extension("target", "TTL", 0, &[2, 1, 0, 0, 0, 0, 0, 0]);
    let is = |hops: u8| extension("match", "ttl", 0, &[0, hops, 0, 0, 0, 0, 0, 0]);
    for (target, hops) in [(set, 9), (less, 63)] {
        assert_eq!(end(of_v4(vec![vec![target], vec![is(hops), accept()]]), &syn()), End::Accepted);
    }
}

/// `--clamp-mss-to-pmtu`: what the route takes is not known, and no other byte is forgotten.
#[test]
fn a_size_of_segments_that_is_not_known_is_asked() {
    let clamp = extension("target", "TCPMSS", 0, &[0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    let mut packet = syn();
    packet.transport.extend([2, 4, 5, 0xb4]);
    packet.transport[12] = 0x60;
    let rules = vec![vec![clamp.clone()], vec![dport(), eq([0, 22]), accept()]];
    assert_eq!(end(of_v4(rules), &packet), End::Accepted);
    let size = extension("match", "tcpmss", 0, &[0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    let mut asked = 0;
    let tables = [of_v4(vec![vec![clamp], vec![size, accept()]])];
    trace::hook(&tables, &packet, &mut |_: &Unknown| {
        asked += 1;
        true
    });
    assert_eq!(asked, 1);
}
