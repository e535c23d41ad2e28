//! Why the kernel did not take a transaction, and what it lacks; loads nothing itself.

use crate::exit::Failure;
use crate::kernel;
use doorward::ruleset::Transaction;
use doorward_kernel::{Anywhere, CommitError, Socket, abilities};

/// The kernel's refusal, and what it lacks, if it lacks something.
pub(crate) fn explained(
    error: &CommitError,
    transaction: &Transaction,
    socket: &Socket<Anywhere>,
) -> Failure {
    let mut failure = kernel::refused(error, transaction);
    let permitted = |one: &doorward_kernel::Refusal| one.errno != rustix::io::Errno::PERM;
    if matches!(error, CommitError::Refused(list) if list.iter().all(permitted))
        && let Ok(missing) = abilities::missing(socket)
    {
        for one in missing {
            let load = one
                .module
                .map(|module| format!("; `modprobe {module}` loads it, where it was built"))
                .unwrap_or_default();
            failure = failure.way_out(format!("this kernel has no {}{load}", one.name));
        }
    }
    failure
}
