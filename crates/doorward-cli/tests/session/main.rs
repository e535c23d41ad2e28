//! Who asks, told within real SSH sessions: each in network namespaces of its own, with real daemons.
#![cfg(debug_assertions)]
#![allow(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test talks and fails so")]

#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/bench.rs"]
mod bench;
mod multiplexers;
#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/processes.rs"]
mod processes;
#[path = "../../../../tests/support/skip.rs"]
mod skip;
mod stage;

use serde_json::{Value, json};
use stage::{Login, SERVER, Stage, peer};
use std::net::TcpStream;

/// Only `./test --quick` leaves these out, and says so; anybody else who is not root sees a failure.
fn left_out() -> bool {
    std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root()
}

/// Directly, with and without a terminal, and through whatever changes the user: always what sshd itself says.
#[test]
fn the_connection_of_the_session() {
    if left_out() {
        return;
    }
    let stage = Stage::sshd(&["Port 22"]);
    let me = stage.doorward();
    let through = [
        ("root", format!("{me} session")),
        ("root", format!("sh -c 'sh -c \"{me} session; true\"; true'")),
        ("root", format!("su visitor -c 'sudo {me} session; true'")),
        ("visitor", format!("sudo {me} session")),
        ("visitor", format!("sudo -i sudo su -c '{me} session'")),
        ("visitor", format!("sudo env -i SSH_CONNECTION='203.0.113.99 1 203.0.113.2 22' {me} session")),
    ];
    for address in SERVER {
        for (user, command) in &through {
            for terminal in [false, true] {
                let login = Login { user, address, terminal, ..Login::default() };
                let (truth, seen) = stage.ask(&login, command);
                let remote = &seen["asker"]["remote"];
                assert_eq!(remote.as_array().map(Vec::len), Some(1), "{login:?} {command}: {seen:#}");
                let one = &remote[0];
                let ends = json!([one["remote"], one["local"]]);
                assert_eq!(ends, truth, "{login:?} {command}");
                assert_eq!(one["user"], *user, "{login:?} {command}");
                assert_eq!(one["terminal"].is_string(), terminal, "{login:?} {command}: {seen:#}");
                assert_eq!(seen["logged_in"], *remote, "the asker is all there is: {login:?} {command}");
                assert_eq!(seen["ports"], json!([22]));
            }
        }
    }
    // Without root the descriptors of sshd are closed to us, and no guess is made.
    let (_, seen) = stage.ask(&Login { user: "visitor", ..Login::default() }, &format!("{me} session"));
    let why = seen["asker"]["unknown"].as_str().expect("unknown");
    assert!(why.contains("cannot be read"), "{why}");
}

/// Link-local addresses carry the interface over which they are meant.
#[test]
fn link_local_addresses_keep_their_interface() {
    if left_out() {
        return;
    }
    let stage = Stage::sshd(&["Port 22"]);
    let link = stage.bench.host("server").ip("-o link show dev eth0");
    let index = link.split(':').next().expect("a number").to_owned();
    stage.bench.host("server").ip("addr add fe80::2/64 dev eth0 nodad");
    stage.bench.host("client").ip("addr add fe80::1/64 dev eth0 nodad");
    let login = Login { address: "fe80::2%eth0", from: Some("fe80::1%eth0"), ..Login::default() };
    let (_, seen) = stage.ask(&login, &format!("{} session", stage.doorward()));
    let remote = peer(&seen["asker"]["remote"][0]);
    assert!(remote.starts_with(&format!("[fe80::1%{index}]:")), "{seen:#}");
}

/// A master connection that is used again is the old one, whatever was opened since.
#[test]
fn a_shared_connection_is_the_old_one() {
    if left_out() {
        return;
    }
    let stage = Stage::sshd(&["Port 22"]);
    let ask = format!("{} session", stage.doorward());
    let _master = stage.hold(&Login { master: true, ..Login::default() }, "");
    let shared = Login { shared: true, ..Login::default() };
    let (first, seen) = stage.ask(&shared, &ask);
    assert_eq!(seen["asker"]["remote"][0]["remote"], first[0]);
    let (other, _) = stage.ask(&Login::default(), &ask);
    assert_ne!(first, other);
    let (again, seen) = stage.ask(&shared, &ask);
    assert_eq!(again, first);
    assert_eq!(seen["asker"]["remote"][0]["remote"], first[0]);
    // A master without any session of its own is somebody who is logged in, too.
    let (_, seen) = stage.ask(&Login::default(), &ask);
    assert_eq!(seen["logged_in"].as_array().map(Vec::len), Some(2), "{seen:#}");
}

/// What a session forwards is not taken for it.
#[test]
fn forwarded_connections_are_told_apart() {
    if left_out() {
        return;
    }
    let stage = Stage::sshd(&["Port 22", "Port 2222", "GatewayPorts yes"]);
    let options = ["-R", "*:8080:203.0.113.1:9", "-L", "7000:203.0.113.2:2222"];
    let login = Login { master: true, options: &options, ..Login::default() };
    let held = stage.hold(&login, "");
    let client = stage.bench.host("client");
    let _there = client.inside(|| TcpStream::connect("127.0.0.1:7000").expect("forwarded"));
    let _back = client.inside(|| TcpStream::connect("203.0.113.2:8080").expect("forwarded back"));
    let (truth, seen) =
        stage.ask(&Login { shared: true, ..Login::default() }, &format!("{} session", stage.doorward()));
    assert_eq!(seen["asker"]["remote"][0]["remote"], truth[0], "{seen:#}");
    assert_eq!(seen["logged_in"].as_array().map(Vec::len), Some(1), "{seen:#}");
    assert_eq!(seen["ports"], json!([22, 2222]), "the forwarded port is no daemon's");
    drop(held);
}

/// Others are told by name; whoever has not logged in is nobody.
#[test]
fn others_who_are_logged_in() {
    if left_out() {
        return;
    }
    let stage = Stage::sshd(&["Port 22"]);
    let bot = stage.bench.host("client").inside(|| TcpStream::connect("203.0.113.2:22").expect("a bot"));
    let _anna = stage.hold(
        &Login { user: "visitor", from: Some("203.0.113.77"), terminal: true, ..Login::default() },
        "sleep 60",
    );
    let _root = stage.hold(&Login { address: SERVER[1], ..Login::default() }, "sleep 60");
    let (truth, seen) = stage.ask(&Login::default(), &format!("{} session", stage.doorward()));
    let all = seen["logged_in"].as_array().expect("a list");
    let mut told: Vec<(String, String, bool)> = all
        .iter()
        .map(|one| {
            let user = one["user"].as_str().expect("a name").to_owned();
            (peer(one).rsplit_once(':').expect("a port").0.to_owned(), user, one["terminal"].is_string())
        })
        .collect();
    told.sort();
    let expected =
        [("203.0.113.1", "root", false), ("203.0.113.77", "visitor", true), ("[2001:db8::1]", "root", false)];
    let expected = expected.map(|(peer, user, terminal)| (peer.to_owned(), user.to_owned(), terminal));
    assert_eq!(told, expected, "{seen:#}");
    let bot = bot.local_addr().expect("an address").to_string();
    assert!(all.iter().all(|one| peer(one) != bot) && all.iter().any(|one| one["remote"] == truth[0]));
}

/// From a network namespace that is not sshd's nothing can be told of its connection, and that is said.
#[test]
fn another_network_namespace() {
    if left_out() {
        return;
    }
    let stage = Stage::sshd(&["Port 22"]);
    let command = format!("unshare --net {} session", stage.doorward());
    let (_, seen) = stage.ask(&Login::default(), &command);
    assert_eq!(seen["asker"]["unknown"], "its SSH connection is in another network namespace");
    assert_eq!((&seen["logged_in"], &seen["ports"]), (&json!([]), &json!([])));
}

/// `ssh localhost` hides nobody.
#[test]
fn behind_a_connection_to_itself() {
    if left_out() {
        return;
    }
    let stage = Stage::sshd(&["Port 22"]);
    let inner = stage.ssh_words(&Login { address: "127.0.0.1", ..Login::default() }).join(" ");
    let (truth, seen) = stage.ask(&Login::default(), &format!("{inner} {} session", stage.doorward()));
    assert_eq!(seen["asker"]["remote"][0]["remote"], truth[0], "{seen:#}");
    assert_eq!(seen["asker"]["remote"].as_array().map(Vec::len), Some(1));
}

/// Every way in which Debian's sshd is told where to listen; dropbear beside it.
#[test]
fn ports_of_daemons() {
    if left_out() {
        return;
    }
    let found = |stage: &Stage, port: u16| -> Value {
        let (truth, seen) =
            stage.ask(&Login { port, ..Login::default() }, &format!("{} session", stage.doorward()));
        assert_eq!(seen["asker"]["remote"][0]["remote"], truth[0], "{port}: {seen:#}");
        seen["ports"].clone()
    };
    for (lines, ports) in [
        (&["Port 22"][..], &[22_u16][..]),
        (&["Port 2222"], &[2222]),
        (&["Port 22", "Port 2222"], &[22, 2222]),
        (&["ListenAddress 203.0.113.2:2022", "Match LocalPort 2022", "X11Forwarding no"], &[2022]),
    ] {
        let stage = Stage::sshd(lines);
        for port in ports {
            assert_eq!(found(&stage, *port), json!(ports), "{lines:?}");
        }
    }
    if std::path::Path::new("/usr/bin/systemd-socket-activate").exists() {
        for (options, port) in [("", 22), ("--accept --inetd", 2200)] {
            let stage = Stage::activated(options, port);
            assert_eq!(found(&stage, port), json!([port]), "{options}");
        }
    } else {
        skip::skip("no systemd-socket-activate here");
    }
    if std::path::Path::new("/usr/sbin/dropbear").exists() {
        let stage = Stage::dropbear(2022);
        assert_eq!(found(&stage, 2022), json!([2022]));
    } else {
        skip::skip("dropbear is not installed");
    }
}
