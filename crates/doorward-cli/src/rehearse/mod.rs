//! Rehearses a policy on the real kernel: a throw-away network, real packets, the kernel's verdict beside the
//! promise. Loads nothing where this process came from, and decides nothing itself.

mod lab;
mod led;
mod meter;
mod packet;
mod place;
mod plan;
mod report;
mod rounds;
mod talk;
#[cfg(test)]
mod tests;

use doorward::meaning::{Connection, Owner, Path};
use doorward::resolve::model::{Resolved, Verdict};
use doorward::ruleset::Table;
use doorward_kernel::netns::NetNs;
use doorward_kernel::{CommitError, KernelError};
use lab::Lab;
use place::Places;
use plan::Plan;
pub(crate) use report::{Mark, Rehearsal};
use std::collections::BTreeSet;
use std::time::Instant;

/// The most user namespaces, one in another, that the kernel makes is 32.
const USERS: usize = 24;

/// What to rehearse besides what always is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Spend limits with real connections, and see the next one refused.
    pub(crate) limits: bool,
    /// What is loaded is this policy: what shows that is tried as well.
    pub(crate) instead: Option<Resolved>,
}

/// Why there was no rehearsal.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The system forbids ordinary users what is needed.
    Forbidden(String),
    /// The kernel did not take the policy.
    Refused(String),
    /// Anything else that the system said.
    System(String),
}

impl Failure {
    /// What to say: one line.
    #[must_use]
    pub(crate) fn message(&self) -> String {
        match self {
            Failure::Forbidden(why) => {
                format!("this system does not let you make a throw-away network: {why}")
            }
            Failure::Refused(why) => format!("the kernel did not take the policy: {why}"),
            Failure::System(why) => format!("the rehearsal broke off: {why}"),
        }
    }

    /// The ways out, a line each.
    #[must_use]
    pub(crate) fn ways_out(&self) -> Vec<&'static str> {
        match self {
            Failure::Forbidden(_) => vec![
                "run it as root: sudo doorward rehearse",
                "on Ubuntu 24.04 and later: the package's AppArmor profile, `/etc/apparmor.d/doorward`",
                "elsewhere: `sysctl user.max_user_namespaces` must not be 0",
            ],
            Failure::Refused(_) => {
                vec!["as root: sudo doorward rehearse, if it is too large for a user's buffers"]
            }
            Failure::System(_) => Vec::new(),
        }
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Failure {
        Failure::System(error.to_string())
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Failure {
        Failure::System(error.to_string())
    }
}

/// What became of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// The kernel's verdict.
    Judged(Verdict),
    /// It could not be tried, and why.
    Untried(String),
}

/// Rehearses. `table` is what `policy` compiled to; `progress` hears of each step.
///
/// The process must have one thread where it is not root. It may be left in a user namespace of its own, so
/// this is the last thing that a command does before it reports.
pub(crate) fn rehearse(
    policy: &Resolved,
    table: &Table,
    options: &Options,
    mut progress: impl FnMut(&str),
) -> Result<Rehearsal, Failure> {
    let begin = Instant::now();
    let places = Places::of(policy);
    let plan = plan::plan(policy, &places, options.instead.as_ref());
    let mut fates: Vec<Option<Fate>> = plan
        .probes
        .iter()
        .map(|probe| packet::unsendable(&probe.connection).map(|why| Fate::Untried(why.to_owned())))
        .collect();
    progress("building a throw-away network");
    let home = NetNs::current().ok();
    let root = Owner { uid: 0, gid: 0 };
    let is_root = rustix::process::geteuid().is_root() && can_make_networks();
    if !is_root {
        lab::enter_user_namespace(root)?;
    }
    let mut packets = 0;
    let mut lab = Lab::build(&places, root, is_root)?;
    packets += rounds::run(&mut lab, &plan, &places, table, &mut fates, &mut progress)?;
    let talks = talk::talk(&mut lab, policy, &plan, &places, options.limits, &mut progress)?;
    packets += talks.packets;
    drop(lab);
    if !is_root {
        packets += other_users(&plan, &places, table, &mut fates, &mut progress)?;
    }
    // Root goes back; in a user namespace there is no way back, and nothing else is done there.
    if is_root && let Some(home) = home {
        home.enter().map_err(|error| Failure::System(error.to_string()))?;
    }
    Ok(report::build(plan, fates, talks, packets, begin.elapsed()))
}

/// Packets of other users than root, each from a user namespace in which this process is that user.
fn other_users(
    plan: &Plan,
    places: &Places,
    table: &Table,
    fates: &mut [Option<Fate>],
    progress: &mut impl FnMut(&str),
) -> Result<u64, Failure> {
    let open = plan.probes.iter().zip(&*fates).filter(|(_, fate)| fate.is_none());
    let owners: BTreeSet<(u32, u32)> =
        open.filter_map(|(probe, _)| sender(&probe.connection)).map(|owner| (owner.uid, owner.gid)).collect();
    let mut packets = 0;
    for (uid, gid) in owners.into_iter().take(USERS) {
        let owner = Owner { uid, gid };
        lab::enter_user_namespace(owner)?;
        let mut lab = Lab::build(places, owner, false)?;
        packets += rounds::run(&mut lab, plan, places, table, fates, progress)?;
    }
    Ok(packets)
}

/// Who sends a probe, if it is the host.
fn sender(connection: &Connection) -> Option<Owner> {
    match connection.path {
        Path::Out { owner, .. } => owner,
        Path::In { .. } | Path::Forward { .. } => None,
    }
}

/// Root of a container may be forbidden it; a thread of its own finds out.
fn can_make_networks() -> bool {
    std::thread::spawn(|| doorward_kernel::netns::OwnNetNs::make().is_ok()).join().unwrap_or(false)
}
