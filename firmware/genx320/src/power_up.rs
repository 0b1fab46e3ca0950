//! From reset to a sensor that could see: clocks, memories, supplies, bias generators, pixel latches, PLL.
//!
//! Order and values are those of the sequence that Prophesee publishes for the parallel interface (in OpenMV's driver); what
//! a register does is in [`Register`]. Every write is followed by a millisecond of rest, as there.

use crate::registers::{Register, cpi, pipeline, roi};

/// One step.
#[derive(Clone, Copy)]
pub enum Step {
    /// Writes a register.
    Write(Register, u32),
    /// Waits a millisecond more.
    Rest,
    /// Waits until the current sources are calibrated.
    Calibrated,
}

use Step::{Calibrated, Rest, Write};

const BYPASSED: u32 = pipeline::ENABLE | pipeline::BYPASS;

/// Latches are loaded at this edge; the array is not yet running.
const HALTED: u32 = roi::ENABLE | roi::BY_REGISTER;
const LOAD: [Step; 2] = [Write(Register::ROI_CTRL, HALTED | roi::LOAD), Write(Register::ROI_CTRL, HALTED)];

/// Clocks and digital blocks; filters are bypassed.
pub const DIGITAL: [Step; 25] = [
    Write(Register::RO_TIME_BASE_CTRL, 0x0000_0320),
    Write(Register::RO_TIME_BASE_CTRL, 0x0001_0320),
    Write(Register::RTC_CLK_CTRL, 0x0000_0015),
    Write(Register::SYS_CLK_CTRL, 0x0000_4D6C),
    Write(Register::EVT_ICN_CLK_CTRL, 0x0000_0C00),
    Write(Register::RO_TIME_BASE_CTRL, 0x0000_00A0),
    Write(Register::SRAM_INITN, 0x0000_0040),
    Write(Register::SRAM_PD1, 0x0000_0078),
    Write(Register::CPI_PACKET_TIME_CONTROL, 0x0001_040A),
    Write(Register::CPI_PACKET_SIZE_CONTROL, 0x0000_0400),
    Write(Register::CPI_FRAME_SIZE_CONTROL, 0x0000_0140),
    Write(Register::CPI_PIPELINE_CONTROL, 0x0001_EFA1),
    Write(Register::CPI_PIPELINE_CONTROL, 0x0001_FFA1),
    Write(Register::NFL_PIPELINE_CONTROL, BYPASSED),
    Write(Register::AFK_PIPELINE_CONTROL, BYPASSED),
    Write(Register::STC_PIPELINE_CONTROL, BYPASSED),
    Write(Register::ERC_PIPELINE_CONTROL, BYPASSED),
    Write(Register::ERC_DELAY_FIFO_FLUSH_AND_BYPASS, 0),
    Write(Register::EDF_OUTPUT_INTERFACE_CONTROL, 0x0000_07D0),
    Write(Register::EDF_EXTERNAL_OUTPUT_ADAPTER, 0x0001_0280),
    Write(Register::EDF_CONTROL, 0x0000_0002),
    Write(Register::EDF_EVENT_INJECTION, 0),
    Write(Register::EDF_PIPELINE_CONTROL, pipeline::ENABLE),
    Write(Register::RO_TIME_BASE_CTRL, 0x0000_00A4),
    Write(Register::RO_READOUT_CTRL, 0x0000_0200),
];

/// Supplies, charge pump and bias generators, with the calibration between them.
pub const ANALOG: [Step; 25] = [
    Write(Register::DIG_SOFT_RESET, 0x0000_0004),
    Write(Register::LDO_BG, 0x0000_0406),
    Write(Register::LDO_PMU, 0x0007_641F),
    Write(Register::MIPI_POWER, 0x0000_0010),
    Write(Register::ADC_CONTROL, 0x0020_4E22),
    Rest,
    Write(Register::LDO_PMU, 0x0007_E41F),
    Rest,
    Calibrated,
    Write(Register::ADC_CONTROL, 0x0020_4E20),
    Write(Register::BGEN_CGM_SUB, 0x0000_0111),
    Write(Register::BGEN_CGM_SUB, 0x0000_0111),
    Write(Register::BGEN_CGM_SUB, 0x0000_0111),
    Rest,
    Write(Register::BGEN_CC_EN, 0x0000_0001),
    Rest,
    Write(Register::LDO_LV, 0x0000_8085),
    Write(Register::LDO_HV, 0x0000_8025),
    Rest,
    Write(Register::CP_CTRL, 0x0000_055F),
    Rest,
    Write(Register::BGEN_CC_EN, 0x0000_0003),
    Rest,
    Write(Register::BGEN_CTRL, 0x0000_0030),
    Rest,
];

/// Latch control before the latches are written.
pub const LATCHES: [Step; 5] = [
    Write(Register::ROI_CTRL, roi::PIXELS_RUN | roi::LOAD),
    Write(Register::ROI_CTRL, roi::PIXELS_RUN),
    Write(Register::ROI_CTRL, HALTED),
    LOAD[0],
    LOAD[1],
];

/// Loads the latches from the words written so far.
pub const LOAD_LATCHES: [Step; 2] = LOAD;

/// First biases, transferred all at once.
pub const BIASES: [Step; 14] = [
    Write(Register(0x1000), 0x0301_003D),
    Write(Register(0x1004), 0x0301_0027),
    Write(Register(0x1008), 0x0101_003F),
    Write(Register(0x1100), 0x0301_0000),
    Write(Register(0x1104), 0x0109_0018),
    Write(Register(0x1108), 0x0101_0033),
    Write(Register(0x110C), 0x0109_0013),
    Write(Register(0x1110), 0x0101_0039),
    Write(Register(0x1114), 0x0301_0052),
    Write(Register(0x1118), 0x0301_0042),
    Write(Register(0x111C), 0x0300_0074),
    Write(Register(0x1120), 0x0100_00A4),
    Write(Register::BGEN_CTRL, 0x0000_0035),
    Write(Register::ROI_CTRL, HALTED),
];

/// From the reference clock to the PLL; the time base then counts 48 clocks a microsecond.
pub const CLOCKS: [Step; 13] = [
    Write(Register::RO_TIME_BASE_CTRL, 0x0000_0184),
    Write(Register::RO_TIME_BASE_CTRL, 0x0001_0184),
    Write(Register::REF_CLK_CTRL, 0),
    Write(Register::PLL_CTRL, 0x0000_0440),
    Write(Register::PLL_CTRL, 0x0000_0441),
    Write(Register::SYS_CLK_CTRL, 0x0000_0634),
    Write(Register::RTC_CLK_CTRL, 0x0000_0061),
    Write(Register::SYS_CLK_CTRL, 0x0000_0635),
    Write(Register::SYS_CLK_CTRL, 0x0000_0637),
    Write(Register::EVT_ICN_CLK_CTRL, 0x0000_0C00),
    Write(Register::MIPI_CLK_CTRL, 0x0000_0004),
    Write(Register::RO_TIME_BASE_CTRL, 0x0000_0304),
    Write(Register::ADC_CONTROL, 0x0020_9600),
];

/// Pixels run and events flow.
pub const START: [Step; 6] = [
    Write(Register::RO_LP_CTRL, 0),
    Write(Register::RO_TIME_BASE_CTRL, 0x0000_0305),
    Rest,
    Write(Register::RO_TD_CTRL, 0x0022_C724),
    Write(Register::ROI_CTRL, HALTED | roi::PIXELS_RUN),
    Rest,
];

/// Pixels stop, the interface hands over what it has and stops.
pub const STOP: [Step; 6] = [
    Write(Register::ROI_CTRL, HALTED),
    Write(Register::RO_TD_CTRL, 0x0020_0624),
    Write(Register::RO_LP_CTRL, 0x0000_0002),
    Rest,
    Write(Register::RO_TIME_BASE_CTRL, 0x0000_0304),
    Write(Register::CPI_PIPELINE_CONTROL, 0x0001_FFA0 | pipeline::DROP),
];

/// The interface as the application uses it.
pub const INTERFACE: u32 = pipeline::ENABLE | cpi::DCMI | cpi::FIXED_PACKETS | cpi::FIXED_FRAMES | cpi::CLOCK;
