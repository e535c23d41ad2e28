//! One doorward at a time changes the firewall: a lock in a file, held as long as the value lives.

use crate::cli::STATE;
use crate::exit::{Exit, Failure};
use crate::terminal::Terminal;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So long another one is waited for: more than the largest policy needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// So often it is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// The lock. The kernel lets go of it when the process ends, however it ends.
#[must_use]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock; waits for whoever has it.
pub(crate) fn take(state: &Path, terminal: &mut Terminal) -> Result<Lock, Failure> {
    // What is said for state is meant for all that is kept beside the policy.
    let folder = if state == Path::new(STATE) { PathBuf::from("/run/doorward") } else { state.to_owned() };
    let path = folder.join("lock");
    let refused = |error: std::io::Error| {
        Failure::new(Exit::System, format!("`{}` cannot be locked: {error}", path.display()))
            .way_out("run it as root, or name a folder of yours with --state")
    };
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(refused)?;
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
    let mut file = options.open(&path).map_err(refused)?;
    let began = Instant::now();
    let mut said = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if began.elapsed() < PATIENCE => {
                if !said {
                    terminal.progress(&format!("waiting for {}", holder(&mut file)), true);
                    said = true;
                }
                std::thread::sleep(PAUSE);
            }
            Err(Errno::WOULDBLOCK) => {
                let seconds = PATIENCE.as_secs();
                let message = format!("{} has been changing the firewall for {seconds} s", holder(&mut file));
                return Err(Failure::new(Exit::System, message).way_out("try again when it is done"));
            }
            Err(errno) => return Err(refused(errno.into())),
        }
    }
    // Only for the message above: not knowing who it is does no harm.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(Lock { _file: file })
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("another doorward (process {pid})"),
        _ => "another doorward".to_owned(),
    }
}
