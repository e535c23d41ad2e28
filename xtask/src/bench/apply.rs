//! Loading as a whole process: CPU, wall and memory of `apply --no-trial` beside `nft -f` with the same rules.

use super::cost::{Cost, print};
use super::space::Pair;
use super::{Bench, Outcome, boot, run_command};
use std::path::PathBuf;
use std::process::Command;

/// What the second of two policies says more: who applies the same one again is told that nothing changes.
const MORE: &str = "allow 8444/tcp\n";

/// Both in turn, each in a namespace of its own that already holds the rules, as on every day but the first. Then what
/// a boot takes for the same policy, which was proven before.
pub(super) fn side_by_side(bench: &Bench) -> Outcome<()> {
    let vps = std::fs::read_to_string(&bench.vps).map_err(|e| format!("{}: {e}", bench.vps.display()))?;
    for (title, stem, text) in [
        ("examples/vps.dw", "apply-vps", vps),
        ("10,000 + 10,000 sentences", "apply-10000", super::policy::doorward(10_000)),
    ] {
        one(bench, title, stem, &text)?;
    }
    boot::vps(bench)
}

/// A policy, and the same rules as one transaction of nft that replaces the table.
struct Version {
    policy: PathBuf,
    nft: PathBuf,
}

impl Version {
    fn of(bench: &Bench, name: &str, text: &str) -> Outcome<Version> {
        let policy = bench.write(&format!("{name}.dw"), text)?;
        let export =
            run_command(Command::new(&bench.doorward).args(["export", "--format", "nft"]).arg(&policy))?;
        let text = format!("table inet doorward\ndelete table inet doorward\n{export}");
        Ok(Version { policy, nft: bench.write(&format!("{name}.nft"), &text)? })
    }
}

fn one(bench: &Bench, title: &str, stem: &str, text: &str) -> Outcome<()> {
    let versions = [
        Version::of(bench, &format!("{stem}-a"), text)?,
        Version::of(bench, &format!("{stem}-b"), &format!("{text}{MORE}"))?,
    ];
    let ours = Pair::new("apply")?;
    let theirs = Pair::new("nft")?;
    let state = bench.dir.join(format!("state-{stem}"));
    let mut costs = <[Cost; 2]>::default();
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let rounds = bench.rounds(30).min(100);
    for round in 0..=rounds {
        let version = &versions[round % 2];
        let mut apply = ours.on_server(&me);
        apply
            .arg("cost")
            .arg(&bench.doorward)
            .arg("--state")
            .arg(&state)
            .args(["apply", "--no-trial"])
            .arg(&version.policy);
        let mut nft = theirs.on_server(&me);
        nft.args(["cost", "nft", "-f"]).arg(&version.nft);
        for (command, cost) in [&mut apply, &mut nft].into_iter().zip(&mut costs) {
            // The first round is the first load.
            cost.add(command, round > 0)?;
        }
    }
    print(title, ["doorward apply --no-trial", "nft -f"], &costs);
    Ok(())
}
