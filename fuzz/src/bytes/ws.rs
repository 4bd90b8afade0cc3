//! The server's own reading of compressed messages. The server is a binary, so its module is taken in as it is, with what
//! it has from its neighbours.

pub(super) mod deflate {
    pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
}

#[path = "../../../server/src/ws/inflate.rs"]
pub(super) mod inflate;
#[path = "../../../server/src/ws/yielding.rs"]
mod yielding;
