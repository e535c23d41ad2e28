//! `doctor` on hosts made of folders and network namespaces, with real tables and interfaces.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::netns::OwnNetNs;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use tool::{Folder, golden};

/// A host in a folder: ufw is on, nftables.service flushes at boot, another unit could.
fn host() -> Folder {
    let folder = Folder::new()
        .with("p.dw", "allow ssh\n")
        .with("gateway.dw", "allow ssh\nallow forward anything on docker0, br-*\n")
        .with("root/etc/ufw/ufw.conf", "# ufw\nENABLED=yes\n")
        .with("root/etc/nftables.conf", "#!/usr/sbin/nft -f\nflush ruleset\n")
        .with(
            "root/lib/systemd/system/nftables.service",
            "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n",
        )
        .with("root/etc/systemd/system/mine.service", "[Service]\nExecStop=/usr/sbin/nft flush ruleset\n")
        .with("root/etc/docker/daemon.json", "{ \"iptables\": false }\n")
        .with("root/sys/class/dmi/id/sys_vendor", "Hetzner\n");
    let wants = folder.path().join("root/etc/systemd/system/sysinit.target.wants");
    std::fs::create_dir_all(&wants).unwrap();
    symlink("/lib/systemd/system/nftables.service", wants.join("nftables.service")).unwrap();
    folder
}

fn nft(text: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}

#[test]
fn everybody_at_once() {
    if skip::without_root() {
        return;
    }
    let _own = OwnNetNs::make().unwrap();
    let folder = host();
    nft("table ip filter {\n chain DOCKER {\n }\n chain FORWARD {\n  type filter hook forward priority 0; policy drop\n  jump DOCKER\n }\n}
table inet mine {\n chain input {\n  type filter hook input priority 5; policy drop\n }\n}\n");
    folder.run(["apply", "--no-trial", "p.dw"]).well();
    let said = folder.run(["doctor"]);
    assert_eq!(said.exit, Some(1), "{said:#?}");
    // What runs on the machine of the test is no matter of the test.
    let json = folder.run(["doctor", "--json"]).json();
    let own = [
        "ufw",
        "flush-ruleset",
        "docker",
        "docker-egress",
        "docker-no-rules",
        "others-drop",
        "provider",
        "boot",
    ];
    let mut told = String::new();
    for finding in json["findings"].as_array().unwrap() {
        let id = finding["id"].as_str().unwrap();
        if own.contains(&id) {
            let word = |key: &str| finding[key].as_str().unwrap();
            writeln!(told, "{} {id}: {}", word("level"), word("what")).unwrap();
            for way_out in finding["ways_out"].as_array().unwrap() {
                writeln!(told, "  {}", way_out.as_str().unwrap()).unwrap();
            }
            assert!(said.out.contains(finding["what"].as_str().unwrap()), "{id}: {said:#?}");
        }
    }
    golden("doctor.txt", &told);
    for id in own {
        assert!(told.contains(&format!(" {id}: ")), "{id}: {told}");
    }
    // This kernel has all that is needed: the rules are loaded.
    assert!(!json.to_string().contains("kernel-lacks"), "{json}");
    let gateway = folder.run(["doctor", "--json", "gateway.dw"]).json().to_string();
    assert!(!gateway.contains("docker-egress"), "{gateway}");
}
