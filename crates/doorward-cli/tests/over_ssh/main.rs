//! The firewall of a server is changed over the server's own SSH daemon: nobody is locked out, whatever happens.
#![allow(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test talks and fails so")]

#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/bench.rs"]
mod bench;
#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/processes.rs"]
mod processes;
#[path = "../../../../tests/support/skip.rs"]
mod skip;
#[allow(dead_code, reason = "another test's tool")]
#[path = "../session/stage.rs"]
mod stage;
mod town;

use bench::until;
use stage::{LONG, Login, SERVER};
use std::time::{Duration, Instant};
use town::{HTTP, SSH, Town};

/// Both families side by side, as it is mostly waiting; `./test --quick` leaves them out, and says so.
fn both(test: impl Fn(&'static str) + Sync) {
    if std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root() {
        return;
    }
    std::thread::scope(|scope| {
        for address in SERVER {
            scope.spawn(|| test(address));
        }
    });
}

fn sleep_until(began: Instant, seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds).saturating_sub(began.elapsed()));
}

/// The first policy ever: who is logged in stays so, and who confirms must have come in anew.
#[test]
fn confirmed_by_who_came_in_anew() {
    both(|address| {
        let town = Town::new(address);
        let mut waiting = town.shell(false);
        let mut old = town.shell(false);
        let _master = town.stage.hold(&Login { master: true, ..town.login() }, "");
        waiting.begin(&town, "apply --for 60s F/first.dw");
        assert!(until(LONG, || !town.open(HTTP)), "the trial is on");
        old.begin(&town, "confirm");
        let kept_out = "was there before the trial: it does not show that you can come in";
        old.ended(LONG).says(4, &[kept_out, "open a NEW ssh session", "confirm --here"]);
        let shared = town.run_as(&Login { shared: true, ..town.login() }, "confirm");
        shared.says(4, &[kept_out]);
        town.run("confirm").says(0, &["confirmed: generation 1 is in force, and will be at the next boot"]);
        let text = waiting.ended(LONG);
        text.says(0, &["generation 1 is on trial for 60 s", "confirmed: generation 1 is in force"]);
        old.begin(&town, "status");
        old.ended(LONG).says(0, &["doorward is active: generation 1", "confirmed, boots"]);
        assert!(!town.open(HTTP) && town.lets_in());
        // Said once more, there is nothing left to do.
        town.run("confirm").says(2, &["nothing is on trial"]);
        town.run("apply F/first.dw").says(0, &["nothing to do: generation 1 is in force"]);
    });
}

/// Where the kernel takes up no connection in its middle, who asks hears that their own is among those that will end.
#[test]
fn the_session_that_strict_tracking_ends() {
    both(|address| {
        let town = Town::new(address);
        town.stage.bench.host("server").sysctl("net/netfilter/nf_conntrack_tcp_loose", "0");
        let mut old = town.shell(false);
        let ends = "1 TCP connection that is open (yours) ends an hour after this";
        old.begin(&town, "apply --detach --for 60s F/first.dw");
        old.ended(LONG).says(0, &[ends, "nf_conntrack_tcp_loose=1", "on trial for 60 s"]);
        town.run("confirm").says(0, &["confirmed"]);
        assert!(!old.is_cut(), "not before that");
    });
}

/// Nobody is led away from the port that the session uses, and who came by a redirected one may go on by it.
#[test]
fn a_port_that_is_led_elsewhere() {
    both(|address| {
        let town = Town::guarded(address);
        let somebody = if address.contains(':') { "[2001:db8:5::5]:22" } else { "10.0.0.5:22" };
        town.write("away.dw", &format!("allow ssh\npublish 22/tcp to {somebody}\nallow published 22/tcp\n"));
        town.write("other.dw", "allow ssh\nredirect 22/tcp to 4444\n");
        for file in ["away.dw", "other.dw"] {
            let refused = town.run(&format!("apply F/{file}"));
            let words = ["this would lock you out", "to port 22 does not get to where yours is"];
            refused.says(4, &words);
        }
        assert!(town.lets_in());
        // In by another port: what was addressed is judged, and the session shows the way in.
        town.write("aside.dw", "allow ssh, 2222/tcp\nredirect 2222/tcp to 22\n");
        let aside = Login { port: 2222, ..town.login() };
        town.run("apply --detach F/aside.dw").says(0, &[]);
        town.run_as(&aside, "confirm").says(0, &["confirmed"]);
        // Who is here by that port could not come in again by it.
        town.run_as(&aside, "apply F/first.dw")
            .says(4, &["this would lock you out", "nothing leads port 2222"]);
        town.write("again.dw", "allow 2222/tcp\nredirect 2222/tcp to 22\n");
        town.run_as(&aside, "apply --detach F/again.dw").says(0, &[]);
        town.run_as(&aside, "confirm").says(0, &["confirmed"]);
        assert!(!town.open(SSH), "only what was addressed is open");
    });
}

/// Without the way in, or with the line lost, the door comes back by itself.
#[test]
fn a_policy_that_locks_out() {
    both(|address| {
        let town = Town::guarded(address);
        let refused = town.run("apply F/no-ssh.dw");
        let peer = if address.contains(':') { "2001:db8::1" } else { "203.0.113.1" };
        refused.says(
            4,
            &[
                &format!("this would lock you out: a new connection from {peer} to port 22 is not let in"),
                &format!("tcp from {peer}"),
                "built in: default block in",
                &format!("`allow 22/tcp from {peer}` in the policy lets you in"),
                "nothing was loaded",
            ],
        );
        assert!(town.lets_in());
        let mut shell = town.shell(false);
        shell.begin(&town, "apply --force --for 3s F/no-ssh.dw");
        assert!(until(LONG, || town.open(HTTP)), "the trial is on");
        assert!(!town.open(SSH));
        let back = shell.ended(LONG);
        back.says(4, &["the time is over, and nobody confirmed: generation 1 is in force"]);
        assert!(town.lets_in() && !town.open(HTTP));
        // What is asked from a session that the trial keeps out is refused all the same.
        shell.begin(&town, "apply --force --detach --for 3s F/no-ssh.dw");
        shell.ended(LONG).says(0, &["on trial"]);
        shell.begin(&town, "confirm");
        shell.ended(LONG).says(4, &["was there before the trial"]);
        assert!(until(LONG, || town.lets_in()));
    });
}

/// The line is lost while somebody waits: with a terminal, without one.
#[test]
fn a_lost_session() {
    both(|address| {
        let town = Town::guarded(address);
        for terminal in [true, false] {
            let mut shell = town.shell(terminal);
            shell.begin(&town, "apply --force --for 3s F/no-ssh.dw");
            assert!(until(LONG, || town.open(HTTP)), "the trial is on");
            let began = Instant::now();
            shell.lose();
            assert!(!town.open(SSH), "nobody took it back but the kernel");
            sleep_until(began, 3.2);
            assert!(town.lets_in() && !town.open(HTTP), "terminal: {terminal}");
            town.run("status").says(0, &["doorward is active: generation 1"]);
        }
    });
}

/// Ctrl-C takes it back at once.
#[test]
fn interrupted() {
    both(|address| {
        let town = Town::guarded(address);
        let mut shell = town.shell(true);
        shell.begin(&town, "apply --force --for 60s F/no-ssh.dw");
        assert!(shell.said("Ctrl-C takes it back at once", LONG).is_some());
        assert!(!town.open(SSH));
        shell.send("\u{3}");
        assert!(until(LONG, || town.open(SSH)), "it is taken back");
        assert!(town.lets_in() && !town.open(HTTP));
        shell.ended(LONG).says(4, &["taken back: generation 1 is in force"]);
    });
}

/// One trial at a time, and the way out is told; then an earlier generation is tried like a new policy.
#[test]
fn another_trial_and_an_earlier_generation() {
    both(|address| {
        let town = Town::guarded(address);
        town.run("apply --detach --for 60s F/web.dw").says(0, &["generation 2 is on trial for 60 s"]);
        let refused = town.run("apply F/first.dw");
        refused.says(
            4,
            &["another policy is on trial: generation 2 is on trial for another", "nothing was loaded"],
        );
        refused.says(
            4,
            &["`doorward confirm` in a new session keeps that one, `doorward rollback` takes it back"],
        );
        town.run("rollback").says(0, &["taken back: generation 1 is in force"]);
        assert!(!town.open(HTTP));
        town.run("rollback").says(2, &["nothing is on trial"]);
        town.run("apply --detach --for 60s F/web.dw").says(0, &["generation 3 is on trial"]);
        town.run("confirm").says(0, &["confirmed: generation 3 is in force"]);
        assert!(town.open(HTTP));
        town.run("rollback 1 --detach --for 60s").says(0, &["generation 4 is on trial for 60 s"]);
        assert!(!town.open(HTTP));
        town.run("confirm").says(0, &["confirmed: generation 4 is in force"]);
        assert!(!town.open(HTTP) && town.lets_in());
    });
}

/// A block covers whoever asks for it, too; but what is cut is never the line over which it is asked.
#[test]
fn the_asking_session_is_never_cut() {
    if std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root() {
        return;
    }
    let town = Town::guarded(SERVER[0]);
    town.write("block.dw", "allow ssh\nblock from 203.0.113.0/24\n");
    let mut asks = town.shell(false);
    let mut other = town.shell_as(&Login { from: Some("203.0.113.77"), ..town.login() });
    for command in ["apply --no-trial F/block.dw", "apply --no-trial --cut F/block.dw"] {
        asks.begin(&town, command);
        let answer = asks.ended(LONG);
        assert_eq!(answer.exit, 0, "{answer:?}");
        assert!(other.is_cut(), "the other one goes on");
        assert!(!town.open(SSH));
        asks.begin(&town, "apply --no-trial F/first.dw");
        asks.ended(LONG).says(0, &["in force"]);
        other = town.shell_as(&Login { from: Some("203.0.113.77"), ..town.login() });
    }
    asks.begin(&town, "apply --detach --force F/block.dw");
    asks.ended(LONG).says(0, &["on trial", "warning: root from 203.0.113.77 could not come in again"]);
    assert!(!other.is_cut());
    asks.begin(&town, "confirm --here");
    asks.ended(LONG).says(0, &["confirmed", "1 open connection that the policy shuts out ended"]);
    assert!(other.is_cut(), "the other one goes on");
    asks.begin(&town, "status");
    asks.ended(LONG).says(0, &["doorward is active: generation"]);
}

/// In a bad hour all is shut but the line over which that is asked, and its way in; the kernel ends it.
#[test]
fn panic_spares_who_asks() {
    both(|address| {
        let town = Town::new(address);
        town.write("open-web.dw", "allow ssh\nallow http\nallow out dns\n");
        for guarded in [false, true] {
            if guarded {
                town.run("apply --no-trial F/open-web.dw").says(0, &["in force"]);
            }
            assert!(until(LONG, || town.open(HTTP)), "guarded: {guarded}");
            let mut asks = town.shell(false);
            // The client has a second address of one family only.
            let from = (!address.contains(':')).then_some("203.0.113.77");
            let mut other = from.map(|from| town.shell_as(&Login { from: Some(from), ..town.login() }));
            asks.begin(&town, "panic --for 15s");
            let own = if address.contains(':') { "2001:db8::1" } else { "203.0.113.1" };
            let panic = format!("PANIC: everything is shut but SSH from {own}, for 15 s");
            asks.ended(LONG).says(0, &[&panic, "the kernel keeps the time"]);
            let began = Instant::now();
            assert!(other.as_mut().is_none_or(town::Shell::is_cut), "the other one goes on");
            assert!(!town.open(HTTP), "guarded: {guarded}");
            // The line is lost, and the way in is there.
            asks.lose();
            town.run("confirm").says(4, &["`doorward panic` is never kept: it ends by itself"]);
            town.run("confirm --here").says(4, &["`doorward rollback` ends it now"]);
            town.run("apply F/first.dw").says(4, &["`doorward panic` holds for another"]);
            // The kernel ends it; or somebody does, who has seen enough.
            if guarded {
                town.run("rollback").says(0, &["taken back: generation 1 is in force"]);
            } else {
                sleep_until(began, 15.3);
            }
            assert!(until(LONG, || town.open(HTTP)) && town.lets_in(), "guarded: {guarded}");
        }
        town.run("verify").says(0, &["proven"]);
    });
}

/// Everything is open for a while; what came in only by that is out again afterwards.
#[test]
fn open_for_a_while() {
    both(|address| {
        let town = Town::guarded(address);
        assert!(!town.open(HTTP));
        town.run("open --for 5s").says(0, &["OPEN: everything that arrives is let in, for 5 s"]);
        let began = Instant::now();
        assert!(until(LONG, || town.open(HTTP)));
        town.run("status").says(0, &["OPEN: everything that arrives is let in, for another"]);
        sleep_until(began, 5.2);
        assert!(!town.open(HTTP) && town.lets_in());
        town.run("open --for 1h").says(0, &["for 3600 s"]);
        town.run("panic").says(0, &["what was on trial is taken back", "PANIC"]);
        assert!(!town.open(HTTP) && town.lets_in());
        town.run("rollback").says(0, &["taken back: generation 1 is in force"]);
        town.run("verify").says(0, &["proven"]);
    });
}

/// The first hour: the questions are answered over a terminal, another session confirms, and nobody is locked out.
#[test]
fn the_first_policy_is_proposed() {
    both(|address| {
        let town = Town::new(address);
        let mut shell = town.shell(true);
        let own = if address.contains(':') { "2001:db8::1" } else { "203.0.113.1" };
        shell.begin(&town, "init --for 60s --policy F/new.dw");
        assert!(shell.said(&format!("SSH listens at port 22; you come from {own}"), LONG).is_some());
        shell.say("203.0.113.0/33");
        assert!(shell.said("SSH from where?", LONG).is_some(), "what cannot be understood is asked again");
        shell.say("203.0.113.0/24, 2001:db8::/32");
        assert!(shell.said("and try it for 60 s? [yes]", LONG).is_some());
        shell.say("");
        assert!(shell.said("open a NEW session and run `doorward confirm` there", LONG).is_some());
        assert!(!town.open(HTTP));
        town.run("confirm").says(0, &["confirmed: generation 1 is in force"]);
        let text = shell.ended(LONG);
        text.says(
            0,
            &["confirmed: generation 1 is in force", "`doorward enable` has it loaded at every boot"],
        );
        assert!(town.lets_in());
        let policy = town.read("new.dw");
        assert!(policy.contains("\nallow ssh from 203.0.113.0/24, 2001:db8::/32"), "{policy}");
        town.run("init --yes --policy F/new.dw").says(4, &["is there already"]);
        // Nobody answers.
        town.run("init --policy F/other.dw").says(2, &["nobody is at the terminal"]);
    });
}
