//! What large buffers lie on.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "nothing safe gives advice on memory")
)]

use std::mem::MaybeUninit;

/// Room of less is not worth a system call.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 * HUGE;
/// A huge page, or a part of one where they are larger.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 * 1024 * 1024;

/// Has the system back a large `room` with huge pages, where it can: page by page, the faults of memory that is written
/// for the first time cost more than decrypting what is written there.
pub(crate) fn prefer_huge_pages(room: &mut [MaybeUninit<u8>]) {
    #[cfg(target_os = "linux")]
    if room.len() >= LARGE {
        let pages = room.as_mut_ptr_range();
        let start = pages.start.addr().next_multiple_of(HUGE);
        let length = (pages.end.addr() - start) / HUGE * HUGE;
        let start = pages.start.with_addr(start);
        // SAFETY: the range is whole pages inside `room`, which nobody else has while it is borrowed here; the advice
        // changes what backs them, not what they hold, and may be refused
        unsafe { libc::madvise(start.cast(), length, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = room;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_buffer_holds_is_the_same_afterwards() {
        for length in [0, 1, 4096, 3 << 20, 32 << 20] {
            let mut buffer = Vec::with_capacity(length);
            buffer.extend((0..length.min(5000)).map(|byte| byte.to_le_bytes()[0]));
            let before = buffer.clone();
            prefer_huge_pages(buffer.spare_capacity_mut());
            assert_eq!(buffer, before);
            buffer.resize(length, 7);
            assert!(buffer.ends_with(&vec![7; length.saturating_sub(5000)]));
            assert!(buffer.starts_with(&before));
        }
    }
}
