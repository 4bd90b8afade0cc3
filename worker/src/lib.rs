//! Runs documents with yrs.
#![forbid(unsafe_code)]

pub mod document;
