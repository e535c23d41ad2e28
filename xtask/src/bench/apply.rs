//! Loading as a whole process: CPU, wall and memory of `apply --no-trial` beside `nft -f` with the same rules.

use super::space::Pair;
use super::{Bench, Outcome, run_command, stats};
use nix::sys::resource::{UsageWho, getrusage};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Runs one command as the only child of this process and prints its cost.
pub(super) fn cost_of_child(args: &[String]) -> ExitCode {
    let Some((program, rest)) = args.split_first() else { return ExitCode::from(2) };
    let start = Instant::now();
    let status = Command::new(program).args(rest).stdout(Stdio::null()).status();
    let wall = start.elapsed().as_secs_f64();
    let (Ok(status), Ok(usage)) = (status, getrusage(UsageWho::RUSAGE_CHILDREN)) else {
        return ExitCode::FAILURE;
    };
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a short process")]
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    println!("{} {} {}", seconds(usage.user_time()) + seconds(usage.system_time()), wall, usage.max_rss());
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Cost {
    cpu: Vec<f64>,
    wall: Vec<f64>,
    peak: Vec<f64>,
}

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
    let mut costs: Vec<Cost> =
        (0..2).map(|_| Cost { cpu: Vec::new(), wall: Vec::new(), peak: Vec::new() }).collect();
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
            let line = run_command(command)?;
            let numbers: Vec<f64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            let [cpu, wall, peak] = numbers.as_slice() else { return Err(format!("no cost in {line:?}")) };
            // The first round is the first load.
            if round > 0 {
                cost.cpu.push(cpu * 1e3);
                cost.wall.push(wall * 1e3);
                cost.peak.push(peak / 1024.0);
            }
        }
    }
    println!("\n{title} as a whole process: median (10-90 %) of {rounds} alternated runs");
    println!("{:24} {:>20} {:>20} {:>10}", "", "CPU ms", "wall ms", "peak MiB");
    for (name, cost) in ["doorward apply --no-trial", "nft -f"].iter().zip(&costs) {
        println!(
            "{name:24} {:>20} {:>20} {:>10.1}",
            stats::spread(&cost.cpu, 1),
            stats::spread(&cost.wall, 1),
            stats::quantile(&cost.peak, 1.0)
        );
    }
    println!(
        "{:24} {:>20} {:>20}",
        "ratio",
        stats::spread(&stats::ratios(&costs[0].cpu, &costs[1].cpu), 2),
        stats::spread(&stats::ratios(&costs[0].wall, &costs[1].wall), 2)
    );
    Ok(())
}
