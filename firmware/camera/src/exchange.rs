//! Buffers between an interrupt that fills them and the program that reads them.
//!
//! Buffers are owned values that change hands: one is being filled, one being read, the others wait, full or free. With three
//! the interrupt always has a buffer to go on with: a free one, or else the oldest full one, whose bytes are lost, counted and
//! told with the next that is read. So what waits is never older than the buffers allow, which is what a live answer wants; a
//! queue whose interrupt cannot take anything back (`heapless::spsc`, `bbqueue`) would drop the newest bytes and answer late.
//! Taking back is not possible without a lock, so both sides hold a critical section while a buffer changes hands: two
//! operations on a queue of a few entries, never a copy of the bytes.
//!
//! Two buffers work too: then a buffer that is full while the other is being read is lost itself.

use core::cell::RefCell;
use core::convert::Infallible;

use critical_section::Mutex;
use heapless::{Deque, Vec};

use crate::{Chunk, EventSource};

/// A full buffer.
struct Full<B> {
    buffer: B,
    len: usize,
    lost: Option<u32>,
    filled: u32,
}

struct State<B, const N: usize> {
    /// The oldest first.
    full: Deque<Full<B>, N>,
    free: Vec<B, N>,
    /// Missing between the newest full buffer and what is being filled.
    lost: Option<u32>,
    ended: bool,
}

/// Where `N` buffers change hands.
pub struct Exchange<B, const N: usize> {
    state: Mutex<RefCell<State<B, N>>>,
}

/// The side of the interrupt.
pub struct Producer<'e, B, const N: usize> {
    exchange: &'e Exchange<B, N>,
    filling: B,
    /// Bytes that [`Producer::put`] has put into it.
    at: usize,
}

/// The side of the program: an [`EventSource`] that calls `idle` while no buffer is full.
pub struct Consumer<'e, B, I, const N: usize> {
    exchange: &'e Exchange<B, N>,
    reading: Option<B>,
    idle: I,
}

/// Adds a loss to another.
fn more(lost: &mut Option<u32>, bytes: u32) {
    *lost = Some(lost.unwrap_or(0).saturating_add(bytes));
}

impl<B, const N: usize> Exchange<B, N> {
    /// Without buffers.
    pub const fn new() -> Self {
        let state = State { full: Deque::new(), free: Vec::new(), lost: None, ended: false };
        Self { state: Mutex::new(RefCell::new(state)) }
    }

    /// Both sides, with the first buffer and the others. `idle` is called over and over while there is nothing to read: it
    /// may wait for an interrupt. To be called once; what an earlier producer left is dropped.
    pub fn split<I: FnMut()>(
        &self,
        first: B,
        others: impl IntoIterator<Item = B>,
        idle: I,
    ) -> (Producer<'_, B, N>, Consumer<'_, B, I, N>) {
        self.with(|state| {
            *state = State { full: Deque::new(), free: Vec::new(), lost: None, ended: false };
            state.free.extend(others.into_iter().take(N.saturating_sub(1)));
        });
        (Producer { exchange: self, filling: first, at: 0 }, Consumer { exchange: self, reading: None, idle })
    }

    fn with<R>(&self, change: impl FnOnce(&mut State<B, N>) -> R) -> R {
        critical_section::with(|section| change(&mut self.state.borrow_ref_mut(section)))
    }
}

impl<B, const N: usize> Default for Exchange<B, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, const N: usize> Producer<'_, B, N> {
    /// The buffer that is being filled.
    pub fn buffer(&mut self) -> &mut B {
        &mut self.filling
    }

    /// The first `len` bytes of the buffer are there, the last of them since `now`, in ticks of the board's clock. Afterwards
    /// another buffer is to be filled.
    pub fn swap(&mut self, len: usize, now: u32) {
        let Self { exchange, filling, at } = self;
        *at = 0;
        exchange.with(|state| {
            let Some(next) = state.free.pop().or_else(|| take_back(state)) else {
                // Every other buffer is being read: this one is lost.
                more(&mut state.lost, len as u32);
                return;
            };
            let buffer = core::mem::replace(filling, next);
            let full = Full { buffer, len, lost: state.lost.take(), filled: now };
            // There are at most `N` buffers.
            let _ = state.full.push_back(full);
        });
    }

    /// `bytes` of the stream were lost before what is being filled now, 0 if their number is not known: an overrun of the
    /// hardware.
    pub fn lose(&mut self, bytes: u32) {
        self.exchange.with(|state| more(&mut state.lost, bytes));
    }

    /// The stream is at its end; what is full can still be read.
    pub fn end(&mut self) {
        self.exchange.with(|state| state.ended = true);
    }
}

impl<B: AsMut<[u8]>, const N: usize> Producer<'_, B, N> {
    /// Copies `bytes` behind those that are in the buffer, and swaps it whenever it is full: for interrupts that bring a few
    /// bytes at a time, such as those of a serial port.
    pub fn put(&mut self, mut bytes: &[u8], now: u32) {
        while !bytes.is_empty() {
            let buffer = self.filling.as_mut();
            let len = buffer.len();
            let room = buffer.get_mut(self.at..).unwrap_or_default();
            let (these, rest) = bytes.split_at(bytes.len().min(room.len()));
            if these.is_empty() {
                return self.lose(bytes.len() as u32);
            }
            for (to, from) in room.iter_mut().zip(these) {
                *to = *from;
            }
            self.at += these.len();
            bytes = rest;
            if self.at == len {
                self.swap(len, now);
            }
        }
    }

    /// Hands over what [`Producer::put`] has put into the buffer: the line is idle, and nobody should wait for more.
    pub fn flush(&mut self, now: u32) {
        if self.at > 0 {
            self.swap(self.at, now);
        }
    }
}

/// The oldest full buffer; its bytes are lost before those of the next.
fn take_back<B, const N: usize>(state: &mut State<B, N>) -> Option<B> {
    let oldest = state.full.pop_front()?;
    let lost = oldest.lost.unwrap_or(0).saturating_add(oldest.len as u32);
    match state.full.front_mut() {
        Some(next) => more(&mut next.lost, lost),
        None => more(&mut state.lost, lost),
    }
    Some(oldest.buffer)
}

impl<B: AsRef<[u8]>, I: FnMut(), const N: usize> EventSource for Consumer<'_, B, I, N> {
    type Error = Infallible;

    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, Infallible> {
        let Self { exchange, reading, idle } = self;
        loop {
            let (next, lost, ended) = exchange.with(|state| {
                if let Some(read) = reading.take() {
                    // There are at most `N` buffers.
                    let _ = state.free.push(read);
                }
                let next = state.full.pop_front();
                let lost = if next.is_none() && state.ended { state.lost.take() } else { None };
                (next, lost, state.ended)
            });
            if let Some(Full { buffer, len, lost, filled }) = next {
                let buffer: &B = reading.insert(buffer);
                let bytes = buffer.as_ref().get(..len).unwrap_or_default();
                return Ok(Some(Chunk { bytes, lost, filled: Some(filled) }));
            }
            if ended {
                return Ok(lost.map(|lost| Chunk { bytes: &[], lost: Some(lost), filled: None }));
            }
            idle();
        }
    }
}
