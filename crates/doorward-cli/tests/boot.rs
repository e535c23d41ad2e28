//! `boot` after everything that can happen to what is kept: it falls back, and says so; it never leaves the host open.
//!
//! What a test starts runs in the network and mount namespaces of the test's thread. To take our table away there is
//! what a boot is to the kernel.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward::compile;
use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, Scope, Socket};
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tool::{Folder, Said};

/// The first and the second generation; the second is confirmed.
const BEFORE: &str = "allow ssh, http\n";
const LAST: &str = "allow ssh\n";
/// Where SSH was when the second was saved.
const SSH: u16 = 2222;

/// A host with two confirmed generations and an empty kernel.
struct Host {
    folder: Folder,
    socket: Socket,
    _own: OwnNetNs,
}

impl Host {
    fn new() -> Option<Host> {
        if skip::without_root() {
            return None;
        }
        let own = OwnNetNs::make().unwrap();
        let socket = Socket::open(Guard::for_own_namespace(&own).unwrap()).unwrap();
        let folder = Folder::new().with("policy.dw", BEFORE);
        let host = Host { folder, socket, _own: own };
        host.apply();
        host.folder.write("policy.dw", LAST);
        host.apply();
        for generation in [1, 2] {
            host.edit(&format!("generations/{generation}/index"), |index| {
                index["ssh_ports"] = vec![SSH].into();
            });
        }
        host.down();
        Some(host)
    }

    fn apply(&self) {
        self.folder.run(["apply", "--no-trial", "policy.dw"]).well();
    }

    /// The kernel forgets all that is ours.
    fn down(&self) {
        self.socket.load(&compile::clear(), None).unwrap();
    }

    fn boot(&self) -> Said {
        self.folder.run(["boot"])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("state").join(name)
    }

    /// Another content, with its sum.
    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let mut value = serde_json::from_str(text.rsplit_once("sha256 ").unwrap().0).unwrap();
        change(&mut value);
        let mut text = format!("{value:#}\n");
        let sum = hex(&Sha256::digest(&text));
        writeln!(text, "sha256 {sum}").unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Changes a byte of a file.
    fn flip(&self, name: &str, at: usize) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        bytes[at] ^= 1 << (at % 8);
        fs::write(self.path(name), bytes).unwrap();
    }

    fn chains(&self) -> String {
        let ours = self.socket.read_headers(&Scope::All).unwrap().ruleset.tables;
        let names = ours.iter().flat_map(|table| &table.chains).map(|chain| chain.name.clone());
        names.collect::<Vec<_>>().join(" ")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What was confirmed last could not be loaded, and the one before it was.
#[track_caller]
fn fell_back(said: &Said) {
    assert_eq!(said.exit, Some(5), "{said:#?}");
    assert!(said.out.starts_with("generation 1 is in force: the one confirmed before"), "{said:#?}");
    assert!(said.err.ends_with("`doorward apply` puts a policy in force again\n"), "{said:#?}");
}

/// Nothing could be loaded but what is built in.
#[track_caller]
fn emergency(said: &Said, ports: &str) {
    assert_eq!(said.exit, Some(5), "{said:#?}");
    let words = format!("only replies, SSH ({ports}) and what a host needs are let in\n");
    assert!(said.out.starts_with("no generation could be loaded: "), "{said:#?}");
    assert!(said.out.ends_with(&words), "{said:#?}");
    let listed = Command::new("nft").args(["list", "table", "inet", "doorward"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("<built in for emergencies>"), "{listed}");
}

#[test]
fn what_was_confirmed_is_loaded_once() {
    let Some(host) = Host::new() else { return };
    let said = host.boot().well();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("generation 2 is in force\n", ""));
    assert!(host.chains().contains("g2_in4"), "{}", host.chains());
    let before = host.socket.generation().unwrap();
    let again = host.boot().well();
    assert_eq!(again.out, "nothing to do: generation 2 is in force\n");
    assert_eq!(host.socket.generation().unwrap(), before);
    host.folder.run(["verify"]).well();
    // The files of the policy are not asked.
    fs::remove_file(host.folder.path().join("policy.dw")).unwrap();
    host.down();
    let json = host.folder.run(["boot", "--json"]).well().json();
    assert_eq!((json["ended"].as_str(), json["generation"].as_u64()), (Some("loaded"), Some(2)));
}

#[test]
fn damage_is_named_and_the_one_before_is_loaded() {
    let Some(host) = Host::new() else { return };
    for (name, file) in [("artifact", "generations/2/artifact"), ("index", "generations/2/index")] {
        let whole = fs::read(host.path(file)).unwrap();
        host.flip(file, whole.len() / 2);
        let said = host.boot();
        fell_back(&said);
        let words = format!("generation 2 is damaged: its file `{name}` is not what was written\n");
        assert!(said.err.starts_with(&words), "{said:#?}");
        host.down();
        fs::remove_file(host.path(file)).unwrap();
        let said = host.boot();
        fell_back(&said);
        assert!(said.err.contains(&format!("its file `{name}` is missing")), "{said:#?}");
        host.down();
        fs::write(host.path(file), whole).unwrap();
    }
    assert_eq!(host.boot().well().out, "generation 2 is in force\n");
}

/// Both are damaged, or nobody knows which was confirmed: closed, but for SSH where it was.
#[test]
fn at_worst_it_is_closed() {
    let Some(host) = Host::new() else { return };
    let pointer = fs::read(host.path("confirmed")).unwrap();
    host.flip("confirmed", 20);
    let said = host.boot();
    emergency(&said, "2222/tcp");
    assert!(said.err.contains("confirmed` is damaged"), "{said:#?}");
    fs::write(host.path("confirmed"), pointer).unwrap();
    host.down();

    host.flip("generations/1/artifact", 200);
    host.flip("generations/2/artifact", 200);
    let said = host.boot();
    emergency(&said, "2222/tcp");
    for generation in [1, 2] {
        assert!(said.err.contains(&format!("generation {generation} is damaged")), "{said:#?}");
    }

    // It has the number of a generation on disk, and is not taken for it.
    let again = host.boot();
    assert_eq!(again.exit, Some(5), "{again:#?}");
    assert!(
        again.out.starts_with("nothing to do: what is built in for emergencies is in force"),
        "{again:#?}"
    );
    let status = host.folder.run(["status"]).well().out;
    assert!(status.starts_with("doorward is active, in an emergency"), "{status}");
    let before = fs::read(host.path("confirmed")).unwrap();
    assert_eq!(host.folder.run(["confirm", "--here"]).exit, Some(2));
    assert_eq!(fs::read(host.path("confirmed")).unwrap(), before);
    // The way out that was named.
    host.apply();
    host.down();
    assert_eq!(host.boot().well().out, "generation 3 is in force\n");
}

#[test]
fn without_anything_ssh_is_let_in() {
    let Some(host) = Host::new() else { return };
    fs::rename(host.path(""), host.folder.path().join("elsewhere")).unwrap();
    emergency(&host.boot(), "22/tcp");
    host.down();
    // A folder that others can change is as good as none.
    fs::rename(host.folder.path().join("elsewhere"), host.path("")).unwrap_or_else(|_| {
        fs::remove_dir_all(host.path("")).unwrap();
        fs::rename(host.folder.path().join("elsewhere"), host.path("")).unwrap();
    });
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(host.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let said = host.boot();
    emergency(&said, "22/tcp");
    assert!(said.err.contains("can be changed by everybody"), "{said:#?}");
}

/// The sums are right and the kernel says no all the same: a kernel that can do less than the last one.
#[test]
fn the_kernel_refuses() {
    let Some(host) = Host::new() else { return };
    for (generation, next) in [(2, "generation 1"), (1, "")] {
        let file = format!("generations/{generation}/artifact");
        let whole = fs::read(host.path(&file)).unwrap();
        let line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let (head, mut body) = (whole[..line].to_vec(), whole[line + 40..].to_vec());
        // A type of chain that no kernel has.
        let at = body.windows(7).position(|bytes| bytes == b"filter\0").unwrap();
        body[at] = b'x';
        let length = (body.len() as u64).to_be_bytes();
        let bytes = [&head[..], &Sha256::digest(&body)[..], &length[..], &body[..]].concat();
        fs::write(host.path(&file), &bytes).unwrap();
        let sum = hex(&Sha256::digest(&bytes));
        host.edit(&format!("generations/{generation}/index"), |index| {
            index["artifact"]["sha256"] = sum.into();
        });
        let said = host.boot();
        if next.is_empty() {
            emergency(&said, "2222/tcp");
        } else {
            fell_back(&said);
        }
        assert!(
            said.err.contains(&format!("generation {generation}: the kernel refused this: ")),
            "{said:#?}"
        );
        host.down();
    }
}

/// A disk that cannot be written is no reason, and one that is not there yields what is built in.
#[test]
fn a_disk_that_is_read_only_or_missing() {
    let Some(host) = Host::new() else { return };
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
        return skip::skip(&format!("needs a mount namespace of its own: {error}"));
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    let state = host.path("");
    let remount = |flags: MsFlags| mount(Some(&state), &state, None::<&str>, flags, None::<&str>).unwrap();
    remount(MsFlags::MS_BIND);
    remount(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY);
    let said = host.boot().well();
    assert_eq!(said.out, "generation 2 is in force\n");
    umount(&state).unwrap();
    host.down();
    mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), Some("mode=700")).unwrap();
    emergency(&host.boot(), "22/tcp");
    umount(&state).unwrap();
}

#[test]
fn who_may_not_load_is_told_so_once() {
    let Some(host) = Host::new() else { return };
    let mut command = Command::new("setpriv");
    command.args([
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
        env!("CARGO_BIN_EXE_doorward"),
        "boot",
    ]);
    command.env("DOORWARD_STATE", host.path("")).env("DOORWARD_FORBID_HOST", "1");
    let said = Said::of(&command.output().expect("setpriv is installed"));
    assert_eq!(said.exit, Some(5), "{said:#?}");
    assert!(said.err.starts_with("this process may not load rules: it has no CAP_NET_ADMIN\n"), "{said:#?}");
    assert!(said.err.ends_with("nothing was loaded\n") && said.out.is_empty(), "{said:#?}");
    assert_eq!(host.chains(), "");
}

/// A trial goes on while boot is run by hand, and is gone after a boot.
#[test]
fn a_trial_does_not_survive_a_boot() {
    let Some(host) = Host::new() else { return };
    host.boot().well();
    host.folder.write("policy.dw", "allow ssh, smtp\n");
    let said = host.folder.run(["apply", "--for", "60s", "--detach", "policy.dw"]);
    assert_eq!(said.exit, Some(0), "{said:#?}");
    let during = host.boot().well();
    assert!(during.out.starts_with("nothing to do: generation 3 is on trial for another "), "{during:#?}");
    assert!(host.chains().contains("g3_in4"), "{}", host.chains());
    host.down();
    assert_eq!(host.boot().well().out, "generation 2 is in force\n");
    assert!(!host.chains().contains("g3_"), "{}", host.chains());
}

/// Every `step`th byte of a file, from one on.
fn sweep(host: &Host, file: &str, begin: usize, step: usize, check: impl Fn(&Said)) -> usize {
    let whole = fs::read(host.path(file)).unwrap();
    let mut tried = 0;
    for at in (begin..whole.len()).step_by(step) {
        host.flip(file, at);
        check(&host.boot());
        host.down();
        fs::write(host.path(file), &whole).unwrap();
        tried += 1;
    }
    tried
}

/// Bytes that go bad, one at a time; a part of them each. That all of them are noticed is in `store/tests/damage.rs`.
#[test]
fn some_flips_of_a_byte() {
    let Some(host) = Host::new() else { return };
    let tried = sweep(&host, "generations/2/artifact", 0, 211, fell_back)
        + sweep(&host, "generations/2/index", 3, 61, fell_back)
        + sweep(&host, "confirmed", 5, 37, |said| emergency(said, "2222/tcp"));
    assert!(tried > 50, "{tried}");
}

/// What is cut off is no whole one, either.
#[test]
fn some_ends_that_are_missing() {
    let Some(host) = Host::new() else { return };
    let whole = fs::read(host.path("generations/2/artifact")).unwrap();
    for end in (0..whole.len()).step_by(997) {
        fs::write(host.path("generations/2/artifact"), &whole[..end]).unwrap();
        fell_back(&host.boot());
        host.down();
    }
}
