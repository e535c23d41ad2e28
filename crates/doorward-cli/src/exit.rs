//! How a command ends: one of six codes, and the words that go with a failure; knows no command.

use std::fmt::Display;
use std::process::ExitCode;

/// What the command tells the shell. There are no other codes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Done, or true.
    Done = 0,
    /// A claim is false.
    False = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The policy has errors.
    Policy = 3,
    /// Refused for safety.
    Refused = 4,
    /// The kernel or the system said no.
    System = 5,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    /// The code.
    pub exit: Exit,
    /// What is wrong, a line each; lower case.
    pub messages: Vec<String>,
    /// What to do about it, a line each.
    pub ways_out: Vec<String>,
    /// What it means for the host, if anything was at stake.
    pub closing: Option<&'static str>,
}

impl Failure {
    /// A failure with this message.
    pub(crate) fn new(exit: Exit, message: impl Display) -> Failure {
        Failure { exit, messages: vec![message.to_string()], ways_out: Vec::new(), closing: None }
    }

    /// The same, with a way out.
    pub(crate) fn way_out(mut self, text: impl Display) -> Failure {
        self.ways_out.push(text.to_string());
        self
    }

    /// The same, with what it means for the host.
    pub(crate) fn closing(mut self, text: &'static str) -> Failure {
        self.closing = Some(text);
        self
    }
}

/// Why a command ends early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// All is said.
    Said(Exit),
    /// This is to be said.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}
