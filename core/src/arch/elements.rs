//! Loops over the elements of int8 tensors: the same body for every backend, which the compiler makes vectors of.
//!
//! Elements are copied chunk by chunk into registers before the results are stored, so that an output may lie on its inputs
//! as far as elementwise operators allow: it begins no later than they do.
#![allow(unsafe_code)]

use super::Backend;
use super::view::{In, Out};

/// Elements of a chunk.
const CHUNK: usize = 64;

/// Sets `y[i]` to `function` of the elements `i` of all inputs, for as many elements as all of them and `y` have.
#[inline(always)]
pub fn each<const N: usize>(
    _backend: Backend,
    x: [In<'_, i8>; N],
    y: Out<'_, i8>,
    function: impl Fn([i32; N]) -> i32,
) {
    let len = x.iter().fold(y.len(), |len, x| len.min(x.len()));
    let (x, y) = (x.map(|x| x.as_ptr()), y.as_mut_ptr());
    // SAFETY: all have `len` elements; a backend is only there when the machine has its instructions.
    unsafe {
        match _backend {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Backend::Avx512Vnni => avx512(x, y, len, function),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Backend::Avx2 | Backend::AvxVnni => avx2(x, y, len, function),
            _ => portable(x, y, len, function),
        }
    }
}

/// # Safety
/// As [`portable`]; the machine has the instructions.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn avx512<const N: usize>(
    x: [*const i8; N],
    y: *mut i8,
    len: usize,
    function: impl Fn([i32; N]) -> i32,
) {
    // SAFETY: the caller's.
    unsafe { portable(x, y, len, function) }
}

/// # Safety
/// As [`portable`]; the machine has the instructions.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx2")]
unsafe fn avx2<const N: usize>(
    x: [*const i8; N],
    y: *mut i8,
    len: usize,
    function: impl Fn([i32; N]) -> i32,
) {
    // SAFETY: the caller's.
    unsafe { portable(x, y, len, function) }
}

/// # Safety
/// All of `x` are valid for `len` reads, `y` for `len` writes.
#[inline(always)]
unsafe fn portable<const N: usize>(
    x: [*const i8; N],
    y: *mut i8,
    len: usize,
    function: impl Fn([i32; N]) -> i32,
) {
    // Loops over operands, and no array functions with closures, which are not made vectors of.
    let mut index = 0;
    while index + CHUNK <= len {
        let mut chunks = [[0i8; CHUNK]; N];
        for (chunk, x) in chunks.iter_mut().zip(x) {
            // SAFETY: the chunk lies below `len`.
            *chunk = unsafe { x.add(index).cast::<[i8; CHUNK]>().read() };
        }
        let mut results = [0i8; CHUNK];
        for (at, result) in results.iter_mut().enumerate() {
            let mut values = [0; N];
            for (value, chunk) in values.iter_mut().zip(&chunks) {
                *value = chunk[at] as i32;
            }
            *result = function(values) as i8;
        }
        // SAFETY: as above.
        unsafe { y.add(index).cast::<[i8; CHUNK]>().write(results) };
        index += CHUNK;
    }
    for index in index..len {
        // SAFETY: index < len.
        unsafe { *y.add(index) = function(x.map(|x| *x.add(index) as i32)) as i8 };
    }
}
