//! Benchmarks against peers, side by side in one run; judges nothing, prints ratios, medians and spread.

mod apply;
mod boot;
mod cost;
mod gateway;
mod leak;
mod packets;
mod peers;
mod policy;
mod space;
mod stats;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What went wrong, in one line.
type Failure = String;
type Outcome<T> = Result<T, Failure>;

/// Where everything is.
struct Bench {
    /// The release binary.
    doorward: PathBuf,
    /// Policies and rulesets of this run.
    dir: PathBuf,
    /// `examples/vps.dw`.
    vps: PathBuf,
    /// Rounds of each measurement.
    rounds: usize,
}

const USAGE: &str = "\
usage: cargo xtask bench [packets|gateway|scale|apply|boot|leak] [--rounds N]
  packets  cost of a packet with the policy of the classic script, beside its peers
  gateway  cost of a packet that is passed on and translated, beside nft by hand
  scale    cost of a packet that matches nothing, at 10 and at 10,000 sentences
  apply    `apply --no-trial` of a changed policy beside `nft -f`, as whole processes; then `boot` of it
  boot     `boot` into an empty kernel beside `nft -f`, as whole processes
  leak     blocked packets that pass while a policy is replaced
without a name: all of them. Needs root, nft and iptables; works in namespaces of its own.";

/// Runs what the arguments name.
pub(crate) fn run(root: &Path, args: &[String]) -> ExitCode {
    match measure(root, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a policy of `2 * n` sentences, the same for the same `n`.
pub(crate) fn generate(args: &[String]) -> ExitCode {
    let Some(n) = args.first().and_then(|n| n.parse().ok()) else {
        eprintln!("usage: cargo xtask generate N    a policy of N `allow … from` and N `block from`");
        return ExitCode::from(2);
    };
    print!("{}", policy::doorward(n));
    ExitCode::SUCCESS
}

/// Runs one command and prints what it cost: user and system seconds, peak KiB, wall seconds.
pub(crate) fn cost(args: &[String]) -> ExitCode {
    cost::cost_of_child(args)
}

fn measure(root: &Path, args: &[String]) -> Outcome<()> {
    let mut rounds = None;
    let mut names = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--rounds" => rounds = rest.next().and_then(|n| n.parse().ok()),
            "packets" | "gateway" | "scale" | "apply" | "boot" | "leak" => names.push(arg.as_str()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if !nix::unistd::Uid::effective().is_root() {
        return Err("network namespaces with foreign sources need root".to_owned());
    }
    println!("building the release binary");
    let built = run_command(Command::new(root.join("scripts/build-release")).current_dir(root))?;
    let dir = std::env::temp_dir().join(format!("doorward-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let bench = Bench {
        doorward: root.join(built.trim()),
        dir,
        vps: root.join("examples/vps.dw"),
        rounds: rounds.unwrap_or(0),
    };
    let all = names.is_empty();
    let wants = |name: &str| all || names.contains(&name);
    let mut outcome = Ok(());
    for (name, job) in [
        ("packets", packets::services as fn(&Bench) -> Outcome<()>),
        ("gateway", gateway::side_by_side),
        ("scale", packets::scale),
        ("apply", apply::side_by_side),
        ("boot", boot::side_by_side),
        ("leak", leak::replacements),
    ] {
        if outcome.is_ok() && wants(name) {
            outcome = job(&bench);
        }
    }
    // The folder is ours and in the temporary one; what stays of it harms nobody.
    let _ = std::fs::remove_dir_all(&bench.dir);
    outcome
}

impl Bench {
    fn rounds(&self, usual: usize) -> usize {
        if self.rounds == 0 { usual } else { self.rounds }
    }

    fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }
}

/// Runs a command to its end; its words only when it fails.
fn run_command(command: &mut Command) -> Outcome<String> {
    let output = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{:?} failed with {}: {}",
        command,
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}
