//! Blocked packets that get through while a policy is replaced: ours beside the naive replacement.

use super::space::{CLIENT, Pair, SERVER};
use super::{Bench, Outcome, peers, run_command};
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A port that no version of the policy opens, and one that all do.
const BLOCKED: u16 = 9999;
const OPEN: u16 = 53;

/// What a stream saw.
#[derive(Default)]
struct Seen {
    sent: u64,
    leaked: u64,
    lost: u64,
}

/// 200 replacements each, under the same stream of packets.
pub(super) fn replacements(bench: &Bench) -> Outcome<()> {
    let rounds = bench.rounds(200);
    println!("\nblocked packets that pass during {rounds} replacements");
    println!("{:40} {:>12} {:>12} {:>8} {:>8}", "", "replaced", "packets/s", "leaked", "lost");
    let with = bench.write("leak-a.dw", "allow ping\nallow ssh, dns\n")?;
    let without = bench.write("leak-b.dw", "allow ping\nallow ssh, dns, https\n")?;
    let ours = Pair::new("leak")?;
    peers::apply(bench, &ours, &with)?;
    let mut turn = 0;
    row("doorward apply --no-trial", &ours, rounds, || {
        turn += 1;
        peers::apply(bench, &ours, if turn % 2 == 0 { &with } else { &without })
    })?;

    let naive = Pair::new("naive")?;
    let file = bench.write(
        "naive.nft",
        "table inet naive
delete table inet naive
table inet naive {
 chain input {
  type filter hook input priority filter; policy drop;
  ct state established,related accept
  udp dport 53 accept
 }
}
",
    )?;
    let load = || run_command(naive.on_server(Path::new("nft")).arg("-f").arg(&file)).map(|_| ());
    load()?;
    row("table deleted and added, policy drop only", &naive, rounds, load)
}

fn row(name: &str, pair: &Pair, rounds: usize, mut replace: impl FnMut() -> Outcome<()>) -> Outcome<()> {
    let stop = AtomicBool::new(false);
    let progress = AtomicU64::new(0);
    let (seen, seconds) = std::thread::scope(|scope| {
        let stream = scope.spawn(|| stream(pair, &stop, &progress));
        while progress.load(Ordering::Relaxed) == 0 && !stream.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let start = Instant::now();
        let mut outcome = Ok(());
        for _ in 0..rounds {
            if outcome.is_ok() {
                outcome = replace();
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        let seen = stream.join().map_err(|_| "the stream stopped".to_owned())??;
        outcome.map(|()| (seen, seconds))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for reading")]
    let rate = seen.sent as f64 / seconds;
    println!("{name:40} {rounds:>12} {rate:>12.0} {:>8} {:>8}", seen.leaked, seen.lost);
    Ok(())
}

/// Sends to both ports as fast as one thread can, new flows to the blocked one.
fn stream(pair: &Pair, stop: &AtomicBool, progress: &AtomicU64) -> Outcome<Seen> {
    let open = |port| {
        let socket = pair.in_server(|| UdpSocket::bind((SERVER, port)))?.map_err(|e| e.to_string())?;
        socket.set_nonblocking(true).map_err(|e| e.to_string())?;
        Ok::<_, String>(socket)
    };
    let (blocked, allowed) = (open(BLOCKED)?, open(OPEN)?);
    // Blocked packets leave no connection behind, so each is new, whatever its source port.
    let client = pair.in_client(|| UdpSocket::bind((CLIENT, 0)))?.map_err(|e| e.to_string())?;
    let mut seen = Seen::default();
    let mut buffer = [0; 64];
    let mut received = 0u64;
    let mut sent_allowed = 0u64;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..64 {
            if client.send_to(b"blocked", (SERVER, BLOCKED)).is_ok() {
                seen.sent += 1;
            }
        }
        if client.send_to(b"allowed", (SERVER, OPEN)).is_ok() {
            sent_allowed += 1;
        }
        while blocked.recv(&mut buffer).is_ok() {
            seen.leaked += 1;
        }
        while allowed.recv(&mut buffer).is_ok() {
            received += 1;
        }
        progress.store(seen.sent, Ordering::Relaxed);
    }
    std::thread::sleep(Duration::from_millis(20));
    while blocked.recv(&mut buffer).is_ok() {
        seen.leaked += 1;
    }
    while allowed.recv(&mut buffer).is_ok() {
        received += 1;
    }
    seen.lost = sent_allowed - received;
    Ok(seen)
}
