//! Doorward tried as a new administrator would: over SSH, from a bare Debian to a firewall that is confirmed and there
//! at boot, in four commands. Each of them is killed at random moments, and nobody is locked out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test talks and fails so"
)]

#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/bench.rs"]
mod bench;
mod debian;
#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/processes.rs"]
mod processes;
#[path = "../../../../tests/support/skip.rs"]
mod skip;
#[allow(dead_code, reason = "another test's tool")]
#[path = "../session/stage.rs"]
mod stage;

use bench::until;
use debian::{Answer, Debian};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// All that has to be said, each in a session of its own.
const WAY: [&str; 4] = [
    "install -D -m 644 /usr/local/share/doorward/server.dw /etc/doorward/policy.dw",
    "doorward apply --detach",
    "doorward confirm",
    "doorward enable",
];
const APPLY: usize = 1;
const CONFIRM: usize = 2;
/// The same where nobody goes on and the end is waited for: the shortest that there is.
const SHORT: &str = "doorward apply --detach --for 10s";
/// That time, and what a login and a look may take beside it.
const TRIAL: Duration = Duration::from_secs(10 + 2);
/// A command may be done before it is to be killed: so often another moment is taken.
const TRIES: usize = 12;
/// So long a command is thought to take until one was seen; less if that turns out to be too long.
const USUAL: Duration = Duration::from_millis(60);

fn quick() -> bool {
    std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root()
}

/// The whole way, as nobody kills anything; then what a boot does.
#[test]
fn four_commands() {
    if quick() {
        return;
    }
    let debian = Debian::new();
    debian.reset();
    assert!(debian.lets_in());
    for command in WAY {
        let answer = debian.run(command);
        assert_eq!(answer.exit, 0, "{command}: {answer:?}");
    }
    is_there(&debian);
    let unit = debian.read("etc/systemd/system/doorward.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("the unit starts it");
    assert_eq!(start, "/usr/local/sbin/doorward boot");
    debian.forget();
    assert!(debian.is_open());
    // Nobody is logged in when a host boots: to firewall and conntrack the session would be in the midst of nothing.
    let later = debian.run(&format!("sh -c '(sleep 1; {start}) > /run/said 2>&1 &'"));
    assert_eq!(later.exit, 0, "{later:?}");
    assert!(until(TRIAL, || !debian.is_open()) && debian.lets_in());
    let said = debian.run("cat /run/said").text;
    assert!(said.contains("generation 1 is in force"), "{said}");
}

/// The firewall is in force, confirmed, and there at the next boot; and its administrator can log in.
#[track_caller]
fn is_there(debian: &Debian) {
    assert!(!debian.is_open(), "no firewall");
    assert!(debian.lets_in(), "the administrator is locked out");
    let status = debian.run("doorward status");
    for words in ["doorward is active: generation 1", "confirmed, boots", "boot: enabled, "] {
        assert!(status.text.contains(words), "{words}: {}", status.text);
    }
    assert!(!status.text.contains("not working") && !status.text.contains("on trial"), "{}", status.text);
}

/// Goes on after a kill, as somebody does who types it once more.
fn goes_on(debian: &Debian, from: usize) {
    for (number, command) in WAY.iter().enumerate().skip(from) {
        let Answer { exit, text, .. } = debian.run(command);
        let well = match (number, exit) {
            (_, 0) => true,
            // The kill came after the policy was armed, or after it was kept.
            (APPLY, 4) => text.contains("another policy is on trial"),
            (CONFIRM, 2) => from == CONFIRM && text.contains("nothing is on trial"),
            _ => false,
        };
        assert!(well, "{command}: {exit}: {text}");
    }
    is_there(debian);
}

/// A number that is another one each time, and may be given.
fn seed() -> u64 {
    let given = std::env::var("DOORWARD_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::from(time.subsec_nanos()))
    });
    println!("DOORWARD_SEED={seed}");
    seed
}

/// A moment within this time.
fn moment(seed: u64, number: usize, within: Duration) -> Duration {
    let random = (seed ^ number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    within * u32::try_from(random % 1000).expect("it is small") / 1000
}

/// How long each command takes, once that was seen.
type Times = BTreeMap<usize, Duration>;

/// Brings a host to where the command is next, and kills that one; at which moment it was.
fn kill(
    debian: &Debian,
    (which, waits): (usize, bool),
    random: u64,
    number: usize,
    times: &mut Times,
) -> Duration {
    let killed = if waits { SHORT } else { WAY[which] };
    for again in 0..TRIES {
        debian.reset();
        for (number, command) in WAY.iter().enumerate().take(which) {
            let answer = debian.run(command);
            assert_eq!(answer.exit, 0, "{command}: {answer:?}");
            times.insert(number, answer.took);
        }
        let takes = *times.entry(which).or_insert(USUAL);
        let after = moment(random, number * TRIES + again, takes);
        let answer = debian.killed(killed, after);
        match answer.exit {
            137 => return after,
            // Done before: it takes less than was thought.
            0 => times.insert(which, takes * 2 / 3),
            _ => panic!("{answer:?}"),
        };
    }
    panic!("{}: done before it is killed, {TRIES} times", WAY[which])
}

/// Kills each command so often, on so many hosts at once.
fn kills(times: usize, hosts: usize) {
    if quick() {
        return;
    }
    let (random, began) = (seed(), Instant::now());
    let next = AtomicUsize::new(0);
    // What was found right after the kill: the door of the old state, or that of the new one.
    let found: Mutex<BTreeMap<(usize, bool), usize>> = Mutex::default();
    let moments: Mutex<BTreeMap<usize, Vec<Duration>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..hosts {
            scope.spawn(|| {
                let (debian, mut takes) = (Debian::new(), Times::new());
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= times * WAY.len() {
                        return;
                    }
                    let which = number % WAY.len();
                    let waits = which == APPLY && (number / WAY.len()).is_multiple_of(2);
                    let after = kill(&debian, (which, waits), random, number, &mut takes);
                    let place = format!("{} killed after {after:?}, seed {random}", WAY[which]);
                    // At once, and not only when the trial is over.
                    assert!(debian.lets_in(), "locked out: {place}");
                    let open = debian.is_open();
                    *found.lock().unwrap().entry((which, open)).or_default() += 1;
                    moments.lock().unwrap().entry(which).or_default().push(after);
                    if waits {
                        // Nobody does anything: the host is again as it was before.
                        assert!(debian.opens_within(TRIAL), "a trial without an end: {place}");
                        assert!(debian.lets_in(), "locked out after the trial: {place}");
                    }
                    goes_on(&debian, which);
                }
            });
        }
    });
    let (found, moments) = (found.into_inner().unwrap(), moments.into_inner().unwrap());
    for (which, moments) in moments {
        let count = |open| found.get(&(which, open)).unwrap_or(&0);
        println!(
            "{}: killed {} times after {:?} to {:?}; {} times without a firewall then, {} with one; 0 locked out",
            WAY[which],
            moments.len(),
            moments.iter().min().unwrap(),
            moments.iter().max().unwrap(),
            count(true),
            count(false)
        );
        assert_eq!(moments.len(), times);
    }
    println!("{:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn each_command_killed_once() {
    kills(1, 2);
}

#[test]
#[ignore = "long: forty kills, and the way to the end after each"]
fn each_command_killed_ten_times() {
    kills(10, 3);
}
