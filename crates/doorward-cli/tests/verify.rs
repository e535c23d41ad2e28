//! `verify` and `plan` against real kernels: each change behind our back is found, with what it does to traffic.
//!
//! What a test starts runs in the namespace of the test's thread; `nft` and `iptables` do the mischief.

#![allow(clippy::unwrap_used, clippy::panic)]

mod mischief;
#[path = "../../../tests/support/skip.rs"]
mod skip;
mod tool;

use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use mischief::{MISCHIEF, nft};
use std::fmt::Write as _;
use tool::{Folder, Said, golden};

const POLICY: &str = "define office = 203.0.113.0/24, 2001:db8:10::/48
define spam = 192.0.2.66, 2001:db8:66::/48
trust office
allow ping
allow ssh limit 6/minute per source log
allow http, https
allow mysql from office
allow ftp passive 50000-50100 helper
allow published 8080/tcp from office
block from spam
reject 113/tcp
block out smtp by user 33
";

/// A namespace with a cable to nobody, and this thread in it.
fn namespace() -> Option<OwnNetNs> {
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
    Some(own)
}

fn apply(folder: &Folder, file: &str) -> Said {
    folder.run(["apply", "--no-trial", file]).well()
}

#[test]
fn mischief_is_found() {
    let mut text = String::new();
    for (words, exit, mischief) in MISCHIEF {
        let Some(_own) = namespace() else { return };
        let folder = Folder::new().with("policy.dw", POLICY);
        apply(&folder, "policy.dw");
        let before = folder.run(["verify", "policy.dw"]);
        assert_eq!(before.exit, Some(0), "{words}, before: {before:#?}");
        mischief.happens();
        let said = folder.run(["verify", "policy.dw"]);
        writeln!(text, "# {words}\n{}{}-- exit {}\n", said.out, said.err, said.exit.unwrap()).unwrap();
        assert_eq!(said.exit, Some(*exit), "{words}: {said:#?}");
        for line in said.out.lines() {
            assert!(line.chars().count() <= 80, "{words}: {line}");
        }
    }
    golden("verify.txt", &text);
}

/// The examples, which use every word of the language, are proven as they stand in the kernel.
#[test]
fn examples_are_proven() {
    for name in ["three-lines", "vps", "gateway", "full"] {
        let Some(_own) = namespace() else { return };
        let folder = Folder::new();
        let path = format!("{}/../../examples/{name}.dw", env!("CARGO_MANIFEST_DIR"));
        // Twice: a replaced generation is proven, too.
        for generation in [1, 2] {
            if generation == 2 {
                let other = Folder::new().with("policy.dw", "allow ssh\n");
                let file = other.path().join("policy.dw");
                folder.run(["apply", "--no-trial", &file.to_string_lossy()]).well();
            }
            let (applied, verified) = (["apply", "--no-trial", &path], ["verify", "--json", &path]);
            folder.run(applied).well();
            let said = folder.run(verified).well().json();
            assert_eq!(said["generation"], 2 * generation - 1, "{name}");
            assert_eq!((&said["ok"], &said["proven"]), (&true.into(), &true.into()), "{name}: {said:#}");
            assert_eq!(folder.run(["plan", "--exit-code", &path]).exit, Some(0), "{name}");
        }
    }
}

#[test]
fn json_shapes() {
    let Some(_own) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY);
    let none = folder.run(["verify", "--json", "policy.dw"]);
    assert_eq!((none.exit, none.err.as_str()), (Some(5), ""));
    golden("json/verify-inactive.json", &format!("{:#}\n", none.json()));
    apply(&folder, "policy.dw");
    let said = folder.run(["verify", "--json", "policy.dw"]).well();
    golden("json/verify.json", &format!("{:#}\n", said.json()));
    nft("insert rule inet doorward g1_in4 tcp dport 9999 accept");
    nft("insert rule inet doorward input tcp dport 80 log");
    nft(
        "table inet doorward { chain evil { type nat hook prerouting priority -100; tcp dport 80 redirect to :81; }; }",
    );
    nft("table inet raw { chain pre { type filter hook prerouting priority raw; tcp dport 80 notrack; }; }");
    nft("table ip filter { chain input { type filter hook input priority 10; tcp dport 443 drop; }; }");
    let said = folder.run(["verify", "--json", "policy.dw"]);
    assert_eq!((said.exit, said.err.as_str()), (Some(1), ""));
    golden("json/verify-drift.json", &format!("{:#}\n", said.json()));
}

/// Another policy than the one that runs: what differs is told by traffic.
#[test]
fn another_policy() {
    let Some(_own) = namespace() else { return };
    let folder = Folder::new().with("policy.dw", POLICY).with("next.dw", "allow ssh\nallow 9999/udp\n");
    apply(&folder, "policy.dw");
    let said = folder.run(["verify", "next.dw"]);
    assert_eq!(said.exit, Some(1), "{said:#?}");
    assert!(said.out.contains("wrongly not reachable from anyone: 9999/udp\n"), "{}", said.out);
    assert!(said.out.contains("wrongly limited from "), "{}", said.out);
}

/// A bridge that came or went since is no drift: the program knows it by its kind, or nobody needs it.
#[test]
fn bridges_come_and_go() {
    let Some(_own) = namespace() else { return };
    let links = Links::open().unwrap();
    let folder = Folder::new().with("policy.dw", POLICY);
    links.add_bridge("br0").unwrap();
    apply(&folder, "policy.dw");
    let same = || {
        folder.run(["verify", "policy.dw"]).well();
        let said = folder.run(["plan", "--exit-code", "policy.dw"]);
        assert_eq!(said.exit, Some(0), "{said:#?}");
    };
    same();
    links.add_bridge("br1").unwrap();
    same();
    links.delete(links.link("br0").unwrap().unwrap().index).unwrap();
    same();
    // One that is no bridge gets no free way by looking like one.
    nft("insert rule inet doorward g1_forward4 iifname eth0 oifname eth0 accept");
    assert_eq!(folder.run(["verify", "policy.dw"]).exit, Some(1));
}

/// What is translated is watched as all else: elements, rules, chains, and what was never said.
#[test]
fn translations_are_watched() {
    const GATEWAY: &str = "masquerade from 10.0.0.0/24 on eth0\nredirect 80/tcp to 8080\nallow http\n\
                           publish 2222/tcp to 10.0.0.5:22\nallow published 2222/tcp\n";
    for (mischief, words) in [
        (
            "flush map inet doorward g1_publish4",
            "wrongly no longer goes to 10.0.0.5 port 22, from anyone: 2222/tcp (directadmin),",
        ),
        (
            "delete element inet doorward g1_publish4 { tcp . 2222 }\n\
             add element inet doorward g1_publish4 { tcp . 2222 : 10.0.0.6 . 22 }",
            "wrongly goes to 10.0.0.6 port 22 instead of 10.0.0.5 port 22, from anyone:",
        ),
        (
            "delete element inet doorward g1_redirect_tcp { 80 }\n\
             add element inet doorward g1_redirect_tcp { 81 : 8080 }",
            "wrongly goes to port 8080, from anyone: 81/tcp",
        ),
        ("flush chain inet doorward srcnat", "wrongly no longer leaves from an address of this host,"),
        (
            "insert rule inet doorward g1_srcnat ip saddr 10.1.0.0/24 oifname eth1 masquerade",
            "wrongly leaves from an address of this host, from 10.1.0.0/24 on eth1:",
        ),
        (
            "insert rule inet doorward g1_dstnat tcp dport 443 redirect to :8443",
            "wrongly goes to its own address, to port 8443, from anyone: 443/tcp",
        ),
        (
            "insert rule inet doorward g1_srcnat4 oifname eth0 masquerade random",
            "wrongly is translated in a way that doorward does not know",
        ),
        (
            "insert rule inet doorward dstnat tcp dport 2222 drop",
            "prerouting: first packets of connections are dropped, and should not be",
        ),
    ] {
        let Some(_own) = namespace() else { return };
        let folder = Folder::new().with("policy.dw", GATEWAY);
        apply(&folder, "policy.dw");
        folder.run(["verify", "policy.dw"]).well();
        nft(mischief);
        let said = folder.run(["verify", "policy.dw"]);
        let lines = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(said.exit, Some(1), "{mischief}: {said:#?}");
        assert!(lines.contains(words), "{mischief}: {}", said.out);
    }
}

/// What a sentence publishes is promised where it leads: others may drop the rest of what passes through.
#[test]
fn what_is_published_is_promised() {
    const POLICY: &str = "allow ssh\npublish 2222/tcp to 198.51.100.7:22\nallow published 2222/tcp\n";
    let told = |rule: &str| {
        let _own = namespace()?;
        let folder = Folder::new().with("policy.dw", POLICY);
        apply(&folder, "policy.dw");
        nft(&format!("table ip filter {{ chain f {{ type filter hook forward priority 0; {rule} }}; }}"));
        Some(folder.run(["verify", "policy.dw"]))
    };
    let Some(said) = told("tcp dport 22 accept; drop;") else { return };
    assert_eq!(said.exit, Some(0), "{said:#?}");
    let said = told("policy drop;").unwrap();
    assert_eq!(said.exit, Some(1), "{said:#?}");
    assert!(said.out.contains("\n  where published from anyone: 2222/tcp"), "{said:#?}");
    let said = told("limit rate over 10/second drop;").unwrap();
    assert_eq!(said.exit, Some(1), "{said:#?}");
    assert!(said.out.contains("chain ip filter f drops, at times, what the policy lets in:\n"), "{said:#?}");
}
