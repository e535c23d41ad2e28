//! `status --short` as monitoring reads it, and what is said of files that changed.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::netns::OwnNetNs;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use tool::{Folder, Said};

/// A host with systemd, seen through a folder.
fn host() -> Folder {
    let folder = Folder::new()
        .with("p.dw", "define spam = file \"spam.txt\"\nallow ssh\nblock from spam\n")
        .with("spam.txt", "192.0.2.1\n");
    let root = folder.path().join("root");
    for path in ["usr/sbin", "sbin", "etc/systemd/system"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    symlink("/lib/systemd/systemd", root.join("sbin/init")).unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_doorward"));
    let there = root.join("usr/sbin/doorward");
    fs::hard_link(built, &there).or_else(|_| fs::copy(built, &there).map(|_| ())).unwrap();
    folder
}

#[track_caller]
fn short(folder: &Folder, exit: i32, words: &str) {
    let said = folder.run(["status", "--short"]);
    assert_eq!((said.exit, said.out.lines().count()), (Some(exit), 1), "{said:#?}");
    assert!(said.out.starts_with(words), "{words}: {said:#?}");
    let json = folder.run(["status", "--short", "--json"]);
    assert_eq!(json.exit, Some(exit));
    assert_eq!(json.json()["ok"], exit == 0);
    assert_eq!(json.json()["state"], words.split(':').next().unwrap());
}

fn enable(folder: &Folder) -> Said {
    let root = folder.path().join("root");
    // The host in the folder has the same state at the same place.
    let state = folder.path().join("state");
    let there = root.join(state.strip_prefix("/").unwrap());
    fs::create_dir_all(there.parent().unwrap()).unwrap();
    assert!(Command::new("cp").arg("-a").args([&state, &there]).status().unwrap().success());
    let mut command = Command::new(root.join("usr/sbin/doorward"));
    command.env_clear().env("DOORWARD_FORBID_HOST", "1").env("DOORWARD_ROOT", &root);
    command.env("DOORWARD_STATE", folder.path().join("state")).current_dir(folder.path()).arg("enable");
    Said::of(&command.output().unwrap())
}

/// Docker shuts what it does not publish. On such a host nothing would ever be well, were that called drift.
#[test]
fn others_that_pass_less_on_are_no_drift() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let folder = host();
    folder.write("p.dw", "allow ssh\nallow forward anything on docker0, br-*\n");
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    enable(&folder).well();
    let other = |hook: &str, rule: &str| {
        let text = format!(
            "table ip other_{hook} {{\nchain c {{\ntype filter hook {hook} priority 0; {rule}\n}}\n}}"
        );
        assert!(Command::new("nft").arg(text).status().unwrap().success());
    };
    other("forward", "policy drop");
    short(&folder, 0, "active: generation 1");
    let said = folder.run(["verify"]);
    assert_eq!(said.exit, Some(0));
    assert!(said.out.contains("chain ip other_forward c drops what may pass through"), "{said:#?}");
    other("input", "tcp dport 22 drop");
    short(&folder, 1, "drifted: ");
}

#[test]
fn one_line_for_monitoring() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let folder = host();
    short(&folder, 1, "not-active: the kernel has no rules");
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    short(&folder, 1, "boot-disabled: ");
    enable(&folder).well();
    short(&folder, 0, "active: generation 1");

    folder.write("p.dw", format!("{}allow http\n", folder.read("p.dw")));
    short(&folder, 1, "changed: p.dw");
    folder.run(["apply", "--detach", "--for", "30s", "p.dw"]).well();
    short(&folder, 1, "on-trial: generation 2, for another ");
    folder.run(["rollback"]).well();
    short(&folder, 1, "changed: p.dw");
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    short(&folder, 0, "active: generation 3");
    for word in ["panic", "open"] {
        folder.run([word, "--for", "30s"]).well();
        short(&folder, 1, &format!("{word}: for another "));
    }
    folder.run(["rollback"]).well();

    // Somebody opens a door by hand.
    nft(&["insert", "rule", "inet", "doorward", "input", "tcp", "dport", "3306", "accept"]);
    short(&folder, 1, "drifted: ");
    nft(&["delete", "table", "inet", "doorward"]);
    short(&folder, 1, "not-active: ");
    folder.run(["boot"]).well();
    short(&folder, 0, "active: generation 3");
    fs::remove_file(folder.path().join("root/usr/sbin/doorward")).unwrap();
    short(&folder, 1, "boot-broken: ");
}

/// A list is data: its sentence had its trial. But not even a list may lock out, nor ride along with a sentence.
#[test]
fn a_list_that_changed_needs_no_trial() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let folder = host();
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    folder.write("spam.txt", "192.0.2.1\n192.0.2.2\n");
    let status = folder.run(["status"]).well();
    assert!(
        status.out.contains("spam.txt was changed since: `doorward apply` puts the list in force"),
        "{status:#?}"
    );
    assert_eq!(folder.run(["status", "--json"]).json()["changed"]["lists"][0], "spam.txt");
    let said = folder.run(["apply", "p.dw"]).well();
    assert!(said.out.starts_with("only lists changed since the policy was confirmed"), "{said:#?}");
    let explained = folder.run(["explain", "tcp", "192.0.2.2", "22"]).well();
    assert!(explained.out.contains("block from spam"), "{explained:#?}");
    assert_eq!(folder.run(["status", "--json"]).json()["changed"]["lists"], serde_json::json!([]));

    folder.write("spam.txt", "192.0.2.3\n");
    folder.write("p.dw", format!("{}allow http\n", folder.read("p.dw")));
    let trial = folder.run(["apply", "--detach", "--for", "30s", "p.dw"]).well();
    assert!(trial.out.contains("is on trial"), "{trial:#?}");
    folder.run(["rollback"]).well();
}

/// Whoever gets somewhere by a translation gets there while everything is open, too.
#[test]
fn what_is_open_is_still_translated() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let text = "allow ssh\nallow forward anything from 10.0.0.0/24\nmasquerade from 10.0.0.0/24 on eth0\n\
        redirect 80/tcp to 8080\nallow 80/tcp\n";
    let folder = Folder::new().with("policy.dw", text);
    folder.run(["apply", "--no-trial", "policy.dw"]).well();
    folder.run(["open", "--for", "10s"]).well();
    let shown = folder.run(["show"]).well().out;
    let trial = |line: &str| shown.lines().any(|one| one.contains(line) && !one.contains("policy.dw"));
    assert!(trial("masquerade from 10.0.0.0/24 on eth0"), "{shown}");
    assert!(trial("redirect 80/tcp to 8080"), "{shown}");
    folder.run(["rollback"]).well();
    folder.run(["panic", "--for", "10s"]).well();
    folder.run(["rollback"]).well();
    folder.run(["verify"]).well();
}

fn nft(args: &[&str]) {
    let output = Command::new("nft").args(args).output().expect("nft is installed");
    assert!(output.status.success(), "nft {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
