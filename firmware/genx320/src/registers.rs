//! Registers and their bits, by the names of Prophesee's public register map (openeb).

/// A register: its 16-bit address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Register(pub u16);

macro_rules! registers {
    ($($name:ident = $address:literal, $what:literal;)*) => {
        impl Register {
            $(#[doc = $what] pub const $name: Self = Self($address);)*
        }
    };
}

registers! {
    ROI_CTRL = 0x0000, "Pixel array: switched on, reset, loading of the pixel latches.";
    CHIP_ID = 0x0014, "Tells the silicon.";
    DIG_SOFT_RESET = 0x001C, "Resets; bit 2 lets the analog part go.";
    RO_TD_CTRL = 0x002C, "Resets and drives of the pixel readout.";
    ADC_CONTROL = 0x004C, "Clock of the converter that calibrates the supplies.";
    TOP_CHICKEN = 0x0064, "Chooses CPI and events over MIPI and histograms; timeout of the bus.";
    CP_CTRL = 0x0070, "Charge pump.";
    SRAM_INITN = 0x00B8, "Wakes memories, a bit a block.";
    SRAM_PD0 = 0x00BC, "Switches memories off: flicker filter, contrast filter, histograms.";
    SRAM_PD1 = 0x00C0, "Switches memories off: processor, rate controller, interfaces.";
    REF_CLK_CTRL = 0x0200, "Reference clock.";
    SYS_CLK_CTRL = 0x0204, "System clock.";
    RTC_CLK_CTRL = 0x020C, "Slow clock.";
    EVT_ICN_CLK_CTRL = 0x0210, "Clocks of readout and event pipeline.";
    PLL_CTRL = 0x0214, "PLL.";
    BGEN_CTRL = 0x1208, "Bias generator: resets, and transfer of all biases at once.";
    BGEN_CGM_SUB = 0x1218, "Bias generator: current source.";
    BGEN_CC_EN = 0x1220, "Bias generator: both voltage domains.";
    ERC_PIPELINE_CONTROL = 0x6000, "Rate controller: enable, drop, bypass.";
    ERC_AHVT_DROPPING_CONTROL = 0x6014, "Rate controller: how it drops; bit 31 says that it takes a new setting.";
    ERC_REF_PERIOD_FLAVOR = 0x6020, "Rate controller: length of its period in microseconds.";
    ERC_DELAY_FIFO_NON_TD_RSVD_AREA = 0x6024, "Rate controller: room for words that are no events.";
    ERC_TD_TARGET_EVENT_COUNT = 0x602C, "Rate controller: events a period.";
    ERC_MONITORING_EVENT_CONTROL = 0x6034, "Rate controller: counts that it adds to the stream.";
    ERC_DELAY_FIFO_FLUSH_AND_BYPASS = 0x60A0, "Rate controller: goes around the delay memory.";
    ERC_RESET_TDROP_COUNTER = 0x60B4, "Rate controller: counter set back every period.";
    EDF_PIPELINE_CONTROL = 0x7000, "Event format: enable, drop, bypass.";
    EDF_CONTROL = 0x7044, "Event format.";
    EDF_EVENT_INJECTION = 0x7048, "Words that the format block adds.";
    EDF_OUTPUT_INTERFACE_CONTROL = 0x704C, "Timeout of a frame's start.";
    EDF_EXTERNAL_OUTPUT_ADAPTER = 0x7100, "Between format block and interface.";
    EDF_CHICKEN0 = 0x71C0, "Bit 0: halves of EVT2.1 words in the order of older sensors.";
    CPI_PIPELINE_CONTROL = 0x8000, "Parallel interface.";
    CPI_PIPELINE_STATUS = 0x8004, "Parallel interface: 0 empty, 1 busy.";
    CPI_PACKET_SIZE_CONTROL = 0x8008, "Bytes of a packet.";
    CPI_PACKET_TIME_CONTROL = 0x800C, "Clocks of a packet and of the blanking behind it.";
    CPI_FRAME_SIZE_CONTROL = 0x8010, "Packets of a frame.";
    CPI_FRAME_TIME_CONTROL = 0x8014, "Clocks of blanking behind a frame.";
    CPI_OUTPUT_IF_CONTROL = 0x8018, "Polarity of the sync lines.";
    RO_READOUT_CTRL = 0x9000, "Readout: enable, flips, what happens when nobody takes the events.";
    RO_TIME_BASE_CTRL = 0x9008, "The microsecond clock.";
    RO_OOR_CTRL = 0x900C, "Crop: enable, drop outside, new origin.";
    RO_OOR_START_POS = 0x9010, "First column and row of the crop.";
    RO_OOR_END_POS = 0x9014, "Last column and row of the crop.";
    RO_LP_CTRL = 0x9028, "Counters, and the output switched off.";
    RO_SHADOW_CTRL = 0x9054, "Copies the counters every period.";
    RO_SHADOW_TIMER_THRESHOLD = 0x9058, "Microseconds of that period.";
    RO_SHADOW_STATUS = 0x905C, "Bit 0: a copy is there; written back to ask for the next.";
    RO_EVT_CD_CNT = 0x9244, "Events of the last period.";
    LDO_BG = 0xA000, "Band gap.";
    LDO_HV = 0xA004, "Supply of the high voltage domain.";
    LDO_LV = 0xA008, "Supply of the low voltage domain.";
    LDO_PMU = 0xA01C, "Current sources and their calibration.";
    MIPI_CLK_CTRL = 0xB00C, "Clocks of the serial interface.";
    MIPI_POWER = 0xB030, "Bit 4: the current source that calibration needs.";
    AFK_PIPELINE_CONTROL = 0xC000, "Flicker filter: enable, drop, bypass.";
    AFK_PARAM = 0xC008, "Flicker filter: thresholds.";
    AFK_FILTER_PERIOD = 0xC00C, "Flicker filter: periods that are taken for flicker.";
    AFK_INVALIDATION = 0xC0C0, "Flicker filter: how its memory forgets.";
    AFK_INITIALIZATION = 0xC0C4, "Flicker filter: clears its memory; bit 2 when done.";
    STC_PIPELINE_CONTROL = 0xD000, "Contrast filter: enable, drop, bypass.";
    NFL_PIPELINE_CONTROL = 0xE000, "Noise filter: enable, drop, bypass.";
}

impl Register {
    /// Latch inputs of 32 columns: a set bit switches the pixel off.
    pub const fn roi_columns(word: u16) -> Self {
        Self(0x2000 + 4 * word)
    }

    /// Latch enables of 32 rows: a set bit lets the row take the column bits.
    pub const fn roi_rows(word: u16) -> Self {
        Self(0x3000 + 4 * word)
    }
}

/// Bits of [`Register::ROI_CTRL`].
pub mod roi {
    /// The pixel array is on.
    pub const ENABLE: u32 = 1 << 1;
    /// A rising edge loads the latches.
    pub const LOAD: u32 = 1 << 5;
    /// Pixels are out of reset.
    pub const PIXELS_RUN: u32 = 1 << 10;
    /// The latches are loaded by registers and not by the window list.
    pub const BY_REGISTER: u32 = 1 << 11;
}

/// Bits that all blocks of the event pipeline have in their control register.
pub mod pipeline {
    /// The block works.
    pub const ENABLE: u32 = 1 << 0;
    /// What cannot be handed on is dropped.
    pub const DROP: u32 = 1 << 1;
    /// Events go around the block.
    pub const BYPASS: u32 = 1 << 2;
}

/// Bits of [`Register::CPI_PIPELINE_CONTROL`] besides those of [`pipeline`].
pub mod cpi {
    /// DCMI signals: clock, line and frame sync.
    pub const DCMI: u32 = 1 << 5;
    /// Packets have [`super::Register::CPI_PACKET_SIZE_CONTROL`] bytes.
    pub const FIXED_PACKETS: u32 = 1 << 7;
    /// Frames have [`super::Register::CPI_FRAME_SIZE_CONTROL`] packets.
    pub const FIXED_FRAMES: u32 = 1 << 9;
    /// The pixel clock runs.
    pub const CLOCK: u32 = 1 << 10;
    /// Disabling does not wait for a whole packet.
    pub const HOT_DISABLE: u32 = 1 << 22;
    /// In the status: a packet is on its way.
    pub const BUSY: u32 = 1 << 1;
}

/// Bits of [`Register::RO_READOUT_CTRL`].
pub mod readout {
    /// The readout works.
    pub const ENABLE: u32 = 1 << 9;
    /// Pixels do not wait for the readout.
    pub const NO_BACKPRESSURE: u32 = 1 << 10;
    /// Events are dropped, time words kept.
    pub const DROP: u32 = 1 << 12;
    /// And only when the next block takes nothing.
    pub const DROP_WHEN_FULL: u32 = 1 << 13;
}

/// Bit of a bias register: this bias alone is transferred to the pixels.
pub const BIAS_SINGLE: u32 = 1 << 28;
