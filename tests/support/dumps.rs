//! Rulesets of others below a folder, and the programs that load them. None of them is part of this project.

#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All files, in the order of their names.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// What a file says. Dumps in which all Ethernet addresses are blotted out get others: they would not load.
pub fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).replace("XX:XX:XX:XX:XX:XX", "00:00:5e:00:53:01")
}

/// A program that loads rulesets.
#[derive(Clone, Copy)]
pub enum Loader {
    Nft,
    Iptables(&'static str),
}

/// Who may be able to load such a text.
pub fn loaders(text: &str) -> &'static [Loader] {
    if text.lines().any(|line| line.trim() == "COMMIT") {
        return &[Loader::Iptables("iptables-nft-restore"), Loader::Iptables("ip6tables-nft-restore")];
    }
    let is_nft = text.lines().any(|line| {
        let mut words = line.split_whitespace();
        matches!((words.next(), words.next()), (Some("table"), Some(_)) | (Some("add"), Some("table")))
    });
    if is_nft { &[Loader::Nft] } else { &[] }
}

impl Loader {
    /// Loads it where this thread is; says whether the program took it.
    pub fn load(self, text: &str) -> bool {
        let mut command = match self {
            Loader::Nft => Command::new("nft"),
            Loader::Iptables(program) => Command::new(program),
        };
        if matches!(self, Loader::Nft) {
            command.args(["-f", "-"]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(
                "rulesets are loaded by their own programs: install the packages iptables and nftables",
            );
        // A program that gives up early closes the pipe.
        let written = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait().unwrap().success() && written.is_ok()
    }
}
