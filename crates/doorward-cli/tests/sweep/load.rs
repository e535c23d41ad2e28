//! Changes under a stream of packets: nothing shut gets through, nothing open gets lost, whatever is replaced, armed,
//! confirmed or over.

use crate::common::{HOST4, HOST6};
use crate::field::Field;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const OPEN: u16 = 5300;
const SHUT: u16 = 9999;
/// What may get lost at each change.
const MOST_LOST: u64 = 3;

#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    shut: u64,
    leaked: u64,
    open: u64,
    received: u64,
}

/// What is sent and what arrives until it is told to stop. Each packet to the shut port is new, as none of them leaves
/// a connection behind; to the open port goes one flow in each family, and new ones.
fn stream(servers: &[UdpSocket; 2], stop: &AtomicBool, sent: &AtomicU64) -> Seen {
    let from = |addr: &str| UdpSocket::bind((addr, 0)).unwrap();
    let clients = [(from("203.0.113.1"), "203.0.113.1", HOST4), (from("2001:db8::1"), "2001:db8::1", HOST6)];
    let mut seen = Seen::default();
    let mut buffer = [0; 64];
    let mut take = |seen: &mut Seen| {
        seen.leaked += std::iter::from_fn(|| servers[0].recv(&mut buffer).ok()).count() as u64;
        seen.received += std::iter::from_fn(|| servers[1].recv(&mut buffer).ok()).count() as u64;
    };
    while !stop.load(Ordering::Relaxed) {
        for (client, own, to) in &clients {
            for _ in 0..32 {
                seen.shut += u64::from(client.send_to(b"shut", (*to, SHUT)).is_ok());
            }
            seen.open += u64::from(client.send_to(b"goes on", (*to, OPEN)).is_ok());
            seen.open += u64::from(from(own).send_to(b"new", (*to, OPEN)).is_ok());
        }
        take(&mut seen);
        sent.store(seen.shut, Ordering::Relaxed);
    }
    std::thread::sleep(Duration::from_millis(50));
    take(&mut seen);
    seen
}

/// Does something so often under the stream.
fn under_load(what: &str, times: usize, mut change: impl FnMut(&Field, usize)) -> Option<Seen> {
    let field = Field::new()?;
    for (name, more) in [("a.dw", ""), ("b.dw", ", 3306/tcp")] {
        field.folder.write(name, format!("allow ping\nallow 5300/udp, 2222/tcp{more}\n"));
    }
    field.run(&["apply", "--no-trial", "a.dw"]).well();
    let servers = [SHUT, OPEN].map(|port| field.pair.listen_udp(port));
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    let seen = std::thread::scope(|scope| {
        let streams = scope.spawn(|| stream(&servers, &stop, &sent));
        while sent.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        for number in 0..times {
            change(&field, number);
        }
        stop.store(true, Ordering::Relaxed);
        streams.join().unwrap()
    });
    let lost = seen.open - seen.received;
    let rate = seen.shut * 1000 / u64::try_from(began.elapsed().as_millis()).unwrap().max(1);
    println!(
        "{what}: {times} times under {rate} shut packets/s: {} leaked of {}, {lost} lost of {}",
        seen.leaked, seen.shut, seen.open
    );
    Some(seen)
}

fn file(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "b.dw" } else { "a.dw" }
}

fn changes(times: usize) {
    let holds = |seen: Option<Seen>| {
        let Some(seen) = seen else { return };
        assert_eq!(seen.leaked, 0, "{seen:?}");
        assert!(seen.open - seen.received <= MOST_LOST * times as u64, "{seen:?}");
    };
    holds(under_load("put in force at once", times, |field, number| {
        field.run(&["apply", "--no-trial", file(number)]).well();
    }));
    holds(under_load("armed and confirmed", times, |field, number| {
        field.run(&["apply", "--detach", file(number)]).well();
        field.run(&["confirm", "--here"]).well();
    }));
    holds(under_load("armed and taken back", times, |field, _| {
        field.run(&["apply", "--detach", "b.dw"]).well();
        field.run(&["rollback"]).well();
    }));
}

#[test]
fn some_changes_under_load() {
    changes(4);
    // What a loader that first clears away lets through is seen.
    let seen = under_load("cleared away and loaded", 3, |field, _| field.reboot());
    assert!(seen.is_none_or(|seen| seen.leaked > 0), "{seen:?}");
}

#[test]
#[ignore = "long: two hundred changes of three kinds"]
fn two_hundred_changes_under_load() {
    changes(200);
}
