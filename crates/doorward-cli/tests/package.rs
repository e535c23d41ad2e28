//! The Debian package, installed, upgraded, removed and purged with the real dpkg in a folder of its own. What it
//! does in a whole Debian is `scripts/long/package`.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::netns::OwnNetNs;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tool::{Folder, Said};

/// A Debian without packages, in a folder; network and rules are those of the test's thread.
struct Debian {
    folder: Folder,
}

impl Debian {
    fn new() -> Debian {
        let folder = Folder::new().with("root/var/lib/dpkg/status", "");
        for path in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc/systemd/system/sysinit.target.wants"] {
            fs::create_dir_all(folder.path().join("root").join(path)).unwrap();
        }
        Debian { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("root").join(name)
    }

    /// The package of a version; its program is a stand-in, as dpkg never runs it.
    fn build(&self, version: &str) -> PathBuf {
        let program = self.folder.path().join("program");
        fs::write(&program, format!("#!/bin/sh\necho {version}\n")).unwrap();
        let out = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/build-deb"))
            .args(["--version", version, "--binary"])
            .args([&program, self.folder.path()])
            .output()
            .unwrap();
        let said = Said::of(&out).well();
        PathBuf::from(said.out.trim_end())
    }

    fn dpkg(&self, args: &[&str]) -> Said {
        let out = Command::new("dpkg")
            .arg(format!("--root={}", self.path("").display()))
            .arg("--force-script-chrootless")
            .args(args)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        Said::of(&out).well()
    }
}

fn rules() -> String {
    let out = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    Said::of(&out).well().out
}

#[test]
fn installed_upgraded_removed_purged() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let debian = Debian::new();
    let (first, second) = (debian.build("0.1.0"), debian.build("0.1.1"));
    debian.folder.write("policy.dw", "allow ssh\n");
    debian.folder.run(["apply", "--no-trial", "policy.dw"]).well();
    let before = rules();
    assert!(before.contains("table inet doorward"), "{before}");

    let said = debian.dpkg(&["--install", first.to_str().unwrap()]);
    assert!(said.out.contains("nothing is in force yet"), "{said:#?}");
    for path in [
        "usr/sbin/doorward",
        "usr/share/man/man8/doorward.8.gz",
        "usr/share/man/man5/doorward-policy.5.gz",
        "usr/share/bash-completion/completions/doorward",
        "usr/share/zsh/vendor-completions/_doorward",
        "usr/share/fish/vendor_completions.d/doorward.fish",
        "usr/share/doc/doorward/copyright",
        "usr/share/doc/doorward/examples/vps.dw",
    ] {
        assert!(debian.path(path).exists(), "{path} is missing");
    }
    assert_eq!(fs::read_dir(debian.path("etc/doorward")).unwrap().count(), 0, "no policy comes with it");
    assert_eq!(fs::read_dir(debian.path("etc/systemd/system")).unwrap().count(), 1, "no unit comes with it");

    // What the administrator and `doorward enable` write then.
    let unit = debian.path("etc/systemd/system/doorward.service");
    let wants = debian.path("etc/systemd/system/sysinit.target.wants/doorward.service");
    let policy = debian.path("etc/doorward/policy.dw");
    let state = debian.path("var/lib/doorward/confirmed");
    let enabled = include_str!("../src/init/templates/doorward.service");
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    for (path, text) in [(&unit, enabled), (&policy, "allow ssh\n"), (&state, "1")] {
        fs::write(path, text).unwrap();
    }
    std::os::unix::fs::symlink("/etc/systemd/system/doorward.service", &wants).unwrap();
    let kept = || [&unit, &policy, &state].map(|path| fs::read_to_string(path).unwrap());
    let written = kept();

    debian.dpkg(&["--install", second.to_str().unwrap()]);
    assert!(fs::read_to_string(debian.path("usr/sbin/doorward")).unwrap().contains("0.1.1"));
    assert_eq!(kept(), written);

    let said = debian.dpkg(&["--remove", "doorward"]);
    for words in ["the firewall stays in force", "FROM THE NEXT BOOT ON", "nft delete table inet doorward"] {
        assert!(said.out.contains(words), "{words}: {said:#?}");
    }
    assert!(!debian.path("usr/sbin/doorward").exists());
    assert_eq!(kept(), written);

    let said = debian.dpkg(&["--purge", "doorward"]);
    assert!(said.out.contains("stays until the next boot"), "{said:#?}");
    for path in [&unit, &policy, &state] {
        assert!(!path.exists(), "{}", path.display());
    }
    assert!(fs::symlink_metadata(&wants).is_err());
    assert_eq!(rules(), before, "dpkg changes no rule");
}

/// A unit of somebody else stays, and so does what is not ours.
#[test]
fn a_purge_leaves_what_others_wrote() {
    if skip::without_root() {
        return;
    }
    let debian = Debian::new();
    let package = debian.build("0.1.0");
    debian.dpkg(&["--install", package.to_str().unwrap()]);
    let unit = debian.path("etc/systemd/system/doorward.service");
    fs::write(&unit, "[Service]\nExecStart=/usr/local/sbin/my-doorward\n").unwrap();
    debian.dpkg(&["--purge", "doorward"]);
    assert!(unit.exists());
    assert!(!debian.path("etc/doorward").exists());
}
