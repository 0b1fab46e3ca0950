//! A voice-less assistant on a Pico 2: send a line of text to the serial port (GPIO 0 and 1, 115,200 baud), get
//! its intent back. **Not run on hardware.**
//!
//! The plan is part of the program: set `MIXEL_PLAN` and `MIXEL_OPS` when building, see `mixel_embed`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use mixel_core::{Plan, Session};
use mixel_intent::{ServeError, serve};
use mixel_rp2350::{
    Exit, clocks, exit,
    hal::{
        Clock as _,
        fugit::RateExtU32 as _,
        gpio::Pins,
        pac::Peripherals,
        sio::Sio,
        uart::{DataBits, StopBits, UartConfig, UartPeripheral},
    },
};

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

#[entry]
fn main() -> ! {
    static mut ARENA: Aligned<[u8; ARENA_BYTES]> = Aligned([0; ARENA_BYTES]);
    let Some(chip) = Peripherals::take() else { exit(Exit::Refused) };
    let Peripherals {
        XOSC,
        CLOCKS,
        PLL_SYS,
        PLL_USB,
        mut RESETS,
        WATCHDOG,
        SIO,
        IO_BANK0,
        PADS_BANK0,
        UART0,
        ..
    } = chip;
    let clocks = clocks(XOSC, CLOCKS, PLL_SYS, PLL_USB, &mut RESETS, WATCHDOG);
    let pins = Pins::new(IO_BANK0, PADS_BANK0, Sio::new(SIO).gpio_bank0, &mut RESETS);
    let config = UartConfig::new(115_200.Hz(), DataBits::Eight, None, StopBits::One);
    let serial =
        UartPeripheral::new(UART0, (pins.gpio0.into_function(), pins.gpio1.into_function()), &mut RESETS)
            .enable(config, clocks.peripheral_clock.freq());
    let Ok(mut serial) = serial else {
        defmt::error!("the serial port does not take 115,200 baud");
        exit(Exit::Refused)
    };
    let mut light = pins.gpio25.into_push_pull_output();

    let plan = match Plan::<ops::Ops>::with_ops(&PLAN.0) {
        Ok(plan) => plan,
        Err(error) => {
            defmt::error!("plan: {}", error);
            exit(Exit::Refused)
        }
    };
    let mut session = match Session::new(plan, &mut ARENA.0) {
        Ok(session) => session,
        Err(error) => {
            defmt::error!("session: {}", error);
            exit(Exit::Refused)
        }
    };
    defmt::info!("ready: {=usize} bytes of plan, {=usize} of arena", PLAN.0.len(), ARENA_BYTES);
    match serve(&mut serial, &mut light, &mut session) {
        Ok(()) => defmt::info!("the port is closed"),
        Err(ServeError::Serial(_)) => defmt::error!("the serial port failed"),
        Err(ServeError::Light(_)) => defmt::error!("the light failed"),
    }
    exit(Exit::Refused)
}
