//! A policy for a host that has none, from who listens there: each sentence with the reason for it.

use super::find::{named, things};
use super::{Audit, Port, Sort};
use crate::net::{PortRange, Proto};
use crate::report::FileId;
use crate::syntax::format;
use std::fmt::Write as _;
use std::net::IpAddr;

/// So many ports for data are opened at most: those that IANA keeps for no service, 49152 to 65535, which manuals of
/// FTP servers recommend. More would take in ports of services that come later.
const MOST_DATA: u16 = 1 << 14;

/// What is known of the host besides who listens.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Around {
    /// What the host is called.
    pub host: String,
    /// The day, for the first line.
    pub day: String,
    /// Ports where SSH daemons listen.
    pub ssh: Vec<u16>,
    /// Where the administrator is now.
    pub peer: Option<IpAddr>,
    /// Who passes through this host, in words, and on which interfaces.
    pub guests: Vec<(String, String)>,
    /// Programs that serve guests of this host and nobody else.
    pub serves: Vec<Serves>,
    /// What FTP servers say about their ports for data.
    pub passive: Vec<Passive>,
}

/// What an FTP server says about its ports for data.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passive {
    /// Its program.
    pub program: String,
    /// The range; none where it takes any port.
    pub range: Option<PortRange>,
    /// Whether it refuses passive connections.
    pub off: bool,
    /// The file that says so, or could.
    pub file: String,
    /// What is set there, with `MIN` and `MAX` for the ports.
    pub set: String,
}

/// A program that serves guests of this host: nobody is asked about it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Serves {
    /// The program.
    pub program: String,
    /// What lets its guests come to it.
    pub sentence: String,
    /// What for.
    pub why: String,
}

/// What can be asked about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Candidates {
    /// Services that strangers may well be meant to reach.
    pub open: Vec<Candidate>,
    /// Services that they are seldom meant to reach.
    pub inner: Vec<Candidate>,
    /// Ports of containers.
    pub published: Vec<Candidate>,
}

/// Something that listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// How a sentence names it: `http`, `8443/tcp`.
    pub thing: String,
    /// What stands behind that in the sentence: `passive 50000-50100`.
    pub clause: Option<String>,
    /// Who listens where.
    pub why: String,
    /// Why strangers are seldom meant to reach it.
    pub sort: Option<Sort>,
}

/// What the administrator wants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wishes {
    /// From where SSH is let in, as values of the language; none for anyone.
    pub ssh_from: Option<String>,
    /// Things that are open to anyone.
    pub open: Vec<String>,
    /// From where what is seldom meant for strangers is let in; none for nobody.
    pub inner_from: Option<String>,
    /// Published ports that are open to anyone.
    pub published: Vec<String>,
}

impl Candidates {
    /// All that listens beyond the host, but SSH.
    #[must_use]
    pub fn of(audit: &Audit, around: &Around) -> Candidates {
        let mut all = Candidates::default();
        // Where no daemon was found, a sentence for the usual port is proposed all the same.
        let ssh = if around.ssh.is_empty() { &[22][..] } else { &around.ssh };
        let is_ssh = |port: &Port| port.proto == Proto::TCP && ssh.contains(&port.port);
        let for_guests = |port: &Port| {
            let is_known = |program: &String| around.serves.iter().any(|one| one.program == *program);
            !port.programs.is_empty() && port.programs.iter().all(is_known)
        };
        let asked = |port: &&Port| port.outside && !is_ssh(port) && !for_guests(port);
        for port in audit.ports.iter().filter(asked) {
            let (clause, data) = around.data_of(port, audit);
            let why = format!("{}{data}", why(port));
            let candidate = Candidate { thing: things(port), clause, why, sort: named(port) };
            let list = match (port.published, candidate.sort) {
                (true, _) => &mut all.published,
                (false, Some(_)) => &mut all.inner,
                (false, None) => &mut all.open,
            };
            if !list.iter().any(|known| known.thing == candidate.thing) {
                list.push(candidate);
            }
        }
        all
    }
}

impl Candidate {
    /// The sentence that lets everybody in.
    fn allow(&self) -> String {
        let clause = self.clause.iter().flat_map(|clause| [" ", clause]).collect::<String>();
        format!("allow {}{clause}", self.thing)
    }
}

impl Around {
    /// Which ports an FTP server takes for data, as a clause, and in words: without them clients log in and see nothing.
    fn data_of(&self, port: &Port, audit: &Audit) -> (Option<String>, String) {
        const FTP: (Proto, u16) = (Proto::TCP, 21);
        if port.published || (port.proto, port.port) != FTP {
            return (None, String::new());
        }
        let is_it = |one: &&Passive| port.programs.iter().any(|program| one.is(program));
        let Some(one) = self.passive.iter().find(is_it) else {
            return (None, "; its ports for data need `allow ftp passive MIN-MAX`".to_owned());
        };
        if one.off {
            return (None, String::new());
        }
        let against = one.range.and_then(|range| self.against(range, one, audit));
        if let (Some(range), None) = (one.range, &against) {
            return (Some(format!("passive {range}")), format!("; {} names its ports for data", one.file));
        }
        let against = against.map(|against| format!("{against}: ")).unwrap_or_default();
        let mut ranges =
            (50_000..=65_000).step_by(1000).filter_map(|first| PortRange::new(first, first + 100));
        let free = ranges.find(|range| self.against(*range, one, audit).is_none());
        let (min, max) = free.map_or(("MIN".to_owned(), "MAX".to_owned()), |range| {
            (range.first().to_string(), range.last().to_string())
        });
        let set = one.set.replace("MIN", &min).replace("MAX", &max);
        (None, format!("; {against}set {set} in {}, then `allow ftp passive {min}-{max}`", one.file))
    }

    /// Why ports for data are not opened: with them whoever else listens there would be open, SSH to anyone, too.
    fn against(&self, range: PortRange, server: &Passive, audit: &Audit) -> Option<String> {
        let ssh = self.ssh.iter().find(|port| range.contains(**port)).map(|port| format!("{port}/tcp"));
        let is_its = |port: &Port| {
            !port.published && !port.programs.is_empty() && port.programs.iter().all(|one| server.is(one))
        };
        let is_other = |port: &&Port| {
            port.proto == Proto::TCP && port.outside && range.contains(port.port) && !is_its(port)
        };
        if let Some(other) = ssh.or_else(|| audit.ports.iter().find(is_other).map(things)) {
            return Some(format!("{other} listens among its ports for data, {range}"));
        }
        let too_many = range.last() - range.first() >= MOST_DATA;
        too_many.then(|| format!("its ports for data, {range}, are too many to open"))
    }
}

impl Passive {
    /// pure-ftpd has programs of several names, which begin alike.
    fn is(&self, program: &str) -> bool {
        program.starts_with(&self.program)
    }
}

fn why(port: &Port) -> String {
    let who = if port.programs.is_empty() { "something".to_owned() } else { port.programs.join(", ") };
    match port.listens.as_slice() {
        _ if port.published => who,
        [all] if all == "all" => format!("{who} listens"),
        listens => format!("{who} listens at {}", listens.join(", ")),
    }
}

/// The text of the policy.
#[must_use]
pub fn propose(around: &Around, candidates: &Candidates, wishes: &Wishes) -> String {
    let mut out = format!(
        "# The firewall of {}, proposed by `doorward init` on {}.\n\
         # A sentence a line; order does not matter. `doorward check` finds mistakes,\n\
         # `doorward plan` tells what a change means, `doorward apply` tries it.\n\
         # What no sentence allows is blocked on its way in; what this host opens itself passes.\n\n",
        around.host, around.day
    );
    // Writing to a String cannot fail.
    let mut say = |sentence: &str, why: &str| {
        let _ =
            if why.is_empty() { writeln!(out, "{sentence}") } else { writeln!(out, "{sentence}   # {why}") };
    };
    say("allow ping", "so that others can see whether it is up");
    ssh(around, wishes, &mut say);
    for one in candidates.open.iter().filter(|one| wishes.open.contains(&one.thing)) {
        say(&one.allow(), &one.why);
    }
    for one in candidates.published.iter().filter(|one| wishes.published.contains(&one.thing)) {
        say(&format!("allow {}", one.thing), &one.why);
    }
    if let Some(from) = &wishes.inner_from {
        for one in &candidates.inner {
            let what = one.sort.map_or("", Sort::words);
            say(&format!("allow {} from {from}", one.thing), &format!("{}; it is {what}", one.why));
        }
    }
    for (what, on) in &around.guests {
        say(&format!("allow forward anything on {on}"), what);
    }
    for one in &around.serves {
        say(&one.sentence, &one.why);
    }
    let shut: Vec<&Candidate> = candidates
        .open
        .iter()
        .filter(|one| !wishes.open.contains(&one.thing))
        .chain(candidates.published.iter().filter(|one| !wishes.published.contains(&one.thing)))
        .chain(candidates.inner.iter().filter(|_| wishes.inner_from.is_none()))
        .collect();
    if !shut.is_empty() {
        say("\n# Not opened: these listen, and nobody can come.", "");
        for one in shut {
            let what = one.sort.map(|sort| format!("; it is {}", sort.words())).unwrap_or_default();
            say(&format!("#   {}   ({}{what})", one.allow(), one.why), "");
        }
    }
    say("\n# What must stay so, whatever becomes of the lines above.", "");
    let port = ssh_things(around);
    match &wishes.ssh_from {
        Some(from) => say(&format!("expect {port} from {from} is allowed"), ""),
        None => say(&format!("expect {port} from anyone is allowed"), ""),
    }
    for one in &candidates.inner {
        match &wishes.inner_from {
            Some(from) => say(&format!("expect {} from outside {from} is blocked", one.thing), ""),
            None => say(&format!("expect {} from anyone is blocked", one.thing), ""),
        }
    }
    say("\ninclude \"policy.d\"", "more sentences, a file for each purpose");
    // What it lays out is never refused, as a test sees to.
    format(FileId(0), &out).unwrap_or(out)
}

fn ssh(around: &Around, wishes: &Wishes, say: &mut impl FnMut(&str, &str)) {
    let things = ssh_things(around);
    let here = around.peer.map(|peer| format!("; you come from {peer}")).unwrap_or_default();
    match &wishes.ssh_from {
        Some(from) => say(&format!("allow {things} from {from}"), &format!("your way in{here}")),
        None => {
            let why = format!("your way in; the limit keeps guessing slow{here}");
            say(&format!("allow {things} limit 10/minute per source"), &why);
        }
    }
}

/// SSH where it listens.
fn ssh_things(around: &Around) -> String {
    let name = |port: &u16| if *port == 22 { "ssh".to_owned() } else { format!("{port}/tcp") };
    match around.ssh.as_slice() {
        [] => "ssh".to_owned(),
        ports => ports.iter().map(name).collect::<Vec<_>>().join(", "),
    }
}
