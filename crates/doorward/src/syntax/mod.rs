//! From text to sentences and back, losing nothing; knows no service, no host and no file.

pub mod ast;
mod clauses;
mod foreign;
mod lex;
mod meant;
mod reader;
mod tree;
mod value;
mod verbs;
mod words;
pub mod write;

pub use foreign::host_name_report;
pub use tree::{Tree, parse, parse_sentence};
