//! Words of EVT2.0 with AVX2, eight at once: about 25 instructions.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::evt2::Run;
use crate::events::Event;

/// See [`super::super::evt2::events`].
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn events(words: &[[u8; 4]], free: &mut [Event], run: Run) -> (usize, u32) {
    let (base, limits) = (_mm256_set1_epi32(run.base as i32), _mm256_set1_epi32(run.limits as i32));
    let (low, eleven, on) = (_mm256_set1_epi32(0x3F), _mm256_set1_epi32(0x7FF), _mm256_set1_epi32(0x1_0000));
    // The last lane first, then the others.
    let turned = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6);
    let mut before = _mm256_set1_epi32(run.t as i32);
    let mut half = |words: *const [u8; 4], room: *mut Event| {
        // SAFETY: eight words are there.
        let w = unsafe { _mm256_loadu_si256(words.cast()) };
        let t = _mm256_or_si256(base, _mm256_and_si256(_mm256_srli_epi32::<22>(w), low));
        let x = _mm256_and_si256(_mm256_srli_epi32::<11>(w), eleven);
        let place = _mm256_or_si256(_mm256_slli_epi32::<17>(_mm256_and_si256(w, eleven)), x);
        let t_turned = _mm256_permutevar8x32_epi32(t, turned);
        let since = _mm256_sub_epi32(t, _mm256_blend_epi32::<1>(t_turned, before));
        before = t_turned;
        let off = _mm256_add_epi32(place, limits);
        // Types 0 and 1 leave bits 29..31 clear.
        let kind = _mm256_or_si256(w, _mm256_or_si256(_mm256_slli_epi32::<1>(w), _mm256_slli_epi32::<2>(w)));
        let wrong =
            _mm256_or_si256(_mm256_or_si256(kind, since), _mm256_or_si256(off, _mm256_slli_epi32::<16>(off)));
        let packed = _mm256_or_si256(place, _mm256_and_si256(_mm256_srli_epi32::<12>(w), on));
        let (a, b) = (_mm256_unpacklo_epi32(t, packed), _mm256_unpackhi_epi32(t, packed));
        // SAFETY: there is room for eight events of eight bytes, time first.
        unsafe {
            _mm256_storeu_si256(room.cast(), _mm256_permute2x128_si256::<0x20>(a, b));
            _mm256_storeu_si256(room.wrapping_add(4).cast(), _mm256_permute2x128_si256::<0x31>(a, b));
        }
        _mm256_movemask_ps(_mm256_castsi256_ps(wrong)) as u32
    };
    let (mut events, mut t) = (0, run.t);
    for (block, room) in
        words.as_chunks::<{ Run::BLOCK }>().0.iter().zip(free.as_chunks_mut::<{ Run::BLOCK }>().0)
    {
        let (words, places) = (block.as_ptr(), room.as_mut_ptr());
        let wrong = half(words, places) | half(words.wrapping_add(8), places.wrapping_add(8)) << 8;
        let n = (wrong | 1 << Run::BLOCK).trailing_zeros() as usize;
        events += n;
        if let Some(last) = n.checked_sub(1).and_then(|last| room.get(last)) {
            t = last.t;
        }
        if wrong != 0 {
            break;
        }
    }
    (events, t)
}
