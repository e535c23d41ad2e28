//! Around the end of a trial: a confirmation is in time or refused, never half; and the door comes back by itself.

use crate::common::{Answer, HOST4, HOST6, finish, start};
use crate::field::{Field, Judge};
use crate::seed;
use doorward::compile::{ARMED, TABLE};
use doorward::ruleset::TableFamily;
use doorward_kernel::SetName;
use std::net::UdpSocket;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How far from the deadline a confirmation may be, both ways.
const AROUND: Duration = Duration::from_millis(30);
/// The same from one end to the other, in microseconds.
const SPREAD: u64 = 60_000;

/// So long a transaction may take on a machine with other things to do.
const MOMENT: Duration = Duration::from_millis(30);
/// So much earlier or later the next one comes, and a fifth of the time that one takes besides: about half of them
/// are in time soon, whatever else the machine begins or ends to do.
const STEP: Duration = Duration::from_millis(10);

fn tried(field: &Field) -> Instant {
    // On a machine with much else to do a trial may be over before anybody looks.
    for _ in 0..5 {
        field.run(&["apply", "--detach", "--for", "3s", "new.dw"]).well();
        if let Some(deadline) = deadline(field) {
            return deadline;
        }
    }
    panic!("the machine is too slow for this test: trials of 3 s are over before they are read")
}

/// When the kernel ends the trial.
fn deadline(field: &Field) -> Option<Instant> {
    let set = SetName { family: TableFamily::Inet, table: TABLE.to_owned(), set: ARMED.to_owned() };
    let asked = Instant::now();
    let left = field.pair.socket.lifetimes(&set).unwrap().into_iter().flatten().next()?.expiration?;
    Some(asked + Duration::from_millis(left))
}

fn before(moment: Instant, by: Duration) -> Instant {
    moment.checked_sub(by).unwrap_or(moment)
}

fn wait_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// Who judged what this host sends: at the beginning, and at each change. Both families are asked in turn, so where one
/// did what the other did not there would be a change each time. Told apart they could not be compared: a moment may be
/// over before the other one is asked.
type Seen = Vec<(Judge, Instant)>;

/// Looks all the time until it is told to stop. Asks the kernel by packets that do not leave the host.
fn watch(stop: &AtomicBool) -> Seen {
    let sockets = [("203.0.113.2:0", "203.0.113.1:8888"), ("[2001:db8::2]:0", "[2001:db8::1]:8888")]
        .map(|(from, to)| (UdpSocket::bind(from).unwrap(), to));
    let mut seen = Seen::new();
    while !stop.load(Ordering::Relaxed) {
        for (socket, to) in &sockets {
            // The new policy blocks this one.
            let judge = if socket.send_to(b"x", to).is_ok() { Judge::Old } else { Judge::New };
            if seen.last().is_none_or(|(last, _)| *last != judge) {
                seen.push((judge, Instant::now()));
            }
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    seen
}

/// Confirms so often around the deadline. How many were accepted, how many refused.
fn confirms(count: usize, hosts: usize) {
    let Some(_) = Field::new() else { return };
    let seed = seed();
    let (next, accepted, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let moments: Mutex<Vec<Duration>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..hosts {
            scope.spawn(|| {
                let field = Field::new().unwrap();
                // From its start until the kernel is asked, found out by what becomes of it. All of them begin at once,
                // so the first one has more time than it can need.
                let mut takes = {
                    field.run(&["apply", "--detach", "--for", "60s", "new.dw"]).well();
                    let began = Instant::now();
                    field.run(&["confirm", "--here"]).well();
                    began.elapsed()
                };
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    field.reset();
                    let until = tried(&field);
                    let random = (number as u64 + seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                    let at = before(until, AROUND + takes) + Duration::from_micros(random % SPREAD);
                    let stop = AtomicBool::new(false);
                    let (said, judges) = std::thread::scope(|scope| {
                        let watcher = field.pair.on_host(|| scope.spawn(|| watch(&stop)));
                        wait_until(at);
                        let said = field.run(&["confirm", "--here"]);
                        wait_until(until + Duration::from_millis(60));
                        stop.store(true, Ordering::Relaxed);
                        (said, watcher.join().unwrap())
                    });
                    let order: Vec<&Judge> = judges.iter().map(|(judge, _)| judge).collect();
                    let judge = match (said.exit, &order[..]) {
                        (Some(0), [Judge::New]) => Judge::New,
                        // The kernel takes it by the time when the transaction began; who looks before it is done
                        // sees that the time is over.
                        (Some(0), [Judge::New, Judge::Old, Judge::New]) => {
                            let moment = judges[2].1 - judges[1].1;
                            assert!(
                                moment <= MOMENT,
                                "the old one judged for {moment:?}, then it was confirmed"
                            );
                            moments.lock().unwrap().push(moment);
                            Judge::New
                        }
                        // On a machine with much else to do all of it may come too late.
                        (Some(4), [Judge::New, Judge::Old] | [Judge::Old]) => {
                            assert!(said.err.contains("too late: the trial is over"), "{said:#?}");
                            Judge::Old
                        }
                        _ => panic!("{said:#?}: {judges:?}"),
                    };
                    if judge == Judge::New {
                        accepted.fetch_add(1, Ordering::Relaxed);
                        takes = takes.saturating_sub(takes / 5 + STEP);
                    } else {
                        refused.fetch_add(1, Ordering::Relaxed);
                        takes += takes / 5 + STEP;
                    }
                    assert_eq!(field.judge(), judge, "{said:#?}");
                    assert!(field.status()["trial"].is_null());
                    field.reboot();
                    assert_eq!(field.judge(), judge, "after a boot");
                }
            });
        }
    });
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    let moments = moments.into_inner().unwrap();
    println!(
        "{count} confirmations around the deadline: {accepted} accepted, {refused} refused, 0 half; of the accepted \
         {} with the old one back for a moment, at most {:?}",
        moments.len(),
        moments.iter().max()
    );
    // Both must have been tried.
    assert!(accepted.min(refused) > 0, "{accepted} {refused}");
}

/// Lets trials end with nobody there; how long after the deadline the old policy's door answered. It was late where it
/// was seen shut: who asks may not be run for a while on a machine with much else to do.
fn expiries(count: usize, hosts: usize, worst: Duration) {
    let Some(_) = Field::new() else { return };
    let next = AtomicUsize::new(0);
    let late: Mutex<Vec<Duration>> = Mutex::default();
    let seen: Mutex<Duration> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..hosts {
            scope.spawn(|| {
                let field = Field::new().unwrap();
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    field.reset();
                    let until = tried(&field);
                    let mut shut = [true; 2];
                    wait_until(before(until, Duration::from_millis(100)));
                    let ends = [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)];
                    while shut.contains(&true) {
                        for ((from, to), shut) in ends.iter().zip(&mut shut) {
                            let asked = Instant::now();
                            let open =
                                finish(start(from, (to, 8080)), Duration::from_secs(5)).0 == Answer::Open;
                            if *shut && open {
                                *shut = false;
                                late.lock().unwrap().push(asked.saturating_duration_since(until));
                            } else if *shut {
                                let mut seen = seen.lock().unwrap();
                                *seen = seen.max(asked.saturating_duration_since(until));
                            }
                            assert!(asked < until + Duration::from_secs(3), "the door does not come back");
                        }
                        field.drain();
                        std::thread::sleep(Duration::from_micros(500));
                    }
                    assert_eq!(field.judge(), Judge::Old);
                }
            });
        }
    });
    let mut late = late.into_inner().unwrap();
    late.sort_unstable();
    let seen = seen.into_inner().unwrap();
    let Some(most) = late.last() else { return };
    println!(
        "{} doors came back: median {:?}, at most {most:?} after the deadline; last seen shut {seen:?} after it",
        late.len(),
        late[late.len() / 2]
    );
    assert!(seen <= worst, "seen shut {seen:?} after the deadline: {late:?}");
}

#[test]
fn some_confirmations_around_the_deadline() {
    confirms(50, 5);
}

#[test]
fn the_door_comes_back() {
    expiries(10, 2, Duration::from_millis(50));
}

#[test]
#[ignore = "long: a thousand trials"]
fn a_thousand_confirmations_around_the_deadline() {
    confirms(1000, 6);
}

#[test]
#[ignore = "long: two hundred trials"]
fn the_door_comes_back_each_time() {
    expiries(200, 4, Duration::from_millis(50));
}
