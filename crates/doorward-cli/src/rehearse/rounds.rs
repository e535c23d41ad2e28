//! Sends all probes at once, without the policy and with it, and tells what the kernel did with each.
//!
//! The run without the policy is the control: what does not get through then is stopped by the kernel itself,
//! and no firewall can be credited with it.

use super::lab::Lab;
use super::meter::{self, Place, Seen};
use super::packet::MAGIC;
use super::place::{CONTAINER_PORT, Places};
use super::plan::{Plan, Probe};
use super::{Failure, Fate, sender};
use doorward::meaning::{Connection, Path};
use doorward::net::Family;
use doorward::resolve::model::Verdict;
use doorward::ruleset::{Table, Transaction};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// How long the last packets of a round may take before they are read back.
const SETTLE: Duration = Duration::from_millis(15);
/// How often a packet that did not even arrive is sent again.
const TRIES: u32 = 3;
/// So many are sent again slowly, as kernels send only so many ICMP errors a second …
const FEW: usize = 100;
/// … and this is how slowly.
const PACE: Duration = Duration::from_millis(2);

/// What is set up alike for all probes of a round.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Round {
    In,
    Forward,
    Published,
    Led,
    Out(String),
}

/// Runs all probes that can be run here and have no fate yet; says how many packets that took.
pub(super) fn run(
    lab: &mut Lab,
    plan: &Plan,
    places: &Places,
    table: &Table,
    fates: &mut [Option<Fate>],
    progress: &mut impl FnMut(&str),
) -> Result<u64, Failure> {
    let mine: Vec<usize> = (0..plan.probes.len())
        .filter(|at| fates[*at].is_none())
        .filter(|at| sender(&plan.probes[*at].connection).is_none_or(|owner| lab.can_be(owner)))
        .collect();
    lab.adopt(&plan.own);
    // Where a local proxy takes what is published, that address is the host's.
    lab.adopt(&places.published.both());
    let mut runner = Runner { lab, plan, places, packets: 0, unsent: BTreeMap::new() };
    progress(&format!("sending {} packets without the policy", mine.len()));
    let control = runner.pass(&mine, false)?;
    runner
        .lab
        .host
        .rules
        .commit(&Transaction::create(table), None)
        .map_err(|error| Failure::Refused(error.to_string()))?;
    progress(&format!("sending {} packets against the policy", mine.len()));
    let real = runner.pass(&mine, true)?;
    for at in &mine {
        let number = number(*at);
        let fate = if let Some(errno) = runner.unsent.get(at) {
            Fate::Untried(format!("the kernel does not send it: {errno}"))
        } else if !control.late.contains(&number) {
            Fate::Untried(stopped(&plan.probes[*at].connection).to_owned())
        } else if real.late.contains(&number) {
            Fate::Judged(Verdict::Allow)
        } else if real.refused.contains(&number) {
            Fate::Judged(Verdict::Reject)
        } else if real.early.contains(&number) {
            Fate::Judged(Verdict::Block)
        } else {
            Fate::Untried("it did not arrive".to_owned())
        };
        fates[*at] = Some(fate);
    }
    Ok(runner.packets)
}

/// Why a packet did not even get through without a policy.
fn stopped(connection: &Connection) -> &'static str {
    if connection.from.is_loopback() {
        "the kernel itself drops it, with any policy"
    } else {
        "it does not get through without the policy either"
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(0)
}

fn round(probe: &Probe) -> Round {
    match &probe.connection.path {
        Path::Forward { .. } if probe.led => Round::Led,
        Path::In { .. } => Round::In,
        Path::Out { iface, .. } => Round::Out(iface.clone()),
        Path::Forward { addressed: None, .. } => Round::Forward,
        Path::Forward { addressed: Some(_), .. } => Round::Published,
    }
}

struct Runner<'a> {
    lab: &'a mut Lab,
    plan: &'a Plan,
    places: &'a Places,
    packets: u64,
    unsent: BTreeMap<usize, rustix::io::Errno>,
}

impl Runner<'_> {
    fn pass(&mut self, probes: &[usize], judged: bool) -> Result<Seen, Failure> {
        meter::install(&self.lab.host.rules, Place::Host, probes.len())?;
        for side in self.lab.outside.values() {
            meter::install(&side.rules, Place::Outside, probes.len())?;
        }
        let mut rounds: BTreeMap<Round, Vec<usize>> = BTreeMap::new();
        for at in probes {
            rounds.entry(round(&self.plan.probes[*at])).or_default().push(*at);
        }
        for (round, probes) in &rounds {
            self.prepare(round, probes)?;
            self.send_all(probes, judged)?;
            self.clean(round)?;
        }
        let home = self.places.interfaces.first().cloned().unwrap_or_default();
        self.lab.leave_by(&home)?;
        self.read()
    }

    /// Sends; and again, a few times, what did not go as it must without a policy or as promised with it. So a
    /// lost packet is no verdict, and a disagreement is one that stays.
    fn send_all(&mut self, probes: &[usize], judged: bool) -> Result<(), Failure> {
        let mut open: Vec<usize> = probes.to_vec();
        for attempt in 0..TRIES {
            for at in &open {
                self.send(*at);
                if attempt > 0 && open.len() < FEW {
                    std::thread::sleep(PACE);
                }
            }
            std::thread::sleep(SETTLE * (attempt + 1));
            let seen = self.read()?;
            open.retain(|at| {
                let number = number(*at);
                let promised = self.plan.doors[self.plan.probes[*at].door].promised;
                let (early, late) = (seen.early.contains(&number), seen.late.contains(&number));
                let missing = if judged {
                    let refused = seen.refused.contains(&number);
                    match promised {
                        Verdict::Allow | Verdict::Reject => !late && !refused,
                        Verdict::Block => !early,
                    }
                } else {
                    !late
                };
                missing && !self.unsent.contains_key(at)
            });
            if open.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn send(&mut self, at: usize) {
        let connection = &self.plan.probes[at].connection;
        let sent = self.lab.send(connection, MAGIC | number(at), sender(connection));
        self.packets += 1;
        if let Err(errno) = sent {
            self.unsent.insert(at, errno);
        } else {
            self.unsent.remove(&at);
        }
    }

    fn read(&self) -> Result<Seen, Failure> {
        let mut seen = meter::read(&self.lab.host.rules)?;
        for side in self.lab.outside.values() {
            seen.refused.extend(meter::read(&side.rules)?.refused);
        }
        Ok(seen)
    }

    fn addressed(&self, probes: &[usize]) -> BTreeSet<IpAddr> {
        probes.iter().map(|at| self.plan.probes[*at].connection.addressed()).collect()
    }

    fn prepare(&mut self, round: &Round, probes: &[usize]) -> Result<(), Failure> {
        match round {
            Round::In => {}
            Round::Forward => self.lab.lead(self.addressed(probes), &self.places.inner),
            Round::Led => {
                let ends: BTreeSet<IpAddr> =
                    probes.iter().map(|at| self.plan.probes[*at].connection.to).collect();
                self.lab.lead(ends, &self.places.inner);
            }
            Round::Published => {
                self.lab.lead(self.places.container.both(), &self.places.inner);
                let container = |to| (to, self.places.container.of(Family::of(to)));
                let pairs: Vec<_> = self.addressed(probes).into_iter().map(container).collect();
                meter::publish(&self.lab.host.rules, &pairs, CONTAINER_PORT)?;
            }
            Round::Out(iface) => self.lab.leave_by(iface)?,
        }
        Ok(())
    }

    fn clean(&mut self, round: &Round) -> Result<(), Failure> {
        match round {
            Round::Forward | Round::Led => self.lab.lead_nowhere(),
            Round::Published => {
                self.lab.lead_nowhere();
                meter::unpublish(&self.lab.host.rules)?;
            }
            Round::In | Round::Out(_) => {}
        }
        Ok(())
    }
}
