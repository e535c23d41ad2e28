//! A rehearsal agrees where the kernel keeps the promise, for root and for anybody, and disagrees where it does not.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that anybody may read, with the program, the examples and some policies in it.
struct Stage(PathBuf);

impl Stage {
    fn new(name: &str) -> Stage {
        let folder = std::env::temp_dir().join(format!("doorward-rehearse-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let stage = Stage(folder);
        tool::place_program(&stage.0.join("doorward"));
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"), &stage.0);
        open_to_all(&stage.0);
        stage
    }

    fn policy(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path.to_string_lossy().into_owned()
    }

    /// Runs `doorward rehearse`; as nobody where asked for.
    fn rehearse(&self, nobody: bool, args: &[&str]) -> Output {
        let program = self.0.join("doorward");
        let mut command = if nobody {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.0).env("DOORWARD_FORBID_HOST", "1").arg("rehearse").args(args);
        command.output().unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn open_to_all(path: &Path) {
    let is_folder = path.is_dir();
    let mode = if is_folder || path.ends_with("doorward") { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if is_folder {
        for entry in fs::read_dir(path).unwrap() {
            open_to_all(&entry.unwrap().path());
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn agrees(output: &Output) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("the kernel keeps the promise of all"), "{text}");
}

/// Whether an ordinary user may make namespaces here, asked of another program than ours.
fn users_may() -> bool {
    let unshare = ["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urn", "true"];
    Command::new("setpriv").args(unshare).status().is_ok_and(|status| status.success())
}

#[test]
fn all_examples_agree_as_root() {
    if skip::without_root() {
        return;
    }
    let stage = Stage::new("root");
    for example in ["three-lines.dw", "vps.dw", "gateway.dw", "full.dw"] {
        let output = stage.rehearse(false, &[example]);
        agrees(&output);
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in table.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn all_examples_agree_as_nobody() {
    if skip::without_root() {
        return;
    }
    let stage = Stage::new("nobody");
    if !users_may() {
        let output = stage.rehearse(true, &["three-lines.dw"]);
        assert_eq!(output.status.code(), Some(5), "{}", text(&output));
        assert!(text(&output).contains("sudo doorward rehearse"), "{}", text(&output));
        skip::skip("users may make no namespaces here");
        return;
    }
    for example in ["three-lines.dw", "vps.dw", "gateway.dw", "full.dw"] {
        agrees(&stage.rehearse(true, &[example]));
    }
}

/// Ruling 20: where the system forbids it, exit 5 with the ways out, and never a claim.
#[test]
fn a_system_that_forbids_it_is_told() {
    if skip::without_root() {
        return;
    }
    let stage = Stage::new("forbidden");
    // Without capabilities, and where no user namespace may be made.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec setpriv --bounding-set=-all --inh-caps=-all ./doorward rehearse vps.dw";
    let mut command = Command::new("unshare");
    let output = command.args(["-Ur", "sh", "-c", script]).current_dir(&stage.0).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(output.stdout.is_empty(), "{}", text(&output));
    for words in ["this system does not let you", "sudo doorward rehearse", "AppArmor"] {
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

#[test]
fn limits_are_spent_when_asked() {
    if skip::without_root() {
        return;
    }
    let stage = Stage::new("limits");
    let policy =
        stage.policy("limits.dw", "allow ssh limit 3/minute per source\nallow 2222/tcp limit 1/hour\n");
    let output = stage.rehearse(false, &["--limits", &policy]);
    agrees(&output);
    for words in ["(the first 3)", "(one more)", "(the first 1)"] {
        let json: Value =
            serde_json::from_slice(&stage.rehearse(false, &["--limits", "--json", &policy]).stdout).unwrap();
        let doors = json["doors"].as_array().unwrap();
        assert!(doors.iter().any(|door| door["words"].as_str().unwrap().contains(words)), "{json:#}");
    }
    let output = stage.rehearse(false, &[&policy]);
    assert!(text(&output).contains("limits.dw:1: its limit was not spent"), "{}", text(&output));
}

#[test]
fn json_has_every_door() {
    if skip::without_root() {
        return;
    }
    let stage = Stage::new("json");
    let output = stage.rehearse(false, &["--json", "vps.dw"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["agrees"], true);
    let doors = json["doors"].as_array().unwrap();
    let ssh = doors.iter().find(|door| door["sentence"]["sentence"] == "allow ssh").unwrap();
    assert_eq!(ssh["sentence"]["line"], 12);
    assert_eq!(ssh["promised"], "allow");
    assert_eq!((&ssh["ipv4"]["allow"], &ssh["ipv6"]["allow"]), (&Value::from(1), &Value::from(1)));
    assert!(json["packets"].as_u64().unwrap() > 400, "{json:#}");
    for door in doors {
        let tried = |family: &str| door[family].as_object().unwrap().values().any(|n| *n != 0);
        assert!(tried("ipv4") || tried("ipv6"), "a door that nobody tried: {door}");
    }
}

/// A rehearsal that cannot disagree is a defect: with each of these loaded instead, it finds the door.
#[test]
#[cfg(debug_assertions)]
fn another_policy_in_the_kernel_is_found() {
    if skip::without_root() {
        return;
    }
    const TRUE: &str = "allow ping\nallow ssh from 203.0.113.0/24\nreject 113/tcp\nallow published 8080/tcp\n\
                        block out smtp by user 33\nblock from 198.51.100.64/26\nallow 443/tcp, 443/udp\n";
    let stage = Stage::new("sabotage");
    let policy = stage.policy("true.dw", TRUE);
    agrees(&stage.rehearse(false, &["--load-instead", &policy, &policy]));
    let mut shown = 0;
    for (name, from, to, door) in [
        ("no-ping", "allow ping\n", "", "allow ping"),
        ("ssh-for-all", "ssh from 203.0.113.0/24", "ssh", "allow ssh from 203.0.113.0/24"),
        ("ssh-one-more", "203.0.113.0/24", "203.0.112.0/23", "allow ssh from 203.0.113.0/24"),
        ("ssh-one-less", "203.0.113.0/24", "203.0.113.0-203.0.113.254", "allow ssh from 203.0.113.0/24"),
        ("silent", "reject 113/tcp", "block 113/tcp", "reject 113/tcp"),
        ("open-113", "reject 113/tcp", "allow 113/tcp", "reject 113/tcp"),
        ("next-door", "8080/tcp", "8080-8081/tcp", "allow published 8080/tcp"),
        ("unpublished", "published 8080/tcp", "8080/tcp", "allow published 8080/tcp"),
        ("anybody", "block out smtp by user 33", "block out smtp by user 34", "block out smtp by user 33"),
        ("everybody", "block out smtp by user 33", "block out smtp", "block out smtp by user 33"),
        ("unblocked", "block from 198.51.100.64/26\n", "", "block from 198.51.100.64/26"),
        ("no-quic", ", 443/udp", "", "allow 443/tcp, 443/udp"),
        ("one-family", "allow ping", "allow ping from 0.0.0.0/0", "allow ping"),
        ("all-open", "allow ping", "default allow in", "default block in"),
        ("shut-out", "allow ping", "allow ping\ndefault block out", "default allow out"),
        ("forwards", "allow ping", "allow ping\ndefault allow forward", "default block forward"),
        ("neighbours", "allow ping", "allow ping\nblock icmp neighbour-solicitation", "neighbour discovery"),
    ] {
        assert!(TRUE.contains(from), "{name}");
        let other = stage.policy(&format!("{name}.dw"), &TRUE.replace(from, to));
        let output = stage.rehearse(false, &["--json", "--load-instead", &other, &policy]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", text(&output));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = json["disagreements"].as_array().unwrap();
        let names_it = |one: &Value| one["words"].as_str().unwrap().contains(door);
        assert!(found.iter().any(names_it), "{name}: {json:#}");
        shown += counterexamples(name, &json);
    }
    println!("{shown} counterexamples sent as packets, and each does what is said of it");
}

/// What `plan` and `verify` show that the loaded policy is not the promised one: each such packet was sent, and the
/// kernel did with it what they say. How many there were.
#[cfg(debug_assertions)]
fn counterexamples(name: &str, json: &Value) -> usize {
    let said = |door: &&Value| {
        let words = door["words"].as_str().unwrap();
        words.starts_with("plan: ") || words.starts_with("verify: ")
    };
    let doors: Vec<&Value> = json["doors"].as_array().unwrap().iter().filter(said).collect();
    assert!(!doors.is_empty(), "{name}: no packet shows it: {json:#}");
    for door in &doors {
        assert_eq!(door["agrees"], false, "{name}: the kernel does not do what is said: {door}");
        assert!(["ipv4", "ipv6"].iter().any(|family| door[family]["untried"] == 0), "{name}: {door}");
    }
    doors.len()
}

/// The same for what is translated: another end, none, and more than is said.
#[test]
#[cfg(debug_assertions)]
fn another_translation_in_the_kernel_is_found() {
    if skip::without_root() {
        return;
    }
    const TRUE: &str = "masquerade from 10.0.0.0/24, fd00::/64 on eth0\nallow forward anything from 10.0.0.0/24, \
                        fd00::/64\nredirect 80/tcp to 8080\nallow http\npublish 2222/tcp to 10.0.0.5:22\n\
                        publish 2222/tcp to [fd00::5]:22\nallow published 2222/tcp\n";
    let stage = Stage::new("translated");
    let policy = stage.policy("true.dw", TRUE);
    agrees(&stage.rehearse(false, &["--load-instead", &policy, &policy]));
    for (name, from, to, door) in [
        ("seen", "masquerade from 10.0.0.0/24, fd00::/64 on eth0\n", "", "masquerade"),
        (
            "seen-by-six",
            "masquerade from 10.0.0.0/24, fd00::/64",
            "masquerade from 10.0.0.0/24",
            "masquerade",
        ),
        ("elsewhere", "80/tcp to 8080", "80/tcp to 8081", "redirect 80/tcp to 8080"),
        ("stays", "redirect 80/tcp to 8080\n", "", "redirect 80/tcp to 8080"),
        ("somebody-else", "10.0.0.5:22", "10.0.0.6:22", "publish 2222/tcp to 10.0.0.5:22"),
        ("another-door", "[fd00::5]:22", "[fd00::5]:23", "publish 2222/tcp to [fd00::5]:22"),
        ("unpublished", "publish 2222/tcp to 10.0.0.5:22\n", "", "publish 2222/tcp to 10.0.0.5:22"),
        ("shut", "allow published 2222/tcp\n", "", "allow published 2222/tcp"),
    ] {
        assert!(TRUE.contains(from), "{name}");
        let other = stage.policy(&format!("{name}.dw"), &TRUE.replace(from, to));
        let output = stage.rehearse(false, &["--json", "--load-instead", &other, &policy]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", text(&output));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = json["disagreements"].as_array().unwrap();
        let names_it = |one: &Value| one["words"].as_str().unwrap().contains(door);
        assert!(found.iter().any(names_it), "{name}: {json:#}");
    }
}

#[test]
fn mistakes_end_with_their_own_codes() {
    let stage = Stage::new("codes");
    let wrong = stage.policy("wrong.dw", "allow shh\n");
    assert_eq!(stage.rehearse(false, &[&wrong]).status.code(), Some(3));
    assert_eq!(stage.rehearse(false, &["--nonsense"]).status.code(), Some(2));
}
