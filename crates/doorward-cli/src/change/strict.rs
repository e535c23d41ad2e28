//! Connections that the kernel will never know: those from before the first load, where it takes none up in its
//! middle. Names them, and helps none.

use crate::exit::Failure;
use crate::kernel::unread;
use doorward_kernel::KernelError;
use doorward_kernel::conntrack::{Conntrack, Tuple, Which};
use std::collections::HashSet;
use std::net::SocketAddr;

/// Whether connection tracking takes up what it has not seen begin. Not there before anything is tracked, and then the
/// kernel's own word is yes.
const LOOSE: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose";

/// An open connection: its peer, and the end of this host.
type Ends = (SocketAddr, SocketAddr);

/// Which of these will not be established for the kernel, whatever they say: they go on as long as the rules remember
/// them, and not longer.
pub(super) fn never_known(open: &[Ends]) -> Result<Vec<Ends>, Failure> {
    let strict = std::fs::read_to_string(LOOSE).is_ok_and(|value| value.trim() == "0");
    if !strict || open.is_empty() {
        return Ok(Vec::new());
    }
    // Where rules of others look at connections, most are tracked already.
    let mut tracked = HashSet::new();
    let conntrack = Conntrack::open().map_err(|error| unread(&error))?;
    match conntrack.list(Which::All) {
        Ok(entries) => tracked.extend(entries.iter().flat_map(|entry| [entry.original, entry.reply])),
        // A kernel that never tracked anything has none.
        Err(KernelError::Refused { .. }) => {}
        Err(error) => return Err(unread(&error)),
    }
    let known = |(peer, host): &Ends| {
        // By its replies, too: what the peer addressed may be another port than that of the socket.
        tracked.contains(&Tuple::tcp(*peer, *host)) || tracked.contains(&Tuple::tcp(*host, *peer))
    };
    Ok(open.iter().filter(|ends| !known(ends)).copied().collect())
}
