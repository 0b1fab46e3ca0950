//! Frames of the camera interface into buffers, above the program in priority.

use embassy_executor::InterruptExecutor;
use embassy_stm32::dcmi::Dcmi;
use embassy_stm32::interrupt::{self, InterruptExt as _, Priority};
use embassy_stm32::peripherals::DCMI;
use embassy_time::{Duration, with_timeout};
use mixel_camera::Producer;

use crate::{BUFFERS, FRAME_WORDS, cycles};

/// Longer than the sensor takes for a frame in a quiet scene, 16 us a word.
const PATIENCE: Duration = Duration::from_micros(2 * 16 * FRAME_WORDS as u64);

/// A buffer of one frame.
pub struct Frame(pub &'static mut [u32; FRAME_WORDS]);

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0[..])
    }
}

/// Runs the capture above the program, on an interrupt that has no other use.
static EXECUTOR: InterruptExecutor = InterruptExecutor::new();

#[embassy_stm32::interrupt]
fn UART8() {
    // SAFETY: this is the interrupt that the executor is started for, and nothing else calls this.
    unsafe { EXECUTOR.on_interrupt() }
}

/// Fills the producer's buffers from now on.
pub fn start(dcmi: Dcmi<'static, DCMI>, producer: Producer<'static, Frame, BUFFERS>) {
    interrupt::UART8.set_priority(Priority::P6);
    match capture(dcmi, producer) {
        Ok(task) => EXECUTOR.start(interrupt::UART8).spawn(task),
        Err(_) => defmt::panic!("the capture runs already"),
    }
}

/// One frame after the other. The interface takes single frames (embassy has no continuous capture): it is armed anew in the
/// pause that the sensor makes behind each. A frame that begins before that is missed; the interface does not tell, but the
/// decoder sees the sensor's time jump.
#[embassy_executor::task]
async fn capture(mut dcmi: Dcmi<'static, DCMI>, mut producer: Producer<'static, Frame, BUFFERS>) {
    loop {
        match with_timeout(PATIENCE, dcmi.capture(&mut producer.buffer().0[..])).await {
            Ok(Ok(())) => producer.swap(4 * FRAME_WORDS, cycles()),
            // An overrun, or a frame that was never whole: nobody counts its bytes.
            Ok(Err(_)) | Err(_) => producer.lose(0),
        }
    }
}
