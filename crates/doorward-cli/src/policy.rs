//! A policy as a command meets it: read, resolved against this host, with all that is to say about it.

use crate::exit::{Exit, Failure, Stop};
use crate::files::Disk;
use crate::host::{self, Facts};
use crate::json;
use crate::terminal::Terminal;
use crate::text::{Tone, count};
use doorward::meaning;
use doorward::report::{Report, Severity};
use doorward::resolve::{self, Files, Loaded, Resolved};

use serde_json::{Value, json};

/// A policy and what is to say about it.
pub(crate) struct Policy {
    /// As it was read.
    pub loaded: Loaded,
    /// Without names; none if it has errors.
    pub resolved: Option<Resolved>,
    /// Errors and warnings, in the order of the text.
    pub reports: Vec<Report>,
    /// What was asked of the host.
    pub facts: Facts,
}

/// A policy without errors.
pub(crate) struct Sound {
    /// As it was read.
    pub loaded: Loaded,
    /// Without names.
    pub resolved: Resolved,
    /// What names were resolved against.
    pub named: resolve::Host,
    /// What its meaning asks of the host.
    pub host: meaning::Host,
}

/// Reads and resolves. Mistakes are in the reports; where there is no text at all there is nothing to point at.
pub(crate) fn open(disk: &Disk) -> Result<Policy, Failure> {
    open_as(disk, disk.main(), host::facts)
}

/// The same from any files, with these facts.
fn open_as(files: &dyn Files, main: &str, facts: impl FnOnce(&Loaded) -> Facts) -> Result<Policy, Failure> {
    let loaded = resolve::load(files, main);
    if let Some(report) = loaded.reports.iter().find(|report| report.id == "policy-not-read") {
        let failure = Failure::new(Exit::System, &report.message);
        return Err(report.ways_out.iter().fold(failure, Failure::way_out));
    }
    let facts = facts(&loaded);
    let (resolved, reports) = resolve::resolve(&loaded, &facts.named);
    Ok(Policy { loaded, resolved, reports, facts })
}

/// Reads and resolves for a command that needs a policy without errors; what is to say is said.
pub(crate) fn need(disk: &Disk, json: bool, terminal: &mut Terminal) -> Result<Sound, Stop> {
    sound(open(disk)?, json, terminal, true)
}

/// The same from files that stand between the disk and the library.
pub(crate) fn need_through(
    files: &dyn Files,
    main: &str,
    json: bool,
    terminal: &mut Terminal,
) -> Result<Sound, Stop> {
    sound(open_as(files, main, host::facts)?, json, terminal, true)
}

/// A policy as it was resolved once, from what was read and asked then; of warnings it says nothing.
pub(crate) fn as_then(
    files: &dyn Files,
    main: &str,
    facts: Facts,
    json: bool,
    terminal: &mut Terminal,
) -> Result<Sound, Stop> {
    sound(open_as(files, main, |_| facts)?, json, terminal, false)
}

/// A policy that doorward brings itself.
pub(crate) fn need_from(
    files: &dyn Files,
    main: &str,
    json: bool,
    terminal: &mut Terminal,
) -> Result<Sound, Stop> {
    sound(open_as(files, main, host::facts)?, json, terminal, false)
}

/// The same for a step that has nobody to tell.
pub(crate) fn replayed(files: &dyn Files, main: &str, facts: Facts) -> Result<Sound, Failure> {
    let policy = open_as(files, main, |_| facts)?;
    let Facts { named, own } = policy.facts;
    let resolved = policy.resolved.ok_or_else(|| {
        Failure::new(
            Exit::System,
            "the policy of an earlier generation has mistakes for this version of doorward",
        )
    })?;
    Ok(Sound { loaded: policy.loaded, resolved, named, host: own })
}

/// The same as [`need`] for a command that is about something else than the text: of warnings it says nothing.
pub(crate) fn need_quietly(disk: &Disk, json: bool, terminal: &mut Terminal) -> Result<Sound, Stop> {
    sound(open(disk)?, json, terminal, false)
}

fn sound(policy: Policy, json: bool, terminal: &mut Terminal, warnings: bool) -> Result<Sound, Stop> {
    let errors = policy.errors();
    if json && policy.resolved.is_none() {
        let mut value = json::failure(&broken(errors));
        if let Some(error) = value.get_mut("error").and_then(Value::as_object_mut) {
            error.insert("reports".to_owned(), json::reports(&policy.reports, &policy.loaded.sources));
        }
        terminal.json(&value);
    } else if !json && (warnings || policy.resolved.is_none()) {
        policy.show(terminal, false);
    }
    match policy.resolved {
        Some(resolved) => {
            let Facts { named, own } = policy.facts;
            Ok(Sound { loaded: policy.loaded, resolved, named, host: own })
        }
        None => {
            if !json {
                terminal.failure(&broken(errors));
            }
            Err(Stop::Said(Exit::Policy))
        }
    }
}

fn broken(errors: usize) -> Failure {
    Failure::new(Exit::Policy, format!("the policy has {}", count(errors, "error")))
}

impl Sound {
    /// What was asked of the host.
    pub(crate) fn facts(&self) -> Facts {
        Facts { named: self.named.clone(), own: self.host.clone() }
    }
}

impl Policy {
    /// How many reports are errors.
    pub(crate) fn errors(&self) -> usize {
        self.of(Severity::Error)
    }

    /// How many reports are warnings.
    pub(crate) fn warnings(&self) -> usize {
        self.of(Severity::Warning)
    }

    fn of(&self, severity: Severity) -> usize {
        self.reports.iter().filter(|report| report.severity == severity).count()
    }

    /// Shows all reports, on standard output if they are what was asked for.
    pub(crate) fn show(&self, terminal: &mut Terminal, asked: bool) {
        for report in &self.reports {
            let tone = match report.severity {
                Severity::Error => Tone::Bad,
                Severity::Warning => Tone::Doubtful,
            };
            terminal.report(&report.render(&self.loaded.sources), tone, asked);
        }
    }

    /// The reports for other programs.
    pub(crate) fn json(&self) -> Value {
        json!(json::reports(&self.reports, &self.loaded.sources))
    }
}
