//! Frames whose memory is given back on another thread than the runtime's.

use std::mem;

use bytes::Bytes;
use tokio::runtime::Handle;

/// The same frame. The last drop does not wait until the kernel has taken back the memory, which takes milliseconds for tens of
/// megabytes.
pub(super) fn freed_elsewhere(frame: Bytes) -> Bytes {
    Bytes::from_owner(FreedElsewhere(frame))
}

struct FreedElsewhere(Bytes);

impl AsRef<[u8]> for FreedElsewhere {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for FreedElsewhere {
    fn drop(&mut self) {
        let frame = mem::take(&mut self.0);
        // Other threads than the runtime's may take their time.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(frame));
        }
    }
}
