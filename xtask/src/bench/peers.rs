//! Firewalls in namespaces of their own: none, the classic linear script, ufw where it is, nft by hand, ours.

use super::space::Pair;
use super::{Bench, Outcome, policy, run_command};
use std::path::Path;

/// A firewall by name, active in the server namespace of its pair.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) pair: Pair,
}

/// No firewall.
pub(super) fn none() -> Outcome<Peer> {
    Ok(Peer { name: "no firewall".to_owned(), pair: Pair::new("none")? })
}

/// A policy file of ours.
pub(super) fn doorward(bench: &Bench, name: &str, tag: &str, file: &Path) -> Outcome<Peer> {
    let pair = Pair::new(tag)?;
    apply(bench, &pair, file)?;
    Ok(Peer { name: name.to_owned(), pair })
}

/// Loads a policy file of ours in a pair.
pub(super) fn apply(bench: &Bench, pair: &Pair, file: &Path) -> Outcome<()> {
    let state = bench.dir.join(format!("state-{}", pair.name));
    run_command(
        pair.on_server(&bench.doorward).arg("--state").arg(state).args(["apply", "--no-trial"]).arg(file),
    )?;
    Ok(())
}

/// The rules of the classic script and of the large policy, linear, through iptables.
pub(super) fn iptables(bench: &Bench, name: &str, tag: &str, n: usize) -> Outcome<Peer> {
    let pair = Pair::new(tag)?;
    for (program, six) in [("iptables-nft-restore", false), ("ip6tables-nft-restore", true)] {
        let file = bench.write(&format!("{tag}.{six}"), &policy::iptables(n, six))?;
        run_command(pair.on_server(Path::new(program)).arg(file))?;
    }
    Ok(Peer { name: name.to_owned(), pair })
}

/// nftables by hand.
pub(super) fn nft(bench: &Bench, name: &str, tag: &str, n: usize) -> Outcome<Peer> {
    let pair = Pair::new(tag)?;
    let file = bench.write(&format!("{tag}.nft"), &policy::nft(n))?;
    run_command(pair.on_server(Path::new("nft")).arg("-f").arg(file))?;
    Ok(Peer { name: name.to_owned(), pair })
}

/// ufw with the ports of the classic script, where it is installed; its files are a copy of ours.
pub(super) fn ufw(bench: &Bench) -> Outcome<Option<Peer>> {
    let init = Path::new("/lib/ufw/ufw-init");
    if !init.exists() {
        println!("ufw is not installed: left out");
        return Ok(None);
    }
    let pair = Pair::new("ufw")?;
    let copy = bench.dir.join("ufw");
    let ports = policy::TCP.join(" ");
    // Its own mounts, so that nothing of the machine's ufw is touched.
    let script = format!(
        "set -e; cp -a /etc/ufw {0}; mount --make-rprivate /; mount --bind {0} /etc/ufw; \
         sed -i s/ENABLED=.*/ENABLED=no/ /etc/ufw/ufw.conf; \
         for p in {ports}; do ufw allow proto tcp to any port $p >/dev/null; done; ufw allow 53/udp >/dev/null; \
         sed -i s/ENABLED=.*/ENABLED=yes/ /etc/ufw/ufw.conf; {1} start",
        copy.display(),
        init.display()
    );
    run_command(pair.on_server(Path::new("unshare")).args(["-m", "sh", "-c", &script]))?;
    Ok(Some(Peer { name: "ufw".to_owned(), pair }))
}
