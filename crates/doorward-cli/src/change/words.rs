//! What the world says of itself: which generation is meant, what judges now, why a confirmation is refused.

use super::World;
use crate::exit::{Exit, Failure};
use crate::session::Asker;
use crate::store::Who;
use doorward::compile::{self, Phase};
use doorward_kernel::conntrack::{Conntrack, Tuple};

/// What judges after the worst of boots.
const EMERGENCY: &str =
    "what is built in for emergencies is in force: only replies, SSH and what a host needs are let in";

/// Who started this command.
pub(crate) fn who(world: &mut World<'_>) -> Who {
    let uid = rustix::process::getuid().as_raw();
    let peer = match world.asker() {
        Asker::Remote { connections } => connections.first().map(|session| session.remote.ip()),
        _ => None,
    };
    Who { uid, name: crate::host::user_name(uid), peer }
}

impl World<'_> {
    /// The generation that was made ready.
    pub(crate) fn generation_words(&self) -> String {
        let id = self.ready.as_ref().and_then(|ready| ready.id);
        let number = self.ready.as_ref().map(|ready| u64::from(ready.number));
        id.or(number).map_or_else(|| "the policy".to_owned(), |id| format!("generation {id}"))
    }

    fn called(&self, number: u8) -> String {
        format!("generation {}", self.on_disk(number).unwrap_or_else(|| number.into()))
    }

    /// What judges now.
    pub(crate) fn now_words(&self) -> String {
        let Ok(held) = self.held() else { return "the firewall cannot be read".to_owned() };
        match held.phase() {
            Phase::Quiet { .. } if held.is_emergency() => EMERGENCY.to_owned(),
            Phase::Quiet { generation, .. } => format!("{} is in force", self.called(generation)),
            Phase::Trial { new, left: Some(left), .. } => {
                if let Some(word) = held.table.as_ref().and_then(crate::kernel::brief) {
                    return format!("`doorward {word}` holds for another {} s", left.div_ceil(1000));
                }
                format!("{} is on trial for another {} s", self.called(new), left.div_ceil(1000))
            }
            Phase::Trial { old: Some(old), .. } => format!("{} is in force", self.called(old)),
            Phase::Idle | Phase::Trial { old: None, .. } => "the host has no firewall of ours".to_owned(),
        }
    }

    /// What becomes of a trial that nobody confirms.
    pub(crate) fn afterwards(&self) -> String {
        match self.before.as_ref().and_then(compile::in_force) {
            Some(number) => format!("{} judges again", self.called(number)),
            None => "the host has no firewall again".to_owned(),
        }
    }

    /// Whether the asking session shows that new connections are let in: the trial wrote its number into the mark of
    /// its connection. Who sits at the machine needs no way in.
    pub(crate) fn shows_the_way_in(&mut self) -> Result<bool, Failure> {
        let Phase::Trial { new, .. } = self.held()?.phase() else { return Ok(false) };
        let connections = match self.asker() {
            Asker::Console { .. } => return Ok(true),
            Asker::Unknown { .. } => return Ok(false),
            Asker::Remote { connections } => connections,
        };
        let conntrack = Conntrack::open().map_err(|error| crate::kernel::unread(&error))?;
        for session in connections {
            // By its replies: what the peer addressed may be another port than that of the socket.
            let tuple = Tuple::tcp(session.local, session.remote);
            let entry = conntrack.find(&tuple, None).map_err(|error| crate::kernel::unread(&error))?;
            let mark = entry.map_or(0, |entry| entry.mark);
            if mark & compile::GENERATION_BITS == compile::mark_of(new) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why a confirmation is refused, and what helps.
    pub(crate) fn not_shown(&mut self) -> Failure {
        let left = self.now_words();
        let failure = match self.asker() {
            Asker::Remote { connections } => {
                let from = connections.first().map(|session| session.remote.to_string()).unwrap_or_default();
                Failure::new(
                    Exit::Refused,
                    format!("this session (from {from}) was there before the trial: it does not show that you can come in"),
                )
                .way_out("open a NEW ssh session (not one that shares this connection) and run `doorward confirm` there")
            }
            Asker::Console { .. } => {
                Failure::new(Exit::Refused, "this terminal was not found to be a local one")
            }
            Asker::Unknown { why } => {
                Failure::new(Exit::Refused, format!("no session was found behind this command: {why}"))
                    .way_out("run `doorward confirm` in a new ssh session")
            }
        };
        failure
            .way_out(
                "`doorward confirm --here` keeps it without that; if you are locked out then, it stays so",
            )
            .way_out(left)
    }
}
