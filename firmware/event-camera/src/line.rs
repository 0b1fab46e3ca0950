//! A sensor that does not wait: an interrupt puts the recording into buffers, ready or not.

use core::cell::RefCell;

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use cortex_m_rt::exception;
use critical_section::Mutex;
use mixel_camera::{EventSource, Exchange, Producer};
use mixel_emulated::Clock;

use crate::CHUNK;

const BUFFERS: usize = 3;
type Buffer = &'static mut [u8];

static EXCHANGE: Exchange<Buffer, BUFFERS> = Exchange::new();
static LINE: Mutex<RefCell<Option<Line>>> = Mutex::new(RefCell::new(None));

struct Line {
    producer: Producer<'static, Buffer, BUFFERS>,
    rest: &'static [u8],
    clock: Clock,
}

impl Line {
    /// What the DMA of a camera interface would have done by now.
    fn deliver(&mut self) {
        let (bytes, rest) = self.rest.split_at(self.rest.len().min(CHUNK));
        self.rest = rest;
        if bytes.is_empty() {
            return self.producer.end();
        }
        if let Some(buffer) = self.producer.buffer().get_mut(..bytes.len()) {
            buffer.copy_from_slice(bytes);
        }
        self.producer.swap(bytes.len(), self.clock.now());
    }
}

#[exception]
fn SysTick() {
    critical_section::with(|section| {
        if let Some(line) = LINE.borrow_ref_mut(section).as_mut() {
            line.deliver();
        }
    });
}

/// Delivers `stream` in pieces of [`CHUNK`] bytes, one every `pace` counts of SysTick (2 to 2^24), into buffers that lie in
/// `memory`; none when they do not fit.
pub fn start(
    mut syst: SYST,
    pace: u32,
    stream: &'static [u8],
    memory: &'static mut [u8],
    clock: Clock,
) -> Option<impl EventSource<Error = core::convert::Infallible>> {
    let mut buffers = memory.chunks_exact_mut(CHUNK);
    let (first, second, third) = (buffers.next()?, buffers.next()?, buffers.next()?);
    // Waiting for an interrupt would leave QEMU's count of instructions to real time.
    let (producer, consumer) = EXCHANGE.split(first, [second, third], cortex_m::asm::nop);
    critical_section::with(|section| {
        LINE.borrow_ref_mut(section).replace(Line { producer, rest: stream, clock });
    });
    syst.set_clock_source(SystClkSource::Core);
    syst.set_reload(pace.clamp(2, 1 << 24) - 1);
    syst.clear_current();
    syst.enable_interrupt();
    syst.enable_counter();
    Some(consumer)
}
