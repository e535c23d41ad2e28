//! Sentences as commands: the file keeps every other byte, and says what is in force.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::netns::OwnNetNs;
use std::fmt::Write as _;
use tool::{Folder, golden};

const POLICY: &str = "# my host
define office = 203.0.113.0/24
allow ping
allow ssh           # for me
allow http, https

include \"more.dw\"
expect mysql from anyone is blocked
";
const MORE: &str = "block from 192.0.2.66\nallow imap, imaps   # mail\n";

fn folder() -> Folder {
    Folder::new().with("p.dw", POLICY).with("more.dw", MORE)
}

/// What a user sees, command by command, and what the file says afterwards.
#[test]
fn an_afternoon() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let folder = folder();
    let mut told = String::new();
    for args in [
        "allow --dry-run --policy p.dw smtp from office",
        "apply --no-trial p.dw",
        "allow --no-trial --policy p.dw smtp from office",
        "allow smtp from office --policy p.dw",
        "remove --no-trial --policy p.dw allow http",
        "remove --no-trial --policy p.dw allow imap",
        "remove --policy p.dw allow ftp",
        "remove --policy p.dw define office = 192.0.2.1",
        "allow --policy p.dw 80",
        "allow --policy p.dw sssh",
        "allow --no-trial --policy p.dw mysql",
        "allow --for 2s --policy p.dw dns",
        "trust --no-trial --policy p.dw office",
        "reject --no-trial --policy p.dw 113/tcp",
        "block --no-trial --policy p.dw out smtp by user 33",
        "allow --policy missing.dw ssh",
    ] {
        let said = folder.run(args.split_whitespace());
        let out =
            said.out.lines().filter(|line| !line.starts_with("  allowed") && !line.contains("built in"));
        let out: Vec<String> = out.map(without_time).collect();
        write!(told, "$ doorward {args}\n{}\n{}-- exit {}\n\n", out.join("\n"), said.err, said.exit.unwrap())
            .unwrap();
    }
    write!(told, "$ cat p.dw more.dw\n{}{}", folder.read("p.dw"), folder.read("more.dw")).unwrap();
    golden("sentence.txt", &told);
}

/// `in 104.1 ms` and the like differ from run to run.
fn without_time(line: &str) -> String {
    match line.rsplit_once(" in ").filter(|(_, end)| end.ends_with(" ms")) {
        Some((start, _)) => format!("{start} in … ms"),
        None => line.to_owned(),
    }
}

/// Whatever keeps a change from being in force keeps it out of the file, to the byte.
#[test]
fn a_change_that_fails_leaves_the_files_alone() {
    let folder = folder();
    for args in ["allow --policy p.dw smtp", "remove --policy p.dw allow http", "trust --policy p.dw office"]
    {
        // The network namespace of this machine is forbidden.
        let said = folder.run(args.split_whitespace());
        assert_eq!(said.exit, Some(4), "{said:#?}");
        assert_eq!((folder.read("p.dw").as_str(), folder.read("more.dw").as_str()), (POLICY, MORE));
    }
}

#[test]
fn for_programs() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let folder = folder();
    let said =
        folder.run("allow --json --no-trial --policy p.dw smtp from office".split_whitespace()).well().json();
    assert_eq!(said["ended"], "in force");
    assert_eq!(said["edit"][0]["line"], 6);
    assert_eq!(said["edit"][0]["sentence"], "allow smtp from office");
    assert_eq!(said["plan"]["active"], false);
    let said = folder.run("remove --json --dry-run --policy p.dw allow smtp from office".split_whitespace());
    let said = said.well().json();
    assert_eq!(said["edit"][0]["deed"], "removed");
    assert_eq!(said["plan"]["changes"][0]["kind"], "shuts");
    assert!(said.get("ended").is_none(), "a dry run ends nowhere: {said}");
    let said = folder.run("allow --json --policy p.dw 80".split_whitespace());
    assert_eq!(said.exit, Some(2));
    assert_eq!(said.json()["error"]["reports"][0]["id"], "port-alone");
    assert_eq!(said.err, "");
}

/// The ports for data belong to the sentence that opens the door: it is one line, not two of which one is warned of.
#[test]
fn ftp_gets_its_ports_for_data() {
    let text = "allow ping\nallow ftp     # uploads\nallow ftp from 192.0.2.1\n";
    let folder = Folder::new().with("p.dw", text);
    let added = |words: &str| {
        let mut args = vec!["allow", "--dry-run", "--policy", "p.dw", "--json"];
        args.extend(words.split(' '));
        folder.run(args).well().json()["edit"].clone()
    };
    let edit = added("ftp passive 50000-50100");
    let told = |at: usize| (edit[at]["deed"].clone(), edit[at]["sentence"].clone(), edit[at]["line"].clone());
    assert_eq!(told(0), ("removed".into(), "allow ftp".into(), 2.into()), "{edit}");
    assert_eq!(told(1), ("added".into(), "allow ftp passive 50000-50100".into(), 2.into()), "{edit}");
    let edit = added("ftp from 192.0.2.2 passive 50000-50100");
    assert_eq!((edit.as_array().unwrap().len(), &edit[0]["deed"]), (1, &"added".into()), "{edit}");
}
