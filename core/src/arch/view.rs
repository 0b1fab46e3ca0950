//! Windows into memory that operators read and write.
//!
//! In-place operators and overlapped buffers read and write the same bytes through different windows, so elements are
//! loaded and stored one at a time and never borrowed. Every access is bounds-checked and total: a read outside the
//! window gives zero and a write outside it does nothing, so no access can panic. (A verified plan never does either.)
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::{align_of, size_of};

/// Element types that tensors are made of: plain integers, every bit pattern valid.
///
/// # Safety
/// Implementors are integers without padding for which any bytes are a value.
pub unsafe trait Element: Copy + Default + 'static {}
// SAFETY: a plain integer.
unsafe impl Element for i8 {}
// SAFETY: a plain integer.
unsafe impl Element for u8 {}
// SAFETY: a plain integer.
unsafe impl Element for i16 {}
// SAFETY: a plain integer.
unsafe impl Element for u16 {}
// SAFETY: a plain integer.
unsafe impl Element for i32 {}
// SAFETY: a plain integer.
unsafe impl Element for u32 {}
// SAFETY: a plain integer.
unsafe impl Element for i64 {}

/// A readable window of `len` elements.
pub struct In<'a, T> {
    pointer: *const T,
    len: usize,
    memory: PhantomData<&'a [T]>,
}

impl<T> Clone for In<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for In<'_, T> {}

impl<'a, T: Element> In<'a, T> {
    /// The window over a slice that nobody writes while it lives.
    #[inline]
    pub fn new(slice: &'a [T]) -> Self {
        Self { pointer: slice.as_ptr(), len: slice.len(), memory: PhantomData }
    }

    /// The window over bytes seen as little-endian elements; empty when the bytes are not aligned for `T`.
    #[inline]
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        let aligned = bytes.as_ptr().align_offset(align_of::<T>()) == 0;
        let len = if aligned { bytes.len() / size_of::<T>() } else { 0 };
        Self { pointer: bytes.as_ptr().cast(), len, memory: PhantomData }
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Element `index`, or zero outside the window.
    #[inline(always)]
    pub fn get(&self, index: usize) -> T {
        if index < self.len {
            // SAFETY: index < len, and the window was made from a live allocation of len elements.
            unsafe { self.pointer.add(index).read() }
        } else {
            T::default()
        }
    }

    /// Element `index`, for micro-kernels that have checked the length once.
    ///
    /// # Safety
    /// `index` is below [`In::len`].
    #[inline(always)]
    pub unsafe fn get_unchecked(&self, index: usize) -> T {
        // SAFETY: the window was made from a live allocation of len elements.
        unsafe { self.pointer.add(index).read() }
    }

    /// All elements, if there are just `N`.
    #[inline(always)]
    pub fn array<const N: usize>(&self) -> Option<[T; N]> {
        // SAFETY: there are N elements.
        (self.len == N).then(|| unsafe { self.pointer.cast::<[T; N]>().read() })
    }

    /// The part of the window from `start`, `len` elements long, cut off where the window ends.
    #[inline(always)]
    pub fn window(&self, start: usize, len: usize) -> Self {
        let start = start.min(self.len);
        let len = len.min(self.len - start);
        // SAFETY: start <= self.len keeps the pointer inside the allocation or one past its end.
        Self { pointer: unsafe { self.pointer.add(start) }, len, memory: PhantomData }
    }

    /// The same bytes as elements of another type; empty when they are not aligned for it.
    #[inline]
    pub fn cast<U: Element>(&self) -> In<'a, U> {
        let aligned = (self.pointer as usize).is_multiple_of(align_of::<U>());
        let len = if aligned { self.len * size_of::<T>() / size_of::<U>() } else { 0 };
        In { pointer: self.pointer.cast(), len, memory: PhantomData }
    }

    /// Whether some of its memory is that of `other`.
    #[inline]
    pub fn meets<U: Element>(&self, other: &Out<'_, U>) -> bool {
        let (ours, theirs) = (self.pointer as usize, other.pointer as usize);
        let inside = |place: usize, start: usize, bytes: usize| place.wrapping_sub(start) < bytes;
        inside(theirs, ours, self.len * size_of::<T>()) || inside(ours, theirs, other.len * size_of::<U>())
    }

    /// The first element's address, for micro-kernels, valid for `len` reads.
    #[inline(always)]
    pub fn as_ptr(&self) -> *const T {
        self.pointer
    }
}

/// A writable window of `len` elements; it can be read back, and other windows may see the same memory.
pub struct Out<'a, T> {
    pointer: *mut T,
    len: usize,
    memory: PhantomData<&'a core::cell::Cell<T>>,
}

impl<T> Clone for Out<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Out<'_, T> {}

impl<'a, T: Element> Out<'a, T> {
    /// The window over a slice.
    #[inline]
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { pointer: slice.as_mut_ptr(), len: slice.len(), memory: PhantomData }
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Element `index`, or zero outside the window.
    #[inline(always)]
    pub fn get(&self, index: usize) -> T {
        self.reader().get(index)
    }

    /// Stores `value` at `index`; nothing happens outside the window.
    #[inline(always)]
    pub fn set(&self, index: usize, value: T) {
        if index < self.len {
            // SAFETY: index < len, the memory is writable, and windows are confined to one thread.
            unsafe { self.pointer.add(index).write(value) }
        }
    }

    /// Stores `value` in every element.
    #[inline]
    pub fn fill(&self, value: T) {
        for index in 0..self.len {
            self.set(index, value);
        }
    }

    /// Copies as many elements of `source` as both have. Where they share memory, it goes piece by piece, the first one
    /// first (and so needs no `memmove`, which would be 1.5 KiB of flash), which moves elements towards the front.
    #[inline]
    pub fn copy_from(&self, source: &In<'_, T>) {
        let len = self.len.min(source.len);
        let (from, to) = (source.pointer as usize, self.pointer as usize);
        let apart = from.abs_diff(to) / size_of::<T>();
        if apart == 0 {
            return;
        }
        let mut done = 0;
        while done < len {
            let piece = apart.min(len - done);
            // SAFETY: both windows were made from live allocations of at least `len` elements, and elements that are no
            // further from each other than the windows do not share memory.
            unsafe {
                let (from, to) = (source.pointer.add(done), self.pointer.add(done));
                copy_bytes(from.cast(), to.cast(), piece * size_of::<T>());
            }
            done += piece;
        }
    }

    /// The same memory as elements of another type; empty when it is not aligned for it.
    #[inline]
    pub fn cast<U: Element>(&self) -> Out<'a, U> {
        let aligned = (self.pointer as usize).is_multiple_of(align_of::<U>());
        let len = if aligned { self.len * size_of::<T>() / size_of::<U>() } else { 0 };
        Out { pointer: self.pointer.cast(), len, memory: PhantomData }
    }

    /// The part of the window from `start`, `len` elements long, cut off where the window ends.
    #[inline(always)]
    pub fn window(&self, start: usize, len: usize) -> Self {
        let start = start.min(self.len);
        let len = len.min(self.len - start);
        // SAFETY: start <= self.len keeps the pointer inside the allocation or one past its end.
        Self { pointer: unsafe { self.pointer.add(start) }, len, memory: PhantomData }
    }

    /// The same memory, for reading.
    #[inline(always)]
    pub fn reader(&self) -> In<'a, T> {
        In { pointer: self.pointer, len: self.len, memory: PhantomData }
    }

    /// The first element's address, for micro-kernels, valid for `len` reads and writes.
    #[inline(always)]
    pub fn as_mut_ptr(&self) -> *mut T {
        self.pointer
    }
}

/// Copies `bytes` bytes the shortest way of the machine.
///
/// # Safety
/// `from` is valid for `bytes` reads and `to` for as many writes, and they share no memory.
#[inline(always)]
pub(super) unsafe fn copy_bytes(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller's.
    unsafe {
        #[cfg(mixel_helium)]
        super::helium::copy(from, to, bytes);
        #[cfg(all(mixel_dsp, not(mixel_helium)))]
        super::armv7em::copy(from, to, bytes);
        #[cfg(not(mixel_dsp))]
        core::ptr::copy_nonoverlapping(from, to, bytes);
    }
}

/// Where the last of `count` runs of `len` elements ends, the first of which begins at 0 and each other one `step` behind the one
/// before; of none as of one. What numbers do not hold is `usize::MAX`, and no window is as long.
#[inline]
pub const fn span(count: usize, step: usize, len: usize) -> usize {
    // Asked for each row of outputs: branches that are not taken cost less than values that stop at a bound.
    let Some(last) = count.saturating_sub(1).checked_mul(step) else { return usize::MAX };
    match last.checked_add(len) {
        Some(end) => end,
        None => usize::MAX,
    }
}

/// Stores `value` in every byte.
#[inline]
pub fn fill(bytes: Out<'_, u8>, value: u8) {
    // SAFETY: the window has `len` writable bytes.
    unsafe {
        // The compiler's is ten times as long.
        #[cfg(all(mixel_dsp, not(mixel_helium)))]
        super::armv7em::fill(bytes.pointer, bytes.len, value.into());
        #[cfg(not(all(mixel_dsp, not(mixel_helium))))]
        core::ptr::write_bytes(bytes.pointer, value, bytes.len);
    }
}

/// The memory of one session. Between runs it is read and written as bytes; during a run it is leased for windows.
pub struct Arena<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Arena<'a> {
    /// Takes over `bytes` for as long as the arena lives.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes `offset .. offset + len` to read; empty when they do not fit.
    pub fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        offset.checked_add(len).and_then(|end| self.bytes.get(offset..end)).unwrap_or(&[])
    }

    /// Bytes `offset .. offset + len` to write; empty when they do not fit.
    pub fn bytes_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        offset.checked_add(len).and_then(|end| self.bytes.get_mut(offset..end)).unwrap_or_default()
    }

    /// `count` 16-bit elements from byte `offset` to write; empty when they do not fit or are not aligned.
    pub fn u16_mut(&mut self, offset: usize, count: usize) -> &mut [u16] {
        let bytes = self.bytes_mut(offset, count * 2);
        // SAFETY: any two bytes are a u16, and align_to_mut only hands out aligned ones.
        let (head, elements, tail) = unsafe { bytes.align_to_mut::<u16>() };
        if head.is_empty() && tail.is_empty() { elements } else { &mut [] }
    }

    /// Opens the arena for windows that may overlap; it is closed again when the lease ends.
    pub fn lease(&mut self) -> Lease<'_> {
        Lease { base: self.bytes.as_mut_ptr(), len: self.bytes.len(), memory: PhantomData }
    }
}

/// The arena while operators run.
pub struct Lease<'a> {
    base: *mut u8,
    len: usize,
    memory: PhantomData<&'a mut [u8]>,
}

impl Lease<'_> {
    /// `count` elements from byte `offset`; an empty window when they do not fit or are not aligned.
    #[inline]
    pub fn window<T: Element>(&self, offset: usize, count: usize) -> Out<'_, T> {
        let end = count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        let inside = matches!(end, Some(end) if end <= self.len);
        // SAFETY: offset is clamped to the arena, so the pointer stays in it or one past its end.
        let pointer = unsafe { self.base.add(offset.min(self.len)) };
        let aligned = (pointer as usize).is_multiple_of(align_of::<T>());
        let len = if inside && aligned { count } else { 0 };
        Out { pointer: pointer.cast(), len, memory: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_outside_are_harmless() {
        let mut memory = [1i8, 2, 3];
        let out = Out::new(&mut memory);
        out.set(3, 9);
        assert_eq!((out.get(2), out.get(3)), (3, 0));
        assert_eq!(out.window(2, 10).len(), 1);
        assert_eq!(out.window(7, 1).len(), 0);
    }

    #[test]
    fn spans_do_not_wrap() {
        assert_eq!((span(3, 10, 4), span(1, 10, 4), span(0, 10, 4)), (24, 4, 4));
        // Either would be 5.
        let half = 1 << (usize::BITS / 2);
        assert_eq!(span(half + 1, half, 5), usize::MAX);
        assert_eq!(span(2, usize::MAX - 4, 10), usize::MAX);
        assert_eq!(span(half, half, half - 1), usize::MAX);
    }

    #[test]
    fn windows_share_memory() {
        let mut memory = [0u8; 8];
        let mut arena = Arena::new(&mut memory);
        let lease = arena.lease();
        let (a, b) = (lease.window::<u8>(0, 4), lease.window::<u8>(2, 4));
        b.set(0, 7);
        assert_eq!(a.get(2), 7);
        assert!(a.reader().meets(&b) && b.reader().meets(&a));
        let behind = lease.window::<u16>(4, 2);
        assert!(!a.reader().meets(&behind) && !behind.reader().meets(&a));
        assert!(lease.window::<u8>(5, 4).is_empty());
        assert!(lease.window::<u32>(0, usize::MAX).is_empty());
        assert_eq!(arena.bytes(2, 1), &[7]);
    }
}
