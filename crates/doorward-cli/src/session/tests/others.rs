//! Hostile trees, and what is told of others: who is logged in, and where daemons listen.

use super::super::sshd::Title;
use super::tree::{PTS0, Tree};
use super::{peers, why};
use std::fs;

/// Names may hold what the format of `stat` is made of.
#[test]
fn hostile_names() {
    for name in ["a) S 1 (b", "x\n1 (sshd) S 1", ")", "((", "\u{1b}[2J (", "sshd (deleted"] {
        let mut tree = Tree::with_session("names");
        tree.process(210, 202, name, 1000, PTS0, name).process(211, 210, "doorward", 0, PTS0, "doorward");
        assert_eq!(peers(tree.asker(211)), ["198.51.100.7:40000"], "{name:?}");
        // Nothing of a name moves a cursor.
        let mut tree = Tree::new("names");
        tree.process(210, 1, &format!("{name}("), 1000, PTS0, name)
            .process(211, 210, "doorward", 0, PTS0, "");
        assert!(!why(tree.asker(211)).contains(char::is_control));
    }
}

#[test]
fn loops_and_vanished_processes() {
    let mut tree = Tree::with_session("loops");
    // A reader sees no circle in truth, but a number that is used again while it reads can make one.
    tree.process(300, 301, "a", 0, 0, "").process(301, 300, "b", 0, 0, "");
    why(tree.asker(300));
    tree.process(310, 310, "c", 0, 0, "");
    why(tree.asker(310));
    // Its parent's number belongs to a younger process by now.
    tree.process(190, 202, "doorward", 0, 0, "");
    assert_eq!(why(tree.asker(190)), "no process is above it but the first");
    tree.process(191, 190, "x", 0, 0, "").process(192, 191, "doorward", 0, 0, "");
    fs::remove_file(tree.root.join("proc/190/stat")).unwrap();
    assert_eq!(why(tree.asker(192)), "whoever started `x` (process 191) cannot be told any more");
    for half in ["", "192", "192 (", "192 (x) S", "192 (x) S 99999999999 0 0 0"] {
        fs::write(tree.root.join("proc/191/stat"), half).unwrap();
        why(tree.asker(192));
    }
    assert_eq!(why(tree.asker(9999)), "process 9999 is gone");
    fs::remove_file(tree.root.join("proc/self")).unwrap();
    assert_eq!(why(tree.sessions().asker()), "`/proc` does not show this process");
    tree.process(320, 0, "nsenter", 0, 0, "").process(321, 320, "doorward", 0, 0, "");
    assert_eq!(
        why(tree.asker(321)),
        "`nsenter` (process 320) was started from outside of this PID namespace"
    );
}

#[test]
fn unreadable_descriptors() {
    let mut tree = Tree::with_session("unreadable");
    tree.process(203, 202, "doorward", 1000, PTS0, "doorward");
    for pid in [1, 100, 200, 201, 202] {
        fs::remove_dir_all(tree.root.join(format!("proc/{pid}/fd"))).unwrap();
        fs::write(tree.root.join(format!("proc/{pid}/fd")), "").unwrap();
    }
    assert!(why(tree.asker(203)).starts_with("what `sshd` (process 201) has open cannot be read: "));
    assert!(tree.ports().is_empty() && tree.sessions().logged_in().is_empty());
}

#[test]
fn titles_of_openssh() {
    let user = |name, terminal| Title::User { name, terminal };
    for (title, means) in [
        ("sshd: anna@pts/0", user("anna", Some("pts/0"))),
        ("sshd-session: anna@notty", user("anna", None)),
        ("sshd: anna@example.org@pts/1,pts/2", user("anna@example.org", Some("pts/1,pts/2"))),
        ("sshd: anna", user("anna", None)),
        ("sshd: anna [priv]", Title::Monitor { name: "anna" }),
        ("sshd: unknown [net]", Title::Stranger),
        ("sshd: anna [preauth]", Title::Stranger),
        ("sshd: [accepted]", Title::Stranger),
        ("sshd: ", Title::Stranger),
        ("sshd: /usr/sbin/sshd -D [listener] 1 of 10-100 startups", Title::Other),
        ("/usr/sbin/sshd", Title::Other),
        ("", Title::Other),
    ] {
        assert_eq!(Title::read(title), means, "{title}");
    }
}

#[test]
fn strangers_are_not_logged_in() {
    let mut tree = Tree::new("strangers");
    // Before a login: the monitor and its child; a fresh one; a newer OpenSSH; a user's own program of that name.
    tree.process(200, 100, "sshd", 0, 0, "sshd: root [priv]").process(
        201,
        200,
        "sshd",
        107,
        0,
        "sshd: root [net]",
    );
    tree.process(210, 100, "sshd", 0, 0, "sshd: [accepted]");
    tree.process(220, 100, "sshd-session", 0, 0, "sshd-session: unknown [priv]").process(
        221,
        220,
        "sshd-auth",
        107,
        0,
        "",
    );
    tree.process(230, 1, "sshd", 1000, 0, "sshd: root@pts/0");
    for pid in [200, 201, 210, 220, 221, 230] {
        tree.fd(pid, 4, &format!("socket:[{pid}]")).connect(pid, "192.0.2.1:22", "203.0.113.5:1");
    }
    assert_eq!(tree.sessions().logged_in(), []);
    // With a key and no command: nobody is below the monitor any more.
    fs::remove_dir_all(tree.root.join("proc/201")).unwrap();
    let now = tree.sessions().logged_in();
    assert_eq!(
        now.iter().map(|one| (one.pid, one.user.as_deref())).collect::<Vec<_>>(),
        [(200, Some("root"))]
    );
}

#[test]
fn dropbear_and_an_upgraded_daemon() {
    let mut tree = Tree::new("dropbear");
    tree.process(300, 1, "dropbear", 0, 0, "dropbear -p 2022").fd(300, 3, "socket:[90]").listen(90, 2022);
    tree.process(301, 300, "dropbear", 0, 0, "dropbear -p 2022").fd(301, 5, "socket:[91]");
    tree.connect(91, "192.0.2.1:2022", "198.51.100.7:9");
    assert_eq!(tree.sessions().logged_in(), [], "nobody has logged in yet");
    tree.process(302, 301, "ash", 1000, PTS0 + 3, "-ash").process(303, 302, "doorward", 0, PTS0 + 3, "");
    assert_eq!(peers(tree.asker(303)), ["198.51.100.7:9"]);
    let session = tree.sessions().logged_in().remove(0);
    assert_eq!((session.user.as_deref(), session.terminal.as_deref()), (Some("anna"), Some("pts/3")));
    tree.link("100/exe", "/usr/sbin/sshd (deleted)");
    assert_eq!(tree.ports(), [22, 2022]);
}

#[test]
fn doors_of_systemd() {
    let mut tree = Tree::new("units");
    fs::remove_dir_all(tree.root.join("proc/100")).unwrap();
    let folder = tree.root.join("usr/lib/systemd/system");
    fs::create_dir_all(folder.join("ssh.socket.d")).unwrap();
    tree.fd(1, 40, "socket:[11]")
        .fd(1, 41, "socket:[12]")
        .listen(12, 9090)
        .fd(1, 42, "socket:[13]")
        .listen(13, 2222);
    assert!(tree.ports().is_empty(), "systemd listens for many");
    fs::write(folder.join("ssh.socket"), "[Socket]\nListenStream=22\n").unwrap();
    assert_eq!(tree.ports(), [22]);
    fs::write(
        folder.join("ssh.socket.d/port.conf"),
        "[Socket]\nListenStream=\n ListenStream = [::]:2222\nListenStream=7777\n",
    )
    .unwrap();
    assert_eq!(tree.ports(), [22, 2222]);
    // A unit with a name of its own is told by who is logged in through it.
    tree.process(500, 1, "sshd", 0, 0, "sshd: root@notty").fd(500, 3, "socket:[61]").connect(
        61,
        "192.0.2.1:9090",
        "198.51.100.7:1",
    );
    assert_eq!(tree.ports(), [22, 2222, 9090]);
}
