//! One doorward at a time changes the firewall: a lock in a file, held as long as the value lives.

use crate::cli::STATE;
use crate::exit::{Exit, Failure};
use crate::folder::Folder;
use crate::terminal::Terminal;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Its name in the folder.
const NAME: &str = "lock";
/// So long another one is waited for: more than the largest policy needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// So often it is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// The lock. The kernel lets go of it when the process ends, however it ends.
#[must_use]
pub(crate) struct Lock {
    folder: Folder,
    file: File,
}

impl Lock {
    /// Lets go of it for a while, so that others can change the firewall.
    pub(crate) fn pause(&self) {
        // What cannot be let go of now is so at the end of the process.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }

    /// Takes it again; waits for whoever has it.
    pub(crate) fn resume(&self, terminal: &mut Terminal) -> Result<(), Failure> {
        let file = &self.file;
        let began = Instant::now();
        let mut said = false;
        loop {
            match flock(file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) if began.elapsed() < PATIENCE => {
                    if !said {
                        terminal.progress(&format!("waiting for {}", holder(file)), true);
                        said = true;
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::WOULDBLOCK) => {
                    let seconds = PATIENCE.as_secs();
                    let message = format!("{} has been changing the firewall for {seconds} s", holder(file));
                    return Err(Failure::new(Exit::System, message).way_out("try again when it is done"));
                }
                Err(errno) => return Err(self.folder.failed(NAME, "be locked", &errno.into())),
            }
        }
    }
}

/// Takes the lock; waits for whoever has it.
pub(crate) fn take(state: &Path, terminal: &mut Terminal) -> Result<Lock, Failure> {
    // What is said for state is meant for all that is kept beside the policy.
    let folder = if state == Path::new(STATE) { PathBuf::from("/run/doorward") } else { state.to_owned() };
    let folder = Folder::make(&folder)?;
    let file = folder.always(NAME)?;
    let lock = Lock { folder, file };
    lock.resume(terminal)?;
    Ok(lock)
}

/// Who has the lock, from the kernel's own list: writing it down would cost every process that does not wait.
fn holder(file: &File) -> String {
    let inode = file.metadata().map_or(0, |data| data.ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    match locks.lines().find_map(|line| holder_in(line, inode)) {
        Some(pid) => format!("another doorward (process {pid})"),
        None => "another doorward".to_owned(),
    }
}

/// `5: FLOCK  ADVISORY  WRITE 4711 fe:01:262211 0 EOF`
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, pid, place, ..] = fields.as_slice() else { return None };
    let here = place.rsplit(':').next()?.parse() == Ok(inode);
    pid.parse().ok().filter(|_| here)
}

#[cfg(test)]
mod tests {
    use super::holder_in;

    #[test]
    fn the_kernels_list_of_locks() {
        let line = "5: FLOCK  ADVISORY  WRITE 4711 fe:01:262211 0 EOF";
        assert_eq!(holder_in(line, 262_211), Some(4711));
        assert_eq!(holder_in(line, 262_212), None);
        // One that waits is no holder.
        assert_eq!(holder_in("5: -> FLOCK  ADVISORY  WRITE 4712 fe:01:262211 0 EOF", 262_211), None);
        assert_eq!(holder_in("6: POSIX  ADVISORY  WRITE 4713 fe:01:262211 0 EOF", 262_211), None);
        assert_eq!(holder_in("", 262_211), None);
    }
}
