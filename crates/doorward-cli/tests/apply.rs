//! Loading for real: `apply`, `status`, `show` and `export` in network namespaces that the tests make.
//!
//! What a test starts runs in the namespace of the test's thread. `nft` is the oracle.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward::compile::TABLE;
use doorward::ruleset::{Element, Elements, KeyPart, Rule, Set, Step, TableFamily, Transaction, set_flags};
use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, Scope, Socket, guard};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tool::{Folder, Said, golden, without_figure};

const POLICY: &str = "define office = 203.0.113.0/24, 2001:db8:10::/48
trust office
allow ping
allow ssh limit 6/minute per source
allow http, https, 8443/tcp
allow mysql from office
allow ftp passive 50000-50100
allow published 8080/tcp from office
allow out 5400/udp
block from 192.0.2.66, 2001:db8:66::/48
reject 113/tcp
block out smtp by user 33
expect mysql from outside office is blocked
";

/// A namespace with a cable to nobody, and this thread in it.
fn namespace() -> Option<(OwnNetNs, Socket)> {
    if skip::without_root() {
        return None;
    }
    let own = OwnNetNs::make().unwrap();
    let links = Links::open().unwrap();
    links.add_veth("eth0", "far", own.namespace()).unwrap();
    for name in ["lo", "far", "eth0"] {
        let link = links.link(name).unwrap().unwrap();
        links.set_up(link.index).unwrap();
        if name == "eth0" {
            links.add_address(link.index, "198.51.100.1".parse().unwrap(), 24).unwrap();
        }
    }
    let socket = Socket::open(Guard::for_own_namespace(&own).unwrap()).unwrap();
    Some((own, socket))
}

fn apply(folder: &Folder, file: &str) -> Said {
    folder.run(["apply", "--no-trial", file])
}

/// What `nft` lists, or says to a text.
fn nft(args: &[&str], stdin: &str) -> String {
    let mut command = Command::new("nft");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("nft is installed");
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "nft {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn send(to: &str, packets: usize) {
    let socket = UdpSocket::bind("198.51.100.1:0").unwrap();
    for _ in 0..packets {
        socket.send_to(b"x", to).unwrap();
    }
}

/// Packets of the sentence that contains these words.
fn hits(status: &Value, words: &str) -> u64 {
    let sentences = status["sentences"].as_array().unwrap();
    let one = sentences.iter().find(|one| one["sentence"].as_str().unwrap().contains(words));
    one.unwrap_or_else(|| panic!("no sentence says {words}: {status:#}"))["packets"].as_u64().unwrap()
}

fn status(folder: &Folder) -> Value {
    folder.run(["status", "--json"]).well().json()
}

/// Two listings are the same, line by line.
#[track_caller]
fn same(ours: &str, oracle: &str) {
    let odd = ours.lines().zip(oracle.lines()).find(|(a, b)| a != b);
    assert_eq!(odd.map(|(ours, _)| ours), odd.map(|(_, oracle)| oracle));
    assert_eq!(ours.lines().count(), oracle.lines().count());
    assert!(ours.lines().count() > 100 && ours == oracle);
}

/// Without the time that no test can know.
fn timeless(text: &str) -> String {
    let lines = text.lines().map(|line| match (line.rsplit_once(" in "), line.split_once("  20")) {
        (Some((before, after)), _) if after.ends_with(" ms") => format!("{before} in … ms"),
        (_, Some((before, after))) if line.starts_with("  generation ") => {
            format!("{before}  …{}", after.split_once('Z').map_or("", |(_, rest)| rest))
        }
        _ => line.to_owned(),
    });
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// The first promise of all: under `DOORWARD_FORBID_HOST=1` the host's own namespace is left alone.
#[test]
fn the_host_itself_is_refused() {
    // Where it could load something it must not be tried.
    if guard::refuse_host(true).is_ok() {
        skip::skip("the tests run in a namespace of somebody's own, which nothing forbids");
        return;
    }
    let folder = Folder::new().with("policy.dw", POLICY);
    for args in [&["apply", "--no-trial", "policy.dw"][..], &["apply", "--no-trial", "missing.dw"]] {
        let said = folder.run(args);
        assert_eq!(said.exit, Some(4), "{said:#?}");
        assert!(said.err.contains("the host's own network namespace"), "{}", said.err);
        assert!(said.err.ends_with("nothing was loaded\n"), "{}", said.err);
        assert_eq!(said.out, "");
    }
    assert!(!folder.path().join("state").exists(), "it is refused before anything else is done");
    let json = folder.run(["apply", "--no-trial", "--json", "policy.dw"]);
    assert_eq!((json.exit, json.json()["error"]["exit"].as_u64()), (Some(4), Some(4)));
}

#[test]
fn transcripts() {
    let Some((_own, _socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY).with("short.dw", "allow ssh\nallow out 5400/udp\n");
    let mut text = String::new();
    let mut say = |args: &[&str]| {
        let said = folder.run(args);
        write!(text, "$ doorward {}\n{}", args.join(" "), timeless(&said.out)).unwrap();
        if !said.err.is_empty() {
            write!(text, "-- standard error\n{}", said.err).unwrap();
        }
        write!(text, "-- exit {}\n\n", said.exit.unwrap()).unwrap();
    };
    say(&["status"]);
    say(&["show"]);
    say(&["apply", "--no-trial", "policy.dw"]);
    send("198.51.100.9:5400", 3);
    say(&["status"]);
    say(&["apply", "--no-trial", "short.dw"]);
    nft(&["-f", "-"], "table ip other { chain y { type filter hook input priority 5; policy drop; }\n}\n");
    say(&["status"]);
    say(&["apply", "--no-trial", "policy.dw"]);
    golden("apply.txt", &text);
}

#[test]
fn json_shapes() {
    let Some((_own, _socket)) = namespace() else { return };
    let folder = Folder::new()
        .with("policy.dw", "allow ssh\ndefault reject forward\n")
        .with("next.dw", "allow http\n");
    let inactive = status(&folder);
    let boot = serde_json::json!({ "state": "disabled", "init": null, "program": null, "why": [] });
    let nothing = Value::Null;
    let changed = serde_json::json!({ "sentences": [], "lists": [] });
    let expected = serde_json::json!({
        "active": false, "trial": nothing, "confirmed": nothing, "boot": boot, "changed": changed, "others": []
    });
    assert_eq!(inactive, expected);
    let applied = folder.run(["apply", "--no-trial", "--json", "policy.dw"]).well().json();
    let applied = without_figure(without_figure(applied, "milliseconds"), "kernel_rules");
    golden("json/apply.json", &format!("{applied:#}\n"));
    nft(&["-f", "-"], "table ip other { chain y { type filter hook input priority 5; policy drop; }\n}\n");
    let mut told = status(&folder);
    assert!(told["confirmed"]["when"].take().as_str().unwrap().ends_with('Z'));
    golden("json/status.json", &format!("{told:#}\n"));
    let mut shown = folder.run(["show", "--all", "--json"]).well().json();
    for table in shown["tables"].as_array_mut().unwrap() {
        assert!(table["text"].as_str().unwrap().starts_with("table "));
        table["text"] = "…".into();
    }
    golden("json/show.json", &format!("{shown:#}\n"));
}

/// Hits belong to the sentence, wherever it stands in the next text.
#[test]
fn counters_survive() {
    let Some((_own, _socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY);
    apply(&folder, "policy.dw").well();
    send("198.51.100.9:5400", 5);
    assert_eq!(hits(&status(&folder), "out 5400/udp"), 5);
    folder.write("policy.dw", format!("# moved\n\n{POLICY}allow 9999/tcp\n"));
    apply(&folder, "policy.dw").well();
    let after = status(&folder);
    assert_eq!((hits(&after, "out 5400/udp"), after["generation"].as_u64()), (5, Some(2)));
    send("198.51.100.9:5400", 2);
    assert_eq!(hits(&status(&folder), "out 5400/udp"), 7);
    // What is gone is told, with what it had.
    folder.write("policy.dw", "allow ssh\n");
    let gone = folder.run(["apply", "--no-trial", "--json", "policy.dw"]).well().json();
    assert_eq!(gone["gone"][0]["sentence"], "allow out 5400/udp");
    assert_eq!(gone["gone"][0]["packets"], 7);
}

/// Nobody is let out of the ban set by a new policy.
#[test]
fn bans_survive() {
    let Some((_own, socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY).with("next.dw", "allow http\n");
    apply(&folder, "policy.dw").well();
    let mut ban = Transaction::on(TableFamily::Inet, TABLE);
    let set = socket.read_headers(&ours()).unwrap().ruleset.tables[0].set("ban4").unwrap().clone();
    ban.steps.push(Step::AddElements {
        set: set.name.clone(),
        flags: set.flags,
        key_len: set.key_len,
        elements: Elements::Full(vec![Element {
            timeout: Some(3_600_000),
            ..Element::of(vec![192, 0, 2, 99])
        }]),
    });
    socket.commit(&ban, None).unwrap();
    for file in ["policy.dw", "next.dw"] {
        apply(&folder, file).well();
        let tables = socket.read(&ours()).unwrap().ruleset.tables;
        let Elements::Full(banned) = &tables[0].set("ban4").unwrap().elements else {
            panic!("bans have times")
        };
        assert_eq!(banned.len(), 1, "{file}");
        assert_eq!(banned[0].key, [192, 0, 2, 99]);
        assert!(banned[0].expiration.unwrap() > 3_500_000);
    }
}

fn ours() -> Scope {
    Scope::Table(TableFamily::Inet, TABLE.to_owned())
}

/// Several at once take turns: each ends well, and one generation is left.
#[test]
fn one_at_a_time() {
    const AT_ONCE: usize = 6;
    let Some((_own, socket)) = namespace() else { return };
    let folder = Folder::new();
    let start = |number| {
        let file = format!("{number}.dw");
        folder.write(&file, format!("{POLICY}allow {}/tcp\n", 9000 + number));
        let mut command = folder.doorward();
        command.args(["apply", "--no-trial", "--json", &file]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..AT_ONCE).map(start).collect();
    let mut generations: Vec<u64> = children
        .into_iter()
        .map(|child| {
            Said::of(&child.wait_with_output().unwrap()).well().json()["generation"].as_u64().unwrap()
        })
        .collect();
    generations.sort_unstable();
    assert_eq!(generations, (1..=AT_ONCE as u64).collect::<Vec<_>>());
    let tables = socket.read_headers(&ours()).unwrap().ruleset.tables;
    let left: std::collections::BTreeSet<_> =
        tables[0].chains.iter().filter_map(|chain| doorward::compile::generation_of(&chain.name)).collect();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [6]);
}

/// A waiting second one says for whom it waits only on a terminal, and gets its turn.
#[test]
fn the_lock_is_waited_for() {
    let Some((_own, _socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", "allow ssh\n");
    apply(&folder, "policy.dw").well();
    let lock = std::fs::File::open(folder.path().join("state/lock")).unwrap();
    lock.lock().unwrap();
    let mut child =
        folder.doorward().args(["apply", "--no-trial", "policy.dw"]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    lock.unlock().unwrap();
    Said::of(&child.wait_with_output().unwrap()).well();
}

/// A transaction that the kernel refuses changes nothing, and the refusal is told in words of the policy.
#[test]
fn a_refusal_leaves_what_was() {
    let Some((_own, socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY);
    // A set of ours that somebody made anew with keys of another length.
    let mut odd = Set::over("ban4", &[KeyPart::Network(8, 16)]);
    odd.flags = set_flags::TIMEOUT | set_flags::EVAL;
    odd.size = Some(10);
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    transaction.steps = vec![
        Step::AddTable { flags: 0, udata: doorward::ruleset::Udata::default() },
        Step::AddSet(odd),
        Step::AddChain { name: "mine".to_owned(), base: None, udata: doorward::ruleset::Udata::default() },
        Step::AddRule { chain: "mine".to_owned(), rule: Rule::new(Vec::new()).commented("p.dw:1 allow x") },
    ];
    socket.commit(&transaction, None).unwrap();
    let before = socket.read(&ours()).unwrap();
    let said = apply(&folder, "policy.dw");
    assert_eq!(said.exit, Some(5), "{said:#?}");
    assert!(said.err.contains("the kernel refused what is built in (banned):"), "{}", said.err);
    assert!(said.err.ends_with("nothing was loaded\n"), "{}", said.err);
    assert_eq!(socket.read(&ours()).unwrap(), before);
    assert!(!folder.path().join("state/confirmed").exists(), "what the kernel did not take is not confirmed");
    assert!(!folder.path().join("state/.new-confirmed").exists());
}

/// Ordinary users are told what they need; nothing changes.
#[test]
fn without_permission() {
    use std::os::unix::process::CommandExt;
    let Some((_own, socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY).with("state/lock", "");
    for path in ["state", "state/lock"] {
        std::os::unix::fs::chown(folder.path().join(path), Some(65_534), Some(65_534)).unwrap();
    }
    let before = socket.generation().unwrap();
    for args in [&["apply", "--no-trial", "policy.dw"][..], &["status"], &["show"]] {
        let mut command = folder.doorward();
        // Another user has no capability here, and may not look which namespace is the host's: that would be
        // refused before anything else.
        command.env_remove("DOORWARD_FORBID_HOST");
        let output = command.args(args).uid(65_534).gid(65_534).output();
        let Ok(output) = output else {
            skip::skip("the program cannot be started by other users from where it was built");
            return;
        };
        let said = Said::of(&output);
        assert_eq!(said.exit, Some(5), "{args:?}: {said:#?}");
        assert!(said.err.contains("run it as root"), "{args:?}: {}", said.err);
    }
    assert_eq!(socket.generation().unwrap(), before);
}

/// Whoever can change the policy has the firewall: root alone may.
#[test]
fn files_of_others_are_refused() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let Some((_own, socket)) = namespace() else { return };
    let folder = Folder::new()
        .with("policy.dw", "include \"more.dw\"\ndefine spam = file \"spam.txt\"\nblock from spam\n")
        .with("more.dw", "allow ssh\n")
        .with("spam.txt", "192.0.2.1\n");
    apply(&folder, "policy.dw").well();
    let before = socket.generation().unwrap();
    for file in ["policy.dw", "more.dw", "spam.txt"] {
        let path = folder.path().join(file);
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o666);
        let said = apply(&folder, "policy.dw");
        assert_eq!(said.exit, Some(4), "{file}: {said:#?}");
        assert!(said.err.contains("can be changed by everybody"), "{}", said.err);
        mode(0o644);
        chown(&path, Some(1), None).unwrap();
        let said = apply(&folder, "policy.dw");
        assert_eq!(said.exit, Some(4), "{file}: {said:#?}");
        assert!(said.err.contains("belongs to user 1"), "{}", said.err);
        chown(&path, Some(0), None).unwrap();
    }
    assert_eq!(socket.generation().unwrap(), before);
    apply(&folder, "policy.dw").well();
}

/// Who may write to a folder puts other files in the place of those that are root's.
#[test]
fn folders_of_others_are_refused() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let Some((_own, socket)) = namespace() else { return };
    let folder = Folder::new()
        .with("policy.dw", "include \"more.d\"\ndefine spam = file \"lists/spam.txt\"\nblock from spam\n")
        .with("more.d/ssh.dw", "allow ssh\n")
        .with("lists/spam.txt", "192.0.2.1\n");
    // The state is elsewhere: what lies below a folder of others is refused before the policy is looked at.
    let state = Folder::new();
    let apply = |folder: &Folder, file: &str| {
        folder.run(["apply", "--no-trial", "--state", state.path().to_str().unwrap(), file])
    };
    apply(&folder, "policy.dw").well();
    let before = socket.generation().unwrap();
    for inner in [".", "more.d", "lists"] {
        let path = folder.path().join(inner);
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for (open, why) in [(0o777, "can be changed by everybody"), (0o775, "can be changed by group 1")] {
            chown(&path, None, Some(1)).unwrap();
            mode(open);
            let said = apply(&folder, "policy.dw");
            assert_eq!(said.exit, Some(4), "{inner}: {said:#?}");
            assert!(said.err.contains(why), "{inner}: {}", said.err);
            assert!(said.err.contains("sudo chmod go-w "), "{inner}: {}", said.err);
        }
        mode(0o755);
        chown(&path, Some(1), Some(0)).unwrap();
        let said = apply(&folder, "policy.dw");
        assert_eq!(said.exit, Some(4), "{inner}: {said:#?}");
        assert!(said.err.contains("belongs to user 1"), "{inner}: {}", said.err);
        chown(&path, Some(0), None).unwrap();
    }
    assert_eq!(socket.generation().unwrap(), before);
    // Where everybody may write and nobody replaces what is another's, like /tmp.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    apply(&folder, "policy.dw").well();
}

/// What is wrong with a policy is found before the kernel hears of it.
#[test]
fn mistakes_load_nothing() {
    let Some((_own, socket)) = namespace() else { return };
    let folder = Folder::new()
        .with("wrong.dw", "allow shh\n")
        .with("broken.dw", "allow ssh\nexpect ssh from anyone is blocked\n");
    let before = socket.generation().unwrap();
    for (file, exit) in [("wrong.dw", 3), ("broken.dw", 4), ("missing.dw", 5)] {
        let said = apply(&folder, file);
        assert_eq!(said.exit, Some(exit), "{file}: {said:#?}");
        assert!(said.err.ends_with("nothing was loaded\n"), "{}", said.err);
        assert_eq!(said.out, "");
        let json = folder.run(["apply", "--no-trial", "--json", file]);
        assert_eq!(json.exit, Some(exit));
        assert_eq!(json.json()["error"]["exit"], exit);
        assert_eq!(json.err, "");
    }
    assert_eq!(socket.generation().unwrap(), before);
}

/// `export` loads with `nft -f`, and `nft` lists the same as after our own load.
#[test]
fn export_is_what_apply_loads() {
    for policy in
        [POLICY, "allow ping\nallow ssh\nallow http, https\n", "default allow in\nblock from 192.0.2.0/24\n"]
    {
        let Some((_own, _socket)) = namespace() else { return };
        let folder = Folder::new().with("policy.dw", policy);
        apply(&folder, "policy.dw").well();
        let ours = nft(&["list", "ruleset"], "");
        let exported = folder.run(["export", "--format", "nft", "policy.dw"]).well();
        assert_eq!(exported.err, "");
        let _other = OwnNetNs::make().unwrap();
        nft(&["-f", "-"], &exported.out);
        same(&ours, &nft(&["list", "ruleset"], ""));
    }
}

/// `show` decodes the kernel by itself, and says what `nft` says.
#[test]
fn show_is_what_nft_lists() {
    let Some((_own, _socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY);
    apply(&folder, "policy.dw").well();
    send("198.51.100.9:5400", 1);
    same(&folder.run(["show"]).well().out, &nft(&["list", "table", "inet", "doorward"], ""));
    nft(
        &["-f", "-"],
        "table ip other { chain y { type filter hook input priority 5; tcp dport 22 ct state new counter accept; }\n}\n",
    );
    same(&folder.run(["show", "--all"]).well().out, &nft(&["list", "ruleset"], ""));
}

/// A session from before the first load, of which conntrack has seen nothing, goes on; also over a second load.
#[test]
fn the_first_load_cuts_nobody() {
    let Some((own, _socket)) = namespace() else { return };
    let host = own;
    let outside = OwnNetNs::make().unwrap();
    let links = Links::open().unwrap();
    links.add_veth("wire", "wire", host.namespace()).unwrap();
    let up = |addr: &str| {
        let links = Links::open().unwrap();
        let link = links.link("wire").unwrap().unwrap();
        links.set_up(link.index).unwrap();
        links.add_address(link.index, addr.parse().unwrap(), 24).unwrap();
    };
    up("192.0.2.2");
    host.namespace().enter().unwrap();
    up("192.0.2.1");
    let listener = TcpListener::bind("192.0.2.1:22").unwrap();
    outside.namespace().enter().unwrap();
    let mut client = TcpStream::connect("192.0.2.1:22").unwrap();
    let mut idle = TcpStream::connect("192.0.2.1:22").unwrap();
    let mut server = listener.accept().unwrap().0;
    let mut idle_server = listener.accept().unwrap().0;
    host.namespace().enter().unwrap();
    let folder = Folder::new().with("policy.dw", "allow http\n");
    let first = folder.run(["apply", "--no-trial", "--json", "policy.dw"]).well().json();
    assert_eq!((first["first"].as_bool(), first["carried"].as_u64()), (Some(true), Some(2)), "{first:#}");
    let talks = |a: &mut TcpStream, b: &mut TcpStream| {
        let mut byte = [0];
        b.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        a.write_all(b"x").unwrap();
        b.read_exact(&mut byte).unwrap();
    };
    talks(&mut client, &mut server);
    talks(&mut server, &mut client);
    let again = folder.run(["apply", "--no-trial", "--json", "policy.dw"]).well().json();
    assert_eq!(again["ended"], "unchanged");
    folder.write("policy.dw", "# another line\nallow http\n");
    let second = folder.run(["apply", "--no-trial", "--json", "policy.dw"]).well().json();
    assert_eq!((second["first"].as_bool(), second["carried"].as_u64()), (Some(false), Some(0)));
    talks(&mut client, &mut server);
    // One that had nothing to say until now.
    talks(&mut idle, &mut idle_server);
    // And nobody new: ssh is not among the sentences.
    outside.namespace().enter().unwrap();
    let new = TcpStream::connect_timeout(&"192.0.2.1:22".parse().unwrap(), Duration::from_millis(700));
    assert!(new.is_err());
}

/// Memory of the whole process at its most, read when all is done but closing.
#[test]
fn apply_is_small() {
    // Without optimisation the program's own code takes more.
    const MOST_KIB: u64 = if cfg!(debug_assertions) { 20 * 1024 } else { 8 * 1024 };
    let Some((_own, _socket)) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY);
    for round in 0..2 {
        folder.write("policy.dw", format!("{POLICY}allow {}/tcp\n", 9000 + round));
        // The process stops in the middle of what it says: nobody makes room in the pipe.
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let full = vec![b'\n'; 1 << 16];
        writer.write_all(&full).unwrap();
        let mut child =
            folder.doorward().args(["apply", "--no-trial", "policy.dw"]).stdout(writer).spawn().unwrap();
        let peak = peak_when_it_waits(child.id());
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(text.contains(" is in force: "), "{text}");
        assert!(peak > 500 && peak <= MOST_KIB, "{peak} KiB");
    }
}

fn peak_when_it_waits(pid: u32) -> u64 {
    let began = Instant::now();
    let mut waited = 0;
    loop {
        assert!(began.elapsed() < Duration::from_secs(20), "process {pid} does not get to its end");
        std::thread::sleep(Duration::from_millis(10));
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        waited = if of("State:").contains("S (sleeping)") { waited + 1 } else { 0 };
        if waited >= 20 {
            return of("VmHWM:").trim().trim_end_matches(" kB").parse().unwrap();
        }
    }
}
