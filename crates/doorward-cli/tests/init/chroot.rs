//! Behind a `chroot`, with the real `update-rc.d` and `insserv` of Debian: the host in a folder takes itself for all
//! there is. `--open` takes our table away, and no other.

use super::{Host, PROGRAM, skip};
use crate::tool::Said;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Where `unpack:` of scripts/test-packages.txt puts files.
const UNPACKED: &str = "/usr/local/lib/doorward-tests";

/// What starts before us and after us.
const SCRIPTS: [&str; 7] = [
    "mountkernfs.sh",
    "checkroot.sh",
    "checkroot-bootclean.sh",
    "checkfs.sh",
    "mountall.sh",
    "mountall-bootclean.sh",
    "networking",
];

/// A mount namespace of this thread, in which nothing reaches the machine.
fn own_mounts() -> bool {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNS) {
        skip::skip(&format!("needs a mount namespace of its own: {error}"));
        return false;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    true
}

fn bind(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).unwrap();
}

impl Host {
    /// The programs of this machine below the root, behind what is there already.
    fn furnish(&self) -> bool {
        // Whoever starts this machine, it is not who starts the one in the folder.
        fs::write(self.path("/usr/sbin/init"), "").unwrap();
        for name in ["bin", "sbin", "lib", "lib64"] {
            if fs::symlink_metadata(Path::new("/").join(name)).is_ok_and(|data| data.is_symlink()) {
                std::os::unix::fs::symlink(format!("usr/{name}"), self.root.join(name)).unwrap();
            } else if Path::new("/").join(name).exists() {
                bind(&Path::new("/").join(name), &self.root.join(name));
            }
        }
        let layers = format!("lowerdir={}:/usr", self.path("/usr").display());
        let options = MsFlags::MS_RDONLY;
        if let Err(error) =
            mount(Some("overlay"), &self.path("/usr"), Some("overlay"), options, Some(layers.as_str()))
        {
            skip::skip(&format!("this kernel has no overlay file system: {error}"));
            return false;
        }
        for folder in ["/proc", "/dev"] {
            bind(Path::new(folder), &self.path(folder));
        }
        true
    }

    fn inside(&self, args: &[&str]) -> Said {
        let mut command = Command::new("chroot");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DOORWARD_FORBID_HOST", "1");
        Said::of(&command.arg(&self.root).args(args).output().expect("chroot is in coreutils"))
    }
}

/// The script in its place by the tools of Debian, before the network.
#[test]
fn update_rc_d() {
    if !Path::new(UNPACKED).join("etc/insserv.conf").exists() {
        return skip::skip("scripts/install-packages did not unpack insserv");
    }
    let Some(host) = Host::new() else { return };
    let host = host.with_folder("/etc/rcS.d").with_folder("/run").with_folder("/dev").confirmed();
    if !own_mounts() {
        return;
    }
    let unpacked = Path::new(UNPACKED).join("etc");
    fs::copy(unpacked.join("insserv.conf"), host.path("/etc/insserv.conf")).unwrap();
    fs::create_dir_all(host.path("/etc/init.d")).unwrap();
    for name in SCRIPTS {
        // What the machine has is as good.
        let from = [&unpacked, Path::new("/etc")].map(|folder| folder.join("init.d").join(name));
        let from = from.iter().find(|path| path.exists());
        fs::copy(
            from.unwrap_or_else(|| panic!("{name} was not unpacked")),
            host.path("/etc/init.d").join(name),
        )
        .unwrap();
    }
    let insserv = ["sbin", "usr/sbin", "usr/lib/insserv"]
        .map(|folder| Path::new(UNPACKED).join(folder).join("insserv"));
    let insserv = insserv.iter().find(|path| path.exists()).expect("it was unpacked");
    fs::copy(insserv, host.path("/usr/sbin/insserv")).unwrap();
    for level in ["0", "1", "2", "3", "4", "5", "6"] {
        fs::create_dir_all(host.path(&format!("/etc/rc{level}.d"))).unwrap();
    }
    if !host.furnish() {
        return;
    }
    for script in SCRIPTS {
        host.inside(&["update-rc.d", script, "defaults"]).well();
    }
    let said = host.inside(&[PROGRAM, "enable"]).well();
    assert!(said.out.contains("  ran    update-rc.d doorward defaults\n"), "{said:#?}");
    let starts = |name: &str| {
        let mut found: Vec<String> = fs::read_dir(host.path("/etc/rcS.d"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|link| link.get(3..) == Some(name))
            .collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found.remove(0)
    };
    let (disk, ours, network) = (starts("mountall.sh"), starts("doorward"), starts("networking"));
    println!("{disk} < {ours} < {network}");
    assert!(disk[..3] < ours[..3] && ours[..3] < network[..3], "{disk} < {ours} < {network}");
    // It stops nothing, and says so.
    let stopped = host.inside(&["/etc/init.d/doorward", "stop"]).well();
    assert!(stopped.out.contains("the firewall stays in force"), "{stopped:#?}");
    for level in ["0", "1", "6"] {
        let mut names = fs::read_dir(host.path(&format!("/etc/rc{level}.d"))).unwrap();
        assert!(!names.any(|entry| entry.unwrap().file_name().to_string_lossy().ends_with("doorward")));
    }
    assert!(host.inside(&["/etc/init.d/doorward", "status"]).out.contains("doorward is "));
    assert_eq!(host.inside(&["/etc/init.d/doorward", "frob"]).exit, Some(2));
    // Started by hand after a boot: nothing of ours is in this new namespace yet.
    let _own = doorward_kernel::netns::OwnNetNs::make().unwrap();
    assert_eq!(host.inside(&["/etc/init.d/doorward", "status"]).exit, Some(3));
    let started = host.inside(&["/etc/init.d/doorward", "start"]).well();
    assert_eq!(started.out, "generation 1 is in force\n");
    assert_eq!(host.inside(&["/etc/init.d/doorward", "status"]).exit, Some(0));

    let said = host.inside(&[PROGRAM, "disable"]).well();
    assert!(said.out.contains("update-rc.d -f doorward remove"), "{said:#?}");
    assert!(!host.path("/etc/init.d/doorward").exists());
    let left = fs::read_dir(host.path("/etc/rcS.d")).unwrap();
    assert!(
        !left.map(|entry| entry.unwrap().file_name()).any(|name| name.to_string_lossy().contains("doorward"))
    );
}

/// What is opened is said before it is, and only our own table goes.
#[test]
fn disable_open() {
    let Some(host) = Host::new() else { return };
    let host = host.with_folder("/etc/rcS.d").with_folder("/etc/init.d").with_folder("/run").confirmed();
    let links = doorward_kernel::link::Links::open().unwrap();
    links.set_up(links.link("lo").unwrap().unwrap().index).unwrap();
    let _door = TcpListener::bind("0.0.0.0:8443").unwrap();
    let _kept = TcpListener::bind("127.0.0.1:3306").unwrap();
    let nft = |args: &[&str]| {
        let output = Command::new("nft").args(args).output().expect("nft is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    nft(&["add", "table", "inet", "other"]);
    if !own_mounts() || !host.furnish() {
        return;
    }
    let run = |args: &[&str]| host.inside(&[&[PROGRAM], args].concat());
    run(&["enable"]).well();
    let plain = run(&["disable"]).well();
    assert!(plain.out.contains("the rules in the kernel stay in force until the next boot"), "{plain:#?}");
    assert!(nft(&["list", "tables"]).contains("table inet doorward"));
    let json = run(&["disable", "--json"]).well().json();
    assert_eq!((json["changed"].as_bool(), json["opened"].as_bool()), (Some(false), Some(false)));
    run(&["enable"]).well();
    let said = run(&["disable", "--open"]).well();
    let order = [
        "doorward is not started at boot any more",
        "open to everybody from now on",
        "8443/tcp",
        "doorward's rules are gone",
    ];
    let places: Vec<usize> = order.iter().filter_map(|words| said.out.find(words)).collect();
    assert!(places.len() == 4 && places.is_sorted(), "{said:#?}");
    assert!(!said.out.contains("3306"), "{said:#?}");
    assert_eq!(nft(&["list", "tables"]), "table inet other\n");
    let again = run(&["disable", "--open", "--json"]).well().json();
    assert_eq!((again["opened"].as_bool(), again["doors"][0]["port"].as_u64()), (Some(false), Some(8443)));
    // What is there is kept on the disk: it can be enabled again, and boots.
    run(&["enable"]).well();
    assert_eq!(run(&["boot"]).well().out, "generation 1 is in force\n");
}

/// Where systemd runs, it is told by its own tool. There is no manager here to be told: a stand-in hears of that, and
/// the real tool works on the files.
#[test]
fn systemctl() {
    if !Path::new("/usr/bin/systemctl").exists() {
        return skip::skip("there is no systemctl");
    }
    let Some(host) = Host::new() else { return };
    let host = host.with_folder("/etc/systemd/system").with_folder("/run/systemd/system").confirmed();
    let stand_in = "#!/bin/sh\n[ \"$*\" = daemon-reload ] || exec /usr/bin/systemctl --root=/ \"$@\"\n";
    let host = host.with("/usr/sbin/systemctl", stand_in);
    fs::set_permissions(host.path("/usr/sbin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    if !own_mounts() || !host.furnish() {
        return;
    }
    let said = host.inside(&[PROGRAM, "enable"]).well();
    let ran = |said: &Said| -> Vec<String> {
        said.out.lines().filter_map(|line| line.strip_prefix("  ran    ")).map(str::to_owned).collect()
    };
    assert_eq!(ran(&said), ["systemctl daemon-reload", "systemctl enable doorward.service"]);
    assert_eq!(host.inside(&["systemctl", "is-enabled", "doorward"]).well().out, "enabled\n");
    assert!(host.path("/etc/systemd/system/sysinit.target.wants/doorward.service").is_symlink());
    assert!(ran(&host.inside(&[PROGRAM, "enable"]).well()).is_empty());
    // An older text is written anew, and systemd hears of it.
    let unit = host.path("/etc/systemd/system/doorward.service");
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, text.replace("ProtectClock=yes\n", "")).unwrap();
    assert_eq!(ran(&host.inside(&[PROGRAM, "enable"]).well()), ["systemctl daemon-reload"]);
    assert_eq!(fs::read_to_string(&unit).unwrap(), text);
    let said = host.inside(&[PROGRAM, "disable"]).well();
    assert_eq!(ran(&said), ["systemctl disable doorward.service", "systemctl daemon-reload"]);
    assert!(!unit.exists());
    assert!(!host.path("/etc/systemd/system/sysinit.target.wants/doorward.service").is_symlink());
    assert_eq!(host.inside(&["systemctl", "is-enabled", "doorward"]).exit, Some(1));
}
