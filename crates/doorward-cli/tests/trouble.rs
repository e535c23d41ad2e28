//! Commands in trouble: no rights, no room, others who change the firewall meanwhile. What they say is true.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;
mod tool;

use common::{Answer, HOST4, HOST6, Pair, connect};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tool::{Folder, Said};

const OLD: &str = "allow 2222/tcp\ndefault reject in\n";
const NEW: &str = "allow 2222/tcp, 3306/tcp\ndefault reject in\n";

struct Host {
    pair: Pair,
    folder: Folder,
}

impl Host {
    /// With the old policy confirmed.
    fn new() -> Option<Host> {
        let host = Host::bare()?;
        host.run(&["apply", "--no-trial", "old.dw"]).well();
        Some(host)
    }

    fn bare() -> Option<Host> {
        let pair = Pair::new()?;
        let folder = Folder::new().with("old.dw", OLD).with("new.dw", NEW);
        let host = Host { pair, folder };
        // They are told apart by a door behind which somebody is.
        std::mem::forget(host.pair.listen(3306));
        Some(host)
    }

    fn run(&self, args: &[&str]) -> Said {
        self.pair.on_host(|| self.folder.run(args))
    }

    /// Starts the command there, to be waited for later.
    fn begin(&self, args: &[&str]) -> Child {
        self.pair.on_host(|| {
            let mut command = self.folder.doorward();
            command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
    }

    /// A shell in place of the command: `$0` is the program, `$@` are its words.
    fn within(&self, script: &str, args: &[&str]) -> Said {
        let doorward = self.folder.doorward();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script]);
        command.arg(doorward.get_program()).args(args).current_dir(self.folder.path());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(doorward.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.pair.on_host(|| Said::of(&command.output().unwrap()))
    }

    /// Whether the new policy's door is open, in both families alike.
    #[allow(clippy::unused_self, reason = "it is this host that is asked")]
    fn is_new(&self) -> bool {
        let doors =
            [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)].map(|(from, to)| connect(from, (to, 3306)));
        assert_eq!(doors[0], doors[1]);
        doors[0] == Answer::Open
    }

    fn nft(&self, line: &str) {
        let done = self.pair.on_host(|| Command::new("nft").args(line.split(' ')).status().unwrap());
        assert!(done.success(), "nft {line}");
    }
}

fn ended(child: Child) -> Said {
    Said::of(&child.wait_with_output().unwrap())
}

#[track_caller]
fn soon(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Root without the one capability that counts, as in many containers.
#[test]
fn without_the_capability() {
    let Some(host) = Host::new() else { return };
    let before = host.pair.socket.generation().unwrap();
    for args in [
        &["apply", "--no-trial", "new.dw"][..],
        &["apply", "--detach", "new.dw"],
        &["confirm", "--here"],
        &["rollback"],
        &["rollback", "1", "--detach"],
        &["boot"],
        &["status"],
    ] {
        let began = Instant::now();
        let script = "exec setpriv --inh-caps=-net_admin --bounding-set=-net_admin \"$0\" \"$@\"";
        let said = host.within(script, args);
        let took = began.elapsed();
        assert_eq!(said.exit, Some(5), "{args:?}: {said:#?}");
        assert!(said.err.contains("CAP_NET_ADMIN"), "{}", said.err);
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    assert_eq!(host.pair.socket.generation().unwrap(), before);
    assert!(!host.is_new());
}

/// However little room there is: all of it, or a word and nothing.
#[test]
fn a_full_disk() {
    let Some(host) = Host::new() else { return };
    let mut outcomes = [0; 2];
    for free in (0..120).step_by(12) {
        for (args, done) in
            [(&["apply", "--no-trial", "new.dw"][..], true), (&["apply", "--detach", "new.dw"], true)]
        {
            let before = host.pair.socket.generation().unwrap();
            // A copy of the state on a disk with so many KiB left; the kernel's rules are the host's.
            let script = format!(
                "mkdir -p small; mount -t tmpfs -o size=512k,mode=755 tmpfs small; cp -a state/. small/
                export DOORWARD_STATE=$PWD/small
                head -c 1M /dev/zero > small/filler 2>/dev/null || :
                size=$(stat -c %s small/filler); truncate -s $((size - {free} * 1024)) small/filler
                \"$0\" \"$@\""
            );
            let said = host.within(&script, args);
            match said.exit {
                Some(0) => {
                    assert_eq!(host.is_new(), done);
                    outcomes[0] += 1;
                }
                Some(5) => {
                    assert!(said.err.contains("No space left on device"), "{free}: {}", said.err);
                    assert!(said.err.ends_with("nothing was loaded\n"), "{}", said.err);
                    assert_eq!(host.pair.socket.generation().unwrap(), before, "{free}: {said:#?}");
                    assert!(!host.is_new());
                    outcomes[1] += 1;
                }
                _ => panic!("{free}: {said:#?}"),
            }
            // Whatever it was, the host's own disk has the old policy only.
            host.run(&["rollback"]);
            host.run(&["apply", "--no-trial", "old.dw"]).well();
        }
    }
    assert!(outcomes.iter().all(|count| *count > 1), "(done, refused): {outcomes:?}");
    // A trial that cannot be written down is not confirmed, and its time goes on.
    host.run(&["apply", "--detach", "new.dw"]).well();
    let full =
        "mount -t tmpfs -o size=256k,mode=755 tmpfs /mnt; cp -a state/. /mnt/; export DOORWARD_STATE=/mnt
        head -c 1M /dev/zero > /mnt/filler 2>/dev/null || :
        \"$0\" \"$@\"";
    let said = host.within(full, &["confirm", "--here"]);
    assert_eq!(said.exit, Some(5), "{said:#?}");
    assert!(said.err.contains("No space left on device"), "{}", said.err);
    assert!(!host.run(&["status", "--json"]).well().json()["trial"].is_null());
    // A rollback needs no room.
    host.within(full, &["rollback"]).well();
    assert!(!host.is_new());
}

#[test]
fn a_state_that_cannot_be_written() {
    let Some(host) = Host::new() else { return };
    let script = "mount --bind state state; mount -o remount,bind,ro state; exec \"$0\" \"$@\"";
    let before = host.pair.socket.generation().unwrap();
    for args in [&["apply", "--no-trial", "new.dw"][..], &["apply", "--detach", "new.dw"]] {
        let said = host.within(script, args);
        assert_eq!(said.exit, Some(5), "{said:#?}");
        assert!(said.err.contains("Read-only file system"), "{}", said.err);
        assert!(said.err.ends_with("nothing was loaded\n"), "{}", said.err);
    }
    assert_eq!(host.pair.socket.generation().unwrap(), before);
    // What boots is read, not written.
    host.nft("delete table inet doorward");
    host.within(script, &["boot"]).well();
    assert!(!host.is_new());
    host.within(script, &["status"]).well();
}

/// One wins, the other hears of it.
#[test]
fn two_trials_at_once() {
    let Some(host) = Host::new() else { return };
    for _ in 0..5 {
        let all = [0; 4].map(|_| host.begin(&["apply", "--detach", "--for", "60s", "new.dw"]));
        let said = all.map(ended);
        assert_eq!(said.iter().filter(|one| one.exit == Some(0)).count(), 1, "{said:#?}");
        for one in said.iter().filter(|one| one.exit != Some(0)) {
            assert_eq!(one.exit, Some(4), "{one:#?}");
            assert!(one.err.contains("another policy is on trial"), "{}", one.err);
        }
        assert!(host.is_new());
        host.run(&["rollback"]).well();
        assert!(!host.is_new());
    }
}

/// Somebody else flushes everything while a trial is waited for.
#[test]
fn a_foreign_flush() {
    let Some(host) = Host::new() else { return };
    let waits = host.begin(&["apply", "--for", "60s", "new.dw"]);
    soon("the trial is on", || host.is_new());
    host.nft("flush ruleset");
    let said = ended(waits);
    assert_eq!(said.exit, Some(5), "{said:#?}");
    assert!(said.err.contains("somebody took doorward's rules away"), "{}", said.err);
    let gone = host.run(&["status"]).well();
    assert!(gone.out.contains("doorward is not active: the kernel has no rules of it"), "{}", gone.out);
    assert!(
        gone.out.contains("generation 1 is confirmed: somebody took its rules away, or nothing loaded it"),
        "{}",
        gone.out
    );
    for args in [&["confirm", "--here"][..], &["rollback"]] {
        let said = host.run(args);
        assert_eq!(said.exit, Some(2), "{said:#?}");
        assert!(said.err.contains("nothing is on trial: the host has no firewall of ours"), "{}", said.err);
    }
    host.run(&["boot"]).well();
    assert!(!host.is_new());
    // An end in time is another thing.
    let waits = host.begin(&["apply", "--for", "1s", "new.dw"]);
    let said = ended(waits);
    assert_eq!(said.exit, Some(4), "{said:#?}");
    assert!(
        said.out.contains("the time is over, and nobody confirmed: generation 1 is in force"),
        "{}",
        said.out
    );
    let over = host.run(&["status"]).well();
    assert!(over.out.contains("doorward is active: generation 1"), "{}", over.out);
}

/// The same on the first trial of a host: there was no firewall before, and there is none now, but for another reason.
#[test]
fn a_foreign_flush_of_the_first_trial() {
    let Some(host) = Host::bare() else { return };
    let waits = host.begin(&["apply", "--for", "60s", "new.dw"]);
    soon("the trial is on", || !host.run(&["status", "--json"]).json()["trial"].is_null());
    host.nft("flush ruleset");
    let said = ended(waits);
    assert_eq!(said.exit, Some(4), "{said:#?}");
    let words = "the trial was ended before its time: the host has no firewall of ours";
    assert!(said.out.contains(words), "{}", said.out);
}

/// A boot brings back the number that the confirmed generation had in the kernel: no other may have it on the disk.
#[test]
fn what_was_never_confirmed_is_not_taken_for_what_boots() {
    let Some(host) = Host::new() else { return };
    host.nft("delete table inet doorward");
    host.run(&["apply", "--detach", "--for", "60s", "new.dw"]).well();
    assert!(host.is_new());
    host.run(&["rollback"]).well();
    host.run(&["boot"]).well();
    assert!(!host.is_new());
    let status = host.run(&["status", "--json"]).well().json();
    assert_eq!(status["generation"], 1, "{status:#}");
    let said = host.run(&["confirm", "--here"]);
    assert_eq!(said.exit, Some(2), "{said:#?}");
    host.nft("delete table inet doorward");
    host.run(&["boot"]).well();
    assert!(!host.is_new());
}

/// Another program changes its own rules all the time.
struct Busy(Child);

impl Busy {
    fn on(host: &Host) -> Busy {
        let script = "while :; do nft add table ip busy; nft delete table ip busy; done";
        Busy(host.pair.on_host(|| Command::new("sh").args(["-c", script]).spawn().unwrap()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whoever confirms needs a quiet moment to look, and tries again until there is one. An apply that finds none is taken
/// back, and says so.
#[test]
fn while_others_change_their_rules() {
    let Some(host) = Host::new() else { return };
    let (mut confirms, mut applied) = (0, 0);
    for _ in 0..5 {
        host.run(&["apply", "--detach", "new.dw"]).well();
        let busy = Busy::on(&host);
        soon("it is confirmed", || {
            confirms += 1;
            let said = host.run(&["confirm", "--here"]);
            assert!(said.exit == Some(0) || said.err.contains("kept changing"), "{said:#?}");
            said.exit == Some(0)
        });
        assert!(host.is_new());
        let said = host.run(&["apply", "--detach", "old.dw"]);
        match said.exit {
            Some(0) => applied += 1,
            Some(5) => {
                let why = ["kept changing", "others change the firewall all the time"];
                assert!(why.iter().any(|why| said.err.contains(why)), "{said:#?}");
                let closings = ["it was taken back\n", "nothing was loaded\n"];
                assert!(closings.iter().any(|closing| said.err.ends_with(closing)), "{said:#?}");
                assert!(host.is_new());
            }
            _ => panic!("{said:#?}"),
        }
        drop(busy);
        host.run(&["rollback"]);
        host.run(&["apply", "--no-trial", "old.dw"]).well();
        assert!(!host.is_new());
    }
    println!(
        "5 confirmed in {confirms} tries, {applied} of 5 applied, while others change their rules all the time"
    );
}
