//! From text to sentences and back, losing nothing; knows no service, no host and no file.

pub mod ast;
