//! What was proven, as the bytes that the kernel takes, kept for a later start; knows no netlink and opens no file.
//!
//! The file: a line `doorward-sealed VERSION ORDER`, SHA-256 of the body (32 bytes), its length (8 bytes, big
//! endian), the body. `ORDER` is `le` or `be`, as the bytes are in the order of the machine that wrote them.

use sha2::{Digest, Sha256};

use super::{Checked, Transaction};

/// Begins every file of this kind.
const MAGIC: &[u8] = b"doorward-sealed ";
/// The version that is written, and the only one that is read.
pub const SEALED_VERSION: u32 = 1;
/// Longest rest of the first line: ten digits, a space, the order.
const LINE: usize = 14;
const DIGEST: usize = 32;
const ORDER: &str = if cfg!(target_endian = "little") { "le" } else { "be" };
const OTHER_ORDER: &str = if cfg!(target_endian = "little") { "be" } else { "le" };

/// A transaction that was proven, encoded once and for all.
///
/// The checksum finds what decays by itself: torn writes, a bad disk. It is no signature: whoever may write the
/// file may write another, so it belongs where only root writes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "what was sealed is there to be kept or loaded"]
pub struct Sealed {
    batch: Vec<u8>,
}

/// Why bytes are no sealed transaction that can be loaded here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// It begins otherwise than such a file does.
    #[error("this is no sealed ruleset")]
    NotSealed,
    /// Written by another version of doorward.
    #[error("this is sealed in format {0}, and only format {SEALED_VERSION} is read")]
    Version(u32),
    /// Written on a machine that puts the bytes of numbers the other way around.
    #[error("this was sealed on a machine of the other byte order")]
    ByteOrder,
    /// It ends before its first parts do.
    #[error("this sealed ruleset is cut off after {0} bytes")]
    Cut(usize),
    /// It is shorter or longer than it says.
    #[error("this sealed ruleset says that it has {says} bytes of body, and has {has}")]
    Length {
        /// What it says.
        says: u64,
        /// What is there.
        has: u64,
    },
    /// The body is not what was written.
    #[error("the checksum of this sealed ruleset does not match: it is damaged")]
    Checksum,
}

impl Sealed {
    /// Seals the bytes that stand for a transaction that was proven. The kernel crate makes them
    /// (`Socket::seal`), and makes them of nothing else.
    pub fn seal(_proven: &Checked<Transaction>, batch: Vec<u8>) -> Sealed {
        Sealed { batch }
    }

    /// The netlink batch, in the order of this machine.
    #[must_use]
    pub fn batch(&self) -> &[u8] {
        &self.batch
    }

    /// The whole file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let line = format!("{SEALED_VERSION} {ORDER}\n");
        let mut bytes = Vec::with_capacity(MAGIC.len() + line.len() + DIGEST + 8 + self.batch.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(&Sha256::digest(&self.batch));
        bytes.extend_from_slice(&(self.batch.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&self.batch);
        bytes
    }

    /// Reads a file. What is damaged, cut off, or not for this machine is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Sealed, SealError> {
        let (digest, body) = parts(bytes)?;
        if Sha256::digest(body).as_slice() != digest {
            return Err(SealError::Checksum);
        }
        Ok(Sealed { batch: body.to_vec() })
    }

    /// The same for a file whose SHA-256 the caller has held against what was noted when it was written: of a long
    /// list, the second sum of the same bytes would be a good part of what a boot takes.
    pub fn from_summed(mut bytes: Vec<u8>) -> Result<Sealed, SealError> {
        let (_, body) = parts(&bytes)?;
        let begin = bytes.len() - body.len();
        bytes.drain(..begin);
        Ok(Sealed { batch: bytes })
    }
}

/// The checksum and the body of a file that is whole and for this machine.
fn parts(bytes: &[u8]) -> Result<(&[u8; DIGEST], &[u8]), SealError> {
    let cut = SealError::Cut(bytes.len());
    if MAGIC.starts_with(bytes) {
        return Err(cut);
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or(SealError::NotSealed)?;
    let end = rest.iter().take(LINE).position(|byte| *byte == b'\n');
    let end = end.ok_or(if rest.len() < LINE { cut } else { SealError::NotSealed })?;
    first_line(&rest[..end])?;
    let (digest, rest) = rest[end + 1..].split_first_chunk::<DIGEST>().ok_or(cut)?;
    let (says, body) = rest.split_first_chunk::<8>().ok_or(cut)?;
    let (says, has) = (u64::from_be_bytes(*says), body.len() as u64);
    if says != has {
        return Err(SealError::Length { says, has });
    }
    Ok((digest, body))
}

/// Version and order, in the one way in which they are written.
fn first_line(line: &[u8]) -> Result<(), SealError> {
    let line = std::str::from_utf8(line).map_err(|_| SealError::NotSealed)?;
    let (version, order) = line.split_once(' ').ok_or(SealError::NotSealed)?;
    let number: u32 = version.parse().map_err(|_| SealError::NotSealed)?;
    match order {
        _ if number.to_string() != version => Err(SealError::NotSealed),
        _ if number != SEALED_VERSION => Err(SealError::Version(number)),
        ORDER => Ok(()),
        OTHER_ORDER => Err(SealError::ByteOrder),
        _ => Err(SealError::NotSealed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::TableFamily;
    use proptest::prelude::*;

    fn sealed(bytes: usize) -> Sealed {
        let proven = Checked::vouched(Transaction::on(TableFamily::Inet, "t"));
        Sealed::seal(&proven, (0..=250).cycle().take(bytes).collect())
    }

    #[test]
    fn every_cut_and_every_flip_is_refused() {
        let sealed = sealed(4096);
        let whole = sealed.to_bytes();
        assert_eq!(Sealed::from_bytes(&whole), Ok(sealed));
        for len in 0..whole.len() {
            let error = Sealed::from_bytes(&whole[..len]).unwrap_err();
            assert!(matches!(error, SealError::Cut(_) | SealError::Length { .. }), "{len}: {error}");
        }
        let header = whole.len() - 4096;
        for at in 0..whole.len() {
            // Each bit where bits have a meaning of their own; one and all where the checksum sees them.
            let flips: Vec<u8> =
                if at < header { (0..8).map(|bit| 1 << bit).collect() } else { vec![1 << (at % 8), 255] };
            for flip in flips {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                assert!(Sealed::from_bytes(&damaged).is_err(), "byte {at}, bits {flip:x}");
            }
        }
        // Whose sum was looked at elsewhere is not read twice; whole it must be all the same.
        assert_eq!(Sealed::from_summed(whole.clone()), Ok(Sealed::from_bytes(&whole).unwrap()));
        assert!((0..whole.len()).all(|len| Sealed::from_summed(whole[..len].to_vec()).is_err()));
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(Sealed::from_bytes(&longer), Err(SealError::Length { says: 4096, has: 4097 }));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let whole = sealed(8).to_bytes();
        let with = |line: &str| [MAGIC, line.as_bytes(), &whole[MAGIC.len() + 5..]].concat();
        assert!(Sealed::from_bytes(&with(&format!("1 {ORDER}\n"))).is_ok());
        let error = |line: &str| Sealed::from_bytes(&with(line)).unwrap_err();
        assert_eq!(error(&format!("1 {OTHER_ORDER}\n")), SealError::ByteOrder);
        assert_eq!(error(&format!("2 {ORDER}\n")), SealError::Version(2));
        assert_eq!(error("4000000000 xx\n"), SealError::Version(4_000_000_000));
        for line in ["01 le\n", "+1 le\n", "1 me\n", "1\n", "1  le\n", "", "x", "99999999999999999999 le\n"] {
            assert_eq!(error(line), SealError::NotSealed, "{line}");
        }
        assert_eq!(Sealed::from_bytes(b""), Err(SealError::Cut(0)));
        assert_eq!(Sealed::from_bytes(b"#!/usr/sbin/nft -f"), Err(SealError::NotSealed));
        assert_eq!(
            SealError::Version(2).to_string(),
            "this is sealed in format 2, and only format 1 is read"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Sealed::from_bytes(&bytes).is_err());
            let _ = Sealed::from_bytes(&[MAGIC, &bytes].concat());
            let _ = Sealed::from_bytes(&[MAGIC, b"1 ", ORDER.as_bytes(), b"\n", &bytes].concat());
        }
    }
}
