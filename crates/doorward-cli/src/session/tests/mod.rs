//! Who asks, in trees of processes that are made up.

mod others;
mod tree;

use super::{Asker, Session};
use std::fs;
use tree::{PTS0, Tree};

fn peers(asker: Asker) -> Vec<String> {
    match asker {
        Asker::Remote { connections } => connections.iter().map(|one| one.remote.to_string()).collect(),
        other => panic!("{other:?}"),
    }
}

fn why(asker: Asker) -> String {
    match asker {
        Asker::Unknown { why } => why,
        other => panic!("{other:?}"),
    }
}

fn console(name: &str) -> Asker {
    Asker::Console { name: name.to_owned() }
}

#[test]
fn through_sudo_with_a_terminal_of_its_own() {
    let mut tree = Tree::with_session("sudo");
    tree.process(210, 202, "sudo", 0, PTS0, "sudo doorward").process(
        211,
        210,
        "sudo",
        0,
        PTS0 + 1,
        "sudo doorward",
    );
    tree.process(212, 211, "doorward", 0, PTS0 + 1, "doorward").fd(202, 0, "/dev/pts/0");
    let expected = Session {
        remote: "198.51.100.7:40000".parse().unwrap(),
        local: "192.0.2.1:22".parse().unwrap(),
        user: Some("anna".to_owned()),
        terminal: Some("pts/0".to_owned()),
        pid: 201,
        inode: 21,
    };
    assert_eq!(tree.asker(212), Asker::Remote { connections: vec![expected.clone()] });
    assert_eq!(tree.sessions().logged_in(), [expected], "the monitor and the child are one");
}

/// A session holds more connections than its own: what a client forwards, in either direction.
#[test]
fn forwarded_connections_are_not_the_session() {
    let mut tree = Tree::new("forwarded");
    // Root's session is one process. Descriptors below its connection were free when the forwarding came.
    tree.process(200, 100, "sshd", 0, 0, "sshd: root@notty").process(201, 200, "doorward", 0, 0, "doorward");
    tree.fd(200, 3, "socket:[30]").fd(200, 4, "socket:[21]").fd(200, 6, "socket:[31]").fd(
        200,
        7,
        "socket:[32]",
    );
    tree.connect(30, "192.0.2.1:51000", "203.0.113.9:443").connect(21, "192.0.2.1:22", "198.51.100.7:40000");
    tree.connect(32, "192.0.2.1:8080", "203.0.113.66:1234").listen(31, 8080);
    assert_eq!(peers(tree.asker(201)), ["198.51.100.7:40000"]);
    assert_eq!(tree.ports(), [22], "the forwarded port is no daemon's");
    // The daemon is gone: its port cannot help.
    fs::remove_dir_all(tree.root.join("proc/100")).unwrap();
    fs::remove_file(tree.root.join("proc/200/fd/3")).unwrap();
    assert_eq!(peers(tree.asker(201)), ["198.51.100.7:40000"]);
}

#[test]
fn a_shells_own_connection_says_nothing() {
    let mut tree = Tree::new("random");
    tree.process(300, 1, "cron", 0, 0, "cron")
        .process(301, 300, "bash", 0, 0, "bash")
        .process(302, 301, "doorward", 0, 0, "");
    tree.fd(301, 5, "socket:[40]").connect(40, "192.0.2.1:50000", "203.0.113.9:22");
    let why = why(tree.asker(302));
    assert_eq!(why, "it was started by `cron` (process 300), which has no SSH connection and no console");
}

/// Daemons of other kinds start a process for each connection; one with several would be a guess.
#[test]
fn a_server_whose_parent_listens() {
    let mut tree = Tree::new("telnet");
    tree.process(300, 1, "inetd", 0, 0, "inetd").fd(300, 4, "socket:[50]").listen(50, 23);
    tree.process(301, 300, "telnetd", 0, 0, "telnetd").process(302, 301, "doorward", 0, PTS0, "doorward");
    tree.fd(301, 0, "socket:[51]").fd(301, 1, "socket:[51]").connect(51, "192.0.2.1:23", "198.51.100.8:1");
    assert_eq!(peers(tree.asker(302)), ["198.51.100.8:1"]);
    tree.fd(301, 9, "socket:[52]").connect(52, "192.0.2.1:23", "198.51.100.9:1");
    why(tree.asker(302));
}

#[test]
fn consoles() {
    for (device, name) in
        [(0x401, "tty1"), (0x440, "ttyS0"), (0xcc41, "ttyAMA1"), (0xe500, "hvc0"), (0x501, "console")]
    {
        let mut tree = Tree::new(name);
        tree.process(300, 1, "login", 0, device, "login").process(301, 300, "bash", 0, device, "-bash");
        tree.process(302, 301, "sudo", 0, device, "sudo").process(303, 302, "doorward", 0, PTS0, "doorward");
        assert_eq!(tree.asker(303), console(name));
    }
    // A terminal of a window is no console, and neither is one that nobody knows.
    for device in [PTS0, 0x4d00, -1] {
        let mut tree = Tree::new("no-console");
        tree.process(300, 1, "run0", 0, device, "x").process(301, 300, "doorward", 0, device, "doorward");
        why(tree.asker(301));
    }
}

/// tmux was started in a session that is gone, or not; who is attached now counts.
#[test]
fn clients_of_a_multiplexer() {
    let mut tree = Tree::with_session("tmux");
    tree.process(400, 1, "tmux", 1000, 0, "tmux").process(401, 400, "bash", 1000, PTS0 + 5, "-bash");
    tree.process(402, 401, "doorward", 1000, PTS0 + 5, "doorward");
    assert_eq!(why(tree.asker(402)), "no client of `tmux` (process 400) is attached");
    // A terminal that is gone, though its number is in use again.
    tree.fd(400, 5, "/dev/pts/0 (deleted)").process(203, 202, "tmux", 1000, PTS0, "tmux attach");
    why(tree.asker(402));
    tree.fd(400, 6, "/dev/pts/0");
    assert_eq!(peers(tree.asker(402)), ["198.51.100.7:40000"]);
    // Another session is attached too.
    tree.process(500, 100, "sshd", 0, 0, "sshd: root@pts/7").process(
        501,
        500,
        "tmux",
        0,
        PTS0 + 7,
        "tmux attach",
    );
    tree.fd(500, 4, "socket:[61]").connect(61, "[2001:db8::1]:22", "[2001:db8::7]:1").fd(
        400,
        7,
        "/dev/pts/7",
    );
    assert_eq!(peers(tree.asker(402)), ["198.51.100.7:40000", "[2001:db8::7]:1"]);
    // Somebody else's program of that name, on a terminal of that number in a container.
    tree.process(600, 100, "sshd", 0, 0, "sshd: eve [priv]").process(
        601,
        600,
        "sshd",
        1001,
        0,
        "sshd: eve@pts/9",
    );
    tree.process(602, 601, "tmux", 1001, PTS0 + 7, "tmux").fd(601, 4, "socket:[71]");
    tree.connect(71, "192.0.2.1:22", "203.0.113.66:1");
    assert_eq!(peers(tree.asker(402)).len(), 2);
    assert_eq!(tree.sessions().logged_in().len(), 3);
}

/// The server of screen is a child of its first client; with that client's session it has nothing to do any more.
#[test]
fn screen_from_an_earlier_session() {
    let mut tree = Tree::with_session("screen");
    tree.process(203, 202, "screen", 1000, PTS0, "screen").process(204, 203, "screen", 1000, 0, "SCREEN");
    tree.process(205, 204, "bash", 1000, PTS0 + 5, "bash").process(
        206,
        205,
        "doorward",
        1000,
        PTS0 + 5,
        "doorward",
    );
    tree.process(500, 100, "sshd", 0, 0, "sshd: root@pts/7").process(
        501,
        500,
        "screen",
        0,
        PTS0 + 7,
        "screen -x",
    );
    tree.fd(500, 4, "socket:[61]").connect(61, "192.0.2.1:22", "198.51.100.9:1").fd(204, 7, "/dev/pts/7");
    assert_eq!(peers(tree.asker(206)), ["198.51.100.9:1"]);
}

#[test]
fn multiplexers_within_each_other_and_at_a_console() {
    let mut tree = Tree::with_session("nested");
    tree.process(400, 1, "tmux", 1000, 0, "tmux").process(401, 400, "screen", 1000, PTS0 + 5, "screen");
    tree.process(402, 401, "screen", 1000, 0, "SCREEN").process(
        403,
        402,
        "doorward",
        1000,
        PTS0 + 6,
        "doorward",
    );
    // Each is attached within the other, as well.
    tree.fd(402, 3, "/dev/pts/5").fd(400, 3, "/dev/tty2").fd(400, 4, "/dev/pts/6");
    tree.process(404, 403, "tmux", 1000, PTS0 + 6, "tmux");
    tree.process(300, 1, "login", 0, 0x402, "login").process(301, 300, "tmux", 1000, 0x402, "tmux");
    assert_eq!(tree.asker(403), console("tty2"));
    tree.fd(400, 5, "/dev/pts/0").process(203, 202, "tmux", 1000, PTS0, "tmux");
    assert_eq!(peers(tree.asker(403)), ["198.51.100.7:40000"], "connections before consoles");
    let mut tree = Tree::with_session("dtach");
    tree.process(400, 202, "dtach", 1000, 0, "dtach").process(401, 400, "doorward", 1000, PTS0 + 5, "");
    assert_eq!(why(tree.asker(401)), "`dtach` does not let its clients be told");
}

#[test]
fn another_network_namespace() {
    let mut tree = Tree::with_session("netns");
    tree.process(203, 202, "doorward", 1000, PTS0, "doorward").link("203/ns/net", "net:[2]");
    tree.connections.clear();
    assert_eq!(why(tree.asker(203)), "its SSH connection is in another network namespace");
    tree.link("203/ns/net", "net:[1]");
    assert_eq!(why(tree.asker(203)), "`sshd` (process 201) has no connection in this network namespace");
}

#[test]
fn behind_ssh_to_this_host_itself() {
    let mut tree = Tree::with_session("localhost");
    tree.process(203, 202, "ssh", 1000, PTS0, "ssh root@localhost").fd(203, 3, "socket:[81]");
    tree.process(500, 100, "sshd", 0, 0, "sshd: root@pts/7").process(
        501,
        500,
        "doorward",
        0,
        PTS0 + 7,
        "doorward",
    );
    tree.fd(500, 4, "socket:[82]").connect(81, "127.0.0.1:5000", "127.0.0.1:22").connect(
        82,
        "127.0.0.1:22",
        "127.0.0.1:5000",
    );
    assert_eq!(peers(tree.asker(501)), ["198.51.100.7:40000"]);
    // From a cron job there is nothing behind it.
    tree.link("203/exe", "/usr/bin/ssh").process(300, 1, "cron", 0, 0, "cron");
    fs::write(tree.root.join("proc/203/stat"), format!("203 (ssh) S 300 0 0 0 0 0 {}999 0", "0 ".repeat(12)))
        .unwrap();
    assert_eq!(peers(tree.asker(501)), ["127.0.0.1:5000"]);
}

#[test]
fn addresses() {
    let mut tree = Tree::with_session("addresses");
    tree.process(203, 202, "doorward", 0, PTS0, "doorward");
    tree.connections.clear();
    tree.connect(21, "[fe80::1]:22", "[fe80::2]:40000");
    assert_eq!(peers(tree.asker(203)), ["[fe80::2%3]:40000"]);
}
