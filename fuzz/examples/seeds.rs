//! Writes the seeds of the byte targets, one file each, into a folder for each target: `seeds FOLDER`.

use std::path::Path;
use std::{env, fs};

use anyhow::Context as _;
use coscribe_fuzz::bytes::seeds;

fn main() -> anyhow::Result<()> {
    let folder = env::args().nth(1).context("where to? usage: seeds FOLDER")?;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/yjs/fixtures");
    for seed in seeds::seeds(&fixtures).context("could not read the engine's fixtures")? {
        let folder = Path::new(&folder).join(seed.target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(seed.name), seed.bytes)?;
    }
    Ok(())
}
