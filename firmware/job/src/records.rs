//! Sending records.

use core::fmt::Write as _;

use embedded_io::Write;
use mixel_core::Plan;
use mixel_wire::{
    VERSION,
    record::{Window, head, tag},
};

use crate::{Board, Refused};

/// Where records go.
pub struct Records<W>(pub W);

impl<W: Write> Records<W> {
    fn send(&mut self, tag: u32, words: &[u32], tail: &[u8]) -> Result<(), W::Error> {
        self.0.write_all(&head(tag, words.len(), tail.len()))?;
        for word in words {
            self.0.write_all(&word.to_le_bytes())?;
        }
        self.0.write_all(tail)
    }

    pub fn hello<B: Board>(&mut self, plan: &Plan<'_>, overhead: u32) -> Result<(), W::Error> {
        let (arena, ops) = (plan.arena_bytes() as u32, plan.operator_count() as u32);
        self.send(tag::HELLO, &[VERSION, B::UNIT as u32, B::TICK_PICOSECONDS, arena, ops, overhead], &[])
    }

    pub fn output(&mut self, sample: u32, output: u32, bytes: &[u8]) -> Result<(), W::Error> {
        self.send(tag::OUTPUT, &[sample, output], bytes)
    }

    pub fn checksums(&mut self, sample: u32, words: &[u8]) -> Result<(), W::Error> {
        self.send(tag::CHECKSUMS, &[sample], words)
    }

    pub fn dump(&mut self, sample: u32, op: u32, bytes: &[u8]) -> Result<(), W::Error> {
        self.send(tag::DUMP, &[sample, op], bytes)
    }

    pub fn ticks(&mut self, run: u32, total: u64, words: &[u8]) -> Result<(), W::Error> {
        self.send(tag::TICKS, &[run, total as u32, (total >> 32) as u32], words)
    }

    pub fn stack(&mut self, bytes: u32) -> Result<(), W::Error> {
        self.send(tag::STACK, &[bytes], &[])
    }

    pub fn window(&mut self, window: &Window) -> Result<(), W::Error> {
        let Window { sample, end, events, skipped, tokens, dropped, outside } = *window;
        self.send(tag::WINDOW, &[sample, end, events, skipped, tokens, dropped, outside], &[])
    }

    pub fn stages(&mut self, sample: u32, events: u32, stages: &[u32]) -> Result<(), W::Error> {
        let mut words = heapless::Vec::<u32, 17>::from_array([sample, events]);
        words.extend(stages.iter().copied().take(15));
        self.send(tag::STAGES, &words, &[])
    }

    pub fn refused(&mut self, refused: &Refused) -> Result<(), W::Error> {
        let mut text = heapless::String::<192>::new();
        // A sentence that does not fit is cut off, which is better than none.
        let _ = write!(text, "{refused}");
        self.send(tag::REFUSED, &[refused.code() as u32], text.as_bytes())
    }

    pub fn end(&mut self, samples: u32) -> Result<(), W::Error> {
        self.send(tag::END, &[samples], &[])?;
        self.0.flush()
    }
}
