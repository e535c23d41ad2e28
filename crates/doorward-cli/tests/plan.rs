//! `plan` as a user meets it: what it says and how it ends, against files and against a kernel.
//!
//! What a test starts runs in the namespace of the test's thread.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use tool::{Folder, golden};

const OLD: &str = "define office = 203.0.113.0/24, 2001:db8:10::/48
allow ping
allow ssh
allow http, https
allow mysql from office
allow 5432/tcp from 198.51.0.0/16
allow smtp limit 6/minute
";
const NEW: &str = "define office = 203.0.113.0/24, 2001:db8:10::/48
allow ping
allow ssh from office
allow http, https limit 100/second
allow mysql from office, 192.0.2.7
allow 5432/tcp from 198.51.0.0/16, 2000::/3
allow smtp limit 12/minute
allow published 8080/tcp
block out smtp by user 33
";

/// A host and the outside, joined by a cable; this thread is in the host.
fn host() -> Option<(OwnNetNs, OwnNetNs)> {
    if skip::without_root() {
        return None;
    }
    let host = OwnNetNs::make().unwrap();
    let outside = OwnNetNs::make().unwrap();
    Links::open().unwrap().add_veth("eth0", "eth0", host.namespace()).unwrap();
    for (own, addr) in [(&outside, "192.0.2.9"), (&host, "192.0.2.1")] {
        own.namespace().enter().unwrap();
        let links = Links::open().unwrap();
        for name in ["lo", "eth0"] {
            let index = links.link(name).unwrap().unwrap().index;
            links.set_up(index).unwrap();
            if name == "eth0" {
                links.add_address(index, addr.parse().unwrap(), 24).unwrap();
            }
        }
    }
    Some((host, outside))
}

fn folder() -> Folder {
    let moved = format!(
        "# another order\nallow smtp limit 6/minute\n{}",
        OLD.replace("allow smtp limit 6/minute\n", "")
    );
    Folder::new()
        .with("old.dw", OLD)
        .with("new.dw", NEW)
        .with("moved.dw", moved)
        .with("wrong.dw", "allow shh\n")
}

/// What is said, word by word.
fn transcript(folder: &Folder, commands: &[&str]) -> String {
    let mut text = String::new();
    for args in commands {
        let said = folder.run(args.split_whitespace());
        writeln!(text, "$ doorward {args}\n{}", said.out.trim_end()).unwrap();
        if !said.err.is_empty() {
            write!(text, "-- standard error\n{}", said.err).unwrap();
        }
        writeln!(text, "-- exit {}\n", said.exit.unwrap()).unwrap();
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    text
}

#[test]
fn against_files() {
    let folder = folder();
    let text = transcript(
        &folder,
        &[
            "plan --against old.dw new.dw",
            "plan --against old.dw --examples --exit-code new.dw",
            "plan --against new.dw old.dw",
            "plan --against old.dw --exit-code moved.dw",
            "plan --against wrong.dw new.dw",
            "plan --against old.dw wrong.dw",
            "plan --against missing.dw new.dw",
        ],
    );
    golden("plan-files.txt", &text);
    for (name, args) in [
        ("plan-files", "plan --json --against old.dw new.dw"),
        ("plan-nothing", "plan --json --exit-code --against old.dw moved.dw"),
        ("plan-wrong", "plan --json --against wrong.dw new.dw"),
    ] {
        let said = folder.run(args.split_whitespace());
        assert_eq!(said.err, "", "{args}");
        golden(&format!("json/{name}.json"), &format!("{:#}\n", said.json()));
    }
}

#[test]
fn against_the_kernel() {
    let Some((_host, _outside)) = host() else { return };
    let folder = folder();
    let mut text = transcript(&folder, &["plan old.dw", "plan --exit-code --examples new.dw"]);
    let first = folder.run(["plan", "--json", "old.dw"]).well().json();
    assert_eq!((first["active"].as_bool(), first["generation"].as_u64()), (Some(false), None));
    assert!(first["changes"].as_array().unwrap().iter().all(|one| one["kind"] != "opens"), "{first:#}");
    folder.run(["apply", "--no-trial", "old.dw"]).well();
    text += &transcript(
        &folder,
        &["plan --exit-code old.dw", "plan --exit-code moved.dw", "plan --exit-code new.dw", "plan wrong.dw"],
    );
    golden("plan.txt", &text);
    let said = folder.run(["plan", "--json", "new.dw"]).well();
    golden("json/plan.json", &format!("{:#}\n", said.json()));
    // Against the kernel or against the text it was loaded from: the same is said.
    let files = folder.run(["plan", "--json", "--against", "old.dw", "new.dw"]).well();
    assert_eq!(said.json()["changes"], files.json()["changes"]);
    // A limit's state in the kernel is no change.
    folder.run(["apply", "--no-trial", "new.dw"]).well();
    assert_eq!(folder.run(["plan", "--exit-code", "new.dw"]).exit, Some(0));
    // What somebody else did to the rules is seen, too.
    let mut nft = Command::new("nft");
    nft.args(["insert", "rule", "inet", "doorward", "g2_in4", "tcp", "dport", "9999", "accept"]);
    assert!(nft.status().unwrap().success());
    let said = folder.run(["plan", "--exit-code", "new.dw"]);
    assert_eq!(said.exit, Some(1));
    assert!(said.out.starts_with("no longer reachable from anyone: 9999/tcp, IPv4 only\n"), "{}", said.out);
}

/// Who is inside and would not be let in anew is told; what this host opened itself is not.
#[test]
fn open_connections() {
    let Some((host, outside)) = host() else { return };
    let folder = Folder::new()
        .with("old.dw", "allow ssh, http\n")
        .with("new.dw", "allow http\nallow ssh from 192.0.2.77\n");
    let servers = ["192.0.2.1:22", "192.0.2.1:80"].map(|at| TcpListener::bind(at).unwrap());
    outside.namespace().enter().unwrap();
    let far = TcpListener::bind("192.0.2.9:443").unwrap();
    let clients = ["192.0.2.1:22", "192.0.2.1:22", "192.0.2.1:80"].map(|at| TcpStream::connect(at).unwrap());
    host.namespace().enter().unwrap();
    let mine = TcpStream::connect("192.0.2.9:443").unwrap();
    let local = TcpStream::connect("192.0.2.1:22").unwrap();
    for before in [false, true] {
        if before {
            folder.run(["apply", "--no-trial", "old.dw"]).well();
        }
        let said = folder.run(["plan", "new.dw"]).well();
        assert!(
            said.out.contains(
                "2 connections of 3 from outside would not be let in anew:\n  192.0.2.9 → 22/tcp\n"
            ),
            "{}",
            said.out
        );
        let json = folder.run(["plan", "--json", "new.dw"]).well().json();
        let named = serde_json::json!(["192.0.2.9 → 22/tcp", "192.0.2.9 → 22/tcp"]);
        let expected = serde_json::json!({ "open": 3, "refused": 2, "named": named });
        assert_eq!(json["connections"], expected);
    }
    // Connections from before the first load are part of what was loaded, as long as the kernel has them.
    let verified = |folder: &Folder| folder.run(["verify", "old.dw"]).well();
    verified(&folder);
    let flush = ["flush", "set", "inet", "doorward", "carried4"];
    assert!(Command::new("nft").args(flush).status().unwrap().success());
    verified(&folder);
    let same = folder.run(["plan", "old.dw"]).well();
    assert!(!same.out.contains("anew"), "{}", same.out);
    drop((servers, far, clients, mine, local));
}

/// Nobody who may not look is told that nothing changes.
#[test]
fn without_permission() {
    use std::os::unix::process::CommandExt;
    let Some((_host, _outside)) = host() else { return };
    let folder = folder();
    folder.run(["apply", "--no-trial", "old.dw"]).well();
    for args in [["plan", "old.dw"], ["verify", "old.dw"]] {
        let mut command = folder.doorward();
        let Ok(output) = command.args(args).stdin(Stdio::null()).uid(65_534).gid(65_534).output() else {
            skip::skip("the program cannot be started by other users from where it was built");
            return;
        };
        let said = tool::Said::of(&output);
        assert_eq!(said.exit, Some(5), "{args:?}: {said:#?}");
        assert!(said.err.contains("run it as root"), "{args:?}: {}", said.err);
    }
}
