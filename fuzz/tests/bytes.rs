//! The byte targets on stable Rust: seeds of real Yjs, what fuzzing has found worth keeping, and every finding so far.

use std::fs;
use std::path::{Path, PathBuf};

use coscribe_fuzz::bytes::{TARGETS, oracle, seeds};

/// `fuzz/`.
fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a target with an input, and says which one it was if that fails.
fn run(target: &str, input: &str, bytes: &[u8]) {
    /// Speaks only when it is dropped by a panic.
    struct Name<'a>(&'a str, &'a str);
    impl Drop for Name<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the input was {} of the target {}", self.1, self.0);
            }
        }
    }
    let _name = Name(target, input);
    oracle::use_program(env!("CARGO_BIN_EXE_coscribe-fuzz"));
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    run(bytes);
}

#[test]
fn what_yjs_writes_holds_to_the_invariants() {
    let fixtures = folder().join("../engine/tests/yjs/fixtures");
    let seeds = seeds::seeds(&fixtures).expect("fixtures");
    for seed in &seeds {
        run(seed.target, &seed.name, &seed.bytes);
    }
    for (target, _) in TARGETS {
        assert!(seeds.iter().any(|seed| seed.target == *target), "{target} has seeds");
    }
}

/// The files in a folder, sorted; none if it is missing.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("readable").path()).filter(|path| path.is_file()).collect();
    files.sort_unstable();
    files
}

#[test]
fn what_fuzzing_has_found_holds_to_the_invariants() {
    for (target, _) in TARGETS {
        let corpus = folder().join("corpus").join(target);
        for file in files(&corpus).into_iter().chain(files(&corpus.join("regressions"))) {
            run(target, &file.to_string_lossy(), &fs::read(&file).expect("readable"));
        }
    }
}
