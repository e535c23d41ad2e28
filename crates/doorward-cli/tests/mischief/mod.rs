//! Mischief: what can be done to rules behind our back, with `nft` and `iptables` in a namespace of a test's own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

use std::io::Write;
use std::process::{Command, Stdio};

/// What was done behind our back.
pub enum Mischief {
    /// A text for `nft`.
    Nft(&'static str),
    /// Arguments of `iptables-nft`.
    Iptables(&'static [&'static str]),
    /// A rule of a chain of ours taken out, counted from the first or from the last.
    Deleted(&'static str, isize),
    /// The element of a sentence taken out.
    Element(&'static str),
    /// A rule of ours put in again with other words in it.
    Replaced(&'static str, &'static str, &'static str),
}

impl Mischief {
    pub fn happens(&self) {
        match self {
            Mischief::Nft(text) => nft(text),
            Mischief::Iptables(args) => {
                run("iptables-nft", args, "");
            }
            Mischief::Deleted(chain, at) => {
                let all = handles(chain);
                let at = if *at < 0 { all.len().checked_add_signed(*at).unwrap() } else { at.unsigned_abs() };
                nft(&format!("delete rule inet doorward {chain} handle {}", all[at]));
            }
            Mischief::Element(comment) => {
                let (set, key) = set_with(comment);
                nft(&format!("delete element inet doorward {set} {{ {key} }}"));
            }
            Mischief::Replaced(chain, old, new) => {
                let text = run("nft", &["-a", "list", "chain", "inet", "doorward", chain], "");
                let line =
                    text.lines().find(|line| line.contains(old)).unwrap_or_else(|| panic!("{old}: {text}"));
                let (rule, handle) = line.trim().split_once(" # handle ").unwrap();
                nft(&format!(
                    "replace rule inet doorward {chain} handle {handle} {}",
                    rule.replace(old, new)
                ));
            }
        }
    }
}

use Mischief::{Deleted, Element, Iptables, Nft, Replaced};

/// Each change behind our back, and how `verify` ends. What it says is in `golden/verify.txt`.
pub const MISCHIEF: &[(&str, i32, Mischief)] = &[
    ("an element of a set is gone", 1, Element("allow http,")),
    ("a block is gone", 1, Element("block from spam")),
    ("the last rule of a chain is gone", 1, Deleted("g1_in4", -1)),
    ("a rule in the middle is gone", 1, Deleted("g1_input", 1)),
    ("somebody opens a port", 1, Nft("insert rule inet doorward g1_in4 tcp dport 9999 accept")),
    ("somebody opens a port over IPv6", 1, Nft("insert rule inet doorward g1_in6 tcp dport 5432 accept")),
    ("a verdict is another one", 1, Replaced("g1_in6", "drop", "accept")),
    ("one source is dropped", 1, Nft("insert rule inet doorward input ip saddr 192.0.2.200 drop")),
    ("the base chain is empty", 1, Nft("flush chain inet doorward input")),
    ("the table sleeps", 1, Nft("add table inet doorward { flags dormant; }")),
    ("output is accepted first", 1, Nft("insert rule inet doorward output accept")),
    ("forwarding is accepted first", 1, Nft("insert rule inet doorward forward iifname \"eth0\" accept")),
    ("replies are dropped", 1, Nft("insert rule inet doorward input ct state established tcp dport 80 drop")),
    ("related packets pass", 1, Nft("insert rule inet doorward g1_input ct state related accept")),
    ("something is logged", 1, Nft("insert rule inet doorward input tcp dport 80 log")),
    (
        "a limit is another one",
        1,
        Replaced("g1_limit2_pay4", "limit rate over 6/minute", "limit rate over 600/minute"),
    ),
    ("a limit counts for another time", 1, Replaced("g1_limit2_pay4", "timeout 10s", "timeout 11s")),
    ("a mark is set", 1, Nft("insert rule inet doorward g1_input tcp dport 80 ct mark set 0x40000000")),
    ("no helper is assigned", 1, Nft("flush chain inet doorward prerouting")),
    ("connections are left untracked", 1, Nft("insert rule inet doorward prerouting tcp dport 80 notrack")),
    (
        "a chain translates",
        1,
        Nft(
            "table inet doorward { chain evil { type nat hook prerouting priority -100; tcp dport 80 redirect to :81; }; }",
        ),
    ),
    ("a counter is added", 0, Nft("insert rule inet doorward input counter")),
    ("an empty chain is added", 0, Nft("add chain inet doorward nobody_calls_it")),
    (
        "others drop a port",
        1,
        Nft("table inet filter { chain input { type filter hook input priority 10; tcp dport 443 drop; }; }"),
    ),
    (
        "others drop the rest",
        1,
        Nft("table inet filter { chain input { type filter hook input priority 10; policy drop; \
             ct state established,related accept; iif lo accept; tcp dport { 22, 80 } accept; }; }"),
    ),
    (
        "others limit",
        1,
        Nft("table ip filter { chain input { type filter hook input priority 10; \
             tcp dport 80 limit rate over 10/second drop; }; }"),
    ),
    (
        "others drop what no sentence opens",
        0,
        Nft(
            "table inet filter { chain input { type filter hook input priority 10; tcp dport 9999 drop; }; }",
        ),
    ),
    (
        "others untrack",
        1,
        Nft(
            "table inet raw { chain pre { type filter hook prerouting priority raw; tcp dport 80 notrack; }; }",
        ),
    ),
    (
        "others untrack what no sentence opens",
        0,
        Nft(
            "table inet raw { chain pre { type filter hook prerouting priority raw; tcp dport 9999 notrack; }; }",
        ),
    ),
    (
        "others translate",
        0,
        Nft(
            "table ip nat { chain pre { type nat hook prerouting priority -100; tcp dport 8080 dnat to 10.0.0.2:80; }; }",
        ),
    ),
    (
        "others set another bit of the mark",
        0,
        Nft(
            "table inet m { chain pre { type filter hook prerouting priority 0; ct mark set ct mark or 0x1; }; }",
        ),
    ),
    (
        "others set the whole mark",
        1,
        Nft(
            "table inet m { chain pre { type filter hook prerouting priority 0; tcp dport 80 ct mark set 0x10; }; }",
        ),
    ),
    (
        "others save the mark",
        1,
        Nft("table inet m { chain post { type filter hook postrouting priority 0; ct mark set mark; }; }"),
    ),
    (
        "others mark, then drop",
        1,
        Nft(
            "table inet m { chain pre { type filter hook prerouting priority -150; tcp dport 80 mark set 7; }; \
             chain in { type filter hook input priority 10; mark 7 drop; }; }",
        ),
    ),
    (
        "others drop at the device",
        1,
        Nft(
            "table netdev d { chain in { type filter hook ingress device eth0 priority 0; ip saddr 192.0.2.128/25 drop; }; }",
        ),
    ),
    (
        "others refuse what goes out",
        1,
        Nft("table ip filter { chain OUTPUT { type filter hook output priority 0; \
             ip daddr 203.0.113.9 tcp dport 25 reject; }; }"),
    ),
    ("iptables drops a port", 1, Iptables(&["-A", "INPUT", "-p", "tcp", "--dport", "443", "-j", "DROP"])),
    ("iptables refuses a source", 1, Iptables(&["-A", "INPUT", "-s", "192.0.2.7", "-j", "REJECT"])),
    (
        "iptables drops what makes no sense",
        0,
        Iptables(&["-A", "INPUT", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP"]),
    ),
    (
        "iptables limits",
        1,
        Iptables(&[
            "-A",
            "INPUT",
            "-p",
            "tcp",
            "--dport",
            "80",
            "-m",
            "hashlimit",
            "--hashlimit-above",
            "9/sec",
            "--hashlimit-name",
            "web",
            "-j",
            "DROP",
        ]),
    ),
    ("iptables untracks", 1, Iptables(&["-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "NOTRACK"])),
    (
        "iptables translates",
        0,
        Iptables(&[
            "-t",
            "nat",
            "-A",
            "PREROUTING",
            "-p",
            "tcp",
            "--dport",
            "80",
            "-j",
            "REDIRECT",
            "--to-ports",
            "81",
        ]),
    ),
];

/// What a program says to a text on its standard input.
fn run(program: &str, args: &[&str], stdin: &str) -> String {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?} {stdin}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn nft(text: &str) {
    run("nft", &["-f", "-"], text);
}

/// Handles of the rules of a chain of ours, in their order.
fn handles(chain: &str) -> Vec<String> {
    let text = run("nft", &["-a", "list", "chain", "inet", "doorward", chain], "");
    let rules = text.lines().filter(|line| !line.contains('{') || line.contains("vmap"));
    rules.filter_map(|line| Some(line.split_once(" # handle ")?.1.to_owned())).collect()
}

/// The name of the set or map of ours that holds an element with this comment.
fn set_with(comment: &str) -> (String, String) {
    let text = run("nft", &["list", "table", "inet", "doorward"], "");
    let mut name = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("\tset ") {
            name = rest.trim_end_matches(" {");
        }
        if let Some(at) = line.find(comment) {
            let before = &line[..at];
            // Elements end with a comment and a comma.
            let start =
                before.rfind("\",").map(|at| at + 2).or(before.rfind('{').map(|at| at + 1)).unwrap_or(0);
            let key = before[start..].split([' ']).filter(|word| !word.is_empty());
            let key: Vec<&str> =
                key.map_while(|word| (word != "counter" && word != "comment").then_some(word)).collect();
            let key = key.join(" ");
            return (name.to_owned(), key.trim().to_owned());
        }
    }
    panic!("no element says {comment}: {text}");
}
