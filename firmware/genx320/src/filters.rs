//! What the sensor itself takes out of the stream: events beyond a rate, and flicker.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::registers::{Register, pipeline};
use crate::{Error, Genx320};

/// Period of the rate controller in microseconds, openeb's.
const PERIOD_US: u32 = 100;
/// Events a period: 21 bits.
const MOST_EVENTS: u32 = (1 << 21) - 1;

/// Bits of [`Register::SRAM_INITN`] and [`Register::SRAM_PD1`] for the delay memory of the rate controller.
const DELAY_AWAKE: u32 = 1 << 2;
const DELAY_OFF: u32 = 1 << 3;

/// Bits of [`Register::SRAM_INITN`] and [`Register::SRAM_PD0`] for the memories of the flicker filter.
const FLICKER_AWAKE: u32 = 1 << 0;
const FLICKER_OFF: u32 = 0x7FFF;

/// Clocks of the event pipeline in a microsecond.
const CLOCK_MHZ: u32 = 48;

impl<I: I2c, D: DelayNs> Genx320<I, D> {
    /// Caps the rate at `events_per_second`, in steps of 10,000, by dropping evenly within periods of 100 us; none ends that.
    /// The controller adds words with its counts to the stream, which decoders skip.
    ///
    /// The period's register is 0x6020 in openeb's map, 0x6030 in a Linux driver of the same house, whose other addresses
    /// agree; openeb has another register there, so 0x6020 is taken.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Bus`], [`Error::Readback`], [`Error::Timeout`].
    pub fn limit_rate(&mut self, events_per_second: Option<u32>) -> Result<(), Error<I::Error>> {
        let bypassed = pipeline::ENABLE | pipeline::BYPASS;
        let Some(rate) = events_per_second else {
            return self.write(Register::ERC_PIPELINE_CONTROL, bypassed);
        };
        let events = rate / (1_000_000 / PERIOD_US);
        if !(1..=MOST_EVENTS).contains(&events) {
            return Err(Error::Range);
        }
        // Held, so that it hands over what it has, then bypassed.
        self.write(Register::ERC_PIPELINE_CONTROL, 0)?;
        self.write(Register::ERC_PIPELINE_CONTROL, bypassed)?;
        self.modify(Register::SRAM_INITN, 0, DELAY_AWAKE)?;
        self.modify(Register::SRAM_PD1, DELAY_OFF, 0)?;
        self.write(Register::ERC_DELAY_FIFO_FLUSH_AND_BYPASS, 0)?;
        // Bit 16: the rate of a period is known before its events leave the delay memory.
        self.write_checked(Register::ERC_REF_PERIOD_FLAVOR, PERIOD_US | 1 << 16, 0x1_03FF)?;
        self.write_checked(Register::ERC_TD_TARGET_EVENT_COUNT, events, MOST_EVENTS)?;
        // 28 entries for other words, more when they are needed.
        self.write(Register::ERC_DELAY_FIFO_NON_TD_RSVD_AREA, 28 | 1 << 16)?;
        self.write(Register::ERC_MONITORING_EVENT_CONTROL, 1 << 1 | 1 << 2 | 1 << 9)?;
        self.wait_for(Register::ERC_AHVT_DROPPING_CONTROL, 1 << 31, 1 << 31)?;
        // Every so many events in time are dropped; all of them only from a rate of one on (512).
        self.write(Register::ERC_AHVT_DROPPING_CONTROL, 1 << 2 | 512 << 4)?;
        self.write(Register::ERC_RESET_TDROP_COUNTER, 0)?;
        self.write(Register::ERC_PIPELINE_CONTROL, pipeline::ENABLE)
    }

    /// Takes flicker between `band.0` and `band.1` hertz out of the stream (50 to 500; lamps flicker at twice the mains'
    /// frequency); none ends that.
    ///
    /// # Errors
    /// [`Error::Range`], [`Error::Bus`], [`Error::Readback`], [`Error::Timeout`].
    pub fn filter_flicker(&mut self, band: Option<(u32, u32)>) -> Result<(), Error<I::Error>> {
        let Some((low, high)) = band else {
            self.write(Register::AFK_PIPELINE_CONTROL, pipeline::ENABLE | pipeline::BYPASS)?;
            return self.modify(Register::SRAM_PD0, 0, FLICKER_OFF);
        };
        if low < 50 || high > 500 || low > high {
            return Err(Error::Range);
        }
        self.write(Register::AFK_PIPELINE_CONTROL, pipeline::BYPASS)?;
        self.modify(Register::SRAM_INITN, 0, FLICKER_AWAKE)?;
        self.modify(Register::SRAM_PD0, FLICKER_OFF, 0)?;
        self.write(Register::AFK_INITIALIZATION, 1)?;
        self.wait_for(Register::AFK_INITIALIZATION, 1 << 2, 1 << 2)?;
        // Periods in units of 128 us.
        let (shortest, longest) = ((1_000_000 / high) >> 7, (1_000_000 / low) >> 7);
        // Stamps must be forgotten before their 16 bits go round: the time for that, spread over 160 groups of pixels.
        let forget = (1u32 << 16).saturating_sub(128 * (3 + longest)) * CLOCK_MHZ / 160;
        let timeout = forget.saturating_sub(4).min(0xFFF);
        self.write(Register::AFK_INVALIDATION, 4 | timeout << 12 | 5 << 24)?;
        // Bits 16 to 19: a duty cycle of one half.
        self.write_checked(Register::AFK_FILTER_PERIOD, shortest | longest << 8 | 8 << 16, 0xF_FFFF)?;
        // Flicker from 6 alternations on, until there are fewer than 4.
        self.write(Register::AFK_PARAM, 4 | 6 << 3)?;
        self.write(Register::AFK_PIPELINE_CONTROL, pipeline::ENABLE)
    }
}
