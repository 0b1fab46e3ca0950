//! eDVS-4337 (iniVation): 128 x 128 pixels, commands as lines of text and events as bytes over one serial port.
//!
//! **Not run on hardware.** The commands are those of iniVation's libcaer (BSD-2-Clause): 8 data bits, no parity, one stop bit,
//! flow control by RTS and CTS, 12 Mbaud at most.
//!
//! ```text
//! probe -> biases, time -> start -> release: the port then belongs to the interrupt that fills buffers
//! ```
//!
//! [`Edvs::probe`] chooses event format 2, which `mixel_core::events::edvs` decodes. For the stream, fill a
//! `mixel_camera::Exchange` with `Producer::put` from the port's interrupt and `Producer::flush` when the line is idle.

#![no_std]

use core::fmt::Write as _;

use embedded_hal::delay::DelayNs;
use embedded_io::{Read, ReadReady, Write};

/// What the start-up message holds.
const NAME: &[u8] = b"eDVS4337";

/// Time for a reset.
const RESET_MS: u32 = 400;
/// Silence after which nothing more is expected, and the bytes after which it is no message.
const SILENCE_MS: u32 = 50;
const MESSAGE: usize = 1024;

/// A bias of the DVS128 chip, by iniVation's name; the value is its number on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bias {
    /// Cascode of the photoreceptor.
    Cas = 0,
    /// Level of the comparators' ground.
    InjGnd = 1,
    /// Pull-down of requests.
    ReqPd = 2,
    /// Pull-up of the columns.
    PuX = 3,
    /// Threshold of darker events.
    DiffOff = 4,
    /// Pull-down of the pixels' requests.
    Req = 5,
    /// Refractory period.
    Refr = 6,
    /// Pull-up of the rows.
    PuY = 7,
    /// Threshold of brighter events.
    DiffOn = 8,
    /// Differencing amplifier.
    Diff = 9,
    /// Source follower.
    Foll = 10,
    /// Photoreceptor.
    Pr = 11,
}

/// Biases that libcaer starts with ("DVS128 fast").
pub const FAST: [(Bias, u32); 12] = [
    (Bias::Cas, 1992),
    (Bias::InjGnd, 1_108_364),
    (Bias::ReqPd, 16_777_215),
    (Bias::PuX, 8_159_221),
    (Bias::DiffOff, 132),
    (Bias::Req, 309_590),
    (Bias::Refr, 969),
    (Bias::PuY, 16_777_215),
    (Bias::DiffOn, 209_996),
    (Bias::Diff, 13_125),
    (Bias::Foll, 271),
    (Bias::Pr, 217),
];

/// Why the camera does not do as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The port does not work.
    Port(E),
    /// The port is closed.
    Closed,
    /// What answers is no eDVS, or has another baud rate.
    NotEdvs,
    /// A bias of more than 24 bits.
    Range,
}

impl<E: core::fmt::Debug> core::fmt::Display for Error<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Port(error) => write!(f, "the serial port does not work: {error:?}"),
            Self::Closed => f.write_str("the serial port is closed"),
            Self::NotEdvs => {
                f.write_str("no eDVS answers: check the baud rate and that RX and TX are crossed")
            }
            Self::Range => f.write_str("a bias has 24 bits"),
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for Error<E> {}

/// The camera on its port.
#[derive(Debug)]
pub struct Edvs<S> {
    port: S,
}

impl<S: Read + ReadReady + Write> Edvs<S> {
    /// Resets the camera, looks for its name in the start-up message, switches echo off and chooses event format 2 (time
    /// stamps of 16 bits). Events do not flow yet. Takes half a second.
    ///
    /// # Errors
    /// [`Error::Port`], [`Error::Closed`], [`Error::NotEdvs`].
    pub fn probe(port: S, mut delay: impl DelayNs) -> Result<Self, Error<S::Error>> {
        let mut camera = Self { port };
        // Ends a line that an earlier program left unfinished.
        camera.send("\n")?;
        camera.listen(&mut delay)?;
        camera.send("R\n")?;
        delay.delay_ms(RESET_MS);
        if !camera.listen(&mut delay)? {
            return Err(Error::NotEdvs);
        }
        camera.send("!U0\n")?;
        camera.send("!E2\n")?;
        Ok(camera)
    }

    /// Sets one bias, 24 bits.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Port`].
    pub fn set_bias(&mut self, bias: Bias, value: u32) -> Result<(), Error<S::Error>> {
        self.set_biases(&[(bias, value)])
    }

    /// Sets some biases at once.
    ///
    /// # Errors
    /// [`Error::Range`], and then none is sent; [`Error::Port`].
    pub fn set_biases(&mut self, biases: &[(Bias, u32)]) -> Result<(), Error<S::Error>> {
        if biases.iter().any(|(_, value)| *value >= 1 << 24) {
            return Err(Error::Range);
        }
        for (bias, value) in biases {
            let mut line = heapless::String::<16>::new();
            // "!B11=16777215\n" fits.
            let _ = writeln!(line, "!B{}={value}", *bias as u8);
            self.send(&line)?;
        }
        // From the camera's memory to the chip.
        self.send("!BF\n")
    }

    /// Sets the camera's clock to 0.
    ///
    /// # Errors
    /// [`Error::Port`].
    pub fn reset_time(&mut self) -> Result<(), Error<S::Error>> {
        self.send("!ET0\n")
    }

    /// Lets events flow.
    ///
    /// # Errors
    /// [`Error::Port`].
    pub fn start(&mut self) -> Result<(), Error<S::Error>> {
        self.send("E+\n")
    }

    /// Stops events; some may still be on the line.
    ///
    /// # Errors
    /// [`Error::Port`].
    pub fn stop(&mut self) -> Result<(), Error<S::Error>> {
        self.send("E-\n")
    }

    /// Gives the port back, for the stream.
    pub fn release(self) -> S {
        self.port
    }

    fn send(&mut self, line: &str) -> Result<(), Error<S::Error>> {
        self.port.write_all(line.as_bytes()).and_then(|()| self.port.flush()).map_err(Error::Port)
    }

    /// Reads until the line is silent; true when the camera's name was in it.
    fn listen(&mut self, delay: &mut impl DelayNs) -> Result<bool, Error<S::Error>> {
        let mut last = [0; NAME.len()];
        let mut found = false;
        for _ in 0..MESSAGE {
            let mut silent = 0;
            while !self.port.read_ready().map_err(Error::Port)? {
                if silent == SILENCE_MS {
                    return Ok(found);
                }
                delay.delay_ms(1);
                silent += 1;
            }
            let mut byte = [0];
            if self.port.read(&mut byte).map_err(Error::Port)? == 0 {
                return Err(Error::Closed);
            }
            last.rotate_left(1);
            let [.., newest] = &mut last;
            [*newest] = byte;
            found |= last == NAME;
        }
        Ok(found)
    }
}
