//! Answers every line of text with its class.
//!
//! A terminal on a serial port is the other side: a line ends with a carriage return or a line feed, an answer
//! is the class's label and `\r\n`. The board's light is on while it thinks. Port and light are the traits of
//! embedded-hal 1.0 and embedded-io, so that any board has them.

#![no_std]

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use heapless::Vec;
use mixel_core::{
    Session,
    kernels::OpSet,
    plan::{DType, FrontEnd, TextHead},
};

/// Bytes of the longest line; what is beyond is dropped, and the answer says so.
pub const LINE: usize = 256;

/// Tells the class of a text.
pub trait Classify {
    /// Label of `text`, any bytes; none when the model does not give one class for a text, in int8.
    fn classify(&mut self, text: &[u8]) -> Option<&str>;
}

impl<O: OpSet> Classify for Session<'_, '_, O> {
    fn classify(&mut self, text: &[u8]) -> Option<&str> {
        let FrontEnd::Text { head: TextHead::Sequence, .. } = self.plan().front_end() else { return None };
        let output = self.plan().outputs().next()?.tensor;
        if self.plan().tensor(output).ok()?.dtype != DType::I8 {
            return None;
        }
        self.set_text(text).ok()?;
        self.run();
        let scores = self.output(0).iter().map(|byte| *byte as i8).enumerate();
        // The first of equal scores, as on the host.
        let (best, _) = scores.rev().max_by_key(|(_, score)| *score)?;
        self.plan().labels().nth(best)
    }
}

/// Why the service ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServeError<S, L> {
    /// The serial port does not work.
    Serial(S),
    /// The light does not work.
    Light(L),
}

/// What came in.
#[derive(Default)]
struct Line {
    bytes: Vec<u8, LINE>,
    dropped: bool,
}

impl Line {
    /// Takes a byte; true when the line is complete and not empty.
    fn take(&mut self, byte: u8) -> bool {
        match byte {
            b'\r' | b'\n' => return !self.bytes.is_empty(),
            0x08 | 0x7F => drop(self.bytes.pop()),
            byte => self.dropped |= self.bytes.push(byte).is_err(),
        }
        false
    }
}

/// Answers lines until the port has nothing more (a real one never says so).
///
/// # Errors
/// What port or light give.
pub fn serve<S: Read + Write, L: OutputPin>(
    serial: &mut S,
    light: &mut L,
    model: &mut impl Classify,
) -> Result<(), ServeError<S::Error, L::Error>> {
    let mut line = Line::default();
    let mut received = [0; 16];
    loop {
        let count = serial.read(&mut received).map_err(ServeError::Serial)?;
        if count == 0 {
            return Ok(());
        }
        for byte in received.iter().take(count) {
            if !line.take(*byte) {
                continue;
            }
            light.set_high().map_err(ServeError::Light)?;
            let answer = model.classify(&line.bytes).unwrap_or("?");
            light.set_low().map_err(ServeError::Light)?;
            let note = if line.dropped { " (line cut off)\r\n" } else { "\r\n" };
            for text in [answer, note] {
                serial.write_all(text.as_bytes()).map_err(ServeError::Serial)?;
            }
            line = Line::default();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};
    use std::{string::String, vec::Vec as List};

    /// A port that gets `input` in pieces and keeps what is sent.
    struct Port {
        input: List<u8>,
        sent: String,
    }

    impl embedded_io::ErrorType for Port {
        type Error = embedded_io::ErrorKind;
    }

    impl Read for Port {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
            let count = buffer.len().min(self.input.len()).min(7);
            for (to, from) in buffer.iter_mut().zip(self.input.drain(..count)) {
                *to = from;
            }
            Ok(count)
        }
    }

    impl Write for Port {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
            self.sent.push_str(core::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    /// Knows the number of bytes.
    struct Length(String);

    impl Classify for Length {
        fn classify(&mut self, text: &[u8]) -> Option<&str> {
            self.0 = std::format!("{}", text.len());
            (text != b"?").then_some(&self.0)
        }
    }

    /// What is answered to `input`; the light goes on and off for each of `lines` lines.
    fn answers(input: &[u8], lines: usize) -> String {
        let blink = [Transaction::set(State::High), Transaction::set(State::Low)];
        let mut light = Mock::new(&blink.iter().cycle().take(2 * lines).cloned().collect::<List<_>>());
        let mut port = Port { input: input.to_vec(), sent: String::new() };
        serve(&mut port, &mut light, &mut Length(String::new())).unwrap();
        light.done();
        port.sent
    }

    #[test]
    fn every_line_has_one_answer() {
        assert_eq!(answers(b"play some jazz\r\nstop\n\n\r\nunfinished", 2), "14\r\n4\r\n");
    }

    #[test]
    fn a_long_line_is_cut_off_and_the_next_is_whole() {
        let input = [&[b'a'; LINE + 9][..], b"\nhi\n"].concat();
        assert_eq!(answers(&input, 2), "256 (line cut off)\r\n2\r\n");
    }

    #[test]
    fn backspace_takes_back() {
        assert_eq!(answers(b"\x08jaxx\x7f\x08zz\n", 1), "4\r\n");
    }

    #[test]
    fn a_model_without_labels_answers_with_a_question_mark() {
        assert_eq!(answers(b"?\n", 1), "?\r\n");
    }
}
