//! Prophesee GENX320: 320 x 320 pixels, controlled over I2C, events over the parallel interface (CPI, an MCU's DCMI).
//!
//! **Not run on hardware.** The facts come from Prophesee's public register map (openeb, Apache-2.0) and from OpenMV's driver
//! (MIT, and Apache-2.0 where it is Prophesee's): names and bits from the former, order and values of the power-up from the
//! latter. The tests hold the driver against scripted transactions and against a model of the registers that knows what must
//! come before what. Where the sources are silent or differ, the documentation of the function says so.
//!
//! ```text
//! probe -> init -> (biases, rate limit, flicker filter, region, crop) -> start -> stop, or sleep and wake
//! ```
//!
//! Registers have 16-bit addresses and 32-bit values, both big-endian on the bus. Every wait has a bound.
//!
//! # Latency
//!
//! The interface sends frames of fixed size ([`Frames`]) and begins none before it has the bytes. A quiet scene gives one
//! time word every 16 us and nothing else, so a frame of n EVT2.0 words comes every 16 n us at the latest: make frames as
//! small as the latency asks for.

#![no_std]

mod bias;
mod filters;
mod power_up;
mod region;
pub mod registers;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

pub use bias::Bias;
use power_up::Step;
pub use region::Rectangle;
use registers::{BIAS_SINGLE, Register, cpi, pipeline, readout};

/// The sensor's 7-bit address on the bus.
pub const ADDRESS: u8 = 0x3C;

/// Columns, and rows.
pub const SIDE: u16 = 320;

/// Which silicon it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Silicon {
    /// Engineering samples.
    Es,
    /// Mass production.
    Mp,
}

impl Silicon {
    /// What [`Register::CHIP_ID`] tells.
    pub const fn from_id(id: u32) -> Option<Self> {
        match id {
            0x3050_1C01 => Some(Self::Es),
            0xB060_2003 => Some(Self::Mp),
            _ => None,
        }
    }
}

/// Format of the words in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Format {
    /// EVT2.0: 4 bytes an event.
    Evt2,
    /// EVT2.1: 8 bytes for up to 32 events of a row; `legacy` has the halves of a word in the order of older sensors.
    Evt21 {
        /// Control half first.
        legacy: bool,
    },
    /// EVT3.0; mass production only.
    Evt3,
}

/// Sizes and pauses of what the interface sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Frames {
    /// Bytes of a packet, a line of the camera interface: a multiple of 8, at most 8,184.
    pub packet: u16,
    /// Packets of a frame, at least one.
    pub packets: u16,
    /// Clocks of pause behind a packet, at 48 MHz.
    pub packet_pause: u16,
    /// Clocks of pause behind a frame, in which the other side makes ready for the next.
    pub frame_pause: u16,
}

impl Frames {
    /// Bytes of a frame.
    pub const fn bytes(&self) -> usize {
        self.packet as usize * self.packets as usize
    }
}

/// Why the sensor does not do as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error<E> {
    /// The bus does not work.
    Bus(E),
    /// Another chip answers: its id.
    Chip(u32),
    /// This silicon does not know the format.
    Format,
    /// A number is out of its range.
    Range,
    /// A register holds something else than was written.
    Readback {
        /// The register.
        register: Register,
        /// What was written.
        wrote: u32,
        /// What it holds.
        read: u32,
    },
    /// A register did not say within the bound that the sensor is done.
    Timeout(Register),
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Bus(error)
    }
}

impl<E: core::fmt::Debug> core::fmt::Display for Error<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bus(error) => {
                write!(f, "the bus does not work: {error:?}; check wiring, pull-ups and clock")
            }
            Self::Chip(id) => write!(f, "chip {id:#010x} is no GENX320"),
            Self::Format => f.write_str("engineering samples do not know EVT3.0: take another format"),
            Self::Range => f.write_str("a number is out of its range"),
            Self::Readback { register, wrote, read } => {
                write!(f, "register {:#06x} holds {read:#010x}, not {wrote:#010x}", register.0)
            }
            Self::Timeout(register) => write!(f, "register {:#06x} does not say done", register.0),
        }
    }
}

impl<E: core::fmt::Debug> core::error::Error for Error<E> {}

/// Questions to a register before it counts as a timeout, [`POLL_US`] apart.
const POLLS: u32 = 100;
const POLL_US: u32 = 100;

/// The sensor on its bus.
#[derive(Debug)]
pub struct Genx320<I, D> {
    bus: I,
    delay: D,
    silicon: Silicon,
}

impl<I: I2c, D: DelayNs> Genx320<I, D> {
    /// Looks for the sensor. Its supplies are on, its 24 MHz clock runs, and it is out of reset for 100 ms.
    ///
    /// # Errors
    /// [`Error::Bus`], [`Error::Chip`].
    pub fn probe(bus: I, delay: D) -> Result<Self, Error<I::Error>> {
        let mut sensor = Self { bus, delay, silicon: Silicon::Mp };
        let id = sensor.read(Register::CHIP_ID)?;
        sensor.silicon = Silicon::from_id(id).ok_or(Error::Chip(id))?;
        Ok(sensor)
    }

    /// Which silicon answers.
    pub fn silicon(&self) -> Silicon {
        self.silicon
    }

    /// Gives bus and delay back.
    pub fn release(self) -> (I, D) {
        (self.bus, self.delay)
    }

    /// Powers the sensor up for events in `format` and `frames` over the parallel interface, all pixels on, default biases,
    /// filters and rate controller off. Events that nobody takes are dropped in the sensor, which keeps its time words. Takes
    /// an eighth of a second and the time of the bus.
    ///
    /// # Errors
    /// Any.
    pub fn init(&mut self, format: Format, frames: &Frames) -> Result<(), Error<I::Error>> {
        if format == Format::Evt3 && self.silicon == Silicon::Es {
            return Err(Error::Format);
        }
        // CPI and events, whatever the pins say.
        self.write(Register::TOP_CHICKEN, 0x03E8_000A)?;
        self.run(&power_up::DIGITAL)?;
        self.run(&power_up::ANALOG)?;
        self.run(&power_up::LATCHES)?;
        self.all_pixels()?;
        self.run(&[Step::Rest])?;
        self.run(&power_up::BIASES)?;
        self.run(&power_up::CLOCKS)?;
        self.set_format(format)?;
        self.set_frames(frames)?;
        let readout = readout::ENABLE | readout::NO_BACKPRESSURE | readout::DROP | readout::DROP_WHEN_FULL;
        self.write(Register::RO_READOUT_CTRL, readout)?;
        for bias in Bias::ALL {
            self.set_bias(bias, bias.default_of(self.silicon))?;
        }
        Ok(())
    }

    /// Chooses the format; before [`start`](Self::start).
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Bus`], [`Error::Readback`].
    pub fn set_format(&mut self, format: Format) -> Result<(), Error<I::Error>> {
        let code = match format {
            Format::Evt2 => 0,
            Format::Evt3 if self.silicon == Silicon::Es => return Err(Error::Format),
            Format::Evt3 => 1,
            Format::Evt21 { .. } => 2,
        };
        let legacy = format == Format::Evt21 { legacy: true };
        self.modify(Register::EDF_CHICKEN0, 1, legacy.into())?;
        self.write_checked(Register::EDF_CONTROL, code, 3)
    }

    /// Chooses sizes and pauses of packets and frames; before [`start`](Self::start).
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Bus`], [`Error::Readback`].
    pub fn set_frames(&mut self, frames: &Frames) -> Result<(), Error<I::Error>> {
        let Frames { packet, packets, packet_pause, frame_pause } = *frames;
        if packets == 0 || !(8..=8184).contains(&packet) || packet % 8 != 0 {
            return Err(Error::Range);
        }
        self.write_checked(Register::CPI_PACKET_SIZE_CONTROL, packet.into(), 0x1FFF)?;
        let time = u32::from(packet) | u32::from(packet_pause) << 16;
        self.write_checked(Register::CPI_PACKET_TIME_CONTROL, time, u32::MAX)?;
        self.write_checked(Register::CPI_FRAME_SIZE_CONTROL, packets.into(), 0xFFFF)?;
        self.write_checked(Register::CPI_FRAME_TIME_CONTROL, frame_pause.into(), 0xFFFF)?;
        // Both sync lines are high while data are valid.
        self.write(Register::CPI_OUTPUT_IF_CONTROL, 0b11)
    }

    /// Sets one bias, sensor running or not.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Bus`], [`Error::Readback`].
    pub fn set_bias(&mut self, bias: Bias, value: u8) -> Result<(), Error<I::Error>> {
        if value > bias.max() {
            return Err(Error::Range);
        }
        let (register, flags) = bias.register();
        let wrote = flags | u32::from(value);
        self.write(register, wrote | BIAS_SINGLE)?;
        let read = self.read(register)?;
        self.write(register, read & !BIAS_SINGLE)?;
        if (read ^ wrote) & !BIAS_SINGLE != 0 {
            return Err(Error::Readback { register, wrote, read });
        }
        Ok(())
    }

    /// The value of a bias.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn bias(&mut self, bias: Bias) -> Result<u8, Error<I::Error>> {
        Ok(self.read(bias.register().0)? as u8 & bias.max())
    }

    /// Lets events flow.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn start(&mut self) -> Result<(), Error<I::Error>> {
        self.write(Register::CPI_PIPELINE_CONTROL, power_up::INTERFACE)?;
        self.run(&power_up::START)
    }

    /// Stops events and waits until the interface is at rest. [`start`](Self::start) goes on with the same settings; the
    /// sensor's clock begins anew.
    ///
    /// # Errors
    /// [`Error::Bus`], [`Error::Timeout`].
    pub fn stop(&mut self) -> Result<(), Error<I::Error>> {
        self.run(&power_up::STOP)?;
        self.wait_for(Register::CPI_PIPELINE_STATUS, cpi::BUSY, 0)?;
        self.run(&[Step::Rest])
    }

    /// Switches the interface off at once; pixels and clock go on. What follows [`wake`](Self::wake) is the stream with a gap.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn sleep(&mut self) -> Result<(), Error<I::Error>> {
        self.write(Register::CPI_PIPELINE_CONTROL, pipeline::DROP | cpi::HOT_DISABLE)
    }

    /// Switches the interface on again.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn wake(&mut self) -> Result<(), Error<I::Error>> {
        self.write(Register::CPI_PIPELINE_CONTROL, power_up::INTERFACE)
    }

    /// Has the sensor count its events over periods of `us` microseconds, in sleep too; [`start`](Self::start) ends it.
    ///
    /// # Errors
    /// [`Error::Range`] for 0, [`Error::Bus`].
    pub fn count_events_every(&mut self, us: u32) -> Result<(), Error<I::Error>> {
        if us == 0 {
            return Err(Error::Range);
        }
        self.write(Register::RO_SHADOW_TIMER_THRESHOLD, us)?;
        // Counters are copied by the timer, and begin anew.
        self.write(Register::RO_SHADOW_CTRL, 0b101)?;
        self.write(Register::RO_SHADOW_STATUS, 1)?;
        self.modify(Register::RO_LP_CTRL, 0, 1)
    }

    /// Events of the last whole period of [`count_events_every`](Self::count_events_every); none when none has ended since
    /// the last question.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn counted_events(&mut self) -> Result<Option<u32>, Error<I::Error>> {
        if self.read(Register::RO_SHADOW_STATUS)? & 1 == 0 {
            return Ok(None);
        }
        let events = self.read(Register::RO_EVT_CD_CNT)?;
        self.write(Register::RO_SHADOW_STATUS, 1)?;
        Ok(Some(events))
    }

    fn run(&mut self, steps: &[Step]) -> Result<(), Error<I::Error>> {
        for step in steps {
            match *step {
                Step::Write(register, value) => self.write(register, value)?,
                Step::Rest => {}
                Step::Calibrated => self.wait_for(Register::LDO_PMU, 1 << 20, 1 << 20)?,
            }
            self.delay.delay_ms(1);
        }
        Ok(())
    }

    fn read(&mut self, register: Register) -> Result<u32, Error<I::Error>> {
        let mut value = [0; 4];
        self.bus.write_read(ADDRESS, &register.0.to_be_bytes(), &mut value)?;
        Ok(u32::from_be_bytes(value))
    }

    fn write(&mut self, register: Register, value: u32) -> Result<(), Error<I::Error>> {
        let ([high, low], [a, b, c, d]) = (register.0.to_be_bytes(), value.to_be_bytes());
        Ok(self.bus.write(ADDRESS, &[high, low, a, b, c, d])?)
    }

    /// Writes `value` and reads back its bits in `mask`.
    fn write_checked(&mut self, register: Register, value: u32, mask: u32) -> Result<(), Error<I::Error>> {
        self.write(register, value)?;
        let read = self.read(register)?;
        if (read ^ value) & mask == 0 {
            Ok(())
        } else {
            Err(Error::Readback { register, wrote: value, read })
        }
    }

    fn modify(&mut self, register: Register, clear: u32, set: u32) -> Result<(), Error<I::Error>> {
        let value = self.read(register)?;
        self.write(register, value & !clear | set)
    }

    /// Waits until the bits of `register` in `mask` are `value`.
    fn wait_for(&mut self, register: Register, mask: u32, value: u32) -> Result<(), Error<I::Error>> {
        for _ in 0..POLLS {
            if self.read(register)? & mask == value {
                return Ok(());
            }
            self.delay.delay_us(POLL_US);
        }
        Err(Error::Timeout(register))
    }
}
