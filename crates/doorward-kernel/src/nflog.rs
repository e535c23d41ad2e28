//! Packets that rules show to a listener (nflog): one group, read as it comes; knows no prefix by meaning.
//!
//! The kernel's side is `net/netfilter/nfnetlink_log.c`. A group has one listener at a time. What arrives faster than
//! it is read is lost, and that is told: the kernel says so, and numbers what it sends.

use std::ops::ControlFlow;
use std::time::Duration;

use doorward::ruleset::{Hook, TableFamily};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities};

use crate::conntrack::{Tuple, read_original};
use crate::decode::hook_of;
use crate::message::{Message, Messages, NFGEN};
use crate::socket::{Channel, KernelError};
use crate::wire::{Attrs, Writer, array, text};

/// `NETLINK_NETFILTER`.
const NETFILTER: isize = 12;
const WHAT: &str = "logged packets";
/// `NFNL_SUBSYS_ULOG`, with `NFULNL_MSG_PACKET` and `NFULNL_MSG_CONFIG`.
const PACKET: u16 = 4 << 8;
const CONFIG: u16 = 4 << 8 | 1;
/// Headers and not more: an IPv6 header with some extensions, and ports.
const RANGE: u32 = 128;
/// Packets wait here until they are read, in bytes.
const ROOM: usize = 1 << 20;

/// `NFULA_CFG_*`.
mod cfg {
    pub(super) const CMD: u16 = 1;
    pub(super) const MODE: u16 = 2;
    pub(super) const QTHRESH: u16 = 5;
    pub(super) const FLAGS: u16 = 6;
    pub(super) const BIND: u8 = 1;
    pub(super) const COPY_PACKET: u8 = 2;
    /// Each message carries a number of the group.
    pub(super) const SEQ: u16 = 1;
    /// … and the connection of its packet.
    pub(super) const CONNTRACK: u16 = 4;
}

/// `NFULA_*`.
mod nfula {
    pub(super) const PACKET_HDR: u16 = 1;
    pub(super) const TIMESTAMP: u16 = 3;
    pub(super) const IN: u16 = 4;
    pub(super) const OUT: u16 = 5;
    pub(super) const PAYLOAD: u16 = 9;
    pub(super) const PREFIX: u16 = 10;
    pub(super) const UID: u16 = 11;
    pub(super) const SEQ: u16 = 12;
    pub(super) const CT: u16 = 18;
}

/// A packet as the kernel shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The words of the rule.
    pub prefix: String,
    /// When it was received, since 1970; the kernel does not say it of every packet.
    pub time: Option<Duration>,
    /// Where it met the rule.
    pub hook: Hook,
    /// Interface that it came in by.
    pub iif: Option<u32>,
    /// Interface that it would leave by.
    pub oif: Option<u32>,
    /// Whose socket sent it.
    pub uid: Option<u32>,
    /// The connection that it belongs to, as its opener addressed it; not said where nothing tracks, or cannot tell.
    pub original: Option<Tuple>,
    /// Its beginning, from the network header on.
    pub bytes: Vec<u8>,
}

/// What is heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A packet.
    Packet(Shown),
    /// Packets arrived faster than they were read; how many were lost, the next one tells.
    Overrun,
    /// So many were lost before the next one.
    Lost(u32),
}

/// Why nothing can be heard.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens already.
    #[error("another program listens to the same packets (nflog group {0})")]
    Taken(u16),
    /// The kernel could not be asked.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Listens to one group in the network namespace in which it was opened. Needs `CAP_NET_ADMIN` there.
pub struct Listener {
    channel: Channel,
    /// The number that the next packet has.
    next: Option<u32>,
}

impl Listener {
    /// Starts to listen.
    pub fn open(group: u16) -> Result<Listener, ListenError> {
        Listener::with_room(group, ROOM)
    }

    /// Starts to listen; so many bytes wait until they are read.
    pub fn with_room(group: u16, room: usize) -> Result<Listener, ListenError> {
        let channel = Channel::open(NETFILTER, WHAT)?;
        channel.receive_room(room);
        // In one message, so that nothing is shown before all is set.
        let ask = |flags: u16| {
            let body = |w: &mut Writer| {
                w.raw(&[0, 0]);
                w.raw(&group.to_be_bytes());
                w.u8(cfg::CMD, cfg::BIND);
                let [a, b, c, d] = RANGE.to_be_bytes();
                w.put(cfg::MODE, &[a, b, c, d, cfg::COPY_PACKET, 0]);
                // Each at once: rules limit how many there are.
                w.be32(cfg::QTHRESH, 1);
                w.be16(cfg::FLAGS, flags);
            };
            channel.request(CONFIG, 0, body, |_| {})
        };
        let asked = match ask(cfg::SEQ | cfg::CONNTRACK) {
            // It cannot tell connections. Nothing was done: that is looked at first.
            Err(KernelError::Refused { errno: Errno::OPNOTSUPP, .. }) => ask(cfg::SEQ),
            asked => asked,
        };
        match asked {
            Ok(()) => Ok(Listener { channel, next: Some(0) }),
            // The kernel has one word for this and for a lack of rights.
            Err(KernelError::Refused { errno: Errno::PERM | Errno::BUSY, .. }) if may() => {
                Err(ListenError::Taken(group))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for what comes next, so long at most, and hands over all that is there by then.
    pub fn hear(&mut self, patience: Duration, mut each: impl FnMut(Heard)) -> Result<(), KernelError> {
        let next = &mut self.next;
        self.channel.listen(patience, |heard| {
            match heard {
                None => each(Heard::Overrun),
                Some(bytes) => {
                    for (shown, seq) in Messages::new(bytes).filter_map(|message| read(&message)) {
                        if let Some(seq) = seq {
                            let lost = next.map_or(0, |next| seq.wrapping_sub(next));
                            if lost > 0 {
                                each(Heard::Lost(lost));
                            }
                            *next = Some(seq.wrapping_add(1));
                        }
                        each(Heard::Packet(shown));
                    }
                }
            }
            ControlFlow::Continue(())
        })
    }
}

/// Whether this thread may do such things at all.
fn may() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN))
}

fn read(message: &Message) -> Option<(Shown, Option<u32>)> {
    if message.kind != PACKET {
        return None;
    }
    let mut shown = Shown {
        prefix: String::new(),
        time: None,
        hook: Hook::Other(u32::MAX),
        iif: None,
        oif: None,
        uid: None,
        original: None,
        bytes: Vec::new(),
    };
    let mut seq = None;
    let number = |payload: &[u8]| array(payload, 0).map(u32::from_be_bytes);
    for (kind, payload) in Attrs::new(message.body.get(NFGEN..)?) {
        match kind {
            nfula::PACKET_HDR => shown.hook = hook_of(TableFamily::Inet, (*payload.get(2)?).into()),
            nfula::TIMESTAMP => {
                let seconds = array(payload, 0).map(u64::from_be_bytes);
                let micros = array(payload, 8).map(u64::from_be_bytes).filter(|micros| *micros < 1_000_000);
                shown.time = seconds
                    .zip(micros)
                    .map(|(whole, part)| Duration::from_secs(whole) + Duration::from_micros(part));
            }
            nfula::IN => shown.iif = number(payload),
            nfula::OUT => shown.oif = number(payload),
            nfula::PAYLOAD => shown.bytes = payload.to_vec(),
            nfula::PREFIX => shown.prefix = text(payload),
            nfula::UID => shown.uid = number(payload),
            nfula::CT => shown.original = read_original(payload),
            nfula::SEQ => seq = number(payload),
            _ => {}
        }
    }
    Some((shown, seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut w = Writer::default();
        let open = w.begin(PACKET, 0, 0);
        w.raw(&[2, 0, 0, 7]);
        fill(&mut w);
        w.end(open);
        w.finish().unwrap()
    }

    #[test]
    fn a_packet_is_read() {
        let bytes = message(|w| {
            w.put(nfula::PACKET_HDR, &[8, 0, 1, 0]);
            w.str(nfula::PREFIX, "doorward block");
            w.put(nfula::TIMESTAMP, &[5u64.to_be_bytes(), 7u64.to_be_bytes()].concat());
            w.be32(nfula::IN, 3);
            w.be32(nfula::UID, 1000);
            w.be32(nfula::SEQ, 9);
            w.put(nfula::PAYLOAD, &[0x45, 0]);
        });
        let (shown, seq) = read(&Messages::new(&bytes).next().unwrap()).unwrap();
        assert_eq!((shown.prefix.as_str(), shown.hook, seq), ("doorward block", Hook::Input, Some(9)));
        assert_eq!((shown.iif, shown.oif, shown.uid), (Some(3), None, Some(1000)));
        assert_eq!(shown.time, Some(Duration::new(5, 7000)));
        assert_eq!(shown.bytes, [0x45, 0]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = message(|w| w.raw(&bytes));
            for message in Messages::new(&whole) {
                let _ = read(&message);
            }
            Messages::new(&bytes).for_each(|message| drop(read(&message)));
        }
    }
}
