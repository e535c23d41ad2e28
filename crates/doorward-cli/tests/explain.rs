//! Questions about one packet as a user asks them: of policies, of rules in the kernel, of everybody's rules.
//!
//! What is loaded is loaded in network namespaces that the tests make. `UPDATE_GOLDEN=1` writes the transcripts.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::link::{Links, Route};
use doorward_kernel::netns::OwnNetNs;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tool::{Folder, Said, golden};

/// Of no host, so that what is assumed is the same on all.
const TO: &str = "203.0.113.2";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn explain(folder: &Folder, question: &str) -> Said {
    folder.run(["explain"].into_iter().chain(question.split_whitespace()))
}

/// What was asked and what was said.
fn transcript(folder: &Folder, questions: &[String]) -> String {
    let mut text = String::new();
    for question in questions {
        let said = explain(folder, question);
        writeln!(text, "$ doorward explain {question}\n{}", said.out).unwrap();
        if !said.err.is_empty() {
            writeln!(text, "-- standard error\n{}", said.err).unwrap();
        }
        writeln!(text, "-- exit {}\n", said.exit.unwrap()).unwrap();
        for line in said.out.lines().chain(said.err.lines()) {
            assert!(line.chars().count() <= 80, "{question}: {line}");
            assert!(!line.contains('\x1b'), "{question}: {line}");
        }
    }
    text
}

/// A folder with the examples, so that their paths are the same everywhere.
fn with_examples() -> Folder {
    let folder = Folder::new();
    std::os::unix::fs::symlink(examples(), folder.path().join("examples")).unwrap();
    folder
}

#[test]
fn each_example_answers() {
    let folder = with_examples();
    for (name, questions) in [
        (
            "three-lines",
            &[
                "tcp 198.51.100.7 TO 22 on eth0 FILE",
                "tcp [2001:db8:7::7]:40000 2001:db8::2 443 on eth0 FILE",
                "udp 198.51.100.7 TO 443 on eth0 FILE",
                "ping 198.51.100.7 TO on eth0 FILE",
                "icmp fe80::7 fe80::2 neighbour-solicitation on eth0 FILE",
                "icmp 198.51.100.7 TO timestamp-request on eth0 FILE",
                "tcp 127.0.0.2 TO 22 on eth0 FILE",
                "tcp 127.0.0.1 22 FILE",
                "out udp TO 198.51.100.7 53 on eth0 by user 0 FILE",
                "forward tcp 10.0.0.2 198.51.100.7 443 on br0 to eth0 FILE",
                "published tcp 198.51.100.7 TO 8080 on eth0 FILE",
                "--path tcp 198.51.100.7 TO ssh on eth0 FILE",
            ][..],
        ),
        (
            "gateway",
            &[
                "tcp 198.51.100.7 TO 80 on eth0 FILE",
                "tcp 198.51.100.7 TO 8080 on eth0 FILE",
                "--path forward tcp 10.0.0.5 198.51.100.7 443 on eth1 to eth0 FILE",
                "forward tcp 10.0.0.5 198.51.100.7 443 on eth1 to wg0 FILE",
            ][..],
        ),
        (
            "vps",
            &[
                "tcp 198.51.100.7 TO 8443 on eth0 FILE",
                "udp 2001:db8:7::7 2001:db8::2 53 on eth0 FILE",
                "tcp 198.51.100.7 TO 50050 on eth0 FILE",
                "tcp 198.51.100.7 TO 3306 on eth0 FILE",
                "udp 192.0.2.1:67 TO 68 on eth0 FILE",
                "protocol gre 198.51.100.7 TO on eth0 FILE",
                "out tcp TO 198.51.100.7 25 on eth0 by user 33 FILE",
            ],
        ),
        (
            "full",
            &[
                "tcp 203.0.113.9 TO 22 on eth0 FILE",
                "tcp 192.0.2.99 TO 22 on eth0 FILE",
                "tcp 198.51.100.25 TO 22 on eth0 FILE",
                "--path tcp 192.0.2.99 TO 22 on eth0 FILE",
                "tcp 192.0.2.99 TO 113 on eth0 FILE",
                "tcp 203.0.113.9 TO 23 on eth0 FILE",
                "udp 2001:db8:ffff::7 2001:db8::2 27020 on eth0 FILE",
                "out tcp TO 198.51.100.99 25 on eth0 by user root FILE",
                "out tcp TO 198.51.100.99 25 on eth0 FILE",
                "out tcp TO 198.51.100.99 25565 on eth0 FILE",
                "published tcp 198.51.100.99 192.0.2.1 8080 on eth0 FILE",
                "forward tcp 10.0.0.2 198.51.100.99 443 on docker0 to eth0 FILE",
                "forward tcp 10.0.0.2 198.51.100.99 443 on eth1 to eth0 FILE",
                "icmp 198.51.100.99 TO timestamp-request on eth0 FILE",
            ],
        ),
    ] {
        let file = format!("examples/{name}.dw");
        let questions: Vec<String> =
            questions.iter().map(|one| one.replace("TO", TO).replace("FILE", &file)).collect();
        let text = transcript(&folder, &questions);
        assert!(!text.contains("DISAGREEMENT") && !text.contains("-- exit 1"), "{text}");
        golden(&format!("explain/{name}.txt"), &text);
    }
}

#[test]
fn wrong_questions_get_a_way_out() {
    let folder = Folder::new().with("p.dw", "allow ssh\n").with("wrong.dw", "allow shh\n");
    let questions = [
        "",
        "443/tcp 198.51.100.7",
        "ssh 198.51.100.7 p.dw",
        "tcp example.org 22",
        "tcp 198.51.100.0/24 22",
        "tcp 198.51.100.7",
        "tcp 198.51.100.7 p.dw",
        "tcp 198.51.100.7 htpps p.dw",
        "tcp 198.51.100.7 22 p.dw q.dw",
        "icmp 198.51.100.7 echo-requst p.dw",
        "icmp 198.51.100.7 packet-too-big p.dw",
        "udp 2001:db8::7:40000 53",
        "forward tcp 10.0.0.2 443 p.dw",
        "tcp 198.51.100.7 22 by user root p.dw",
        "out tcp 198.51.100.7 25 by user nobody-like-that p.dw",
        "tcp 198.51.100.7 22 missing.dw",
        "tcp 198.51.100.7 22 wrong.dw",
    ];
    let questions = questions.map(str::to_owned);
    golden("explain/wrong.txt", &transcript(&folder, &questions));
}

#[test]
fn answers_for_programs() {
    let folder = Folder::new()
        .with("p.dw", "allow ping\nallow ssh limit 6/minute per source\nblock out smtp by user 33\n");
    for (name, question) in [
        ("explain", "--json tcp 198.51.100.7 203.0.113.2 22 on eth0 p.dw"),
        ("explain-out", "--json out tcp 203.0.113.2 198.51.100.7 25 on eth0 p.dw"),
        ("explain-wrong", "--json tcp 198.51.100.7 p.dw"),
    ] {
        let said = explain(&folder, question);
        assert_eq!(said.err, "", "{question}");
        golden(&format!("json/{name}.json"), &format!("{:#}\n", said.json()));
    }
}

/// A namespace with an interface and a way to everywhere; this thread is in it.
fn namespace() -> Option<OwnNetNs> {
    if skip::without_root() {
        return None;
    }
    let own = OwnNetNs::make().unwrap();
    let links = Links::open().unwrap();
    links.add_veth("eth0", "far", own.namespace()).unwrap();
    for (name, addrs) in
        [("lo", &[][..]), ("far", &[]), ("eth0", &[("203.0.113.2", 24), ("2001:db8::2", 64)])]
    {
        let index = links.link(name).unwrap().unwrap().index;
        links.set_up(index).unwrap();
        for (addr, len) in addrs {
            links.add_address(index, addr.parse().unwrap(), *len).unwrap();
        }
        if name == "eth0" {
            let via = Some("203.0.113.1".parse().unwrap());
            links.add_route(Route { to: "0.0.0.0".parse().unwrap(), prefix_len: 0, via, index }).unwrap();
        }
    }
    Some(own)
}

fn nft(text: &str) {
    let mut child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft is installed");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
}

const POLICY: &str = "define office = 203.0.113.0/24
trust office
allow ping
allow ssh limit 6/minute per source
allow https, 8443/tcp
allow published 8080/tcp
block from 192.0.2.66
";

/// Without a policy it is about the kernel's own rules, whose comments say the lines.
#[test]
fn the_kernel_itself_answers() {
    let Some(_own) = namespace() else { return };
    let folder = Folder::new().with("p.dw", POLICY).with("q.dw", "block https\n");
    let before = explain(&folder, "tcp 198.51.100.7 443");
    assert_eq!(before.exit, Some(5));
    assert!(before.err.starts_with("doorward is not active\n"), "{before:#?}");
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    let questions = [
        "tcp 198.51.100.7 443",
        "tcp 198.51.100.7 22",
        "tcp 192.0.2.66 443",
        "tcp 203.0.113.2 22",
        "tcp 203.0.113.2 22 on eth0",
        "tcp 2001:db8:7::7 443",
        "published tcp 198.51.100.7 8080",
        "out udp 198.51.100.7 53",
        "--path ping 203.0.113.77",
    ];
    let text = transcript(&folder, &questions.map(str::to_owned));
    assert!(!text.contains("-- exit 1") && text.contains("the rules in the kernel, generation 1"), "{text}");
    golden("explain/kernel.txt", &text);
    // A policy that is named is asked, whatever is in force.
    assert!(explain(&folder, "tcp 198.51.100.7 443 q.dw").well().out.contains(": blocked\n"));
}

/// Bans and buckets of the moment count for the kernel, and are no disagreement.
#[test]
fn what_the_kernel_holds_now_counts() {
    let Some(_own) = namespace() else { return };
    let folder = Folder::new().with("p.dw", POLICY);
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    nft("add element inet doorward ban4 { 0xc6336407 timeout 1h }\n");
    let said = explain(&folder, "tcp 198.51.100.7 443").well();
    assert!(
        said.out.contains("443 on eth0: blocked\n") && said.out.contains("built in  banned"),
        "{}",
        said.out
    );
    assert!(said.out.contains("now a ban or a spent limit in the kernel decides"), "{}", said.out);
    assert!(explain(&folder, "tcp 198.51.100.8 443").well().out.contains("443 on eth0: allowed\n"));
}

const OTHERS: &str = "
table inet filter {
	chain input {
		type filter hook input priority 10; policy accept;
		ip saddr 198.51.100.0/24 tcp dport 443 drop
		tcp dport 22 limit rate over 3/minute burst 5 packets reject
		jump more
	}
	chain more {
		ct state invalid drop
	}
}
table ip early {
	chain pre {
		type filter hook prerouting priority -300; policy accept;
		udp dport 53 meta mark set 5
		ip saddr 192.0.2.9 drop
	}
}
table ip nat {
	chain pre {
		type nat hook prerouting priority -100;
		tcp dport 8443 dnat to 10.0.0.2:443
	}
}
table ip6 strict {
	chain input {
		type filter hook input priority -10; policy drop;
		icmpv6 type nd-neighbor-solicit accept
	}
}
";

/// An accept of ours is not final: whoever drops it is named, and what that depends on.
#[test]
fn others_have_a_say() {
    let Some(_own) = namespace() else { return };
    let folder = Folder::new().with("p.dw", POLICY).with("q.dw", "allow telnet\n");
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    nft(OTHERS);
    let questions = [
        "--whole-kernel tcp 198.51.100.7 443",
        "--whole-kernel tcp 198.51.100.7 22",
        "--whole-kernel tcp 198.51.100.7 23",
        "--whole-kernel tcp 192.0.2.9 443",
        "--whole-kernel tcp 192.0.2.10 8443",
        "--whole-kernel udp 192.0.2.10 53",
        "--whole-kernel tcp 2001:db8:7::7 443",
        "--whole-kernel out tcp 198.51.100.7 443",
        "--whole-kernel tcp 192.0.2.10 23 q.dw",
        "--whole-kernel --path tcp 192.0.2.10 443",
    ];
    let text = transcript(&folder, &questions.map(str::to_owned));
    assert!(!text.contains("-- exit 1"), "{text}");
    golden("explain/whole-kernel.txt", &text);
    let json = explain(&folder, "--json --whole-kernel tcp 198.51.100.7 22").well().json();
    golden("json/explain-whole-kernel.json", &format!("{json:#}\n"));
}

/// What iptables leaves in rules is named where the answer depends on it.
#[test]
fn unknown_matches_are_named() {
    let Some(_own) = namespace() else { return };
    let folder = Folder::new().with("p.dw", POLICY);
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    let iptables = Command::new("iptables-nft")
        .args([
            "-A", "INPUT", "-p", "tcp", "--dport", "443", "-m", "recent", "--name", "x", "--rcheck", "-j",
            "DROP",
        ])
        .status();
    if !iptables.is_ok_and(|status| status.success()) {
        skip::skip("iptables-nft or its match recent is missing");
        return;
    }
    let said = explain(&folder, "--whole-kernel tcp 198.51.100.7 443").well();
    let wanted = "depends on: the iptables match recent in ip filter INPUT, rule 1: otherwise blocked";
    let words: Vec<&str> = said.out.split_whitespace().collect();
    assert!(words.join(" ").contains(wanted), "{}", said.out);
}

/// The whole process, from its start to its end.
#[test]
fn a_question_takes_no_time() {
    let Some(_own) = namespace() else { return };
    let folder = with_examples().with("p.dw", POLICY);
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    for question in ["tcp 198.51.100.7 443", "tcp 198.51.100.7 443 examples/vps.dw"] {
        let fastest = (0..7)
            .map(|_| {
                let began = Instant::now();
                explain(&folder, question).well();
                began.elapsed()
            })
            .min();
        // Without optimization it takes some times as long.
        let most = Duration::from_millis(if cfg!(debug_assertions) { 250 } else { 50 });
        assert!(fastest.unwrap() < most, "{question}: {fastest:?}");
    }
}
