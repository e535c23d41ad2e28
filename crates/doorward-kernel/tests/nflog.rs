//! Logged packets in namespaces of the tests' own: what is shown, who listens, what is lost.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::net::UdpSocket;
use std::time::Duration;

use common::{fresh, load, skip};
use doorward::ruleset::Hook;
use doorward_kernel::link::Links;
use doorward_kernel::nflog::{Heard, ListenError, Listener};

const GROUP: u16 = 3667;
const PATIENCE: Duration = Duration::from_millis(300);

/// `lo`, with a rule in its way that shows all datagrams.
fn shown() {
    let links = Links::open().unwrap();
    links.set_up(links.link("lo").unwrap().unwrap().index).unwrap();
    load(
        "table inet t {
            chain i {
                type filter hook input priority 0;
                udp dport 9 log prefix \"a word\" group 3667
            }
            chain o {
                type filter hook output priority 0;
                udp dport 10 log prefix \"o\" group 3667
            }
        }",
    );
}

fn send(to: (&str, u16), number: usize) {
    let socket = UdpSocket::bind(if to.0.contains(':') { ("::1", 0) } else { ("127.0.0.1", 0) }).unwrap();
    for _ in 0..number {
        let _ = socket.send_to(b"x", to);
    }
}

fn heard(listener: &mut Listener) -> Vec<Heard> {
    let mut all = Vec::new();
    listener.hear(PATIENCE, |one| all.push(one)).unwrap();
    all
}

#[test]
fn packets_of_both_families_are_shown() {
    if skip::without_root() {
        return;
    }
    let (_own, _) = fresh();
    shown();
    let mut listener = Listener::open(GROUP).unwrap();
    for (to, version, uid) in [(("127.0.0.1", 9), 4, None), (("::1", 9), 6, None), (("::1", 10), 6, Some(0))]
    {
        send(to, 1);
        let all = heard(&mut listener);
        let [Heard::Packet(shown)] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(shown.bytes[0] >> 4, version);
        let (prefix, hook) = if uid.is_some() { ("o", Hook::Output) } else { ("a word", Hook::Input) };
        assert_eq!((shown.prefix.as_str(), shown.hook), (prefix, hook));
        let (iif, oif) = if uid.is_some() { (None, Some(1)) } else { (Some(1), None) };
        assert_eq!((shown.iif, shown.oif), (iif, oif), "{shown:?}");
        if uid.is_some() {
            assert_eq!(shown.uid, uid);
        }
    }
    assert_eq!(heard(&mut listener), []);
}

#[test]
fn a_group_has_one_listener() {
    if skip::without_root() {
        return;
    }
    let (_own, _) = fresh();
    let first = Listener::open(GROUP).unwrap();
    assert!(matches!(Listener::open(GROUP), Err(ListenError::Taken(GROUP))));
    let other = Listener::open(GROUP + 1).unwrap();
    drop((first, other));
    // What other tests start may hold a copy of the socket for an instant.
    let again = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        Listener::open(GROUP).is_ok()
    });
    assert!(again);
}

/// Whoever reads too late hears that, and how much was lost.
#[test]
fn what_is_lost_is_told() {
    if skip::without_root() {
        return;
    }
    const SENT: usize = 5000;
    let (_own, _) = fresh();
    shown();
    let mut listener = Listener::with_room(GROUP, 4096).unwrap();
    send(("127.0.0.1", 9), SENT);
    let mut all = heard(&mut listener);
    send(("127.0.0.1", 9), 1);
    all.extend(heard(&mut listener));
    let packets = all.iter().filter(|one| matches!(one, Heard::Packet(_))).count();
    let lost: u32 = all.iter().map(|one| if let Heard::Lost(lost) = one { *lost } else { 0 }).sum();
    assert!(all.contains(&Heard::Overrun), "{packets} packets, {lost} lost");
    assert!(lost > 0);
    assert_eq!(packets + usize::try_from(lost).unwrap(), SENT + 1);
}
