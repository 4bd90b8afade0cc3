//! Puts the built demo (`demo/dist`) into the binary. Where it was not built, the binary has a page that says how to do it.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

/// Compressed files stand beside the plain ones, with this added to their names.
const BROTLI: &str = "br";
const GZIP: &str = "gz";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let demo = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../demo");
    let dist = demo.join("dist");
    // A path that does not exist would run this at each build; until there is a `dist`, its parent changes when it comes.
    if let Some(watched) = [&dist, &demo].into_iter().find(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let mut files = Vec::new();
    if dist.join("index.html").exists() {
        collect(&dist, &mut files)?;
        files.sort();
    }
    let mut list = String::from("[");
    for file in files.iter().filter(|file| !has_extension(file, BROTLI) && !has_extension(file, GZIP)) {
        write_file(&mut list, &dist, file)?;
    }
    list.push(']');
    fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("demo.rs"), list)?;
    Ok(())
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// One `File` of `http/demo.rs`, as Rust source.
fn write_file(list: &mut String, dist: &Path, file: &Path) -> Result<(), Box<dyn Error>> {
    let path = file.strip_prefix(dist)?.to_str().ok_or("a file of the demo has a name that is not UTF-8")?;
    let path = path.replace('\\', "/");
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(file)?);
    writeln!(
        list,
        "File {{ path: {path:?}, tag: \"W/\\\"{:016x}\\\"\", plain: include_bytes!({file:?}), brotli: {}, gzip: {} }},",
        hasher.finish(),
        optional(&beside(file, BROTLI)),
        optional(&beside(file, GZIP)),
    )?;
    Ok(())
}

fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn optional(file: &Path) -> String {
    if file.exists() { format!("Some(include_bytes!({file:?}))") } else { "None".to_owned() }
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}
