//! Sends a transaction and tells for each mistake of it which step it was, and what in that step.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Deref;

use doorward::ruleset::{Checked, Step, Transaction};
use rustix::io::Errno;

use crate::encode::{Batch, StepTooLong, batch};
use crate::guard::{Guard, Own};
use crate::message::Answer;
use crate::place::{Place, locate};
use crate::read::{Generation, Reader};
use crate::reason;
use crate::socket::KernelError;

/// A socket that may change the ruleset of the namespace in which it was opened.
///
/// Closing it after a commit waits some milliseconds for the kernel: say what is to be said first.
///
/// What it takes depends on where it is: anything in a namespace of one's own, elsewhere only what was proven.
pub struct Socket<Where = Own> {
    reader: Reader,
    place: PhantomData<Where>,
}

/// Why a transaction did not take effect. Nothing of it did.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else changed the ruleset since the generation that was named.
    #[error("somebody else changed the firewall meanwhile")]
    Raced,
    /// The kernel found mistakes, in the order of the steps.
    #[error("the kernel refused this: {}", .0.first().map_or("no reason given", |one| one.reason.as_str()))]
    Refused(Vec<Refusal>),
    /// It does not fit into the send buffer, which only root of the host may enlarge.
    #[error(
        "the transaction has {bytes} bytes and only {room} fit: inside a user namespace SO_SNDBUFFORCE is \
         not permitted (root of the host may, or raise net.core.wmem_max)"
    )]
    NoRoom {
        /// Its size.
        bytes: usize,
        /// What fits.
        room: usize,
    },
    /// A step has a part that is longer than netlink can say.
    #[error("step {step} has a part that is longer than netlink can say")]
    TooLong {
        /// Index of the step.
        step: usize,
    },
    /// What was sealed is no batch that this crate writes.
    #[error("what was sealed is no transaction")]
    NotOurs,
    /// The kernel did not say how it went.
    #[error("the kernel did not answer: read the firewall again to see what it holds")]
    NoAnswer,
    /// The socket failed.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Index of the step; none if it is the whole transaction.
    pub step: Option<usize>,
    /// What in the step, where the kernel says so.
    pub place: Option<Place>,
    /// The kernel's number.
    pub errno: Errno,
    /// The kernel's own words, if it has any.
    pub text: Option<String>,
    /// The same for people: lower case, one line.
    pub reason: String,
    /// The kernel module that may be missing.
    pub module: Option<String>,
}

impl<Where> Deref for Socket<Where> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Socket<Own> {
    /// Sends any transaction: all of it takes effect, or nothing. With a generation it is refused as
    /// [`CommitError::Raced`] when the ruleset has moved on since.
    pub fn commit(
        &self,
        transaction: &Transaction,
        generation: Option<Generation>,
    ) -> Result<(), CommitError> {
        self.send(transaction, generation)
    }
}

impl<Where> Socket<Where> {
    /// Opens a socket where the guard looked.
    pub fn open(guard: Guard<Where>) -> Result<Socket<Where>, KernelError> {
        if !guard.holds() {
            return Err(KernelError::Moved);
        }
        Ok(Socket { reader: Reader::open()?, place: PhantomData })
    }

    /// Sends a transaction that was proven, in the same way.
    pub fn load(
        &self,
        transaction: &Checked<Transaction>,
        generation: Option<Generation>,
    ) -> Result<(), CommitError> {
        self.send(transaction, generation)
    }

    pub(crate) fn send(
        &self,
        transaction: &Transaction,
        generation: Option<Generation>,
    ) -> Result<(), CommitError> {
        let batch = batch(transaction, generation.map(|g| g.0))
            .map_err(|StepTooLong(step)| CommitError::TooLong { step })?;
        if batch.messages.is_empty() {
            return Ok(());
        }
        self.send_batch(&batch, || Some(Cow::Borrowed(transaction)))
    }

    /// Sends what is encoded; the transaction is asked for only where its mistakes are to be told.
    pub(crate) fn send_batch<'t>(
        &self,
        batch: &Batch,
        transaction: impl FnOnce() -> Option<Cow<'t, Transaction>>,
    ) -> Result<(), CommitError> {
        self.channel.make_room(batch.bytes.len());
        match self.channel.send(&batch.bytes) {
            Ok(()) => {}
            Err(Errno::MSGSIZE) => {
                return Err(CommitError::NoRoom { bytes: batch.bytes.len(), room: self.channel.room() });
            }
            Err(errno) => {
                return Err(KernelError::Io { what: crate::read::RULES, errno }.into());
            }
        }
        let mut answers = Vec::new();
        let mut acknowledged = false;
        let mut raced = false;
        let heard = self.channel.answers(|message| {
            let Some(answer) = message.answer() else {
                return;
            };
            if answer.errno == 0 {
                acknowledged = true;
            } else if Errno::from_raw_os_error(answer.errno) == STALE {
                raced = true;
            } else {
                answers.push((message.seq, answer));
            }
        });
        // The kernel has it already: where its answer cannot be read, nobody knows how it went.
        let lost = heard.unwrap_or(true);
        if raced {
            return Err(CommitError::Raced);
        }
        if !answers.is_empty() {
            let transaction = transaction().ok_or(CommitError::NotOurs)?;
            let mut refusals: Vec<Refusal> =
                answers.into_iter().map(|(seq, answer)| refusal(batch, &transaction, seq, answer)).collect();
            refusals.sort_by_key(|one| one.step);
            return Err(CommitError::Refused(refusals));
        }
        if acknowledged && !lost {
            return Ok(());
        }
        Err(CommitError::NoAnswer)
    }
}

/// `ERESTART`: another generation than the one that was named.
const STALE: Errno = Errno::from_raw_os_error(85);

fn refusal(batch: &Batch, transaction: &Transaction, seq: u32, answer: Answer) -> Refusal {
    let errno = Errno::from_raw_os_error(answer.errno);
    let sent = (seq as usize).checked_sub(1).and_then(|index| batch.messages.get(index));
    let place = sent
        .zip(answer.offset)
        .and_then(|(sent, offset)| locate(&batch.bytes[sent.at..], offset, sent.first));
    let step = sent.map(|sent| sent.step).filter(|step| {
        // What is found only after all steps were taken is told of the first of them.
        let whole = sent.is_some_and(|sent| sent.at == batch.messages[0].at)
            && place.is_none()
            && errno == Errno::INVAL
            && matches!(transaction.steps[*step], Step::AddTable { .. });
        !whole
    });
    let (reason, module) = reason::of(transaction, step, place.as_ref(), errno, answer.text.as_deref());
    Refusal { step, place, errno, text: answer.text, reason, module }
}
