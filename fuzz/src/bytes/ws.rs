//! The server's own reading of compressed messages. The server is a binary, so its module is taken in as it is, with what
//! it has from its neighbours.

pub(super) mod deflate {
    pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
}

#[path = "../../../server/src/ws/inflate.rs"]
#[expect(dead_code, reason = "no message here is so large that it waits for its turn")]
pub(super) mod inflate;
#[path = "../../../server/src/ws/large.rs"]
pub(super) mod large;
#[path = "../../../server/src/ws/permit.rs"]
mod permit;
#[path = "../../../server/src/ws/yielding.rs"]
mod yielding;
