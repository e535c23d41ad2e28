//! What a command costs as a whole process, and two of them side by side; knows neither.

use super::{Outcome, run_command, stats};
use nix::sys::resource::{UsageWho, getrusage};
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

/// CPU and wall in milliseconds, peak in MiB, for each run.
#[derive(Default)]
pub(super) struct Cost {
    cpu: Vec<f64>,
    wall: Vec<f64>,
    peak: Vec<f64>,
}

impl Cost {
    /// Runs `cargo xtask cost …`, and keeps what it says if it counts.
    pub(super) fn add(&mut self, command: &mut Command, counts: bool) -> Outcome<()> {
        let line = run_command(command)?;
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [cpu, wall, peak] = numbers.as_slice() else { return Err(format!("no cost in {line:?}")) };
        if counts {
            self.cpu.push(cpu * 1e3);
            self.wall.push(wall * 1e3);
            self.peak.push(peak / 1024.0);
        }
        Ok(())
    }
}

/// Ours, the other, and the ratio of both pair by pair.
pub(super) fn print(title: &str, names: [&str; 2], costs: &[Cost; 2]) {
    let rounds = costs[0].cpu.len();
    println!("\n{title} as a whole process: median (10-90 %) of {rounds} alternated runs");
    println!("{:24} {:>20} {:>20} {:>10}", "", "CPU ms", "wall ms", "peak MiB");
    for (name, cost) in names.iter().zip(costs) {
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
}
