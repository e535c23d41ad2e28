//! Texts and bytes with a sum, so that damage is noticed and named; opens no file.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The form that this version writes, and the only one that it reads.
pub(super) const FORM: u32 = 1;

/// How a file was when it was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Sum {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as `sha256sum` prints it.
    pub sha256: String,
}

impl Sum {
    /// The sum of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Sum {
        let mut sha256 = String::with_capacity(64);
        for byte in Sha256::digest(bytes) {
            let _ = write!(sha256, "{byte:02x}");
        }
        Sum { bytes: bytes.len() as u64, sha256 }
    }

    /// What is wrong with these bytes.
    pub(super) fn differs(&self, bytes: &[u8]) -> Option<String> {
        let now = Sum::of(bytes);
        if now.bytes != self.bytes {
            return Some(format!("is {} bytes long instead of {}", now.bytes, self.bytes));
        }
        (now != *self).then(|| "is not what was written".to_owned())
    }
}

/// A value as JSON, with the sum of it in the last line.
pub(super) fn seal(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    let sum = Sum::of(text.as_bytes()).sha256;
    text.push_str("sha256 ");
    text.push_str(&sum);
    text.push('\n');
    Ok(text)
}

/// The value of such a text, or what is wrong with it.
pub(super) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let damaged = || "is not what was written".to_owned();
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let (_, last) = text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n')).ok_or_else(damaged)?;
    let sum = last.strip_prefix("sha256 ").ok_or_else(damaged)?;
    let body = text.get(..text.len() - last.len() - 1).ok_or_else(damaged)?;
    if Sum::of(body.as_bytes()).sha256 != sum {
        return Err(damaged());
    }
    let strange = |error: serde_json::Error| format!("says what this version does not understand: {error}");
    let Form { form } = serde_json::from_str(body).map_err(strange)?;
    if form != FORM {
        return Err(format!("was written by another version of doorward (form {form} instead of {FORM})"));
    }
    serde_json::from_str(body).map_err(strange)
}

/// What every version can read.
#[derive(Deserialize)]
struct Form {
    form: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Thing {
        form: u32,
        words: String,
    }

    /// Each bit of the text and each shorter text is told from the whole.
    #[test]
    fn every_damage_is_noticed() {
        let thing = Thing { form: FORM, words: "ä \"quoted\"\nline".to_owned() };
        let whole = seal(&thing).unwrap().into_bytes();
        assert_eq!(unseal(&whole), Ok(thing));
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                assert!(unseal::<Thing>(&bytes).is_err(), "bit {bit} of byte {at}");
            }
            assert!(unseal::<Thing>(&whole[..at]).is_err(), "{at} bytes of it");
        }
        for more in [&b"\n"[..], b"x", b"sha256 \n"] {
            assert!(unseal::<Thing>(&[&whole[..], more].concat()).is_err());
        }
    }

    #[test]
    fn another_form_and_another_content() {
        let later = seal(&Thing { form: FORM + 1, words: String::new() }).unwrap();
        let wrong = unseal::<Thing>(later.as_bytes()).unwrap_err();
        assert_eq!(wrong, "was written by another version of doorward (form 2 instead of 1)");
        let less = seal(&serde_json::json!({ "form": FORM })).unwrap();
        let wrong = unseal::<Thing>(less.as_bytes()).unwrap_err();
        assert!(wrong.contains("missing field `words`"), "{wrong}");
    }

    #[test]
    fn sums_are_those_of_sha256sum() {
        let sum = Sum::of(b"abc");
        assert_eq!(sum.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sum.differs(b"abc"), None);
        assert_eq!(sum.differs(b"abd").unwrap(), "is not what was written");
        assert_eq!(sum.differs(b"ab").unwrap(), "is 2 bytes long instead of 3");
    }
}
