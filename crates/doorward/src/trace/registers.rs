//! The register file: sixteen words, and which of them hold what nobody can know.

use super::Stop;
use crate::ruleset::Reg;
use std::ops::Range;

const WORD: usize = 4;
const SIZE: usize = 16 * WORD;

pub(super) struct Registers {
    bytes: [u8; SIZE],
    /// A bit for each word.
    unknown: u16,
}

impl Registers {
    /// As a chain begins: all zero.
    pub(super) const fn new() -> Registers {
        Registers { bytes: [0; SIZE], unknown: 0 }
    }

    /// The bytes from the start of a register on.
    pub(super) fn read(&self, reg: Reg, len: usize) -> Result<&[u8], Stop> {
        self.bytes.get(span(reg, len)?).ok_or(Stop::Register)
    }

    /// Whether these bytes can be known.
    pub(super) fn known(&self, reg: Reg, len: usize) -> bool {
        self.unknown & words(reg, len) == 0
    }

    /// Stores as `nft_reg_store8` and its like do: the rest of the last word becomes zero.
    pub(super) fn store(&mut self, reg: Reg, data: &[u8]) -> Result<(), Stop> {
        let span = span(reg, data.len())?;
        let end = span.end.next_multiple_of(WORD);
        self.bytes[span.end..end].fill(0);
        self.bytes[span].copy_from_slice(data);
        self.unknown &= !words(reg, data.len());
        Ok(())
    }

    /// Writes these bytes only, as a change of byte order does.
    pub(super) fn overwrite(&mut self, reg: Reg, data: &[u8]) -> Result<(), Stop> {
        let span = span(reg, data.len())?;
        self.bytes[span].copy_from_slice(data);
        self.unknown &= !words(reg, data.len());
        Ok(())
    }

    /// A value that nobody can know has been stored.
    pub(super) fn forget(&mut self, reg: Reg, len: usize) -> Result<(), Stop> {
        span(reg, len)?;
        self.unknown |= words(reg, len);
        Ok(())
    }

    /// An expression whose destination is not known has stored something.
    pub(super) fn forget_all(&mut self) {
        self.unknown = u16::MAX;
    }
}

fn span(reg: Reg, len: usize) -> Result<Range<usize>, Stop> {
    let start = usize::from(reg.0) * WORD;
    match start.checked_add(len) {
        Some(end) if start < SIZE && end <= SIZE => Ok(start..end),
        _ => Err(Stop::Register),
    }
}

fn words(reg: Reg, len: usize) -> u16 {
    let first = usize::from(reg.0);
    (first..first + len.div_ceil(WORD)).filter(|word| *word < 16).fold(0, |bits, word| bits | 1 << word)
}
