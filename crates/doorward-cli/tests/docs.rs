//! Every page of `docs/` does what it shows: its policies are policies, and its commands say what stands below them.
//!
//! `UPDATE_DOCS=1` writes what is said now into the pages: read the difference before it is kept. A line `…` stands
//! for whatever is said there.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::netns::OwnNetNs;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tool::{Folder, Said};

/// What the pages speak of: an uplink in both families, another interface, two bridges, a tunnel.
const NETWORK: &str = "
ip link set lo up
ip link add eth0 type veth peer name far0
ip link add eth1 type veth peer name far1
ip link add wg0 type veth peer name far2
ip link add docker0 type bridge
ip link add br-1a2b3c type bridge
for name in eth0 far0 eth1 far1 wg0 far2 docker0 br-1a2b3c; do ip link set $name up; done
ip addr add 203.0.113.2/24 dev eth0
ip addr add 2001:db8::2/64 dev eth0 nodad
ip addr add 10.9.0.1/24 dev wg0
ip addr add fd00:9::1/64 dev wg0 nodad
ip route add default via 203.0.113.1
ip -6 route add default via 2001:db8::1
";
const ACCOUNTS: &str = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\n\
                        postfix:x:105:113::/:/bin/false\n";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// A host of its own: its network, its `/etc/doorward`, its accounts, its state.
struct Host {
    folder: Folder,
    _own: OwnNetNs,
}

impl Host {
    /// From here on the thread of the test is in it.
    fn new() -> Host {
        let own = OwnNetNs::make().unwrap();
        let folder = Folder::new().with("upper/passwd", ACCOUNTS).with("upper/doorward/policy.dw", "");
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).unwrap();
        let host = Host { folder, _own: own };
        // A folder that lies on an overlay itself can be no upper one: memory can.
        let memory = host.folder.path().join("memory");
        fs::create_dir(&memory).unwrap();
        mount(Some("tmpfs"), &memory, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        let script = format!(
            "set -e\ncd {}\nmkdir memory/work\ncp -a upper memory/upper\nmount -t overlay overlay \
             -o lowerdir=/etc,upperdir=memory/upper,workdir=memory/work /etc\n{NETWORK}",
            host.folder.path().display()
        );
        host.sh(&script).well();
        host
    }

    /// A line as the page shows it.
    fn sh(&self, line: &str) -> Said {
        let bin = Path::new(env!("CARGO_BIN_EXE_doorward")).parent().unwrap();
        let out = Command::new("sh")
            .args(["-c", line])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()))
            .env("DOORWARD_FORBID_HOST", "1")
            .env("DOORWARD_STATE", self.folder.path().join("state"))
            .env("DOORWARD_ROOT", self.folder.path().join("root"))
            .env("COLUMNS", "80")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said::of(&out)
    }

    fn policy(&self, text: &str, page: &str) {
        fs::write("/etc/doorward/policy.dw", text).unwrap();
        let said = self.sh("doorward check");
        assert_eq!(said.exit, Some(0), "{page}:\n{text}\n{said:#?}");
        // What a page tells to write is tried with packets, too.
        if page != "policy.md" {
            let said = self.sh("doorward rehearse");
            assert_eq!(said.exit, Some(0), "{page}:\n{text}\n{said:#?}");
        }
        // The specification shows what is warned of.
        let warned = (said.out + &said.err).contains("warning:");
        assert!(page == "policy.md" || !warned, "{page}:\n{text}\n{}", self.sh("doorward check").out);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A folder that something is mounted on cannot be removed. What stays here goes with the thread.
        for place in [Path::new("/etc"), &self.folder.path().join("memory")] {
            let _ = umount2(place, MntFlags::MNT_DETACH);
        }
    }
}

/// What differs from run to run: times, moments and process numbers.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(at);
        out.push_str(before);
        let end = digits.find(|c: char| !c.is_ascii_digit() && !".:-TZ".contains(c)).unwrap_or(digits.len());
        let (number, behind) = digits.split_at(end);
        let unit = [" ms", " µs", " s", "s"].iter().find(|unit| {
            behind.strip_prefix(**unit).is_some_and(|next| !next.starts_with(|c: char| c.is_alphanumeric()))
        });
        let moment = number.starts_with("20") && number.matches('-').count() == 2;
        out.push_str(if unit.is_some() || moment { "N" } else { number });
        rest = behind;
    }
    out + rest
}

/// Without what the host hit by itself meanwhile: what is built in is told where it was hit.
fn quiet(text: &str) -> String {
    let hit = |line: &&str| {
        line.ends_with("  built in") && line.trim_start().starts_with(|c: char| c.is_ascii_digit())
    };
    text.split_inclusive('\n').filter(|line| !hit(&line.trim_end())).collect()
}

/// Whether what was said is what is shown.
fn is_as_shown(shown: &str, said: &str) -> bool {
    let (shown, said) = (&quiet(shown), &quiet(said));
    match shown.split_once("…\n") {
        None => masked(shown).trim_end() == masked(said).trim_end(),
        Some((before, after)) => {
            let (before, after, said) = (masked(before), masked(after), masked(said));
            said.starts_with(&before) && said.trim_end().ends_with(after.trim_end())
        }
    }
}

/// Runs the commands of one block; the block as it should be.
fn console(host: &Host, block: &str, page: &str, wrong: &mut Vec<String>) -> String {
    let mut now = String::new();
    for part in block.split("$ ").filter(|part| !part.is_empty()) {
        let (line, shown) = part.split_once('\n').unwrap_or((part, ""));
        let said = host.sh(line);
        let text = said.out.clone() + &said.err;
        let claims = matches!(said.exit, Some(0 | 1));
        assert!(claims, "{page}: {line}: {said:#?}");
        now.extend(["$ ", line, "\n"]);
        if is_as_shown(shown, &text) {
            now.push_str(shown);
        } else {
            now.push_str(&text);
            wrong.push(format!("{page}: {line}\nsays:\n{text}\nis shown:\n{shown}"));
        }
    }
    now
}

fn page(name: &str) {
    let host = Host::new();
    let text = fs::read_to_string(docs().join(name)).unwrap();
    let (mut now, mut wrong) = (String::new(), Vec::new());
    let mut rest = text.as_str();
    while let Some((before, fenced)) = rest.split_once("```") {
        let (kind, block) = fenced.split_once('\n').unwrap();
        let (block, behind) = block.split_once("```").unwrap();
        let block = match kind {
            "dw" => {
                host.policy(block, name);
                block.to_owned()
            }
            "console" => console(&host, block, name, &mut wrong),
            _ => block.to_owned(),
        };
        now.extend([before, "```", kind, "\n", &block, "```"]);
        rest = behind;
    }
    now.push_str(rest);
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(docs().join(name), now).unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_DOCS=1 writes it", wrong.join("\n"));
}

#[test]
fn pages_do_what_they_show() {
    if skip::without_root() {
        return;
    }
    let paths = fs::read_dir(docs()).unwrap().map(|entry| entry.unwrap().path());
    let pages = paths.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let mut names: Vec<String> =
        pages.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        // Each in a host of its own, as a thread can be in one.
        std::thread::spawn(move || page(&name)).join().unwrap();
    }
}

/// The masks hide figures, and nothing else.
#[test]
fn masks() {
    assert_eq!(masked("took 12.5 ms, 3 doors, port 22 is"), "took N ms, 3 doors, port 22 is");
    assert_eq!(masked("for 90s at 2026-11-27T09:00:00Z."), "for Ns at N");
    assert_eq!(masked("203.0.113.0/24"), "203.0.113.0/24");
    assert!(is_as_shown("a\n…\nz\n", "a\nb\nz\n") && !is_as_shown("a\n…\nz\n", "b\nz\n"));
}
