//! Messages of netlink: headers, errors, acknowledgements; knows no attribute of `nf_tables`.

use crate::wire::{Attrs, Open, Writer, array, text};

/// `NLM_F_*`.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP_INTR: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    const CAPPED: u16 = 0x100;
    const ACK_TLVS: u16 = 0x200;

    /// Where the attributes of an error begin, if it has any.
    pub(super) fn tlvs(flags: u16, inner_len: usize) -> Option<usize> {
        let capped = 20;
        (flags & ACK_TLVS != 0)
            .then(|| if flags & CAPPED != 0 { capped } else { (4 + inner_len).next_multiple_of(4) })
    }
}

/// `NLMSG_ERROR`: an error, or an acknowledgement where the number is 0.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;
/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u8 = 10;
pub(crate) const BATCH_BEGIN: u16 = 0x10;
pub(crate) const BATCH_END: u16 = 0x11;
const BATCH_GENID: u16 = 1;
/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Length of `struct nfgenmsg`.
pub(crate) const NFGEN: usize = 4;

/// The type of a message of `nf_tables`.
pub(crate) const fn nft_kind(message: u8) -> u16 {
    (NFTABLES as u16) << 8 | message as u16
}

/// The message of `nf_tables` that a type stands for.
pub(crate) fn nft_message(kind: u16) -> Option<u8> {
    let [subsystem, message] = kind.to_be_bytes();
    (subsystem == NFTABLES).then_some(message)
}

/// Begins a message of `nf_tables`.
pub(crate) fn begin_nft(w: &mut Writer, message: u8, flags: u16, seq: u32, family: u8) -> Open {
    let open = w.begin(nft_kind(message), flag::REQUEST | flags, seq);
    w.raw(&[family, 0, 0, 0]);
    open
}

/// Begins a transaction; with a generation it is refused when the kernel has moved on from it.
pub(crate) fn batch_begin(w: &mut Writer, seq: u32, generation: Option<u32>) {
    let open = w.begin(BATCH_BEGIN, flag::REQUEST, seq);
    w.raw(&[0, 0, 0, NFTABLES]);
    if let Some(generation) = generation {
        w.be32(BATCH_GENID, generation);
    }
    w.end(open);
}

/// Ends a transaction.
pub(crate) fn batch_end(w: &mut Writer, seq: u32) {
    let open = w.begin(BATCH_END, flag::REQUEST, seq);
    w.raw(&[0, 0, 0, NFTABLES]);
    w.end(open);
}

/// A received message.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) body: &'a [u8],
}

/// What the kernel says about a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// 0 for an acknowledgement.
    pub(crate) errno: i32,
    /// The kernel's own words.
    pub(crate) text: Option<String>,
    /// Where in the request, from its header on.
    pub(crate) offset: Option<usize>,
}

impl Message<'_> {
    pub(crate) fn is_done(&self) -> bool {
        self.kind == DONE
    }

    /// The answer, if this is one.
    pub(crate) fn answer(&self) -> Option<Answer> {
        const MSG: u16 = 1;
        const OFFS: u16 = 2;
        let errno = match self.kind {
            ERROR => i32::from_ne_bytes(array(self.body, 0)?),
            // The end of a dump carries an error too.
            DONE => array(self.body, 0).map_or(0, i32::from_ne_bytes),
            _ => return None,
        };
        let mut answer = Answer { errno: errno.checked_neg().unwrap_or(i32::MAX), text: None, offset: None };
        let inner = array(self.body, 4).map_or(0, u32::from_ne_bytes);
        let inner = usize::try_from(inner).unwrap_or(0).min(self.body.len());
        let tlvs = match self.kind {
            ERROR => flag::tlvs(self.flags, inner),
            _ => None,
        };
        let tlvs = tlvs.and_then(|at| self.body.get(at..)).unwrap_or_default();
        for (kind, payload) in Attrs::new(tlvs) {
            match kind {
                MSG => answer.text = Some(text(payload)),
                OFFS => {
                    answer.offset =
                        array(payload, 0).and_then(|bytes| usize::try_from(u32::from_ne_bytes(bytes)).ok());
                }
                _ => {}
            }
        }
        Some(answer)
    }
}

/// Walks messages; ends at the first that does not fit.
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Messages<'a> {
        Messages { rest: bytes }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let len = usize::try_from(u32::from_ne_bytes(array(self.rest, 0)?)).ok()?;
        let message = Message {
            kind: u16::from_ne_bytes(array(self.rest, 4)?),
            flags: u16::from_ne_bytes(array(self.rest, 6)?),
            seq: u32::from_ne_bytes(array(self.rest, 8)?),
            body: self.rest.get(HEADER..len)?,
        };
        let next = len.checked_next_multiple_of(4)?;
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some(message)
    }
}
