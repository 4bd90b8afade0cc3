//! Reads, checks, stores, merges and diffs Yjs updates without running them.
