//! `log` over real packets: which sentence, of both families; floods stay small; one listens at a time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;
mod tool;

use common::{Answer, HOST4, HOST6, Pair, connect, send_udp};
use serde_json::{Value, json};
use std::fs;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tool::{Folder, Said, golden};

const POLICY: &str = "\
allow 22/tcp log
block 23/tcp
block 24/tcp log
reject 113/tcp
allow 25/tcp
block 25/tcp from 203.0.113.77, 2001:db8::77
default block forward
";

/// A host with this policy in force.
fn host(policy: &str) -> Option<(Pair, Folder)> {
    let pair = Pair::new()?;
    let folder = Folder::new().with("p.dw", policy);
    pair.on_host(|| folder.run(["apply", "--no-trial", "p.dw"]).well());
    Some((pair, folder))
}

/// Somebody who listens on the host, and does so already.
fn listen(pair: &Pair, folder: &Folder, args: &[&str]) -> Child {
    let mut child = pair.on_host(|| {
        let mut command = folder.doorward();
        command.arg("log").args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let listeners = format!("/proc/{}/net/netfilter/nfnetlink_log", child.id());
    let end = Instant::now() + Duration::from_secs(20);
    while !fs::read_to_string(&listeners).unwrap_or_default().contains("3667") {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < end, "nobody listens");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Asks it to end, once it had time to hear what was sent.
fn end(child: Child) -> Said {
    std::thread::sleep(Duration::from_millis(500));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    Said::of(&child.wait_with_output().unwrap())
}

/// One packet of each kind, in both families.
fn knock() {
    for (from, to) in [("203.0.113.77", HOST4), ("2001:db8::77", HOST6)] {
        assert_eq!(connect(from, (to, 22)), Answer::Refused);
        assert_eq!(connect(from, (to, 113)), Answer::Refused);
        // Nobody answers: the first packet is enough.
        for port in [23, 24, 25, 8080] {
            drop(common::start(from, (to, port)));
        }
        send_udp(from, (to, 5353));
    }
}

#[test]
fn each_packet_has_its_sentence() {
    let Some((pair, folder)) = host(POLICY) else { return };
    let child = listen(&pair, &folder, &["--follow", "--json"]);
    knock();
    let said = end(child).well();
    assert!(said.err.is_empty(), "{said:#?}");
    let mut lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        let time = line["time"].take();
        assert!(humantime_like(time.as_str().unwrap()), "{time}");
        assert!(line["from_port"].take().as_u64().unwrap() > 1023);
    }
    golden("json/log-follow.json", &format!("{:#}\n", Value::Array(lines)));
}

fn humantime_like(text: &str) -> bool {
    text.len() == "2026-01-01T00:00:00Z".len() && text.ends_with('Z') && text.starts_with("20")
}

#[test]
fn groups_by_source_and_sentence() {
    let Some((pair, folder)) = host(POLICY) else { return };
    let child = listen(&pair, &folder, &["--for", "1h"]);
    knock();
    let said = end(child).well();
    golden("log.txt", &said.out);
    let child = listen(&pair, &folder, &["--for", "1h", "--json"]);
    knock();
    let said = end(child).well();
    golden("json/log.json", &format!("{:#}\n", said.json()));
    let child = listen(&pair, &folder, &["--follow"]);
    send_udp("203.0.113.1", (HOST4, 9));
    let said = end(child).well();
    let tail = " blocked 9/udp from 203.0.113.1 on veth0: built in: default block in\n";
    assert!(said.out.ends_with(tail), "{said:#?}");
}

/// A port that is published at another one: sentences speak of what was addressed, and so does the log.
#[test]
fn what_is_published_is_told_as_it_was_addressed() {
    let Some((pair, folder)) = host("block published 8081/tcp\n") else { return };
    pair.on_host(|| {
        for words in [
            "link add c0 type veth peer name c1",
            "link set c1 up",
            "link set c0 up",
            "address add 10.9.0.1/24 dev c0",
        ] {
            assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "{words}");
        }
        let rules = "table ip nat { chain pre { type nat hook prerouting priority -100; \
            tcp dport { 8080, 8081 } dnat to 10.9.0.5:80; }; }";
        assert!(Command::new("nft").arg(rules).status().unwrap().success());
        assert!(
            Command::new("sh")
                .args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
                .status()
                .unwrap()
                .success()
        );
    });
    let child = listen(&pair, &folder, &["--follow"]);
    for port in [8080, 8081] {
        drop(common::start("203.0.113.77", (HOST4, port)));
    }
    let said = end(child).well();
    // Not every kernel shows connections to listeners (`NETFILTER_NETLINK_GLUE_CT`): then less is claimed.
    let shown = said.out.contains("8080/tcp");
    let lines = if shown {
        [
            "blocked published 8080/tcp from 203.0.113.77 to 203.0.113.2 on veth0: built in: default block published",
            "blocked published 8081/tcp from 203.0.113.77 to 203.0.113.2 on veth0: p.dw:1 block published 8081/tcp",
        ]
    } else {
        [
            "blocked published 80/tcp from 203.0.113.77 to 10.9.0.5 on veth0: built in: default block published",
            "blocked forward 80/tcp from 203.0.113.77 to 10.9.0.5 on veth0: (somewhere) a `block` sentence",
        ]
    };
    for words in lines {
        assert!(said.out.contains(words), "{words}: {said:#?}");
    }
}

/// Who comes later hears why not; so does who is not allowed to listen.
#[test]
fn one_listens_at_a_time_and_rights_are_needed() {
    let Some((pair, folder)) = host("allow ssh\n") else { return };
    let child = listen(&pair, &folder, &["--follow"]);
    let second = pair.on_host(|| folder.run(["log"]));
    assert_eq!(second.exit, Some(5), "{second:#?}");
    assert!(second.err.contains("another program listens") && second.err.contains("end the other"));
    end(child).well();
    let third = pair.on_host(|| folder.run(["log", "--for", "1s"])).well();
    assert_eq!(third.out, "nothing was logged\n");
    let poor = pair.on_host(|| {
        let mut command = folder.doorward();
        let program = command.get_program().to_owned();
        command = Command::new("setpriv");
        command.args(["--bounding-set", "-net_admin"]).arg(program).args(["log", "--for", "1s"]);
        Said::of(&command.env_clear().output().unwrap())
    });
    assert_eq!(poor.exit, Some(5), "{poor:#?}");
    assert!(poor.err.contains("run it as root, with CAP_NET_ADMIN"), "{poor:#?}");
}

/// A hundred thousand packets become a few lines, whoever writes them to a disk.
#[test]
fn a_flood_stays_small() {
    const FLOOD: u64 = 100_000;
    let Some((pair, folder)) = host("allow ssh\n") else { return };
    let child = listen(&pair, &folder, &["--follow"]);
    let began = Instant::now();
    let socket = UdpSocket::bind(("203.0.113.77", 0)).unwrap();
    for number in 0..FLOOD {
        let port = 1024 + u16::try_from(number % 50_000).unwrap();
        // A full queue is no failure of the test: what counts is told below.
        let _ = socket.send_to(b"flood", (HOST4, port));
    }
    let took = began.elapsed();
    let said = end(child).well();
    let status = pair.on_host(|| folder.run(["status", "--json"])).json();
    let rest = status["built_in"].as_array().unwrap();
    let dropped = rest.iter().find(|one| one["what"] == json!("default block in")).unwrap();
    let dropped = dropped["packets"].as_u64().unwrap();
    let lines = said.out.lines().count();
    println!("{dropped} packets dropped in {took:?}: {lines} lines, {} bytes", said.out.len());
    assert!(dropped > FLOOD / 2, "{dropped}");
    let most = 20 + 10 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 2);
    assert!((5..=most).contains(&lines), "{lines} lines, {most} at most");
    assert!(said.err.is_empty(), "nothing was lost: {said:#?}");
}
