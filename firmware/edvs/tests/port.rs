//! The lines that go over the port, and the bytes that come back as events.

use std::collections::VecDeque;

use embedded_hal::delay::DelayNs;
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use mixel_camera::{EventSource, Exchange};
use mixel_core::events::Event;
use mixel_core::events::edvs::Edvs as Decoder;
use mixel_edvs::{Bias, Edvs, Error, FAST};

/// A port whose other side answers lines.
#[derive(Default)]
struct Port {
    sent: String,
    coming: VecDeque<u8>,
    /// What a reset is answered with.
    greeting: &'static str,
    /// Nothing ends: the line is noisy.
    noisy: bool,
    broken: bool,
    closed: bool,
}

impl ErrorType for &mut Port {
    type Error = ErrorKind;
}

impl ReadReady for &mut Port {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.noisy || self.closed || !self.coming.is_empty())
    }
}

impl Read for &mut Port {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.closed {
            return Ok(0);
        }
        let byte = self.coming.pop_front().or(self.noisy.then_some(0x55));
        buffer[0] = byte.expect("a read that would block for ever");
        Ok(1)
    }
}

impl Write for &mut Port {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.broken {
            return Err(ErrorKind::BrokenPipe);
        }
        let text = std::str::from_utf8(bytes).unwrap();
        self.sent.push_str(text);
        if text == "R\n" {
            self.coming.extend(self.greeting.bytes());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Time that passes for nobody.
#[derive(Default)]
struct Waited(u64);

impl DelayNs for &mut Waited {
    fn delay_ns(&mut self, ns: u32) {
        self.0 += u64::from(ns);
    }
}

const GREETING: &str = "\r\neDVS4337 board, ARM CM4/M0\r\n";

#[test]
fn the_camera_is_found_set_up_and_started() {
    let mut port = Port { greeting: GREETING, ..Port::default() };
    // What an earlier program left on the line.
    port.coming.extend([1, 2, 3]);
    let mut waited = Waited::default();
    let mut camera = Edvs::probe(&mut port, &mut waited).unwrap();
    camera.set_biases(&FAST).unwrap();
    camera.set_bias(Bias::DiffOn, 150_000).unwrap();
    camera.reset_time().unwrap();
    camera.start().unwrap();
    camera.stop().unwrap();
    assert_eq!(camera.set_biases(&[(Bias::Cas, 1), (Bias::Pr, 1 << 24)]), Err(Error::Range));
    camera.release();
    assert_eq!(
        port.sent,
        "\nR\n!U0\n!E2\n!B0=1992\n!B1=1108364\n!B2=16777215\n!B3=8159221\n!B4=132\n!B5=309590\n!B6=969\n!B7=16777215\n\
         !B8=209996\n!B9=13125\n!B10=271\n!B11=217\n!BF\n!B8=150000\n!BF\n!ET0\nE+\nE-\n"
    );
    assert!((500_000_000..600_000_000).contains(&waited.0), "{} ns", waited.0);
}

#[test]
fn others_are_refused_in_bounded_time() {
    for (greeting, noisy) in [("", false), ("eDVS128", false), ("", true)] {
        let mut port = Port { greeting, noisy, ..Port::default() };
        let mut waited = Waited::default();
        assert_eq!(Edvs::probe(&mut port, &mut waited).err(), Some(Error::NotEdvs), "{greeting:?}");
        assert!(waited.0 < 1_000_000_000);
        assert_eq!(port.sent, "\nR\n", "a stranger gets no more commands");
    }
}

#[test]
fn errors_of_the_port_are_passed_on() {
    let mut waited = Waited::default();
    let mut port = Port { broken: true, ..Port::default() };
    assert_eq!(Edvs::probe(&mut port, &mut waited).err(), Some(Error::Port(ErrorKind::BrokenPipe)));
    let mut port = Port { closed: true, ..Port::default() };
    assert_eq!(Edvs::probe(&mut port, &mut waited).err(), Some(Error::Closed));
}

#[test]
fn bytes_from_the_interrupt_become_events() {
    let events: Vec<Event> =
        (0..1000u16).map(|n| Event::new(u32::from(n) * 70, n % 128, n / 8 % 128, n % 3 == 0)).collect();
    let bytes: Vec<u8> = events
        .iter()
        .flat_map(|event| {
            let [high, low] = (event.t as u16).to_be_bytes();
            let off = if event.on() { 0 } else { 0x80 };
            [0x80 | event.y() as u8, off | event.x() as u8, high, low]
        })
        .collect();
    type Buffer = Box<[u8]>;
    let exchange: Exchange<Buffer, 4> = Exchange::new();
    let buffer = || -> Buffer { vec![0; 64].into() };
    let line = std::cell::RefCell::new(None);
    // A serial port brings up to 16 bytes an interrupt, and says when the line is idle.
    let mut pieces = bytes.chunks(13).enumerate();
    let idle = || {
        let mut line = line.borrow_mut();
        let producer: &mut mixel_camera::Producer<'_, Buffer, 4> = line.as_mut().unwrap();
        match pieces.next() {
            Some((at, piece)) => {
                producer.put(piece, at as u32);
                if at % 10 == 0 {
                    producer.flush(at as u32);
                }
            }
            None => {
                producer.flush(0);
                producer.end();
            }
        }
    };
    let (producer, mut consumer) = exchange.split(buffer(), [buffer(), buffer(), buffer()], idle);
    *line.borrow_mut() = Some(producer);
    let (mut decoder, mut decoded) = (Decoder::new(), Vec::new());
    while let Some(chunk) = consumer.next_chunk().unwrap() {
        assert_eq!(chunk.lost, None);
        decoder.decode(chunk.bytes, &mut |events: &[Event]| decoded.extend_from_slice(events));
    }
    assert_eq!(decoded, events);
    assert_eq!(decoder.counts().violations(), 0);
}
