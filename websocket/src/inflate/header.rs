//! The header of a frame, which may arrive byte by byte.

/// The longest header that a client's frame can have.
const LONGEST_HEADER: usize = 14;

/// As much of a header as has come.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// It, and zeros.
    pub(super) bytes: [u8; LONGEST_HEADER],
    /// How much that is.
    pub(super) len: usize,
}

impl Header {
    /// Takes what is missing of the header, and says how much.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        let before = self.len;
        // How long it is stands in its second byte.
        while self.len < self.complete_len() && self.len - before < input.len() {
            self.bytes[self.len] = input[self.len - before];
            self.len += 1;
        }
        self.len - before
    }

    /// Whether all of it has.
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
        self.bytes[1] & 0x80 != 0
    }

    /// How the content is masked, if it is.
    pub(super) fn mask(&self) -> Option<[u8; 4]> {
        let mask = &self.bytes[..self.len].last_chunk();
        mask.copied().filter(|_| self.is_masked())
    }

    /// The bytes of a length that does not fit into 7 bits.
    fn extended(&self) -> &[u8] {
        match self.bytes[1] & 0x7f {
            126 => &self.bytes[2..4],
            127 => &self.bytes[2..10],
            _ => &[],
        }
    }

    /// How long the content is.
    pub(super) fn payload_length(&self) -> u64 {
        match self.extended() {
            [] => u64::from(self.bytes[1] & 0x7f),
            extended => extended.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        }
    }
}
