//! Prints the costs of the engine: `cargo run --release -p coscribe-engine --example measure -- [update file]`.
//!
//! Times are the best of ten runs, memory is the bytes that the allocator was asked for.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_engine::update::Update;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(file) = std::env::args_os().nth(1) {
        large_document(Bytes::from(std::fs::read(file)?));
    }
    typing();
    chain_of_clients();
    Ok(())
}

fn large_document(update: Bytes) {
    println!("one update of {} bytes", update.len());
    let (took, _) = best(|| Update::scan(update.clone()).expect("an update"));
    println!("  scan          {took:>10.2?}");
    let (took, blocks) = best(|| admit([&update]));
    println!("  scan + admit  {took:>10.2?}");
    println!("  memory        {:>10} bytes ({} estimated)", held(|| admit([&update])), blocks.memory());
    let (took, state) = best(|| blocks.encode_state());
    println!("  encode state  {took:>10.2?}, {} bytes", state.len());
}

fn typing() {
    let updates: Vec<_> = (0..100_000).map(typed_character).collect();
    let (took, blocks) = best(|| admit(&updates));
    println!("100,000 characters typed one by one");
    println!("  scan + admit  {:>10.2?} each", took / 100_000);
    println!("  memory        {:>10} bytes ({} estimated)", held(|| admit(&updates)), blocks.memory());
}

fn chain_of_clients() {
    let update = Bytes::from(chain(18_500));
    let (took, blocks) = best(|| admit([&update]));
    println!("18,500 clients, each depending on the next ({} bytes)", update.len());
    println!("  scan + admit  {took:>10.2?}");
    println!("  memory        {:>10} bytes ({} estimated)", held(|| admit([&update])), blocks.memory());
}

fn admit<'a>(updates: impl IntoIterator<Item = &'a Bytes>) -> Blocks {
    let mut blocks = Blocks::default();
    for update in updates {
        black_box(blocks.admit(&Update::scan(update.clone()).expect("an update"), 1));
    }
    blocks
}

/// The update of client 1 that types a character at the end of the root `text`.
fn typed_character(clock: u64) -> Bytes {
    let mut update = vec![1, 1, 1];
    write_var_uint(&mut update, clock);
    if clock == 0 {
        update.extend([4, 1]);
        write_var_buf(&mut update, b"text");
    } else {
        update.extend([0x84, 1]);
        write_var_uint(&mut update, clock - 1);
    }
    update.extend([1, b'x', 0]);
    update.into()
}

/// One block by each client, whose origin is the next client's block.
fn chain(clients: u64) -> Vec<u8> {
    let mut update = Vec::new();
    write_var_uint(&mut update, clients);
    for client in 1..=clients {
        update.push(1);
        write_var_uint(&mut update, client);
        if client == clients {
            update.extend([0, 4, 1, 1, b't', 1, b'x']);
        } else {
            update.extend([0, 0x84]);
            write_var_uint(&mut update, client + 1);
            update.extend([0, 1, b'x']);
        }
    }
    update.push(0);
    update
}

fn best<T>(mut run: impl FnMut() -> T) -> (Duration, T) {
    let mut timed = || {
        let start = Instant::now();
        let result = black_box(run());
        (start.elapsed(), result)
    };
    let first = timed();
    (1..10).map(|_| timed()).fold(first, |best, run| if run.0 < best.0 { run } else { best })
}

/// Bytes of memory that a value holds.
fn held<T>(make: impl FnOnce() -> T) -> u64 {
    let mut value = None;
    let allocations = allocation_counter::measure(|| value = Some(make()));
    u64::try_from(allocations.bytes_current).unwrap_or(0)
}
