//! What `apply` leaves on the disk, and what happens to it: disk first, then the kernel, then the pointer.
//!
//! What a test starts runs in the network and mount namespaces of the test's thread.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, Socket};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use tool::{Folder, Said};

const POLICY: &str =
    "define spam = file \"spam.txt\"\nblock from spam\nallow ping\nallow ssh, http\ninclude \"more\"\n";

/// A namespace, and this thread in it.
fn namespace() -> Option<(OwnNetNs, Socket)> {
    if skip::without_root() {
        return None;
    }
    let own = OwnNetNs::make().unwrap();
    let socket = Socket::open(Guard::for_own_namespace(&own).unwrap()).unwrap();
    Some((own, socket))
}

fn folder() -> Folder {
    Folder::new()
        .with("policy.dw", POLICY)
        .with("spam.txt", "192.0.2.0/24\n2001:db8:66::/48\n")
        .with("more/mail.dw", "allow smtp\n")
}

fn apply(folder: &Folder) -> Said {
    folder.run(["apply", "--no-trial", "policy.dw"])
}

/// The generation that is confirmed, and the one before it.
fn confirmed(folder: &Folder) -> (u64, Option<u64>) {
    let text = folder.read("state/confirmed");
    let json = text.split("sha256").next().unwrap();
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(value["confirmed"]["who"]["uid"], 0);
    (value["confirmed"]["generation"].as_u64().unwrap(), value["before"][0]["generation"].as_u64())
}

#[test]
fn what_is_in_force_is_confirmed() {
    let Some((_own, _socket)) = namespace() else { return };
    let folder = folder();
    apply(&folder).well();
    assert_eq!(confirmed(&folder), (1, None));
    folder.write("more/mail.dw", "allow smtp, imaps\n");
    apply(&folder).well();
    assert_eq!(confirmed(&folder), (2, Some(1)));
    // One with mistakes is not even saved.
    folder.write("policy.dw", "allow nonsense\n");
    assert_eq!(apply(&folder).exit, Some(3));
    folder.write("policy.dw", "allow ssh\nexpect ssh from anyone is blocked\n");
    assert_eq!(apply(&folder).exit, Some(4));
    assert_eq!(confirmed(&folder), (2, Some(1)));
    assert_eq!(fs::read_dir(folder.path().join("state/generations")).unwrap().count(), 2);

    // The policy that counts is the confirmed one, whatever became of its files.
    for name in ["policy.dw", "spam.txt", "more/mail.dw"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let said = folder.run(["verify"]).well();
    assert!(
        said.out.starts_with("proven: the kernel does what policy.dw says (generation 2)\n"),
        "{said:#?}"
    );
    let nft = ["insert", "rule", "inet", "doorward", "g2_in4", "tcp", "dport", "9999", "accept"];
    assert!(Command::new("nft").args(nft).status().unwrap().success());
    assert_eq!(folder.run(["verify"]).exit, Some(1));
    let path = folder.path().join("state/generations/2/text-0");
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 1;
    fs::write(path, bytes).unwrap();
    let said = folder.run(["verify"]);
    assert_eq!(said.exit, Some(5), "{said:#?}");
    assert!(said.err.contains("generation 2 is damaged: its file `text-0` is not what was written"));
}

/// A disk that is full or that nobody may write is found out before the kernel is asked.
#[test]
fn the_disk_says_no() {
    let Some((_own, socket)) = namespace() else { return };
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
        return skip::skip(&format!("needs a mount namespace of its own: {error}"));
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    let folder = folder();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let disk = |options: &str, flags: MsFlags| {
        mount(Some("tmpfs"), &state, Some("tmpfs"), flags, Some(options)).unwrap();
    };
    let before = socket.generation().unwrap();
    let mut refused = 0;
    for files in 2..14 {
        disk(&format!("mode=700,nr_inodes={files}"), MsFlags::empty());
        let said = apply(&folder);
        let taken = socket.generation().unwrap() != before;
        nix::mount::umount(&state).unwrap();
        if taken {
            said.well();
            break;
        }
        refused += 1;
        assert_eq!(said.exit, Some(5), "{files} files: {said:#?}");
        assert!(said.err.contains("no more files fit on the disk of "), "{said:#?}");
        assert!(said.err.ends_with("nothing was loaded\n"), "{said:#?}");
    }
    assert!(refused > 5, "{refused}");
    let before = socket.generation().unwrap();
    disk("mode=700", MsFlags::MS_RDONLY);
    let said = apply(&folder);
    assert_eq!(said.exit, Some(5), "{said:#?}");
    assert!(said.err.contains("make that disk writable"), "{said:#?}");
    assert_eq!(socket.generation().unwrap(), before);
}

/// What others could have written is not trusted, and whoever may not look is told what to do.
#[test]
fn others() {
    let Some((_own, socket)) = namespace() else { return };
    let folder = folder();
    apply(&folder).well();
    let before = socket.generation().unwrap();
    let state = folder.path().join("state");
    let mut command = folder.doorward();
    command.env_remove("DOORWARD_FORBID_HOST").args(["apply", "--no-trial", "policy.dw"]);
    match command.uid(65_534).gid(65_534).output() {
        Ok(output) => {
            let said = Said::of(&output);
            assert_eq!(said.exit, Some(5), "{said:#?}");
            assert!(said.err.contains("run it as root, or name a folder of yours with --state"), "{said:#?}");
        }
        Err(_) => skip::skip("the program cannot be started by other users from where it was built"),
    }
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    for args in [&["apply", "--no-trial", "policy.dw"][..], &["verify"]] {
        let said = folder.run(args);
        assert_eq!(said.exit, Some(4), "{args:?}: {said:#?}");
        assert!(said.err.contains("can be changed by everybody"), "{said:#?}");
        assert!(said.err.contains("chmod -R go-w "), "{said:#?}");
    }
    assert_eq!(socket.generation().unwrap(), before);
}
