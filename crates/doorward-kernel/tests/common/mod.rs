//! A namespace of its own for each test, and `nft` as oracle in it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

#[path = "../../../../tests/support/skip.rs"]
pub mod skip;

use std::io::Write;
use std::process::{Command, Stdio};

use doorward::ruleset::{Elements, Ruleset};
use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, Scope, Socket};

/// An empty namespace, which this thread enters. What the thread starts is in it too.
pub fn fresh() -> (OwnNetNs, Socket) {
    let own = OwnNetNs::make().unwrap_or_else(|error| {
        panic!("this test makes network namespaces ({error}): run it as root or under `unshare -Ur`")
    });
    let guard = Guard::for_own_namespace(&own).unwrap();
    let socket = Socket::open(guard).unwrap();
    (own, socket)
}

/// Runs `nft` with this text as its file; the error text if it fails.
pub fn nft(args: &[&str], text: &str) -> Result<String, String> {
    let mut child = Command::new("nft")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test compares with `nft`: install the package nftables");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Loads a ruleset with `nft`.
pub fn load(text: &str) {
    nft(&["-f", "-"], text).unwrap_or_else(|error| panic!("{error}\n{text}"));
}

/// What `nft` lists, numbers of interfaces and users left as numbers.
pub fn listed() -> String {
    nft(&["-nn", "list", "ruleset"], "").unwrap()
}

/// What we read.
pub fn read(socket: &Socket) -> Ruleset {
    socket.read(&Scope::All).unwrap().ruleset
}

/// Fails with the first lines that differ; whole rulesets would fill the screen.
pub fn assert_same(left: Ruleset, right: Ruleset) {
    let text = |ruleset| format!("{:#?}", comparable(ruleset));
    let (left, right) = (text(left), text(right));
    let differing = left.lines().zip(right.lines()).position(|(a, b)| a != b);
    if let Some(at) = differing {
        let near =
            |text: &str| text.lines().skip(at.saturating_sub(8)).take(14).collect::<Vec<_>>().join("\n");
        panic!("left:\n{}\nright:\n{}", near(&left), near(&right));
    }
    assert_eq!(left.len(), right.len());
}

/// Without what differs from load to load: handles, and the order in hash sets.
pub fn comparable(mut ruleset: Ruleset) -> Ruleset {
    for table in &mut ruleset.tables {
        for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            rule.handle = None;
        }
        for set in &mut table.sets {
            match &mut set.elements {
                Elements::Plain(bytes) => {
                    let mut keys: Vec<&[u8]> = bytes.chunks(set.key_len as usize).collect();
                    keys.sort_unstable();
                    *bytes = keys.concat();
                }
                Elements::Full(list) => {
                    list.sort_by(|a, b| (&a.key, a.flags).cmp(&(&b.key, b.flags)));
                }
            }
        }
    }
    ruleset
}
