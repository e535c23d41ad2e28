//! The apply machine: which step comes next, given how the last one went; takes no step itself.
//!
//! Whoever runs it carries out a [`Step`] and says with an [`Event`] how it went, until the step is [`Step::End`].
//! What the machine knows of the world it is told by [`Seen`]; after a crash the next command begins there, so no
//! state of the machine has to survive. The order of writes is data here: to disk first, then the kernel, which is the
//! decision, then the pointer that says what boots.

mod state;

pub use state::Machine;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Puts a policy on trial.
    Try {
        /// Whether the command goes on after arming, to tell how it ends.
        waits: bool,
    },
    /// Puts a policy in force at once.
    Replace,
    /// Keeps what is on trial.
    Confirm {
        /// Whether it was shown that new connections are let in.
        shown: bool,
    },
    /// Ends a trial.
    RollBack,
    /// Loads what was confirmed last.
    Boot,
}

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// Look at the kernel and the disk: [`Event::Seen`].
    Look,
    /// Write the new generation to disk.
    Save,
    /// Take back what was saved last: it never was in force.
    Discard,
    /// Clear a trial away that is over.
    Settle,
    /// End the connections that a trial let in and that nobody judged since.
    Forget,
    /// Put the saved generation on trial.
    Arm,
    /// Put the saved generation in force.
    Replace,
    /// Read back what the kernel holds, and prove that it is what was meant.
    ReadBack,
    /// Put back what was in force before it was replaced.
    Restore,
    /// Wait for the trial to end, in one way or the other.
    Wait,
    /// End the trial in the kernel.
    Disarm,
    /// Keep what is on trial, in the kernel.
    Confirm,
    /// Write down that the generation in force is the one to boot.
    Point,
    /// End connections that the generation in force blocks.
    Cut,
    /// Load a generation into a kernel that has none.
    Load(Which),
    /// Nothing more to do.
    End(Ending),
}

/// What a boot loads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Which {
    /// What was confirmed last.
    Confirmed,
    /// What was confirmed before that.
    Previous,
    /// What is built in: replies, and SSH.
    Emergency,
}

/// How a step went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// As it should.
    Done,
    /// What is there.
    Seen(Seen),
    /// Somebody else changed the ruleset meanwhile; nothing was done.
    Raced,
    /// The trial was over already; nothing was done.
    Late,
    /// The kernel or the disk said no; nothing was done.
    Failed,
    /// The kernel runs this already, and the disk says so.
    Unchanged,
    /// Nobody said how it went.
    Unknown,
    /// What the kernel holds is not what was meant.
    Unequal,
    /// The trial was confirmed.
    Confirmed,
    /// The trial is over.
    Over,
    /// The trial was ended by whoever waits for it.
    Interrupted,
    /// Our table is gone.
    Gone,
}

/// What is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// In the kernel.
    pub kernel: Kernel,
    /// Whether the generation in force in the kernel is the one that the disk calls confirmed.
    pub pointed: bool,
    /// Whether the disk has a generation that can be loaded at boot.
    pub bootable: bool,
}

/// What our table in the kernel is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// No generation of ours is there.
    Nothing,
    /// One generation judges.
    Quiet {
        /// A trial left connections that are still to be judged.
        remains: bool,
        /// The disk knows this generation.
        known: bool,
        /// It is the one that this machine loaded.
        own: bool,
    },
    /// A trial goes on.
    Armed {
        /// It is the one that this machine armed.
        own: bool,
    },
    /// A trial is over, and its chains are still there.
    Over,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ending {
    /// The policy is in force for good.
    InForce,
    /// It was in force before: there is nothing to do.
    Unchanged,
    /// The policy is on trial, and nobody waits for it.
    OnTrial,
    /// The trial was confirmed.
    Confirmed,
    /// It was confirmed before; now the disk says so, too.
    Finished,
    /// It is confirmed in the kernel, but the disk could not be written: the next boot loads what was confirmed before.
    NotPointed,
    /// The trial ended without being confirmed; all is as before.
    Expired,
    /// The trial was ended; all is as before.
    RolledBack,
    /// There was no trial.
    NothingOnTrial,
    /// Another trial goes on.
    AnotherTrial,
    /// The confirmation came too late.
    Late,
    /// It was not shown that new connections are let in.
    NotShown,
    /// What the kernel held was not what was meant, and was taken back.
    NotAsMeant,
    /// What is in force is not what was meant, and what was there before could not be put back; the next boot loads what
    /// was confirmed before.
    InForceOtherwise,
    /// The kernel did not end the trial: it ends by itself in its time.
    NotEnded,
    /// Nobody said how it went, and the kernel cannot be read.
    Unsure,
    /// The generation could not be written to disk; the kernel was not touched.
    NotSaved,
    /// The kernel did not take it; all is as before.
    NotTaken,
    /// Others changed the ruleset all the time; all is as before.
    Busy,
    /// Somebody took our table away: the host is open.
    Gone,
    /// A generation is in force already.
    Already,
    /// This one was loaded.
    Loaded(Which),
    /// Nothing could be loaded: the host is open.
    NothingLoaded,
}
