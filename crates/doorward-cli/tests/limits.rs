//! Limits, with real handshakes: what counts, whom it counts for, and that nobody can be shut out by others.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    Answer, HOST4, HOST6, Pair, connect, finish, limited, only, policy, received, rule, send_udp, start,
};
use doorward::net::{PortRange, Proto};
use doorward::report::Origin;
use doorward::resolve::model::{Traffic, Trust, Verdict};
use rustix::net::{AddressFamily, SocketType};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 2222;

fn tcp(port: u16) -> Traffic {
    Traffic::Ports(Proto::TCP, PortRange::one(port))
}

fn udp(port: u16) -> Traffic {
    Traffic::Ports(Proto::UDP, PortRange::one(port))
}

fn answers(from: &str, to: &str, times: usize) -> Vec<Answer> {
    (0..times).map(|_| connect(from, (to, PORT))).collect()
}

/// A burst passes, one more does not, another source has a bucket of its own, in both families.
#[test]
fn per_source_a_burst_passes_and_no_more() {
    use Answer::{Open, Silence};
    let Some(pair) = Pair::new() else { return };
    let _server = pair.listen(PORT);
    pair.load(&policy(vec![limited(rule(1, Verdict::Allow, vec![tcp(PORT)]), 3, 60, 3, true)]));
    assert_eq!(answers("203.0.113.1", HOST4, 5), [Open, Open, Open, Silence, Silence]);
    assert_eq!(answers("203.0.113.77", HOST4, 4), [Open, Open, Open, Silence]);
    assert_eq!(answers("2001:db8::1", HOST6, 3), [Open, Open, Open]);
    // The other address is of the same /64.
    assert_eq!(answers("2001:db8::77", HOST6, 1), [Silence]);
}

/// Without `per source` there is one bucket for all sources, families and things of the sentence.
#[test]
fn one_bucket_for_the_sentence() {
    use Answer::{Open, Silence};
    let Some(pair) = Pair::new() else { return };
    let _server = pair.listen(PORT);
    let datagrams = pair.listen_udp(PORT);
    let both = rule(1, Verdict::Allow, vec![tcp(PORT), udp(PORT)]);
    pair.load(&policy(vec![limited(both, 4, 60, 4, false)]));
    assert_eq!(answers("203.0.113.1", HOST4, 1), [Open]);
    assert_eq!(answers("2001:db8::1", HOST6, 1), [Open]);
    for _ in 0..5 {
        send_udp("203.0.113.77", (HOST4, PORT));
    }
    assert_eq!(received(&datagrams), 2);
    assert_eq!(answers("203.0.113.78", HOST4, 1), [Silence]);
}

/// A bucket of one, and tokens that come back evenly.
#[test]
fn tokens_come_back_one_by_one() {
    use Answer::{Open, Silence};
    let Some(pair) = Pair::new() else { return };
    let _server = pair.listen(PORT);
    for burst in [1, 2] {
        let bucket = limited(rule(burst, Verdict::Allow, vec![tcp(PORT)]), 60, 60, burst, true);
        pair.load(&policy(vec![bucket]));
        let full = burst as usize;
        assert_eq!(answers("203.0.113.1", HOST4, full), vec![Open; full], "burst {burst}");
        assert_eq!(answers("203.0.113.1", HOST4, 1), [Silence], "burst {burst}");
        for round in 0..2 {
            std::thread::sleep(Duration::from_millis(1100));
            assert_eq!(answers("203.0.113.1", HOST4, 2), [Open, Silence], "burst {burst}, round {round}");
        }
    }
}

/// Forged SYNs, to which the victim's own kernel answers with a reset, take nothing from the victim.
#[test]
fn nobody_is_shut_out_by_forged_sources() {
    let Some(pair) = Pair::new() else { return };
    let _server = pair.listen(PORT);
    pair.load(&policy(vec![limited(rule(1, Verdict::Allow, vec![tcp(PORT)]), 3, 60, 3, true)]));
    let raw = rustix::net::socket(
        AddressFamily::INET,
        SocketType::RAW,
        Some(rustix::net::Protocol::from_raw(255.try_into().unwrap())),
    )
    .unwrap();
    for port in 0..40 {
        let packet = syn("203.0.113.77", 40_000 + port, PORT);
        let to = SocketAddr::from(([203, 0, 113, 2], 0));
        rustix::net::sendto(&raw, &packet, rustix::net::SendFlags::empty(), &to).unwrap();
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(answers("203.0.113.77", HOST4, 3), [Answer::Open; 3]);
    assert_eq!(answers("203.0.113.77", HOST4, 1), [Answer::Silence]);
}

/// Many handshakes begun at once: the bucket is asked again when they complete.
#[test]
fn many_at_once_do_not_pass_together() {
    let Some(pair) = Pair::new() else { return };
    let server = pair.listen(PORT);
    pair.load(&policy(vec![limited(rule(1, Verdict::Allow, vec![tcp(PORT)]), 3, 60, 3, true)]));
    let begun: Vec<_> = (0..20).map(|_| start("203.0.113.1", (HOST4, PORT))).collect();
    let kept: Vec<_> = begun.into_iter().map(|socket| finish(socket, Duration::from_millis(50))).collect();
    std::thread::sleep(Duration::from_millis(300));
    let accepted = std::iter::from_fn(|| server.accept().ok()).count();
    assert_eq!(accepted, 3, "of {} handshakes", kept.len());
}

/// What passed a limit works as a connection: data both ways, however long the pause.
#[test]
fn data_flows_through_a_limited_door() {
    use std::io::{Read, Write};
    let Some(pair) = Pair::new() else { return };
    let server = pair.listen(PORT);
    pair.load(&policy(vec![limited(rule(1, Verdict::Allow, vec![tcp(PORT)]), 6, 60, 6, true)]));
    let (answer, mut client) = finish(start("203.0.113.1", (HOST4, PORT)), Duration::from_millis(300));
    assert_eq!(answer, Answer::Open);
    client.set_nonblocking(false).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let (mut peer, _) = server.accept().unwrap();
    peer.set_nonblocking(false).unwrap();
    for round in 0..3u8 {
        client.write_all(&[round; 1000]).unwrap();
        let mut got = [0; 1000];
        peer.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        peer.read_exact(&mut got).unwrap();
        peer.write_all(&got).unwrap();
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, [round; 1000]);
    }
}

/// Trust lifts the limit, and an allow without one is asked first and charges nothing.
#[test]
fn trusted_and_unlimited_sources_are_not_charged() {
    use Answer::{Open, Silence};
    let Some(pair) = Pair::new() else { return };
    let _server = pair.listen(PORT);
    let mut free = rule(2, Verdict::Allow, vec![tcp(PORT)]);
    free.scope.from = only(&["203.0.113.78"]);
    let mut policy = policy(vec![limited(rule(1, Verdict::Allow, vec![tcp(PORT)]), 1, 60, 1, false), free]);
    policy.trust.push(Trust {
        who: only(&["203.0.113.77"]).only.unwrap(),
        origin: Origin { file: "policy.dw".into(), line: 3, sentence: "trust 203.0.113.77".into() },
    });
    pair.load(&policy);
    assert_eq!(answers("203.0.113.77", HOST4, 3), [Open; 3]);
    assert_eq!(answers("203.0.113.78", HOST4, 3), [Open; 3]);
    assert_eq!(answers("203.0.113.1", HOST4, 2), [Open, Silence]);
}

/// Buckets outlive a replacement of the policy, as long as the sentence stays.
#[test]
fn spent_stays_spent_over_a_replacement() {
    use Answer::{Open, Silence};
    let Some(pair) = Pair::new() else { return };
    let _server = pair.listen(PORT);
    let bucket = || limited(rule(1, Verdict::Allow, vec![tcp(PORT)]), 1, 60, 1, true);
    pair.load(&policy(vec![bucket()]));
    assert_eq!(answers("203.0.113.1", HOST4, 2), [Open, Silence]);
    pair.load(&policy(vec![bucket(), rule(2, Verdict::Allow, vec![tcp(80)])]));
    assert_eq!(answers("203.0.113.1", HOST4, 1), [Silence]);
    // A changed sentence starts afresh.
    pair.load(&policy(vec![limited(rule(7, Verdict::Allow, vec![tcp(PORT)]), 2, 60, 2, true)]));
    assert_eq!(answers("203.0.113.1", HOST4, 3), [Open, Open, Silence]);
}

/// Two limits on one port: a connection passes if one has room, and charges both.
#[test]
fn the_looser_of_two_limits_rules() {
    use Answer::{Open, Silence};
    let Some(pair) = Pair::new() else { return };
    let _server = pair.listen(PORT);
    let bucket = |line, burst| limited(rule(line, Verdict::Allow, vec![tcp(PORT)]), burst, 3600, burst, true);
    pair.load(&policy(vec![bucket(1, 2), bucket(2, 4)]));
    assert_eq!(answers("203.0.113.1", HOST4, 5), [Open, Open, Open, Open, Silence]);
}

/// An IPv4 packet with a TCP SYN.
fn syn(from: &str, source: u16, destination: u16) -> Vec<u8> {
    let from: Ipv4Addr = from.parse().unwrap();
    let to: Ipv4Addr = HOST4.parse().unwrap();
    let mut l4 = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    l4.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0, 0, 0, 0, 0]);
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    ip.extend(from.octets());
    ip.extend(to.octets());
    let pseudo = [&ip[12..], &[0, 6, 0, 20], &l4].concat();
    let mut sum: u32 = pseudo.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    l4[16..18].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    ip.extend(l4);
    ip
}

/// The same for datagrams, which pay at once.
#[test]
fn datagrams_pay_at_once_and_every_bucket() {
    let Some(pair) = Pair::new() else { return };
    let datagrams = pair.listen_udp(PORT);
    let bucket = |line, burst| limited(rule(line, Verdict::Allow, vec![udp(PORT)]), burst, 3600, burst, true);
    pair.load(&policy(vec![bucket(1, 2), bucket(2, 4)]));
    for _ in 0..7 {
        send_udp("203.0.113.1", (HOST4, PORT));
        send_udp("2001:db8::77", (HOST6, PORT));
    }
    assert_eq!(received(&datagrams), 8);
}
