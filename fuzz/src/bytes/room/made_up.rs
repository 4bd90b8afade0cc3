//! Made-up content: a few bytes of a script stand for content that is long or has many parts.

use crate::limits;
use coscribe_engine::lib0::{ReadError, Reader, write_var_buf, write_var_uint};

/// Clients in whose names updates are made up.
const CLIENTS: usize = 4;

/// Makes up updates that mostly follow each other.
#[derive(Debug)]
pub(super) struct MadeUp {
    /// What each client writes next.
    next: [u32; CLIENTS],
    /// Bytes that may still be made up.
    left: usize,
}

impl Default for MadeUp {
    fn default() -> Self {
        Self { next: [0; CLIENTS], left: limits::MADE_UP_BYTES }
    }
}

impl MadeUp {
    /// How many parts of so many bytes each there are to be.
    pub(super) fn parts(&mut self, reader: &mut Reader<'_>, bytes: usize) -> Result<usize, ReadError> {
        let wanted = usize::try_from(reader.var_uint()?.min(limits::MADE_UP_PARTS)).unwrap_or(usize::MAX);
        let parts = wanted.min(self.left / bytes.max(1));
        self.left -= parts * bytes;
        Ok(parts)
    }

    /// A small edit. Reads who writes how much, after how large a gap (or how much of it again), where, and what is deleted.
    pub(super) fn edit(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (who, shift, len) = (reader.u8()?, i32::from(reader.u8()?.cast_signed()), reader.u8()? % 16);
        let client = usize::from(who) % CLIENTS;
        let clock = self.next[client].saturating_add_signed(shift);
        self.next[client] = clock + u32::from(len);
        let mut update = vec![1, 1];
        write_id(client, clock, &mut update);
        match who >> 6 {
            0 => update.extend([4, 1, 1, b't']),
            1 => {
                update.push(0x84);
                // The element before, as somebody who types.
                write_id(client, clock.saturating_sub(1), &mut update);
            }
            kind => {
                update.push(if kind == 2 { 0x84 } else { 0x44 });
                write_id(usize::from(reader.u8()?) % CLIENTS, reader.u8()?.into(), &mut update);
            }
        }
        write_var_buf(&mut update, &b"abcdefghijklmnop"[..usize::from(len)]);
        match reader.u8()? {
            deleted @ 1..16 => {
                update.push(1);
                write_var_uint(&mut update, u64::from(deleted) % CLIENTS as u64 + 1);
                update.push(1);
                write_var_uint(&mut update, u64::from(reader.u8()?));
                write_var_uint(&mut update, u64::from(reader.u8()?));
            }
            _ => update.push(0),
        }
        Ok(update)
    }

    /// One block with up to 256 KiB of content. Reads who, what kind, and how much, of which small numbers are more.
    pub(super) fn long(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (who, kind, size) = (reader.u8()?, reader.u8()?, usize::from(reader.u8()?));
        let bytes = ((1 + size * size / 255) << 10).min(self.left);
        self.left -= bytes;
        let (content, elements) = content(kind % 8, bytes);
        let mut update = vec![1, 1];
        let client = usize::from(who) % CLIENTS;
        self.begin_block(client, content[0], who >= 128, &mut update);
        update.extend_from_slice(&content[1..]);
        update.push(0);
        self.next[client] += elements;
        Ok(update)
    }

    /// Many short blocks of one client that cannot be joined. Reads who, what kind, and how many.
    pub(super) fn blocks(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (who, kind) = (reader.u8()?, reader.u8()?);
        let blocks = self.parts(reader, 6)?;
        let block: &[u8] = match kind % 4 {
            // A Y.Array, bytes, a character and a value in a root, each in turn a GC.
            0 => &[7, 1, 0, 0],
            1 => &[3, 1, 0, 0],
            2 => &[4, 1, 0, 1, b'x'],
            _ => &[8, 1, 0, 1, 126],
        };
        let client = usize::from(who) % CLIENTS;
        let mut update = vec![1];
        write_var_uint(&mut update, blocks as u64);
        write_id(client, self.next[client], &mut update);
        for number in 0..blocks {
            update.extend_from_slice(if who >= 128 && number % 2 == 1 { &[0, 1] } else { block });
        }
        update.push(0);
        self.next[client] += u32::try_from(blocks).unwrap_or(0);
        Ok(if blocks == 0 { vec![0, 0] } else { update })
    }

    /// One block of each of many clients. Reads the first of them, the clock of all, and how many.
    pub(super) fn clients(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (first, clock) = (reader.var_uint()?.min(1 << 31), reader.u8()?);
        let clients = self.parts(reader, 8)?;
        let mut update = Vec::new();
        write_var_uint(&mut update, clients as u64);
        for client in (first..).take(clients) {
            update.push(1);
            write_var_uint(&mut update, client);
            update.push(clock);
            update.extend([7, 1, 0, 0]);
        }
        update.push(0);
        Ok(update)
    }

    /// Many deleted ranges. Reads whose, from which clock, how far apart, how long, how many, and in what order.
    pub(super) fn ranges(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (who, start, gap, len) = (reader.u8()?, reader.var_uint()?, reader.u8()?, reader.u8()?);
        let ranges = self.parts(reader, 6)?;
        let (backwards, one_by_one) = (who & 0x40 != 0, who & 0x80 != 0);
        let clock = |number: usize| start.min(1 << 20) + u64::from(gap) * number as u64;
        let mut update = vec![0];
        let client = u64::from(who) % CLIENTS as u64 + 1;
        if !one_by_one {
            update.push(1);
            write_var_uint(&mut update, client);
        }
        write_var_uint(&mut update, ranges as u64);
        for number in 0..ranges {
            if one_by_one {
                // Each by itself, and a part of somebody else's between them.
                write_var_uint(
                    &mut update,
                    if number % 2 == 0 { client } else { client % CLIENTS as u64 + 1 },
                );
                update.push(1);
            }
            write_var_uint(&mut update, clock(if backwards { ranges - 1 - number } else { number }));
            write_var_uint(&mut update, len.into());
        }
        Ok(update)
    }

    /// Awareness of one client many times, with clocks that go up, down or nowhere, and a long state at the end. Reads who,
    /// the first clock, the order, how long the last state is, and how many there are.
    pub(super) fn awareness(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (who, clock, order) = (reader.u8()?, reader.var_uint()?.min(1 << 31), reader.u8()? % 4);
        let last = (usize::from(reader.u8()?) << 8).min(self.left);
        self.left -= last;
        let states = self.parts(reader, 8)?;
        let mut message = Vec::new();
        write_var_uint(&mut message, states as u64 + 1);
        for number in 0..states as u64 {
            write_var_uint(&mut message, u64::from(who % 16) + u64::from(order == 3) * (number % 64));
            write_var_uint(
                &mut message,
                if order == 1 { clock + number } else { clock.saturating_sub(number * u64::from(order)) },
            );
            write_var_buf(&mut message, if who & 0x80 != 0 { b"null" } else { b"{}" });
        }
        write_var_uint(&mut message, (who % 16).into());
        write_var_uint(&mut message, clock + states as u64 + 1);
        let state = [b"\"", &vec![b'x'; last][..], b"\""].concat();
        write_var_buf(&mut message, &state);
        Ok(message)
    }

    /// A state vector that need not be true. Reads its first client, what is known of all, and how many there are.
    pub(super) fn state_vector(&mut self, reader: &mut Reader<'_>) -> Result<Vec<u8>, ReadError> {
        let (first, clock) = (reader.var_uint()?.min(1 << 31), reader.var_uint()?);
        let clients = self.parts(reader, 8)?;
        let mut known = Vec::new();
        write_var_uint(&mut known, clients as u64);
        for client in (first..).take(clients) {
            write_var_uint(&mut known, client);
            write_var_uint(&mut known, clock);
        }
        Ok(known)
    }

    /// Begins a block of a client's next elements: in a root, or after the element before.
    fn begin_block(&self, client: usize, content: u8, after: bool, update: &mut Vec<u8>) {
        let clock = self.next[client];
        write_id(client, clock, update);
        if after && clock > 0 {
            update.push(0x80 | content);
            write_id(client, clock - 1, update);
        } else {
            update.extend([content, 1, 1, b't']);
        }
    }
}

/// Content of about so many bytes: its number, the content itself, and how many elements it has.
fn content(kind: u8, bytes: usize) -> (Vec<u8>, u32) {
    let count = |elements: usize| u32::try_from(elements).unwrap_or(0);
    let text = |character: &str, units: usize| {
        let text = character.repeat(bytes / character.len());
        let mut content = vec![4];
        write_var_buf(&mut content, text.as_bytes());
        (content, count(bytes / character.len() * units))
    };
    let list = |number: u8, element: &[u8]| {
        let elements = bytes / element.len();
        let mut content = vec![number];
        write_var_uint(&mut content, elements as u64);
        content.extend(element.repeat(elements));
        (content, count(elements))
    };
    let buffer = |number: u8, inner: &[u8]| {
        let mut content = vec![number];
        if number == 8 {
            content.extend([1, 119]);
        }
        write_var_buf(&mut content, inner);
        (content, 1)
    };
    match kind {
        0 => text("x", 1),
        1 => text("ä", 1),
        2 => text("😀", 2),
        3 => list(8, &[126]),
        4 => list(2, b"\x031.5"),
        5 => buffer(8, &vec![b'x'; bytes]),
        6 => buffer(5, &[b"[", &b"1,".repeat(bytes / 2)[..], b"1]"].concat()),
        _ => buffer(3, &vec![0; bytes]),
    }
}

fn write_id(client: usize, clock: u32, out: &mut Vec<u8>) {
    write_var_uint(out, client as u64 + 1);
    write_var_uint(out, clock.into());
}
