//! Attributes as netlink lays them out: length, kind, payload, padding; knows no kind by name.
//!
//! A length field has 16 bits. What does not fit is remembered and told by [`Writer::finish`], never cut.

/// Bits of the kind that say something else (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;
const HEADER: usize = 4;

/// Something did not fit into a length field of netlink.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a part of the message is longer than netlink can say")]
pub(crate) struct TooLong;

/// Where a nest or a message began; closing it writes its length there.
#[derive(Clone, Copy)]
pub(crate) struct Open(usize);

/// Builds attributes.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(bytes), too_long: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all behind this length.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Bytes without a header.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn put(&mut self, kind: u16, payload: &[u8]) {
        match u16::try_from(HEADER + payload.len()) {
            Ok(len) => {
                self.raw(&len.to_ne_bytes());
                self.raw(&kind.to_ne_bytes());
                self.raw(payload);
                self.align();
            }
            Err(_) => self.too_long = true,
        }
    }

    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.put(kind, &[value]);
    }

    pub(crate) fn be16(&mut self, kind: u16, value: u16) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_be_bytes());
    }

    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.put(kind, &value.to_be_bytes());
    }

    /// In the order of this machine, as rtnetlink wants it.
    pub(crate) fn ne32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// A string with its final zero.
    pub(crate) fn str(&mut self, kind: u16, text: &str) {
        let mut bytes = Vec::with_capacity(text.len() + 1);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        self.put(kind, &bytes);
    }

    /// Bytes, or nothing where there are none.
    pub(crate) fn some(&mut self, kind: u16, payload: &[u8]) {
        if !payload.is_empty() {
            self.put(kind, payload);
        }
    }

    pub(crate) fn open(&mut self, kind: u16) -> Open {
        let at = self.bytes.len();
        self.raw(&[0, 0]);
        self.raw(&(kind | NESTED).to_ne_bytes());
        Open(at)
    }

    pub(crate) fn close(&mut self, open: Open) {
        match u16::try_from(self.bytes.len() - open.0) {
            Ok(len) => self.bytes[open.0..open.0 + 2].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.align();
    }

    pub(crate) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Writer)) {
        let open = self.open(kind);
        inner(self);
        self.close(open);
    }

    /// A netlink header whose length [`Writer::end`] writes.
    pub(crate) fn begin(&mut self, kind: u16, flags: u16, seq: u32) -> Open {
        let at = self.bytes.len();
        self.raw(&[0; 4]);
        self.raw(&kind.to_ne_bytes());
        self.raw(&flags.to_ne_bytes());
        self.raw(&seq.to_ne_bytes());
        self.raw(&[0; 4]);
        Open(at)
    }

    pub(crate) fn end(&mut self, open: Open) {
        match u32::try_from(self.bytes.len() - open.0) {
            Ok(len) => self.bytes[open.0..open.0 + 4].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
    }

    /// Whether something did not fit since the last time that this was asked.
    pub(crate) fn take_too_long(&mut self) -> bool {
        std::mem::take(&mut self.too_long)
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, TooLong> {
        if self.too_long {
            return Err(TooLong);
        }
        Ok(self.bytes)
    }
}

/// Walks attributes; ends at the first that does not fit.
#[derive(Clone)]
pub(crate) struct Attrs<'a> {
    rest: &'a [u8],
}

impl<'a> Attrs<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Attrs<'a> {
        Attrs { rest: bytes }
    }

    /// The last payload of this kind.
    pub(crate) fn find(bytes: &'a [u8], kind: u16) -> Option<&'a [u8]> {
        Attrs::new(bytes).filter(|(k, _)| *k == kind).last().map(|(_, payload)| payload)
    }

    /// Whether all was walked, apart from padding.
    fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16::from_ne_bytes(array(self.rest, 0)?));
        let kind = u16::from_ne_bytes(array(self.rest, 2)?) & KIND_MASK;
        let payload = self.rest.get(HEADER..len)?;
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// `N` bytes at an offset.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Text up to the first zero; what is not UTF-8 is replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Attributes of one expression, each taken once: what is left or malformed means that the expression says
/// more than its type can hold.
pub(crate) struct Fields<'a> {
    slots: [Option<&'a [u8]>; Fields::SLOTS],
}

#[expect(clippy::option_option, reason = "the outer says malformed, the inner absent")]
impl<'a> Fields<'a> {
    const SLOTS: usize = 16;

    pub(crate) fn of(bytes: &'a [u8]) -> Option<Fields<'a>> {
        let mut slots = [None; Fields::SLOTS];
        let mut attrs = Attrs::new(bytes);
        for (kind, payload) in attrs.by_ref() {
            let slot = slots.get_mut(usize::from(kind))?;
            if slot.replace(payload).is_some() {
                return None;
            }
        }
        attrs.is_done().then_some(Fields { slots })
    }

    /// Takes an attribute that need not be there.
    pub(crate) fn take(&mut self, kind: u16) -> Option<&'a [u8]> {
        self.slots.get_mut(usize::from(kind))?.take()
    }

    fn opt<const N: usize>(&mut self, kind: u16) -> Option<Option<[u8; N]>> {
        match self.take(kind) {
            None => Some(None),
            Some(bytes) => Some(Some(bytes.try_into().ok()?)),
        }
    }

    pub(crate) fn u8(&mut self, kind: u16) -> Option<u8> {
        self.opt::<1>(kind)?.map(|[byte]| byte)
    }

    pub(crate) fn opt_u8(&mut self, kind: u16) -> Option<Option<u8>> {
        Some(self.opt::<1>(kind)?.map(|[byte]| byte))
    }

    pub(crate) fn be16(&mut self, kind: u16) -> Option<u16> {
        self.opt_be16(kind)?
    }

    pub(crate) fn opt_be16(&mut self, kind: u16) -> Option<Option<u16>> {
        Some(self.opt(kind)?.map(u16::from_be_bytes))
    }

    pub(crate) fn be32(&mut self, kind: u16) -> Option<u32> {
        self.opt_be32(kind)?
    }

    pub(crate) fn opt_be32(&mut self, kind: u16) -> Option<Option<u32>> {
        Some(self.opt(kind)?.map(u32::from_be_bytes))
    }

    pub(crate) fn be64(&mut self, kind: u16) -> Option<u64> {
        self.opt_be64(kind)?
    }

    pub(crate) fn opt_be64(&mut self, kind: u16) -> Option<Option<u64>> {
        Some(self.opt(kind)?.map(u64::from_be_bytes))
    }

    /// A string that is UTF-8 and ends with its only zero.
    pub(crate) fn str(&mut self, kind: u16) -> Option<String> {
        let bytes = self.take(kind)?;
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        if bytes.contains(&0) {
            return None;
        }
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// Succeeds if nothing is left.
    pub(crate) fn done(self) -> Option<()> {
        self.slots.iter().all(Option::is_none).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut w = Writer::default();
        w.str(1, "abc");
        w.nest(2, |w| {
            w.be32(1, 7);
            w.u8(2, 9);
        });
        let bytes = w.finish().unwrap();
        let all: Vec<_> = Attrs::new(&bytes).collect();
        assert_eq!(all[0], (1, &b"abc\0"[..]));
        assert_eq!(all[1].0, 2);
        let mut fields = Fields::of(all[1].1).unwrap();
        assert_eq!(fields.be32(1), Some(7));
        assert_eq!(fields.u8(2), Some(9));
        assert_eq!(fields.done(), Some(()));
    }

    #[test]
    fn lengths_are_never_cut() {
        let mut w = Writer::default();
        w.put(1, &vec![0; 65_532]);
        assert_eq!(w.finish(), Err(TooLong));
        let mut w = Writer::default();
        w.nest(1, |w| {
            w.put(1, &vec![0; 40_000]);
            w.put(1, &vec![0; 40_000]);
        });
        assert_eq!(w.finish(), Err(TooLong));
        let mut w = Writer::default();
        w.put(1, &vec![0; 65_531]);
        assert_eq!(w.finish().unwrap().len(), 65_536);
    }

    #[test]
    fn what_is_left_over_is_noticed() {
        let mut w = Writer::default();
        w.be32(1, 7);
        w.be32(3, 7);
        let bytes = w.finish().unwrap();
        let mut fields = Fields::of(&bytes).unwrap();
        assert_eq!(fields.be32(1), Some(7));
        assert_eq!(fields.done(), None);
        assert!(Fields::of(&bytes[..14]).is_none());
    }
}
