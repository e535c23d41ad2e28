//! The program goes, or another one comes: what a package does when it is upgraded, removed or purged. The kernel keeps
//! the rules, and ends a trial by itself. Row 24 of the promises; it knows no package manager.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;
mod tool;

use common::{Answer, HOST4, HOST6, Pair, connect};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tool::{Folder, Said};

/// The old policy opens the first, the new one the second; the third is shut by both.
const OLD: u16 = 8080;
const NEW: u16 = 3306;
const SHUT: u16 = 9999;
const TRIAL: Duration = Duration::from_secs(4);
/// What a trial's end and a look may take beside that.
const SLACK: Duration = Duration::from_millis(1500);

/// What is done to the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    /// Another version is put in its place.
    Upgrade,
    /// And the one before again.
    Downgrade,
    /// It is not started at boot any more, and gone.
    Remove,
    /// All that it kept is gone, too.
    Purge,
}

struct Host {
    pair: Pair,
    folder: Folder,
    listeners: [TcpListener; 3],
}

impl Host {
    /// Enabled, with the old policy confirmed.
    fn new() -> Option<Host> {
        let pair = Pair::new()?;
        let shut = "allow ping\nallow 2222/tcp";
        let folder = Folder::new()
            .with("old.dw", format!("{shut}, {OLD}/tcp\ndefault reject in\n"))
            .with("new.dw", format!("{shut}, {NEW}/tcp\ndefault reject in\n"));
        for name in ["root/usr/sbin", "root/sbin", "root/etc/systemd/system"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        symlink("/lib/systemd/systemd", folder.path().join("root/sbin/init")).unwrap();
        let listeners = [OLD, NEW, SHUT].map(|port| pair.listen(port));
        let host = Host { pair, folder, listeners };
        host.install();
        host.apply(&["--no-trial", "old.dw"]);
        host.run(&["enable"]).well();
        Some(host)
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("root/usr/sbin/doorward")
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("root/var/lib/doorward")
    }

    /// As package managers do it: a whole file, renamed.
    fn install(&self) {
        tool::place_program(&self.program());
    }

    /// The installed program.
    fn run(&self, args: &[&str]) -> Said {
        let mut command = Command::new(self.program());
        command.current_dir(self.folder.path()).env_clear().env("DOORWARD_FORBID_HOST", "1");
        command.env("DOORWARD_ROOT", self.folder.path().join("root"));
        self.pair.on_host(|| Said::of(&command.args(args).output().unwrap()))
    }

    /// Puts a policy in force, or on trial.
    fn apply(&self, args: &[&str]) {
        self.run(&[&["--state", self.state().to_str().unwrap(), "apply"], args].concat()).well();
    }

    /// Which of the doors are open, in both families alike.
    fn doors(&self) -> [bool; 3] {
        let look = |(from, to)| [OLD, NEW, SHUT].map(|port| connect(from, (to, port)) == Answer::Open);
        let both = || [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)].map(look);
        let [four, six] = both();
        // A look that meets the switch itself counts for nothing.
        let [four, six] = if four == six { [four, six] } else { both() };
        // Behind a full queue nobody would answer any more.
        for listener in &self.listeners {
            while listener.accept().is_ok() {}
        }
        assert_eq!(four, six);
        assert!(!four[2], "it is open");
        four
    }

    fn does(&self, deed: Deed) {
        match deed {
            Deed::Upgrade => self.install(),
            Deed::Downgrade => {
                self.install();
                self.install();
            }
            Deed::Remove | Deed::Purge => {
                let said = self.run(&["disable"]).well();
                assert!(said.out.contains("the rules in the kernel stay in force"), "{said:#?}");
                fs::remove_file(self.program()).unwrap();
                if deed == Deed::Purge {
                    fs::remove_dir_all(self.state()).unwrap();
                }
            }
        }
    }
}

const IS_OLD: [bool; 3] = [true, false, false];
const IS_NEW: [bool; 3] = [false, true, false];

/// Nothing is opened by any of it, whether a policy is confirmed or on trial; only `disable --open` does that.
#[test]
fn nothing_opens_when_the_program_goes() {
    let deeds = [Deed::Upgrade, Deed::Downgrade, Deed::Remove, Deed::Purge];
    // It is mostly waiting.
    let seen: usize = std::thread::scope(|scope| {
        let tries =
            deeds.map(|deed| scope.spawn(move || [false, true].map(|on_trial| survives(deed, on_trial))));
        tries.into_iter().flat_map(|one| one.join().unwrap()).map(usize::from).sum()
    });
    println!(
        "{seen} of 8: upgraded, downgraded, removed and purged, confirmed and on trial: nothing was opened"
    );
}

/// False where tests need root and have not.
fn survives(deed: Deed, on_trial: bool) -> bool {
    let Some(host) = Host::new() else { return false };
    let began = Instant::now();
    if on_trial {
        host.apply(&["--detach", "--for", "4s", "new.dw"]);
    }
    let judge = if on_trial { IS_NEW } else { IS_OLD };
    assert_eq!(host.doors(), judge);
    host.does(deed);
    let left = (began + TRIAL).saturating_duration_since(Instant::now());
    let now = host.doors();
    // On a machine with much else to do the trial may be over.
    assert!(now == judge || (on_trial && left.is_zero() && now == IS_OLD), "{deed:?}: {now:?}");
    if on_trial {
        while host.doors() != IS_OLD {
            assert!(began.elapsed() < TRIAL * 2 + SLACK, "{deed:?}: the trial does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    if matches!(deed, Deed::Upgrade | Deed::Downgrade) {
        // Who comes in the place of the other one goes on from what is there.
        let status = host.run(&["status", "--json"]).well().json();
        assert_eq!(status["boot"]["state"], "enabled", "{status:#}");
        host.apply(&["--no-trial", "new.dw"]);
        assert_eq!(host.doors(), IS_NEW);
    } else {
        // Installed again, it finds what is in force, and takes it away only when it is told to.
        host.install();
        assert_eq!(host.doors(), IS_OLD);
        let mut nft = Command::new("nft");
        nft.args(["list", "table", "inet", "doorward"]);
        assert!(host.pair.on_host(|| nft.output().unwrap()).status.success());
    }
    true
}
