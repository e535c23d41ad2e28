//! Any text that reads as a prefix is written as one that reads as the same prefix.

#![no_main]

use doorward::net::Prefix;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(prefix) = Prefix::parse(text) {
        let written = prefix.to_string();
        assert_eq!(Prefix::parse(&written), Ok(prefix), "{text:?} was written as {written:?}");
    }
});
