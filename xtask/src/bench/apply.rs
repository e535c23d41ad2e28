//! Loading as a whole process: CPU, wall and memory of `apply --no-trial` beside `nft -f` with the same rules.

use super::cost::{Cost, print};
use super::space::Pair;
use super::{Bench, Outcome, run_command};
use std::path::Path;
use std::process::Command;

/// Both in turn, each in a namespace of its own that already holds the rules, as on every day but the first.
pub(super) fn side_by_side(bench: &Bench) -> Outcome<()> {
    for (title, file) in [
        ("examples/vps.dw", bench.vps.clone()),
        ("10,000 + 10,000 sentences", bench.write("apply-10000.dw", &super::policy::doorward(10_000))?),
    ] {
        one(bench, title, &file)?;
    }
    Ok(())
}

fn one(bench: &Bench, title: &str, file: &Path) -> Outcome<()> {
    let text = run_command(Command::new(&bench.doorward).args(["export", "--format", "nft"]).arg(file))?;
    // The same rules as one transaction that replaces the table.
    let text = format!("table inet doorward\ndelete table inet doorward\n{text}");
    let nft_file = bench.write("apply.nft", &text)?;
    let ours = Pair::new("apply")?;
    let theirs = Pair::new("nft")?;
    let state = bench.dir.join("state-apply");
    let mut costs = <[Cost; 2]>::default();
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let rounds = bench.rounds(30).min(100);
    for round in 0..=rounds {
        let mut apply = ours.on_server(&me);
        apply
            .arg("cost")
            .arg(&bench.doorward)
            .arg("--state")
            .arg(&state)
            .args(["apply", "--no-trial"])
            .arg(file);
        let mut nft = theirs.on_server(&me);
        nft.args(["cost", "nft", "-f"]).arg(&nft_file);
        for (command, cost) in [&mut apply, &mut nft].into_iter().zip(&mut costs) {
            // The first round is the first load.
            cost.add(command, round > 0)?;
        }
    }
    print(title, ["doorward apply --no-trial", "nft -f"], &costs);
    Ok(())
}
