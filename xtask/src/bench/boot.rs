//! What a boot waits for: `doorward boot` into an empty kernel beside `nft -f` with the same rules.

use super::cost::{Cost, print};
use super::space::Pair;
use super::{Bench, Outcome, run_command};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Networks of the long list.
const LIST: u32 = 100_000;

pub(super) fn side_by_side(bench: &Bench) -> Outcome<()> {
    // Apart from each other, so that none is joined with the next.
    let list = (0..LIST).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "{}/24", std::net::Ipv4Addr::from_bits(0x0b00_0000 + n * 512));
        text
    });
    bench.write("list.txt", &list)?;
    let policy = "define list = file \"list.txt\"\nblock from list\nallow ping\nallow ssh, http, https\n";
    let long = bench.write("boot-list.dw", policy)?;
    vps(bench)?;
    one(bench, "a list of 100,000 networks", &long, 10)
}

/// The policy of a usual server alone.
pub(super) fn vps(bench: &Bench) -> Outcome<()> {
    one(bench, "examples/vps.dw", &bench.vps, 30)
}

fn one(bench: &Bench, title: &str, file: &Path, rounds: usize) -> Outcome<()> {
    let text = run_command(Command::new(&bench.doorward).args(["export", "--format", "nft"]).arg(file))?;
    let nft_file = bench.write("boot.nft", &text)?;
    let ours = Pair::new("boot")?;
    let theirs = Pair::new("nft")?;
    let state = bench.dir.join(format!("state-boot-{rounds}"));
    let doorward = |pair: &Pair| {
        let mut command = pair.on_server(&bench.doorward);
        command.arg("--state").arg(&state);
        command
    };
    run_command(doorward(&ours).args(["apply", "--no-trial"]).arg(file))?;
    let down = |pair: &Pair| {
        run_command(pair.on_server(Path::new("nft")).args(["delete", "table", "inet", "doorward"]))
    };
    down(&ours)?;
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut costs = <[Cost; 2]>::default();
    for _ in 0..bench.rounds(rounds).min(100) {
        let mut boot = ours.on_server(&me);
        boot.arg("cost").arg(&bench.doorward).arg("--state").arg(&state).arg("boot");
        costs[0].add(&mut boot, true)?;
        down(&ours)?;
        let mut nft = theirs.on_server(&me);
        costs[1].add(nft.args(["cost", "nft", "-f"]).arg(&nft_file), true)?;
        down(&theirs)?;
    }
    print(&format!("boot: {title}"), ["doorward boot", "nft -f"], &costs);
    Ok(())
}
