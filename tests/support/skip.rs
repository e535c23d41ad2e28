//! How a test says that it is left out, so that no skip is silent; knows nothing of what the tests need.
//!
//! For integration tests of any crate:
//!
//! ```text
//! #[path = "../../../tests/support/skip.rs"]
//! mod skip;
//!
//! #[test]
//! fn rules_reach_the_kernel() {
//!     if skip::without_root() {
//!         return;
//!     }
//!     …
//! }
//! ```

#![allow(dead_code, reason = "each test file takes what it needs")]

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};

/// Writes down that the calling test is left out, and why.
///
/// The line goes to the file that `DOORWARD_SKIP_LOG` names, which `./test`
/// reads whatever cargo captures, and to the terminal.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {reason}\n", thread.name().unwrap_or("?"));
    // `eprint!` would be captured; the handle is not.
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(log) = std::env::var_os("DOORWARD_SKIP_LOG") {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        assert!(written.is_ok(), "{}: {written:?}", log.display());
    }
}

/// Whether a test that needs root is left out here; writes it down if so.
///
/// `./test --quick` leaves them out even for root.
pub(crate) fn without_root() -> bool {
    if std::env::var_os("DOORWARD_QUICK").is_some() {
        skip("quick: needs root");
        return true;
    }
    if !is_root() {
        skip("needs root");
        return true;
    }
    false
}

/// Whether the effective user is root.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}
