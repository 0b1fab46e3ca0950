//! Loops over the elements of int8 tensors: the same body for every backend, which the compiler makes vectors of.
//!
//! Elements are copied chunk by chunk into registers before the results are stored, so that an output may lie on its inputs
//! as far as elementwise operators allow: it begins no later than they do.
#![allow(unsafe_code)]

use super::Backend;
use super::view::{In, Out};

/// Elements of a chunk.
const CHUNK: usize = 64;

/// Sets `y[i]` to `function(a[i], b[i])`, for as many elements as all three have.
#[inline(always)]
pub fn each_pair(
    _backend: Backend,
    a: In<'_, i8>,
    b: In<'_, i8>,
    y: Out<'_, i8>,
    function: impl Fn(i32, i32) -> i32,
) {
    let len = y.len().min(a.len()).min(b.len());
    let (a, b, y) = (a.as_ptr(), b.as_ptr(), y.as_mut_ptr());
    // SAFETY: all three have `len` elements; a backend is only there when the machine has its instructions.
    unsafe {
        match _backend {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Backend::Avx512Vnni => avx512(a, b, y, len, function),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Backend::Avx2 | Backend::AvxVnni => avx2(a, b, y, len, function),
            _ => each(a, b, y, len, function),
        }
    }
}

/// # Safety
/// As [`each`]; the machine has the instructions.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn avx512(a: *const i8, b: *const i8, y: *mut i8, len: usize, function: impl Fn(i32, i32) -> i32) {
    // SAFETY: the caller's.
    unsafe { each(a, b, y, len, function) }
}

/// # Safety
/// As [`each`]; the machine has the instructions.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx2")]
unsafe fn avx2(a: *const i8, b: *const i8, y: *mut i8, len: usize, function: impl Fn(i32, i32) -> i32) {
    // SAFETY: the caller's.
    unsafe { each(a, b, y, len, function) }
}

/// # Safety
/// `a` and `b` are valid for `len` reads, `y` for `len` writes.
#[inline(always)]
unsafe fn each(a: *const i8, b: *const i8, y: *mut i8, len: usize, function: impl Fn(i32, i32) -> i32) {
    let mut index = 0;
    while index + CHUNK <= len {
        // SAFETY: the chunk lies below `len`.
        unsafe {
            let (a, b) =
                (a.add(index).cast::<[i8; CHUNK]>().read(), b.add(index).cast::<[i8; CHUNK]>().read());
            let mut results = [0i8; CHUNK];
            for (result, (a, b)) in results.iter_mut().zip(a.into_iter().zip(b)) {
                *result = function(a as i32, b as i32) as i8;
            }
            y.add(index).cast::<[i8; CHUNK]>().write(results);
        }
        index += CHUNK;
    }
    for index in index..len {
        // SAFETY: index < len.
        unsafe { *y.add(index) = function(*a.add(index) as i32, *b.add(index) as i32) as i8 };
    }
}
