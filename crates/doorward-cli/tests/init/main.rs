//! `enable`, `disable` and the line of `status` about them, for each init system; with the tools of the systems where
//! they can be had; and what `init` proposes. Nothing of this machine is changed: hosts are folders, or lie behind a `chroot`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod chroot;
mod proposed;
#[path = "../../../../tests/support/skip.rs"]
mod skip;
#[path = "../tool/mod.rs"]
mod tool;

use doorward_kernel::netns::OwnNetNs;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tool::{Folder, Said, golden};

/// Where the program is on the hosts of the tests.
const PROGRAM: &str = "/usr/sbin/doorward";

/// A host in a folder, with a confirmed generation.
pub(crate) struct Host {
    folder: Folder,
    pub(crate) root: PathBuf,
    _own: OwnNetNs,
}

impl Host {
    pub(crate) fn new() -> Option<Host> {
        if skip::without_root() {
            return None;
        }
        let own = OwnNetNs::make().unwrap();
        let folder = Folder::new().with("policy.dw", "allow ssh\n");
        let root = folder.path().join("root");
        let host = Host { folder, root, _own: own };
        fs::create_dir_all(host.root.join("usr/sbin")).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_doorward"));
        fs::hard_link(built, host.path(PROGRAM))
            .or_else(|_| fs::copy(built, host.path(PROGRAM)).map(|_| ()))
            .unwrap();
        Some(host)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file with all folders above it.
    pub(crate) fn with(self, path: &str, text: &str) -> Host {
        self.folder.write(format!("root{path}"), text);
        self
    }

    pub(crate) fn with_folder(self, path: &str) -> Host {
        fs::create_dir_all(self.path(path)).unwrap();
        self
    }

    pub(crate) fn with_link(self, path: &str, to: &str) -> Host {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        symlink(to, self.path(path)).unwrap();
        self
    }

    /// A policy is confirmed there.
    pub(crate) fn confirmed(self) -> Host {
        let state = self.path("/var/lib/doorward");
        let mut command = self.folder.doorward();
        command.args(["--state", state.to_str().unwrap(), "apply", "--no-trial", "policy.dw"]);
        Said::of(&command.output().unwrap()).well();
        self
    }

    /// With systemd, confirmed.
    fn systemd() -> Option<Host> {
        let host = Host::new()?.with_link("/sbin/init", "/lib/systemd/systemd");
        Some(host.with_folder("/etc/systemd/system").confirmed())
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = Command::new(self.path(PROGRAM));
        command.env_clear().env("DOORWARD_FORBID_HOST", "1").env("DOORWARD_ROOT", &self.root).args(args);
        Said::of(&command.output().unwrap())
    }

    fn boot_state(&self) -> Value {
        self.run(&["status", "--json"]).well().json()["boot"].clone()
    }

    /// All that is in the folders of the init systems, with modes and where links lead.
    fn tree(&self) -> BTreeMap<PathBuf, String> {
        fn visit(folder: &Path, tree: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let data = fs::symlink_metadata(&path).unwrap();
                let what = if data.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else if data.is_dir() {
                    visit(&path, tree);
                    "folder".to_owned()
                } else {
                    format!("{:o} {}", data.permissions().mode() & 0o7777, fs::read_to_string(&path).unwrap())
                };
                tree.insert(path, what);
            }
        }
        let mut tree = BTreeMap::new();
        visit(&self.path("/etc"), &mut tree);
        tree
    }

    /// Enabled, again, looked at, disabled, again: what is said goes into the golden file.
    fn round(&self, name: &str) {
        let before = self.tree();
        let mut text = String::new();
        let mut say = |args: &[&str]| {
            let said = self.run(args).well();
            writeln!(text, "$ doorward {}\n{}", args.join(" "), said.out).unwrap();
            assert_eq!(said.err, "", "{args:?}");
        };
        say(&["enable"]);
        let enabled = self.tree();
        say(&["enable"]);
        assert_eq!(self.tree(), enabled);
        assert_eq!(self.boot_state()["state"], "enabled");
        say(&["disable"]);
        let mut after = self.tree();
        // The folder for links stays, as it would where others have links there.
        after.retain(|path, _| before.contains_key(path) || !path.ends_with("sysinit.target.wants"));
        assert_eq!(after, before);
        assert_eq!(self.boot_state()["state"], "disabled");
        say(&["disable"]);
        for (path, what) in enabled.iter().filter(|(path, _)| !before.contains_key(*path)) {
            writeln!(text, "== {}\n{what}", path.strip_prefix(&self.root).unwrap().display()).unwrap();
        }
        golden(&format!("enable-{name}.txt"), &text);
    }
}

#[test]
fn systemd() {
    if let Some(host) = Host::systemd() {
        host.round("systemd");
    }
}

#[test]
fn sysv() {
    let Some(host) = Host::new() else { return };
    let host = host.with("/etc/init.d/networking", "#!/bin/sh\n").with_folder("/etc/rc2.d");
    host.with_link("/etc/rcS.d/S12networking", "../init.d/networking").confirmed().round("sysv");
}

/// Scripts that lie behind a link, and no runlevel for the start.
#[test]
fn sysv_of_others() {
    let Some(host) = Host::new() else { return };
    let host = host.with_folder("/etc/rc.d/init.d").with_link("/etc/init.d", "rc.d/init.d");
    let host = ["0", "2", "3", "5"]
        .iter()
        .fold(host, |host, level| host.with_folder(&format!("/etc/rc.d/rc{level}.d")));
    host.confirmed().round("sysv-others");
}

#[test]
fn openrc() {
    let Some(host) = Host::new() else { return };
    let host =
        host.with("/sbin/openrc-run", "").with_folder("/etc/init.d").with_folder("/etc/runlevels/boot");
    host.confirmed().round("openrc");
}

#[test]
fn json_shapes() {
    let Some(host) = Host::systemd() else { return };
    let enabled = host.run(&["enable", "--json"]).well().json();
    golden("json/enable.json", &format!("{enabled:#}\n"));
    let disabled = host.run(&["disable", "--json"]).well().json();
    golden("json/disable.json", &format!("{disabled:#}\n"));
}

/// What `status` says when the unit is there and would not do.
#[test]
fn enabled_but_not_working() {
    let Some(host) = Host::systemd() else { return };
    host.run(&["enable"]).well();
    assert_eq!(
        host.boot_state(),
        serde_json::json!({ "state": "enabled", "init": "systemd", "program": PROGRAM, "why": [] })
    );
    let unit = host.path("/etc/systemd/system/doorward.service");
    let text = fs::read_to_string(&unit).unwrap();
    let why = |host: &Host| {
        let state = host.boot_state();
        assert_eq!(state["state"], "broken", "{state:#}");
        state["why"][0].as_str().unwrap().to_owned()
    };
    fs::write(&unit, text.replace(PROGRAM, "/opt/doorward")).unwrap();
    assert_eq!(why(&host), "`/opt/doorward` is not there any more");
    let said = host.run(&["status"]).well().out;
    assert!(
        said.contains("\n  boot: enabled, but not working: `/opt/doorward` is not there any more\n"),
        "{said}"
    );
    // Which is mended so.
    host.run(&["enable"]).well();
    assert_eq!(host.boot_state()["state"], "enabled");
    fs::set_permissions(host.path("/usr/sbin"), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(why(&host).contains("can be changed by everybody"), "{}", why(&host));
    fs::set_permissions(host.path("/usr/sbin"), fs::Permissions::from_mode(0o755)).unwrap();
    let pointer = host.path("/var/lib/doorward/confirmed");
    let bytes = fs::read(&pointer).unwrap();
    fs::write(&pointer, "nonsense").unwrap();
    assert!(why(&host).contains("is damaged"), "{}", why(&host));
    fs::remove_file(&pointer).unwrap();
    assert_eq!(why(&host), "nothing was confirmed yet");
    fs::write(&pointer, bytes).unwrap();
    assert_eq!(host.boot_state()["state"], "enabled");
}

#[test]
fn refusals() {
    let Some(host) = Host::new() else { return };
    let refused = |host: &Host, exit: i32, words: &str| {
        let before = host.tree();
        let said = host.run(&["enable"]);
        assert_eq!((said.exit, said.out.as_str()), (Some(exit), ""), "{said:#?}");
        assert!(said.err.contains(words), "{words}: {said:#?}");
        assert!(said.err.lines().any(|line| line.starts_with("  ")), "a way out: {said:#?}");
        assert_eq!(host.tree(), before);
    };
    let host = host.with_folder("/etc");
    refused(&host, 5, "no init system was found");
    let host = host.with_link("/sbin/init", "/lib/systemd/systemd").with_folder("/etc/systemd/system");
    refused(&host, 4, "nothing was confirmed yet");
    let host = host.confirmed();
    let unit = host.path("/etc/systemd/system/doorward.service");
    fs::write(&unit, "[Service]\nExecStart=/usr/sbin/doorward boot\n").unwrap();
    refused(&host, 4, "is not what doorward wrote");
    assert_eq!(host.run(&["disable"]).exit, Some(4));
    fs::remove_file(&unit).unwrap();
    symlink("/dev/null", &unit).unwrap();
    refused(&host, 4, "is masked");
    fs::remove_file(&unit).unwrap();
    fs::set_permissions(host.path("/usr/sbin"), fs::Permissions::from_mode(0o775)).unwrap();
    refused(&host, 4, "who can change what is kept there can open the firewall");
    fs::set_permissions(host.path("/usr/sbin"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(host.path("/etc/systemd/system"), fs::Permissions::from_mode(0o777)).unwrap();
    refused(&host, 4, "can be changed by everybody");
    fs::set_permissions(host.path("/etc/systemd/system"), fs::Permissions::from_mode(0o755)).unwrap();
    host.run(&["enable"]).well();
}

/// systemd's own opinion of the unit: nothing is wrong with it, and next to nothing is exposed.
#[test]
fn systemd_analyze() {
    let Some(host) = Host::systemd() else { return };
    host.run(&["enable"]).well();
    let text = fs::read_to_string(host.path("/etc/systemd/system/doorward.service")).unwrap();
    let unit = host.path("/doorward.service");
    fs::write(&unit, text.replace(PROGRAM, host.path(PROGRAM).to_str().unwrap())).unwrap();
    let analyze = |args: &[&str]| Command::new("systemd-analyze").args(args).arg(&unit).output();
    let Ok(verified) = analyze(&["verify"]) else {
        return skip::skip("there is no systemd-analyze");
    };
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !said.contains("doorward"), "{said}");
    let judged = analyze(&["security", "--offline=true", "--threshold=20"]).unwrap();
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    let last = said.lines().rev().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
    println!("{}", last.trim());
    assert!(judged.status.success(), "{said}");
}
