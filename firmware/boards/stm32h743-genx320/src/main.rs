//! A GENX320 on the camera interface of an STM32H743 (pins of a Nucleo-144), a plan with an event front end in flash:
//! answers, gaps and, every hundred windows, a report as log lines. **Not run on hardware.**
//!
//! | | pins |
//! |---|---|
//! | reference clock of the sensor, 24 MHz | PA8 (MCO1: HSI48 / 2) |
//! | I2C1 | PB8 SCL, PB9 SDA |
//! | DCMI | PA6 clock, PA4 line, PB7 frame, PC6 PC7 PE0 PE1 PE4 PD3 PE5 PE6 data 0 to 7 |
//!
//! The plan is part of the program: set `MIXEL_PLAN` and `MIXEL_OPS` when building, see `mixel_embed`. Where its front end has
//! fewer pixels than the sensor, the middle of the sensor is taken.

#![no_std]
#![no_main]

mod camera;

use cortex_m::peripheral::DWT;
use cortex_m_rt::entry;
use defmt_rtt as _;
use embassy_stm32::dcmi::{self, Dcmi, HSyncDataInvalidLevel, VSyncDataInvalidLevel};
use embassy_stm32::i2c::{self, I2c};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, HSIPrescaler, Mco, Mco1Source, McoConfig, McoPrescaler, Pll, PllDiv, PllMul,
    PllPreDiv, PllSource, Sysclk, VoltageScale,
};
use embassy_stm32::time::Hertz;
use embassy_stm32::{Config, bind_interrupts, dma, peripherals};
use embassy_time::Delay;
use mixel_camera::{Application, Exchange, Log, event_memory, log_report};
use mixel_core::events::evt2::Evt2;
use mixel_core::plan::FrontEnd;
use mixel_core::{EventSession, Plan, Session, profile};
use mixel_genx320::{Format, Frames, Genx320, Rectangle, SIDE};

use camera::Frame;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

/// Two full buffers beside the one that is being filled.
const BUFFERS: usize = 3;

/// 512 words of EVT2.0: a quiet scene fills them in 8.2 ms, a million events a second in half a millisecond. The pause of 100 us
/// behind a frame is for arming the interface anew.
const FRAMES: Frames = Frames { packet: 512, packets: 4, packet_pause: 280, frame_pause: 4800 };
const FRAME_WORDS: usize = FRAMES.bytes() / 4;

/// What decoding and counting shall be able to follow.
const EVENTS_PER_SECOND: u32 = 1_000_000;
/// Lamps at mains of 50 and 60 Hz.
const FLICKER_HZ: (u32, u32) = (90, 130);
/// Time words come every 16 us: a longer jump is believed only when the next word agrees.
const MAX_STEP_US: u32 = 200;

/// Windows between reports.
const REPORT_EVERY: u32 = 100;
/// For tables and counts of the front end.
const EVENT_MEMORY: usize = 256 * 1024;

static EXCHANGE: Exchange<Frame, BUFFERS> = Exchange::new();

bind_interrupts!(struct Interrupts {
    DCMI => dcmi::InterruptHandler<peripherals::DCMI>;
    DMA1_STREAM0 => dma::InterruptHandler<peripherals::DMA1_CH0>;
});

/// Cycles of the core since some moment.
fn cycles() -> u32 {
    DWT::cycle_count()
}

/// The cycle counter, which wraps after 10 seconds.
struct Cycles;

impl profile::Clock for Cycles {
    #[inline(always)]
    fn now(&mut self) -> u32 {
        cycles()
    }
}

/// 400 MHz from the internal oscillator, half of it for the buses; 48 MHz for the sensor.
fn config() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = Some(HSIPrescaler::DIV1);
    config.rcc.hsi48 = Some(Default::default());
    config.rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV2;
    config.rcc.apb1_pre = APBPrescaler::DIV2;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.apb3_pre = APBPrescaler::DIV2;
    config.rcc.apb4_pre = APBPrescaler::DIV2;
    config.rcc.voltage_scale = VoltageScale::Scale1;
    config
}

#[entry]
fn main() -> ! {
    static mut ARENA: Aligned<[u8; ARENA_BYTES]> = Aligned([0; ARENA_BYTES]);
    static mut MEMORY: Aligned<[u8; EVENT_MEMORY]> = Aligned([0; EVENT_MEMORY]);
    static mut WORDS: [[u32; FRAME_WORDS]; BUFFERS] = [[0; FRAME_WORDS]; BUFFERS];

    let chip = embassy_stm32::init(config());
    let Some(mut core) = cortex_m::Peripherals::take() else { stop("the core's peripherals are taken") };
    core.SCB.enable_icache();
    // The data cache stays off: what DMA writes is then what the program reads.
    core.DCB.enable_trace();
    core.DWT.enable_cycle_counter();

    let plan = Plan::<ops::Ops>::with_ops(&PLAN.0).unwrap_or_else(|error| stop_for("plan", error));
    let FrontEnd::Events(front_end) = plan.front_end() else { stop("the plan has no event front end") };
    let geometry = front_end.histogram.geometry;
    let session = Session::new(plan, &mut ARENA.0).unwrap_or_else(|error| stop_for("session", error));
    let memory = event_memory(&front_end.histogram, &mut MEMORY.0)
        .unwrap_or_else(|error| stop_for("memory for events", error));
    let mut session =
        EventSession::new(session, memory).unwrap_or_else(|error| stop_for("event session", error));

    let mut clock_out = McoConfig::default();
    clock_out.prescaler = McoPrescaler::DIV2;
    let _clock = Mco::new(chip.MCO1, chip.PA8, Mco1Source::HSI48, clock_out);
    let mut speed = i2c::Config::default();
    speed.frequency = Hertz::khz(400);
    let bus = I2c::new_blocking(chip.I2C1, chip.PB8, chip.PB9, speed);
    let sensor = set_up(bus, geometry.width.min(SIDE), geometry.height.min(SIDE));
    let mut sensor = sensor.unwrap_or_else(|error| stop_for("sensor", error));
    defmt::info!("GENX320 {}, {=u16} x {=u16} pixels", sensor.silicon(), geometry.width, geometry.height);

    let mut sync = dcmi::Config::default();
    sync.vsync_level = VSyncDataInvalidLevel::Low;
    sync.hsync_level = HSyncDataInvalidLevel::Low;
    let interface = Dcmi::new_8bit(
        chip.DCMI,
        chip.DMA1_CH0,
        Interrupts,
        chip.PC6,
        chip.PC7,
        chip.PE0,
        chip.PE1,
        chip.PE4,
        chip.PD3,
        chip.PE5,
        chip.PE6,
        chip.PB7,
        chip.PA4,
        chip.PA6,
        sync,
    );
    let [first, second, third] = WORDS.each_mut().map(Frame);
    // An interrupt between the question and the wait sets the event, so the wait ends at once.
    let (producer, mut frames) = EXCHANGE.split(first, [second, third], cortex_m::asm::wfe);
    camera::start(interface, producer);
    if let Err(error) = sensor.start() {
        stop_for("sensor", error)
    }

    let mut clock = Cycles;
    let mut application = Application::new(Evt2::new(geometry).with_max_step(MAX_STEP_US), &mut clock);
    let mut due = REPORT_EVERY;
    loop {
        let Ok(_) = application.step(&mut session, &mut frames, &mut Log);
        if session.seen().windows >= due {
            due += REPORT_EVERY;
            log_report(&application.report(&session), "cycles", |ticks| ticks);
        }
    }
}

type Bus = I2c<'static, embassy_stm32::mode::Blocking, i2c::Master>;

/// Finds the sensor and sets it up for the `width` x `height` pixels in its middle.
fn set_up(
    bus: Bus,
    width: u16,
    height: u16,
) -> Result<Genx320<Bus, Delay>, mixel_genx320::Error<i2c::Error>> {
    let mut sensor = Genx320::probe(bus, Delay)?;
    sensor.init(Format::Evt2, &FRAMES)?;
    sensor.limit_rate(Some(EVENTS_PER_SECOND))?;
    sensor.filter_flicker(Some(FLICKER_HZ))?;
    if (width, height) != (SIDE, SIDE) {
        let middle = Rectangle::centred(width, height);
        sensor.set_region(&middle)?;
        sensor.set_crop(Some(&middle))?;
    }
    Ok(sensor)
}

/// Nothing can be done here any more.
fn stop(reason: &str) -> ! {
    defmt::error!("{=str}", reason);
    loop {
        cortex_m::asm::wfe();
    }
}

fn stop_for(what: &str, error: impl defmt::Format) -> ! {
    defmt::error!("{=str}: {}", what, error);
    stop("stopped")
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    stop("stopped")
}
