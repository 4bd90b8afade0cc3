//! The header of a frame, which may arrive byte by byte (RFC 6455, section 5.2):
//! `FIN | RSV1 RSV2 RSV3 | opcode (4 bits)`, `MASKED | length (7 bits, or 126 + u16, or 127 + u64)`, 4 bytes of mask if
//! masked.

/// The frame is the last one of its message.
pub(super) const FIN: u8 = 0x80;
/// The three bits for extensions.
pub(super) const RESERVED: u8 = 0x70;
/// The one that says in a message's first frame that the message is compressed (RFC 7692, section 6).
pub(super) const COMPRESSED: u8 = 0x40;

/// The bits of the opcode.
pub(super) const OPCODE: u8 = 0x0f;
/// The bit in which opcodes of control frames differ from those of data frames.
pub(super) const CONTROL: u8 = 0x08;
/// Opcodes of data frames.
pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;

/// The content is masked.
pub(super) const MASKED: u8 = 0x80;
/// Lengths that say how many bytes of length follow: 2 or 8.
pub(super) const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;

/// The longest header that a client's frame can have.
const LONGEST_HEADER: usize = 14;

/// The part of a header that has come.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// That part, and zeros.
    pub(super) bytes: [u8; LONGEST_HEADER],
    /// How many bytes it has.
    pub(super) len: usize,
}

impl Header {
    /// Takes the missing bytes of the header, and says how many.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        let before = self.len;
        // How long it is stands in its second byte.
        while self.len < self.complete_len() && self.len - before < input.len() {
            self.bytes[self.len] = input[self.len - before];
            self.len += 1;
        }
        self.len - before
    }

    /// Whether all of it has come.
    pub(super) fn is_complete(&self) -> bool {
        self.len == self.complete_len()
    }

    fn complete_len(&self) -> usize {
        if self.len < 2 {
            return 2;
        }
        let mask = if self.is_masked() { 4 } else { 0 };
        2 + self.extended().len() + mask
    }

    fn is_masked(&self) -> bool {
        self.bytes[1] & MASKED != 0
    }

    /// How the content is masked, if it is.
    pub(super) fn mask(&self) -> Option<[u8; 4]> {
        let mask = &self.bytes[..self.len].last_chunk();
        mask.copied().filter(|_| self.is_masked())
    }

    /// The bytes of a length that does not fit into 7 bits.
    fn extended(&self) -> &[u8] {
        match self.bytes[1] & !MASKED {
            TWO_BYTES => &self.bytes[2..4],
            EIGHT_BYTES => &self.bytes[2..10],
            _ => &[],
        }
    }

    /// How long the content is.
    pub(super) fn payload_length(&self) -> u64 {
        match self.extended() {
            [] => u64::from(self.bytes[1] & !MASKED),
            extended => extended.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        }
    }
}
