//! Keeps documents on disk.
