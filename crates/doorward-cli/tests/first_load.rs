//! The first load on a host that has no firewall: a trial takes itself back, and nobody who is there is cut; where the
//! kernel would end an open connection later, that is said before anything is loaded.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;
mod tool;

use common::{Answer, HOST4, HOST6, Pair, connect, finish, start};
use doorward::compile::{ARMED, TABLE};
use doorward::ruleset::TableFamily;
use doorward_kernel::{Scope, SetName};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tool::{Folder, Said, golden};

const SSH: u16 = 22;
const ENDS: [(&str, &str); 2] = [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)];
/// What is shut says nothing: it is waited for so long.
const PATIENCE: Duration = Duration::from_millis(400);
/// What answers does so at once; but the machine may have other things to do.
const LONG: Duration = Duration::from_secs(5);
/// How long a trial is here: on a slow machine one of a second may be over before it is looked at.
const TRIAL: &str = "2s";

/// Does something so often, on so many hosts at once. False where tests need root and have not.
fn each(count: usize, at_once: usize, job: impl Fn(&Pair, usize) + Sync) -> bool {
    if common::skip::without_root() {
        return false;
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    job(&Pair::new().unwrap(), number);
                }
            });
        }
    });
    true
}

fn on_host(pair: &Pair, folder: &Folder, args: &[&str]) -> Said {
    pair.on_host(|| folder.run(args))
}

/// When the kernel ends the trial.
fn deadline(pair: &Pair) -> Instant {
    let set = SetName { family: TableFamily::Inet, table: TABLE.to_owned(), set: ARMED.to_owned() };
    let asked = Instant::now();
    let armed = pair.socket.lifetimes(&set).unwrap().into_iter().flatten().next();
    let left = armed.and_then(|element| element.expiration);
    asked + Duration::from_millis(left.expect("the machine is too slow for this test: the trial is over"))
}

/// Tries policies that drop everything on hosts that never had one, and has nobody there to take them back.
fn everything_is_shut_for_a_time(count: usize, at_once: usize) {
    let late: Mutex<Vec<Duration>> = Mutex::default();
    let shut = "default block in, block out, block published, block forward\n";
    let ran = each(count, at_once, |pair, _| {
        let _listener = pair.listen(SSH);
        let folder = Folder::new().with("shut.dw", shut);
        let answers = || ENDS.map(|(from, to)| finish(start(from, (to, SSH)), LONG).0);
        assert_eq!(answers(), [Answer::Open; 2], "a host without a firewall");
        on_host(pair, &folder, &["apply", "--force", "--detach", "--for", TRIAL, "shut.dw"]).well();
        let until = deadline(pair);
        let begun = ENDS.map(|(from, to)| start(from, (to, SSH)));
        let tried = begun.map(|one| finish(one, PATIENCE).0);
        assert!(Instant::now() < until, "the machine is too slow for this test");
        assert_eq!(tried, [Answer::Silence; 2], "while it is on trial");
        let soon = until.checked_sub(Duration::from_millis(100)).unwrap();
        std::thread::sleep(soon.saturating_duration_since(Instant::now()));
        for (from, to) in ENDS {
            // What was dropped is sent again only after a second: rather asked anew.
            let back = loop {
                let asked = Instant::now();
                if finish(start(from, (to, SSH)), Duration::from_millis(25)).0 == Answer::Open {
                    break asked;
                }
                assert!(asked < until + LONG, "{to} is not reachable again");
            };
            late.lock().unwrap().push(back.saturating_duration_since(until));
        }
        let status = on_host(pair, &folder, &["status", "--json"]).well().json();
        assert!(status["trial"].is_null() && status["confirmed"].is_null(), "{status:#}");
    });
    let mut late = late.into_inner().unwrap();
    late.sort_unstable();
    let Some(most) = late.last().filter(|_| ran) else { return };
    println!(
        "a first trial that drops everything: reachable again {} of {count}, over both families; median {:?}, at most \
         {most:?} after the deadline",
        late.len() / 2,
        late[late.len() / 2]
    );
    assert_eq!(late.len(), 2 * count);
}

/// Both ends of a session.
struct Session {
    client: TcpStream,
    server: TcpStream,
}

impl Session {
    fn open((from, to): (&str, &str), listener: &TcpListener) -> Session {
        let (answer, client) = finish(start(from, (to, SSH)), LONG);
        assert_eq!(answer, Answer::Open);
        let end = Instant::now() + LONG;
        let server = loop {
            match listener.accept() {
                Ok((server, _)) => break server,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
        };
        for stream in [&client, &server] {
            stream.set_nonblocking(false).unwrap();
        }
        Session { client, server }
    }

    /// Whether a byte gets from one end to the other, each way.
    fn lives(&mut self, patience: Duration) -> bool {
        let heard = |from: &mut TcpStream, to: &mut TcpStream| {
            to.set_read_timeout(Some(patience)).unwrap();
            from.write_all(b"x").is_ok() && matches!(to.read(&mut [0]), Ok(1))
        };
        heard(&mut self.client, &mut self.server) && heard(&mut self.server, &mut self.client)
    }
}

/// A session over each family, and one over each that has nothing to say for a while.
fn sessions(listener: &TcpListener) -> Vec<Session> {
    [ENDS[0], ENDS[1], ENDS[0], ENDS[1]].map(|ends| Session::open(ends, listener)).into()
}

/// Opens sessions where there is no rule of anybody, and loads a policy that would let none of them in.
fn open_sessions_go_on(count: usize, at_once: usize) {
    let (alive, dead) = (AtomicUsize::new(0), AtomicUsize::new(0));
    each(count, at_once, |pair, number| {
        let listener = pair.listen(SSH);
        let mut sessions = sessions(&listener);
        let folder = Folder::new().with("web.dw", "allow http\n").with("more.dw", "allow http, https\n");
        let [first, second, idle @ ..] = &mut sessions[..] else { panic!("four sessions") };
        let mut all_live = |later: bool| {
            let talking = first.lives(LONG) && second.lives(LONG);
            talking && (!later || idle.iter_mut().all(|one| one.lives(LONG)))
        };
        // In force at once and replaced once more, or on trial until the time is over.
        let lives = if number % 2 == 0 {
            on_host(pair, &folder, &["apply", "--no-trial", "web.dw"]).well();
            let lived = all_live(false);
            on_host(pair, &folder, &["apply", "--no-trial", "more.dw"]).well();
            lived && all_live(true)
        } else {
            on_host(pair, &folder, &["apply", "--force", "--detach", "--for", TRIAL, "web.dw"]).well();
            let until = deadline(pair);
            let lived = all_live(false);
            let over = until + Duration::from_millis(50);
            std::thread::sleep(over.saturating_duration_since(Instant::now()));
            lived && all_live(true)
        };
        if number % 2 == 0 {
            assert_eq!(connect(ENDS[0].0, (ENDS[0].1, SSH)), Answer::Silence, "nobody new");
        }
        (if lives { &alive } else { &dead }).fetch_add(1, Ordering::Relaxed);
    });
    let (alive, dead) = (alive.into_inner(), dead.into_inner());
    println!("sessions from before the first load: alive {alive} of {}, over both families", alive + dead);
    assert_eq!(dead, 0);
}

#[test]
fn a_first_trial_that_shuts_everything() {
    everything_is_shut_for_a_time(2, 2);
}

#[test]
#[ignore = "long: a hundred trials"]
fn a_first_trial_that_shuts_everything_a_hundred_times() {
    everything_is_shut_for_a_time(100, 6);
}

#[test]
fn sessions_of_before() {
    open_sessions_go_on(2, 2);
}

#[test]
#[ignore = "long: a hundred hosts"]
fn sessions_of_before_a_hundred_times() {
    open_sessions_go_on(100, 6);
}

fn take_up(pair: &Pair, loose: &str) {
    let value = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose";
    pair.on_host(|| std::fs::write(value, loose).unwrap());
}

fn nft(pair: &Pair, words: &str) {
    let done = pair.on_host(|| Command::new("nft").arg(words).status().unwrap());
    assert!(done.success(), "{words}");
}

/// The hour that sessions are remembered for is over.
fn an_hour_later(pair: &Pair) {
    nft(pair, "flush set inet doorward carried4; flush set inet doorward carried6");
}

/// Where the kernel takes up no connection in its middle, those from before the first load have an hour: that is true,
/// it is said before anything is loaded, and what is said to help does.
#[test]
fn strict_tracking_is_told() {
    let Some(pair) = Pair::new() else { return };
    let folder = Folder::new().with("web.dw", "allow http\n");
    take_up(&pair, "0");
    let listener = pair.listen(SSH);
    let mut open = sessions(&listener);
    let said = on_host(&pair, &folder, &["apply", "--no-trial", "web.dw"]).well();
    golden("apply-strict.txt", &said.err);
    assert!(!said.out.contains("an hour to speak"), "{}", said.out);
    assert!(open.iter_mut().all(|one| one.lives(LONG)), "they go on");
    an_hour_later(&pair);
    assert!(!open.iter_mut().any(|one| one.lives(PATIENCE)), "and end");
    // It is of the first load only.
    let said = on_host(&pair, &folder, &["apply", "--no-trial", "--json", "web.dw"]).well();
    assert_eq!(said.json()["warnings"], serde_json::json!([]));
}

/// Nobody makes room for what it has to say: it waits, and nothing is in force.
#[test]
fn strict_tracking_is_told_before() {
    let Some(pair) = Pair::new() else { return };
    let folder = Folder::new().with("web.dw", "allow http\n");
    take_up(&pair, "0");
    let listener = pair.listen(SSH);
    let _open = sessions(&listener);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let full = vec![b'\n'; 1 << 16];
    writer.write_all(&full).unwrap();
    let mut command = folder.doorward();
    command.args(["apply", "--no-trial", "web.dw"]).stdout(Stdio::null()).stderr(writer);
    let mut child = pair.on_host(|| command.spawn().unwrap());
    // It holds the other end of the pipe, too.
    drop(command);
    waits_in(child.id(), "pipe_write");
    let ours = Scope::Table(TableFamily::Inet, TABLE.to_owned());
    let loaded = || pair.socket.read_headers(&ours).unwrap().ruleset.tables.len();
    assert_eq!(loaded(), 0);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    assert!(text.contains("warning: 4 TCP connections that are open end an hour after this"), "{text}");
    assert_eq!(loaded(), 1);
}

fn waits_in(pid: u32, call: &str) {
    let end = Instant::now() + 4 * LONG;
    while !std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap().contains(call) {
        assert!(Instant::now() < end, "process {pid} does not come to wait in {call}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn strict_tracking_and_the_way_out() {
    let Some(pair) = Pair::new() else { return };
    let folder = Folder::new().with("web.dw", "allow http\n");
    take_up(&pair, "0");
    let listener = pair.listen(SSH);
    let mut open = sessions(&listener);
    let args = ["apply", "--force", "--detach", "--for", TRIAL, "--json", "web.dw"];
    let tried = on_host(&pair, &folder, &args).well().json();
    assert!(tried["warnings"][0].as_str().unwrap().starts_with("4 TCP connections that are open end "));
    on_host(&pair, &folder, &["rollback"]).well();
    take_up(&pair, "1");
    let said = on_host(&pair, &folder, &["apply", "--no-trial", "web.dw"]).well();
    assert_eq!(said.err, "");
    assert!(said.out.contains("4 TCP connections that were open may go on"), "{}", said.out);
    assert!(open.iter_mut().all(|one| one.lives(LONG)));
    take_up(&pair, "0");
    an_hour_later(&pair);
    assert!(open.iter_mut().all(|one| one.lives(LONG)), "each had spoken");
}

/// Connections that rules of others made known go on as any.
#[test]
fn strict_tracking_of_what_is_known() {
    let Some(pair) = Pair::new() else { return };
    let folder = Folder::new().with("web.dw", "allow http\n");
    take_up(&pair, "0");
    let chain = "chain c { type filter hook input priority 0; ct state established accept; }";
    nft(&pair, &format!("table inet other {{ {chain}; }}"));
    let listener = pair.listen(SSH);
    let mut open = sessions(&listener);
    let said = on_host(&pair, &folder, &["apply", "--no-trial", "web.dw"]).well();
    assert_eq!(said.err, "");
    an_hour_later(&pair);
    assert!(open.iter_mut().all(|one| one.lives(LONG)));
}
